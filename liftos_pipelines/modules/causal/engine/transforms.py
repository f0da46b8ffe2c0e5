"""What media exposure becomes before it acts: carried over in time and saturating, by family.

Each family states its parameters and their priors (`CARRY`, `CURVE`); numpy versions serve posterior draws, the fused
kernel (`kernel`) and the PyMC graph (`model`) repeat them and are held equal by test.

Sources: Jin et al. (2017), Bayesian methods for media mix modeling with carryover and shape effects (geometric,
delayed, Hill); Google Meridian (2024) for binomial carry-over; Weibull carry-over as in Robyn (2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Carry = Literal["geometric", "delayed", "weibull_pdf", "weibull_cdf", "binomial", "none"]
Curve = Literal["hill", "logistic", "michaelis_menten", "tanh", "none"]


@dataclass(frozen=True)
class Shape:
    """A parameter of a family: `share` in (0, 1) with a Beta(a, b) prior, `positive` with LogNormal(a, b)."""

    name: str
    support: Literal["share", "positive"]
    a: float
    b: float


_RETENTION = Shape("retention", "share", 1.0, 1.0)
_WEIBULL = (
    Shape("weibull_shape", "positive", float(np.log(1.5)), 0.5),
    Shape("weibull_scale", "positive", float(np.log(2.0)), 0.7),
)
_HALF = Shape("half_saturation", "positive", float(np.log(0.9)), 0.7)
SLOPE = Shape("slope", "positive", 0.0, 0.5)
"""Of a Hill curve whose slope is free; above 1 the curve is S-shaped."""

CARRY: dict[str, tuple[Shape, ...]] = {
    "none": (),
    "geometric": (_RETENTION,),
    "delayed": (_RETENTION, Shape("delay", "share", 1.0, 3.0)),
    "weibull_pdf": _WEIBULL,
    "weibull_cdf": _WEIBULL,
    "binomial": (_RETENTION,),
}
"""`delay` is the lag of the peak as a share of `max_lag`; Weibull scale in weeks."""
CURVE: dict[str, tuple[Shape, ...]] = {
    "none": (),
    "hill": (_HALF, SLOPE),
    "michaelis_menten": (_HALF,),
    "logistic": (Shape("rate", "positive", float(np.log(1.2)), 0.7),),
    "tanh": (Shape("scale", "positive", float(np.log(1.0 / 0.6)), 0.7),),
}
"""In units of the channel's median positive exposure. Michaelis-Menten is the Hill curve of slope 1."""
CARRY_CODE = {name: code for code, name in enumerate(CARRY)}
CURVE_CODE = {name: code for code, name in enumerate(CURVE)}
TINY = 1e-12


def carry_weights(kind: Carry, first: FloatArray, second: FloatArray, max_lag: int) -> FloatArray:
    """Weights of the lags 0..max_lag with unit sum.

    Parameters
    ----------
    first, second : (...,), the family's parameters (see `CARRY`); ignored where it has none
    max_lag : oldest lag that counts

    Returns
    -------
    (..., max_lag + 1)
    """
    first, second = np.asarray(first, dtype=float)[..., None], np.asarray(second, dtype=float)[..., None]
    lag = np.arange(max_lag + 1.0)
    if kind == "none":
        log = np.broadcast_to(np.where(lag > 0, -np.inf, 0.0), np.broadcast_shapes(first.shape, lag.shape))
    elif kind == "geometric":
        log = lag * np.log(np.maximum(first, TINY))
    elif kind == "delayed":
        log = (lag - second * max_lag) ** 2 * np.log(np.maximum(first, TINY))
    elif kind == "binomial":
        log = (1 / np.maximum(first, TINY) - 1) * np.log1p(-lag / (max_lag + 1))
    elif kind == "weibull_pdf":
        place = np.log((lag + 1) / second)
        log = (first - 1) * place - np.exp(np.minimum(first * place, 700.0))
    elif kind == "weibull_cdf":
        # A product of survival shares: lag 0 keeps all, each further week what outlives it.
        powers = np.exp(np.minimum(first * np.log(np.maximum(lag, TINY) / second), 700.0))
        log = -np.cumsum(np.where(lag > 0, powers, 0.0), axis=-1)
    else:
        raise ValueError(f'adstock "{kind}" is not known: use one of {", ".join(CARRY)}')
    weights = np.exp(log - log.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), dtype=float)


def saturate(kind: Curve, exposure: FloatArray, first: FloatArray, second: FloatArray | float = 1.0) -> FloatArray:
    """Response to exposure by family; increasing and 0 at 0, below 1 except for `none`, which is linear."""
    if kind == "none":
        return np.asarray(exposure, dtype=float)
    if kind == "michaelis_menten":
        return np.asarray(exposure / (exposure + first))
    if kind == "hill":
        if np.all(np.asarray(second) == 1.0):
            return np.asarray(exposure / (exposure + first))
        with np.errstate(divide="ignore"):
            power = np.exp(np.minimum(second * np.log(np.maximum(exposure, 0.0) / first), 700.0))
        return np.asarray(power / (1 + power))
    if kind == "logistic":
        return np.asarray(np.tanh(first * exposure / 2))
    if kind == "tanh":
        return np.asarray(np.tanh(exposure / first))
    raise ValueError(f'saturation "{kind}" is not known: use one of {", ".join(CURVE)}')


def lag_tensor(exposure: FloatArray, max_lag: int) -> FloatArray:
    """Exposure beside its own past: (..., n_weeks) -> (..., n_weeks, max_lag + 1); zero before the first week."""
    weeks = exposure.shape[-1]
    lagged = np.zeros((*exposure.shape, max_lag + 1))
    for lag in range(min(max_lag, weeks - 1) + 1):
        lagged[..., lag:, lag] = exposure[..., : weeks - lag]
    return lagged


def geometric_adstock(exposure: FloatArray, retention: FloatArray, max_lag: int) -> FloatArray:
    """Geometric carry-over, normalised to unit total weight.

    Parameters
    ----------
    exposure : (n_channels, n_geos, n_weeks)
    retention : (n_channels,) or (n_draws, n_channels), in [0, 1)

    Returns
    -------
    (n_channels, n_geos, n_weeks), with a leading n_draws when `retention` has one; units of `exposure`

    Raises
    ------
    ValueError : a retention outside [0, 1), naming position and value
    """
    retention = np.asarray(retention, dtype=float)
    outside = np.flatnonzero(~((retention >= 0) & (retention < 1)))
    if outside.size:
        position = int(outside[0])
        raise ValueError(f"retention at position {position} is {retention.flat[position]}; it must be in [0, 1)")
    weights = carry_weights("geometric", retention, retention, max_lag)
    return np.asarray(np.einsum("cgtl,...cl->...cgt", lag_tensor(exposure, max_lag), weights, optimize=True))
