"""Whether a panel's dates run without a gap, and which campaigns have begun."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

STEPS = {1: "daily", 7: "weekly"}


def usual_step(dates: pl.Series) -> int | None:
    """Days between neighbouring dates, the most frequent (the smallest of equals); None below two dates.

    Parameters
    ----------
    dates : (n,) Date, in any order, repeats allowed
    """
    steps = dates.drop_nulls().unique().sort().diff().drop_nulls().dt.total_days()
    return None if steps.is_empty() else int(steps.mode().min())  # type: ignore[arg-type]


def with_steps(rows: pl.DataFrame, by: str = "geo") -> pl.DataFrame:
    """Add `days_since_previous` (null in a geo's first row) and `previous_date`, sorted by geo and date."""
    previous = pl.col("date").shift(1).over(by)
    return rows.sort(by, "date").with_columns(
        previous.alias("previous_date"),
        (pl.col("date") - previous).dt.total_days().cast(pl.Float64).alias("days_since_previous"),
    )


def with_dates_per_geo(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `dates_missing`: how many of the panel's dates this row's geo lacks."""
    total = rows["date"].n_unique()
    return rows.with_columns((total - pl.col("date").n_unique().over("geo")).cast(pl.Float64).alias("dates_missing"))


def begun(campaigns: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Campaigns whose start is not after a day, earliest first."""
    return campaigns.filter(pl.col("start") <= as_of).sort("start", "campaign_id")


def newest_date(frames: Sequence[pl.DataFrame]) -> date | None:
    """The newest day that any frame's first date or time column holds."""
    days = []
    for frame in frames:
        column = next((name for name, dtype in frame.schema.items() if dtype.is_temporal()), None)
        if column is not None and frame.height:
            days.append(frame[column].cast(pl.Date).max())
    return max((day for day in days if isinstance(day, date)), default=None)
