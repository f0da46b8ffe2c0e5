"""Whether units were assigned as planned: a test that may be looked at after every unit.

Sources: Lindon and Malek (2022), Anytime-valid inference for multinomial count data (Dirichlet-multinomial Bayes
factor); Fabijan et al. (2019) for what a broken ratio means; Robbins (1970) for the mixture under adaptive shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from liftos_pipelines.stats import FloatArray

SRM_ALPHA = 0.01
"""Chance that an experiment whose split is as planned is ever called invalid, over all its looks."""
CONCENTRATION = 600.0
"""Of the Dirichlet alternative: deviations of about two points in a hundred are what it looks for first."""
FIRST_LOOK = 50
"""Units before the normal limit of the test under adaptive shares is trusted."""


@dataclass(frozen=True, kw_only=True)
class SplitTest:
    """`p_value` is anytime-valid; `chi_square_p` is that of a single look, for comparison. NaN: not known."""

    counts: tuple[int, ...]
    p_value: float
    chi_square_p: float

    @property
    def broken(self) -> bool:
        return self.p_value < SRM_ALPHA


def split_test(arms: NDArray[np.int64], shares: Sequence[float]) -> SplitTest:
    """Test that units came to the arms with fixed shares.

    Parameters
    ----------
    arms : (n_units,), position of each unit's arm, in the order the units came
    shares : planned, one an arm, summing to one
    """
    planned = np.asarray(shares, dtype=float)
    member = arms[:, None] == np.arange(planned.size)
    counts = member.sum(axis=0)
    if arms.size == 0:
        return SplitTest(counts=tuple(map(int, counts)), p_value=float("nan"), chi_square_p=float("nan"))
    p = float(np.exp(min(0.0, -log_bayes_factor(np.cumsum(member, axis=0), planned).max())))
    chi = float(stats.chisquare(counts, arms.size * planned).pvalue)
    return SplitTest(counts=tuple(map(int, counts)), p_value=p, chi_square_p=chi)


def log_bayes_factor(counts: NDArray[np.int64], shares: FloatArray) -> FloatArray:
    """Log evidence against the planned shares after counts (..., n_arms); its exponent is a test martingale."""
    total = counts.sum(axis=-1)
    prior = CONCENTRATION * shares
    spread = special.gammaln(prior + counts) - special.gammaln(prior)
    found = special.gammaln(CONCENTRATION) - special.gammaln(CONCENTRATION + total)
    return np.asarray(found + spread.sum(axis=-1) - counts @ np.log(shares), dtype=float)


def adaptive_split_test(arms: NDArray[np.int64], propensities: FloatArray, n_arms: int) -> SplitTest:
    """Test that units came to the arms with the logged propensities, whatever moved them.

    Each arm's inverse propensities must average one. Asymptotic, Bonferroni over arms.

    Parameters
    ----------
    arms, propensities : (n_units,), the arm of each unit and the probability with which it was chosen
    """
    counts = tuple(int((arms == k).sum()) for k in range(n_arms))
    unknown = SplitTest(counts=counts, p_value=float("nan"), chi_square_p=float("nan"))
    if arms.size < FIRST_LOOK:
        return unknown
    lowest = 1.0
    for k in range(n_arms):
        steps = np.where(arms == k, 1 / propensities, 0.0) - 1
        moved, variance = np.cumsum(steps), np.cumsum(steps**2)
        mixing = CONCENTRATION * max(n_arms - 1, 1)
        log_p = 0.5 * np.log1p(variance / mixing) - moved**2 / (2 * (variance + mixing))
        lowest = min(lowest, float(np.exp(min(0.0, log_p[FIRST_LOOK - 1 :].min()))) * n_arms)
    return SplitTest(counts=counts, p_value=min(1.0, lowest), chi_square_p=float("nan"))
