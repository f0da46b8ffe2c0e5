"""The agent types, and the success criteria that go with each; a criterion is met only where something measures it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """`measured_by` names what measures it here: `seconds` (p95 of a run), `constraints` (share of runs without a
    denied call); None: nothing that agents' steps record does."""

    name: str
    at_least: float | None = None
    at_most: float | None = None
    measured_by: str | None = None


CRITERIA: Mapping[str, tuple[Criterion, ...]] = {
    "attribution_analyst": (
        Criterion(name="attribution_accuracy", at_least=0.85),
        Criterion(name="processing_seconds", at_most=180, measured_by="seconds"),
        Criterion(name="data_coverage", at_least=0.95),
    ),
    "budget_allocator": (
        Criterion(name="optimization_improvement", at_least=0.15),
        Criterion(name="constraint_satisfaction", at_least=1.0, measured_by="constraints"),
        Criterion(name="convergence_seconds", at_most=120, measured_by="seconds"),
    ),
    "performance_monitor": (
        Criterion(name="analysis_accuracy", at_least=0.90),
        Criterion(name="recommendation_quality", at_least=0.80),
        Criterion(name="actionability_score", at_least=0.85),
    ),
    "campaign_optimizer": (
        Criterion(name="analysis_accuracy", at_least=0.90),
        Criterion(name="recommendation_quality", at_least=0.80),
        Criterion(name="actionability_score", at_least=0.85),
    ),
    "audience_segmenter": (
        Criterion(name="segmentation_quality", at_least=0.75),
        Criterion(name="segment_distinctiveness", at_least=0.80),
        Criterion(name="business_relevance", at_least=0.85),
    ),
    "creative_tester": (
        Criterion(name="test_validity", at_least=0.95),
        Criterion(name="winner_confidence", at_least=0.95),
    ),
    "channel_mixer": (Criterion(name="mix_optimization_improvement", at_least=0.12),),
    "forecaster": (Criterion(name="forecast_accuracy", at_least=0.85),),
}
"""By type: the criteria of the test cases that the types came with."""
TYPES = tuple(CRITERIA)


def type_warning(kind: str | None) -> str | None:
    """What is odd about an agent's type, naming the closest known one; None where nothing is."""
    if kind is None or kind in CRITERIA:
        return None
    import difflib

    close = difflib.get_close_matches(kind, TYPES, n=1)
    hint = f', closest: "{close[0]}"' if close else ""
    return f'type "{kind}" is none of {", ".join(TYPES)}{hint}; no criteria are known for it'


def judged(kind: str | None, runs: pl.DataFrame) -> tuple[int, int, int, str]:
    """Criteria met, measured and named for an agent's type, and each in words.

    Parameters
    ----------
    runs : the version's runs, with `seconds` and `violating`
    """
    criteria = CRITERIA.get(kind or "", ())
    met = measured = 0
    said = []
    for criterion in criteria:
        value = _value(criterion, runs)
        limit = f">= {criterion.at_least:g}" if criterion.at_least is not None else f"<= {criterion.at_most:g}"
        if value is None:
            said.append(f"{criterion.name} {limit}: unknown")
            continue
        measured += 1
        kept = (criterion.at_least is None or value >= criterion.at_least) and (
            criterion.at_most is None or value <= criterion.at_most
        )
        met += kept
        said.append(f"{criterion.name} {limit}: {value:.3g}, {'met' if kept else 'not met'}")
    return met, measured, len(criteria), "; ".join(said)


def _value(criterion: Criterion, runs: pl.DataFrame) -> float | None:
    if criterion.measured_by == "seconds":
        known = runs["seconds"].drop_nulls()
        return float(np.percentile(known.to_numpy(), 95)) if known.len() else None
    if criterion.measured_by == "constraints" and runs.height:
        return 1 - float(runs["violating"].mean() or 0.0)  # type: ignore[arg-type]
    return None
