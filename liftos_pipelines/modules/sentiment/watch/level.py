"""Where the index's level can be checked: mentions whose author gave stars, by campaign, source, language and topic."""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import stats

from liftos_pipelines.modules.sentiment.watch.index import GROUPS, scored_mentions
from liftos_pipelines.stats import benjamini_hochberg

MIN_RATED = 60
"""Rated mentions from which on a group is judged."""
WORTH_SAYING = 0.15
"""A difference of net sentiment that matters."""
FALSE_DISCOVERIES = 0.10

_SCHEMA = {
    "kind": pl.String, "name": pl.String, "n": pl.Int64, "by_stars": pl.Float64, "by_text": pl.Float64,
    "difference": pl.Float64, "p_value_adjusted": pl.Float64, "differs": pl.Boolean,
}  # fmt: skip


def against_ratings(scores: pl.DataFrame, mentions: pl.DataFrame) -> pl.DataFrame:
    """Corrected net sentiment of rated mentions beside that of their stars, per group; empty with too few ratings.

    The correction is unbiased where a class reads alike everywhere. A group whose texts of a class read otherwise (new
    complaints in new words) is off by what this finds. Standard errors are clustered by author; p-values are
    adjusted over groups (Benjamini and Hochberg 1995). `differs`: beyond chance and by more than `WORTH_SAYING`.
    """
    scored = scored_mentions(scores, mentions)
    rated = scored.rows.filter(pl.col("rating").is_between(1, 5)).with_columns(
        stars=pl.when(pl.col("rating") < 2.5).then(-1.0).when(pl.col("rating") <= 3.5).then(0.0).otherwise(1.0)
    )
    if not scored.known or rated.height < MIN_RATED or all(one.kind == "none" for one in scored.known.values()):
        return pl.DataFrame(schema=_SCHEMA)
    rows = []
    for column in GROUPS:
        part = rated.rename({"topics": "topic"}).explode("topic") if column == "topic" else rated
        for (name,), group in part.drop_nulls(column).group_by([column], maintain_order=True):
            if group.height >= MIN_RATED:
                gap = group.select("author", gap=pl.col("net") - pl.col("stars"))
                mean = float(gap["gap"].mean())  # type: ignore[arg-type]
                by_author = gap.group_by("author").agg((pl.col("gap") - mean).sum())["gap"].to_numpy()
                error = float(np.sqrt((by_author**2).sum())) / group.height
                p = float(2 * stats.norm.sf(abs(mean) / error)) if error > 0 else 1.0
                rows.append((column.removesuffix("_id"), str(name), group.height, group["stars"].mean(),
                             group["net"].mean(), mean, p, False))  # fmt: skip
    found = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    adjusted = pl.Series("p_value_adjusted", benjamini_hochberg(found["p_value_adjusted"].to_numpy()))
    return found.with_columns(adjusted).with_columns(
        differs=(pl.col("p_value_adjusted") < FALSE_DISCOVERIES) & (pl.col("difference").abs() > WORTH_SAYING)
    )
