"""Patterns: what has worked in contexts like this one, with a posterior, or an honest "I have not seen
this".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.learning.effects import Posterior, posterior, prior_sd
from liftos_pipelines.modules.memory.learning.evidence import Encoder, Evidence, situation
from liftos_pipelines.modules.memory.learning.recogniser import Recogniser
from liftos_pipelines.modules.memory.learning.scope import ALPHA, Scope, calibrate, reach, similar_actions
from liftos_pipelines.modules.memory.records.items import parts_of
from liftos_pipelines.tables import table
from liftos_pipelines.text import NameFinder

ACTIONS_PER_QUERY = 3
PRIOR_WEIGHT = 1.0
"""Evidence that weighs less than the prior's one observation says what the prior says: it is not reported."""
SCHEMA: dict[str, pl.DataType] = table("memory/patterns").columns | {
    "p_success_low": pl.Float64(),
    "p_success_high": pl.Float64(),
    "evidence_weight": pl.Float64(),
    "n_evidence": pl.Int64(),
    "scope_score": pl.Float64(),
    "p_unrelated": pl.Float64(),
    "threshold": pl.Float64(),
    "query_kind": pl.String(),
    "context": pl.String(),
    "campaign_id": pl.String(),
    "reason": pl.String(),
    "at": pl.Datetime("us", "UTC"),
    "metric": pl.String(),
    "expected_effect": pl.Float64(),
    "expected_low": pl.Float64(),
    "expected_high": pl.Float64(),
    "topic": pl.String(),
    "topic_probability": pl.Float64(),
    "fingerprint": pl.String(),
}
METHOD = "4"
"""Part of every fingerprint: rows answered by another method are answered again."""


