"""Evidence: past actions with measured effects, each with its error, its context and whose campaign it was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from liftos_pipelines.modules.memory.learning.topics import topics_of
from liftos_pipelines.text import NameFinder, fold, words

FloatArray = NDArray[np.float64]
Encoder = Callable[[list[str]], NDArray[np.float32]]
"""Texts to unit vectors, (n) to (n, d) float32."""

LOWER_IS_BETTER = frozenset(
    {"churn", "cost", "costs", "cpa", "cac", "cpc", "cpm", "complaint", "complaints", "refund", "refunds"}
    | {"bounce", "latency", "error", "errors", "unsubscribe", "unsubscribes", "attrition", "violations"}
)
"""Words in a metric's name that make a fall of it the good direction."""

OUTCOME_KINDS = ("outcome", "experiment", "llm_experiment")
"""Kinds whose effect is the measured consequence of their action; other effects describe, they do not
judge.
"""


def direction(metric: str | None) -> int:
    """+1 when more of a metric is better, -1 when less is; an unnamed metric counts as better when it
    rises.
    """
    return -1 if metric and LOWER_IS_BETTER & set(words(metric.replace("_", " "))) else 1


def success_probability(effect: FloatArray, std_error: FloatArray, sign: NDArray[np.int64]) -> FloatArray:
    """Probability that each true effect is in the good direction, (n,): normal likelihood, flat prior.

    A standard error of 0 leaves the sign of the estimate; an effect of exactly 0 with no error says nothing
    (.5).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        z = sign * effect / std_error
    z = np.where((std_error == 0) & (effect == 0), 0.0, z)
    return np.asarray(special.ndtr(z), dtype=float)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Past actions whose effect was measured, aligned arrays of length n.

    contexts, actions : (n, d) unit vectors of the context and of the action; `action_codes` index `action_texts`
    success : (n,) probability that the effect was good; `moments` : (n,) microseconds since 1970, or -1 if unknown
    groups : (n,) campaign where there is one, otherwise the context itself
    effects, errors : (n,) effect and standard error over the usual size of its metric's effects, positive when good
    scales : (n,) that usual size, negative where less of the metric is better; effects * scales is what was measured
    fingerprint : changes with anything that the evidence says
    """

    ids: NDArray[np.str_]
    contexts: NDArray[np.float32]
    actions: NDArray[np.float32]
    action_codes: NDArray[np.int64]
    action_texts: tuple[str, ...]
    success: FloatArray
    moments: NDArray[np.int64]
    groups: NDArray[np.str_]
    topics: NDArray[np.str_]
    effects: FloatArray
    errors: FloatArray
    metrics: NDArray[np.str_]
    scales: FloatArray
    fingerprint: str

    def __len__(self) -> int:
        return int(self.ids.size)


def measured(items: pl.DataFrame) -> pl.DataFrame:
    """Current items that are evidence: those of `OUTCOME_KINDS` with context, action, effect and standard error."""
    return items.filter(
        pl.col("kind").is_in(OUTCOME_KINDS),
        pl.col("superseded_at").is_null(),
        pl.all_horizontal(pl.col("effect", "std_error", "action", "context").is_not_null()),
    ).sort("memory_id")


def fingerprint_of(rows: pl.DataFrame, names: NameFinder, model_id: str = "") -> str:
    """Of `measured` rows, the names left out of them and the model that reads them."""
    said = hashlib.sha256("\x1f".join((model_id, *names.spellings)).encode())
    for column in ("memory_id", "content_hash"):
        said.update("\x1f".join(str(value) for value in rows[column]).encode())
    return said.hexdigest()[:24]


def gather(items: pl.DataFrame, encode: Encoder, names: NameFinder, model_id: str = "") -> Evidence:
    """Evidence from items; `model_id` tells encoders apart."""
    rows = measured(items)
    texts = rows["action"].to_list()
    first: dict[str, str] = {}
    for text in texts:
        first.setdefault(fold(text).strip(" ."), text)
    place = {key: code for code, key in enumerate(first)}
    codes = np.array([place[fold(text).strip(" .")] for text in texts], dtype=np.int64)
    action_vectors = encode(list(first.values())) if place else np.empty((0, 1), dtype=np.float32)
    told = [situation(text, names) for text in rows["context"]]
    contexts = encode(told) if told else np.empty((0, 1), dtype=np.float32)
    signs = np.array([direction(metric) for metric in rows["metric"]], dtype=np.int64)
    effect, error = (rows[name].to_numpy().astype(float) for name in ("effect", "std_error"))
    metrics = rows["metric"].fill_null("").to_numpy().astype(str)
    scales = signs * usual_size(effect, metrics)
    return Evidence(
        ids=rows["memory_id"].to_numpy().astype(str),
        contexts=contexts,
        actions=action_vectors,
        action_codes=codes,
        action_texts=tuple(first.values()),
        success=success_probability(effect, error, signs),
        moments=rows["valid_from"].dt.epoch("us").fill_null(-1).to_numpy(),
        groups=np.array(
            [campaign or fold(text) for campaign, text in rows.select("campaign_id", "context").iter_rows()],
            dtype=str,
        ),
        topics=topics_of(rows["domain"].to_list(), contexts),
        effects=effect / scales,
        errors=error / np.abs(scales),
        metrics=metrics,
        scales=scales,
        fingerprint=fingerprint_of(rows, names, model_id),
    )


def usual_size(effects: FloatArray, metrics: NDArray[np.str_]) -> FloatArray:
    """Root mean square of the effects on each one's metric, (n,); 1 where all of them are zero."""
    _, codes = np.unique(metrics, return_inverse=True)
    if not codes.size:
        return np.ones(0)
    size = np.sqrt(np.bincount(codes, weights=effects**2) / np.bincount(codes))
    return np.asarray(np.where(size > 0, size, 1.0)[codes], dtype=float)


def situation(text: str, names: NameFinder) -> str:
    """A context without the names in it: that two contexts are about one campaign does not make them alike."""
    body = fold(text)
    for hit in reversed(names.find(text)):
        body = body[: hit.start] + "it" + body[hit.end :]
    return " ".join(body.split())


def without(evidence: Evidence, rows: NDArray[np.bool_]) -> Evidence:
    """The evidence with some rows left out; actions keep their codes."""
    kept = ~rows
    return replace(
        evidence,
        ids=evidence.ids[kept],
        contexts=evidence.contexts[kept],
        action_codes=evidence.action_codes[kept],
        success=evidence.success[kept],
        moments=evidence.moments[kept],
        groups=evidence.groups[kept],
        topics=evidence.topics[kept],
        effects=evidence.effects[kept],
        errors=evidence.errors[kept],
        metrics=evidence.metrics[kept],
        scales=evidence.scales[kept],
    )
