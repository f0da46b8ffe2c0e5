"""How many prompts to ask, and how often, for an interval of a wanted width at the least cost.

    half-width = t sqrt(p (1 - p) (1 + (m - 1) ICC) / (K m))

for K prompts asked m times each, within-prompt correlation ICC and rate p; t is Student's for the few prompts. At an
ICC of .8 three repeats count as 1.15 answers: prompts narrow an interval, repeats hardly do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from liftos_pipelines.modules.surfacing.intervals import LEVEL, USUAL_ICC

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