Known = Mapping[str, Sequence[dict[str, Any]]]
"""Rows of an answer by the fingerprint of the question."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """A context to look up. `memory_id` is left out of its own evidence; `action` is judged whatever else
    is.
    """

    query_id: str
    kind: str
    context: str
    at: datetime | None = None
    campaign_id: str | None = None
    action: str | None = None
    memory_id: str | None = None


def queries_from_items(items: pl.DataFrame, names: Mapping[str, str] | None = None) -> list[Query]:
    """Alerts, impacts, proposals and patterns among the current items, newest first, each as a query."""
    rows = items.filter(
        pl.col("kind").is_in(["alert", "impact", "proposal"]),
        pl.col("superseded_at").is_null(),
        pl.col("context").is_not_null() & (pl.col("context") != ""),
    ).sort("valid_from", "memory_id", descending=[True, False], nulls_last=True)
    return [
        Query(
            query_id=row["source_key"],
            kind=row["kind"],
            context=row["context"],
            at=row["valid_from"],
            campaign_id=row["campaign_id"],
            action=row["action"],
            memory_id=row["memory_id"],
        )
        for row in rows.iter_rows(named=True)
    ]


def queries_from_campaigns(campaigns: pl.DataFrame) -> list[Query]:
    """Every campaign as the context it starts in, judged by what was known before its start."""
    queries = []
    for row in campaigns.sort("start", "campaign_id", descending=[True, False]).iter_rows(named=True):
        parts = [f"{row['name']} starts: a campaign"]
        parts += [f"on {row['channel']}"] if row["channel"] else []
        parts += [f"for {row['objective']}"] if row["objective"] else []
        queries.append(
            Query(
                query_id=row["campaign_id"],
                kind="campaign",
                context=" ".join(parts),
                at=datetime(row["start"].year, row["start"].month, row["start"].day, tzinfo=UTC),
                campaign_id=row["campaign_id"],
            )
        )
    return queries


def find_patterns(
    queries: Sequence[Query],
    evidence: Evidence,
    encode: Encoder,
    names: NameFinder,
    *,
    scope: Scope | None = None,
    recogniser: Recogniser | None = None,
    known: Known | None = None,
) -> pl.DataFrame:
    """For each context what similar past actions achieved, best supported first, or a row that abstains.

    Parameters
    ----------
    queries : contexts to look up; evidence strictly before `at` counts, so nothing from the future leaks in
    evidence : past actions with measured effects
    encode : texts to unit vectors; names : campaigns and brands, as in `gather`
    scope : of the evidence, when it has been read off before
    recogniser : names the topic of each context that is like a known one, with its probability; see `topics_taught`
    known : answers of before by fingerprint, see `answered`; the same question on the same evidence is not asked again

    Returns
    -------
    `memory/patterns` with intervals and the reason for each abstention
    """
    asked = list(queries)
    if not asked:
        return pl.DataFrame(schema=SCHEMA)
    scope = scope or calibrate(evidence)
    marks = [query_fingerprint(query, evidence) for query in asked]
    new = [query for query, mark in zip(asked, marks, strict=True) if mark not in (known or {})]
    vectors = dict(zip((query.context for query in new), _vectors(new, encode, names), strict=True))
    topics = _topics(new, vectors, recogniser, names)
    own = list(dict.fromkeys(query.action for query in new if query.action))
    own_vectors = dict(zip(own, encode(own), strict=True)) if own else {}
    rows: list[dict[str, Any]] = []
    for query, mark in zip(asked, marks, strict=True):
        if known and mark in known:
            rows.extend(known[mark])
            continue
        found = _answer(query, vectors[query.context], own_vectors.get(query.action or ""), evidence, scope)
        about = topics.get(query.context, {})
        rows.extend(row | about | {"fingerprint": mark} for row in found)
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def topics_taught(evidence: Evidence, contexts: Mapping[str, str], names: NameFinder) -> Recogniser | None:
    """A recogniser of the evidence's topics; None where these are clusters without a name, or only one.

    contexts : context of each memory by its id
    """
    kept = np.flatnonzero(evidence.topics != "")
    topics = [str(evidence.topics[row]) for row in kept]
    if len(set(topics)) < 2 or all(topic.isdigit() for topic in topics):
        return None
    texts = [situation(contexts[str(evidence.ids[row])], names) for row in kept]
    return Recogniser.of(texts, evidence.contexts[kept], topics)


def _topics(
    queries: Sequence[Query],
    vectors: Mapping[str, NDArray[np.float32]],
    recogniser: Recogniser | None,
    names: NameFinder,
) -> dict[str, dict[str, Any]]:
    """Topic of each context that is like a known one; nothing is said of the others."""
    asked = list(dict.fromkeys(query.context for query in queries))
    if recogniser is None or not asked:
        return {}
    texts = [" ".join(situation(part, names) for part in parts_of(context)) for context in asked]
    found = recogniser.recognise(texts, np.stack([vectors[context] for context in asked]))
    return {
        context: {"topic": str(topic), "topic_probability": float(sure)}
        for context, topic, sure, like in zip(asked, found.best, found.sure, found.known, strict=True)
        if like
    }


def query_fingerprint(query: Query, evidence: Evidence) -> str:
    """Changes with anything that an answer depends on."""
    asked = (query.query_id, query.kind, query.context, query.at, query.campaign_id, query.action, query.memory_id)
    said = "\x1f".join(str(part) for part in (METHOD, evidence.fingerprint, *asked))
    return hashlib.sha256(said.encode()).hexdigest()[:24]


def answered(patterns: pl.DataFrame) -> Known:
    """Rows of a `memory/patterns` table by the fingerprint of their question; none from a table of before."""
    if any(name not in patterns.columns for name in SCHEMA):
        return {}
    found: dict[str, list[dict[str, Any]]] = {}
    for row in patterns.select(list(SCHEMA)).iter_rows(named=True):
        if row["fingerprint"]:
            found.setdefault(row["fingerprint"], []).append(row)
    return found


def _vectors(queries: Sequence[Query], encode: Encoder, names: NameFinder) -> list[NDArray[np.float32]]:
    """The direction of each context, all encoded at once; of several quotes it is the mean, which keeps what they have
    in common."""
    parts = [[situation(part, names) for part in parts_of(query.context)] for query in queries]
    flat = [part for group in parts for part in group]
    if not flat:
        return []
    ends = np.cumsum([len(group) for group in parts])
    means = [group.mean(axis=0) for group in np.split(encode(flat), ends[:-1])]
    lengths = [float(np.linalg.norm(mean)) for mean in means]
    return [np.asarray(m / n if n > 0 else m, dtype=np.float32) for m, n in zip(means, lengths, strict=True)]


def _answer(
    query: Query,
    vector: NDArray[np.float32],
    own_action: NDArray[np.float32] | None,
    evidence: Evidence,
    scope: Scope,
) -> list[dict[str, Any]]:
    allowed = _allowed(query, evidence)
    if not allowed.any():
        row = _row(query, None, None, None, scope)
        return [row | {"reason": "no past action with a measured effect before this"}]
    similarity = np.where(allowed, (evidence.contexts @ vector).astype(float), -np.inf)
    score = float(reach(similarity[None, :], evidence.topics)[0])
    p_unrelated = scope.p_unrelated(score) if scope.enough else None
    row = _row(query, float(similarity.max()), score, p_unrelated, scope)
    if p_unrelated is None:
        known = scope.unrelated.size
        return [row | {"reason": f"only {known} past contexts of more than one topic: scope unknown"}]
    weights = scope.weight(similarity)
    if p_unrelated > ALPHA or not weights.any():
        return [row | {"reason": "no past context is similar enough"}]
    return _judge(query, own_action, row, weights, allowed, evidence, scope)


def _judge(
    query: Query,
    own_action: NDArray[np.float32] | None,
    row: dict[str, Any],
    weights: np.ndarray,
    allowed: NDArray[np.bool_],
    evidence: Evidence,
    scope: Scope,
) -> list[dict[str, Any]]:
    candidates: list[tuple[str, np.ndarray]] = []
    if own_action is not None and query.action:
        candidates.append((query.action, weights * similar_actions(evidence, scope, own_action, query.action)))
    for code in np.unique(evidence.action_codes[weights > 0]):
        text = evidence.action_texts[code]
        if text != query.action:
            like = similar_actions(evidence, scope, evidence.actions[code], text)
            candidates.append((text, weights * like))
    sd = prior_sd(evidence.effects[allowed], evidence.errors[allowed])
    judged = [
        (text, relevant, posterior(evidence.effects, evidence.errors, relevant, sd)) for text, relevant in candidates
    ]
    ordered = sorted(judged, key=lambda entry: (-entry[2].confidence, -entry[2].weight, entry[0]))
    chosen = [entry for entry in ordered if entry[0] == query.action]
    supported = [entry for entry in ordered if entry[0] != query.action and entry[2].weight >= PRIOR_WEIGHT]
    # What is likeliest to help comes first, then whatever is surest, to do or to avoid.
    likeliest = max((entry[2].mean for entry in supported), default=0.0)
    supported.sort(key=lambda entry: entry[2].mean < likeliest)
    chosen += supported[: ACTIONS_PER_QUERY - len(chosen)]
    if not chosen:
        return [row | {"reason": "no action was tried often enough in similar contexts"}]
    return [row | _judgement(query, text, relevant, found, evidence) for text, relevant, found in chosen]


def _allowed(query: Query, evidence: Evidence) -> NDArray[np.bool_]:
    mask = np.ones(len(evidence), dtype=bool)
    if query.at is not None:
        # A memory without a date cannot be shown to come from the past.
        mask &= (evidence.moments >= 0) & (evidence.moments < int(query.at.timestamp() * 1_000_000))
    if query.memory_id is not None:
        mask &= evidence.ids != query.memory_id
    return mask


def _row(
    query: Query, similarity: float | None, score: float | None, p_unrelated: float | None, scope: Scope
) -> dict[str, Any]:
    """A pattern that abstains; a judgement overwrites what it knows."""
    return dict.fromkeys(SCHEMA) | {
        "pattern_id": pattern_id(query.query_id, query.kind, None),
        "query_id": query.query_id,
        "query_kind": query.kind,
        "context": query.context,
        "campaign_id": query.campaign_id,
        "at": query.at,
        "memory_ids": [],
        "similarity": similarity,
        "scope_score": score,
        "p_unrelated": p_unrelated,
        "threshold": scope.threshold,
        "n_evidence": 0,
        "abstained": True,
    }


def _judgement(query: Query, text: str, relevant: np.ndarray, found: Posterior, evidence: Evidence) -> dict[str, Any]:
    used = np.flatnonzero(relevant > 0)
    best = used[np.lexsort((evidence.ids[used], -relevant[used]))]
    abstains = found.weight < PRIOR_WEIGHT
    return {
        "pattern_id": pattern_id(query.query_id, query.kind, text),
        "memory_ids": [str(name) for name in evidence.ids[best]],
        "action": text,
        "n_evidence": int(used.size),
        "evidence_weight": found.weight,
        "p_success": None if abstains else found.mean,
        "p_success_low": None if abstains else found.low,
        "p_success_high": None if abstains else found.high,
        "confidence": None if abstains else found.confidence,
        "abstained": abstains,
        "reason": "this action was not tried often enough in similar contexts" if abstains else None,
    } | ({} if abstains else _expected(used, found, evidence))


def _expected(used: NDArray[np.int64], found: Posterior, evidence: Evidence) -> dict[str, Any]:
    """The mean effect in the metric's own unit; unknown when effects on several metrics were put together."""
    metrics = set(evidence.metrics[used].tolist())
    if len(metrics) != 1 or metrics == {""}:
        return {}
    scale = float(evidence.scales[used[0]])
    low, high = sorted((found.effect_low * scale, found.effect_high * scale))
    return {
        "metric": metrics.pop(),
        "expected_effect": found.effect * scale,
        "expected_low": low,
        "expected_high": high,
    }


def pattern_id(query_id: str, kind: str, action: str | None) -> str:
    """The same question and action give the same id."""
    return "p" + hashlib.sha256(f"{kind}\x1f{query_id}\x1f{action}".encode()).hexdigest()[:23]
