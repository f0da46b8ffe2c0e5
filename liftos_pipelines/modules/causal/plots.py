"""Pictures for the asset's metadata: the fit over time, and returns as a forest with their intervals."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.backtest import predict
from liftos_pipelines.modules.causal.results import Fitted
from liftos_pipelines.tables import ALL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, BAND = "#1f4e79", "#9db8d2"


def fit_plot(fitted: Fitted, seed: int) -> str:
    """Markdown image: the outcome of all geos by week as dots, the model's median as a line, its 90 % band."""
    from matplotlib.figure import Figure

    _, noisy = predict(fitted.media, fitted.draws.thin(300), np.random.default_rng(seed))
    low, middle, high = np.quantile(noisy.sum(axis=1), [0.05, 0.5, 0.95], axis=0)
    weeks = np.array(fitted.design.weeks, dtype="datetime64[D]")
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(weeks, low, high, color=BAND, alpha=0.6, linewidth=0, label="90 % interval")
    axes.plot(weeks, middle, color=INK, linewidth=1.5, label="model")
    axes.plot(weeks, fitted.design.outcome.sum(axis=0), "k.", markersize=3.5, label="observed")
    axes.set_ylabel("outcome per week, all geos")
    axes.legend(loc="upper left", frameon=False, ncols=3, fontsize=8)
    return _markdown(figure, "Observed and modelled outcome by week")


def forest_plot(results: pl.DataFrame) -> str:
    """Markdown image: each channel's ROI with its 90 % interval; empty text where no ROI is known."""
    from matplotlib.figure import Figure

    known = results.filter((pl.col("geo") == ALL) & pl.col("roi").is_not_null()).sort("roi")
    if known.is_empty():
        return ""
    figure = Figure(figsize=(7, 0.6 + 0.4 * known.height), layout="constrained")
    axes = figure.subplots()
    place = np.arange(known.height)
    axes.hlines(place, known["roi_low"].to_numpy(), known["roi_high"].to_numpy(), color=BAND, linewidth=4)
    axes.plot(known["roi"].to_numpy(), place, "o", color=INK)
    axes.axvline(1.0, color="grey", linestyle="--", linewidth=1)
    axes.set_yticks(place, known["channel"].to_list())
    axes.set_xlabel("ROI: revenue per currency spent, 90 % interval (dashed: break even on revenue)")
    return _markdown(figure, "Return on spend by channel")


def _markdown(figure: Figure, title: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return f"![{title}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"
