"""Sentences for what the ladder found. None of them says that sentiment makes the outcome: no rung here can show it."""

from __future__ import annotations

from liftos_pipelines.modules.sentiment.revenue.describe import smallest_visible
from liftos_pipelines.modules.sentiment.revenue.ladder import TOO_WEAK, Ladder

NOT_ENOUGH = "not enough data"
NONE = "no association found"
LEADS = "association at a lag of {days} days"
TOGETHER = "association in the same period"
FOLLOWS = "sentiment follows the outcome"
PREDICTS = "sentiment helps to predict the outcome"
MOVED = "outcome moved after dated shocks"

FORBIDDEN = (
    r"\b(caus\w*|driv(?:e|es|en|ing)|impact\w*|because|due to|leads? to|led to|effects? of|result(?:s|ed)? in|"
    r"mak(?:e|es|ing)|made|lifts?|boosts?|increas\w*|rais(?:e|es|ed)|hurts?)\b"
)
"""What no verdict of this table may say."""


def verdict(ladder: Ladder) -> str:
    """The client's verdict: one clause a rung that speaks, highest first."""
    if ladder.missing is not None:
        return f"{NOT_ENOUGH}: {ladder.missing}"
    claims, step = ladder.claims, ladder.series.step
    parts = []
    if claims.events:
        parts.append(MOVED)
    if claims.predicts is not None:
        parts.append(PREDICTS)
    if claims.reverse_as_strong or (claims.follows is not None and claims.leads is None):
        parts.append(FOLLOWS)
    elif claims.leads is not None:
        parts.append(LEADS.format(days=claims.leads * step))
    if claims.together and claims.leads is None and not claims.reverse_as_strong:
        parts.append(TOGETHER)
    if parts:
        return "; ".join(parts)
    weak = ladder.power.formula if ladder.power else 0.0
    return f"{NOT_ENOUGH}: correlations below {weak:.2f} would be missed" if weak > TOO_WEAK else NONE


def sentence(ladder: Ladder) -> str:
    """The verdict with its conditions, its sizes and what could have been missed."""
    said = verdict(ladder)
    series, claims = ladder.series, ladder.claims
    if ladder.missing is not None:
        power = smallest_visible(series.n, 1)
        seen = f"a correlation below {power:.2f}" if power < 1 else "a correlation of any size"
        return f"{said}. At one lag, {seen} would be missed in more than 2 of 10 such series."
    assert ladder.described is not None
    text = said[0].upper() + said[1:]
    if claims.any_link or claims.follows is not None:
        text += f", {conditions(ladder)}."
    else:
        reach = max(ladder.described.lags) * series.step
        text += f" at lags of -{reach} to {reach} days, {conditions(ladder)}."
    if claims.leads is not None and ladder.described is not None:
        at = ladder.described.lags.index(claims.leads)
        text += f" Correlation of what is new in each: {ladder.described.estimate[at]:+.2f}."
    if claims.predicts is not None and ladder.forward is not None:
        text += (
            f" {ladder.forward.gain[ladder.forward.best]:.1%} less squared forecast error with sentiment of "
            f"{claims.predicts * series.step} days before, more than any of {len(ladder.forward.placebos)} placebos."
        )
    if claims.events and ladder.events is not None:
        events = ladder.events
        text += (
            f" {len(events.at)} dated shock(s): outcome {_size(events.pooled, series.logged)} from its foreseen path "
            f"over {events.horizon * series.step} days (90 % {_size(events.pooled_low, series.logged)} to "
            f"{_size(events.pooled_high, series.logged)})."
        )
    if claims.follows is not None:
        text += f" Sentiment comes {-claims.follows * series.step} days later."
    return f"{text} {power_words(ladder)}".strip()


def conditions(ladder: Ladder) -> str:
    """What the comparison is conditional on."""
    known = ["trend and season", *ladder.series.conditional_on]
    missing = [] if ladder.series.conditional_on else [" (no spend, price or promotions known)"]
    return "conditional on " + "; ".join(known) + "".join(missing)


def power_words(ladder: Ladder) -> str:
    """What these data could have missed."""
    power = ladder.power
    if power is None:
        return ""
    text = (
        f"With {ladder.series.n} periods a correlation below {power.formula:.2f} (formula), "
        f"{f'{power.simulated:.2f}' if power.simulated < 1 else 'any tried'} (links put into this outcome), "
        "would be missed in more than 2 of 10 such series"
    )
    if power.per_tenth == power.per_tenth:
        text += f"; that is {_size(power.per_tenth, ladder.series.logged)} of the outcome per 0.1 of net sentiment"
    return text + "."


def _size(value: float, logged: bool) -> str:
    return f"{100 * value:+.1f} %" if logged else f"{value:+.3g}"
