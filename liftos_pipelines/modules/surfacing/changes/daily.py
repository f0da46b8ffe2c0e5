"""Answers as daily series per engine: how often each brand is named, and what the answers look like."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from liftos_pipelines.stats import FloatArray

FEATURES = (
    "log_words",
    "brands_per_answer",
    "list_share",
    "refusal_share",
    "run_agreement",
    "citations_per_answer",
    "tracked_site_share",
    "domain_entropy",
    "domain_overlap",
    "domain_run_agreement",
)
"""What an engine change moves whichever brands are tracked; `docs/modules/surfacing.md` defines each."""
CITES = "cites "
MIN_CITATIONS = 10
"""A host cited less often than this over an engine's whole history is no series."""
_URL = r"https?://(?:www\.)?([^/?#:\s)\]>\"']+)"
_LIST_LINE = r"(?m)^\s{0,3}(?:\d{1,2}[.)]|[-*•+])\s+\S"
_TABLE_LINE = r"(?m)^\s*\|.*\|\s*$"
_REFUSAL = (
    r"(?i)\b(?:i (?:can(?:no|['’])t|am unable|am not able|won['’]t)(?: to)?"
    r" (?:help|assist|provide|recommend|answer|discuss)|i['’]m (?:unable|not able)|as an ai\b"
    r"|kann (?:ich )?(?:dir |ihnen )?(?:dabei |hierbei )?nicht (?:helfen|empfehlen)"
    r"|je ne peux pas (?:vous |t['’])?(?:aider|recommander|répondre)|no puedo (?:ayudar|recomendar|responder)"
    r"|non posso (?:aiutar|consigliar|risponder)|não posso (?:ajudar|recomendar|responder))"
)


@dataclass(frozen=True, kw_only=True)
class DailySeries:
    """One engine's asking days.

    `values` : (n_days, n_series), the day's mean of each series, NaN where it was not measured; `weights` :
    (n_days, n_series), the answers (or pairs of answers) behind it, 0 where not measured; `names` : (n_series,),
    tracked brands first, then features; `brands` counts the former.
    """

    engine: str
    days: tuple[date, ...]
    values: FloatArray
    weights: FloatArray
    names: tuple[str, ...]
    brands: int

    def __len__(self) -> int:
        return len(self.days)

    @property
    def gap(self) -> float:
        """Median days from one asking to the next."""
        return float(np.median(np.diff([day.toordinal() for day in self.days]))) if len(self.days) > 1 else 1.0


def daily_series(mentions: pl.DataFrame, answers: pl.DataFrame) -> list[DailySeries]:
    """One `DailySeries` an engine, from the tables `surfacing/answer_mentions` and `sources/answers`.

    A day on which no answer could be read is no asking day.
    """
    known = mentions.filter(pl.col("mentioned").is_not_null() & pl.col("asked_at").is_not_null()).with_columns(
        date=pl.col("asked_at").dt.date()
    )
    asked = answers.filter(pl.col("asked_at").is_not_null()).with_columns(date=pl.col("asked_at").dt.date())
    result = []
    for engine in sorted(known["engine"].drop_nulls().unique()):
        mine = pl.col("engine") == engine
        result.append(_engine_series(str(engine), known.filter(mine), asked.filter(mine)))
    return result


def _engine_series(engine: str, part: pl.DataFrame, asked: pl.DataFrame) -> DailySeries:
    rates = part.group_by("date", "brand").agg(
        value=pl.col("mentioned").cast(pl.Float64).mean(), weight=pl.len().cast(pl.Float64)
    )
    brands = sorted(rates["brand"].unique())
    days = part.select("date").unique().sort("date")
    long = [rates.rename({"brand": "name"}), *_answer_features(part, asked), *_host_features(part, asked)]
    columns = ("date", "name", "value", "weight")
    table = pl.concat([frame.select(columns) for frame in long]).filter(
        pl.col("value").is_not_null() & pl.col("value").is_finite()
    )
    found = set(table["name"])
    hosts = sorted(name for name in found if name.startswith(CITES))
    names = [*brands, *(name for name in FEATURES if name in found), *hosts]
    values = _wide(table, days, names, "value")
    weights = np.nan_to_num(_wide(table, days, names, "weight"))
    return DailySeries(
        engine=engine,
        days=tuple(days["date"].to_list()),
        values=values,
        weights=weights,
        names=tuple(names),
        brands=len(brands),
    )


def _wide(table: pl.DataFrame, days: pl.DataFrame, names: list[str], column: str) -> FloatArray:
    wide = days.join(table.pivot(on="name", index="date", values=column), on="date", how="left").sort("date")
    return wide.select(names).to_numpy().astype(float) if names else np.empty((days.height, 0))


