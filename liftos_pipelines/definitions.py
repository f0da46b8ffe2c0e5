"""The code location: every asset, check, sensor, schedule and resource of LiftOS.

The data's way: `sources` (what a client brings, validated) -> the seven modules -> `memory` and `eval`, which read
them all. Events that modules raise come back as runs through `sensors/reactions.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from liftos_pipelines import settings

settings.set_defaults()
# Checks by partition are native in 1.13 and marked as preview; said once here instead of at every check.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

from liftos_pipelines import checks as checks_room  # noqa: E402
from liftos_pipelines.assets import (  # noqa: E402
    agentic,
    agentic_audit,
    agentic_coordination,
    agentic_data_quality,
    agentic_evaluation,
    agentic_lifecycle,
    agentic_outcomes,
    agentic_proposals,
    agentic_remediations,
    agentic_stops,
    campaign_flow,
    causal,
    causal_answers,
    causal_contributions,
    causal_experiments,
    causal_impact,
    causal_monitor,
    causal_report,
    eval_predictions,
    llm,
    llm_claims,
    llm_content,
    llm_experiments,
    llm_screens,
    llm_traces,
    llm_versions,
    memory,
    memory_learning,
    memory_upkeep,
    sentiment,
    sentiment_culture,
    sentiment_index,
    sentiment_revenue,
    sources,
    surfacing,
    surfacing_benchmark,
    surfacing_pages,
    surfacing_shifts,
    surfacing_visibility,
)
from liftos_pipelines.assets import eval as eval_assets  # noqa: E402
from liftos_pipelines.executors import in_process_or_multiprocess  # noqa: E402
from liftos_pipelines.resources.embedder import EmbedderResource  # noqa: E402
from liftos_pipelines.resources.lake import LakeIOManager, LakeResource  # noqa: E402
from liftos_pipelines.resources.memory_store import MemoryStoreResource  # noqa: E402
from liftos_pipelines.resources.mlflow import MlflowResource  # noqa: E402
from liftos_pipelines.resources.posterior_io import PosteriorIOManager  # noqa: E402
from liftos_pipelines.resources.sentiment_model import SentimentModelResource  # noqa: E402
from liftos_pipelines.resources.spine import SpineResource  # noqa: E402
from liftos_pipelines.sensors.intake import new_files, register_clients  # noqa: E402
from liftos_pipelines.sensors.reaction_runs import reaction_sensors  # noqa: E402
from liftos_pipelines.sensors.schedules import daily_job, every_day, every_week, platform_job, refit_job, roll_up  # noqa: E402

ASSET_ROOMS = (
    sources,
    causal,
    causal_answers,
    causal_contributions,
    causal_impact,
    causal_experiments,
    causal_monitor,
    causal_report,
    sentiment,
    sentiment_culture,
    sentiment_index,
    sentiment_revenue,
    surfacing,
    surfacing_visibility,
    surfacing_benchmark,
    surfacing_shifts,
    surfacing_pages,
    llm,
    llm_experiments,
    llm_screens,
    llm_claims,
    llm_content,
    llm_versions,
    llm_traces,
    agentic,
    agentic_audit,
    agentic_coordination,
    agentic_data_quality,
    agentic_lifecycle,
    agentic_evaluation,
    agentic_proposals,
    agentic_outcomes,
    agentic_stops,
    agentic_remediations,
    memory,
    memory_learning,
    memory_upkeep,
    campaign_flow,
    eval_predictions,
    eval_assets,
)


def build_defs(resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The one Definitions object; tests and embedders pass their own resources by name."""
    resources: dict[str, Any] = {
        "lake_io": LakeIOManager(),
        "posterior_io": PosteriorIOManager(),
        "lake": LakeResource(),
        "spine": SpineResource(),
        "memory": MemoryStoreResource(),
        "embedder": EmbedderResource(),
        "mlflow": MlflowResource(),
        "sentiment_model": SentimentModelResource(),
    }
    return dg.Definitions(
        assets=dg.load_assets_from_modules(ASSET_ROOMS),
        asset_checks=dg.load_asset_checks_from_package_module(checks_room),
        sensors=[register_clients, new_files, *reaction_sensors],
        schedules=[every_day, every_week, roll_up],
        jobs=[daily_job, refit_job, platform_job],
        resources=resources | dict(resource_overrides or {}),
        # A process per step would pay four to nine seconds of imports each; a run's config may ask for it.
        executor=in_process_or_multiprocess,
    )


defs = build_defs()
