"""The two series and what may move both: one row a period of the outcome, geos summed, gaps kept as gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.sentiment.watch.index import total_of

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

YEAR_DAYS = 365.25
CARRY = 0.5
"""Share of spend's pressure that carries over to the next week."""
MOST_GAPS = 0.25
"""A stretch may lack this share of its periods; beyond, the longest part with fewer gaps is used."""
COLUMNS_A_PERIOD = 1 / 6
"""At most this many columns of spend and controls a period: more would leave too little to learn from."""


@dataclass(frozen=True, kw_only=True)
class LinkSeries:
    """A client's sentiment and outcome on evenly spaced periods; arrays run over `dates`, NaN where missing.

    `variance` is the sampling variance of `sentiment`. `drivers` (n_periods, k) are spend, price, promotions and
    holidays in the forms they enter (now, carried over, one period late); `conditional_on` says so in words. `others`
    are net sentiments that should have nothing to do with this outcome, such as a competitor's.
    """

    dates: tuple[date, ...]
    step: int
    sentiment: Array
    outcome: Array
    variance: Array
    drivers: Array
    logged: bool = True
    conditional_on: tuple[str, ...] = ()
    shocks: tuple[int, ...] = ()
    others: Mapping[str, Array] = field(default_factory=dict)

    @property
    def known(self) -> Mask:
        """Periods with both series and all drivers."""
        rows: Mask = np.isfinite(self.sentiment) & np.isfinite(self.outcome) & np.isfinite(self.drivers).all(axis=1)
        return rows

    @property
    def n(self) -> int:
        return int(self.known.sum())


def link_series(
    index: pl.DataFrame,
    outcome: pl.DataFrame,
    media: pl.DataFrame,
    controls: pl.DataFrame,
    alerts: pl.DataFrame,
    *,
    holidays: Sequence[date] = (),
    others: Mapping[str, pl.DataFrame] | None = None,
) -> LinkSeries:
    """From the lake's tables to series on the outcome's own periods.

    Parameters
    ----------
    index : `sentiment/daily_index`; its totals are averaged over each period, weighted by mentions
    outcome, media, controls : `sources/marketing_*`; outcome and spend are summed over geos, controls averaged
    alerts : `sentiment/alerts`; the period in which an alert's window begins is a dated shock
    holidays : public holidays, counted per period
    others : by name, daily net sentiment (`date`, `n`, `net_sentiment`) of streams that should be unrelated
    """
    outcome, media, controls = _same_geos(outcome, media, controls)
    totals = (
        outcome.group_by("date")
        .agg(
            pl.col("outcome").sum(),
            pl.col("revenue").sum(),
            pl.col("outcome").null_count().alias("holes"),
            pl.len().alias("geos"),
        )
        .filter((pl.col("holes") == 0) & (pl.col("geos") == pl.col("geos").max()))
        .sort("date")
    )  # fmt: skip
    if totals.height < 2:
        return _nothing()
    begun: list[date] = totals["date"].to_list()
    step = max(1, int(np.median([(b - a).days for a, b in pairwise(begun)])))
    # Calendar months differ in length, so places are counted in rounded periods since the first.
    place = np.array([round((day - begun[0]).days / step) for day in begun])
    if np.unique(place).size < place.size:  # months of 28 to 31 days over many years
        place = np.arange(place.size)
    length = int(place[-1]) + 1
    dates = [begun[0] + timedelta(days=step * k) for k in range(length)]
    for at, day in zip(place, begun, strict=True):
        dates[at] = day
    values, revenue = np.full(length, np.nan), np.full(length, np.nan)
    values[place], revenue[place] = totals["outcome"].to_numpy(), totals["revenue"].to_numpy()
    grid = pl.DataFrame({"period": dates, "at": np.arange(length)}).sort("period")
    net, variance = _by_period(total_of(index), grid, step, length)
    block, names = _drivers(grid, step, media, controls, values, revenue, holidays)
    positive = bool((values[np.isfinite(values)] > 0).all())
    series = LinkSeries(
        dates=tuple(dates),
        step=step,
        sentiment=net,
        outcome=np.log(values) if positive else values,
        variance=variance,
        drivers=block,
        logged=positive,
        conditional_on=names,
        shocks=_shocks(alerts, grid, step),
        others={name: _by_period(frame, grid, step, length)[0] for name, frame in (others or {}).items()},
    )
    return _densest(series)


