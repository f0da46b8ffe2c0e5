"""Rung 3, events: after a dated shock of sentiment, does the outcome leave the path that was foreseen for it?

The path is forecast from the periods before the shock only: own past, season, drivers (known as they came), by ridge
regression. The shock's own period does not count: within it nobody sees what came first. The same forecast is made at
every other date. Those placebo dates, not the model's own belief, give interval and p-value; events are pooled by
inverse variance (after Abadie, Diamond and Hainmueller 2010). Placebo windows overlap, so they are fewer than they
seem: a rank among them must also hold against Student's t with as many degrees of freedom as windows fit side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from liftos_pipelines.modules.sentiment.revenue.describe import Prepared
from liftos_pipelines.modules.sentiment.revenue.predict import PRIOR, own_order
from liftos_pipelines.modules.sentiment.revenue.series import Array, LinkSeries
from liftos_pipelines.modules.sentiment.revenue.settings import LEVEL, LinkSettings

LEAST_BEFORE = {1: 120}
LEAST_BEFORE_OTHERWISE = 40
LEAST_PLACEBOS = 20
BIAS_TERMS = 2


@dataclass(frozen=True, kw_only=True)
class EventStudy:
    """`at` (n_events,) periods that shocks began; mean difference of the (log) outcome from its foreseen path over the
    window, with placebo intervals and ranks; the same pooled. `placebos` are standardised like `effect / spread`."""

    at: tuple[int, ...]
    estimate: Array
    spread: Array
    low: Array
    high: Array
    p_value: Array
    pooled: float
    pooled_low: float
    pooled_high: float
    pooled_p: float
    placebos: Array
    horizon: int
    paths: Array
    """(n_events, 1 + horizon) difference by period since the shock; its own period is shown, not counted."""
    path_band: Array
    """(2, 1 + horizon) 5 % and 95 % of placebo dates."""


def event_study(series: LinkSeries, prepared: Prepared, settings: LinkSettings) -> EventStudy | None:
    """The outcome after the dated shocks; None where no shock, or too few dates to compare with, can be judged."""
    horizon = settings.window(series.step)
    events = _apart(series.shocks, horizon)
    if not events:
        return None
    dates, errors, factor = _forecast_errors(series, prepared, horizon)
    place = {int(date): k for k, date in enumerate(dates)}
    judged = [event for event in events if event in place]
    apart = np.array([all(d + horizon < e or d > e + horizon for e in events) for d in dates], dtype=bool)
    if not judged or apart.sum() < LEAST_PLACEBOS:
        return None
    standard = errors[:, 1:].mean(axis=1) / factor
    # What the forecast is off by at other dates is its own bias. It is larger after an unusual week, since persistence
    # learned from short series is too low; and sentiment that reacts to the outcome falls after just such weeks.
    origin = np.column_stack([np.ones(dates.size), prepared.adjusted_outcome[dates - 1]])
    standard = standard - origin @ np.linalg.lstsq(origin[apart], standard[apart], rcond=None)[0]
    freedom = _freedom(standard[apart], horizon)
    placebo = standard[apart] * np.sqrt((freedom + BIAS_TERMS) / freedom)
    chosen = [place[event] for event in judged]
    spread = factor[chosen]
    estimate = standard[chosen] * spread
    # One event is judged as the pool of one.
    alone = [_against(value, placebo, placebo, horizon) for value in standard[chosen]]
    weight = 1 / spread**2
    pooled = float((weight * estimate).sum() / weight.sum())
    z = float((standard[chosen] / spread).sum() / np.sqrt(weight.sum()))
    drawn = _draws(placebo, dates[apart], len(judged), horizon, settings, 1 / spread)
    reach = _reach(placebo, horizon)
    half = reach / float(np.sqrt(weight.sum()))
    relative = errors[apart] / factor[apart][:, None]
    return EventStudy(
        at=tuple(judged),
        estimate=estimate,
        spread=spread,
        low=estimate - reach * spread,
        high=estimate + reach * spread,
        p_value=np.array(alone),
        pooled=pooled,
        pooled_low=pooled - half,
        pooled_high=pooled + half,
        pooled_p=_against(z, drawn, placebo, horizon),
        placebos=placebo,
        horizon=horizon,
        paths=errors[chosen],
        path_band=np.quantile(relative, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0) * float(np.median(spread)),
    )


def _freedom(standard: Array, horizon: int) -> float:
    """Dates that tell something new: windows overlap, and errors last; less what the bias took."""
    centred = standard - standard.mean()
    longest = standard.size // 3
    lasting = np.array([centred[k:] @ centred[:-k] for k in range(1, longest + 1)]) / max(centred @ centred, 1e-300)
    until = int(np.argmax(lasting <= 0)) if (lasting <= 0).any() else longest
    each = max(horizon + 1.0, 1 + 2 * float(lasting[:until].sum()))
    return max(standard.size / each - BIAS_TERMS, 3.0)


def _against(value: float, reference: Array, placebo: Array, horizon: int) -> float:
    """The larger of the rank among `reference` and Student's p-value on the placebos' spread."""
    rank = (1 + (np.abs(reference) >= abs(value) - 1e-12).sum()) / (1 + reference.size)
    scale = float(np.sqrt(np.mean(placebo**2)))
    return float(max(rank, 2 * stats.t.sf(abs(value) / max(scale, 1e-300), _freedom(placebo, horizon))))


def _reach(placebo: Array, horizon: int) -> float:
    """Half-width of a 90 % interval in units of the forecast's own spread."""
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, _freedom(placebo, horizon)))
    return quantile * float(np.sqrt(np.mean(placebo**2)))


