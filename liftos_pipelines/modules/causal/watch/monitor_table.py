"""What the watch between full fits writes down: rows of `causal/monitor` and `causal/channel_update`."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.inputs.design import Design
from liftos_pipelines.modules.causal.watch.monitor import Functional, Update
from liftos_pipelines.modules.causal.watch.update import TOTAL, Refreshed, is_roi
from liftos_pipelines.tables import table

FIGURES = ("k_hat", "ess")
VALUES = tuple(f"{name}{end}" for name in ("roi", "contribution") for end in ("", "_low", "_high", "_stale"))
CHANNEL = pl.Struct({"channel": pl.String()} | dict.fromkeys((*VALUES, *FIGURES), pl.Float64()))
SCHEMA: dict[str, pl.DataType] = table("causal/monitor").columns | {
    "tier": pl.Int64(),
    "good_k": pl.Float64(),
    "worst_functional": pl.String(),
    "functional_k_hat": pl.Float64(),
    "functional_ess": pl.Float64(),
    "roi_shift_sd": pl.Float64(),
    "new_weeks": pl.Int64(),
    "restated_weeks": pl.Int64(),
    "new_tests": pl.Int64(),
    "break_score": pl.Float64(),
    "break_threshold": pl.Float64(),
    "break_p_value": pl.Float64(),
    "break_from": pl.Date(),
    "draws": pl.Int64(),
    "fitted_until": pl.Date(),
    "seconds": pl.Float64(),
    "detail": pl.String(),
    "channels": pl.List(CHANNEL),
}
TIERS = {
    1: "the draws of the last full fit, reweighted",
    2: "the draws of the last full fit, moved by moment matching and reweighted",
    3: "sampled again from the last full fit on",
    4: "neither weights nor a short refit are good enough: what the last full fit said stands; run a full refit",
}


def updated_row(as_of: date, found: Refreshed) -> pl.DataFrame:
    """The row of a panel that says more than the last full fit has seen. `k_hat` and `ess` are of the plain weights, as
    an alarm; `functional_*` of the worst published quantity under the tier that was taken."""
    worst, scan = found.worst, found.scan
    first_new = len(found.design.weeks) - found.new_weeks
    said = [TIERS[found.tier]]
    if found.moves:
        said.append(f"maps: {', '.join(found.moves)}")
    if found.restated:
        said.append(f"restated weeks: {', '.join(week.isoformat() for week in found.restated[:8])}")
    if found.inputs_changed:
        said.append("media, controls or prices of weeks that the fit saw were restated")
    if found.new_tests:
        said.append(f"new lift tests: {', '.join(found.new_tests)}")
    return _row(
        as_of=as_of,
        method=found.method,
        tier=found.tier,
        **_figures(found.first),
        drift_flag=found.drift,
        worst_functional=worst.name if worst else None,
        functional_k_hat=_finite(worst.k_hat) if worst else None,
        functional_ess=min(one.ess for one in found.published) if found.published else None,
        roi_shift_sd=found.shift_sd,
        new_weeks=found.new_weeks,
        restated_weeks=len(found.restated),
        new_tests=len(found.new_tests),
        break_score=scan.score,
        break_threshold=scan.threshold,
        break_p_value=scan.p_value,
        break_from=None if scan.start is None or not scan.alarm else found.design.weeks[first_new + scan.start],
        fitted_until=found.fitted_until,
        seconds=found.seconds,
        detail="; ".join(said),
        channels=_channels(found.design, found.published, found.stale),
    )


def fitted_row(
    as_of: date, found: tuple[Update, int] | None, design: Design, quantities: tuple[Functional, ...], seconds: float
) -> pl.DataFrame:
    """The row of a panel that the last full fit has seen all of; k-hat is of the newest back-test, if there is one."""
    update, weeks = found if found is not None else (None, 0)
    return _row(
        as_of=as_of,
        method="refit",
        tier=4,
        **(_figures(update) if update else {}),
        drift_flag=None if update is None else not update.k_hat <= update.good_k,
        roi_shift_sd=0.0,
        new_weeks=weeks,
        restated_weeks=0,
        new_tests=0,
        fitted_until=as_of,
        seconds=seconds,
        detail="the last full fit has seen all weeks; k-hat is of its newest back-test"
        if update
        else "the last full fit has seen all weeks; there is no back-test",
        channels=_channels(design, quantities, quantities),
    )


def impossible_row(as_of: date, fitted_until: date, reason: str) -> pl.DataFrame:
    """The row of a panel that the stored posterior cannot be held against."""
    return _row(
        as_of=as_of, method="refit", tier=4, fitted_until=fitted_until, detail=f"unknown: {reason}", channels=[]
    )


def channel_update(monitor: pl.DataFrame) -> pl.DataFrame:
    """The table `causal/channel_update` from the newest row of `causal/monitor`.

    Without a trusted update the fresh columns are null. `roi` columns are null where revenue or spend is unknown; then
    `contribution` columns say the same, in revenue where known and else in outcome.
    """
    schema = table("causal/channel_update").columns | dict.fromkeys(VALUES, pl.Float64()) | {"tier": pl.Int64()}
    if monitor.is_empty() or "channels" not in monitor.columns:
        return pl.DataFrame(schema=schema)
    newest = monitor.sort("as_of").row(-1, named=True)
    said = {name: newest[name] for name in ("as_of", "method", "tier")}
    rows = [said | dict(channel) for channel in newest["channels"] or []]
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def _row(**values: Any) -> pl.DataFrame:
    return pl.DataFrame([{name: values.get(name) for name in SCHEMA}], schema=SCHEMA)


def _figures(update: Update) -> dict[str, float | None]:
    return {"k_hat": _finite(update.k_hat), "ess": update.ess, "good_k": update.good_k, "draws": update.draws}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _channels(
    design: Design, fresh: tuple[Functional, ...] | None, stale: tuple[Functional, ...]
) -> list[dict[str, object]]:
    rows = []
    for c, old in enumerate(stale):
        if old.name == TOTAL:
            continue
        name = "roi" if is_roi(design, c) else "contribution"
        row: dict[str, object] = dict.fromkeys((*VALUES, *FIGURES)) | {"channel": old.name, f"{name}_stale": old.mean}
        if fresh is not None:
            new = fresh[c]
            row |= {name: new.mean, f"{name}_low": new.low, f"{name}_high": new.high}
            row |= {"k_hat": _finite(new.k_hat), "ess": new.ess}
        rows.append(row)
    return rows
