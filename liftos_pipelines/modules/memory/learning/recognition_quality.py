"""Does memory recognise its own topics, and notice one that it does not hold? Measured on the client's own contexts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.learning.evidence import Evidence
from liftos_pipelines.modules.memory.learning.recogniser import Recogniser

FloatArray = NDArray[np.float64]
PARTS = 5
LEAST = 20
BINS = 10


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """Each context recognised by what other campaigns taught, aligned arrays (n,).

    right : 1 where the topic is right; sure : probability said; nearest : 1 where the nearest context's topic is right
    oos_auroc : how well familiarity tells known contexts from contexts whose topic is hidden; NaN with one topic
    """

    right: FloatArray
    sure: FloatArray
    nearest: FloatArray
    groups: NDArray[np.str_]
    commonest: float
    oos_auroc: float


def recognised(evidence: Evidence, texts: Sequence[str]) -> Recognised | None:
    """Recognise each context's topic from those of other campaigns, where these know the topic at all; None with fewer
    than `LEAST` contexts or one topic.

    texts : (n,) the contexts as they were encoded
    """
    kept = np.flatnonzero(evidence.topics != "")
    topics, groups = evidence.topics[kept], evidence.groups[kept]
    names, parts = np.unique(groups, return_inverse=True)
    if kept.size < LEAST or np.unique(topics).size < 2 or names.size < 2:
        return None
    asked = [texts[int(row)] for row in kept]
    vectors = evidence.contexts[kept]
    part = parts % min(PARTS, names.size)
    right, sure, nearest = np.full(kept.size, np.nan), np.zeros(kept.size), np.zeros(kept.size)
    for number in range(int(part.max()) + 1):
        known = np.flatnonzero(part != number)
        held = (part == number) & np.isin(topics, topics[known])
        if not held.any():
            continue
        taught = Recogniser.of([asked[row] for row in known], vectors[known], topics[known].tolist())
        said = taught.recognise([asked[row] for row in np.flatnonzero(held)], vectors[held])
        right[held], sure[held] = said.best == topics[held], said.sure
        closest = topics[known][(vectors[held] @ vectors[known].T).argmax(axis=1)]
        nearest[held] = closest == topics[held]
    asked_about = np.isfinite(right)
    if asked_about.sum() < LEAST:
        return None
    whole = Recogniser.of(asked, vectors, topics.tolist())
    _, counts = np.unique(topics[asked_about], return_counts=True)
    return Recognised(
        right=right[asked_about],
        sure=sure[asked_about],
        nearest=nearest[asked_about],
        groups=groups[asked_about],
        commonest=float(counts.max() / counts.sum()),
        oos_auroc=whole.familiarity.auroc,
    )


def surest(sure: FloatArray, coverage: float) -> NDArray[np.bool_]:
    """The surest share of answers, (n,)."""
    kept = np.zeros(sure.size, dtype=bool)
    kept[np.argsort(-sure, kind="stable")[: round(coverage * sure.size)]] = True
    return kept


def expected_calibration_error(said: FloatArray, right: FloatArray, bins: int = BINS) -> float:
    """Mean distance of probability said and share right over `bins` equal bins of 0..1, weighed by their size.

    Source: Naeini, Cooper and Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning.
    """
    if not said.size:
        return float("nan")
    code = np.minimum((said * bins).astype(int), bins - 1)
    size = np.bincount(code, minlength=bins)
    gap = np.abs(np.bincount(code, weights=said, minlength=bins) - np.bincount(code, weights=right, minlength=bins))
    return float(gap.sum() / size.sum())
