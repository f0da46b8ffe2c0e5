"""The daily index: mean of p_positive - p_negative per day, campaign and source, with 90 % intervals."""

from __future__ import annotations

import polars as pl
from scipy import stats

from liftos_pipelines.tables import ALL, table

MIN_AUTHORS = 8
"""A cell with fewer authors borrows the spread of its whole stream: its own would be too uncertain to use."""

LEVEL = 0.9


def net_sentiment_by_day(scores: pl.DataFrame, mentions: pl.DataFrame) -> pl.DataFrame:
    """Net sentiment of every day with a scored mention, by campaign and source and their totals (`all`).

    Parameters
    ----------
    scores : `sentiment/mention_scores`; mentions without probabilities do not count, abstained ones do, because the
        mean of probabilities is what is calibrated, not the label
    mentions : `sources/mentions`, for the day (UTC), campaign, source and author

    Returns
    -------
    contract columns of `sentiment/daily_index`, and `se` (standard error, clustered by author) and `n_authors`

    The interval is Student's t around the mean with the jackknife variance over authors, so ten posts of one author do
    not count as ten opinions (delete-one-cluster jackknife, CR3: Bell and McCaffrey 2002); its degrees of freedom
    are the effective number of authors less one, (posts)**2 / (sum of squared posts per author) (after Carter,
    Schnepel and Steigerwald 2017).
    A day with fewer than 8 authors takes the pooled variance of its stream and full dependence within an author.
    """
    rows = (
        mentions.select("mention_id", "published_at", "source", "author", "campaign_id")
        .join(scores.select("mention_id", "p_negative", "p_positive"), on="mention_id", how="inner")
        .drop_nulls(["p_negative", "published_at"])
        .select(
            pl.col("published_at").dt.date().alias("date"),
            "campaign_id",
            "source",
            pl.coalesce("author", pl.concat_str(pl.lit("\x00"), "mention_id")).alias("author"),
            (pl.col("p_positive") - pl.col("p_negative")).alias("net"),
        )
    )
    if rows.is_empty():
        return (
            table("sentiment/daily_index")
            .empty()
            .with_columns(pl.lit(None, pl.Float64).alias("se"), pl.lit(None, pl.Int64).alias("n_authors"))
        )
    named = rows.drop_nulls("campaign_id")
    total = pl.lit(ALL)
    stacked = pl.concat(
        [
            part.with_columns(**changed).select("date", "campaign_id", "source", "author", "net")
            for part, changed in (
                (rows, {"campaign_id": total, "source": total}),
                (rows, {"campaign_id": total}),
                (named, {"source": total}),
                (named, {}),
            )
        ]
    )
    cell, stream = ["date", "campaign_id", "source"], ["campaign_id", "source"]
    residuals = stacked.with_columns(error=pl.col("net") - pl.col("net").mean().over(cell))
    # Residuals around the mean of a day of m posts have lost one degree of freedom each day.
    pooled = residuals.group_by(stream).agg(
        ((pl.col("error") ** 2).sum() / (pl.len() - pl.col("date").n_unique()).clip(1)).alias("pooled"),
        (pl.len() - pl.col("date").n_unique()).alias("spare"),
    )
    authors = residuals.group_by([*cell, "author"]).agg(
        pl.col("net").sum().alias("total"), pl.col("error").sum().alias("error"), pl.len().alias("posts")
    )
    days = (
        authors.group_by(cell)
        .agg(
            pl.col("posts").sum().cast(pl.Int64).alias("n"),
            pl.len().cast(pl.Int64).alias("n_authors"),
            (pl.col("total").sum() / pl.col("posts").sum()).alias("net_sentiment"),
            ((pl.col("error") / (1 - pl.col("posts") / pl.col("posts").sum())) ** 2).sum().alias("squares"),
            (pl.col("posts") ** 2).sum().alias("posts2"),
        )
        .join(pooled, on=stream, how="left")
    )
    own = pl.col("squares") * (pl.col("n_authors") - 1) / pl.col("n_authors") / pl.col("n") ** 2
    borrowed = pl.col("pooled") * pl.col("posts2") / pl.col("n") ** 2
    effective = (pl.col("n") ** 2 / pl.col("posts2")).floor()
    enough = pl.col("n_authors") >= MIN_AUTHORS
    days = days.with_columns(
        se=pl.when(enough).then(own).when(pl.col("spare") >= MIN_AUTHORS).then(borrowed).otherwise(None).sqrt(),
        freedom=pl.when(enough).then((effective - 1).clip(1)).otherwise(pl.col("spare")).cast(pl.Int64),
    )
    quantiles = {f: float(stats.t.ppf(0.5 + LEVEL / 2, f)) for f in days["freedom"].unique().to_list() if f >= 1}
    half = pl.col("se") * pl.col("freedom").replace_strict(quantiles, default=None, return_dtype=pl.Float64)
    return (
        days.with_columns(
            low=(pl.col("net_sentiment") - half).clip(-1, 1), high=(pl.col("net_sentiment") + half).clip(-1, 1)
        )
        .select("date", "campaign_id", "source", "n", "net_sentiment", "low", "high", "se", "n_authors")
        .sort("date", "campaign_id", "source")
    )
