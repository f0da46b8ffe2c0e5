"""The daily index: net sentiment per day by campaign, source, language and topic, with 90 % intervals.

What each mention counts for is freed of the classifier's pull (`correction`), so that the index is a level and not
only a direction. Intervals hold two errors: that of the day's mentions, which is every day's own, and that of the
calibration, which all days share; it matters for levels and not for falls, so the detector leaves it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from liftos_pipelines.modules.sentiment.reading.calibration import POOLED, SoftConfusion, soft_confusion
from liftos_pipelines.modules.sentiment.watch.correction import (
    FULL,
    NONE,
    PARTIAL,
    UNCORRECTED,
    Correction,
    correction_for,
    corrections,
)
from liftos_pipelines.tables import ALL, table

MIN_AUTHORS = 8
"""A cell with fewer authors borrows the spread of its whole stream: its own would be too uncertain to use."""
LEVEL = 0.9
MIN_RATED = 100
"""Rated mentions a class from which on the client's own ratings say how its mentions are read."""
NO_TOPIC = "no topic"

GROUPS = ("campaign_id", "source", "language", "topic")
MARGINALS: tuple[tuple[str, ...], ...] = (
    (), ("campaign_id",), ("source",), ("campaign_id", "source"), ("language",), ("topic",),
)  # fmt: skip
"""What the index is split by; a column that is not split by holds `all`."""
_EXTRA: dict[str, pl.DataType] = {
    "raw": pl.Float64(),
    "correction": pl.String(),
    "estimate": pl.Float64(),
    "se": pl.Float64(),
    "se_correction": pl.Float64(),
    "n_authors": pl.Int64(),
}
SCHEMA = {**table("sentiment/daily_index").columns, **_EXTRA}


