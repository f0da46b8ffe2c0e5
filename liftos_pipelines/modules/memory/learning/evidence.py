"""Evidence: past actions with measured effects, and how similar a context must be before they say anything.

Nothing here is a guessed threshold. How similar is similar enough is read off the collection itself: the
similarity that each past context reaches with its nearest context of another topic is what unrelated contexts
reach by chance. A new context that does not exceed nearly all of those is out of scope, and the memory
abstains.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats
from scipy.cluster import hierarchy

from liftos_pipelines.text import NameFinder, fold, words

FloatArray = NDArray[np.float64]
Encoder = Callable[[list[str]], NDArray[np.float32]]
"""Texts to unit vectors, (n) to (n, d) float32."""

LOWER_IS_BETTER = frozenset(
    {"churn", "cost", "costs", "cpa", "cac", "cpc", "cpm", "complaint", "complaints", "refund", "refunds"}
    | {"bounce", "latency", "error", "errors", "unsubscribe", "unsubscribes", "attrition", "violations"}
)
"""Words in a metric's name that make a fall of it the good direction."""

ALPHA = 0.1
"""Share of contexts of a topic that memory does not hold which it may answer all the same."""

NEIGHBOURS = 5
"""How many nearest contexts vote on whether a query belongs to one topic."""

KERNEL_POWER = 4
"""How fast evidence fades with similarity; chosen on ten simulated worlds, see docs/modules/memory.md."""

MIN_TO_CLUSTER, MAX_CLUSTERS = 12, 30

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
    return np.asarray(stats.norm.cdf(z), dtype=float)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Past actions whose effect was measured, aligned arrays of length n.

    contexts, actions : (n, d) unit vectors of the context and of the action; `action_codes` index
    `action_texts` success : (n,) probability that the effect was good; `moments` : (n,) microseconds since
    1970, or -1 if unknown groups : (n,) campaign where there is one, otherwise the context itself
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

    def __len__(self) -> int:
        return int(self.ids.size)


def gather(items: pl.DataFrame, encode: Encoder, names: NameFinder) -> Evidence:
    """Evidence from current items: those of `OUTCOME_KINDS` with context, action, effect and standard
    error.
    """
    rows = items.filter(
        pl.col("kind").is_in(OUTCOME_KINDS),
        pl.col("superseded_at").is_null(),
        pl.all_horizontal(pl.col("effect", "std_error", "action", "context").is_not_null()),
    ).sort("memory_id")
    texts = rows["action"].to_list()
    first: dict[str, str] = {}
    for text in texts:
        first.setdefault(fold(text).strip(" ."), text)
    keys = list(first)
    codes = np.array([keys.index(fold(text).strip(" .")) for text in texts], dtype=np.int64)
    action_vectors = encode(list(first.values())) if keys else np.empty((0, 1), dtype=np.float32)
    told = [situation(text, names) for text in rows["context"]]
    contexts = encode(told) if told else np.empty((0, 1), dtype=np.float32)
    signs = np.array([direction(metric) for metric in rows["metric"]], dtype=np.int64)
    return Evidence(
        ids=rows["memory_id"].to_numpy().astype(str),
        contexts=contexts,
        actions=action_vectors,
        action_codes=codes,
        action_texts=tuple(first.values()),
        success=success_probability(
            rows["effect"].to_numpy().astype(float), rows["std_error"].to_numpy().astype(float), signs
        ),
        moments=rows["valid_from"].dt.epoch("us").fill_null(-1).to_numpy(),
        groups=np.array(
            [campaign or fold(text) for campaign, text in rows.select("campaign_id", "context").iter_rows()],
            dtype=str,
        ),
        topics=topics_of(rows["domain"].to_list(), contexts),
    )


def situation(text: str, names: NameFinder) -> str:
    """A context without the names in it: that two contexts are about one campaign does not make them alike."""
    body = fold(text)
    for hit in reversed(names.find(text)):
        body = body[: hit.start] + "it" + body[hit.end :]
    return " ".join(body.split())


