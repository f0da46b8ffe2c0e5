"""Generated texts held to their template: one row a call and metric, and how often each is met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from scipy import stats

from liftos_pipelines.modules.llm.content.measures import MEASURES, Written
from liftos_pipelines.modules.llm.content.parts import take_apart
from liftos_pipelines.modules.llm.content.templates import ContentTemplate, template_of
from liftos_pipelines.stats import wilson_interval
from liftos_pipelines.tables import table
from liftos_pipelines.text import fold

ARM = ("template", "prompt_name", "prompt_version", "model")


def content_scores(
    calls: pl.DataFrame, scores: pl.DataFrame, templates: Mapping[str, ContentTemplate], brand: Sequence[str] = ()
) -> pl.DataFrame:
    """The `llm/content_scores` table: calls of a template that answered; `met` is null where the measure says nothing.

    Parameters
    ----------
    calls : `sources/llm_calls`; scores : `llm/call_scores`
    brand : spellings of the brand's name
    """
    contract = table("llm/content_scores")
    measured = dict(zip(scores["call_id"], scores["groundedness"], strict=True))
    spellings = tuple(fold(name) for name in brand)
    rows: list[tuple[object, ...]] = []
    columns = ("call_id", "use_case", "prompt_name", "input", "context", "output", "latency_ms")
    for call_id, use_case, prompt_name, prompt, context, output, latency in calls.select(columns).iter_rows():
        template = template_of(use_case, prompt_name, templates)
        if template is None or not output or not output.strip():
            continue
        written = Written(
            parts=take_apart(output),
            prompt=prompt or "",
            context=context or "",
            brand=spellings,
            given={"groundedness": measured.get(call_id), "latency_ms": latency},
        )
        for rule in template.rules:
            value = MEASURES[rule.measure](written)
            rows.append((call_id, template.name, rule.measure, value, rule.goal, rule.met(value)))
    return pl.DataFrame(rows, schema=contract.columns, orient="row")


def content_performance(calls: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """The `llm/content_performance` table: how often each metric was met, by template, prompt, version and model.

    The 90 % interval of `met_rate` is Wilson's, widened where calls with one input and context were made several times
    (design effect of these clusters, by Student's t); `value` is the median. A metric nobody could measure has nulls
    and `n` 0.
    """
    contract = table("llm/content_performance")
    if scores.is_empty():
        return contract.empty()
    joined = scores.join(
        calls.select(
            "call_id", "prompt_name", "prompt_version", "model", pl.struct("input", "context").alias("_asked")
        ),
        on="call_id",
        how="left",
        maintain_order="left",
    )
    rows = []
    for keys, group in joined.group_by(*ARM, "metric", maintain_order=True):
        known = group.drop_nulls("met")
        hits, n = int(known["met"].sum()), known.height
        low, high = _interval(known) if n else (None, None)
        middle = group["value"].median()
        rows.append(
            dict(zip((*ARM, "metric"), keys, strict=True))
            | {
                "goal": group["goal"][0],
                "value": float(middle) if isinstance(middle, (int, float)) else None,
                "met_rate": hits / n if n else None,
                "low": low,
                "high": high,
                "n": n,
            }
        )
    return contract.conform(pl.DataFrame(rows, schema=contract.columns)).sort(*ARM, "metric")


def _interval(known: pl.DataFrame) -> tuple[float, float]:
    n, rate = known.height, float(known["met"].mean() or 0.0)  # type: ignore[arg-type]
    sums = (
        known.group_by("_asked", maintain_order=True)
        .agg((pl.col("met").cast(pl.Float64) - rate).sum())["met"]
        .to_numpy()
    )
    effective = float(n)
    if 1 < sums.size < n and 0 < rate < 1:
        clustered = sums.size / (sums.size - 1) * float(np.sum(sums**2)) / n**2
        # Few clusters say little of how much they vary: as Student's t is wider than the normal.
        few = (stats.norm.ppf(0.95) / stats.t.ppf(0.95, sums.size - 1)) ** 2
        effective = n / max(1.0, clustered / (rate * (1 - rate) / n)) * few
    return wilson_interval(rate * effective, effective)
