"""One finding, and the few ways in which what was found is held against what is true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from liftos_pipelines.stats import wilson_interval

Verdict = Literal["agrees", "misses", "unknown"]
Read = Callable[[str], pl.DataFrame]
Truth = dict[str, Any]

NOT_MEASURED = "unknown"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a module found beside what is true of the simulated world.

    `found` carries its interval, `where` is the asset whose table to look at next. The verdict is `unknown` where
    the module said nothing or nothing is known to be true.
    """

    module: str
    what: str
    found: str
    truth: str
    verdict: Verdict
    where: str


def not_found(where: str, what: str, truth: str) -> Finding:
    """The module's table says nothing about it."""
    return Finding(
        module=where.split("/")[0], what=what, found=NOT_MEASURED, truth=truth, verdict="unknown", where=where
    )


def finding(where: str, what: str, found: str, truth: str, agrees: bool | None) -> Finding:
    verdict: Verdict = "unknown" if agrees is None else "agrees" if agrees else "misses"
    return Finding(module=where.split("/")[0], what=what, found=found, truth=truth, verdict=verdict, where=where)


def number(value: float | None) -> str:
    """Four significant digits at most; `unknown` for what was not measured."""
    if value is None or value != value:
        return NOT_MEASURED
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def with_interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or value != value:
        return NOT_MEASURED
    if low is None or high is None or low != low or high != high:
        return f"{number(value)} [no interval]"
    return f"{number(value)} [{number(low)}, {number(high)}]"


def holds(low: float | None, high: float | None, true: float) -> bool | None:
    """Whether an interval holds the truth; None without an interval."""
    if low is None or high is None or low != low or high != high:
        return None
    return low <= true <= high


def share(hits: int, of: int) -> str:
    """A share with its 90 % Wilson interval and its counts."""
    if of == 0:
        return NOT_MEASURED
    low, high = wilson_interval(hits, of)
    return f"{hits / of:.1%} [{low:.1%}, {high:.1%}] ({hits:,} of {of:,})"


def coverage(where: str, what: str, held: list[bool], nominal: float = 0.9) -> Finding:
    """How often 90 % intervals held the truth; agrees unless clearly below nominal (Wilson, 90 %)."""
    expected = f"{nominal:.0%} of intervals hold the truth"
    if not held:
        return not_found(where, what, expected)
    _, high = wilson_interval(sum(held), len(held))
    return finding(where, what, share(sum(held), len(held)), expected, high >= nominal)
