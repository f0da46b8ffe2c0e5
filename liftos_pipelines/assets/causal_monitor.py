"""Lift Causal's watch between full fits: new weeks update the last fit, breaks raise an alarm, fits are compared."""

import time
from datetime import UTC, date, datetime
from datetime import time as clock
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import inputs, lift_asset, result, skipped
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.posterior_io import ABSENT, UNKNOWN
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.outbox import Tells, outbox
from liftos_pipelines.spine.payloads import CausalPatternDetected, DriftDetected
from liftos_pipelines.tables import table

POSTERIOR, SERVED = "causal/mmm_posterior", "causal/champion"
# Watched each day, also before a new client's first weekly fit.
WATCHED = {"champion": dg.AssetIn(key=SERVED.split("/"), metadata={ABSENT: UNKNOWN})}
FITTED = {"mmm_posterior": dg.AssetIn(key=POSTERIOR.split("/"), metadata={ABSENT: UNKNOWN})}


@lift_asset(
    "causal/monitor",
    ins=inputs("causal/panel", "sources/experiments") | WATCHED,
    kinds={"arviz"},
    code_version="2",
)
def monitor(
    context: dg.AssetExecutionContext,
    panel: pl.DataFrame,
    experiments: pl.DataFrame,
    champion: Any,
    spine: SpineResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """New weeks brought into the last full fit by Pareto-smoothed weights, moment matching or a short refit, whichever
    first is good enough, for every published return too; and whether the weeks came as foreseen."""
    from liftos_pipelines.modules.causal.engine import reading
    from liftos_pipelines.modules.causal.inputs.panel import PanelError
    from liftos_pipelines.modules.causal.watch import monitor_table
    from liftos_pipelines.modules.causal.watch.update import as_fitted, held_out, refresh

    if panel.is_empty():
        return skipped("causal/monitor", "marketing")
    if not reading.is_fitted(champion):
        return result(table("causal/monitor").empty(), status=str(champion.attrs["status"]))
    as_of = panel["date"].max()
    assert isinstance(as_of, date)
    began = time.perf_counter()
    try:
        found = refresh(champion, panel, experiments)
        if found is None:
            design, quantities = as_fitted(champion, panel)
            seconds = time.perf_counter() - began
            row = monitor_table.fitted_row(as_of, held_out(champion), design, quantities, seconds)
        else:
            row = monitor_table.updated_row(as_of, found)
            if found.drift:
                _raise_drift(outbox(context, spine), context.partition_key, row.row(0, named=True))
    except PanelError as reason:
        context.log.warning(str(reason))
        row = monitor_table.impossible_row(as_of, reading.last_week(champion), str(reason))
    said = row.row(0, named=True)
    told = (
        *("method", "tier", "k_hat", "ess", "functional_k_hat", "functional_ess", "roi_shift_sd", "new_weeks"),
        *("restated_weeks", "break_score", "break_threshold", "drift_flag", "seconds", "detail"),
    )
    return result(row, **{name: said[name] for name in told})


def _raise_drift(told: Tells, client: str, row: dict[str, Any]) -> None:
    """Ask for a refit; the same weeks give the same event, so asking again changes nothing."""
    broken = row["break_from"] is not None
    told.raise_event(
        client,
        DriftDetected(
            dataset=POSTERIOR,
            column="outcome",
            as_of=row["as_of"],
            test="level_break_scan" if broken else "pareto_k_hat",
            statistic=row["break_score"] if broken else row["k_hat"],
            p_value_adjusted=row["break_p_value"],
        ),
        occurred_at=datetime.combine(row["as_of"], clock(), tzinfo=UTC),
    )


@lift_asset("causal/channel_update", ins=inputs("causal/monitor"), kinds={"polars"}, code_version="1")
def channel_update(context: dg.AssetExecutionContext, monitor: pl.DataFrame) -> dg.MaterializeResult[pl.DataFrame]:
    """Each channel's return on all weeks to date, beside what the last full fit said; null where no update is good
    enough to be published."""
    from liftos_pipelines.modules.causal.watch import monitor_table

    fresh = monitor_table.channel_update(monitor)
    if fresh.is_empty():
        return result(fresh, status="unknown: no fit to update")
    newest = fresh.row(0, named=True)
    return result(fresh, as_of=str(newest["as_of"]), method=newest["method"], tier=newest["tier"])


@lift_asset(
    "causal/fit_history",
    ins=inputs("causal/panel") | FITTED,
    kinds={"arviz"},
    code_version="1",
)
def fit_history(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, mmm_posterior: Any, lake: LakeResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """What each full fit said of every channel's return, carry-over and saturation, and of treatments; one set of rows
    a fit, kept."""
    from liftos_pipelines.modules.causal.engine import reading
    from liftos_pipelines.modules.causal.inputs.panel import PanelError
    from liftos_pipelines.modules.causal.watch.fit_history import SCHEMA, history_rows

    if panel.is_empty():
        return skipped("causal/fit_history", "marketing")
    empty = table("causal/fit_history").empty()
    if not reading.is_fitted(mmm_posterior):
        return result(empty, status=str(mmm_posterior.attrs["status"]))
    before = lake.get().read(context.partition_key, "causal/fit_history")
    absent = [pl.lit(None, dtype=kind).alias(name) for name, kind in SCHEMA.items() if name not in before.columns]
    try:
        rows = history_rows(mmm_posterior, panel, before.with_columns(absent), datetime.now(UTC))
    except PanelError as reason:
        context.log.warning(str(reason))
        return result(empty, status=f"unknown: {reason}")
    return result(
        rows, version=rows["version"][0], last_week=str(rows["last_week"][0]), comparable=rows["comparable"][0]
    )


@lift_asset(
    "causal/patterns",
    ins=inputs("causal/panel", "causal/fit_history") | FITTED,
    kinds={"polars"},
    code_version="1",
)
def patterns(
    context: dg.AssetExecutionContext,
    panel: pl.DataFrame,
    fit_history: pl.DataFrame,
    mmm_posterior: Any,
    spine: SpineResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """What recurs over full fits: a response that shifts, carry-over that lengthens, an event or treatment that always
    lifts or always cannibalises. Five per cent chance of one false pattern of a kind, however often one looks."""
    from liftos_pipelines.modules.causal.engine import reading
    from liftos_pipelines.modules.causal.inputs.panel import PanelError
    from liftos_pipelines.modules.causal.watch.occurrences import recurring_effects
    from liftos_pipelines.modules.causal.watch.patterns import find_patterns

    if panel.is_empty():
        return skipped("causal/patterns", "marketing")
    if not reading.is_fitted(mmm_posterior):
        return result(table("causal/patterns").empty(), status=str(mmm_posterior.attrs["status"]))
    try:
        recurring = recurring_effects(reading.read_fitted(mmm_posterior, panel))
    except PanelError as reason:
        context.log.warning(str(reason))
        recurring = []
    found = find_patterns(fit_history, recurring)
    for row in found.iter_rows(named=True):
        outbox(context, spine).raise_event(
            context.partition_key,
            CausalPatternDetected(**row),
            occurred_at=datetime.combine(row["last_seen"], clock(), tzinfo=UTC),
        )
    return result(found, patterns=found.height, fits=fit_history["version"].n_unique(), recurring=len(recurring))
