"""Lift Causal's answer to events: what a drop of sentiment or a shift of visibility did to the outcome."""

import hashlib
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.causal import MARKETING, spec_for
from liftos_pipelines.assets.common import SKIPPED, client_of, inputs, lift_asset, result
from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.causal.impact import Impact, ImpactUnknown, Series, estimate_impact, national_series
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import Event
from liftos_pipelines.spine.outbox import Tells, outbox
from liftos_pipelines.spine.payloads import CausalImpactIdentified, SentimentDropDetected
from liftos_pipelines.tables import ALL, table

REACTION = "causal/impact"
TRIGGERS = ("sentiment_drop_detected", "visibility_shift_detected", "algorithm_change_detected")
SHIFT_WINDOW_DAYS = 28
"""A shift of visibility has a date, not an end: its effect is looked for in the four weeks that follow."""
CODE_VERSION = "3"
AT_ONCE = 100_000
LISTED, REMEMBERED = 5, 4096


@lift_asset(
    "causal/impact",
    ins=inputs(*MARKETING),
    deps=[dg.AssetKey(["sentiment", "alerts"]), dg.AssetKey(["surfacing", "shifts"])],
    kinds={"polars"},
    code_version=CODE_VERSION,
)
def impact(
    context: dg.AssetExecutionContext,
    marketing_outcome: pl.DataFrame,
    marketing_media: pl.DataFrame,
    marketing_controls: pl.DataFrame,
    spine: SpineResource,
    lake: LakeResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """What each sentiment drop and visibility shift did to the outcome, against what would have been without it."""
    client = client_of(context)
    store, told = spine.get(), outbox(context, spine)
    series, data = _series_of(client, marketing_outcome, marketing_media, marketing_controls)
    known = lake.get().read(client.client, REACTION)
    stands = known.filter(pl.col("data_version") == data) if "data_version" in known.columns else known.clear()
    # Rows of the same data stand: only what is new is estimated, so that a burst costs what it brings.
    asked = store.unhandled(REACTION, TRIGGERS, limit=AT_ONCE, client=client.client)
    triggers = asked if stands.height else store.events(client.client, types=TRIGGERS)
    rows, unknown = [], []
    for trigger in triggers:
        row = series if isinstance(series, str) else _impact_row(series, data, trigger)
        if isinstance(row, str):
            unknown.append(f"{trigger.type} {trigger.event_id[:8]}: {row}")
        else:
            rows.append(row | {"data_version": data})
            _raise_impact(told, trigger, row)
    if unknown:
        context.log.warning(_listed(unknown))
    new = _impact_table(rows)
    frame = new
    if stands.height:
        old = stands.join(new, on="event_id", how="anti")
        frame = pl.concat([old.select(new.columns).cast(new.schema), new])
    status = series if isinstance(series, str) and series.startswith(SKIPPED) else "ok"
    described = result(
        frame,
        status=status,
        triggers=len(triggers),
        estimated=frame.height,
        unknown=_listed(unknown) or "none",
        revenue_at_risk=frame["revenue_at_risk"].sum() if frame["revenue_at_risk"].count() else None,
    )
    # Staged: noted when the table is stored. A run that dies before is asked for again, and does the same without harm.
    for trigger in asked:
        told.mark_handled(trigger.event_id, REACTION)
    return described


def _series_of(
    client: ClientConfig, outcome: pl.DataFrame, media: pl.DataFrame, controls: pl.DataFrame
) -> tuple[Series | str, str]:
    """The national series, or why there is none, and what tells this state of the data from every other."""
    if outcome.is_empty():
        return f"{SKIPPED} (marketing)", "none"
    try:
        series = national_series(outcome, media, controls, mediators=spec_for(client).mediators)
    except ImpactUnknown as reason:
        return f"unknown: {reason}", "none"
    return series, _data_version(series)


def _data_version(series: Series) -> str:
    digest = hashlib.sha256(f"{CODE_VERSION} {series.dates[0]} {series.step}".encode())
    for values in (series.outcome, series.price, series.media, series.controls):
        digest.update(b"none" if values is None else f"{values.shape}".encode() + values.tobytes())
    return digest.hexdigest()[:16]


def _listed(reasons: list[str]) -> str:
    more = f"; and {len(reasons) - LISTED} more" if len(reasons) > LISTED else ""
    return "; ".join(reasons[:LISTED]) + more


def _window_of(trigger: Event) -> tuple[date, date]:
    if isinstance(trigger.payload, SentimentDropDetected):
        return trigger.payload.window_start, trigger.payload.window_end
    start = getattr(trigger.payload, "detected_at", trigger.occurred_at).date()
    return start, start + timedelta(days=SHIFT_WINDOW_DAYS - 1)


# Of a window and a state of the data, in this process: events of one burst often share their window.
_estimates: dict[tuple[str, date, date], Impact | str] = {}


def _estimate(series: Series, data: str, start: date, end: date) -> Impact | str:
    key = (data, start, end)
    if key not in _estimates:
        if len(_estimates) >= REMEMBERED:
            _estimates.clear()
        try:
            _estimates[key] = estimate_impact(series, start, end)
        except ImpactUnknown as reason:
            _estimates[key] = f"unknown: {reason}"
    return _estimates[key]


def _impact_row(series: Series, data: str, trigger: Event) -> dict[str, Any] | str:
    """The row of one event, or why there is none."""
    start, end = _window_of(trigger)
    if trigger.type == "sentiment_drop_detected":
        # A drop goes on when it is noticed: the week in which it is noticed counts, however few its days until then.
        end += timedelta(days=series.step // 2)
    estimated = _estimate(series, data, start, end)
    if isinstance(estimated, str):
        return estimated
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
    schema |= {"placebo_ratio": pl.Float64(), "placebo_p": pl.Float64(), "data_version": pl.String()}
    return pl.DataFrame(rows, schema=schema)
