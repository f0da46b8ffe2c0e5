"""Does Causal agree with an insight under current conditions? Validated, contradicted, or unknown with the reason.

A pattern says what helped; whether more money would help *now* depends on how far the channel is saturated. Where the
action names an amount, its gain is read off the response curve, the money counted; where it does not, the marginal
return and the budget plan must agree. A model that failed its gate, or that has not seen the newest weeks, validates
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.tables import ALL
from liftos_pipelines.text import Name, NameFinder, fold, words

Status = Literal["validated", "contradicted", "unknown"]
Move = Literal["more", "less"]
FloatArray = NDArray[np.float64]

MAX_UNSEEN_DAYS = 42
"""Newer data than the model has seen by more than this are other conditions; six weeks, as for the served model."""
MAX_FIT_AGE_DAYS = 35
"""A model is fitted every week; one that was not for five weeks does not stand for today."""
BREAK_EVEN = 1.0
"""Marginal return at which money that is spent comes back."""

_UP = "increase increased raise raised scale boost boosted double doubled grow expand extend add"
_DOWN = "decrease decreased reduce reduced cut lower lowered pause paused stop stopped halve halved"
MORE, LESS = frozenset(_UP.split()), frozenset(_DOWN.split())
_PARTS = frozenset({"bid", "bids", "ad", "ads", "creative", "creatives"})
"""A bid or a single ad is not the channel's budget, unless money is named."""
MONEY_WORDS = frozenset({"budget", "budgets", "spend", "spending", "money"})
_WHOLE = {"double": 1.0, "doubled": 1.0, "halve": -0.5, "halved": -0.5, "pause": -1.0, "stop": -1.0}
_PERCENT = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(?:%|percent|per cent)")
_MONEY = re.compile(r"by\s+(\d{1,3}(?:[ ,]\d{3})+|\d+(?:\.\d+)?)\s*(k|m)?\b(?!\s*(?:%|percent|per cent))")
_SHIFT = re.compile(r"\b(?:shift|shifted|move|moved)\b.*?\b(?:from|out of)\b(.+?)\b(?:to|into)\b(.+)")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A channel's response over `weeks` weeks: spend (n,) rising, response with its 90 % interval (n,), in `unit`."""

    spend: FloatArray
    response: FloatArray
    low: FloatArray
    high: FloatArray
    observed: float
    """The largest spend that lies within what was observed."""
    current: float
    unit: str


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What Causal says of now. `problem` : why it can validate nothing, or None."""

    channels: tuple[str, ...]
    margins: Mapping[str, tuple[float, float]]
    planned: Mapping[str, Move]
    curves: Mapping[str, Curve]
    problem: str | None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`predicted` : gain of the action less the money it costs, with a 90 % interval, in `unit`; None if unknown."""

    status: Status
    reason: str
    channel: str | None = None
    predicted: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str | None = None

    @property
    def validated(self) -> bool | None:
        return None if self.status == "unknown" else self.status == "validated"


def conditions_of(
    *,
    channel_results: pl.DataFrame,
    budget_plan: pl.DataFrame,
    response_curves: pl.DataFrame,
    validation: pl.DataFrame,
    fit_history: pl.DataFrame,
    newest: date | None,
    now: datetime,
) -> Conditions:
    """Current conditions from the tables of Causal, each of which may be empty.

    newest : the latest day that the client is known to have lived through; now : the moment of asking
    """
    totals = channel_results.filter(pl.col("geo") == ALL)
    margins = {
        row["channel"]: (row["mroi_low"], row["mroi_high"])
        for row in totals.iter_rows(named=True)
        if row["mroi_low"] is not None and row["mroi_high"] is not None
    }
    return Conditions(
        channels=tuple(totals["channel"].unique(maintain_order=True)),
        margins=margins,
        planned=_planned(budget_plan),
        curves=_curves(response_curves, budget_plan),
        problem=_problem(totals, validation, fit_history, newest, now),
    )


def _problem(
    totals: pl.DataFrame, validation: pl.DataFrame, fit_history: pl.DataFrame, newest: date | None, now: datetime
) -> str | None:
    if totals.is_empty():
        return "there is no causal model"
    if validation.is_empty():
        return "the causal model was not validated itself"
    failed = validation.filter(pl.col("status") == "fail")["check"].to_list()
    if failed:
        return f"the causal model failed its gate ({', '.join(failed)})"
    seen, fitted = fit_history["last_week"].max(), fit_history["fitted_at"].max()
    if not isinstance(seen, date) or not isinstance(fitted, datetime):
        return "it is not known which weeks the causal model has seen"
    if (now - fitted).days > MAX_FIT_AGE_DAYS:
        return f"the causal model was fitted {(now - fitted).days} days ago, conditions may have changed"
    if newest is not None and (newest - seen).days > MAX_UNSEEN_DAYS:
        return f"the causal model ends {(newest - seen).days} days before the newest data, conditions may have changed"
    return None


