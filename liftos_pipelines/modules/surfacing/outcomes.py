"""What past actions of a kind really changed: the only place an expected effect may come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import stats

from liftos_pipelines.text import words

ACTION_WORDS: dict[str, tuple[str, ...]] = {
    "access": ("noindex", "indexable", "server rendering", "without javascript"),
    "crawler_policy": ("robots", "crawler", "crawlers"),
    "structured_data": ("structured data", "schema", "json ld", "jsonld", "microdata"),
    "canonical_headings": ("canonical", "headings", "heading"),
    "freshness": ("freshness", "refresh content", "update content", "updated page", "update page"),
    "answerability": ("answer first", "faq", "statistics", "quotations", "quotes", "answerability"),
    "entity_clarity": ("entity", "sameas", "brand entity"),
    "readability": ("readability", "simplify", "plain language"),
    "prompt_gap": ("prompt gap", "new page", "comparison page", "category page", "publish page"),
    "source_gap": ("source gap", "digital pr", "earned media", "guest article", "press", "listing", "review site"),
}
"""Words by which an outcome's action is recognised as a kind of recommendation: any phrase, all of its words."""


@dataclass(frozen=True, kw_only=True)
class MeasuredEffect:
    """Pooled effect of `n` outcomes on `metric`, with a 90 % interval."""

    metric: str
    effect: float
    low: float
    high: float
    n: int


def measured_effects(outcomes: pl.DataFrame) -> dict[str, MeasuredEffect]:
    """Kind of recommendation -> pooled measured effect, for kinds with at least one usable outcome.

    Only outcomes of the domain `surfacing` with an effect and a positive standard error count; per kind, the
    metric with most outcomes. Effects are pooled by inverse variance, between-outcome variance included.

    Source: DerSimonian and Laird (1986), Meta-analysis in clinical trials.
    """
    usable = outcomes.filter(
        (pl.col("domain") == "surfacing") & pl.col("effect").is_finite() & (pl.col("std_error") > 0)
    )
    by_kind: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for action, metric, effect, error in usable.select("action", "metric", "effect", "std_error").iter_rows():
        said = set(words(action or ""))
        for kind, phrases in ACTION_WORDS.items():
            if any(set(phrase.split()) <= said for phrase in phrases):
                by_kind.setdefault(kind, {}).setdefault(metric, []).append((effect, error))
    result = {}
    for kind, metrics in by_kind.items():
        metric = max(sorted(metrics), key=lambda name: len(metrics[name]))
        result[kind] = _pool(metric, metrics[metric])
    return result


def _pool(metric: str, pairs: list[tuple[float, float]]) -> MeasuredEffect:
    effects, errors = (np.array(values) for values in zip(*pairs, strict=True))
    weights = 1 / errors**2
    mean = np.average(effects, weights=weights)
    between = 0.0
    if len(pairs) > 1:
        q = float((weights * (effects - mean) ** 2).sum())
        spread = weights.sum() - (weights**2).sum() / weights.sum()
        between = max(0.0, (q - (len(pairs) - 1)) / spread)
    total = 1 / (errors**2 + between)
    mean, error = float(np.average(effects, weights=total)), float(1 / np.sqrt(total.sum()))
    half = float(stats.norm.ppf(0.95)) * error
    return MeasuredEffect(metric=metric, effect=mean, low=mean - half, high=mean + half, n=len(pairs))
