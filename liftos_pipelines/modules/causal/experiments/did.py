"""Difference-in-differences of a geo test, its event study and pre-trend test.

Each geo's change is its mean over the test's weeks as a multiple of its mean before; the treated geos' change less
that of the untreated, times the treated level, is the outcome added a week.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liftos_pipelines.modules.causal.experiments.contrast import (
    MAX_ASSIGNMENTS,
    TIE,
    Estimate,
    assignments,
    cluster_contrast,
    contrast_weights,
    randomisation_contrast,
)
from liftos_pipelines.modules.causal.experiments.geo_panel import BoolArray, FloatArray, Placed

FEW = 4
"""A group that counts for fewer geos than this has a spread too poorly known for a t interval that is any use."""
ENOUGH_WAYS = 30
"""With fewer assignments a randomisation test cannot tell the levels that matter apart."""
BLOCKS = 4


def changes(placed: Placed) -> FloatArray:
    """(n_geos,): mean of the window as a share of the level before, less 1."""
    return np.asarray(placed.scaled[:, placed.n_pre :].mean(axis=1) - 1)


def difference_in_differences(
    placed: Placed, *, level: float = 0.9, seed: int = 0, limit: int = MAX_ASSIGNMENTS
) -> tuple[Estimate, float, FloatArray]:
    """Relative effect with interval, p-value by randomisation, and the effects of the other assignments.

    Where both groups count for four geos or more the interval is a t interval (CR2, Bell-McCaffrey); with fewer, the
    inversion of the randomisation test where there are assignments enough, and the t interval, wide, otherwise.
    """
    change, base = changes(placed), placed.base
    ways = assignments(placed.treated, seed=seed, limit=limit)
    randomised, contrasts = randomisation_contrast(change, base, ways, level)
    estimate = cluster_contrast(change, base, placed.treated, level)
    if randomisation_is_better(base, ways):
        estimate = randomised
    return estimate, randomised.p_value, contrasts[1:]


def randomisation_is_better(base: FloatArray, ways: BoolArray) -> bool:
    """Whether a group counts for too few geos for a t interval, and the assignments (actual first) are enough."""
    weights = contrast_weights(base, ways[0])
    # Geos of unequal size count for fewer (Kish, 1965, Survey sampling: effective size).
    smaller = min(1 / float((weights[group] ** 2).sum()) for group in (ways[0], ~ways[0]))
    return smaller < FEW and len(ways) >= ENOUGH_WAYS


@dataclass(frozen=True, kw_only=True)
class EventStudy:
    """Treated less untreated by week, relative to the mean before; `low`, `high` pointwise 90 %, (n_weeks,).

    `slope_p`: no linear trend apart before the test (t). `joint_p`: nothing apart in any of four blocks of weeks
    before the test (randomisation). None where the weeks or geos are too few.
    """

    week: tuple[int, ...]
    effect: FloatArray
    low: FloatArray
    high: FloatArray
    slope_p: float | None
    joint_p: float | None


def event_study(placed: Placed, *, level: float = 0.9, seed: int = 0) -> EventStudy:
    """Week by week contrast, and two tests that the groups moved alike before the test.

    Source: Roth (2022), Pretest with caution: event-study estimates after testing for parallel trends; a test that
    is not rejected is weak evidence, and is reported as no more.
    """
    relative, base, n_pre = placed.scaled - 1, placed.base, placed.n_pre
    by_week = [cluster_contrast(relative[:, week], base, placed.treated, level) for week in range(relative.shape[1])]
    time = np.arange(n_pre) - (n_pre - 1) / 2
    slopes = relative[:, :n_pre] @ time / (time @ time)
    slope_p = cluster_contrast(slopes, base, placed.treated, level).p_value
    return EventStudy(
        week=tuple(range(-n_pre, placed.n_window)),
        effect=np.array([item.effect for item in by_week]),
        low=np.array([item.low for item in by_week]),
        high=np.array([item.high for item in by_week]),
        slope_p=slope_p if slope_p == slope_p else None,
        joint_p=_joint_p(relative[:, :n_pre], base, placed.treated, seed),
    )


def _joint_p(before: FloatArray, base: FloatArray, treated: BoolArray, seed: int) -> float | None:
    ways = assignments(treated, seed=seed)
    if len(ways) < ENOUGH_WAYS or before.shape[1] < 2 * BLOCKS:
        return None
    blocks = np.stack([part.mean(axis=1) for part in np.array_split(before, BLOCKS, axis=1)])
    apart = contrast_weights(base, ways) @ blocks.T
    size = (apart**2).sum(axis=1)
    return float(np.mean(size >= size[0] - TIE))