def _planned(budget_plan: pl.DataFrame) -> dict[str, Move]:
    """Where the plan moves money: the whole interval of the change's effect lies on its side."""
    moves: dict[str, Move] = {}
    for row in budget_plan.filter(pl.col("channel") != ALL).iter_rows(named=True):
        change = (row["spend_planned"] or 0.0) - (row["spend_current"] or 0.0)
        if row["uplift_low"] is None or row["uplift_high"] is None:
            continue
        if change > 0 and row["uplift_low"] > 0:
            moves[row["channel"]] = "more"
        elif change < 0 and row["uplift_high"] < 0:
            # Spending less loses outcome; the plan takes it because the money does more elsewhere.
            moves[row["channel"]] = "less"
    return moves


def _curves(response_curves: pl.DataFrame, budget_plan: pl.DataFrame) -> dict[str, Curve]:
    """Curves in money; without `unit` the response is no money, and gain cannot be set against cost."""
    if not {"unit", "beyond_observed"} <= set(response_curves.columns) or budget_plan.is_empty():
        return {}
    current = dict(budget_plan.select("channel", "spend_current").iter_rows())
    found = {}
    for (channel,), part in response_curves.filter(pl.col("unit") == "revenue").group_by(
        "channel", maintain_order=True
    ):
        told = part.drop_nulls(["spend", "response", "response_low", "response_high"]).sort("spend")
        inside = told.filter(~pl.col("beyond_observed"))
        if told.height < 2 or inside.is_empty() or current.get(channel) is None:
            continue
        numbers = {name: told[name].to_numpy().astype(float) for name in ("spend", "response")}
        found[str(channel)] = Curve(
            **numbers,
            low=told["response_low"].to_numpy().astype(float),
            high=told["response_high"].to_numpy().astype(float),
            observed=float(inside["spend"].to_numpy().max()),
            current=float(current[channel]),
            unit=str(part["unit"][0]),
        )
    return found


def validate(action: str, works: bool, channel: str | None, conditions: Conditions) -> Verdict:
    """Whether Causal agrees with doing (`works`) or avoiding an action; `channel` is its campaign's."""
    shift = _SHIFT.search(fold(action))
    if shift:
        return _validate_shift(shift, works, conditions)
    move = direction_of(action)
    if move is None:
        return Verdict(status="unknown", reason="the action does not say whether spend goes up or down")
    named = _channels_in(action, conditions) or ({channel} if channel else set())
    if len(named) != 1:
        return Verdict(status="unknown", reason="the action concerns no single channel")
    about = named.pop()
    if conditions.problem:
        return Verdict(status="unknown", reason=conditions.problem, channel=about)
    if about not in conditions.channels:
        return Verdict(status="unknown", reason=f"channel {about} is not part of the causal model", channel=about)
    share = change_named(action, conditions.curves.get(about), move)
    curve = conditions.curves.get(about)
    if share is not None and curve is not None:
        return _by_gain(about, share, curve, conditions.margins.get(about), works)
    causal, why = _direction(about, conditions)
    if causal is None:
        return Verdict(status="unknown", reason=why, channel=about)
    wanted: Move = move if works else ("less" if move == "more" else "more")
    agrees = causal == wanted
    verb = "agrees" if agrees else "disagrees"
    return Verdict(
        status="validated" if agrees else "contradicted",
        reason=f"the causal model {verb}: {causal} spend on channel {about} ({why})",
        channel=about,
    )


def _validate_shift(shift: re.Match[str], works: bool, conditions: Conditions) -> Verdict:
    givers, takers = (_channels_in(part, conditions) for part in shift.groups())
    if len(givers) != 1 or len(takers) != 1 or givers == takers:
        return Verdict(status="unknown", reason="the action does not move money between two modelled channels")
    giver, taker = givers.pop(), takers.pop()
    if conditions.problem:
        return Verdict(status="unknown", reason=conditions.problem, channel=taker)
    if giver not in conditions.margins or taker not in conditions.margins:
        return Verdict(status="unknown", reason=f"the margin of {giver} or {taker} is unknown", channel=taker)
    given, taken = conditions.margins[giver], conditions.margins[taker]
    gains: bool | None = taken[0] > given[1] if taken[0] > given[1] or taken[1] < given[0] else None
    if gains is None:
        reason = f"the marginal returns of {giver} and {taker} cannot be told apart"
        return Verdict(status="unknown", reason=reason, channel=taker)
    more, less = (taker, giver) if gains else (giver, taker)
    reason = f"the next money returns more on {more} than on {less}"
    return Verdict(status="validated" if gains == works else "contradicted", reason=reason, channel=taker)


