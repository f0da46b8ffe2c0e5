"""Two years of weekly sentiment and outcome with a known link, or none where there seems to be one.

Nothing links the two in `NULLS`: they only persist, drift, share spend, a season or a trend, break in the same week, or
sentiment comes after the outcome. In `linked` the log outcome moves with sentiment some weeks before, by a known slope,
while spend and promotions move both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Array = NDArray[np.float64]

WEEKS = 104


@dataclass(frozen=True, kw_only=True)
class World:
    """Two years of weeks: observed sentiment and log outcome, and the drivers that the client knows of."""

    sentiment: Array
    outcome: Array
    drivers: Array
    variance: Array

    @property
    def shocks(self) -> tuple[int, ...]:
        """Weeks far below the eight before them."""
        n = self.sentiment.size
        usual = np.array([self.sentiment[max(0, t - 8) : t].mean() if t >= 8 else np.nan for t in range(n)])
        gap = self.sentiment - usual
        return tuple(np.flatnonzero(gap < -2.0 * np.nanstd(gap)).tolist())


def persistent(rng: np.random.Generator, rho: float, sd: float, n: int = WEEKS) -> Array:
    """AR(1) of this standard deviation; a random walk of this weekly step where rho is 1."""
    if rho == 1:
        return np.cumsum(rng.normal(0, sd, n))
    shocks = rng.normal(0, sd * np.sqrt(1 - rho**2), n + 100)
    return np.asarray(lfilter([1.0], [1.0, -rho], shocks)[100:])


def season(rng: np.random.Generator, size: float, n: int = WEEKS) -> Array:
    """Two harmonics of the year with a random phase."""
    week, phase = np.arange(n), rng.uniform(0, 2 * np.pi, 2)
    return np.asarray(
        size * np.cos(2 * np.pi * week / 52.18 + phase[0]) + 0.4 * size * np.cos(4 * np.pi * week / 52.18 + phase[1])
    )


def driven(rng: np.random.Generator, n: int = WEEKS) -> tuple[Array, Array, Array]:
    """Spend in flights with carry-over and promotions move sentiment and outcome alike: their parts, the columns."""
    flight = (np.arange(n) + rng.integers(8)) % 8 < 4
    spend = np.where(flight, np.exp(rng.normal(0, 0.3, n)), 0.1)
    promotion = (rng.random(n) < 0.15).astype(float)
    carried = lfilter([1.0], [1.0, -0.6], spend)
    pulled_forward = np.concatenate(([0.0], promotion[:-1]))
    outcome = 0.25 * carried / (carried + 1.5) + 0.15 * promotion - 0.05 * pulled_forward
    sentiment = 0.06 * spend + 0.10 * promotion
    known = lfilter([1.0], [1.0, -0.5], spend)
    columns = np.stack([spend, known / (known + np.median(known)), promotion, pulled_forward], axis=1)
    return np.asarray(sentiment), np.asarray(outcome), columns


def _world(sentiment: Array, outcome: Array, drivers: Array | None = None, variance: float = 0.0) -> World:
    n = outcome.size
    return World(
        sentiment=0.2 + sentiment,
        outcome=7 + outcome,
        drivers=np.empty((n, 0)) if drivers is None else drivers,
        variance=np.full(n, variance),
    )


def unrelated(rho: float) -> Callable[[np.random.Generator], World]:
    def make(rng: np.random.Generator) -> World:
        return _world(persistent(rng, rho, 0.1), persistent(rng, rho, 0.06) + season(rng, 0.1))

    return make


def common_driver(rng: np.random.Generator) -> World:
    sentiment, outcome, columns = driven(rng)
    return _world(
        sentiment + persistent(rng, 0.5, 0.06), outcome + persistent(rng, 0.5, 0.05) + season(rng, 0.1), columns
    )


def unobserved_season(rng: np.random.Generator) -> World:
    """A season and a bent trend that nobody wrote down move both, sentiment a little earlier."""
    year = season(rng, 1.0, WEEKS + 3)
    time = np.linspace(0, 1, WEEKS)
    trend = rng.normal(0, 1) * time + rng.normal(0, 2) * (time - 0.5) ** 2
    return _world(
        0.1 * (year[3:] + trend) + persistent(rng, 0.5, 0.06), 0.15 * (year[:-3] + trend) + persistent(rng, 0.5, 0.05)
    )


def reverse(rng: np.random.Generator) -> World:
    """The outcome moves sentiment two weeks later."""
    moves = persistent(rng, 0.5, 0.06)
    late = np.concatenate((rng.normal(0, 0.06, 2), moves[:-2]))
    return _world(1.2 * late + persistent(rng, 0.5, 0.05), moves + season(rng, 0.1))


def broken_trends(rng: np.random.Generator) -> World:
    """Both climb, each with its own bend."""
    time = np.arange(WEEKS) / WEEKS
    slopes, turns, at = rng.normal(1, 0.5, 2), rng.normal(0, 1, 2), rng.uniform(0.3, 0.7, 2)
    bends = slopes[:, None] * time + turns[:, None] * np.maximum(time - at[:, None], 0)
    return _world(0.3 * bends[0] + persistent(rng, 0.5, 0.06), 0.5 * bends[1] + persistent(rng, 0.5, 0.05))


def random_walks(rng: np.random.Generator) -> World:
    return _world(persistent(rng, 1.0, 0.03), persistent(rng, 1.0, 0.03))


def outlier(rng: np.random.Generator) -> World:
    """An outage of one week: the outcome falls, and in that or one of the next weeks everybody is angry."""
    sentiment, outcome = persistent(rng, 0.5, 0.06), persistent(rng, 0.5, 0.05) + season(rng, 0.1)
    week = int(rng.integers(10, WEEKS - 10))
    outcome[week] -= 0.6
    sentiment[week + int(rng.integers(0, 3))] -= 0.7
    return _world(sentiment, outcome)


NULLS: dict[str, Callable[[np.random.Generator], World]] = {
    "unrelated, rho 0": unrelated(0.0),
    "unrelated, rho .5": unrelated(0.5),
    "unrelated, rho .9": unrelated(0.9),
    "common driver, observed": common_driver,
    "common season and trend, unobserved": unobserved_season,
    "reverse: the outcome comes first": reverse,
    "trends with bends": broken_trends,
    "random walks": random_walks,
    "one outlier week": outlier,
}


def linked(rng: np.random.Generator, slope: float, lag: int, error: float = 0.0) -> World:
    """Sentiment beyond the common driver moves the log outcome `lag` weeks later; measured with sampling `error`."""
    from_driver, outcome, columns = driven(rng, WEEKS + 8)
    own = persistent(rng, 0.5, 0.08, WEEKS + 8)
    sentiment = from_driver + own
    moved = slope * np.concatenate((np.zeros(lag), sentiment[: sentiment.size - lag]))
    outcome = outcome + moved + persistent(rng, 0.4, 0.04, WEEKS + 8) + season(rng, 0.1, WEEKS + 8)
    seen = sentiment + rng.normal(0, error, sentiment.size)
    return _world(seen[8:], outcome[8:], columns[8:], error**2)
