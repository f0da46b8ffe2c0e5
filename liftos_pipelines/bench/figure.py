"""One measured figure, and how it is told apart from one that was not measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray


class NoData(LookupError):
    """The benchmark's data are not on this machine."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """`value` None means not measured, and `method` says why."""

    benchmark: str
    name: str
    value: float | None
    unit: str
    method: str
    n: int | None = None
    low: float | None = None
    high: float | None = None
    goal: str | None = None
    baseline: str | None = None
    baseline_value: float | None = None

    @property
    def baseline_text(self) -> str:
        return "unknown" if self.baseline_value is None else f"{self.baseline_value:,.3g} {self.unit}"


def unmeasured(benchmark: str, name: str, unit: str, why: str) -> Figure:
    return Figure(benchmark=benchmark, name=name, value=None, unit=unit, method=why)


def parts(benchmark: str, modules: Iterable[ModuleType], data: Path) -> Iterator[Figure]:
    """The figures of several files of one benchmark; one without its data says so, and the others go on."""
    for module in modules:
        try:
            yield from module.measure(data)
        except NoData as absent:
            yield unmeasured(benchmark, module.__name__.rsplit(".", 1)[-1], "", str(absent))


def milliseconds(action: Callable[[int], object], times: int) -> NDArray[np.float64]:
    """Wall time of each of `times` calls, in ms; the call gets its number."""
    taken = np.empty(times)
    for number in range(times):
        began = time.perf_counter()
        action(number)
        taken[number] = (time.perf_counter() - began) * 1000
    return taken


def p95_interval(sample: NDArray[np.float64], seed: int = 7, replicates: int = 1000) -> tuple[float, float, float]:
    """95th percentile with a 90 % bootstrap interval."""
    rng = np.random.default_rng(seed)
    draws = np.percentile(rng.choice(sample, size=(replicates, sample.size)), 95, axis=1)
    low, high = np.percentile(draws, [5, 95])
    return float(np.percentile(sample, 95)), float(low), float(high)
