"""Pictures for metadata and MLflow: the fit, what made the outcome, returns as a forest, response curves.

Each is a matplotlib figure without pyplot, as PNG or as a Markdown image. The model's report draws its own (`charts`).
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.engine.backtest import predict
from liftos_pipelines.modules.causal.report.svg import BASE, REST, SERIES
from liftos_pipelines.tables import ALL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, BAND = "#1f4e79", "#9db8d2"
HELD, UNSEEN = "#c2621d", "#d9d9d9"
MOST_LAYERS = 8
MOST_PANELS = 12


def fit_plot(fitted: Fitted, seed: int) -> str:
    """Markdown image: the outcome of all geos by week as dots, the model's median as a line, its 90 % band."""
    _, noisy = predict(fitted.media, fitted.draws.thin(300), np.random.default_rng(seed))
    low, middle, high = np.quantile(noisy.sum(axis=1), [0.05, 0.5, 0.95], axis=0)
    rows = {"date": fitted.design.weeks, "observed": fitted.design.outcome.sum(axis=0)}
    return markdown(fit_figure(pl.DataFrame(rows | {"low": low, "middle": middle, "high": high})), FIT_TITLE)


FIT_TITLE = "Observed and modelled outcome by week"


def fit_figure(fit: pl.DataFrame) -> Figure:
    """Of date, observed, low, middle, high; with held_low, held_middle, held_high also what back-tests foresaw."""
    from matplotlib.figure import Figure

    weeks = fit["date"].to_numpy()
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(weeks, fit["low"], fit["high"], color=BAND, alpha=0.6, linewidth=0, label="90 % band of the fit")
    axes.plot(weeks, fit["middle"], color=INK, linewidth=1.5, label="model")
    if "held_middle" in fit.columns and fit["held_middle"].count():
        low, middle, high = (fit[f"held_{name}"].to_numpy() for name in ("low", "middle", "high"))
        axes.fill_between(weeks, low, high, color=HELD, alpha=0.25, linewidth=0)
        axes.plot(weeks, middle, color=HELD, linewidth=1.5, linestyle="--", label="held-out weeks as foreseen, 90 %")
    axes.plot(weeks, fit["observed"], "k.", markersize=3.5, label="observed")
    axes.set_ylabel("outcome per week, all geos")
    figure.legend(loc="outside upper left", frameon=False, ncols=4, fontsize=8)
    return figure


def forest_plot(results: pl.DataFrame) -> str:
    """Markdown image: each channel's ROI with its 90 % interval; empty text where no ROI is known."""
    figure = forest_figure(results)
    return "" if figure is None else markdown(figure, "Return on spend by channel")


def forest_figure(results: pl.DataFrame) -> Figure | None:
    """ROI by channel; None where no ROI is known."""
    from matplotlib.figure import Figure

    known = results.filter((pl.col("geo") == ALL) & pl.col("roi").is_not_null()).sort("roi")
    if known.is_empty():
        return None
    figure = Figure(figsize=(7, 0.6 + 0.4 * known.height), layout="constrained")
    axes = figure.subplots()
    place = np.arange(known.height)
    axes.hlines(place, known["roi_low"].to_numpy(), known["roi_high"].to_numpy(), color=BAND, linewidth=4)
    axes.plot(known["roi"].to_numpy(), place, "o", color=INK)
    axes.axvline(1.0, color="grey", linestyle="--", linewidth=1)
    axes.set_yticks(place, [_plain(name) for name in known["channel"]])
    axes.set_xlabel("ROI: revenue per currency spent, 90 % interval (dashed: break even on revenue)")
    return figure


def contributions_figure(contributions: pl.DataFrame) -> Figure | None:
    """The table `causal/contributions` of all geos, stacked by week; None where it is empty."""
    from matplotlib.figure import Figure

    whole = contributions.filter(pl.col("geo") == ALL)
    if whole.is_empty():
        return None
    wide = whole.pivot(on="channel", index="date", values="contribution", aggregate_function="sum").sort("date")
    kinds = dict(whole.select("channel", "kind").unique(maintain_order=True).iter_rows())
    base = [name for name in kinds if kinds[name] == "baseline"]
    others = sorted(set(kinds) - set(base), key=lambda name: -float(wide[name].abs().sum()))
    layers = [(name, wide[name].fill_null(0).to_numpy(), BASE) for name in base]
    shown = others if len(others) <= MOST_LAYERS else others[: MOST_LAYERS - 1]
    layers += [(name, wide[name].fill_null(0).to_numpy(), SERIES[i]) for i, name in enumerate(shown)]
    if len(shown) < len(others):
        rest = np.sum([wide[name].fill_null(0).to_numpy() for name in others[len(shown) :]], axis=0)
        layers.append((f"{len(others) - len(shown)} others", rest, REST))
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    above, below = np.zeros(wide.height), np.zeros(wide.height)
    for name, values, colour in layers:
        up, down = np.maximum(values, 0), np.minimum(values, 0)
        axes.fill_between(wide["date"], above, above + up, color=colour, linewidth=0, label=_plain(name))
        axes.fill_between(wide["date"], below, below + down, color=colour, linewidth=0)
        above, below = above + up, below + down
    axes.set_ylabel("outcome per week, all geos")
    figure.legend(loc="outside right upper", frameon=False, fontsize=8, reverse=True)
    return figure


def curves_figure(curves: pl.DataFrame) -> Figure | None:
    """The table `causal/response_curves`: a panel a channel, grey where spend was never seen; None without rows."""
    from matplotlib.figure import Figure

    names = curves["channel"].unique(maintain_order=True).to_list()[:MOST_PANELS] if curves.height else []
    if not names:
        return None
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.1 * rows), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes, name in zip(panels, names, strict=False):
        curve = curves.filter(pl.col("channel") == name).sort("spend")
        axes.fill_between(
            curve["spend"], curve["response_low"], curve["response_high"], color=BAND, alpha=0.6, linewidth=0
        )
        axes.plot(curve["spend"], curve["response"], color=INK)
        seen = curve.filter(~pl.col("beyond_observed"))["spend"]
        if seen.len() < curve.height:
            axes.axvspan(
                float(seen.to_numpy().max()) if seen.len() else 0.0, curve["spend"][-1], color=UNSEEN, alpha=0.6
            )
        now = curve.filter(pl.col("scale") == 1.0)
        axes.plot(now["spend"], now["response"], "ko", markersize=4)
        axes.set_title(_plain(name), fontsize=9)
        axes.tick_params(labelsize=7)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    figure.supxlabel("spend over the plan's weeks (grey: beyond what was observed)", fontsize=8)
    figure.supylabel(str(curves["unit"][0]), fontsize=8)
    return figure


def png(figure: Figure, dpi: int = 80) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def markdown(figure: Figure, title: str) -> str:
    """A Markdown image that holds the picture itself."""
    return f"![{title}](data:image/png;base64,{base64.b64encode(png(figure)).decode()})"


def _plain(name: str) -> str:
    """A name as it stands: matplotlib reads what is between dollar signs as a formula."""
    return name.replace("$", r"\$")
