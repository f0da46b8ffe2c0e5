"""What media exposure becomes before it acts: carried over in time, then saturating."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def adstock_weights(retention: FloatArray, max_lag: int) -> FloatArray:
    """Geometric weights of the lags 0..max_lag with unit sum.

    Parameters
    ----------
    retention : (...,), share carried to the next week, in [0, 1)
    max_lag : oldest lag that counts

    Returns
    -------
    (..., max_lag + 1)

    Raises
    ------
    ValueError : a retention outside [0, 1), naming position and value

    Source: Jin et al. (2017), Bayesian methods for media mix modeling with carryover and shape effects.
    """
    retention = np.asarray(retention, dtype=float)
    outside = np.flatnonzero(~((retention >= 0) & (retention < 1)))
    if outside.size:
        position = int(outside[0])
        raise ValueError(f"retention at position {position} is {retention.flat[position]}; it must be in [0, 1)")
    weights = retention[..., None] ** np.arange(max_lag + 1)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), dtype=float)


def lag_tensor(exposure: FloatArray, max_lag: int) -> FloatArray:
    """Exposure beside its own past: (..., n_weeks) -> (..., n_weeks, max_lag + 1); zero before the first week."""
    weeks = exposure.shape[-1]
    lagged = np.zeros((*exposure.shape, max_lag + 1))
    for lag in range(min(max_lag, weeks - 1) + 1):
        lagged[..., lag:, lag] = exposure[..., : weeks - lag]
    return lagged


def geometric_adstock(exposure: FloatArray, retention: FloatArray, max_lag: int) -> FloatArray:
    """Carry-over of exposure, normalised to unit total weight.

    Parameters
    ----------
    exposure : (n_channels, n_geos, n_weeks)
    retention : (n_channels,) or (n_draws, n_channels)

    Returns
    -------
    (n_channels, n_geos, n_weeks), with a leading n_draws when `retention` has one; units of `exposure`
    """
    weights = adstock_weights(retention, max_lag)
    lagged = lag_tensor(exposure, max_lag)
    return np.asarray(np.einsum("cgtl,...cl->...cgt", lagged, weights, optimize=True))


def hill(exposure: FloatArray, half_saturation: FloatArray) -> FloatArray:
    """Hill curve with slope 1, so concave everywhere: x / (x + half_saturation), in [0, 1)."""
    return np.asarray(exposure / (exposure + half_saturation))


def logistic(exposure: FloatArray, rate: FloatArray) -> FloatArray:
    """Logistic saturation (1 - exp(-rate x)) / (1 + exp(-rate x)), in [0, 1)."""
    return np.asarray(np.tanh(rate * exposure / 2))


def saturate(kind: str, exposure: FloatArray, shape: FloatArray) -> FloatArray:
    """The saturation named `hill` or `logistic`; `shape` is its half-saturation point or its rate."""
    if kind == "hill":
        return hill(exposure, shape)
    if kind == "logistic":
        return logistic(exposure, shape)
    raise ValueError(f'saturation "{kind}" is not known: use "hill" or "logistic"')
