"""A picture of a page audit: the mean score of each dimension, with how many pages it could be measured on."""

from __future__ import annotations

import polars as pl

from liftos_pipelines.modules.surfacing.pages.audit import DIMENSIONS, OVERALL
from liftos_pipelines.page_style import markdown_image

INK, REST = "#1f4e79", "#9db8d2"


def scores_by_dimension(audit: pl.DataFrame) -> pl.DataFrame:
    """dimension, score (mean), lowest, pages (with a score), of (all), failed (most frequent failed check)."""
    order = {name: place for place, name in enumerate((OVERALL, *DIMENSIONS))}
    worst = (
        audit.explode("failed", empty_as_null=True)
        .drop_nulls("failed")
        .group_by("dimension", "failed")
        .len()
        .sort("len", "failed", descending=[True, False])
        .unique("dimension", keep="first", maintain_order=True)
        .select("dimension", most_frequent_fault=pl.format("{} ({})", "failed", "len"))
    )
    return (
        audit.filter(pl.col("dimension").is_in(list(order)))
        .group_by("dimension")
        .agg(score=pl.col("score").mean(), lowest=pl.col("score").min(), pages=pl.col("score").count(), of=pl.len())
        .join(worst, on="dimension", how="left")
        .sort(pl.col("dimension").replace_strict(order, return_dtype=pl.Int64))
    )


def scores_plot(audit: pl.DataFrame) -> str:
    """Markdown image: one bar a dimension, 0 to 100; what could not be measured says so."""
    from matplotlib.figure import Figure

    rows = scores_by_dimension(audit).reverse()
    figure = Figure(figsize=(7.5, 0.36 * rows.height + 0.9), layout="constrained")
    axes = figure.subplots()
    names = [name.replace("_", " ") for name in rows["dimension"]]
    scores = rows["score"].fill_null(0.0).to_list()
    axes.barh(names, scores, color=[INK if name == OVERALL else REST for name in rows["dimension"]])
    for place, (score, pages, of) in enumerate(rows.select("score", "pages", "of").iter_rows()):
        label = "not measured" if score is None else f"{score:.0f}  ({pages} of {of} pages)"
        axes.text((score or 0.0) + 1, place, label, va="center", fontsize=8)
    axes.set_xlim(0, 125)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel("mean score of the pages, 0 to 100")
    axes.spines[["top", "right"]].set_visible(False)
    return markdown_image(figure, "Page audit by dimension", dpi=110)
