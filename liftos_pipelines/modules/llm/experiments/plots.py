"""Pictures of experiments: the confidence sequence over its looks, the shares over time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, BAND, LOOK = "#1f4e79", "#9db8d2", "#c2621d"
MOST = 6
MARKS = "os^Dv*Xp"


def sequence_figure(days: pl.DataFrame, looks: pl.DataFrame) -> Figure | None:
    """Estimate and 95 % confidence sequence by day, one panel an experiment and arm, with the looks that were taken.

    Parameters
    ----------
    days : of `trajectory.by_day`
    looks : `llm/experiment_looks`, may be empty
    """
    from matplotlib.figure import Figure

    shown = days.filter(pl.col("cs_low").is_finite())
    names = shown.select("experiment", "variant_b", "metric").unique(maintain_order=True).rows()[:MOST]
    if not names:
        return None
    figure = Figure(figsize=(9, 2.9 * len(names)), layout="constrained")
    for axes, (experiment, variant, metric) in zip(
        figure.subplots(len(names), squeeze=False)[:, 0], names, strict=True
    ):
        own = shown.filter((pl.col("experiment") == experiment) & (pl.col("variant_b") == variant))
        when = own["looked_at"].to_numpy()
        axes.fill_between(
            when, own["cs_low"], own["cs_high"], color=BAND, alpha=0.6, linewidth=0, label="95 % confidence sequence"
        )
        axes.plot(when, own["estimate"], color=INK, linewidth=1.5, label="estimate")
        axes.axhline(0, color="black", linewidth=0.8, linestyle="--")
        told = own.filter(pl.col("verdict").is_in(["better", "worse"]))
        if told.height:
            said = f"first day that B is {told['verdict'][0]}"
            axes.axvline(told["looked_at"][0], color=LOOK, linewidth=1, linestyle=":", label=said)
        taken = (
            looks.filter((pl.col("experiment") == experiment) & (pl.col("variant_b") == variant))
            if looks.height
            else looks
        )
        if taken.height:
            axes.plot(
                taken["looked_at"].dt.date(), taken["estimate"], "D", color=LOOK, markersize=5, label="looks taken"
            )
        axes.set_ylabel(f"{metric}\ndifference")
        axes.set_title(f"{experiment}: {variant} against the control", loc="left", fontsize=10)
        _dates(axes)
        # The first days' bounds are far wider than what is left to tell apart.
        later = own[len(own) // 4 :]
        edge = 1.25 * float(max(later["cs_low"].abs().to_list() + later["cs_high"].abs().to_list()))
        axes.set_ylim(-edge, edge)
        axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower right")
    return figure


def allocation_figure(shares: pl.DataFrame) -> Figure | None:
    """Probability of each arm over time, one panel an experiment."""
    from matplotlib.figure import Figure

    names = shares["experiment"].unique(maintain_order=True).to_list()[:MOST]
    if not names:
        return None
    figure = Figure(figsize=(9, 2.7 * len(names)), layout="constrained")
    for axes, experiment in zip(figure.subplots(len(names), squeeze=False)[:, 0], names, strict=True):
        own = shares.filter(pl.col("experiment") == experiment).sort("as_of")
        for position, (variant,) in enumerate(own.select("variant").unique(maintain_order=True).rows()):
            arm = own.filter(pl.col("variant") == variant)
            axes.plot(
                arm["as_of"].to_numpy(),
                arm["probability"],
                marker=MARKS[position % len(MARKS)],
                markersize=10 - 3 * min(position, 2),
                fillstyle="none",
                drawstyle="steps-post",
                label=variant,
            )
        if own["as_of"].n_unique() == 1:
            axes.set_xlim(own["as_of"][0] - timedelta(days=3), own["as_of"][0] + timedelta(days=3))
        axes.set_ylim(0, 1)
        axes.set_ylabel("share of calls")
        axes.set_title(experiment, loc="left", fontsize=10)
        _dates(axes)
        axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper left")
    return figure


def _dates(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
