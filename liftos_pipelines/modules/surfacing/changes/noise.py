"""How an engine's days differ while nothing changes: sampling noise, carry-over, a day effect common to all brands.

A day's value of a series is a level, a weekday's habit, noise that is new every day (the sample of answers, with
whatever over- or underdispersion the prompts cause) and noise that carries over to the next days (an AR(1)). Brands
share part of their noise: an engine that lists more one day names them all more often. So brands are turned into
their common factor and what remains of each; both kinds have their own carry-over. With tens of brands and weeks of
days, one brand's own carry-over is poorly known: it is estimated on a grid of (share, persistence) with the brands'
pooled posterior as most of its prior.

Arrays may have leading axes (many simulated histories at once); days are the last axis but one, series the last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.stats import FloatArray

Ints = NDArray[np.int64]

LAGS = 10
"""Askings over which carry-over is looked for."""
PERSISTENCE = np.array([0.3, 0.5, 0.65, 0.8, 0.9, 0.96])
"""Grid of the carry-over from one asking to the next at the panel's usual gap."""
SHARES = np.array([0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9])
"""Grid of the share of a series' variance that carries over; no carry-over is a point of its own."""
NO_CARRY_OVER_PRIOR = 1 / 3
POOLED_PRIOR = 0.8
"""Weight of the brands' pooled posterior in the prior of one series."""
INDEPENDENCE = 0.4
"""Share of the information that a lagged correlation holds. Under carry-over its variance exceeds 1/n and neighbouring
lags go together; taken at face value (.8 and above), strong carry-over is believed away in short histories."""
MIN_BRANDS_FOR_COMMON = 3
WEIGHT_RANGE = (0.2, 4.0)
"""No brand counts for nothing or for all in a joint test."""
_GRID_SHARE = np.concatenate([[0.0], np.repeat(SHARES, PERSISTENCE.size)])
_GRID_RHO = np.concatenate([[0], np.tile(np.arange(PERSISTENCE.size), SHARES.size)])
_GRID_PRIOR = np.concatenate(
    [[NO_CARRY_OVER_PRIOR], np.full(_GRID_SHARE.size - 1, (1 - NO_CARRY_OVER_PRIOR) / (_GRID_SHARE.size - 1))]
)


@dataclass(frozen=True, kw_only=True)
class Basis:
    """From raw series to unit-variance ones: brands' common factor first (where there is one), then each series.

    `level`, `scale` : (S,), mean and sd of a day at the usual number of answers; `weekday` : (7, S);
    `loading` : (S,), zero for features; `common_scale`; `rest` : (S,), sd of what the factor leaves;
    `usual` : (S,), usual weight; `names` are those of the columns of `apply`.
    """

    names: tuple[str, ...]
    brands: int
    level: FloatArray
    weekday: FloatArray
    scale: FloatArray
    usual: FloatArray
    loading: FloatArray
    common_scale: float
    rest: FloatArray

    @property
    def has_common(self) -> bool:
        return self.common_scale > 0

    @property
    def score_weights(self) -> FloatArray:
        """Weight of each unit series in a joint test: a brand's sampling variance over the brands' mean, else 1."""
        weights = np.ones(len(self.names))
        first = int(self.has_common)
        worth = ((self.scale * self.rest) ** 2 * self.usual)[: self.brands]
        if self.brands:
            weights[first : first + self.brands] = np.clip(worth / worth.mean(), *WEIGHT_RANGE)
        return weights

    def apply(self, values: FloatArray, weights: FloatArray, weekdays: Ints) -> tuple[FloatArray, FloatArray]:
        """Unit-variance series and their weights relative to usual, (T, U) each; a missing value has weight 0."""
        present = weights > 0
        x = np.where(present, values - self.level - self.weekday[weekdays], 0.0) / self.scale
        relative = np.where(present, weights / self.usual, 0.0)
        if not self.has_common:
            return x, relative
        common = x[:, : self.brands].mean(axis=1, keepdims=True) / self.common_scale
        left = np.where(present, x - common * self.loading, 0.0) / self.rest
        shared = relative[:, : self.brands].mean(axis=1, keepdims=True)
        return np.concatenate([common, left], axis=1), np.concatenate([shared, relative], axis=1)