def _answer_features(part: pl.DataFrame, asked: pl.DataFrame) -> list[pl.DataFrame]:
    """What each answer looks like, averaged by day; long frames of date, name, value, weight."""
    per_answer = (
        part.sort("answer_id", "brand")
        .group_by("date", "prompt_id", "answer_id", maintain_order=True)
        .agg(
            pl.col("words", "citations").first(),
            named=pl.col("brand").filter(pl.col("mentioned")),
            brands_per_answer=pl.col("mentioned").sum().cast(pl.Float64),
            on_sites=pl.col("brand_citations").sum(),
        )
    )
    text = pl.col("text").fill_null("")
    lines = text.str.count_matches(_LIST_LINE)
    looks = asked.select(
        "date",
        list_share=pl.when(text.str.strip_chars() == "")
        .then(None)
        .otherwise((lines >= 2) | (text.str.count_matches(_TABLE_LINE) >= 2))
        .cast(pl.Float64),
        refusal_share=((text.str.strip_chars() == "") | text.str.slice(0, 300).str.contains(_REFUSAL)).cast(pl.Float64),
    )
    cited = per_answer.filter(pl.col("citations") > 0)
    return [
        _mean(per_answer.select("date", log_words=(pl.col("words") + 1).log()), "log_words"),
        _mean(per_answer, "brands_per_answer"),
        _mean(
            per_answer.select("date", citations_per_answer=pl.col("citations").cast(pl.Float64)), "citations_per_answer"
        ),
        _mean(cited.select("date", tracked_site_share=pl.col("on_sites") / pl.col("citations")), "tracked_site_share"),
        _mean(looks, "list_share"),
        _mean(looks, "refusal_share"),
        _agreement(per_answer.rename({"named": "members"}), ["date", "prompt_id"], "run_agreement"),
    ]


def _host_features(part: pl.DataFrame, asked: pl.DataFrame) -> list[pl.DataFrame]:
    """How varied, how stable and which the cited hosts are.

    Entropy is Shannon's (nats), bias-corrected to first order (Miller 1955), so that a day with more answers
    does not look more varied.
    """
    hosts = cited_hosts(asked).join(part.select("answer_id").unique(), on="answer_id", how="semi")
    if hosts.is_empty():
        return []
    each = hosts.explode("hosts").drop_nulls("hosts")
    share = pl.col("n") / pl.col("n").sum()
    entropy = (
        each.sort("date", "hosts")
        .group_by("date", "hosts", maintain_order=True)
        .agg(n=pl.len())
        .group_by("date", maintain_order=True)
        .agg(
            value=-(share * share.log()).sum() + (pl.len() - 1) / (2 * pl.col("n").sum()),
            weight=pl.col("n").sum().cast(pl.Float64),
        )
        .with_columns(name=pl.lit("domain_entropy"))
    )
    members = hosts.rename({"hosts": "members"})
    by_prompt = (
        each.sort("date", "prompt_id", "hosts").group_by("prompt_id", "date", maintain_order=True).agg(members="hosts")
    )
    common = each.group_by("hosts").len().filter(pl.col("len") >= MIN_CITATIONS)["hosts"]
    answers = hosts.group_by("date").agg(weight=pl.len().cast(pl.Float64))
    # Hosts that were not cited on a day have a share of nought there.
    shares = (
        answers.join(pl.DataFrame({"hosts": common.sort()}), how="cross")
        .join(each.group_by("date", "hosts").agg(n=pl.len()), on=["date", "hosts"], how="left")
        .with_columns(value=pl.col("n").fill_null(0) / pl.col("weight"), name=CITES + pl.col("hosts"))
    )
    return [
        entropy,
        _agreement(by_prompt.sort("prompt_id", "date"), ["prompt_id"], "domain_overlap"),
        _agreement(members.sort("date", "prompt_id", "answer_id"), ["date", "prompt_id"], "domain_run_agreement"),
        shares,
    ]


def cited_hosts(answers: pl.DataFrame) -> pl.DataFrame:
    """The distinct hosts of each answer that cites any: from its list of citations, else from addresses in its text."""
    listed = (
        pl.col("citations")
        .list.eval(pl.element().str.extract(f"^{_URL}", 1).str.to_lowercase().drop_nulls())
        .list.unique()
    )
    written = (
        pl.col("text")
        .fill_null("")
        .str.extract_all(_URL)
        .list.eval(pl.element().str.extract(_URL, 1).str.to_lowercase())
        .list.unique()
    )
    hosts = pl.when(pl.col("citations").list.len() > 0).then(listed).otherwise(written)
    return (
        answers.select("date", "prompt_id", "answer_id", hosts=hosts)
        .filter(pl.col("hosts").list.len() > 0)
        .sort("date", "prompt_id", "answer_id")
    )


def _mean(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    return (
        frame.drop_nulls(name)
        .group_by("date")
        .agg(value=pl.col(name).mean(), weight=pl.len().cast(pl.Float64))
        .with_columns(name=pl.lit(name))
    )


def _agreement(ordered: pl.DataFrame, within: list[str], name: str) -> pl.DataFrame:
    """Mean Jaccard index of each set of `members` with the one before it in its group; two empty sets say nothing."""
    before = pl.col("members").shift(1).over(within)
    pairs = ordered.with_columns(before=before).drop_nulls("before")
    union = pl.col("members").list.set_union("before").list.len()
    jaccard = pl.col("members").list.set_intersection("before").list.len() / union
    return _mean(pairs.select("date", jaccard.alias(name), union=union).filter(pl.col("union") > 0), name)
