"""Intervals for rates whose answers cluster by prompt: the prompt is the unit, and few prompts are told as few.

Answers to one prompt resemble each other (an intra-class correlation of about .8 was measured on real answers), so K
prompts asked m times each count as K m / (1 + (m - 1) ICC) answers. The correlation of one brand cannot be read off a
handful of mentions, so it leans on that of all brands of the same panel as far as few prompts name the brand.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from liftos_pipelines.stats import FloatArray

LEVEL = 0.9
USUAL_ICC = 0.8
"""Where a panel says nothing (no prompt asked twice): the median of 792 real answers of two assistants."""
ICC_WEIGHT = 4.0
"""How many prompts that tell something a brand's own correlation needs to count as much as the panel's."""
PANEL_WEIGHT = 4.0
"""The same for the panel's correlation against the usual one."""


def ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """Totals over prompts divided, (m,); NaN where there is nothing to divide by."""
    totals = below.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(totals > 0, above.sum(axis=0) / totals, np.nan)


def correlations(above: FloatArray, below: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Within-prompt correlation of each ratio, shrunk to that of all, and how many prompts told it.

    Parameters
    ----------
    above, below : (n_prompts, m), each prompt's part of numerator and denominator, all of one kind of metric

    Returns
    -------
    icc : (m,), in [0, 1]
    telling : (m,), prompts with some of what is rarer, presence or absence

    Moment estimate from the linearised variance of the ratio; shrinkage by prompts that tell something.
    """
    value, totals, squares = ratio(above, below), below.sum(axis=0), (below**2).sum(axis=0)
    active = (below > 0).sum(axis=0)
    telling = np.minimum((above > 0).sum(axis=0), ((below > 0) & (above < below)).sum(axis=0)).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = active / (active - 1) * (np.where(below > 0, above - value * below, 0.0) ** 2).sum(axis=0)
        binomial = value * (1 - value)
        raw = (spread / binomial - totals) / (squares - totals)
    known = np.isfinite(raw) & (squares > totals) & (active > 1)
    raw = np.where(known, np.clip(raw, 0.0, 1.0), 0.0)
    weight = np.where(known, telling, 0.0)
    panel = (raw @ weight + PANEL_WEIGHT * USUAL_ICC) / (weight.sum() + PANEL_WEIGHT)
    return (weight * raw + ICC_WEIGHT * panel) / (weight + ICC_WEIGHT), telling


def effective_answers(below: FloatArray, icc: FloatArray) -> FloatArray:
    """(m,) answers that as many independent ones would be worth: Kish's design effect for unequal clusters."""
    totals = below.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = totals**2 / (below * (1 + np.maximum(below - 1, 0.0) * icc)).sum(axis=0)
    return np.asarray(worth)


def ratio_intervals(
    above: FloatArray, below: FloatArray, level: float = LEVEL
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Ratios of totals over prompts with score intervals at the effective number of answers.

    Parameters
    ----------
    above, below : (n_prompts, m), each prompt's part of numerator and denominator, all of one kind of metric
    level : coverage

    Returns
    -------
    value, low, high, icc : (m,), NaN where not measurable; no interval from fewer than two prompts

    Sources: Wilson (1927) for the score interval; Korn and Graubard (1998) for the effective sample size; Kish (1965)
    for the design effect of clusters.
    """
    value = ratio(above, below)
    icc, _ = correlations(above, below)
    low, high = score_interval(value, effective_answers(below, icc), level)
    usable = ((below > 0).sum(axis=0) >= 2) & np.isfinite(value)
    return value, np.where(usable, low, np.nan), np.where(usable, high, np.nan), np.where(usable, icc, np.nan)


def score_interval(value: FloatArray, answers: FloatArray, level: float = LEVEL) -> tuple[FloatArray, FloatArray]:
    """Wilson's interval for a rate seen in so many (effective) answers."""
    z = stats.norm.ppf(0.5 + level / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (value + z**2 / (2 * answers)) / (1 + z**2 / answers)
        spread = np.sqrt(np.maximum(value * (1 - value), 0.0) / answers + z**2 / (4 * answers**2))
        half = z / (1 + z**2 / answers) * spread
    return np.clip(np.minimum(centre - half, value), 0.0, 1.0), np.clip(np.maximum(centre + half, value), 0.0, 1.0)


def prompt_weights(prompts: int, replicates: int, seed: int) -> FloatArray:
    """How often each prompt is drawn in each bootstrap replicate, (replicates, prompts): Field and Welsh (2007)."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=replicates), dtype=float)
