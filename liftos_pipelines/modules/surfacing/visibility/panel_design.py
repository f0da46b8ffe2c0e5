"""How many prompts to ask, and how often, for an interval of a wanted width at the least cost.

    half-width = t sqrt(p (1 - p) (1 + (m - 1) ICC) / (K m))

for K prompts asked m times each, within-prompt correlation ICC and rate p; t is Student's for the few prompts. At an
ICC of .8 three repeats count as 1.15 answers: prompts narrow an interval, repeats hardly do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from scipy import stats

from liftos_pipelines.modules.surfacing.visibility.intervals import LEVEL, USUAL_ICC
from liftos_pipelines.tables import ALL

MOST_PROMPTS = 5000
MOST_REPEATS = 20
WORST_RATE = 0.5
POWER = 0.8


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A panel and what it costs a period: `prompts` asked `repeats` times each of one engine."""

    prompts: int
    repeats: float
    width: float
    cost: float | None

    @property
    def answers(self) -> float:
        return self.prompts * self.repeats


@dataclass(frozen=True, kw_only=True)
class Prices:
    """What an answer costs, and what one more prompt costs a period (writing and keeping it), in one currency."""

    answer: float
    prompt: float = 0.0

    def of(self, prompts: int, repeats: float) -> float:
        return prompts * (self.prompt + repeats * self.answer)


