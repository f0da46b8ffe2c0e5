"""Lift Surfacing watches: dated changes of visibility, whose they are, and the events they raise."""

from datetime import timedelta

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import inputs, lift_asset, result, skipped
from liftos_pipelines.modules.surfacing.changes.shifts import ShiftReport, watch_engines
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.outbox import Tells, outbox
from liftos_pipelines.spine.payloads import AlgorithmChangeDetected, Payload, VisibilityShiftDetected

SEED = 20240611
EVENT_HORIZON = timedelta(days=90)
"""Shifts further back than this from the newest answer are history: recorded, but nothing reacts to them."""


@lift_asset(
    "surfacing/shifts", ins=inputs("surfacing/answer_mentions", "sources/answers"), kinds={"polars"}, code_version="2"
)
def shifts(
    context: dg.AssetExecutionContext, answer_mentions: pl.DataFrame, answers: pl.DataFrame, spine: SpineResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Dated changes of visibility, told apart: one brand's, an engine's, the world's, or our own prompts'; from a daily
    joint test of all brands and of what answers look like, with a stated rate of false alarms."""
    if answer_mentions.is_empty() or answers.is_empty():
        return skipped("surfacing/shifts", "answers")
    report = watch_engines(answer_mentions, answers, seed=SEED)
    found = report.table
    newest = answers["asked_at"].max()
    recent = found.filter(pl.col("detected_at") >= pl.lit(newest) - EVENT_HORIZON)
    raised = raise_shifts(outbox(context, spine), context.partition_key, recent)
    return result(found, events=raised, **_described(report))


def _described(report: ShiftReport) -> dict[str, object]:
    from liftos_pipelines.modules.surfacing.changes.shift_plot import shift_plot

    counts = dict(report.table.group_by("kind").len().iter_rows())
    engines = pl.DataFrame([vars(one) for one in report.engines])
    picture = shift_plot(report)
    return {
        **{kind: counts.get(kind, 0) for kind in ("brand", "engine", "world", "own")},
        "stated_false_alarms_per_engine_year": report.false_alarms_per_year,
        "watched_engine_years": report.watched_years,
        "false_alarms_expected": report.false_alarms_per_year * report.watched_years,
        "engines_watched": sum(one.watched_since is not None for one in report.engines),
        "engines_not_watched": sum(one.watched_since is None for one in report.engines),
        "engines": engines,
        **({"picture": dg.MetadataValue.md(picture)} if picture else {}),
    }


def raise_shifts(told: Tells, client: str, found: pl.DataFrame) -> int:
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
        told.raise_event(client, payload, occurred_at=at)
        raised += 1
    return raised