def topics_of(domains: list[str | None], contexts: NDArray[np.float32]) -> NDArray[np.str_]:
    """What tells related contexts from unrelated ones, (n,): the domain where a collection has several of them
    (empty where unknown), otherwise the cluster of the context."""
    if len({domain for domain in domains if domain}) > 1:
        return np.array([domain or "" for domain in domains], dtype=str)
    return clusters(contexts)


def clusters(vectors: NDArray[np.float32]) -> NDArray[np.str_]:
    """Average-linkage clusters of unit vectors, their number by the largest mean silhouette; (n,) labels.

    All empty (unknown) for fewer than `MIN_TO_CLUSTER` texts. Source: Rousseeuw (1987), Silhouettes.
    """
    n = len(vectors)
    if n < MIN_TO_CLUSTER:
        return np.full(n, "", dtype="<U1")
    distance = np.clip(1 - vectors.astype(float) @ vectors.T.astype(float), 0.0, 2.0)
    np.fill_diagonal(distance, 0.0)
    tree = hierarchy.linkage(distance[np.triu_indices(n, 1)], "average")
    cuts = [hierarchy.fcluster(tree, k, "maxclust") for k in range(2, min(MAX_CLUSTERS, n // 3) + 1)]
    best = max(cuts, key=lambda labels: _silhouette(distance, labels))
    return best.astype(str)


def _silhouette(distance: FloatArray, labels: NDArray[np.int64]) -> float:
    values, codes = np.unique(labels, return_inverse=True)
    if values.size < 2:
        return -1.0
    member = np.eye(values.size)[codes]
    size = member.sum(axis=0)
    total = distance @ member
    own = size[codes]
    inside = total[np.arange(codes.size), codes] / np.maximum(own - 1, 1)
    apart = np.where(member > 0, np.inf, total / size).min(axis=1)
    score = np.where(own > 1, (apart - inside) / np.maximum(np.maximum(apart, inside), 1e-12), 0.0)
    return float(score.mean())


def reach(similarity: FloatArray, topics: NDArray[np.str_]) -> FloatArray:
    """How clearly each query belongs to one topic of a collection: vote share times largest similarity.

    Parameters
    ----------
    similarity : (q, n) cosine of queries and contexts; -inf where a context may not be used
    topics : (n,) topics of the contexts

    Returns
    -------
    (q,) : the share of the most similar topic among the `NEIGHBOURS` nearest, weighed by similarity, times the
    similarity of the nearest; -inf for a query without a usable context
    """
    scores = np.full(len(similarity), -np.inf)
    for row, values in enumerate(similarity):
        nearest = np.argsort(-values, kind="stable")[:NEIGHBOURS]
        nearest = nearest[np.isfinite(values[nearest])]
        if nearest.size == 0:
            continue
        votes = np.clip(values[nearest], 0.0, None)
        _, codes = np.unique(topics[nearest], return_inverse=True)
        total = votes.sum()
        share = float(np.bincount(codes, weights=votes).max() / total) if total > 0 else 0.0
        scores[row] = share * float(values[nearest[0]])
    return scores


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What scores mean in one collection.

    unrelated : (m,) sorted `reach` of each context when its own topic is hidden
    background : median similarity of two contexts of different topics; it is no evidence at all
    action_background : similarity below which two differently worded actions count as different
    """

    unrelated: FloatArray
    background: float
    action_background: float

    @property
    def enough(self) -> bool:
        """Whether there are contexts enough for any query to be told in scope at level `ALPHA`."""
        return 1 / (self.unrelated.size + 1) <= ALPHA

    @property
    def threshold(self) -> float | None:
        """The score that a query must exceed to be in scope; None when there is too little to tell."""
        if not self.enough:
            return None
        allowed = int(np.floor(ALPHA * (self.unrelated.size + 1))) - 1
        return float(self.unrelated[self.unrelated.size - 1 - allowed])

    def p_unrelated(self, score: float) -> float:
        """Probability that a context of a topic memory does not hold scores at least this: conformal p-value.

        Source: Vovk, Gammerman and Shafer (2005), Algorithmic learning in a random world.
        """
        at_least = self.unrelated.size - int(np.searchsorted(self.unrelated, score, side="left"))
        return (1 + at_least) / (self.unrelated.size + 1)

    def weight(self, similarity: FloatArray) -> FloatArray:
        """How much evidence each context is for one query, (n,) 0..1: 1 for the nearest, none at the background."""
        top = similarity.max(initial=-np.inf)
        if not np.isfinite(top) or top <= self.background:
            return np.zeros_like(similarity)
        scaled = (np.maximum(similarity, self.background) - self.background) / (top - self.background)
        return scaled**KERNEL_POWER


def calibrate(evidence: Evidence) -> Scope:
    """Read the scope of a collection off the similarities among its own contexts."""
    topics = evidence.topics
    known = topics != ""
    unrelated, background = np.empty(0), 1.0
    if np.unique(topics[known]).size > 1:
        similar = (evidence.contexts @ evidence.contexts.T).astype(float)
        other = known[:, None] & known[None, :] & (topics[:, None] != topics[None, :])
        unrelated = np.sort(reach(np.where(other, similar, -np.inf)[known], topics))
        background = float(np.median(similar[other]))
    action_background = 1.0
    if len(evidence.actions) > 2:
        pairs = (evidence.actions @ evidence.actions.T)[np.triu_indices(len(evidence.actions), 1)]
        action_background = float(np.quantile(pairs, 1 - ALPHA))
    return Scope(unrelated=unrelated, background=background, action_background=action_background)


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
    )


def similar_actions(evidence: Evidence, scope: Scope, vector: NDArray[np.float32]) -> FloatArray:
    """How much each piece of evidence is about an action, (n,): 1 for the same words, less for like ones."""
    similarity = (evidence.actions @ vector).astype(float)
    if scope.action_background >= 1:
        alike = np.where(similarity >= 1 - 1e-6, 1.0, 0.0)
    else:
        alike = np.clip((similarity - scope.action_background) / (1 - scope.action_background), 0.0, 1.0)
    return alike[evidence.action_codes]


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """What the evidence says of an action's success: mean, 90 % interval, probability that it mostly
    succeeds.
    """

    mean: float
    low: float
    high: float
    p_mostly_succeeds: float
    weight: float

    @property
    def confidence(self) -> float:
        """Probability that the more likely direction is the right one."""
        return max(self.p_mostly_succeeds, 1 - self.p_mostly_succeeds)


def posterior(success: FloatArray, weights: FloatArray, base: FloatArray) -> Posterior:
    """Beta posterior of the success rate of an action in a context.

    Parameters
    ----------
    success : (n,) probability that each past effect was good; weights : (n,) its relevance, 0..1
    base : success of everything known so far; its mean is the prior's, which counts as one observation

    Each neighbour adds its weight, split by the probability that it was a success, so that an effect measured
    with a large error counts as half a success and half a failure. Source of the prior: Kass and Wasserman
    (1995), A reference Bayesian test for nested hypotheses and its relationship to the Schwarz criterion
    (unit information).
    """
    mean = (float(base.sum()) + 0.5) / (base.size + 1)
    a = mean + float((weights * success).sum())
    b = 1 - mean + float((weights * (1 - success)).sum())
    return Posterior(
        mean=a / (a + b),
        low=float(stats.beta.ppf(0.05, a, b)),
        high=float(stats.beta.ppf(0.95, a, b)),
        p_mostly_succeeds=float(stats.beta.sf(0.5, a, b)),
        weight=float(weights.sum()),
    )
