"""What the visibility report says in words: first how often the brand is named, then what to know about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from liftos_pipelines.modules.surfacing.report.charts import chance, month, percent, points
from liftos_pipelines.tables import ALL

SURE = 0.95
RECENT = timedelta(days=90)
KINDS = {
    "brand": "one brand's visibility changed",
    "engine": "the engine changed how it answers",
    "world": "every engine changed at once",
    "own": "our own prompts changed",
}


def lead(posterior: pl.DataFrame, pairs: pl.DataFrame) -> str:
    """One sentence: the newest month's rate of the brand over all engines, and who leads."""
    newest = posterior.filter(pl.col("period") == pl.col("period").max(), pl.col("engine") == ALL)
    own = newest.filter("own")
    if own.is_empty():
        return "No mention rate of the brand could be measured."
    row = own.row(0, named=True)
    said = (
        f"{row['brand']} is named in {percent(row['rate'])} of answers in {month(row['period'])} "
        f"({percent(row['low'])} to {percent(row['high'])})"
    )
    others = newest.filter(~pl.col("own")).sort("rate", descending=True)
    if others.is_empty():
        return f"{said}."
    best = others["brand"][0]
    ahead = pairs.filter((pl.col("engine") == ALL) & (pl.col("brand") == row["brand"]) & (pl.col("other") == best))
    above = float(ahead["p_above"][0]) if ahead.height else None
    if above is None:
        return f"{said}."
    if above >= SURE:
        return f"{said}: more often than any competitor, {best} next."
    if above <= 1 - SURE:
        return f"{said}: less often than {best}."
    return f"{said}; whether more often than {best} cannot be told ({chance(above)} that it is)."


def summary(
    *,
    benchmark: pl.DataFrame,
    decomposition: pl.DataFrame,
    prompt_gaps: pl.DataFrame,
    source_gaps: pl.DataFrame,
    shifts: pl.DataFrame,
    now: datetime,
) -> list[str]:
    """The few sentences that a reader with a minute should have read."""
    found = [_change(benchmark), _gap(decomposition), _prompts(prompt_gaps), _sources(source_gaps), _shift(shifts, now)]
    return [sentence for sentence in found if sentence]


def _change(benchmark: pl.DataFrame) -> str:
    own = benchmark.filter(pl.col("own"), pl.col("engine") == ALL, pl.col("metric") == "mention_rate")
    if own.is_empty():
        return ""
    row: Mapping[str, Any] = own.row(0, named=True)
    if row["change"] is None:
        return "There is no earlier month on the same prompts, so nothing is known about a change."
    bounds = f"{points(row['change'])} points ({points(row['change_low'])} to {points(row['change_high'])})"
    if row["change_low"] > 0 or row["change_high"] < 0:
        direction = "rose" if row["change"] > 0 else "fell"
        asked = f"on the {row['paired_prompts']} prompts asked both times"
        said = f"Since {month(row['compared_with'])} it {direction}: {bounds} {asked}."
    else:
        said = f"A change since {month(row['compared_with'])} cannot be told from chance: {bounds}."
    return said


def _gap(decomposition: pl.DataFrame) -> str:
    parts = decomposition.filter(
        pl.col("engine") == ALL, pl.col("metric") == "mention_rate", pl.col("component") == "level"
    )
    if parts.is_empty():
        return ""
    total, rival = float(parts["total"][0]), parts["competitor"][0]
    if total >= 0:
        return f"No competitor was named more often than the brand; next is {rival}, {points(total)} points apart."
    said = f"The gap to {rival} is {points(total)} points"
    engines = parts.filter(pl.col("dimension") == "engine").sort("value")
    if engines.height > 1 and engines["value"][0] < 0:
        worst = engines.row(0, named=True)
        share = worst["value"] / total
        said += (
            f", {percent(min(share, 1.0))} of it on {worst['part']}"
            if share <= 1
            else f", all of it on {worst['part']}"
        )
    ends = parts.filter(pl.col("dimension") == "answer").sort("value")
    if ends.height > 1 and ends["value"][0] < 0:
        said += f"; most of it in answers where the brand is {ends['part'][0]}"
    return f"{said}."


def _prompts(gaps: pl.DataFrame) -> str:
    whole = gaps.filter(pl.col("engine") == ALL)
    if whole.is_empty():
        return ""
    never = int(whole["never"].sum())
    word = "prompt names" if whole.height == 1 else "prompts name"
    return f"{whole.height} {word} a competitor and the brand in less than half of the answers, {never} of them never."


def _sources(gaps: pl.DataFrame) -> str:
    whole = gaps.filter((pl.col("engine") == ALL) & pl.col("owner").is_null())
    if whole.is_empty():
        return ""
    row = whole.row(0, named=True)
    return (
        f"Answers that name competitors only cite {row['domain']} most: in {percent(row['share'])} of them "
        f"({percent(row['share_when_named'])} where the brand is named)."
    )


def _shift(shifts: pl.DataFrame, now: datetime) -> str:
    recent = shifts.filter(pl.col("detected_at") >= now - RECENT).sort("detected_at", descending=True)
    if recent.is_empty():
        return "No change of an engine or a brand was detected in the last 90 days of answers."
    row = recent.row(0, named=True)
    return f"Detected on {row['detected_at']:%d %b %Y}, {row['engine']}: {KINDS.get(row['kind'], row['kind'])}."


LIMITS = (
    "Prompts are taken as a sample of the questions that people ask; the panel decides what is measured. Paraphrases "
    "under different prompt ids count as different prompts, which makes intervals too narrow.",
    "Gaps are associations. A page on a cited source, or a better answer to one prompt, need not change what "
    "assistants say.",
    "Months are calendar months; the newest one may not be over. Changes are of prompts asked in both months.",
    "Brands that no answer names lean on the others: their interval says how little a short panel rules out.",
    "Rates are of tracked brands only. A brand that is not tracked is not seen, however often it is named.",
)
