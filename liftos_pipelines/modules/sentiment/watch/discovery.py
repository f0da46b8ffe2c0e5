"""False-discovery control over many streams that are judged anew each day.

Gandy and Lau (2013, Biometrika 100; arXiv 1204.4333) turn each stream's CUSUM into a p-value against its own simulated
null and put the p-values of a day through Benjamini and Hochberg's step-up. Any rule with a finite run length
must fail in the long run (Dandapanthula and Ramdas 2025, arXiv 2501.04130), so rates are per horizon: a p-value is the
probability that a calm stream reaches so high a statistic at any time within it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def horizon(false_discoveries: float, false_alarms_per_year: float) -> float:
    """Years in which calm streams raise an alarm with probability `false_discoveries`, at that rate of false alarms."""
    return float(-np.log1p(-false_discoveries) / false_alarms_per_year)


def step_up(p_values: Array, weights: Array, q: float) -> NDArray[np.bool_]:
    """Which hypotheses are discoveries at false-discovery rate `q`, each p-value divided by its weight.

    Weights are set before the data are seen and are scaled to a mean of 1 here. Valid for p-values that are independent
    or positively dependent on each other (as a total and its parts are).
    Sources: Benjamini and Hochberg (1995); Genovese, Roeder and Wasserman (2006) for the weights.
    """
    if not p_values.size:
        return np.zeros(0, dtype=bool)
    weighed = p_values / (weights / weights.mean())
    order = np.argsort(weighed, kind="stable")
    passed = np.flatnonzero(weighed[order] <= q * np.arange(1, order.size + 1) / order.size)
    found = np.zeros(order.size, dtype=bool)
    if passed.size:
        found[order[: passed[-1] + 1]] = True
    # A weight may not let a stream alarm more often than it would if it were the only one.
    return found & (p_values <= q)
