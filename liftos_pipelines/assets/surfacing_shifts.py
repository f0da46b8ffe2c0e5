"""Lift Surfacing watches: dated changes of visibility, whose they are, and the events they raise."""

from datetime import timedelta

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import inputs, lift_asset, result, skipped
from liftos_pipelines.modules import surfacing as lift
from liftos_pipelines.modules.surfacing.shifts import scan_state
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.payloads import AlgorithmChangeDetected, Payload, VisibilityShiftDetected

SEED = 20240611
EVENT_HORIZON = timedelta(days=90)
"""Shifts further back than this from the newest answer are history: recorded, but nothing reacts to them."""


@lift_asset(
    "surfacing/shifts", ins=inputs("surfacing/answer_mentions", "sources/answers"), kinds={"polars"}, code_version="1"
)
def shifts(
    context: dg.AssetExecutionContext, answer_mentions: pl.DataFrame, answers: pl.DataFrame, spine: SpineResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Dated changes of visibility, told apart: one brand's, an engine's, the world's, or our own prompts'."""
    if answer_mentions.is_empty() or answers.is_empty():
        return skipped("surfacing/shifts", "answers")
    found = lift.visibility_shifts(answer_mentions, answers, seed=SEED)
    newest = answers["asked_at"].max()
    recent = found.filter(pl.col("detected_at") >= pl.lit(newest) - EVENT_HORIZON)
    raised = raise_shifts(spine.get(), context.partition_key, recent)
    counts = dict(found.group_by("kind").len().iter_rows())
    return result(
        found,
        events=raised,
        asking_days=min(scan_state(answer_mentions, answers).values()),
        **{kind: counts.get(kind, 0) for kind in ("brand", "engine", "world", "own")},
    )


def raise_shifts(spine: Spine, client: str, found: pl.DataFrame) -> int:
    """Raise an event for each shift that others should react to (not for our own changes); how many there are."""
    raised = 0
    for at, engine, kind, brand, effect, p_value in found.select(
        "detected_at", "engine", "kind", "brand", "effect", "p_value"
    ).iter_rows():
        payload: Payload
        if kind == "engine":
            payload = AlgorithmChangeDetected(engine=engine, detected_at=at, effect=effect, p_value=p_value)
        elif kind in ("brand", "world"):
            payload = VisibilityShiftDetected(
                engine=engine, kind=kind, brand=brand, detected_at=at, effect=effect, p_value=p_value
            )
        else:
            continue
        spine.raise_event(client, payload, occurred_at=at)
        raised += 1
    return raised
