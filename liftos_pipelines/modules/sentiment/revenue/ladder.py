"""The ladder: which of description, prediction and events speak for a link of sentiment with the outcome, and the words
that may be used for it. None of the rungs is an experiment, so none of the words says that one makes the other.

All rungs together take a 5 % chance of a wrong claim: description and events share it by Holm's (1979) procedure, and
prediction is claimed only where description found something, so it adds nothing to it (a fixed sequence: Maurer,
Hothorn and Lehmacher 1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liftos_pipelines.modules.sentiment.revenue.describe import (
    Correlations,
    Prepared,
    correlations,
    power_curve,
    prepare,
    smallest_visible,
    visible_by_simulation,
)
from liftos_pipelines.modules.sentiment.revenue.events import EventStudy, event_study
from liftos_pipelines.modules.sentiment.revenue.predict import Gain, prediction_gain
from liftos_pipelines.modules.sentiment.revenue.response import Response, response
from liftos_pipelines.modules.sentiment.revenue.series import Array, LinkSeries
from liftos_pipelines.modules.sentiment.revenue.settings import ALPHA, MIN_PERIODS, LinkSettings

TOO_WEAK = 0.5
"""When correlations below this cannot be seen at 80 % power, finding none is no finding."""


@dataclass(frozen=True, kw_only=True)
class Power:
    """Smallest link seen in 8 of 10 such series: as correlation by formula, and by putting links into this very
    outcome; as share of the outcome (log points) per 0.1 of true net sentiment."""

    formula: float
    simulated: float
    per_tenth: float
    sizes: Array
    seen: Array


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What each rung may say, after all of them shared the 5 %: correlations and gains are held to `alpha`. Lags in
    periods, None: not claimed."""

    leads: int | None = None
    together: bool = False
    follows: int | None = None
    predicts: int | None = None
    reverse_as_strong: bool = False
    events: bool = False
    alpha: float = ALPHA

    @property
    def rung(self) -> int:
        """Highest rung that speaks for sentiment coming first or the two moving together; 0: none does."""
        if self.events:
            return 3
        if self.predicts is not None:
            return 2
        return int(self.leads is not None or self.together)

    @property
    def any_link(self) -> bool:
        """Whether the words say that the outcome goes with or after sentiment."""
        return self.rung > 0


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """All rungs of one client; None where data are too few (`missing` says why)."""

    series: LinkSeries
    claims: Claims
    missing: str | None = None
    prepared: Prepared | None = None
    described: Correlations | None = None
    forward: Gain | None = None
    reverse: Gain | None = None
    response: Response | None = None
    events: EventStudy | None = None
    power: Power | None = None


def climb(series: LinkSeries, settings: LinkSettings | None = None, *, full: bool = True) -> Ladder:
    """Every rung on a client's series.

    Parameters
    ----------
    full : False leaves out what takes no part in a claim (intervals of correlations, the power simulation)
    """
    settings = settings or LinkSettings()
    missing = _missing(series, settings)
    if missing is not None:
        return Ladder(series=series, claims=Claims(), missing=missing)
    prepared = prepare(series, settings)
    if min(prepared.adjusted_sentiment.std(), prepared.adjusted_outcome.std()) < 1e-9:
        return Ladder(series=series, claims=Claims(), missing="a series does not vary beyond its season and drivers")
    described = correlations(prepared, settings, intervals=full)
    slopes = response(prepared, series.variance)
    forward = prediction_gain(prepared, forward=True, others=dict(series.others))
    reverse = prediction_gain(prepared, forward=False)
    events = event_study(series, prepared, settings)
    return Ladder(
        series=series,
        claims=judge(described, forward, reverse, events),
        prepared=prepared,
        described=described,
        forward=forward,
        reverse=reverse,
        response=slopes,
        events=events,
        power=_power(prepared, described, slopes.reliability, settings) if full else None,
    )


def judge(described: Correlations, forward: Gain, reverse: Gain, events: EventStudy | None) -> Claims:
    """What may be said, from the p-values of all rungs."""
    first = float(described.p_value.min())
    alpha, moved = ALPHA, False
    if events is not None:
        # Holm: the smaller p-value is held to half of the allowance, the other then to all of it.
        smaller, larger = sorted((first, events.pooled_p))
        passed = ALPHA / 2 if smaller > ALPHA / 2 or larger > ALPHA else ALPHA
        moved = events.pooled_p <= passed
        alpha = passed
    lags = np.array(described.lags)
    found = described.p_value <= alpha
    strength = np.abs(described.steady)
    ahead, behind = found & (lags > 0), found & (lags < 0)
    strongest_ahead = float(strength[ahead].max()) if ahead.any() else 0.0
    strongest_behind = float(strength[behind].max()) if behind.any() else 0.0
    together = bool(found[lags == 0].any())
    outdone = bool(reverse.p_value.min() <= alpha and reverse.strongest >= forward.strongest)
    follows = int(lags[behind][strength[behind].argmax()]) if behind.any() else None
    leads = int(lags[ahead][strength[ahead].argmax()]) if ahead.any() and strongest_ahead > strongest_behind else None
    helps = (
        (leads is not None or together)
        and float(forward.p_value.min()) <= alpha
        and float(forward.gain[forward.best]) > 0
        and forward.beats_placebos
        and not outdone
    )
    return Claims(
        leads=leads,
        together=together,
        follows=follows,
        predicts=forward.lags[forward.best] if helps else None,
        reverse_as_strong=outdone and (follows is not None or leads is not None or together),
        events=moved,
        alpha=alpha,
    )


def _missing(series: LinkSeries, settings: LinkSettings) -> str | None:
    needed = max(MIN_PERIODS, 3 * settings.lag(series.step))
    if series.n < needed:
        return f"{series.n} periods with both sentiment and outcome, {needed} needed"
    for name, values in (("sentiment", series.sentiment), ("the outcome", series.outcome)):
        inside = values[series.known]
        if np.ptp(inside) <= 1e-9 * max(1.0, float(np.abs(inside).max())):
            return f"{name} does not vary"
    # What the calendar and the drivers take must leave something to compare.
    if series.drivers.shape[1] + 20 > 0.7 * series.n:
        return f"{series.n} periods for {series.drivers.shape[1]} columns of spend and controls"
    return None


def _power(prepared: Prepared, described: Correlations, reliability: float | None, settings: LinkSettings) -> Power:
    sizes, seen = power_curve(prepared, described, settings)
    simulated = visible_by_simulation(sizes, seen)
    slope = simulated / np.sqrt(1 - simulated**2) * described.ratio if simulated < 1 else float("nan")
    return Power(
        # Each column of season, spend or controls takes a period's worth of information.
        formula=smallest_visible(int(prepared.known.sum()) - prepared.design.shape[1], len(described.lags)),
        simulated=simulated,
        # What is measured varies less with the outcome than what is true does.
        per_tenth=0.1 * float(slope) / max(reliability if reliability is not None else 1.0, 0.05),
        sizes=sizes,
        seen=seen,
    )
