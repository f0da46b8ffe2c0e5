"""What a change of net sentiment consists of: level and share, by campaign, source, language and topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.stats import percentile_interval

Array = NDArray[np.float64]

DIMENSIONS = ("campaign", "topic", "source", "language")
CROSSED = " x ".join(DIMENSIONS)
REPLICATES = 200
MOST_CELLS = 8
"""Crossed cells that are kept: those with the largest changes."""

PART = pl.Struct(
    {
        "dimension": pl.String(),
        "part": pl.String(),
        "change": pl.Float64(),
        "low": pl.Float64(),
        "high": pl.Float64(),
        "level": pl.Float64(),
        "mix": pl.Float64(),
        "share_before": pl.Float64(),
        "share_after": pl.Float64(),
    }
)


def decompose(before: pl.DataFrame, after: pl.DataFrame, by: str) -> pl.DataFrame:
    """A change of the mean of `net`, split by the groups of `by` into a change of level and a change of share.

    `level` = share after x (level after - level before), `mix` = (share after - share before) x (level before - mean
    before); over the groups they add up to the change of the mean. A group that is new has no level before: its
    distance from the old mean counts as mix. Source: Kitagawa (1955), Components of a difference between two rates.

    Parameters
    ----------
    before, after : columns `by`, net, and weight (what a row counts for)
    """
    groups = sorted(set(before[by]) | set(after[by]))
    tables = [_sums(part, by, groups) for part in (before, after)]
    level, mix, shares0, shares1 = _split(*tables[0], *tables[1])
    return pl.DataFrame(
        {by: groups, "level": level, "mix": mix, "change": level + mix, "share0": shares0, "share1": shares1}
    ).sort("change")


def components(
    before: pl.DataFrame, after: pl.DataFrame, dimensions: Sequence[str], *, seed: int
) -> list[dict[str, Any]]:
    """Every part of a change, one dimension at a time and for all of them crossed, with 90 % intervals.

    Parameters
    ----------
    before, after : mentions with author, net and the columns campaign, source, language and topics (lists)
    dimensions : of these, by which to split

    Returns
    -------
    rows of `PART`, the largest fall first within a dimension. A mention of k topics counts 1/k in each. Intervals are
    percentiles of a Poisson bootstrap over authors: all of an author's mentions are drawn together.
    """
    if before.is_empty() or after.is_empty():
        return []
    rng = np.random.default_rng(seed)
    apart = [_by_topic(part) for part in (before, after)]
    drawn = [_draws(part, rng) for part in apart]
    found: list[dict[str, Any]] = []
    for dimension in (*dimensions, CROSSED):
        if dimension == CROSSED:
            if len(dimensions) < 2:
                continue
            cell = pl.concat_str(dimensions, separator=" | ").alias(CROSSED)
            apart = [part.with_columns(cell) for part in apart]
        point = decompose(apart[0], apart[1], dimension)
        if point.height < 2 and dimension != dimensions[0]:
            continue
        if dimension == CROSSED:
            largest = point.with_columns(size=pl.col("change").abs()).sort("size", descending=True).head(MOST_CELLS)
            point = largest.sort("change")
        groups = point[dimension].to_list()
        intervals = _intervals(apart, drawn, dimension, groups)
        found += [
            {
                "dimension": dimension, "part": row[dimension], "change": row["change"], "low": low, "high": high,
                "level": row["level"], "mix": row["mix"], "share_before": row["share0"], "share_after": row["share1"],
            }
            for row, (low, high) in zip(point.iter_rows(named=True), intervals, strict=True)
        ]  # fmt: skip
    return found


def _by_topic(mentions: pl.DataFrame) -> pl.DataFrame:
    """One row a mention and topic; the rows of a mention weigh 1 together."""
    return (
        mentions.with_columns(weight=1 / pl.col("topics").list.len().clip(1))
        .explode("topics")
        .rename({"topics": "topic"})
    )


def _sums(part: pl.DataFrame, by: str, groups: list[str]) -> tuple[Array, Array]:
    """Weight and weighted sum of net of each group."""
    sums = part.group_by(by).agg(w=pl.col("weight").sum(), s=(pl.col("weight") * pl.col("net")).sum())
    joined = pl.DataFrame({by: groups}, schema={by: pl.String}).join(sums, on=by, how="left", maintain_order="left")
    return joined["w"].fill_null(0.0).to_numpy(), joined["s"].fill_null(0.0).to_numpy()


def _split(w0: Array, s0: Array, w1: Array, s1: Array) -> tuple[Array, Array, Array, Array]:
    """Level and mix of each group (last axis), and its shares before and after."""
    all0, all1 = (np.maximum(w.sum(-1, keepdims=True), 1e-12) for w in (w0, w1))
    share0, share1 = w0 / all0, w1 / all1
    level0, level1 = s0 / np.where(w0 > 0, w0, 1), s1 / np.where(w1 > 0, w1, 1)
    old = np.where(w0 > 0, level0, level1)
    level = share1 * np.where(w1 > 0, level1 - old, 0.0)
    mix = (share1 - share0) * (old - s0.sum(-1, keepdims=True) / all0)
    return level, mix, share0, share1


def _draws(part: pl.DataFrame, rng: np.random.Generator) -> tuple[NDArray[np.int64], Array]:
    """Author number of each row, and how often each author is drawn in each replicate."""
    authors = part["author"].rank("dense").cast(pl.Int64).to_numpy() - 1
    return authors, rng.poisson(1.0, size=(REPLICATES, int(authors.max()) + 1)).astype(float)


def _intervals(
    parts: list[pl.DataFrame], drawn: list[tuple[NDArray[np.int64], Array]], by: str, groups: list[str]
) -> list[tuple[float, float]]:
    """90 % interval of each group's change; what is not among `groups` is one group more, the rest."""
    sums = []
    place = {name: at for at, name in enumerate(groups)}
    for part, (authors, times) in zip(parts, drawn, strict=True):
        column = np.array([place.get(name, len(groups)) for name in part[by].to_list()])
        weights = part["weight"].to_numpy()
        for values in (weights, weights * part["net"].to_numpy()):
            table = np.zeros((times.shape[1], len(groups) + 1))
            np.add.at(table, (authors, column), values)
            sums.append(times @ table)
    level, mix, _, _ = _split(*sums)
    change = level + mix
    return [percentile_interval(change[:, at]) for at in range(len(groups))]