def half_width(rate: float, icc: float, prompts: int, repeats: float, level: float = LEVEL) -> float:
    """Half of the interval of a rate.

    Raises
    ------
    ValueError : fewer than two prompts, less than one repeat, or a rate or ICC outside [0, 1], naming it
    """
    if prompts < 2:
        raise ValueError(f"a panel needs two prompts for an interval, found {prompts}")
    if repeats < 1:
        raise ValueError(f"each prompt is asked at least once, found {repeats} repeats")
    for name, value in (("rate", rate), ("ICC", icc)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie in [0, 1], found {value}")
    quantile = float(stats.t.ppf(0.5 + level / 2, prompts - 1))
    return quantile * math.sqrt(rate * (1 - rate) * (1 + (repeats - 1) * icc) / (prompts * repeats))


def prompts_needed(width: float, rate: float, icc: float, repeats: float, level: float = LEVEL) -> int | None:
    """Fewest prompts for an interval at most `width` wide (both sides together); None above `MOST_PROMPTS`."""
    if not 0 < width < 1:
        raise ValueError(f"width must lie between 0 and 1, found {width}")
    low, high = 2, MOST_PROMPTS
    if 2 * half_width(rate, icc, high, repeats, level) > width:
        return None
    while low < high:
        middle = (low + high) // 2
        if 2 * half_width(rate, icc, middle, repeats, level) <= width:
            high = middle
        else:
            low = middle + 1
    return low


def cheapest_panel(
    width: float, rate: float, icc: float, prices: Prices, *, most_prompts: int = MOST_PROMPTS, level: float = LEVEL
) -> Panel | None:
    """The panel of least cost whose interval is at most `width` wide; None where `most_prompts` are too few.

    With prompts that cost nothing one repeat is always cheapest; the dearer a prompt against an answer and the lower
    the ICC, the more repeats pay (about sqrt(price ratio x (1 - ICC) / ICC); Cochran 1977, Sampling techniques, 10.6).
    """
    best: Panel | None = None
    for repeats in range(1, MOST_REPEATS + 1):
        prompts = prompts_needed(width, rate, icc, repeats, level)
        if prompts is None or prompts > most_prompts:
            continue
        cost = prices.of(prompts, repeats)
        if best is None or best.cost is None or cost < best.cost:
            found = 2 * half_width(rate, icc, prompts, repeats, level)
            best = Panel(prompts=prompts, repeats=repeats, width=found, cost=cost)
    return best


def smallest_change(
    rate: float, icc: float, prompts: int, repeats: float, kept: float = 0.0, level: float = LEVEL, power: float = POWER
) -> float:
    """Change between two periods that is found with probability `power` by a test at 1 - `level`.

    `kept` is how prompts' rates of the two periods correlate when the same prompts are asked: 0 for other prompts. What
    the same prompts bring is their lasting part, which falls out of the difference.
    """
    single = half_width(rate, icc, prompts, repeats, level) / float(stats.t.ppf(0.5 + level / 2, prompts - 1))
    deviation = single * math.sqrt(2 * (1 - min(max(kept, 0.0), 1.0)))
    return deviation * float(stats.t.ppf(0.5 + level / 2, prompts - 1) + stats.norm.ppf(power))


def assumed(rate: float | None, icc: float | None) -> tuple[float, float, list[str]]:
    """Rate and ICC to plan with, and what had to be assumed for want of a measurement."""
    notes = []
    if rate is None:
        rate = WORST_RATE
        notes.append(f"no mention rate is measured yet: planned for {WORST_RATE:.0%}, where intervals are widest")
    if icc is None:
        icc = USUAL_ICC
        notes.append(
            f"no within-prompt correlation is measured yet: planned for {USUAL_ICC}, as found on public answers"
        )
    return rate, icc, notes


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one engine's panel sees now: rate with its interval, and what its answers are worth.

    `smallest_change`: change against other prompts that is found four times in five; None with one prompt.
    `prompts_needed`: for the wanted width at the wanted repeats; None out of reach.
    """

    engine: str
    period: str
    prompts: int
    repeats: float
    rate: float
    low: float
    high: float
    icc: float
    counts_as: float
    smallest_change: float | None
    prompts_needed: int | None

    @property
    def width(self) -> float:
        return self.high - self.low


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A panel for the wanted width on the engine that needs most; `assumed` says what was not measured."""

    width: float
    repeats: int
    seen: Sequence[Seen]
    rate: float
    icc: float
    assumed: Sequence[str]
    prompts_needed: int | None
    prompts_needed_once: int | None
    cheapest: Panel | None


def panel_plan(posterior: pl.DataFrame, width: float, repeats: int, prices: Prices | None = None) -> Plan:
    """What the panel of the newest month sees per engine, and what a wanted width needs.

    Parameters
    ----------
    posterior : the table `surfacing/visibility_posterior`; without the own brand, the plan is for the worst case
    width : wanted width of the mention rate's interval, both sides together
    repeats : how often each prompt shall be asked a month
    prices : of answers and prompts; without them no cheapest panel is sought
    """
    own = posterior.filter(pl.col("own") & (pl.col("engine") != ALL))
    newest = own.filter(pl.col("period") == pl.col("period").max()).sort("engine")
    seen = []
    for row in newest.iter_rows(named=True):
        asked = max(row["n_answers"] / row["n_prompts"], 1.0)
        seen.append(
            Seen(
                engine=row["engine"],
                period=row["period"],
                prompts=row["n_prompts"],
                repeats=asked,
                rate=row["rate"],
                low=row["low"],
                high=row["high"],
                icc=row["icc"],
                counts_as=row["n_answers"] / (1 + (asked - 1) * row["icc"]),
                smallest_change=smallest_change(row["rate"], row["icc"], row["n_prompts"], asked),
                prompts_needed=prompts_needed(width, row["rate"], row["icc"], repeats),
            )
        )
    hardest = max(seen, key=lambda one: one.rate * (1 - one.rate) * (1 + (repeats - 1) * one.icc), default=None)
    rate, icc, notes = assumed(hardest.rate if hardest else None, hardest.icc if hardest else None)
    return Plan(
        width=width,
        repeats=repeats,
        seen=seen,
        rate=rate,
        icc=icc,
        assumed=notes,
        prompts_needed=prompts_needed(width, rate, icc, repeats),
        prompts_needed_once=prompts_needed(width, rate, icc, 1),
        cheapest=cheapest_panel(width, rate, icc, prices) if prices is not None else None,
    )


def plan_words(plan: Plan, currency: str = "") -> list[str]:
    """The plan as sentences."""
    lines = []
    for one in plan.seen:
        lines.append(
            f"{one.engine}, {one.period}: {one.prompts} prompts asked {one.repeats:.1f} times each. The brand is named "
            f"in {one.rate:.0%} of answers (90 % interval {one.low:.0%} to {one.high:.0%}). Answers to one prompt "
            f"agree (correlation {one.icc:.2f}): {one.prompts * one.repeats:.0f} answers count as {one.counts_as:.0f}."
        )
        if one.smallest_change is not None:
            lines.append(
                f"With other prompts each month, a change of {100 * one.smallest_change:.0f} points on {one.engine} "
                "would be seen four times in five; with the same prompts, smaller ones."
            )
    lines += plan.assumed
    wanted = f"An interval {100 * plan.width:.0f} points wide (plus or minus {50 * plan.width:.3g})"
    if plan.prompts_needed is None:
        lines.append(f"{wanted} is out of reach: more than {MOST_PROMPTS:,} prompts. Ask for a wider one.")
    else:
        once = f", or {plan.prompts_needed_once} asked once" if plan.prompts_needed_once and plan.repeats > 1 else ""
        times = f"{plan.repeats} times" if plan.repeats > 1 else "once"
        lines.append(f"{wanted} needs {plan.prompts_needed} prompts asked {times} an engine and month{once}.")
    if plan.cheapest is not None and plan.cheapest.cost is not None:
        best = plan.cheapest
        lines.append(
            f"Cheapest: {best.prompts} prompts asked {best.repeats:.0f} time{'s' if best.repeats > 1 else ''}, "
            f"{best.cost:,.2f} {currency} an engine and month."
        )
    return lines
