"""Pictures of the ladder for metadata: correlation by lag, forecast gain beside placebos, the outcome after shocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from liftos_pipelines.modules.sentiment.revenue.ladder import Ladder
from liftos_pipelines.modules.sentiment.revenue.predict import Gain
from liftos_pipelines.page_style import markdown_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, BAND, OTHER, QUIET = "#1f4e79", "#9db8d2", "#c2621d", "#6b7d8f"


def ladder_picture(ladder: Ladder, title: str) -> str | None:
    """One picture with a panel a rung, as a Markdown image; None where no rung could be tested."""
    if ladder.described is None:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 4.2), layout="constrained")
    panels = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1, 1.1, 1]})
    _correlations(panels[0], ladder)
    _gains(panels[1], ladder)
    _events(panels[2], ladder)
    figure.suptitle(title, fontsize=10)
    return markdown_image(figure, title)


def _correlations(axes: Axes, ladder: Ladder) -> None:
    found, step = ladder.described, ladder.series.step
    assert found is not None
    days = np.array(found.lags) * step
    seen = found.p_value <= ladder.claims.alpha
    axes.axhspan(
        -found.band, found.band, color=BAND, alpha=0.5, linewidth=0, label="95 % of unrelated series, largest lag"
    )
    axes.axhline(0, color=QUIET, linewidth=0.8)
    axes.vlines(days, found.low, found.high, color=INK, linewidth=1.2, label="90 % interval")
    axes.plot(
        days[~seen], found.estimate[~seen], "o", markerfacecolor="white", markeredgecolor=INK, label="not significant"
    )
    axes.plot(days[seen], found.estimate[seen], "D", color=OTHER, label="significant over all lags")
    axes.plot(days, found.steady, "_", color="black", markersize=9, label="left without the month that matters most")
    axes.set_xlabel("lag in days (right: sentiment first, left: outcome first)")
    axes.set_ylabel("correlation of what is new in each")
    axes.set_title("1  Description", loc="left", fontsize=10)
    reach = max(float(np.abs([found.low, found.high]).max()), found.band) * 1.1
    axes.set_ylim(-reach, reach * 1.6)
    axes.legend(fontsize=7, frameon=False, loc="upper left")


def _gains(axes: Axes, ladder: Ladder) -> None:
    """Best Clark-West statistic of each direction beside its placebos."""
    rows: list[tuple[str, Gain]] = []
    if ladder.reverse is not None:
        rows.append(("outcome for\nsentiment", ladder.reverse))
    if ladder.forward is not None:
        rows.append(("sentiment for\noutcome", ladder.forward))
    for place, (_, gain) in enumerate(rows):
        false = [strength for strength, _ in gain.placebos.values()]
        axes.plot(
            false, np.full(len(false), place), "|", color=QUIET, markersize=16, label=None if place else "placebos"
        )
        saved, p = gain.gain[gain.best], gain.p_value.min()
        axes.plot(
            gain.strongest,
            place,
            "D",
            color=OTHER if p <= ladder.claims.alpha else INK,
            label=None if place else "real series",
        )
        axes.annotate(
            f"{saved:+.1%} error saved at {gain.lags[gain.best] * ladder.series.step} days, p {p:.3f}",
            (gain.strongest, place), xytext=(0, 14), textcoords="offset points", ha="center", fontsize=8,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(-0.6, len(rows) - 0.3)
    axes.margins(x=0.35)
    axes.set_xlabel("best Clark-West statistic over lags (right: better forecasts)")
    axes.set_title("2  Prediction", loc="left", fontsize=10)
    axes.legend(fontsize=7, frameon=False, loc="lower right")


def _events(axes: Axes, ladder: Ladder) -> None:
    found, series = ladder.events, ladder.series
    axes.set_title("3  Dated shocks", loc="left", fontsize=10)
    if found is None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no dated shock\nthat can be judged", ha="center", va="center", transform=axes.transAxes)
        return
    unit = 100 if series.logged else 1
    days = np.arange(found.horizon + 1) * series.step
    axes.fill_between(
        days, *(unit * found.path_band), color=BAND, alpha=0.5, linewidth=0, label="placebo dates, 90 %"
    )  # fmt: skip
    for k, at in enumerate(found.at):
        axes.plot(days, unit * found.paths[k], marker="o", markersize=4, color=(OTHER, INK, QUIET)[k % 3],
                  linestyle=("-", "--", ":")[k // 3 % 3], label=f"shock of {series.dates[at]}")  # fmt: skip
    axes.axvspan(-0.25 * series.step, 0.25 * series.step, color=QUIET, alpha=0.15, linewidth=0, label="not counted")
    axes.axhline(0, color=QUIET, linewidth=0.8)
    axes.set_xlabel("days since the shock began")
    axes.set_ylabel("outcome less its foreseen path" + (" in %" if series.logged else ""))
    axes.legend(fontsize=7, frameon=False)
