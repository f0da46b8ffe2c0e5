"""Pictures of the index and its alerts, for metadata: matplotlib figures without pyplot, as Markdown images."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from liftos_pipelines.modules.sentiment.watch.alerts import COLUMN, stream_words
from liftos_pipelines.modules.sentiment.watch.grouping import CAMPAIGN, TOTAL
from liftos_pipelines.modules.sentiment.watch.index import GROUPS
from liftos_pipelines.tables import ALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, BAND, FALL, BEFORE = "#1f4e79", "#9db8d2", "#c2621d", "#8a8a8a"
MOST_PANELS = 6
DAYS_BEFORE, DAYS_AFTER = 56, 28


def stream_of(index: pl.DataFrame, kind: str, name: str) -> pl.DataFrame:
    """The index rows of one stream, by date."""
    column = COLUMN.get(kind)
    return index.filter(
        pl.col(each) == (name if each == column else ALL) for each in GROUPS
    ).sort("date")  # fmt: skip


def index_figure(index: pl.DataFrame, alerts: pl.DataFrame | None = None) -> Figure | None:
    """Weekly net sentiment with its 90 % band, in total and for the campaigns most spoken of; alerts shaded.

    Days weigh by their mentions. None without a day.
    """
    from matplotlib.figure import Figure

    total = stream_of(index, TOTAL, ALL)
    if total.is_empty():
        return None
    single = index.filter(pl.col("campaign_id") != ALL, pl.col("source") == ALL)
    volume = single.group_by("campaign_id").agg(pl.col("n").sum()).sort(["n", "campaign_id"], descending=[True, False])
    names = [(TOTAL, ALL), *((CAMPAIGN, name) for name in volume["campaign_id"].head(MOST_PANELS - 1))]
    figure = Figure(figsize=(9, 1.0 + 1.35 * len(names)), layout="constrained")
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (kind, name) in zip(panels, names, strict=True):
        weeks = _weekly(stream_of(index, kind, name))
        at = weeks["week"].to_numpy()
        axes.fill_between(at, weeks["low"], weeks["high"], color=BAND, alpha=0.6, linewidth=0)
        axes.plot(at, weeks["net"], color=INK, linewidth=1.4)
        axes.axhline(0.0, color="grey", linewidth=0.7)
        axes.set_ylim(-1, 1)
        axes.set_title(_plain(stream_words(kind, name)), loc="left", fontsize=9)
        axes.tick_params(labelsize=8)
        if alerts is not None and alerts.height:
            own = alerts.filter(pl.col("stream_kind") == kind, pl.col("stream") == name)
            for row in own.iter_rows(named=True):
                _shade(axes, row["window_start"], row["window_end"], label=True)
    panels[-1].tick_params(axis="x", labelrotation=0)
    shaded = "; ▼ and shading: alerts" if alerts is not None else ""
    figure.suptitle(f"Net sentiment by week, 90 % band{shaded}", fontsize=10, x=0.01, ha="left")
    return figure


def alert_figure(index: pl.DataFrame, alert: dict[str, Any]) -> Figure:
    """One alert: its stream around the window by day, and what the fall consists of, by dimension."""
    from matplotlib.dates import AutoDateLocator
    from matplotlib.figure import Figure

    start, end = alert["window_start"], alert["window_end"]
    days = stream_of(index, alert["stream_kind"], alert["stream"]).filter(
        pl.col("date").is_between(start - timedelta(days=DAYS_BEFORE), end + timedelta(days=DAYS_AFTER))
    )
    parts = _largest(alert["components"])
    figure = Figure(figsize=(10, max(3.0, 0.9 + 0.26 * len(parts))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    at = days["date"].to_numpy()
    left.vlines(at, days["low"], days["high"], color=BAND, linewidth=2.2, label="day, 90 % interval")
    left.plot(at, days["net_sentiment"], ".", color=INK, markersize=4)
    left.hlines(alert["level_before"], days["date"].min(), start, color=BEFORE, linestyle="--", label="level before")
    left.hlines(alert["level_after"], start, end, color=FALL, linewidth=2.2, label="level in the window")
    _shade(left, start, end, label=False)
    left.axhline(0.0, color="grey", linewidth=0.7)
    left.set_ylim(-1.05, 1.05)
    left.set_ylabel("net sentiment")
    left.tick_params(axis="x", labelsize=7)
    left.xaxis.set_major_locator(AutoDateLocator(maxticks=6))
    left.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    left.set_title(
        _plain(f"{stream_words(alert['stream_kind'], alert['stream'])}: {alert['effect']:+.2f} "
               f"({alert['effect_low']:+.2f} to {alert['effect_high']:+.2f})"),
        loc="left", fontsize=9,
    )  # fmt: skip
    place = np.arange(len(parts))[::-1]
    left_edge = np.zeros(len(parts))
    level, mix = (np.array([part[name] for part in parts], dtype=float) for name in ("level", "mix"))
    right.barh(place + 0.18, level, height=0.34, left=left_edge, color=FALL, label="fell (level)")
    right.barh(place - 0.18, mix, height=0.34, left=left_edge, color="white", edgecolor=INK, hatch="///",
               label="share changed")  # fmt: skip
    change = np.array([part["change"] for part in parts], dtype=float)
    low, high = (np.array([part[name] for part in parts], dtype=float) for name in ("low", "high"))
    right.hlines(place, low, high, color="black", linewidth=1)
    right.plot(change, place, "k|", markersize=7)
    right.axvline(0.0, color="grey", linewidth=0.7)
    right.set_yticks(place, [_plain(f"{part['dimension']}: {part['part']}"[:34]) for part in parts], fontsize=7)
    right.tick_params(axis="x", labelsize=8)
    right.set_title("part of the fall, 90 % interval", loc="left", fontsize=9)
    right.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.3, -0.08), ncols=2)
    return figure


def _weekly(days: pl.DataFrame) -> pl.DataFrame:
    """Means of weeks from Monday, days by their mentions; a day without a standard error widens nothing."""
    share = pl.col("n") / pl.col("n").sum()
    known = days.drop_nulls("se")
    weeks = known.group_by(pl.col("date").dt.truncate("1w").alias("week")).agg(
        net=(share * pl.col("estimate")).sum(),
        own=((share * pl.col("se")) ** 2).sum(),
        shared=(share * pl.col("se_correction")).sum(),
    )
    half = 1.645 * (pl.col("own") + pl.col("shared") ** 2).sqrt()
    return weeks.sort("week").with_columns(low=pl.col("net") - half, high=pl.col("net") + half)


def _largest(parts: list[dict[str, Any]], most: int = 4) -> list[dict[str, Any]]:
    """The parts that moved most of each dimension, in the order of the dimensions."""
    out = []
    for dimension in dict.fromkeys(part["dimension"] for part in parts):
        own = [part for part in parts if part["dimension"] == dimension]
        if " x " in dimension or len(own) < 2:
            continue
        chosen = sorted(own, key=lambda part: -abs(part["change"]))[:most]
        out += sorted(chosen, key=lambda part: part["change"])
    return out


def _shade(axes: Axes, start: date, end: date, *, label: bool) -> None:
    days = np.array([start, end + timedelta(days=1)], dtype="datetime64[D]")
    axes.axvspan(days[0], days[1], color=FALL, alpha=0.25, linewidth=0)
    if label:
        axes.plot(days[:1], [0.88], marker="v", color=FALL, markersize=6, linestyle="none")


def _plain(name: str) -> str:
    """A name as it stands: matplotlib reads what is between dollar signs as a formula."""
    return name.replace("$", r"\$")
