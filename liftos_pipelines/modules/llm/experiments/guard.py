"""Guardrails: a variant must not become worse by more than a margin, at whatever look that shows.

Two one-sided sequences on B less (1 + margin) times A, or on B less A with an absolute margin: broken when the harm is
shown to exceed the margin, cleared when it is shown not to, open until then. A quantile is guarded by the sequences of
both arms' quantiles.

Sources: Schuirmann (1987) for non-inferiority by one-sided tests; sequences as in `compare`, `quantiles`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl

from liftos_pipelines.modules.llm.experiments.adaptive import Randomised, weighted_difference
from liftos_pipelines.modules.llm.experiments.compare import (
    BETTING_UNITS,
    PLANNED_UNITS,
    Comparison,
    Verdict,
    bounded_difference,
    distrust,
)
from liftos_pipelines.modules.llm.experiments.difference import difference
from liftos_pipelines.modules.llm.experiments.measured import UNIT, Metric
from liftos_pipelines.modules.llm.experiments.quantiles import quantile_sequence
from liftos_pipelines.modules.llm.experiments.units import Units
from liftos_pipelines.stats import anytime_half_width

GuardStatus = Literal["cleared", "open", "broken", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """`excess` is the harm beyond the margin with bounds that hold at every look, in the metric's unit: above zero is
    broken, below zero cleared."""

    status: GuardStatus
    excess_low: float
    excess_high: float
    reason: str


def guard_mean(
    units: Units,
    metric: Metric,
    *,
    alpha: float,
    planned_units: float = PLANNED_UNITS,
    adaptive: Randomised | None = None,
    arms: tuple[int, int] = (0, 1),
) -> Guarded:
    """Hold B's rate or mean against the metric's margin.

    Parameters
    ----------
    alpha : chance that a guardrail whose harm is just the margin is ever called broken
    """
    if min(units.n_calls) == 0:
        return _unknown(f"no value of {metric.name} in an arm")
    worse = -metric.sign
    scale = 1 + worse * metric.margin if metric.relative else 1.0
    allowed = 0.0 if metric.relative else metric.margin
    doubt = distrust(units, metric, adaptive=adaptive is not None)
    if doubt is not None:
        if not metric.bounded or adaptive is not None or max(units.counts) > BETTING_UNITS:
            return _unknown(doubt)
        bounds = sorted(worse * bound for bound in bounded_difference(units, alpha=2 * alpha, scale=scale))
        return _status(bounds[0] - allowed, bounds[1] - allowed, metric)
    if adaptive is None:
        found = difference(units, scale=scale)
    else:
        found = weighted_difference(adaptive, control=arms[0], other=arms[1], scale=scale)
    if not found.error > 0:
        return _unknown(f"{metric.name} does not vary")
    half = anytime_half_width(found.error, found.effective, alpha=alpha, planned_units=planned_units, one_sided=True)
    harm = worse * found.estimate - allowed
    return _status(harm - half, harm + half, metric)


def guard_quantile(pair: pl.DataFrame, metric: Metric, *, alpha: float) -> tuple[Comparison, Guarded]:
    """Hold a quantile of B's calls against the margin; exact bounds for each arm, at every look.

    Parameters
    ----------
    pair : calls of two arms, with `_arm` 0 or 1, the unit and the metric's column
    """
    known = pair.drop_nulls(metric.column)
    found, sizes, units = [], [], []
    for arm in (0, 1):
        own = known.filter(pl.col("_arm") == arm)
        codes = own[UNIT].rank("dense").cast(pl.Int64).to_numpy()
        values = own[metric.column].cast(pl.Float64).to_numpy()
        sizes.append(values.size)
        units.append(int(np.unique(codes).size))
        found.append(quantile_sequence(values, metric.level, alpha=alpha, clusters=codes))
    (at_a, low_a, high_a), (at_b, low_b, high_b) = found
    described = Comparison(
        estimate=at_b - at_a,
        cs_low=_finite(low_b - high_a),
        cs_high=_finite(high_b - low_a),
        mean_a=at_a,
        mean_b=at_b,
        n_a=sizes[0],
        n_b=sizes[1],
        units=known[UNIT].n_unique(),
        units_a=units[0],
        units_b=units[1],
        method="quantile",
    )
    if min(sizes) == 0:
        return replace(described, reason="no value in an arm"), _unknown(f"no value of {metric.name} in an arm")
    if not np.isfinite([low_a, high_a, low_b, high_b]).all():
        described = replace(described, reason=f"too few calls to bound {metric.name}")
    else:
        overlap, better = low_b <= high_a and low_a <= high_b, metric.sign * (at_b - at_a) > 0
        verdict: Verdict = "open" if overlap else "better" if better else "worse"
        described = replace(described, verdict=verdict, reason=f"the arms' bounds {'overlap' if overlap else 'part'}")
    worse = -metric.sign
    scale = 1 + worse * metric.margin if metric.relative else 1.0
    allowed = 0.0 if metric.relative else metric.margin
    bounds = sorted((worse * (low_b - scale * high_a) - allowed, worse * (high_b - scale * low_a) - allowed))
    return described, _status(bounds[0], bounds[1], metric)


def _status(low: float, high: float, metric: Metric) -> Guarded:
    margin = f"{metric.margin:.0%}" if metric.relative else f"{metric.margin:g}"
    status: GuardStatus = "broken" if low > 0 else "cleared" if high < 0 else "open"
    reason = {
        "broken": f"{metric.name} is worse by more than {margin}",
        "cleared": f"{metric.name} is not worse by more than {margin}",
        "open": f"{metric.name} may still be worse by more than {margin}",
    }[status]
    return Guarded(status=status, excess_low=_finite(low), excess_high=_finite(high), reason=reason)


def _unknown(reason: str) -> Guarded:
    return Guarded(status="unknown", excess_low=float("nan"), excess_high=float("nan"), reason=reason)


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else float("nan")
