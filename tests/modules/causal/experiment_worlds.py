"""Geo histories with known truth: common shocks, geos of unequal size, errors that stay for weeks."""

from datetime import date, timedelta

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.experiments.geo_panel import GeoPanel, Placed

START = date(2023, 1, 2)


def history(
    seed: int,
    *,
    geos: int = 20,
    weeks: int = 58,
    rho: float = 0.6,
    sd: float = 0.05,
    sizes: float = 0.7,
    uneven: float = 0,
) -> np.ndarray:
    """(geos, weeks): level * (1 + season + common shocks + AR(1) error of the geo's own).

    `uneven` is the power of size by which small geos are noisier: 0 none, 0.5 as counts are.
    """
    rng = np.random.default_rng([seed, 11])
    level = np.exp(rng.normal(7, sizes, geos))
    error = np.empty((geos, weeks))
    error[:, 0] = rng.normal(0, sd, geos)
    for week in range(1, weeks):
        error[:, week] = rho * error[:, week - 1] + rng.normal(0, sd * np.sqrt(1 - rho**2), geos)
    error *= (np.exp(7) / level[:, None]) ** uneven
    season = 0.1 * np.sin(2 * np.pi * np.arange(weeks) / 52)
    common = season + rng.normal(0, 0.05, weeks) + np.cumsum(rng.normal(0, 0.01, weeks))
    return level[:, None] * (1 + common + error)


def geo_test(
    seed: int, *, lift: float = 0.0, n_treated: int = 5, pre: int = 52, window: int = 6, **world: float
) -> tuple[Placed, float]:
    """A test in geos drawn at random, and the outcome it truly added."""
    quiet = history(seed, weeks=pre + window, **world)  # type: ignore[arg-type]
    treated = np.zeros(len(quiet), dtype=bool)
    treated[np.random.default_rng([seed, 12]).permutation(len(quiet))[:n_treated]] = True
    outcome = quiet.copy()
    outcome[treated, pre:] *= 1 + lift
    placed = Placed(geos=tuple(f"g{g}" for g in range(len(quiet))), outcome=outcome, treated=treated, n_pre=pre)
    return placed, float((outcome - quiet).sum())


def panel_of(outcome: np.ndarray, spend: np.ndarray | None = None) -> GeoPanel:
    names = tuple(f"g{g:02d}" for g in range(len(outcome)))
    weeks = tuple(START + timedelta(weeks=t) for t in range(outcome.shape[1]))
    return GeoPanel(geos=names, weeks=weeks, outcome=outcome, spend=spend)


def frame_of(panel: GeoPanel, channel: str = "tv") -> pl.DataFrame:
    """The rows of `causal/panel`."""
    weeks = len(panel.weeks)
    columns: dict[str, object] = {
        "date": list(panel.weeks) * len(panel.geos),
        "geo": [geo for geo in panel.geos for _ in range(weeks)],
        "outcome": panel.outcome.ravel(),
        "revenue_per_outcome": np.full(panel.outcome.size, 40.0),
        "population": np.full(panel.outcome.size, 1e6),
    }
    if panel.spend is not None:
        columns[f"spend__{channel}"] = panel.spend.ravel()
    return pl.DataFrame(columns)
