"""Whether draws of an old posterior stand for a new one, and how well: Pareto-smoothed importance weights.

Small k-hat and many effective draws mean that reweighting the stored draws gives what a refit would give; a large k-hat
says that the draws do not reach where the posterior has moved. Both are asked of the weights and of every quantity that
is published from them. Source: Vehtari et al. (2024), Pareto smoothed importance sampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liftos_pipelines.modules.causal.engine.transforms import FloatArray

ESS_FLOOR = 400.0
LEAST_DRAWS = 100


@dataclass(frozen=True, kw_only=True)
class Update:
    """`weights` (n_draws,) sum to 1; `trusted` when a reweighted posterior may be published without a refit."""

    k_hat: float
    ess: float
    good_k: float
    weights: FloatArray
    draws: int

    @property
    def trusted(self) -> bool:
        return self.k_hat <= self.good_k and self.ess >= ESS_FLOOR


@dataclass(frozen=True, kw_only=True)
class Functional:
    """A published quantity under weights: `mean`, `sd` and a 90 % interval; `k_hat` and `ess` of its own."""

    name: str
    mean: float
    sd: float
    low: float
    high: float
    k_hat: float
    ess: float

    def trusted(self, good_k: float) -> bool:
        return self.k_hat <= good_k and self.ess >= ESS_FLOOR


def good_k(draws: int) -> float:
    """Largest k-hat at which weights of that many draws may be trusted."""
    return float(min(1 - 1 / np.log10(draws), 0.7))


def importance_update(log_ratio: FloatArray) -> Update:
    """Smoothed weights of draws.

    Parameters
    ----------
    log_ratio : (n_draws,), log of new over old density at each draw, up to a constant; minus infinity allowed

    Raises
    ------
    ValueError : fewer than 100 draws: the tail of the weights cannot be fitted
    """
    draws = len(log_ratio)
    if draws < LEAST_DRAWS:
        raise ValueError(f"{draws} draws: at least {LEAST_DRAWS} are needed")
    weights, k_hat = _smoothed(log_ratio)
    return Update(
        k_hat=k_hat, ess=float(1 / np.square(weights).sum()), good_k=good_k(draws), weights=weights, draws=draws
    )


def functional(name: str, values: FloatArray, update: Update, log_ratio: FloatArray) -> Functional:
    """A quantity under weights, and whether the weights are good enough for it.

    k-hat is that of weight times quantity, as its mean needs it: weights may be mild and yet all the tail of a
    quantity lie in a few draws. The effective size is the variance over the squared Monte Carlo error of the mean.

    Parameters
    ----------
    values : (n_draws,), not negative
    log_ratio : (n_draws,), the ratio that `update` smoothed
    """
    weights = update.weights
    mean = float(weights @ values)
    deviation = values - mean
    variance = float(weights @ deviation**2)
    error = float(np.square(weights * deviation).sum())
    low, high = weighted_quantiles(values, weights, (0.05, 0.95))
    _, k_hat = _smoothed(log_ratio + np.log(np.maximum(np.abs(values), 1e-300)))
    return Functional(
        name=name,
        mean=mean,
        sd=float(np.sqrt(variance)),
        low=low,
        high=high,
        k_hat=k_hat,
        ess=variance / error if error > 0 else float(len(values)),
    )


def weighted_quantiles(values: FloatArray, weights: FloatArray, probabilities: tuple[float, ...]) -> list[float]:
    """Quantiles of a weighted sample, each draw standing in the middle of its weight."""
    order = np.argsort(values)
    place = np.cumsum(weights[order]) - 0.5 * weights[order]
    return [float(q) for q in np.interp(probabilities, place, values[order])]


def _smoothed(log_ratio: FloatArray) -> tuple[FloatArray, float]:
    """Normalised smoothed weights and k-hat; equal weights need no smoothing."""
    import arviz as az

    top = np.max(log_ratio)
    if not np.isfinite(top):
        return np.full(len(log_ratio), 1 / len(log_ratio)), float("inf")
    if np.ptp(log_ratio) < 1e-9:
        return np.full(len(log_ratio), 1 / len(log_ratio)), float("-inf")
    # Draws where the new density is nothing weigh nothing; the smoothing needs numbers.
    smoothed, k_hat = az.psislw(np.maximum(log_ratio - top, -700.0))
    weights = np.exp(np.asarray(smoothed, dtype=float))
    return weights / weights.sum(), float(k_hat)
