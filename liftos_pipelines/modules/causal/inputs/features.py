"""What other modules measure, as weekly controls: net sentiment and visibility in AI answers.

Off until the client asks (`causal.features`). Media that move sentiment or visibility make these mediators, and a
mediator among the controls hides part of what media do: hence the role is the client's to say, and a mediator is left
out. A measure is itself an estimate; its error draws its coefficient towards zero, which the notes say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.calendar import WEEK_DAYS
from liftos_pipelines.tables import ALL, DATE, FLOAT, TEXT

MOST_MISSING = 0.1
"""A feature that lacks a larger share of the weeks is left out."""
SCHEMA = {"date": DATE, "geo": TEXT, "control": TEXT, "value": FLOAT}


@dataclass(frozen=True, kw_only=True)
class Features:
    """`rows`: date (a week's first day), geo (null: every geo), control, value; `notes` say what was done or not."""

    rows: pl.DataFrame
    notes: tuple[str, ...]


def feature_controls(
    asked: Mapping[str, str],
    weeks: Sequence[date],
    *,
    sentiment: pl.DataFrame | None = None,
    visibility: pl.DataFrame | None = None,
    brand: str | None = None,
) -> Features:
    """Rows to be added to `sources/marketing_controls`, one control a feature.

    Parameters
    ----------
    asked : feature -> role, as in `ModelSpec.features`
    weeks : first days of the panel's weeks, ascending (`panel.panel_weeks`)
    sentiment : table `sentiment/daily_index`
    visibility : table `surfacing/visibility`
    brand : the client's own name in `visibility`, needed where that has no column `own`

    Raises
    ------
    ValueError : a feature that is not known
    """
    weekly: dict[str, FloatArray] = {}
    notes: list[str] = []
    for name, role in asked.items():
        if name not in ("sentiment_index", "ai_visibility"):
            raise ValueError(f"there is no feature {name}; known: ai_visibility, sentiment_index")
        if role == "mediator":
            notes.append(f"feature {name} left out: named as a mediator")
            continue
        found = _sentiment(sentiment, weeks) if name == "sentiment_index" else _visibility(visibility, weeks, brand)
        filled, said = _filled(name, found, weeks)
        notes += said
        if filled is not None:
            weekly[name] = filled
    rows = [
        pl.DataFrame({"date": list(weeks), "geo": None, "control": name, "value": value}, schema=SCHEMA)
        for name, value in weekly.items()
    ]
    return Features(rows=pl.concat(rows) if rows else pl.DataFrame(schema=SCHEMA), notes=tuple(notes))


def _sentiment(index: pl.DataFrame | None, weeks: Sequence[date]) -> FloatArray:
    """(n_weeks,) net sentiment of all mentions of a week: days weigh by their mentions; nan without any."""
    if index is None or index.is_empty():
        return np.full(len(weeks), np.nan)
    days = index.filter(
        pl.all_horizontal(
            pl.col(name) == ALL for name in ("campaign_id", "source", "language", "topic") if name in index.columns
        )
        & (pl.col("n") > 0)
        & pl.col("net_sentiment").is_not_nan()
    ).select("date", "n", "net_sentiment")
    out = np.full(len(weeks), np.nan)
    for w, week in enumerate(weeks):
        part = days.filter(pl.col("date").is_between(week, week + timedelta(days=WEEK_DAYS - 1)))
        if part.height:
            out[w] = float(np.average(part["net_sentiment"].to_numpy(), weights=part["n"].to_numpy()))
    return out


def _visibility(table: pl.DataFrame | None, weeks: Sequence[date], brand: str | None) -> FloatArray:
    """(n_weeks,) own share of voice over all engines: the mean over a week's days of the month that each lies in."""
    out = np.full(len(weeks), np.nan)
    if table is None or table.is_empty():
        return out
    mine = pl.col("own") if "own" in table.columns else pl.col("brand") == pl.lit(brand)
    if "group" in table.columns:  # tables of before prompts had groups are of all prompts
        table = table.filter(pl.col("group") == ALL)
    own = table.filter((pl.col("engine") == ALL) & (pl.col("metric") == "share_of_voice") & mine)
    months = {month: value for month, value in own.select("period", "value").iter_rows() if value is not None}
    for w, week in enumerate(weeks):
        days = [week + timedelta(days=i) for i in range(WEEK_DAYS)]
        out[w] = np.mean([months.get(day.strftime("%Y-%m"), np.nan) for day in days])
    return out


def _filled(name: str, values: FloatArray, weeks: Sequence[date]) -> tuple[FloatArray | None, list[str]]:
    missing = ~np.isfinite(values)
    count = int(missing.sum())
    if count == len(values):
        return None, [f"feature {name} left out: it was measured in none of the {len(values)} weeks"]
    first = weeks[int(np.argmax(missing))]
    if count > MOST_MISSING * len(values):
        return None, [
            f"feature {name} left out: it was not measured in {count} of {len(values)} weeks (first {first}); "
            f"at most {MOST_MISSING:.0%} may be missing"
        ]
    if not count:
        return values, []
    at = np.arange(len(values))
    filled = np.interp(at, at[~missing], values[~missing])
    return filled, [
        f"feature {name} was not measured in {count} of {len(values)} weeks (first {first}): drawn as a line between "
        "the weeks beside them, and held at the ends"
    ]
