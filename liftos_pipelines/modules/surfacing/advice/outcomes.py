"""What past actions of a kind really changed: the only place an expected effect may come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy import stats

from liftos_pipelines.stats import FloatArray
from liftos_pipelines.text import words

LEVEL = 0.90
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
class Study:
    """One measured effect of an action of a kind on a metric, with its standard error; `origin` says where from."""

    kind: str
    metric: str
    effect: float
    std_error: float
    origin: str


@dataclass(frozen=True, kw_only=True)
class MeasuredEffect:
    """What the next action of a kind may be expected to do, from `n` studies, with a 90 % interval.

    `basis` says what the interval is about: `prediction` (the next action), or `one outcome` (that outcome alone, where
    nothing is known of how outcomes differ). `spread` is the standard deviation of true effects between actions.
    """

    metric: str
    effect: float
    low: float
    high: float
    n: int
    spread: float | None
    basis: str
    origins: tuple[str, ...]


def kinds_of(action: str | None) -> list[str]:
    """Kinds of recommendation that an action's wording names."""
    said = set(words(action or ""))
    return [kind for kind, phrases in ACTION_WORDS.items() if any(set(phrase.split()) <= said for phrase in phrases)]


def studies_of_outcomes(outcomes: pl.DataFrame) -> list[Study]:
    """The usable rows of `sources/outcomes`: domain surfacing, an effect, a positive standard error, a known kind."""
    usable = outcomes.filter(
        (pl.col("domain") == "surfacing") & pl.col("effect").is_finite() & (pl.col("std_error") > 0)
    )
    return [
        Study(kind=kind, metric=metric, effect=effect, std_error=error, origin=f"outcome {outcome_id}")
        for outcome_id, action, metric, effect, error in usable.select(
            "outcome_id", "action", "metric", "effect", "std_error"
        ).iter_rows()
        for kind in kinds_of(action)
    ]


def studies_of_watching(watched: pl.DataFrame) -> list[Study]:
    """Measured changes after recommendations that were acted on: the table `surfacing/recommendation_outcomes`."""
    if watched.is_empty():
        return []
    usable = watched.filter((pl.col("status") == "measured") & pl.col("effect").is_finite() & (pl.col("std_error") > 0))
    return [
        Study(kind=kind, metric=metric, effect=effect, std_error=error, origin=f"watched {identity}")
        for identity, kind, metric, effect, error in usable.select(
            "recommendation_id", "kind", "metric", "effect", "std_error"
        ).iter_rows()
    ]


def studies_of_memory(items: pl.DataFrame) -> list[Study]:
    """What memory holds of surfacing's measured effects from elsewhere than the two tables that are read directly."""
    wanted = {"domain", "source", "action", "metric", "effect", "std_error", "superseded_at", "memory_id"}
    if items.is_empty() or not wanted <= set(items.columns):
        return []
    usable = items.filter(
        (pl.col("domain") == "surfacing")
        & pl.col("superseded_at").is_null()
        & ~pl.col("source").is_in(["sources/outcomes", "surfacing/recommendation_outcomes"])
        & pl.col("effect").is_finite()
        & (pl.col("std_error") > 0)
        & pl.col("metric").is_not_null()
    )
    return [
        Study(kind=kind, metric=metric, effect=effect, std_error=error, origin=f"memory {identity}")
        for identity, action, metric, effect, error in usable.select(
            "memory_id", "action", "metric", "effect", "std_error"
        ).iter_rows()
        for kind in kinds_of(action)
    ]


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """Memory's belief about a kind of action: how likely it is to succeed, from similar actions that were tried."""

    pattern_id: str
    p_success: float


def patterns_by_kind(patterns: pl.DataFrame) -> dict[str, Pattern]:
    """Kind of recommendation -> the pattern about it that memory is most sure of; abstentions say nothing."""
    if patterns.is_empty():
        return {}
    known = patterns.filter(~pl.col("abstained") & pl.col("p_success").is_not_null()).sort(
        "confidence", "pattern_id", descending=[True, False], nulls_last=True
    )
    found: dict[str, Pattern] = {}
    for identity, action, p_success in known.select("pattern_id", "action", "p_success").iter_rows():
        for kind in kinds_of(action):
            found.setdefault(kind, Pattern(pattern_id=identity, p_success=p_success))
    return found


