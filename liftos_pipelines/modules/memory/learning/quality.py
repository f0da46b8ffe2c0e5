"""Is the memory any good? Measured on the client's own outcome links, every method beside the others.

Retrieval: the query is an outcome's context; relevant are the other outcomes of the same domain and metric, or,
for an outcome without a domain, whatever else belongs to the same campaign. The outcome itself is left out.
Patterns: each outcome is predicted from strictly earlier ones and compared with what was measured, beside the
base rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.learning.evidence import Encoder, Evidence, without
from liftos_pipelines.modules.memory.learning.patterns import Query, find_patterns
from liftos_pipelines.modules.memory.learning.probes import OFF_TOPIC
from liftos_pipelines.modules.memory.learning.scope import ALPHA, Scope, calibrate, reach
from liftos_pipelines.modules.memory.recall.index import METHODS, RecallIndex
from liftos_pipelines.stats import cluster_bootstrap, percentile_interval
from liftos_pipelines.tables import table
from liftos_pipelines.text import NameFinder

FloatArray = NDArray[np.float64]
CUTS = (5, 10)
SCHEMA = table("memory/retrieval_quality").columns


@dataclass(frozen=True, kw_only=True)
class Question:
    """A query with known relevant memories; questions of one group (campaign) are not independent."""

    memory_id: str
    text: str
    relevant: frozenset[str]
    group: str


def questions(items: pl.DataFrame) -> list[Question]:
    """Outcomes of the current items that domain and metric, or else a campaign, link to other memories."""
    held = items.filter(pl.col("superseded_at").is_null())
    by_campaign = _members(held.filter(pl.col("campaign_id").is_not_null()), ["campaign_id"])
    measured = held.filter(pl.col("kind") == "outcome")
    by_metric = _members(measured.filter(pl.col("domain").is_not_null()), ["domain", "metric"])
    found = []
    for row in measured.sort("memory_id").iter_rows(named=True):
        if not row["context"]:
            continue
        if row["domain"] is not None:
            key: tuple[str, ...] = (row["domain"], row["metric"])
            members = by_metric.get(key, frozenset())
        elif row["campaign_id"] is not None:
            key = (row["campaign_id"],)
            members = by_campaign.get(key, frozenset())
        else:
            continue
        relevant = members - {row["memory_id"]}
        if relevant:
            found.append(
                Question(
                    memory_id=row["memory_id"],
                    text=row["context"],
                    relevant=relevant,
                    group=row["campaign_id"] or "|".join(str(part) for part in key),
                )
            )
    return found


def _members(items: pl.DataFrame, by: list[str]) -> Mapping[tuple[str, ...], frozenset[str]]:
    return {tuple(key): frozenset(part["memory_id"].to_list()) for key, part in items.group_by(by, maintain_order=True)}


def retrieval_quality(
    index: RecallIndex, asked: list[Question], encode: Encoder, *, seed: int, replicates: int = 1000
) -> pl.DataFrame:
    """Recall@k and MRR of every method, and their paired difference to BM25, with campaign-clustered
    intervals.

    Recall@k is the share of the k (or of all relevant, if they are fewer) that is relevant among the first k,
    so that 1 can be reached. `method` "hybrid-bm25" holds the paired difference; its interval wholly below 0
    would mean that fusion harms this client.
    """
    if not asked:
        return pl.DataFrame(schema=SCHEMA)
    vectors = encode([question.text for question in asked])
    scores: dict[str, dict[str, FloatArray]] = {}
    for method in METHODS:
        per: dict[str, list[float]] = {name: [] for name in (*(f"recall@{cut}" for cut in CUTS), "mrr")}
        for question, vector in zip(asked, vectors, strict=True):
            ranking = index.ranking(question.text, vector, method, exclude=(question.memory_id,))
            for name, value in rank_scores(ranking, question.relevant).items():
                per[name].append(value)
        scores[method] = {name: np.array(values) for name, values in per.items()}
    for method in METHODS:
        if method != "bm25":
            scores[f"{method}-bm25"] = {name: values - scores["bm25"][name] for name, values in scores[method].items()}
    groups = np.array([question.group for question in asked])
    rows = [
        {"method": method, "metric": metric, **_mean(values, groups, seed, replicates)}
        for method, metrics in scores.items()
        for metric, values in metrics.items()
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def rank_scores(ranking: list[str], relevant: frozenset[str]) -> dict[str, float]:
    """Recall at each cut and reciprocal rank of one ranking."""
    places = [place for place, name in enumerate(ranking, start=1) if name in relevant]
    found = {f"recall@{cut}": sum(place <= cut for place in places) / min(cut, len(relevant)) for cut in CUTS}
    return found | {"mrr": 1 / places[0] if places else 0.0}


def pattern_quality(
    evidence: Evidence,
    context_texts: Mapping[str, str],
    encode: Encoder,
    names: NameFinder,
    *,
    seed: int,
    replicates: int = 1000,
) -> pl.DataFrame:
    """How often a pattern points the right way, at which coverage, beside always following the base rate.

    Each outcome is asked about with its own action and only evidence strictly before it. Accuracy is the
    probability that the measured effect lies in the predicted direction, averaged over answered questions.
    """
    asked = [
        Query(
            query_id=str(name),
            kind="outcome",
            context=context_texts[str(name)],
            at=_moment(int(evidence.moments[row])),
            action=evidence.action_texts[evidence.action_codes[row]],
            memory_id=str(name),
        )
        for row, name in enumerate(evidence.ids)
        if evidence.moments[row] >= 0 and str(name) in context_texts
    ]
    if not asked:
        return pl.DataFrame(schema=SCHEMA)
    place = {str(name): row for row, name in enumerate(evidence.ids)}
    found = find_patterns(asked, evidence, encode, names)
    own = {
        row["query_id"]: row
        for row in found.iter_rows(named=True)
        if row["abstained"] or row["action"] == evidence.action_texts[evidence.action_codes[place[row["query_id"]]]]
    }
    rows_at = np.array([place[query.query_id] for query in asked])
    truth = evidence.success[rows_at]
    predicted = np.array(
        [own[query.query_id]["p_success"] if not own[query.query_id]["abstained"] else np.nan for query in asked],
        dtype=float,
    )
    base = np.array([_base_rate(evidence, row) for row in rows_at])
    groups = evidence.groups[rows_at]
    answered = np.isfinite(predicted)
    rows = [{"method": "pattern", "metric": "coverage", **_mean(answered.astype(float), groups, seed, replicates)}]
    if answered.any():
        for method, guess in (("pattern", predicted[answered]), ("base_rate", base[answered])):
            right = np.where(guess > 0.5, truth[answered], 1 - truth[answered])
            squared = truth[answered] * (1 - guess) ** 2 + (1 - truth[answered]) * guess**2
            for metric, values in (("accuracy", right), ("brier", squared)):
                rows.append({"method": method, "metric": metric, **_mean(values, groups[answered], seed, replicates)})
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def abstention_quality(evidence: Evidence, encode: Encoder, *, seed: int, replicates: int = 1000) -> pl.DataFrame:
    """How often the memory abstains when it holds no answer.

    `abstention` : on the fixed off-topic questions of `probes.OFF_TOPIC`; `abstention_new_topic` : on each
    past context when everything of its topic is taken out of memory and the scope is calibrated anew.
    """
    rows = []
    if len(evidence):
        similar = (encode(list(OFF_TOPIC)) @ evidence.contexts.T).astype(float)
        reached = reach(similar, evidence.topics)
        abstained = _abstains(calibrate(evidence), reached)
        names = np.arange(abstained.size).astype(str)
        rows.append({"method": "pattern", "metric": "abstention", **_mean(abstained, names, seed, replicates)})
    told, of_topic = [], []
    for topic in np.unique(evidence.topics[evidence.topics != ""]):
        mine = evidence.topics == topic
        rest = without(evidence, mine)
        scope = calibrate(rest)
        if scope.enough:
            similar = (evidence.contexts[mine] @ rest.contexts.T).astype(float)
            reached = reach(similar, rest.topics)
            told.append(_abstains(scope, reached))
            of_topic.append(evidence.topics[mine])
    if told:
        values = _mean(np.concatenate(told), np.concatenate(of_topic), seed, replicates)
        rows.append({"method": "pattern", "metric": "abstention_new_topic", **values})
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _abstains(scope: Scope, reached: FloatArray) -> FloatArray:
    """1 where a context whose score is `reached` would be abstained on, (n,)."""
    return np.array([not scope.enough or scope.p_unrelated(value) > ALPHA for value in reached], dtype=float)


def _moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _base_rate(evidence: Evidence, row: int) -> float:
    """Success of everything known before, shrunk by one observation to one half."""
    before = (evidence.moments >= 0) & (evidence.moments < evidence.moments[row])
    return float((evidence.success[before].sum() + 0.5) / (before.sum() + 1))


def _mean(values: FloatArray, groups: NDArray[np.str_], seed: int, replicates: int) -> dict[str, float | int]:
    def statistic(rows: NDArray[np.int64]) -> float:
        return float(values[rows].mean())

    low, high = percentile_interval(cluster_bootstrap(groups, statistic, seed=seed, replicates=replicates))
    return {"value": float(values.mean()), "low": low, "high": high, "n": int(values.size)}