@dataclass(frozen=True, kw_only=True)
class DailyIndex:
    """The table, what was left out of it, and on what texts its correction rests.

    `future` mentions dated after now, `duplicates` further copies of the same text by the same author on the same day,
    `unscored` mentions without probabilities; `basis` in words, `weights` one row a language: p_negative, p_neutral and
    p_positive's weights, kind, texts
    """

    table: pl.DataFrame
    future: int
    duplicates: int
    unscored: int
    basis: str
    weights: pl.DataFrame


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Mentions that count, one row each (`rows`), with `raw` and corrected `net`; see `scored_mentions`."""

    rows: pl.DataFrame
    future: int
    duplicates: int
    unscored: int
    basis: str
    known: Mapping[str, Correction]


def scored_mentions(
    scores: pl.DataFrame,
    mentions: pl.DataFrame,
    confusion: Mapping[str, SoftConfusion] | None = None,
    *,
    basis: str = "texts it was calibrated on",
    now: datetime | None = None,
) -> Scored:
    """Mentions with the day, groups, author and corrected net sentiment that index and alerts are made of.

    Parameters
    ----------
    scores : `sentiment/mention_scores`; mentions without probabilities do not count, abstained ones do, because the
        mean of probabilities is what is calibrated, not the label
    mentions : `sources/mentions`
    confusion : the model's soft confusion by language; None where it has none
    basis : what texts `confusion` was measured on, in words
    now : mentions dated later do not count; None: all do

    Where the client's rated mentions hold `MIN_RATED` of each class, their stars (1-2, 3, 4-5) say how the classifier
    reads this client's texts, in place of `confusion`: calibration on other texts rarely holds for these.
    """
    dated = mentions.drop_nulls("published_at")
    timely = dated if now is None else dated.filter(pl.col("published_at") <= now)
    columns = ["mention_id", "language", "p_negative", "p_neutral", "p_positive", "topics"]
    rows = (
        timely.select("mention_id", "published_at", "source", "author", "campaign_id", "engagement", "rating", "text")
        .join(scores.select(columns), on="mention_id", how="inner")
        .with_columns(
            date=pl.col("published_at").dt.date(),
            author=pl.coalesce("author", pl.concat_str(pl.lit("\x00"), "mention_id")),
        )
    )
    once = rows.unique(["author", "text", "date"], keep="first", maintain_order=True)
    known_rows = once.drop_nulls("p_negative")
    rated, of_rated = _from_ratings(known_rows)
    if rated:
        confusion, basis = rated, f"the client's own {of_rated:,} rated mentions"
    known = corrections(confusion)
    if not known:
        basis = "nothing: the model has no soft confusion, so the index is not corrected"
    p = known_rows.select("p_negative", "p_neutral", "p_positive").to_numpy()
    languages = known_rows["language"].fill_null(POOLED).to_list()
    by_language = {code: correction_for(code, known) for code in dict.fromkeys(languages)}
    number = {code: at for at, code in enumerate(by_language)}
    place = np.array([number[code] for code in languages], dtype=int)
    weights = np.array([each.scores for each in by_language.values()]).reshape(-1, 3)[place]
    return Scored(
        rows=known_rows.with_columns(
            raw=pl.col("p_positive") - pl.col("p_negative"),
            net=pl.Series((p * weights).sum(axis=1), dtype=pl.Float64),
            kind=pl.Series([by_language[code].kind for code in languages], dtype=pl.String),
        ),
        future=dated.height - timely.height,
        duplicates=rows.height - once.height,
        unscored=once.height - known_rows.height,
        basis=basis,
        known=by_language,
    )


def net_sentiment_by_day(scored: Scored) -> DailyIndex:
    """Net sentiment of every day with a scored mention: the total, and by each of `MARGINALS`.

    Returns
    -------
    contract columns of `sentiment/daily_index`, and: `raw`, the mean without correction; `correction` (full, partial:
    some mentions with less than full, none); `estimate`, net sentiment before it is kept within -1 to 1, which is
    the one to average; `se`, the day's own standard error, clustered by author; `se_correction`, the calibration's

    The interval is Student's t around the mean with the jackknife variance over authors, so ten posts of one author do
    not count as ten opinions (delete-one-cluster jackknife, CR3: Bell and McCaffrey 2002); its degrees of freedom
    are the effective number of authors less one, (posts)**2 / (sum of squared posts per author) (after Carter,
    Schnepel and Steigerwald 2017). A day with fewer than 8 authors takes the pooled variance of its stream and full
    dependence within an author. The calibration's error is added to the variance (delta method). A mention of
    several topics counts in each.
    """
    weights = _weights(scored)
    if scored.rows.is_empty():
        empty = pl.DataFrame(schema=SCHEMA)
        return DailyIndex(
            table=empty, future=scored.future, duplicates=scored.duplicates, unscored=scored.unscored,
            basis=scored.basis, weights=weights,
        )  # fmt: skip
    parts = [_cells(scored.rows, split) for split in MARGINALS]
    days = pl.concat([part for part in parts if part.height])
    days = days.with_columns(se_correction=_calibration_error(days, scored))
    quantiles = {f: float(stats.t.ppf(0.5 + LEVEL / 2, f)) for f in days["freedom"].unique().to_list() if f and f >= 1}
    t = pl.col("freedom").replace_strict(quantiles, default=None, return_dtype=pl.Float64)
    z = float(stats.norm.ppf(0.5 + LEVEL / 2))
    half = ((pl.col("se") * t) ** 2 + (pl.col("se_correction") * z) ** 2).sqrt()
    days = (
        days.with_columns(half=half)
        .with_columns(
            net_sentiment=pl.col("estimate").clip(-1, 1),
            low=(pl.col("estimate") - pl.col("half")).clip(-1, 1),
            high=(pl.col("estimate") + pl.col("half")).clip(-1, 1),
            correction=pl.when(pl.col("full") == pl.col("n"))
            .then(pl.lit(FULL))
            .when(pl.col("none") == pl.col("n"))
            .then(pl.lit(NONE))
            .otherwise(pl.lit(PARTIAL)),
        )
        .select(list(SCHEMA))
        .sort("date", *GROUPS)
    )
    return DailyIndex(
        table=days, future=scored.future, duplicates=scored.duplicates, unscored=scored.unscored,
        basis=scored.basis, weights=weights,
    )  # fmt: skip


def total_of(index: pl.DataFrame) -> pl.DataFrame:
    """The rows of the total: all campaigns, sources, languages and topics together."""
    return index.filter(pl.all_horizontal(pl.col(name) == ALL for name in GROUPS))


def _cells(rows: pl.DataFrame, split: tuple[str, ...]) -> pl.DataFrame:
    """One row a day and group of `split`, with mean, jackknife variance and what the intervals need."""
    part = rows.select(
        "date", "author", "net", "raw", "kind", "p_negative", "p_neutral", "p_positive",
        *(
            (pl.col("topics") if name == "topic" else pl.col(name)).alias(name) if name in split
            else pl.lit(ALL).alias(name)
            for name in GROUPS
        ),
    )  # fmt: skip
    if "topic" in split:
        part = part.explode("topic")
    part = part.drop_nulls(list(split)) if split else part
    cell = ["date", *GROUPS]
    centred = part.with_columns(error=pl.col("net") - pl.col("net").mean().over(cell))
    # Residuals around the mean of a day of m posts have lost one degree of freedom each day.
    pooled = centred.group_by(GROUPS).agg(
        ((pl.col("error") ** 2).sum() / (pl.len() - pl.col("date").n_unique()).clip(1)).alias("pooled"),
        (pl.len() - pl.col("date").n_unique()).alias("spare"),
    )
    authors = centred.group_by([*cell, "author"]).agg(
        pl.col("net").sum().alias("total"),
        pl.col("error").sum().alias("error"),
        pl.len().alias("posts"),
        *(pl.col(name).sum() for name in ("raw", "p_negative", "p_neutral", "p_positive")),
        *((pl.col("kind") == kind).sum().alias(kind) for kind in (FULL, NONE)),
    )
    size = pl.col("posts").sum()
    days = (
        authors.group_by(cell)
        .agg(
            size.cast(pl.Int64).alias("n"),
            pl.len().cast(pl.Int64).alias("n_authors"),
            (pl.col("total").sum() / size).alias("estimate"),
            ((pl.col("error") / (1 - pl.col("posts") / size)) ** 2).sum().alias("squares"),
            (pl.col("posts") ** 2).sum().alias("posts2"),
            *((pl.col(name).sum() / size) for name in ("raw", "p_negative", "p_neutral", "p_positive")),
            *(pl.col(kind).sum() for kind in (FULL, NONE)),
        )
        .join(pooled, on=list(GROUPS), how="left")
    )
    own = pl.col("squares") * (pl.col("n_authors") - 1) / pl.col("n_authors") / pl.col("n") ** 2
    borrowed = pl.col("pooled") * pl.col("posts2") / pl.col("n") ** 2
    effective = (pl.col("n") ** 2 / pl.col("posts2")).floor()
    enough = pl.col("n_authors") >= MIN_AUTHORS
    return days.with_columns(
        se=pl.when(enough).then(own).when(pl.col("spare") >= MIN_AUTHORS).then(borrowed).otherwise(None).sqrt(),
        freedom=pl.when(enough).then((effective - 1).clip(1)).otherwise(pl.col("spare")).cast(pl.Int64),
    )


def _calibration_error(days: pl.DataFrame, scored: Scored) -> pl.Series:
    """Standard error of each cell's level from the calibration's sample.

    Languages have errors of their own; a cell's is that of its languages' mean, by their share of all mentions.
    """
    mentions = scored.rows.group_by("language").agg(pl.len().alias("n"), pl.col("net").var().alias("spread"))
    shares = {row["language"]: row["n"] / scored.rows.height for row in mentions.iter_rows(named=True)}
    spreads = {row["language"]: row["spread"] for row in mentions.iter_rows(named=True)}
    whole = float(scored.rows["net"].var() or 0.0) if scored.rows.height > 1 else 0.0  # type: ignore[arg-type]
    p = days.select("p_negative", "p_neutral", "p_positive").to_numpy()
    squares = np.zeros(days.height)
    languages = days["language"].to_numpy()
    own = languages != ALL
    for code, share in shares.items():
        correction = scored.known.get(code or POOLED, UNCORRECTED)
        if correction.kind == NONE:
            continue
        spread = spreads[code] if spreads[code] is not None else whole
        at = languages == code
        squares[at] = _errors(correction, p[at], spread) ** 2
        squares[~own] += share**2 * _errors(correction, p[~own], spread) ** 2
    return pl.Series(np.sqrt(squares))


def _errors(correction: Correction, p: NDArray[np.float64], spread: float) -> NDArray[np.float64]:
    """`Correction.error` for many means at once: it moves slowly with the mean, so a coarse grid of means serves."""
    keys = np.round(p * 20).astype(int)
    unique, place = np.unique(keys, axis=0, return_inverse=True)
    values = np.array([correction.error(key / max(key.sum(), 1), spread) for key in unique])
    return values[place.ravel()] if len(unique) else np.zeros(0)


def _from_ratings(rows: pl.DataFrame) -> tuple[dict[str, SoftConfusion], int]:
    """Soft confusion by language, and pooled, of mentions whose author gave stars; empty with too few of a class."""
    rated = rows.filter(pl.col("rating").is_between(1, 5)).with_columns(
        truth=pl.when(pl.col("rating") < 2.5).then(0).when(pl.col("rating") <= 3.5).then(1).otherwise(2)
    )
    if rated.height < 3 * MIN_RATED or min(rated.filter(pl.col("truth") == k).height for k in range(3)) < MIN_RATED:
        return {}, 0
    found = {POOLED: _confusion(rated)}
    for (language,), part in rated.drop_nulls("language").group_by(["language"], maintain_order=True):
        found[str(language)] = _confusion(part)
    return found, rated.height


def _confusion(rated: pl.DataFrame) -> SoftConfusion:
    p = rated.select("p_negative", "p_neutral", "p_positive").to_numpy()
    return soft_confusion(p, rated["truth"].cast(pl.Int64).to_numpy())


def _weights(scored: Scored) -> pl.DataFrame:
    schema = {
        "language": pl.String, "negative": pl.Float64, "neutral": pl.Float64, "positive": pl.Float64,
        "correction": pl.String, "texts": pl.Float64,
    }  # fmt: skip
    return pl.DataFrame(
        [
            (code, *each.scores.tolist(), each.kind, None if each.texts is None else float(each.texts.sum()))
            for code, each in sorted(scored.known.items())
        ],
        schema=schema,
        orient="row",
    )
