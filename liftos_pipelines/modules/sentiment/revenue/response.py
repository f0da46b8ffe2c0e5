"""By how much the outcome differs with sentiment of some periods ago, given all else: a slope per lag, with the noise
of a finite number of mentions taken off.

The outcome is regressed on its own past, season, drivers and sentiment at all lags together, so that a slope is not
borrowed from a neighbouring lag. Measured sentiment is truth plus sampling error of known variance, which pulls slopes
towards zero; the moments are corrected for it (Fuller 1987, Measurement error models, section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from liftos_pipelines.modules.sentiment.revenue.describe import Prepared
from liftos_pipelines.modules.sentiment.revenue.predict import own_order, recursion
from liftos_pipelines.modules.sentiment.revenue.series import Array
from liftos_pipelines.modules.sentiment.revenue.settings import LEVEL

LEAST_RELIABLE = 0.15
"""Where noise leaves less than this share of true variation in some direction, only as much of it is taken off as
leaves that share (Fuller 1987, section 2.5): slopes stay pulled towards zero a little, and it is said."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """Slopes of the (log) outcome on net sentiment per lag from 0 on, 90 % intervals and p-values (Student's t).

    `reliability`: share of the variation of sentiment, given all else, that is not sampling noise; None where the
    index has no standard error. `corrected`: share of the noise's covariance that was taken off, 1 where all was.
    """

    lags: tuple[int, ...]
    estimate: Array
    low: Array
    high: Array
    p_value: Array
    reliability: float | None
    corrected: float


def response(prepared: Prepared, variance: Array, *, correct: bool = True) -> Response:
    """Slopes of the outcome on sentiment at lags 0 to the longest.

    Parameters
    ----------
    variance : (n_periods,), sampling variance of sentiment; NaN: unknown
    correct : False leaves the attenuation in, to compare with
    """
    # A lag more than is reported: what the last one's neighbour does would otherwise be laid on it.
    lags = tuple(range(prepared.lags[-1] + 2))
    target = prepared.outcome - prepared.outcome[prepared.known].mean()
    scale = max(float(prepared.adjusted_outcome[prepared.known].std()), 1e-12)
    order = own_order(prepared.adjusted_outcome, prepared)
    steps = recursion(target / scale, prepared.design[:, 1:], prepared.known, order, lags[-1])
    late = np.stack([prepared.adjusted_sentiment[steps.rows - lag] for lag in lags], axis=1)
    w_y, w_x = steps.whitener @ target[steps.rows], steps.whitener @ late
    gram = w_x.T @ w_x
    noise = _noise(steps.whitener, steps.rows, lags, variance, prepared)
    reliability, corrected = None, 0.0
    if noise is not None:
        total = noise.sum(axis=0)
        reliability = float(np.clip(1 - np.trace(total) / np.trace(gram), 0.0, 1.0))
        root = np.linalg.inv(np.linalg.cholesky(gram))
        worst = float(np.linalg.eigvalsh(root @ total @ root.T)[-1])
        corrected = min(1.0, (1 - LEAST_RELIABLE) / max(worst, 1e-12)) if correct else 0.0
        gram, noise = gram - corrected * total, corrected * noise
    bread = np.linalg.inv(gram)
    slope = bread @ (w_x.T @ w_y)
    left = w_y - w_x @ slope
    # The residual of a row that pulls the fit to itself is too small by its leverage (HC2: MacKinnon and White 1985).
    leverage = np.clip(np.einsum("ij,jk,ik->i", w_x, np.linalg.inv(w_x.T @ w_x), w_x), 0, 0.9)
    scores = w_x * left[:, None]
    if noise is not None:
        scores = scores + noise @ slope
    scores = scores / np.sqrt(1 - leverage)[:, None]
    freedom = max(steps.rows.size - prepared.design.shape[1] - order - len(lags), 5)
    lost = steps.rows.size / max(steps.rows.size - prepared.design.shape[1] - order, 5)
    error = np.sqrt(np.diag(bread @ (scores.T @ scores) @ bread) * lost)
    t = float(stats.t.ppf((1 + LEVEL) / 2, freedom))
    slope, error = slope[:-1], error[:-1]
    return Response(
        lags=lags[:-1],
        estimate=slope,
        low=slope - t * error,
        high=slope + t * error,
        p_value=2 * stats.t.sf(np.abs(slope) / np.maximum(error, 1e-300), freedom),
        reliability=reliability,
        corrected=corrected,
    )


def _noise(
    whitener: Array, rows: np.ndarray, lags: tuple[int, ...], variance: Array, prepared: Prepared
) -> Array | None:
    """(n_rows, n_lags, n_lags): covariance that sampling error adds to each whitened row of lagged sentiment.

    Errors of different periods are independent, so two lags share an error only where they meet the same period.
    """
    if not np.isfinite(variance[prepared.known]).all():
        return None
    known = np.where(prepared.known, variance, 0.0)
    place = np.full(prepared.known.size + lags[-1] + 1, -1)
    place[rows] = np.arange(rows.size)
    added = np.zeros((rows.size, len(lags), len(lags)))
    for a, first in enumerate(lags):
        for b, second in enumerate(lags):
            # Row s at lag `first` and row s - first + second at lag `second` hold the same period's error.
            partner = place[np.clip(rows - first + second, 0, None)]
            both = partner >= 0
            weight = whitener[:, both] * whitener[:, partner[both]]
            added[:, a, b] = weight @ known[rows[both] - first]
    return added