def _apart(shocks: tuple[int, ...], horizon: int) -> list[int]:
    """Shocks that begin within another's window belong to it."""
    kept: list[int] = []
    for shock in sorted(shocks):
        if not kept or shock > kept[-1] + horizon:
            kept.append(shock)
    return kept


def _forecast_errors(series: LinkSeries, prepared: Prepared, horizon: int) -> tuple[np.ndarray, Array, Array]:
    """At every date with enough before it: errors of the path foreseen from there, (n_dates, 1 + horizon), and how
    uncertain its coefficients make their mean, (n_dates,), relative to the noise."""
    known, y = prepared.known, prepared.outcome
    order = own_order(prepared.adjusted_outcome, prepared)
    scale = max(float(prepared.adjusted_outcome[known].std()), 1e-12)
    level = float(y[known].mean())
    y = (y - level) / scale
    observed = (np.where(known, series.outcome, 0.0) - level) / scale
    usable = known.copy()
    usable[:order] = False
    design = prepared.design.copy()
    spread = design.std(axis=0)
    spread[0] = 1.0
    design[:, 1:] = (design[:, 1:] - design[:, 1:].mean(axis=0)) / np.maximum(spread[1:], 1e-12)
    design = design[:, spread > 1e-12]
    past = np.stack([np.concatenate((np.zeros(k), y[:-k])) for k in range(1, order + 1)], axis=1)
    rows = np.where(usable[:, None], np.concatenate([design, past], axis=1), 0.0)
    width = rows.shape[1]
    penalty = np.full(width, 1 / PRIOR**2)
    penalty[0] = 1e-6
    gram = np.cumsum(rows[:, :, None] * rows[:, None, :], axis=0)
    moment = np.cumsum(rows * y[:, None], axis=0)
    before = np.cumsum(usable)
    least = LEAST_BEFORE.get(series.step, LEAST_BEFORE_OTHERWISE)
    ahead = np.array([known[d : d + horizon + 1].all() and d + horizon < known.size for d in range(known.size)])
    dates = np.flatnonzero(usable & ahead & (np.concatenate(([0], before[:-1])) >= least))
    if not dates.size:
        return dates, np.empty((0, horizon + 1)), np.empty(0)
    inverse = np.linalg.inv(gram[dates - 1] + np.diag(penalty))
    weights = (inverse @ moment[dates - 1][:, :, None])[:, :, 0]
    history = np.stack([y[dates - k] for k in range(1, order + 1)], axis=1)
    errors, mean_row = np.empty((dates.size, horizon + 1)), np.zeros((dates.size, width))
    for h in range(horizon + 1):
        row = np.concatenate([design[dates + h], history], axis=1)
        foreseen = (row * weights).sum(axis=1)
        errors[:, h] = observed[dates + h] - foreseen
        mean_row += row / horizon if h else 0.0
        history = np.concatenate([foreseen[:, None], history[:, :-1]], axis=1)
    leverage = np.einsum("dj,djk,dk->d", mean_row, inverse, mean_row)
    return dates, errors * scale, scale * np.sqrt(1 / horizon + leverage)


def _draws(
    placebo: Array, dates: np.ndarray, count: int, horizon: int, settings: LinkSettings, precision: Array
) -> Array:
    """Pooled statistic of as many placebo dates as there are events; all of them where there is one event."""
    if count == 1:
        return placebo
    rng = np.random.default_rng(settings.seed + 3)
    picks = rng.integers(0, placebo.size, size=(settings.permutations, count))
    if placebo.size >= 4 * count * horizon:  # room enough to keep the drawn windows apart
        gaps = np.diff(np.sort(dates[picks], axis=1), axis=1).min(axis=1)
        picks = picks[gaps >= horizon] if (gaps >= horizon).sum() >= 200 else picks
    return (placebo[picks] * precision).sum(axis=1) / np.sqrt((precision**2).sum())
