"""The best budget of a simulated world, found on its true response, and what any other split of it is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liftos_pipelines.simulate.mmm_worlds import PRICE, FloatArray, World

UNITS = 600
"""Steps into which the budget is cut for the global search."""
POLISH = 60


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The newest weeks whose total spend is spread anew. Arrays are (n_channels,)."""

    spend: FloatArray
    low: FloatArray
    high: FloatArray
    weeks: int


def budget_of(world: World, *, plan_weeks: int, band: float) -> Budget:
    """Bounds of the plan: each channel moves by at most `band`, its mean week never above its highest seen week."""
    weeks = min(plan_weeks, len(world.weeks))
    spend = world.spend[:, :, -weeks:].sum(axis=(1, 2))
    observed = world.spend.sum(axis=1).max(axis=1) / (spend / weeks)
    return Budget(spend=spend, low=np.full(len(spend), 1 - band), high=np.minimum(1 + band, observed), weeks=weeks)


def revenue(world: World, scales: FloatArray, budget: Budget) -> float:
    """Revenue of all media in the plan's weeks when each channel's whole history is scaled: its steady state."""
    return PRICE * sum(
        float(world.respond(c, float(scale))[:, -budget.weeks :].sum()) for c, scale in enumerate(scales)
    )


def feasible(wanted: FloatArray, budget: Budget) -> FloatArray:
    """The multiples nearest to `wanted` that lie in the bounds and spend the budget: a common shift, then clipped."""
    share = budget.spend / budget.spend.sum()
    below, above = -1e3, 1e3
    for _ in range(200):
        shift = (below + above) / 2
        spent = float(share @ np.clip(wanted + shift, budget.low, budget.high))
        below, above = (below, shift) if spent > 1 else (shift, above)
    return np.clip(wanted + (below + above) / 2, budget.low, budget.high)


def equal_split(budget: Budget) -> FloatArray:
    """Multiples of the feasible plan nearest to the same money for each channel."""
    return feasible(budget.spend.mean() / budget.spend, budget)


def by_average_roi(roi: FloatArray, budget: Budget) -> FloatArray:
    """Multiples of the feasible plan nearest to one step in proportion to average ROI: the habit to be beaten."""
    return feasible(roi / float(roi @ budget.spend / budget.spend.sum()), budget)


def best_split(world: World, budget: Budget) -> FloatArray:
    """Multiples that give most revenue within the bounds at the same total.

    Dynamic programming over the budget in `UNITS` steps, so S-shaped responses have no local optimum to end in; then
    exchanges between pairs of channels, ever smaller, until none gains.
    """
    total = float(budget.spend.sum())
    step = total / UNITS
    best = np.full(UNITS + 1, -np.inf)
    best[0] = 0.0
    choices: list[np.ndarray] = []
    for c, spend in enumerate(budget.spend):
        first, last = int(np.ceil(budget.low[c] * spend / step)), int(np.floor(budget.high[c] * spend / step))
        values = {n: _one(world, c, n * step / spend, budget.weeks) for n in range(first, last + 1)}
        reached, chosen = np.full(UNITS + 1, -np.inf), np.zeros(UNITS + 1, dtype=int)
        for n, value in values.items():
            moved = np.concatenate([np.full(n, -np.inf), best[: UNITS + 1 - n]]) + value
            better = moved > reached
            reached[better], chosen[better] = moved[better], n
        best = reached
        choices.append(chosen)
    # The grid need not spend the last coin: where the full sum cannot be met exactly, start from the nearest below.
    left = int(np.flatnonzero(np.isfinite(best))[-1])
    units = np.zeros(len(budget.spend))
    for c in range(len(budget.spend) - 1, -1, -1):
        units[c] = choices[c][left]
        left -= int(units[c])
    return _exchange(world, feasible(units * step / budget.spend, budget), budget)


def _one(world: World, channel: int, scale: float, weeks: int) -> float:
    return PRICE * float(world.respond(channel, scale)[:, -weeks:].sum())


def _exchange(world: World, scales: FloatArray, budget: Budget) -> FloatArray:
    """Move money between two channels while that gains, with steps halved when none does."""
    scales = scales.copy()
    values = np.array([_one(world, c, scale, budget.weeks) for c, scale in enumerate(scales)])
    amount = budget.spend.sum() / UNITS
    for _ in range(POLISH):
        gained = False
        for giver in range(len(scales)):
            for taker in range(len(scales)):
                less, more = scales[giver] - amount / budget.spend[giver], scales[taker] + amount / budget.spend[taker]
                if giver == taker or less < budget.low[giver] or more > budget.high[taker]:
                    continue
                pair = (_one(world, giver, less, budget.weeks), _one(world, taker, more, budget.weeks))
                if sum(pair) > values[giver] + values[taker]:
                    scales[giver], scales[taker] = less, more
                    values[giver], values[taker] = pair
                    gained = True
        if not gained:
            amount /= 2
            if amount < 1e-6 * budget.spend.sum():
                break
    return scales
