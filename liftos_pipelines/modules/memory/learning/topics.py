"""Topics: what tells related contexts from unrelated ones, by the domain or, without domains, by clusters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster import hierarchy

FloatArray = NDArray[np.float64]

MIN_TO_CLUSTER, MAX_CLUSTERS = 12, 30


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
