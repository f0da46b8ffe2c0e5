"""A picture of the watch: each engine's score by day with its threshold and alarms, and who moved at the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from liftos_pipelines.modules.surfacing.changes.shifts import ShiftReport
from liftos_pipelines.page_style import markdown_image
from liftos_pipelines.tables import ALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, ALARM, QUIET = "#1f4e79", "#c2621d", "#8390a0"
MARKS = {"engine": "E", "brand": "B", "world": "W", "own": "O"}
MOST_ENGINES, MOST_BRANDS = 6, 15


def shift_plot(report: ShiftReport) -> str:
    """Markdown image; empty text where no engine is watched."""
    figure = shift_figure(report)
    if figure is None:
        return ""
    return markdown_image(figure, "Score by day and alarms")


def shift_figure(report: ShiftReport) -> Figure | None:
    """One panel an engine, and the brands' changes at the newest alarm; None where no engine is watched."""
    from matplotlib.figure import Figure

    watched = [one for one in report.watches if one.tested][:MOST_ENGINES]
    if not watched:
        return None
    newest = report.table.filter(pl.col("brand_effects").list.len() > 0).tail(1)
    effects = newest["brand_effects"].to_list()[0][:MOST_BRANDS] if newest.height else []
    heights = [1.9] * len(watched) + ([0.9 + 0.22 * len(effects)] if effects else [])
    figure = Figure(figsize=(9, sum(heights) + 0.4), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(heights), 1, gridspec_kw={"height_ratios": heights}))
    for axes, one in zip(panels, watched, strict=False):
        days = np.array(one.series.days, dtype="datetime64[D]")
        axes.plot(days, one.score, color=INK, linewidth=1.2, label="score")
        axes.plot(days, one.threshold, color=ALARM, linewidth=1, linestyle="--", label="threshold", drawstyle="steps")
        rows = report.table.filter(pl.col("engine").is_in([one.series.engine, ALL]))
        _mark(axes, rows, float(np.nanmax(np.append(one.score, one.threshold))))
        axes.set_ylabel("-log chance a month")
        axes.set_title(one.series.engine, loc="left", fontsize=9)
        axes.margins(x=0.01)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", frameon=False, fontsize=8, ncols=2)
    if effects:
        row = newest.row(0, named=True)
        who = "all engines" if row["engine"] == ALL else row["engine"]
        _changes(panels[-1], effects[::-1])
        panels[-1].set_title(f"mention rates since {row['window_start']}, {who} (90 %)", loc="left", fontsize=9)
    figure.supxlabel("E engine, B brand, W world, O our own prompts; shaded: when the change began (90 %)", fontsize=8)
    return figure


def _mark(axes: Axes, rows: pl.DataFrame, top: float) -> None:
    from matplotlib.dates import date2num

    for row in rows.iter_rows(named=True):
        low, high = date2num(row["changed_low"]), date2num(row["changed_high"]) + 1
        axes.axvspan(low, high, color=ALARM, alpha=0.25, linewidth=0)
        at = date2num(row["window_end"])
        axes.axvline(at, color=ALARM, linewidth=1)
        label = MARKS[row["kind"]] + (f" {row['brand']}" if row["kind"] == "brand" else "")
        axes.annotate(label, (at, top), xytext=(3, -8), textcoords="offset points", fontsize=8, color=ALARM)


def _changes(axes: Axes, effects: list[dict[str, float | str]]) -> None:
    at = np.arange(len(effects))
    points = np.array([float(one["points"]) for one in effects]) * 100
    low = np.array([float(one["low"]) for one in effects]) * 100
    high = np.array([float(one["high"]) for one in effects]) * 100
    for y, x, a, b, one in zip(at, points, low, high, effects, strict=True):
        sure = float(one["p_adjusted"]) <= 0.1
        colour = INK if sure else QUIET
        axes.plot([a, b], [y, y], color=colour, linewidth=1.6 if sure else 1.0)
        axes.plot([x], [y], marker="o" if sure else "|", color=colour, markersize=4)
    axes.axvline(0, color="black", linewidth=0.6)
    # A dollar sign would be read as the start of a formula.
    axes.set_yticks(at, [str(one["brand"]).replace("$", r"\$") for one in effects], fontsize=8)
    axes.set_xlabel("points of mention rate (filled: among those that moved, false-discovery rate 10 %)", fontsize=8)
