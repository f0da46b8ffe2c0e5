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

from liftos_pipelines.modules.memory.learning.evidence import (
    ALPHA,
    Encoder,
    Evidence,
    Posterior,
    Scope,
    calibrate,
    posterior,
    reach,
    similar_actions,
    situation,
)
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
}


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


def find_patterns(queries: Sequence[Query], evidence: Evidence, encode: Encoder, names: NameFinder) -> pl.DataFrame:
    """For each context what similar past actions achieved, best supported first, or a row that abstains.

    Parameters
    ----------
    queries : contexts to look up; evidence strictly before `at` counts, so nothing from the future leaks in
    evidence : past actions with measured effects
    encode : texts to unit vectors; names : campaigns and brands, as in `gather`

    Returns
    -------
    `memory/patterns` with intervals and the reason for each abstention
    """
    asked = list(queries)
    if not asked:
        return pl.DataFrame(schema=SCHEMA)
    scope = calibrate(evidence)
    vectors = [_vector(query.context, encode, names) for query in asked]
    own = {query.action: None for query in asked if query.action}
    own_vectors = dict(zip(own, encode(list(own)), strict=True)) if own else {}
    rows: list[dict[str, Any]] = []
    for query, vector in zip(asked, vectors, strict=True):
        rows.extend(_answer(query, vector, own_vectors.get(query.action or ""), evidence, scope))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _vector(context: str, encode: Encoder, names: NameFinder) -> NDArray[np.float32]:
    """The direction of a context; of several quotes it is the mean, which keeps what they have in common."""
    mean = encode([situation(part, names) for part in parts_of(context)]).mean(axis=0)
    length = float(np.linalg.norm(mean))
    return np.asarray(mean / length if length > 0 else mean, dtype=np.float32)


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
        candidates.append((query.action, weights * similar_actions(evidence, scope, own_action)))
    for code in np.unique(evidence.action_codes[weights > 0]):
        text = evidence.action_texts[code]
        if text != query.action:
            like = similar_actions(evidence, scope, evidence.actions[code])
            candidates.append((text, weights * like))
    judged = [
        (text, relevant, posterior(evidence.success, relevant, evidence.success[allowed]))
        for text, relevant in candidates
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
    }


def pattern_id(query_id: str, kind: str, action: str | None) -> str:
    """The same question and action give the same id."""
    return "p" + hashlib.sha256(f"{kind}\x1f{query_id}\x1f{action}".encode()).hexdigest()[:23]
