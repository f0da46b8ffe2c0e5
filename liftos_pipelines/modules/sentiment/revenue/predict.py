"""Rung 2, prediction: does lagged sentiment improve one-step forecasts of the outcome beyond all else that is known?

Rolling origin: at each period the outcome is forecast from its own past, trend, season and drivers, all learned from
earlier periods only, and again with sentiment of some periods ago. With a weak ridge the one-step errors of every
origin are the rows of one triangular system (recursive residuals: Brown, Durbin and Evans 1975), and a further
regressor needs only its own recursive residuals; so hundreds of placebos cost what one does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from liftos_pipelines.modules.sentiment.revenue.describe import Prepared
from liftos_pipelines.modules.sentiment.revenue.filters import autoregression, orders
from liftos_pipelines.modules.sentiment.revenue.series import Array, Mask

PRIOR = 5.0
"""Prior sd of standardised coefficients, in sd of the outcome: weak, so that early origins have a forecast at all."""
FIRST_ORIGIN = 0.5
"""Share of the periods that the first forecast learns from."""
SHIFTS = 8
MOSTLY = 0.8
"""Another stream serves as a placebo where it is known for this share of the periods; gaps are bridged."""


@dataclass(frozen=True, kw_only=True)
class Recursion:
    """`whitener` (n_rows, n_rows) turns a series at `rows` into its recursive residuals; `spread` (n_rows,) is the
    standard deviation of each one-step error in units of the noise."""

    rows: np.ndarray
    whitener: Array
    spread: Array


@dataclass(frozen=True, kw_only=True)
class Gain:
    """One direction of rung 2, per lag: share of the squared forecast error saved, Clark-West and Diebold-Mariano
    statistics; `p_value` is for the best of all lags against unrelated series. `placebos`: best Clark-West statistic
    and gain of series that cannot help, by name."""

    lags: tuple[int, ...]
    gain: Array
    clark_west: Array
    diebold_mariano: Array
    p_value: Array
    placebos: dict[str, tuple[float, float]]
    origins: int

    @property
    def best(self) -> int:
        return int(np.argmax(self.clark_west))

    @property
    def strongest(self) -> float:
        return float(self.clark_west[self.best])

    @property
    def beats_placebos(self) -> bool:
        return all(self.strongest > value for value, _ in self.placebos.values())


def recursion(target: Array, design: Array, known: Mask, own_lags: int, reach: int) -> Recursion:
    """Recursive residuals given `design` and `own_lags` of the target, from the first period with `reach` before it."""
    usable = known.copy()
    usable[: max(own_lags, reach)] = False
    rows = np.flatnonzero(usable)
    past = [target[rows - k] for k in range(1, own_lags + 1)]
    columns = np.column_stack([design[rows], *past])
    centred = columns - columns.mean(axis=0)
    spread = centred.std(axis=0)
    scaled = centred[:, spread > 1e-12] / spread[spread > 1e-12]
    # The level is nearly free; everything else has a weak prior.
    gram = PRIOR**2 * (scaled @ scaled.T) + 1e3
    root = np.linalg.cholesky(np.eye(rows.size) + gram)
    return Recursion(
        rows=rows, whitener=solve_triangular(root, np.eye(rows.size), lower=True), spread=np.diag(root).copy()
    )


def forecast_gains(
    steps: Recursion, target: Array, candidates: Array, lags: tuple[int, ...]
) -> tuple[Array, Array, Array]:
    """Gain, Clark-West and Diebold-Mariano statistic, each (n_candidates, n_lags).

    Parameters
    ----------
    target : (n_periods,), of which `steps` holds the recursion
    candidates : (n_candidates, n_periods), each tried at every lag by itself

    The loss difference of nested models is adjusted for the noise that the larger one adds under the null (Clark and
    West 2007), raw in Diebold and Mariano (1995); variances are robust to autocorrelation (Newey and West 1987).
    """
    late = np.stack([candidates[:, steps.rows - lag] for lag in lags], axis=1)
    w_y = steps.whitener @ target[steps.rows]
    w_x = (late.reshape(-1, late.shape[2]) @ steps.whitener.T).reshape(late.shape)
    first = int(FIRST_ORIGIN * steps.rows.size)
    xx, xy = np.cumsum(w_x**2, axis=2), np.cumsum(w_x * w_y, axis=2)
    slope = xy[:, :, first - 1 : -1] / np.maximum(xx[:, :, first - 1 : -1], 1e-300)
    alone = steps.spread[first:] * w_y[first:]
    move = steps.spread[first:] * slope * w_x[:, :, first:]
    with_it = alone - move
    adjusted = 2 * alone * move
    raw = alone**2 - with_it**2
    gain = raw.sum(axis=2) / (alone**2).sum()
    return gain, _robust_t(adjusted), _robust_t(raw)


def _robust_t(values: Array) -> Array:
    """Mean over its autocorrelation-robust standard error, Bartlett weights over floor(4 (n / 100)^(2/9)) lags."""
    n = values.shape[-1]
    centred = values - values.mean(axis=-1, keepdims=True)
    variance = (centred**2).sum(axis=-1)
    window = int(4 * (n / 100) ** (2 / 9))
    for k in range(1, window + 1):
        variance = variance + 2 * (1 - k / (window + 1)) * (centred[..., k:] * centred[..., :-k]).sum(axis=-1)
    # A sum of Bartlett-weighted covariances is never negative, but may be nothing.
    return np.asarray(values.sum(axis=-1) / np.sqrt(np.maximum(variance, 1e-300)))


def own_order(series: Array, prepared: Prepared) -> int:
    """Own lags that a forecast needs: those BIC finds, one at least."""
    weights, _, _ = autoregression(series[None], prepared.known, orders(prepared.step))
    return max(1, int((np.abs(weights[0]) > 0).sum()))


def prediction_gain(
    prepared: Prepared, *, forward: bool, others: dict[str, Array] | None = None, placebos: bool = True
) -> Gain:
    """Rung 2 in one direction: sentiment for the outcome (`forward`), or the outcome for sentiment.

    The candidate is taken adjusted for season and drivers: it must not stand in for spend of some weeks ago.
    """
    if forward:
        target, plain, candidate, unrelated = (
            prepared.outcome,
            prepared.adjusted_outcome,
            prepared.adjusted_sentiment,
            prepared.unrelated_sentiment,
        )
    else:
        target, plain, candidate, unrelated = (
            prepared.sentiment,
            prepared.adjusted_sentiment,
            prepared.adjusted_outcome,
            prepared.unrelated_outcome,
        )
    lags = tuple(lag for lag in prepared.lags if lag > 0)
    level, scale = plain[prepared.known].mean(), max(float(plain[prepared.known].std()), 1e-12)
    target = (target - target[prepared.known].mean() - level) / scale
    steps = recursion(target, prepared.design[:, 1:], prepared.known, own_order(plain, prepared), lags[-1])
    gain, clark_west, raw = forecast_gains(steps, target, candidate[None], lags)
    _, reference, _ = forecast_gains(steps, target, unrelated, lags)
    largest = reference.max(axis=1)
    p = (1 + (largest[None, :] >= clark_west[0][:, None] - 1e-12).sum(axis=1)) / (1 + largest.size)
    named: dict[str, tuple[float, float]] = {}
    if placebos:
        names, series = _placebos(candidate, prepared, others or {})
        found = forecast_gains(steps, target, series, lags)
        named = {
            name: (float(one.max()), float(saved[one.argmax()]))
            for name, one, saved in zip(names, found[1], found[0], strict=True)
        }
    return Gain(
        lags=lags,
        gain=gain[0],
        clark_west=clark_west[0],
        diebold_mariano=raw[0],
        p_value=p,
        placebos=named,
        origins=steps.rows.size - int(FIRST_ORIGIN * steps.rows.size),
    )


def _placebos(candidate: Array, prepared: Prepared, others: dict[str, Array]) -> tuple[list[str], Array]:
    """Series that cannot help: reversed in time, shifted far, and other streams."""
    n = candidate.size
    far = max(2 * prepared.lags[-1] + 1, n // 8)
    shifts = np.unique(np.linspace(far, n - far, SHIFTS).astype(int)) if n > 2 * far else np.empty(0, dtype=int)
    names = ["time reversed", *(f"shifted by {shift * prepared.step} days" for shift in shifts)]
    series = [candidate[::-1], *(np.roll(candidate, int(shift)) for shift in shifts)]
    for name, values in others.items():
        seen = np.isfinite(values)
        if seen[prepared.known].mean() >= MOSTLY and np.ptp(values[seen]) > 1e-9:
            names.append(f"sentiment about {name}")
            series.append(prepared.maker @ np.interp(np.arange(n), np.flatnonzero(seen), values[seen]))
    return names, np.stack(series)
