"""Past experiments held against the panel: is the lift that was reported the one that the panel shows?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from liftos_pipelines.modules.causal.experiments.contrast import contrast_weights
from liftos_pipelines.modules.causal.experiments.geo_panel import (
    MAX_PRE_WEEKS,
    MIN_PRE_WEEKS,
    ExperimentError,
    FloatArray,
    GeoPanel,
    Placed,
    geo_panel,
    place,
)
from liftos_pipelines.modules.causal.experiments.readout import METHODS, Readout, read_placed

YES, NO, UNKNOWN = "yes", "no", "unknown"
LIKE = 0.5
"""The money that set the groups apart may differ from the money reported by this share of it, and no more."""
OFF = 0.1
"""Below this share of the spend before, the channel was off in the test."""
LEVEL = 0.9


@dataclass(frozen=True, kw_only=True)
class Verdict:
    agrees: str
    detail: str


def past_experiments(panel_frame: pl.DataFrame, experiments: pl.DataFrame, *, seed: int = 0) -> pl.DataFrame:
    """Two rows an experiment, one a method; effect and interval null where they could not be had, with the reason.

    Parameters
    ----------
    panel_frame : `causal/panel`; experiments : `sources/experiments`
    """
    rows = []
    for test in experiments.sort("experiment_id").iter_rows(named=True):
        for method in METHODS:
            row: dict[str, Any] = dict.fromkeys(_SCHEMA)
            row |= {
                "experiment_id": test["experiment_id"],
                "channel": test["channel"],
                "method": method,
                "reported_effect": test["incremental_outcome"],
                "reported_std_error": test["std_error"],
            }
            try:
                busy = _other_tests(test, experiments)
                placed, about = _placed(geo_panel(panel_frame, test["channel"]), test, busy)
                found = read_placed(placed, method, seed=seed)
            except ExperimentError as reason:
                row |= {"agrees": UNKNOWN, "detail": str(reason)}
            else:
                money = added_spend(placed)
                verdict = judge(found, test, money, holdout=_is_holdout(placed))
                row |= _numbers(found) | {"added_spend": money, "agrees": verdict.agrees}
                row["detail"] = "; ".join((verdict.detail, about, *found.notes))
            rows.append(row)
    return pl.DataFrame(rows, schema=_SCHEMA)


_SCHEMA: dict[str, pl.DataType] = {
    **dict.fromkeys(("experiment_id", "channel", "method"), pl.String()),
    **dict.fromkeys(
        ("effect", "effect_low", "effect_high", "p_value", "p_placebo", "reported_effect", "reported_std_error"),
        pl.Float64(),
    ),
    **dict.fromkeys(("agrees", "detail"), pl.String()),
    **dict.fromkeys(("lift", "p_time", "pretrend_p", "pre_fit", "placebo_ratio", "added_spend"), pl.Float64()),
    **dict.fromkeys(("n_treated", "n_control", "n_pre", "n_window"), pl.Int64()),
    "inference": pl.String(),
}


def _numbers(found: Readout) -> dict[str, Any]:
    bounded = {"effect_low": found.low, "effect_high": found.high, "lift": found.lift}
    same = ["effect", "p_value", "p_placebo", "p_time", "pretrend_p", "pre_fit", "placebo_ratio", "inference"]
    same += ["n_treated", "n_control", "n_pre", "n_window"]
    finite = {name: value if np.isfinite(value) else None for name, value in bounded.items()}
    return {name: getattr(found, name) for name in same} | finite


def _placed(panel: GeoPanel, test: dict[str, Any], busy: dict[str, str]) -> tuple[Placed, str]:
    """The test on the panel, compared with the weeks in which the channel was dark if it was just before.

    Geos in which another test ran at the time (`busy`: geo to test) are not compared with.
    """
    geos = test["geos"] or []
    if not geos:
        raise ExperimentError("the experiment names no geos: national in scope, the panel has nothing to compare with")
    start, end = _day(test, "start"), _day(test, "end")
    left_out = sorted(set(busy) & set(panel.geos) - set(geos))
    panel = panel.without(left_out)
    about = f"; {', '.join(left_out)} left out, where another test ran" if left_out else ""
    shared = sorted({busy[geo] for geo in geos if geo in busy})
    if shared:
        about += f"; {', '.join(shared)} ran in the same geos at the time, and its effect is in this one's"
    placed = place(panel, geos, start, end)
    dark = _dark_weeks(placed)
    if dark is None or dark >= placed.n_pre:
        return placed, f"compared with the {placed.n_pre} weeks before{about}"
    if dark < MIN_PRE_WEEKS:
        return placed, f"compared with the {placed.n_pre} weeks before, in which the channel ran{about}"
    return place(panel, geos, start, end, pre_weeks=min(dark, MAX_PRE_WEEKS)), (
        f"compared with the {dark} weeks before, in which the channel was dark{about}"
    )


def _other_tests(test: dict[str, Any], experiments: pl.DataFrame) -> dict[str, str]:
    """Geo to the other experiment that ran in it while this one did."""
    at_the_time = experiments.filter(
        (pl.col("experiment_id") != test["experiment_id"])
        & (pl.col("start") <= test["end"])
        & (pl.col("end") >= test["start"])
    )
    return {geo: row["experiment_id"] for row in at_the_time.iter_rows(named=True) for geo in row["geos"] or ()}


def _day(test: dict[str, Any], name: str) -> date:
    value = test[name]
    if not isinstance(value, date):
        raise ExperimentError(f"the experiment has no {name} date")
    return value


def _dark_weeks(placed: Placed) -> int | None:
    """Weeks without spend in any treated geo directly before a test in which there was some; None without spend."""
    if placed.spend is None:
        return None
    spend = placed.spend[placed.treated].sum(axis=0)
    if not spend[placed.n_pre :].sum() > 0:
        return 0
    before = np.flatnonzero(spend[: placed.n_pre] > 0)
    return placed.n_pre - 1 - int(before[-1]) if len(before) else placed.n_pre


def _is_holdout(placed: Placed) -> bool:
    """Whether the test took the channel away: on before, and hardly on in the treated geos during the test."""
    if placed.spend is None:
        return False
    weekly = placed.spend[placed.treated].sum(axis=0)
    before = float(weekly[: placed.n_pre].mean())
    return before > 0 and float(weekly[placed.n_pre :].mean()) < OFF * before


def added_spend(placed: Placed) -> float | None:
    """Spend that set treated and untreated geos apart in the test: the same difference-in-differences, of money."""
    if placed.spend is None:
        return None
    base = placed.base
    per_unit: FloatArray = placed.spend / base[:, None]
    change = per_unit[:, placed.n_pre :].mean(axis=1) - per_unit[:, : placed.n_pre].mean(axis=1)
    weekly = float(contrast_weights(base, placed.treated) @ change)
    return weekly * float(base[placed.treated].sum()) * placed.n_window


def judge(found: Readout, test: dict[str, Any], money: float | None, *, holdout: bool = False) -> Verdict:
    """Whether reported and recomputed effect agree within their 90 % intervals, or why that cannot be said.

    The interval of their difference combines the two as if independent. They stem from the same weeks, so it is
    too wide if anything: a "no" is the safer verdict of the two. A `holdout` loses what the channel brings: a
    positive report of it is held against the loss.
    Source: Zou and Donner (2008), Construction of confidence limits about effect measures (MOVER).
    """
    reported, error = test["incremental_outcome"], test["std_error"]
    if reported is None or error is None or not error > 0:
        return Verdict(agrees=UNKNOWN, detail="no reported effect with a positive standard error")
    if not np.isfinite([found.low, found.high]).all():
        return Verdict(agrees=UNKNOWN, detail="the recomputed effect has no bounds")
    spent, what = test["spend"], ""
    if holdout:
        what = "the channel was off in the test: a holdout, its report turned into a loss; " if reported > 0 else ""
        reported, spent = -abs(reported), None if spent is None else -abs(spent)
    if money is not None and spent is not None and abs(money - spent) > LIKE * abs(spent):
        return Verdict(
            agrees=UNKNOWN,
            detail=f"not the same contrast: {spent:,.0f} was reported as spent, the treated geos differ from the "
            f"others by {money:,.0f}, as the channel ran elsewhere or before too",
        )
    reach = float(stats.norm.ppf(0.5 + LEVEL / 2)) * error
    gap = found.effect - reported
    low = gap - float(np.hypot(found.effect - found.low, reach))
    high = gap + float(np.hypot(found.high - found.effect, reach))
    said = f"{what}recomputed less reported is {gap:,.0f} ({low:,.0f} to {high:,.0f})"
    if not low <= 0 <= high:
        return Verdict(agrees=NO, detail=said)
    least, most = sorted((0.0, 2 * reported))
    if found.low <= least and found.high >= most:
        return Verdict(agrees=UNKNOWN, detail=f"{said}: too wide to tell, no effect and twice the effect fit as well")
    return Verdict(agrees=YES, detail=said)
