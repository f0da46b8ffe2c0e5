"""The difference of two arms where the shares moved with the results: by inverse propensities, doubly robust.

Plain means are biased there, since an arm that was unlucky early is asked less. Each unit's score is unbiased given all
that came before it, so that the scores form a martingale and their mean has an asymptotic confidence sequence. It
holds if the logged propensities are those that were used and stay above a floor; outcome models only narrow it.

Sources: Robins, Rotnitzky and Zhao (1994) for the score; Waudby-Smith et al. (2021), section on martingale dependence,
and Bibaut et al. (2021) for sequential inference with it. Weights that stabilise the variance further (Hadad et al.,
2021) are not used: a propensity floor of ten per cent bounds what they could gain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.llm.experiments.difference import UNKNOWN, Difference
from liftos_pipelines.modules.llm.experiments.measured import CALL_UNIT, Metric
from liftos_pipelines.stats import FloatArray

DIFFERENT = 1e-6


@dataclass(frozen=True, kw_only=True)
class Randomised:
    """Units in the order they came: arm chosen first, with what probability, and the mean of the metric.

    Attributes
    ----------
    arms, propensities, outcomes : (n_units,); arm -1 is one outside the comparison
    left_out : units whose propensity is not known
    """

    arms: NDArray[np.int64]
    propensities: FloatArray
    outcomes: FloatArray
    left_out: int


def is_adaptive(calls: pl.DataFrame, arm: str) -> bool:
    """Whether the logged propensities of any arm changed over time."""
    spread = (
        calls.drop_nulls(["_propensity", arm])
        .group_by(arm)
        .agg((pl.col("_propensity").max() - pl.col("_propensity").min()).alias("spread"))
    )
    return bool((spread["spread"] > DIFFERENT).any())


def randomised(calls: pl.DataFrame, arm: str, arms: list[str], metric: Metric | None) -> Randomised:
    """Each unit once, by its first call; its outcome is the mean over its calls in that arm."""
    first = calls.with_columns(pl.col(arm).first().over(CALL_UNIT).alias("_first"))
    value = pl.lit(0.0) if metric is None else pl.col(metric.column).cast(pl.Float64)
    by_unit = (
        first.filter(pl.col(arm) == pl.col("_first"))
        .group_by(CALL_UNIT, maintain_order=True)
        .agg(pl.col("_first").first(), pl.col("_propensity").first(), value.mean().alias("_outcome"))
        .drop_nulls("_outcome")
    )
    known = by_unit.drop_nulls("_propensity")
    position = {name: k for k, name in enumerate(arms)}
    codes = known["_first"].replace_strict(position, default=-1, return_dtype=pl.Int64)
    return Randomised(
        arms=codes.to_numpy(),
        propensities=known["_propensity"].to_numpy(),
        outcomes=known["_outcome"].to_numpy(),
        left_out=by_unit.height - known.height,
    )


def weighted_difference(units: Randomised, *, control: int = 0, other: int = 1, scale: float = 1.0) -> Difference:
    """Mean outcome of one arm less `scale` times another's, each unit counting once, from scores of past data only.

    Parameters
    ----------
    units : all units of the experiment, also those of further arms
    control, other : positions of the arms
    """
    a, b = units.arms == control, units.arms == other
    n = units.arms.size
    if min(a.sum(), b.sum()) < 2:
        return UNKNOWN
    y, weight = units.outcomes, 1 / units.propensities
    expected_a, expected_b = _mean_before(y, a), _mean_before(y, b)
    scores = (
        expected_b
        - scale * expected_a
        + np.where(b, weight * (y - expected_b), 0.0)
        - scale * np.where(a, weight * (y - expected_a), 0.0)
    )
    estimate = float(scores.mean())
    variance = float(((scores - estimate) ** 2).sum()) / (n - 1)
    error = float(np.sqrt(variance / n))
    even = 2 * float(y[b].var(ddof=1) + scale**2 * y[a].var(ddof=1))
    return Difference(
        estimate=estimate,
        error=error,
        freedom=float(n - 1),
        effective=n * variance / even if even > 0 else 0.0,
    )


def _mean_before(values: FloatArray, member: NDArray[np.bool_]) -> FloatArray:
    """Mean of an arm's values before each unit; of none, the mean of everything before, else zero."""
    sums = np.concatenate([[0.0], np.cumsum(np.where(member, values, 0.0))[:-1]])
    counts = np.concatenate([[0], np.cumsum(member)[:-1]])
    everything = np.concatenate([[0.0], np.cumsum(values)[:-1]]) / np.maximum(np.arange(values.size), 1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), everything)
