"""How often each brand is named, as a table and a picture."""

from __future__ import annotations

import polars as pl

from liftos_pipelines.page_style import markdown_image

INK, REST = "#1f4e79", "#9db8d2"
SHOWN = 25
"""Brands in the picture; the table has all."""


def mention_rates(mentions: pl.DataFrame) -> pl.DataFrame:
    """brand, own, answers (read), mentioned, mention_rate, top_1_rate, mean_sentiment; the most named first.

    Parameters
    ----------
    mentions : the table `surfacing/answer_mentions`
    """
    return (
        mentions.filter(pl.col("mentioned").is_not_null())
        .group_by("brand", "own")
        .agg(
            answers=pl.len(),
            mentioned=pl.col("mentioned").sum(),
            mention_rate=pl.col("mentioned").mean(),
            top_1_rate=(pl.col("rank") == 1).fill_null(False).mean(),
            mean_sentiment=pl.col("sentiment").mean(),
        )
        .sort(["mention_rate", "brand"], descending=[True, False])
    )


def mention_rates_plot(rates: pl.DataFrame) -> str:
    """Markdown image: one bar a brand, its own darker and marked; without readable answers a sentence that says so."""
    if rates.is_empty():
        return "No answer could be read."
    from matplotlib.figure import Figure

    rows = rates.head(SHOWN).reverse()
    figure = Figure(figsize=(7.5, 0.32 * rows.height + 0.9), layout="constrained")
    axes = figure.subplots()
    names = [f"{name} (own)" if own else name for name, own in rows.select("brand", "own").iter_rows()]
    percent = [100 * rate for rate in rows["mention_rate"]]
    axes.barh(names, percent, color=[INK if own else REST for own in rows["own"]])
    for place, (rate, mentioned, answers) in enumerate(rows.select("mention_rate", "mentioned", "answers").iter_rows()):
        axes.text(100 * rate + 1, place, f"{100 * rate:.0f} %  ({mentioned} of {answers})", va="center", fontsize=8)
    axes.set_xlim(0, 125)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel("answers that name the brand, %")
    axes.spines[["top", "right"]].set_visible(False)
    return markdown_image(figure, "Answers that name each brand", dpi=100)
