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
from liftos_pipelines.modules.memory.learning.recognition_quality import (
    Recognised,
    expected_calibration_error,
    surest,
)
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


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Every past decision asked about before it was taken, aligned arrays (n,).

    predicted : chance of success from strictly earlier evidence, NaN where memory abstained; sure : of the direction
    truth : probability that the measured effect was good; base : the base rate of everything before
    """

    predicted: FloatArray
    sure: FloatArray
    truth: FloatArray
    base: FloatArray
    groups: NDArray[np.str_]

    @property
    def answered(self) -> NDArray[np.bool_]:
        return np.isfinite(self.predicted)

    @property
    def said(self) -> FloatArray:
        """Probability of the likelier direction of the answered ones."""
        predicted = self.predicted[self.answered]
        return np.maximum(predicted, 1 - predicted)

    @property
    def right(self) -> FloatArray:
        """Probability that it was right."""
        return _right(self.predicted[self.answered], self.truth[self.answered])


def replay(evidence: Evidence, context_texts: Mapping[str, str], encode: Encoder, names: NameFinder) -> Replay:
    """Ask about each outcome with its own action and only evidence strictly before it.

    context_texts : context of each memory by its id
    """
    rows_at = [
        row for row, name in enumerate(evidence.ids) if evidence.moments[row] >= 0 and str(name) in context_texts
    ]
    asked = [
        Query(
            query_id=str(evidence.ids[row]),
            kind="outcome",
            context=context_texts[str(evidence.ids[row])],
            at=_moment(int(evidence.moments[row])),
            action=evidence.action_texts[evidence.action_codes[row]],
            memory_id=str(evidence.ids[row]),
        )
        for row in rows_at
    ]
    own = {
        (row["query_id"], row["action"]): row
        for row in find_patterns(asked, evidence, encode, names).iter_rows(named=True)
    }
    found = [own.get((query.query_id, query.action), {}) for query in asked]
    at = np.array(rows_at, dtype=np.int64)
    return Replay(
        predicted=np.array([row.get("p_success") for row in found], dtype=float),
        sure=np.array([row.get("confidence") for row in found], dtype=float),
        truth=evidence.success[at],
        base=np.array([_base_rate(evidence, row) for row in rows_at], dtype=float),
        groups=evidence.groups[at],
    )


def _right(guess: FloatArray, truth: FloatArray) -> FloatArray:
    return np.where(guess > 0.5, truth, 1 - truth)


def pattern_quality(told: Replay, *, seed: int, replicates: int = 1000) -> pl.DataFrame:
    """How often a pattern points the right way, at which coverage and how well calibrated, beside always following the
    base rate; intervals by campaign-clustered bootstrap.

    Accuracy is the probability that the measured effect lies in the predicted direction, averaged over answered
    questions; `ece` the expected calibration error of the chance of success in ten bins, biased upwards
    when n is small.
    """
    answered, groups = told.answered, told.groups
    if not answered.size:
        return pl.DataFrame(schema=SCHEMA)
    rows = [{"method": "pattern", "metric": "coverage", **_mean(answered.astype(float), groups, seed, replicates)}]
    if answered.any():
        truth, mine = told.truth[answered], groups[answered]
        for method, guess in (("pattern", told.predicted[answered]), ("base_rate", told.base[answered])):
            squared = truth * (1 - guess) ** 2 + (1 - truth) * guess**2
            for metric, values in (("accuracy", _right(guess, truth)), ("brier", squared)):
                rows.append({"method": method, "metric": metric, **_mean(values, mine, seed, replicates)})
            rows.append({"method": method, "metric": "ece", **_error(guess, truth, mine, seed, replicates)})
        by_chance = _error_by_chance(told.predicted[answered], seed, replicates)
        rows.append({"method": "pattern", "metric": "ece_if_calibrated", **by_chance})
        half = surest(told.sure[answered], 0.5)
        values = _right(told.predicted[answered], truth)[half]
        rows.append({"method": "pattern", "metric": "accuracy@50%", **_mean(values, mine[half], seed, replicates)})
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def recognition_quality(found: Recognised | None, *, seed: int, replicates: int = 1000) -> pl.DataFrame:
    """Accuracy of recognised topics, overall and of the surest 80 %, beside the nearest context and the commonest
    topic; calibration; and how well an unknown topic is noticed."""
    if found is None:
        return pl.DataFrame(schema=SCHEMA)
    kept = surest(found.sure, 0.8)
    n = found.right.size
    rows: list[tuple[str, str, Mapping[str, float | int | None]]] = [
        ("recogniser", "accuracy", _mean(found.right, found.groups, seed, replicates)),
        ("recogniser", "accuracy@80%", _mean(found.right[kept], found.groups[kept], seed, replicates)),
        ("nearest", "accuracy", _mean(found.nearest, found.groups, seed, replicates)),
        ("commonest", "accuracy", {"value": found.commonest, "low": None, "high": None, "n": n}),
        ("recogniser", "ece", _error(found.sure, found.right, found.groups, seed, replicates)),
        ("recogniser", "ece_if_calibrated", _error_by_chance(found.sure, seed, replicates)),
    ]
    if np.isfinite(found.oos_auroc):
        rows.append(("recogniser", "oos_auroc", {"value": found.oos_auroc, "low": None, "high": None, "n": n}))
    return pl.DataFrame(
        [{"method": method, "metric": metric, **values} for method, metric, values in rows], schema=SCHEMA, orient="row"
    )


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


def _error(
    said: FloatArray, right: FloatArray, groups: NDArray[np.str_], seed: int, replicates: int
) -> dict[str, float | int]:
    def statistic(rows: NDArray[np.int64]) -> float:
        return expected_calibration_error(said[rows], right[rows])

    low, high = percentile_interval(cluster_bootstrap(groups, statistic, seed=seed, replicates=replicates))
    return {"value": expected_calibration_error(said, right), "low": low, "high": high, "n": int(said.size)}


def _error_by_chance(said: FloatArray, seed: int, replicates: int) -> dict[str, float | int]:
    """The calibration error that answers come to when each is right with exactly the probability it says."""
    rng = np.random.default_rng(seed)
    drawn = rng.random((replicates, said.size)) < said
    errors = np.array([expected_calibration_error(said, row.astype(float)) for row in drawn])
    low, high = percentile_interval(errors)
    return {"value": float(np.median(errors)), "low": low, "high": high, "n": int(said.size)}