def measured_effects(studies: Sequence[Study]) -> dict[str, MeasuredEffect]:
    """Kind of recommendation -> effect to expect of the next action, for kinds with at least one study.

    Per kind the metric with most studies. Effects are pooled with the variance between them (DerSimonian and Laird
    1986); the interval is that of the next action (Higgins et al. 2009) with the standard error of Hartung and Knapp
    (2001), never below the usual one (Röver et al. 2015). Fewer than `ENOUGH` studies of a kind cannot tell how
    actions differ: all kinds on the metric together do, and the kind's own mean is drawn towards theirs by how much it
    is known (empirical Bayes, Efron and Morris 1975).
    """
    result = {}
    for kind in dict.fromkeys(study.kind for study in studies):
        own = [study for study in studies if study.kind == kind]
        metrics = sorted({study.metric for study in own})
        metric = max(metrics, key=lambda name: sum(study.metric == name for study in own))
        own = [study for study in own if study.metric == metric]
        everything = [study for study in studies if study.metric == metric]
        result[kind] = _expected(metric, own, everything)
    return result


ENOUGH = 3
"""Studies of one kind from which its own spread between actions is taken."""
ENOUGH_TOGETHER = 4
"""Studies of all kinds from which a spread is taken where a kind has too few."""


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """Mean of true effects, its standard error, and their variance."""

    mean: float
    std_error: float
    variance: float
    n: int


def pool(effects: FloatArray, errors: FloatArray) -> Pooled:
    """Random-effects mean of k effects with their standard errors.

    Parameters
    ----------
    effects, errors : (k,), in the metric's units, errors positive

    Source: DerSimonian and Laird (1986); Hartung and Knapp (2001), modified so as not to be narrower.
    """
    weights = 1 / errors**2
    k = len(effects)
    variance = 0.0
    if k > 1:
        q = float((weights * (effects - np.average(effects, weights=weights)) ** 2).sum())
        variance = max(0.0, (q - (k - 1)) / float(weights.sum() - (weights**2).sum() / weights.sum()))
    total = 1 / (errors**2 + variance)
    mean = float(np.average(effects, weights=total))
    plain = float(1 / total.sum())
    scale = float((total * (effects - mean) ** 2).sum()) / (k - 1) if k > 1 else 1.0
    return Pooled(mean=mean, std_error=float(np.sqrt(plain * max(scale, 1.0))), variance=variance, n=k)


def _expected(metric: str, own: list[Study], everything: list[Study]) -> MeasuredEffect:
    pooled = _pool(own)
    origins = tuple(study.origin for study in own)
    shape = MeasuredEffect(
        metric=metric, effect=pooled.mean, low=0.0, high=0.0, n=pooled.n, spread=None, basis="", origins=origins
    )
    if pooled.n >= ENOUGH:
        return _interval(shape, pooled.mean, pooled.std_error**2 + pooled.variance, pooled.variance, pooled.n)
    together = _pool(everything)
    if together.n >= ENOUGH_TOGETHER:
        # Drawn towards all kinds' mean by how much of the difference is noise.
        noise = 1 / sum(1 / study.std_error**2 for study in own)
        spread = together.variance
        trust = spread / (spread + noise)
        mean = trust * float(_pool_fixed(own)) + (1 - trust) * together.mean
        unknown = trust * noise + (1 - trust) ** 2 * together.std_error**2
        return _interval(shape, mean, unknown + spread, spread, together.n)
    half = float(stats.norm.ppf(0.5 + LEVEL / 2)) * own[0].std_error
    if pooled.n == 1:
        return replace(shape, low=pooled.mean - half, high=pooled.mean + half, basis="one outcome")
    return _interval(shape, pooled.mean, pooled.std_error**2 + pooled.variance, pooled.variance, pooled.n)


def _interval(shape: MeasuredEffect, mean: float, variance: float, spread: float, studies: int) -> MeasuredEffect:
    # Mean and spread are both estimated (Higgins et al. 2009); of three studies one degree of freedom would be left.
    df = studies - 2 if studies > ENOUGH else studies - 1
    half = float(stats.t.ppf(0.5 + LEVEL / 2, df) * np.sqrt(variance))
    return replace(
        shape, effect=mean, low=mean - half, high=mean + half, spread=float(np.sqrt(spread)), basis="prediction"
    )


def _pool(studies: Sequence[Study]) -> Pooled:
    return pool(np.array([study.effect for study in studies]), np.array([study.std_error for study in studies]))


def _pool_fixed(studies: Sequence[Study]) -> float:
    weights = [1 / study.std_error**2 for study in studies]
    return float(np.average([study.effect for study in studies], weights=weights))
