"""Lift Causal's answer to events: what a drop of sentiment or a shift of visibility did to the outcome."""

from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.causal import MARKETING, spec_for
from liftos_pipelines.assets.common import SKIPPED, client_of, inputs, lift_asset, result
from liftos_pipelines.modules.causal.impact import ImpactUnknown, Series, estimate_impact, national_series
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import Event
from liftos_pipelines.spine.outbox import Tells, outbox
from liftos_pipelines.spine.payloads import CausalImpactIdentified, SentimentDropDetected
from liftos_pipelines.tables import ALL, table

REACTION = "causal/impact"
TRIGGERS = ("sentiment_drop_detected", "visibility_shift_detected", "algorithm_change_detected")
SHIFT_WINDOW_DAYS = 28
"""A shift of visibility has a date, not an end: its effect is looked for in the four weeks that follow."""


@lift_asset(
    "causal/impact",
    ins=inputs(*MARKETING),
    deps=[dg.AssetKey(["sentiment", "alerts"]), dg.AssetKey(["surfacing", "shifts"])],
    kinds={"polars"},
    code_version="1",
)
def impact(
    context: dg.AssetExecutionContext,
    marketing_outcome: pl.DataFrame,
    marketing_media: pl.DataFrame,
    marketing_controls: pl.DataFrame,
    spine: SpineResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """What each sentiment drop and visibility shift did to the outcome, against what would have been without it."""
    client = client_of(context)
    store, told = spine.get(), outbox(context, spine)
    triggers = store.events(client.client, types=TRIGGERS)
    series: Series | str
    if marketing_outcome.is_empty():
        series = f"{SKIPPED} (marketing)"
    else:
        try:
            series = national_series(
                marketing_outcome, marketing_media, marketing_controls, mediators=spec_for(client).mediators
            )
        except ImpactUnknown as reason:
            series = f"unknown: {reason}"
    rows, unknown = [], []
    for trigger in triggers:
        row = series if isinstance(series, str) else _impact_row(series, trigger)
        if isinstance(row, str):
            unknown.append(f"{trigger.type} {trigger.event_id[:8]}: {row}")
            context.log.warning(unknown[-1])
        else:
            rows.append(row)
            _raise_impact(told, trigger, row)
    frame = _impact_table(rows)
    status = series if isinstance(series, str) and series.startswith(SKIPPED) else "ok"
    described = result(
        frame,
        status=status,
        triggers=len(triggers),
        estimated=len(rows),
        unknown="; ".join(unknown) or "none",
        revenue_at_risk=frame["revenue_at_risk"].sum() if frame["revenue_at_risk"].count() else None,
    )
    # Staged: noted when the table is stored. A run that dies before is asked for again, and does the same without harm.
    for trigger in triggers:
        told.mark_handled(trigger.event_id, REACTION)
    return described


def _window_of(trigger: Event) -> tuple[date, date]:
    if isinstance(trigger.payload, SentimentDropDetected):
        return trigger.payload.window_start, trigger.payload.window_end
    start = getattr(trigger.payload, "detected_at", trigger.occurred_at).date()
    return start, start + timedelta(days=SHIFT_WINDOW_DAYS - 1)


def _impact_row(series: Series, trigger: Event) -> dict[str, Any] | str:
    """The row of one event, or why there is none."""
    start, end = _window_of(trigger)
    try:
        estimated = estimate_impact(series, start, end)
    except ImpactUnknown as reason:
        return f"unknown: {reason}"
    campaign = getattr(trigger.payload, "campaign_id", None) or ALL
    return {"event_id": trigger.event_id, "campaign_id": campaign, "trigger": trigger.type} | vars(estimated)


def _raise_impact(told: Tells, trigger: Event, row: dict[str, Any]) -> None:
    payload = CausalImpactIdentified(
        trigger_event_id=trigger.event_id,
        **{name: row[name] for name in CausalImpactIdentified.model_fields if name != "trigger_event_id"},
    )
    happened = datetime.combine(row["window_end"], clock(), tzinfo=UTC)
    told.raise_event(
        trigger.client,
        payload,
        occurred_at=max(happened, trigger.occurred_at),
        causation_id=trigger.event_id,
        correlation_id=trigger.correlation_id,
    )


def _impact_table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    whole = ("n_pre", "n_window", "n_placebo")
    extra = {"campaign_id": pl.String(), "trigger": pl.String(), "expected": pl.Float64(), "observed": pl.Float64()}
    schema = table("causal/impact").columns | extra | {name: pl.Int64() for name in whole}
    schema |= {"placebo_ratio": pl.Float64(), "placebo_p": pl.Float64()}
    return pl.DataFrame(rows, schema=schema)
