"""Tables of a client whose sentiment and outcome are made here, so that what the link should find is known."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from liftos_pipelines.modules.sentiment.revenue import LinkSeries, LinkSettings, link_series
from liftos_pipelines.tables import table

START = date(2023, 1, 2)
QUICK = LinkSettings(surrogates=199, replicates=100, permutations=199, power_worlds=60)


def ar1(rng: np.random.Generator, n: int, rho: float, sd: float) -> np.ndarray:
    series = np.zeros(n)
    for t in range(1, n):
        series[t] = rho * series[t - 1] + rng.normal() * sd * np.sqrt(1 - rho**2)
    return series


def index_of(net: np.ndarray, days_each: int = 7, error: float | None = None) -> pl.DataFrame:
    """A daily index whose every day of a period has the period's net sentiment."""
    days = [START + timedelta(days=day) for day in range(days_each * net.size)]
    return pl.DataFrame(
        {"date": days, "campaign_id": "all", "source": "all", "n": 50, "net_sentiment": np.repeat(net, days_each)}
    ).with_columns(language=pl.lit("all"), topic=pl.lit("all"), se=pl.lit(error, pl.Float64))


def outcome_of(outcome: np.ndarray, days_each: int = 7) -> pl.DataFrame:
    """The outcome in two geos that share it."""
    dates = [START + timedelta(days=days_each * k) for k in range(outcome.size)]
    halves = [pl.DataFrame({"date": dates, "geo": geo, "outcome": outcome / 2, "revenue": None}) for geo in "ab"]
    return pl.concat(halves).with_columns(pl.col("revenue").cast(pl.Float64))


def media_of(spend: np.ndarray) -> pl.DataFrame:
    dates = [START + timedelta(weeks=k) for k in range(spend.size)]
    return pl.DataFrame({"date": dates, "geo": "a", "channel": "tv", "spend": spend, "exposure": spend})


def controls_of(**series: np.ndarray) -> pl.DataFrame:
    frames = [
        pl.DataFrame(
            {
                "date": [START + timedelta(weeks=k) for k in range(values.size)],
                "geo": "a",
                "control": name,
                "value": values,
            }
        )
        for name, values in series.items()
    ]
    return pl.concat(frames)


def alerts_of(*weeks: int) -> pl.DataFrame:
    rows = [
        {
            "alert_id": f"a{week}",
            "detected_at": datetime.combine(START, datetime.min.time(), UTC) + timedelta(weeks=week, days=3),
            "window_start": START + timedelta(weeks=week, days=1),
        }
        for week in weeks
    ]
    return pl.DataFrame(rows)


def linked(
    net: np.ndarray,
    outcome: np.ndarray,
    *,
    media: pl.DataFrame | None = None,
    controls: pl.DataFrame | None = None,
    alerts: pl.DataFrame | None = None,
    days_each: int = 7,
    error: float | None = None,
) -> LinkSeries:
    return link_series(
        index_of(net, days_each, error),
        outcome_of(outcome, days_each),
        table("sources/marketing_media").empty() if media is None else media,
        table("sources/marketing_controls").empty() if controls is None else controls,
        table("sentiment/alerts").empty() if alerts is None else alerts,
    )


def world(seed: int, n: int = 104, effect: float = 0.5, lag: int = 2, days_each: int = 7) -> LinkSeries:
    """Persistent sentiment; the log outcome moves with it `lag` periods later, on a season and a trend."""
    rng = np.random.default_rng(seed)
    net = ar1(rng, n, 0.5, 0.1)
    moved = np.concatenate((np.zeros(lag), net[: n - lag]))
    season = 0.2 * np.sin(2 * np.pi * np.arange(n) * days_each / 365.25)
    outcome = 1000 * np.exp(season + 0.003 * np.arange(n) * days_each / 7 + effect * moved + ar1(rng, n, 0.4, 0.05))
    return linked(0.2 + net, outcome, days_each=days_each)
