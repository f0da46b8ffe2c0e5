"""Forms of single channels for the fused kernel: weights of lags and curves, each with its derivatives.

They are the families of `transforms`, whose numpy versions tests hold them to.
"""

from __future__ import annotations

import numba
import numpy as np

from liftos_pipelines.modules.causal.engine.transforms import TINY

FAST = {"reassoc", "contract", "arcp", "nsz"}
"""Sums may be reordered, so that they use the vector unit; NaN and infinity keep their meaning: far out a density is
not finite, which ends the sampler's trajectory there. So division by zero must not raise either (`error_model`)."""


@numba.njit(cache=True, error_model="numpy", inline="always")
def carry(code, first, second, lags, out, d_first, d_second):  # type: ignore[no-untyped-def]
    """Unit-sum weights of the lags and their derivatives by the family's two parameters."""
    last = lags - 1.0
    for lag in range(lags):
        log, d1, d2 = 0.0, 0.0, 0.0
        if code == 1:  # geometric
            log, d1 = lag * np.log(max(first, TINY)), lag / max(first, TINY)
        elif code == 2:  # delayed
            gap = lag - second * last
            log, d1 = gap * gap * np.log(max(first, TINY)), gap * gap / max(first, TINY)
            d2 = -2.0 * gap * last * np.log(max(first, TINY))
        elif code == 3:  # weibull_pdf
            place = np.log((lag + 1.0) / second)
            power = np.exp(min(first * place, 700.0))
            log, d1 = (first - 1.0) * place - power, place - power * place
            d2 = (1.0 - first + first * power) / second
        elif code == 4:  # weibull_cdf
            for week in range(1, lag + 1):
                place = np.log(week / second)
                power = np.exp(min(first * place, 700.0))
                log -= power
                d1 -= power * place
                d2 += first * power / second
        elif code == 5:  # binomial
            base = np.log1p(-lag / lags)
            share = max(first, TINY)
            log, d1 = (1.0 / share - 1.0) * base, -base / (share * share)
        elif lag > 0:
            log = -np.inf
        out[lag], d_first[lag], d_second[lag] = log, d1, d2
    top = out[0]
    for lag in range(1, lags):
        top = max(top, out[lag])
    total = 0.0
    for lag in range(lags):
        out[lag] = np.exp(out[lag] - top)
        total += out[lag]
    mean1, mean2 = 0.0, 0.0
    for lag in range(lags):
        out[lag] /= total
        if out[lag] > 0.0:
            mean1 += out[lag] * d_first[lag]
            mean2 += out[lag] * d_second[lag]
    for lag in range(lags):
        if out[lag] > 0.0:
            d_first[lag] = out[lag] * (d_first[lag] - mean1)
            d_second[lag] = out[lag] * (d_second[lag] - mean2)
        else:
            d_first[lag], d_second[lag] = 0.0, 0.0


@numba.njit(cache=True, error_model="numpy", inline="always")
def _power(x, half, slope):  # type: ignore[no-untyped-def]
    if x <= 0.0:
        return 0.0, 0.0
    log = np.log(x / half)
    return np.exp(min(slope * log, 700.0)), log


@numba.njit(cache=True, error_model="numpy", fastmath=FAST)
def curve(code, x, first, second, f, fx, f1, f2):  # type: ignore[no-untyped-def]
    """Response and its derivatives by exposure and by the family's two parameters, over one array."""
    n = x.size
    if code == 0:
        for i in range(n):
            f[i], fx[i], f1[i], f2[i] = x[i], 1.0, 0.0, 0.0
    elif code == 2 or (code == 1 and second == 1.0):
        # Slope 1: the derivative by the slope is needed only where it is free, which code 1 below serves.
        for i in range(n):
            inverse = 1.0 / (x[i] + first)
            f[i] = x[i] * inverse
            fx[i] = first * inverse * inverse
            f1[i] = -x[i] * inverse * inverse
            f2[i] = 0.0
    elif code == 1:
        for i in range(n):
            power, log = _power(x[i], first, second)
            inverse = 1.0 / (1.0 + power)
            rise = power * inverse * inverse
            f[i] = 1.0 - inverse
            fx[i] = rise * second / x[i] if x[i] > 0.0 else 0.0
            f1[i] = -rise * second / first
            f2[i] = rise * log
    elif code == 3:
        for i in range(n):
            value = np.tanh(first * x[i] / 2.0)
            rise = 1.0 - value * value
            f[i], fx[i], f1[i], f2[i] = value, rise * first / 2.0, rise * x[i] / 2.0, 0.0
    else:
        for i in range(n):
            value = np.tanh(x[i] / first)
            rise = 1.0 - value * value
            f[i], fx[i], f1[i], f2[i] = value, rise / first, -rise * x[i] / (first * first), 0.0


@numba.njit(cache=True, error_model="numpy")
def margin(code, x, first, second):  # type: ignore[no-untyped-def]
    """x f'(x), what one per cent more brings per per cent, and its derivatives by x and the two parameters."""
    if code == 0:
        return x, 1.0, 0.0, 0.0
    if code == 1 or code == 2:
        slope = second if code == 1 else 1.0
        power, log = _power(x, first, slope)
        if power == 0.0:
            return 0.0, (1.0 / first if slope == 1.0 else 0.0), 0.0, 0.0
        inverse = 1.0 / (1.0 + power)
        value = slope * power * inverse * inverse
        # d value / d log power
        bend = value * (1.0 - power) * inverse
        return value, bend * slope / x, -bend * slope / first, value / slope + bend * log
    if code == 3:
        place = first * x / 2.0
        value = np.tanh(place)
        rise = 1.0 - value * value
        bend = rise * (1.0 - 2.0 * place * value)
        return place * rise, bend * first / 2.0, bend * x / 2.0, 0.0
    place = x / first
    value = np.tanh(place)
    rise = 1.0 - value * value
    bend = rise * (1.0 - 2.0 * place * value)
    return place * rise, bend / first, -bend * place / first, 0.0