def _by_gain(channel: str, change: float, curve: Curve, margin: tuple[float, float] | None, works: bool) -> Verdict:
    """By the gain of the named change, the money counted."""
    target = curve.current + change
    if target > curve.observed or target < 0:
        reason = f"spending {target:,.0f} on {channel} lies outside what was observed (up to {curve.observed:,.0f})"
        return Verdict(status="unknown", reason=reason, channel=channel)
    gain, low, high = gain_of(curve, change, margin)
    told = (
        f"{gain:+,.0f} (90 % interval {low:+,.0f} to {high:+,.0f}) {curve.unit} for {change:+,.0f} spent on {channel}"
    )
    known = Verdict(
        status="unknown",
        reason=f"the expected gain includes none: {told}",
        channel=channel,
        predicted=gain,
        low=low,
        high=high,
        unit=curve.unit,
    )
    if low <= 0 <= high:
        return known
    agrees = (low > 0) == works
    verb = "agrees" if agrees else "disagrees"
    reason = f"the causal model {verb}: expected {told}"
    return replace(known, status="validated" if agrees else "contradicted", reason=reason)


def gain_of(curve: Curve, change: float, margin: tuple[float, float] | None) -> tuple[float, float, float]:
    """Response gained less money spent, with its interval.

    The bounds of a curve move together (they are mostly one factor, the channel's effect), so the interval is that of
    the bounds' own differences. Where the curve is steep or flat they hardly differ, though its slope is not known
    better: so it is widened to what the marginal return's own relative error allows, for small changes to it outright.
    """
    target = curve.current + change

    def difference(values: FloatArray) -> float:
        at = np.interp([curve.current, target], curve.spend, values)
        return float(at[1] - at[0])

    gain = difference(curve.response)
    bounds = [gain, difference(curve.low), difference(curve.high)]
    if margin is not None:
        usual = (margin[0] + margin[1]) / 2
        if margin[0] > 0:
            bounds += [bound / usual * gain for bound in margin]
        if abs(change) <= 0.1 * curve.current:
            bounds += [bound * change for bound in margin]
    return gain - change, min(bounds) - change, max(bounds) - change


def _direction(channel: str, conditions: Conditions) -> tuple[Move | None, str]:
    """Which way spend on a channel should go, and by what; None where margin and plan are silent or disagree."""
    low, high = conditions.margins.get(channel, (-np.inf, np.inf))
    margin: Move | None = "more" if low > BREAK_EVEN else "less" if high < BREAK_EVEN else None
    planned = conditions.planned.get(channel)
    told = f"marginal return {low:.2f} to {high:.2f}"
    if margin and planned and margin != planned:
        return None, f"the budget plan says {planned} on {channel}, its {told} says {margin}"
    if margin or planned:
        return margin or planned, told if margin else f"the budget plan, at a {told}"
    return None, f"the causal model has no sure direction for channel {channel} ({told})"


def _channels_in(text: str, conditions: Conditions) -> set[str]:
    finder = NameFinder([Name(name=name, aliases=(name.replace("_", " "),)) for name in conditions.channels])
    return {hit.name for hit in finder.find(text)}


def direction_of(action: str) -> Move | None:
    """Whether an action moves spend up or down, by its words; None when it says neither or both."""
    said = set(words(action.replace("_", " ")))
    if said & _PARTS and not said & MONEY_WORDS:
        return None
    more, less = bool(said & MORE), bool(said & LESS)
    if more == less:
        return None
    return "more" if more else "less"


def change_named(action: str, curve: Curve | None, move: Move) -> float | None:
    """How much money an action moves, with its sign ("by 10 %", "by 5,000", "double"); None when it does not say."""
    if curve is None:
        return None
    text, sign = fold(action), 1.0 if move == "more" else -1.0
    percent = _PERCENT.search(text)
    if percent:
        return sign * abs(float(percent.group(1))) / 100 * curve.current
    money = _MONEY.search(text)
    if money:
        times = {"k": 1_000.0, "m": 1_000_000.0}.get(money.group(2) or "", 1.0)
        return sign * float(re.sub(r"[ ,]", "", money.group(1))) * times
    whole = next((_WHOLE[word] for word in words(text) if word in _WHOLE), None)
    return None if whole is None else whole * curve.current
