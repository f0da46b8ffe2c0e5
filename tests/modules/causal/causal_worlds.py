"""Small marketing worlds with known truth, written here alone: they share no code with what they test."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

START = date(2023, 1, 2)
ROI = {"tv": 2.0, "search": 3.0, "social": 1.2}
RETENTION = {"tv": 0.6, "search": 0.1, "social": 0.4}
HALF = {"tv": 1.5, "search": 2.0, "social": 1.0}
PRICE = 40.0


@dataclass(frozen=True)
class World:
    """The three canonical tables and what is true of them; `roi` per channel over the whole time."""

    outcome: pl.DataFrame
    media: pl.DataFrame
    controls: pl.DataFrame
    channels: list[str]
    geos: list[str]
    weeks: list[date]
    roi: dict[str, float]
    contribution: dict[str, np.ndarray]
    """(n_geos, n_weeks) in outcome."""


def make_world(*, seed: int, geos: int = 2, weeks: int = 104, noise: float = 0.03) -> World:
    """Trend, one yearly wave, a control, three channels of geometric carry-over (8 lags) and Hill saturation.

    Weeks are drawn one after another, so a longer world begins with the same spend as a shorter one.
    """
    names = [f"g{g}" for g in range(geos)]
    population = np.array([4e6, 2e6, 1e6, 5e5])[:geos]
    draws = np.random.default_rng([seed, 1]).normal(size=(weeks + 60, geos, 8))[:weeks]
    week = np.arange(weeks)
    level = population * 0.002
    baseline = level[:, None] * (1 + 0.05 * week / 52 + 0.08 * np.sin(2 * np.pi * week / 52.18))[None, :]
    control = draws[:, :, 6].T
    outcome = baseline + 0.03 * level[:, None] * control
    media_rows, contribution, roi = [], {}, {}
    for c, name in enumerate(ROI):
        flight = np.random.default_rng([seed, 2, c]).random((weeks + 60, geos))[:weeks] > 0.3
        spend = (population * 0.006)[:, None] * np.exp(0.5 * draws[:, :, c].T) * flight.T
        exposure = spend * 100
        weights = RETENTION[name] ** np.arange(8)
        weights /= weights.sum()
        head = exposure / population[:, None]
        carried = sum(w * np.pad(head, ((0, 0), (lag, 0)))[:, :weeks] for lag, w in enumerate(weights))
        half = HALF[name] * 0.6
        unit = population[:, None] * carried / (carried + half)
        # A ceiling per head fixed by the typical week, so that adding weeks leaves the earlier ones as they were.
        ceiling = ROI[name] * 0.006 * 0.85 * (0.6 + half) / 0.6 / PRICE
        contribution[name] = ceiling * unit
        roi[name] = float(contribution[name].sum() * PRICE / spend.sum())
        outcome = outcome + contribution[name]
        media_rows.append(
            pl.DataFrame(
                {
                    "date": [START + timedelta(weeks=int(t)) for _ in names for t in week],
                    "geo": [g for g in names for _ in week],
                    "channel": name,
                    "spend": spend.ravel(),
                    "exposure": exposure.ravel(),
                    "kind": "paid",
                }
            )
        )
    outcome = outcome + noise * level[:, None] * draws[:, :, 7].T
    dates = [START + timedelta(weeks=int(t)) for t in week]
    keys = {"date": [d for _ in names for d in dates], "geo": [g for g in names for _ in dates]}
    return World(
        outcome=pl.DataFrame(
            {
                **keys,
                "outcome": outcome.ravel(),
                "revenue": outcome.ravel() * PRICE,
                "population": np.repeat(population, weeks),
            }
        ),
        media=pl.concat(media_rows),
        controls=pl.DataFrame({**keys, "control": "price", "value": control.ravel()}),
        channels=list(ROI),
        geos=names,
        weeks=dates,
        roi=roi,
        contribution=contribution,
    )
