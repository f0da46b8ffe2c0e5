"""Answers as daily series per engine: how often each brand is named, and what the answers look like."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.surfacing.answer import parse_answer
from liftos_pipelines.stats import FloatArray

FEATURES = ("log_words", "brands_per_answer", "citations_per_answer", "domain_entropy")
"""What an engine change moves whichever brands are tracked."""
MIN_MENTIONS = 10
"""A brand named less often than this over an engine's whole history has no usable variance."""


@dataclass(frozen=True, kw_only=True)
class DailySeries:
    """One engine's asking days.

    `values` : (n_days, n_series), the day's mean of each series; `weights` : (n_days,), answers that day;
    `names` : (n_series,), tracked brands first, then features; `brands` counts the former.
    """

    engine: str
    days: tuple[date, ...]
    values: FloatArray
    weights: FloatArray
    names: tuple[str, ...]
    brands: int

    def __len__(self) -> int:
        return len(self.days)


def domain_entropies(answers: pl.DataFrame) -> pl.DataFrame:
    """Per engine and day, the Shannon entropy (nats) of the hosts that its answers cite.

    Bias of the plug-in estimate corrected to first order (Miller 1955), so that a day with more answers does
    not look more varied. Columns engine, date, domain_entropy; days without a citation are absent.
    """
    hosts: list[tuple[str, date, str]] = []
    for engine, asked_at, text, citations in answers.select("engine", "asked_at", "text", "citations").iter_rows():
        cited = parse_answer(text, citations).cited_pages.values()
        hosts += [(engine, asked_at.date(), host) for host in cited]
    frame = pl.DataFrame(hosts, schema={"engine": pl.String, "date": pl.Date, "host": pl.String}, orient="row")
    share = pl.col("n") / pl.col("n").sum()
    return (
        frame.sort("engine", "date", "host")
        .group_by("engine", "date", "host", maintain_order=True)
        .agg(n=pl.len())
        .group_by("engine", "date", maintain_order=True)
        .agg(domain_entropy=-(share * share.log()).sum() + (pl.len() - 1) / (2 * pl.col("n").sum()))
    )


def daily_series(mentions: pl.DataFrame, entropies: pl.DataFrame) -> list[DailySeries]:
    """One `DailySeries` an engine, from the table `surfacing/answer_mentions` and `domain_entropies`.

    A feature that is missing on any asking day (citations not recorded) is left out for that engine, and so
    is a series that never varies.
    """
    known = mentions.filter(pl.col("mentioned").is_not_null() & pl.col("asked_at").is_not_null()).with_columns(
        date=pl.col("asked_at").dt.date()
    )
    result = []
    for (engine,), part in sorted(known.group_by("engine", maintain_order=True), key=lambda pair: str(pair[0][0])):
        result.append(_engine_series(str(engine), part, entropies.filter(pl.col("engine") == engine)))
    return result


def _engine_series(engine: str, part: pl.DataFrame, entropies: pl.DataFrame) -> DailySeries:
    counts = part.group_by("brand", maintain_order=True).agg(n=pl.col("mentioned").sum())
    brands = sorted(counts.filter(pl.col("n") >= MIN_MENTIONS)["brand"].to_list())
    rates = (
        part.filter(pl.col("brand").is_in(brands))
        .group_by("date", "brand", maintain_order=True)
        .agg(rate=pl.col("mentioned").cast(pl.Float64).mean())
        .pivot(on="brand", index="date", values="rate")
    )
    per_answer = part.group_by("date", "answer_id", maintain_order=True).agg(
        words=pl.col("words").first(),
        brands=pl.col("mentioned").sum(),
        citations=pl.col("citations").first(),
    )
    features = per_answer.group_by("date", maintain_order=True).agg(
        answers=pl.len().cast(pl.Float64),
        log_words=(pl.col("words") + 1).log().mean(),
        brands_per_answer=pl.col("brands").cast(pl.Float64).mean(),
        citations_per_answer=pl.col("citations").cast(pl.Float64).mean(),
    )
    table = features.join(entropies.select("date", "domain_entropy"), on="date", how="left").sort("date")
    if brands:
        table = table.join(rates, on="date", how="left").sort("date")
    names = [name for name in [*brands, *FEATURES] if table[name].null_count() == 0 and table[name].n_unique() > 1]
    values: NDArray[np.float64] = table.select(names).to_numpy().astype(float) if names else np.empty((table.height, 0))
    return DailySeries(
        engine=engine,
        days=tuple(table["date"].to_list()),
        values=values,
        weights=table["answers"].to_numpy(),
        names=tuple(names),
        brands=sum(name in brands for name in names),
    )