@dataclass(frozen=True, kw_only=True)
class CarryOver:
    """Posterior of carry-over on the grid.

    `pooled` : (..., G), of the brands together; `each` : (..., U, G); `likelihood` : (..., U, G), scaled to maximum 1;
    `is_brand` : (U,), whether the pooled posterior is a series' prior (the common factor and features have their own).
    """

    pooled: FloatArray
    each: FloatArray
    likelihood: FloatArray
    is_brand: NDArray[np.bool_]

    def shares(self) -> FloatArray:
        """Expected share of variance carried over at each persistence, (..., U, len(PERSISTENCE))."""
        by_share = (self.each * _GRID_SHARE)[..., 1:]
        return np.asarray(by_share.reshape(*by_share.shape[:-1], SHARES.size, PERSISTENCE.size).sum(axis=-2))

    def draw(self, rng: np.random.Generator, n: int) -> tuple[FloatArray, Ints]:
        """Share and persistence index of every series in `n` plausible engines, (n, U) each."""
        together = rng.choice(_GRID_SHARE.size, size=n, p=self.pooled / self.pooled.sum())
        own = _GRID_PRIOR * self.likelihood
        own_weight = (1 - POOLED_PRIOR) * own.sum(axis=1)
        pooled_weight = POOLED_PRIOR * self.likelihood[:, together].T
        follows = rng.random(pooled_weight.shape) * (pooled_weight + own_weight) < pooled_weight
        follows &= self.is_brand
        steps = np.cumsum(own, axis=1)
        alone = (rng.random((n, own.shape[0], 1)) * steps[:, -1:] > steps).sum(axis=2)
        grid = np.where(follows, together[:, None], np.minimum(alone, _GRID_SHARE.size - 1))
        return _GRID_SHARE[grid], _GRID_RHO[grid]


def find_basis(
    values: FloatArray,
    weights: FloatArray,
    segments: Ints,
    weekdays: Ints,
    names: tuple[str, ...],
    brands: int,
    *,
    daily: bool,
) -> Basis:
    """Levels, weekday habits, spreads and common factor of one engine's history.

    Parameters
    ----------
    values, weights : (T, S); a missing value has weight 0
    segments : (T, S), a number that rises where a series is known to have changed its level
    weekdays : (T,), 0 for Monday
    daily : whether weekdays can have habits at all (asked on most days, for weeks)
    """
    usual = np.array([np.median(column[column > 0]) for column in weights.T])
    d, level = demean(values, weights, segments)
    weekday = _weekday_habits(d, weights, weekdays) if daily else np.zeros((7, values.shape[1]))
    d = np.where(weights > 0, d - weekday[weekdays], 0.0)
    n = (weights > 0).sum(axis=0)
    dof = np.maximum(n - 1 - (6 if daily and weekday.any() else 0), 1)
    relative = weights / usual
    scale = np.sqrt((d**2 * relative).sum(axis=0) / dof)
    x = d / scale
    loading, rest, common_scale = np.zeros(x.shape[1]), np.ones(x.shape[1]), 0.0
    if brands >= MIN_BRANDS_FOR_COMMON:
        common = x[:, :brands].mean(axis=1)
        share = relative[:, :brands].mean(axis=1)
        common_scale = float(np.sqrt((common**2 * share).sum() / dof[0]))
        common = common / common_scale
        loading[:brands] = (x[:, :brands] * (common * share)[:, None]).sum(axis=0) / (common**2 * share).sum()
        left = x[:, :brands] - common[:, None] * loading[:brands]
        rest[:brands] = np.sqrt((left**2 * relative[:, :brands]).sum(axis=0) / np.maximum(dof[:brands] - 1, 1))
        rest[:brands] = np.maximum(rest[:brands], 0.05)
    return Basis(
        names=(("common factor",) if common_scale else ()) + names,
        brands=brands,
        level=level,
        weekday=weekday,
        scale=scale,
        usual=usual,
        loading=loading,
        common_scale=common_scale,
        rest=rest,
    )


def demean(values: FloatArray, weights: FloatArray, segments: Ints) -> tuple[FloatArray, FloatArray]:
    """Deviations from each segment's weighted mean (0 where missing), and the newest segment's mean."""
    d = np.zeros_like(values)
    level = np.zeros(values.shape[1])
    for part in range(int(segments.min()), int(segments.max()) + 1):
        inside = (segments == part) * weights
        total = inside.sum(axis=0)
        mean = (np.nan_to_num(values) * inside).sum(axis=0) / np.maximum(total, 1e-12)
        d += np.where(inside > 0, np.nan_to_num(values) - mean, 0.0)
        level = np.where(total > 0, mean, level)
    return d, level