def other_brands(scores: pl.DataFrame, mentions: pl.DataFrame, names: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Daily net sentiment (`date`, `n`, `net_sentiment`) of each brand named, from the `targets` of
    `sentiment/mention_scores`. For placebos: another brand's sentiment should not foretell this outcome."""
    if not names or scores.is_empty():
        return {}
    clauses = (
        scores.select("mention_id", "targets")
        .explode("targets")
        .select("mention_id", name=pl.col("targets").struct["name"], net=pl.col("targets").struct["net_sentiment"])
        .filter(pl.col("name").is_in(list(names)))
        .join(mentions.select("mention_id", date=pl.col("published_at").dt.date()), on="mention_id", how="inner")
        .drop_nulls()
    )
    days = clauses.group_by("name", "date").agg(n=pl.len(), net_sentiment=pl.col("net").mean()).sort("name", "date")
    return {str(key[0]): part.drop("name") for key, part in days.partition_by("name", as_dict=True).items()}


def _nothing() -> LinkSeries:
    empty = np.empty(0)
    return LinkSeries(
        dates=(), step=1, sentiment=empty, outcome=empty, variance=empty, drivers=np.empty((0, 0))
    )  # fmt: skip


def _same_geos(
    outcome: pl.DataFrame, media: pl.DataFrame, controls: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """The three tables without geos that lack more than a tenth of the dates: a sum must mean the same all along."""
    dates = max(outcome["date"].n_unique(), 1)
    seen = outcome.drop_nulls("outcome").group_by("geo").agg(pl.col("date").n_unique().alias("dates"))
    partial = seen.filter(pl.col("dates") < 0.9 * dates)["geo"].to_list()
    if len(partial) == seen.height:
        return outcome, media, controls
    return tuple(frame.filter(~pl.col("geo").is_in(partial)) for frame in (outcome, media, controls))  # type: ignore[return-value]


def _by_period(days: pl.DataFrame, grid: pl.DataFrame, step: int, length: int) -> tuple[Array, Array]:
    """Mention-weighted mean of the days of each period, and its sampling variance; NaN where no day was seen."""
    # Days are pooled as if independent: an author who posts on several days of a period is counted as several.
    error = pl.col("se") if "se" in days.columns else pl.lit(None, pl.Float64)
    pooled = (
        days.with_columns(se=error)
        .select("date", "n", "net_sentiment", "se")
        .drop_nulls(["net_sentiment", "n"])
        .sort("date")
        .join_asof(grid.select("at", date="period", period="period"), on="date", strategy="backward")
        .filter((pl.col("date") - pl.col("period")).dt.total_days() < max(step, 1 if step < 28 else 31))
        .group_by("at")
        .agg(
            ((pl.col("net_sentiment") * pl.col("n")).sum() / pl.col("n").sum()).alias("net"),
            ((pl.col("se") * pl.col("n")).pow(2).sum() / pl.col("n").sum().cast(pl.Float64).pow(2)).alias("variance"),
            pl.col("se").null_count().alias("unknown"),
        )
    )
    net, variance = np.full(length, np.nan), np.full(length, np.nan)
    at = pooled["at"].to_numpy()
    net[at] = pooled["net"].to_numpy()
    variance[at] = pooled.select(pl.when(pl.col("unknown") == 0).then("variance")).to_series().cast(pl.Float64)
    return net, variance


def _drivers(
    grid: pl.DataFrame,
    step: int,
    media: pl.DataFrame,
    controls: pl.DataFrame,
    outcome: Array,
    revenue: Array,
    holidays: Sequence[date],
) -> tuple[Array, tuple[str, ...]]:
    """Columns of everything that may move sentiment and outcome alike, and their names in words."""
    ordered = grid.sort("at")
    spend = _wide(
        media.with_columns(x=pl.coalesce("spend", "exposure")).group_by("date", "channel").agg(pl.col("x").sum()),
        ordered,
        "channel",
        "x",
        fill=True,
    )
    control = _wide(
        controls.group_by("date", "control").agg(pl.col("value").mean()), ordered, "control", "value", fill=False
    )
    words: list[str] = []
    if not any("price" in name.lower() for name in control):
        with np.errstate(divide="ignore", invalid="ignore"):
            price = np.where(outcome > 0, revenue / outcome, np.nan)
        price = _filled(price)
        if np.isfinite(price).all() and price.mean() > 0 and price.std() > 0.001 * price.mean():
            control["price (revenue per outcome)"] = price
    budget = int(COLUMNS_A_PERIOD * grid.height)
    late = [np.concatenate((values[:1], values[:-1])) for values in control.values()]
    columns = [*control.values(), *late]
    if holidays:
        begins = ordered["period"].to_numpy().astype("datetime64[D]").astype(int)
        days = np.array(sorted({(day - date(1970, 1, 1)).days for day in holidays}))
        columns.append(np.searchsorted(days, begins + step) - np.searchsorted(days, begins).astype(float))
        words.append("public holidays")
    if control:
        words.append("controls: " + ", ".join(control))
    if spend:
        each = len(columns) + 2 * len(spend) <= budget
        shown = list(spend.values()) if each else [np.sum(list(spend.values()), axis=0)]
        for values in shown:
            carried = adstock(values, CARRY ** (step / 7))
            typical = np.median(carried[carried > 0]) if (carried > 0).any() else 1.0
            columns += [values, carried / (carried + typical)]
        words.append("spend by channel" if each else "total spend")
    # A period of bank holidays and gifts comes every year and is too short for a season's harmonics.
    columns += _year_end(ordered["period"].to_list(), step)
    block = np.stack(columns, axis=1).astype(float) if columns else np.empty((grid.height, 0))
    return _reduced(block, max(budget, 1)), tuple(words)


def adstock(values: Array, retention: float) -> Array:
    """Geometric carry-over of spend, (n_periods,)."""
    from scipy.signal import lfilter

    carried: Array = lfilter([1.0], [1.0, -retention], values)
    return carried


def _wide(rows: pl.DataFrame, grid: pl.DataFrame, name: str, value: str, *, fill: bool) -> dict[str, Array]:
    """One array a name that varies; spend not booked is none, a control not known is drawn between its neighbours."""
    found = {}
    for key, part in sorted(rows.partition_by(name, as_dict=True).items()):
        joined = grid.select(date="period").join(part, on="date", how="left", maintain_order="left")
        values = joined[value].cast(pl.Float64).to_numpy().copy()
        values = np.nan_to_num(values) if fill else _filled(values)
        if np.isfinite(values).all() and np.ptp(values) > 1e-12:
            found[str(key[0])] = values
    return found


def _filled(values: Array) -> Array:
    """Gaps of up to a tenth of the periods filled in a straight line; with more, all NaN."""
    seen = np.isfinite(values)
    if seen.mean() < 0.9:
        return np.full(values.size, np.nan)
    at = np.arange(values.size)
    return np.interp(at, at[seen], values[seen])


def _year_end(dates: list[date], step: int) -> list[Array]:
    """Share of each period within the gift weeks (from 24 November) and the holidays (from 22 December)."""
    days = [[day + timedelta(days=k) for k in range(step)] for day in dates]
    gifts = [sum((d.month, d.day) >= (11, 24) and (d.month, d.day) < (12, 22) for d in period) for period in days]
    feast = [sum((d.month, d.day) >= (12, 22) or (d.month, d.day) <= (1, 1) for d in period) for period in days]
    columns = [np.array(part, dtype=float) / step for part in (gifts, feast)]
    years = (dates[-1] - dates[0]).days / YEAR_DAYS
    return [column for column in columns if years >= 1.5 and np.ptp(column) > 0]


def _reduced(block: Array, most: int) -> Array:
    """At most so many columns: beyond, the leading principal components of the standardised ones."""
    if block.shape[1] <= most:
        return block
    scaled = (block - block.mean(axis=0)) / np.maximum(block.std(axis=0), 1e-12)
    u, s, _ = np.linalg.svd(scaled, full_matrices=False)
    return np.asarray(u[:, :most] * s[:most])


def _shocks(alerts: pl.DataFrame, grid: pl.DataFrame, step: int) -> tuple[int, ...]:
    if alerts.is_empty():
        return ()
    places = (
        alerts.select(date=pl.coalesce("window_start", pl.col("detected_at").dt.date()))
        .drop_nulls()
        .sort("date")
        .join_asof(grid.select("at", date="period", period="period"), on="date", strategy="backward")
        .filter((pl.col("date") - pl.col("period")).dt.total_days() < max(step, 1))
    )
    return tuple(sorted({int(at) for at in places["at"]}))


def _densest(series: LinkSeries) -> LinkSeries:
    """The longest stretch between known periods that lacks at most a quarter of them."""
    at = np.flatnonzero(series.known)
    if at.size < 2:
        return series
    best, ends = (0, 0), (int(at[0]), int(at[0]) + 1)
    for first in range(at.size):
        last = np.arange(first, at.size)
        whole = at[last] - at[first] + 1
        dense = last[(last - first + 1) >= (1 - MOST_GAPS) * whole]
        held = int(dense[-1]) - first + 1
        if held > best[0]:
            best, ends = (held, first), (int(at[first]), int(at[dense[-1]]) + 1)
        if best[0] >= at.size - first:
            break
    part = slice(*ends)
    return LinkSeries(
        dates=series.dates[part],
        step=series.step,
        sentiment=series.sentiment[part],
        outcome=series.outcome[part],
        variance=series.variance[part],
        drivers=series.drivers[part],
        logged=series.logged,
        conditional_on=series.conditional_on,
        shocks=tuple(shock - ends[0] for shock in series.shocks if ends[0] <= shock < ends[1]),
        others={name: values[part] for name, values in series.others.items()},
    )
