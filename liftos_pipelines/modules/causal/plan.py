"""The same budget, better spread: a bounded reallocation on the posterior mean of the response."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.results import Fitted, interval, response_at
from liftos_pipelines.modules.causal.transforms import FloatArray
from liftos_pipelines.tables import ALL, table

GRID = 13
"""Points at which each channel's response is computed; between them it is interpolated."""
STARTS = 8
MOST_DRAWS = 500


class PlanError(RuntimeError):
    """No allocation was found; the message says what the optimiser reported."""


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """`scales` (n_channels,) multiples of current spend, each within `low` and `high`."""

    scales: FloatArray
    low: FloatArray
    high: FloatArray


def allocate(
    spend: FloatArray, low: FloatArray, high: FloatArray, grid: FloatArray, mean: FloatArray, *, seed: int
) -> Allocation:
    """Maximise total response at fixed total spend by SLSQP from several starts.

    Parameters
    ----------
    spend : (n_channels,), current, > 0
    low, high : (n_channels,), bounds of the multiples; 1 lies within
    grid : (n_channels, n_points), multiples; mean : (n_channels, n_points), response there

    Raises
    ------
    PlanError : no start converged to a feasible point
    """
    from scipy.interpolate import PchipInterpolator
    from scipy.optimize import LinearConstraint, minimize

    curves = [PchipInterpolator(points, values) for points, values in zip(grid, mean, strict=True)]
    slopes = [curve.derivative() for curve in curves]
    unit = float(sum(curve(1.0) for curve in curves)) or 1.0
    share = spend / spend.sum()

    def loss(scales: FloatArray) -> float:
        return -float(sum(curve(scale) for curve, scale in zip(curves, scales, strict=True))) / unit

    def gradient(scales: FloatArray) -> FloatArray:
        return -np.array([float(slope(scale)) for slope, scale in zip(slopes, scales, strict=True)]) / unit

    rng = np.random.default_rng(seed)
    now = np.ones_like(spend)
    starts = [now, *(_project(rng.uniform(low, high), share, low, high) for _ in range(STARTS - 1))]
    best, found = now, loss(now)
    reports = []
    for start in starts:
        solution = minimize(
            loss,
            start,
            jac=gradient,
            method="SLSQP",
            bounds=list(zip(low, high, strict=True)),
            constraints=LinearConstraint(share, 1.0, 1.0),
            options={"ftol": 1e-12, "maxiter": 300},
        )
        reports.append(str(solution.message))
        scales = _project(np.asarray(solution.x), share, low, high)
        if solution.success and loss(scales) < found:
            best, found = scales, loss(scales)
    if not any("success" in report.lower() for report in reports):
        raise PlanError(f"the optimiser converged from none of {STARTS} starts: {'; '.join(sorted(set(reports)))}")
    return Allocation(scales=best, low=low, high=high)


def _project(scales: FloatArray, share: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """The nearest multiples within the bounds whose spend is the budget, by bisection on a common shift."""
    below, above = -2.0, 2.0
    for _ in range(100):
        shift = (below + above) / 2
        if float(share @ np.clip(scales + shift, low, high)) > 1.0:
            above = shift
        else:
            below = shift
    return np.clip(scales + (below + above) / 2, low, high)


def budget_plan(fitted: Fitted, *, plan_weeks: int, band: float, seed: int) -> pl.DataFrame:
    """The table `causal/budget_plan` for the newest `plan_weeks`, one row a paid channel and one for `all`.

    The total stays fixed; each channel moves by at most `band`, and never so far that its mean week would exceed its
    highest observed week. Where no better allocation is found, the plan is the current one. Extra columns: scale,
    bound (lower, upper, observed, none), probability_better, unit, weeks.

    Raises
    ------
    PlanError : the optimiser failed
    """
    design, draws = fitted.design, fitted.draws.thin(MOST_DRAWS)
    weeks = min(plan_weeks, len(design.weeks))
    totals = design.spend[: design.paid, :, -weeks:].sum(axis=(1, 2))
    channels = [c for c in range(design.paid) if totals[c] > 0]
    if not channels:
        return table("causal/budget_plan").empty()
    spend = totals[channels]
    highest = design.spend[channels].sum(axis=1).max(axis=1)
    observed = highest / (spend / weeks)
    low, high = np.full(len(channels), 1 - band), np.minimum(1 + band, observed)
    grid = np.stack([np.linspace(a, b, GRID) for a, b in zip(low, high, strict=True)])
    responses = np.stack(
        [
            np.stack([response_at(fitted, draws, c, float(scale), weeks) for scale in points], axis=1)
            for c, points in zip(channels, grid, strict=True)
        ]
    )
    chosen = allocate(spend, low, high, grid, responses.mean(axis=1), seed=seed)
    now = np.stack([response_at(fitted, draws, c, 1.0, weeks) for c in channels])
    planned = np.stack(
        [response_at(fitted, draws, c, float(scale), weeks) for c, scale in zip(channels, chosen.scales, strict=True)]
    )
    scales = chosen.scales
    if planned.sum(axis=0).mean() < now.sum(axis=0).mean():  # interpolation promised what the model does not keep
        scales, planned = np.ones_like(scales), now
    rows = [
        _row(design.channels[c], spend[i], spend[i] * scales[i], now[i], planned[i])
        | {"scale": float(scales[i]), "bound": _bound(scales[i], low[i], high[i], observed[i])}
        for i, c in enumerate(channels)
    ]
    total = _row(ALL, spend.sum(), spend @ scales, now.sum(axis=0), planned.sum(axis=0))
    rows.append(total | {"scale": 1.0, "bound": "fixed"})
    unit = "revenue" if design.money else "outcome"
    return pl.DataFrame(rows).with_columns(unit=pl.lit(unit), weeks=pl.lit(weeks))


def _row(name: str, spend: float, planned_spend: float, now: FloatArray, planned: FloatArray) -> dict[str, object]:
    mean, low, high = interval(planned - now)
    return {
        "channel": name,
        "spend_current": float(spend),
        "spend_planned": float(planned_spend),
        "response_current": float(now.mean()),
        "response_planned": float(planned.mean()),
        "uplift": mean,
        "uplift_low": low,
        "uplift_high": high,
        "probability_better": float((planned > now).mean()),
    }


def _bound(scale: float, low: float, high: float, observed: float) -> str:
    if scale <= low + 1e-6:
        return "lower"
    if scale >= high - 1e-6:
        return "observed" if observed <= high + 1e-9 else "upper"
    return "none"