def _weekday_habits(d: FloatArray, weights: FloatArray, weekdays: Ints) -> FloatArray:
    """Deviation of each weekday, (7, S), shrunk towards none by how far it exceeds what chance gives.

    F compares the spread of weekday means with the spread of days. All series together, or one alone, must show
    more than chance does; then the positive-part rule 1 - 1/F shrinks (James and Stein 1961, in its F form).
    """
    means, counts = np.zeros((7, d.shape[1])), np.zeros((7, d.shape[1]))
    for day in range(7):
        inside = weights * (weekdays == day)[:, None]
        counts[day] = (inside > 0).sum(axis=0)
        means[day] = (d * inside).sum(axis=0) / np.maximum(inside.sum(axis=0), 1e-12)
    seen = np.maximum((counts > 0).sum(axis=0) - 1, 1)
    fitted = means[weekdays]
    left = ((d - fitted) ** 2 * (weights > 0)).sum(axis=0) / np.maximum(counts.sum(axis=0) - 7, 1)
    f = (counts * means**2).sum(axis=0) / seen / np.maximum(left, 1e-12)
    together = float(f.mean())
    pooled = 1 - 1 / together if together > 1 + 4 * np.sqrt(2 / (6 * f.size)) else 0.0
    alone = np.where(f > 1 + 5 * np.sqrt(2 / 6), 1 - 1 / np.maximum(f, 1.0), 0.0)
    return np.asarray(np.maximum(pooled, alone) * means)


def expected_correlation(days: Ints, gap: float) -> FloatArray:
    """Lagged correlations that each grid point predicts for a demeaned history, (G, LAGS).

    A sample's deviations from its own mean correlate less than the process does, by the variance of that mean.
    """
    n = days.size
    lags = min(LAGS, n - 2)
    apart = np.abs(days[:, None] - days[None, :]) / gap
    predicted = np.zeros((_GRID_SHARE.size, LAGS))
    for r, rho in enumerate(PERSISTENCE):
        power = rho**apart
        of_mean = power.mean()
        at_lag = np.array([np.diagonal(power, k).mean() for k in range(1, lags + 1)])
        for g in np.flatnonzero(r == _GRID_RHO):
            share = _GRID_SHARE[g]
            zero = share * (1 - of_mean) + (1 - share) * (1 - 1 / n)
            predicted[g, :lags] = (share * (at_lag - of_mean) - (1 - share) / n) / zero
    return predicted


def lagged_correlation(x: FloatArray) -> FloatArray:
    """(..., U, LAGS) of demeaned unit-variance series (..., T, U)."""
    n = x.shape[-2]
    result = np.zeros((*x.shape[:-2], x.shape[-1], LAGS), dtype=x.dtype)
    zero = np.einsum("...tu,...tu->...u", x, x) / n
    for k in range(1, min(LAGS, n - 2) + 1):
        product = np.einsum("...tu,...tu->...u", x[..., k:, :], x[..., :-k, :]) / (n - k)
        result[..., k - 1] = product / np.maximum(zero, 1e-12)
    return result


def carry_over(correlation: FloatArray, predicted: FloatArray, n: int, own: slice) -> CarryOver:
    """Posterior of carry-over from lagged correlations; the columns `own` (brands) are pooled.

    A lagged correlation of n days is about normal with variance 1/n (Bartlett 1946).
    """
    information = n * INDEPENDENCE
    fit = correlation @ predicted.T.astype(correlation.dtype) - 0.5 * (predicted**2).sum(axis=1).astype(
        correlation.dtype
    )
    log_each = information * fit
    log_pooled = INDEPENDENCE * log_each[..., own, :].sum(axis=-2) + np.log(_GRID_PRIOR)
    pooled = np.exp(log_pooled - log_pooled.max(axis=-1, keepdims=True))
    pooled /= pooled.sum(axis=-1, keepdims=True)
    likelihood = np.exp(log_each - log_each.max(axis=-1, keepdims=True))
    prior = np.broadcast_to(_GRID_PRIOR.astype(likelihood.dtype), likelihood.shape).copy()
    prior[..., own, :] = POOLED_PRIOR * pooled[..., None, :] + (1 - POOLED_PRIOR) * _GRID_PRIOR
    each = prior * likelihood
    each /= each.sum(axis=-1, keepdims=True)
    is_brand = np.zeros(likelihood.shape[-2], dtype=bool)
    is_brand[own] = True
    return CarryOver(pooled=pooled, each=each, likelihood=likelihood, is_brand=is_brand)
