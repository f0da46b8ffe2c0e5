"""Weights that a collection's own answered questions speak for, and no more than they speak for.

Questions with known relevant memories (outcome links, dialogue questions, later what was used of what was shown) teach
which channel to trust: a listwise logistic model (Cao et al. 2007, ListNet; here each relevant memory against the
irrelevant ones) with weights that are not negative, drawn to the packaged prior (ridge towards it). How strongly is
decided out of fold, folds by group (campaign, conversation). The prior stays unless the fitted weights are better out
of fold beyond doubt (paired bootstrap over groups, 90 %); whatever is chosen is compared with BM25 in the same way, and
where it is worse the collection gets BM25.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.recall.fusion import PRIOR, SPREADING, Settings
from liftos_pipelines.modules.memory.recall.index import RecallIndex
from liftos_pipelines.modules.memory.recall.neighbours import Neighbours
from liftos_pipelines.modules.memory.recall.query import FloatArray, RecallQuery
from liftos_pipelines.modules.memory.recall.scoring import Carried, scored
from liftos_pipelines.stats import cluster_bootstrap, percentile_interval

WORDS_ALONE = Settings(weights={"words": 1.0}, spread=0.0)
MIN_QUESTIONS, MIN_GROUPS = 20, 4
"""Fewer answered questions, or fewer campaigns or conversations that they come from, teach nothing."""
MAX_QUESTIONS = 400
FOLDS = 5
PULLS = (100.0, 10.0, 1.0)
"""Strengths of the pull towards the prior that are tried, in questions' worth of loss per unit of squared distance."""
RIVALS_A_CHANNEL = 40
CUT = 10


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A question, the memory ids that answer it, and the campaign or conversation it belongs to."""

    query: RecallQuery
    relevant: frozenset[str]
    group: str


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The settings a collection gets and why. Gains are of the utility (half recall@10, half reciprocal rank), out of
    fold, with 90 % intervals; None where they were not measured.
    """

    settings: Settings
    chosen: str
    """"prior", "fitted" or "words"."""
    reason: str
    questions: int
    groups: int
    gain_on_prior: tuple[float, float, float] | None = None
    gain_on_words: tuple[float, float, float] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """One question's evidence over all rows of the index: `parts` (c, n) by channel."""

    parts: NDArray[np.float32]
    rows: NDArray[np.int64]
    relevant: NDArray[np.int64]
    group: str
    carried: Carried | None = None
    """What the graph carries, see `scoring.scored`."""


def examples(index: RecallIndex, labelled: Sequence[Labelled]) -> tuple[tuple[str, ...], list[Example]]:
    """The channels' names, and an example of each question that has an answer among the rows that may answer."""
    names = tuple(channel.name for channel in index.channels)
    found = []
    for one in labelled:
        rows, parts = index.evidence(one.query)
        ids = np.array(index.memory_ids(rows))
        relevant = rows[np.isin(ids, list(one.relevant))]
        if relevant.size:
            stacked = np.stack([parts[name] for name in names]).astype(np.float32)
            carried = index.carried(one.query, rows)
            found.append(Example(parts=stacked, rows=rows, relevant=relevant, group=one.group, carried=carried))
    return names, found


def fit(index: RecallIndex, labelled: Sequence[Labelled], *, prior: Settings = PRIOR, seed: int = 0) -> Fitted:
    """The weights for this collection.

    Parameters
    ----------
    labelled : questions with their answers; more than `MAX_QUESTIONS` are drawn from
    prior : what they are drawn to, and kept where the questions do not speak against it
    """
    rng = np.random.default_rng(seed)
    kept = list(labelled)
    if len(kept) > MAX_QUESTIONS:
        kept = [kept[place] for place in np.sort(rng.permutation(len(kept))[:MAX_QUESTIONS])]
    names, asked = examples(index, kept)
    groups = np.array([one.group for one in asked])
    count = len(set(groups.tolist()))
    if len(asked) < MIN_QUESTIONS or count < MIN_GROUPS:
        reason = (
            f"{len(asked)} answered questions of {count} groups; at least {MIN_QUESTIONS} of {MIN_GROUPS} are needed"
        )
        return Fitted(settings=prior, chosen="prior", reason=reason, questions=len(asked), groups=count)

    def utilities(settings: Settings, among: Sequence[Example]) -> FloatArray:
        return np.array([utility(one, names, settings, index.neighbours) for one in among])

    folds = _folds(groups, rng)
    by_prior, by_words = utilities(prior, asked), utilities(WORDS_ALONE, asked)
    best: tuple[float, FloatArray] | None = None
    for pull in PULLS:
        held_out = np.empty(len(asked))
        for fold in range(int(folds.max()) + 1):
            train = [one for one, place in zip(asked, folds, strict=True) if place != fold]
            test = np.flatnonzero(folds == fold)
            learnt = learn(train, names, prior, index.neighbours, pull)
            held_out[test] = utilities(learnt, [asked[place] for place in test])
        if best is None or held_out.mean() > best[1].mean():
            best = (pull, held_out)
    assert best is not None
    gain = _gain(best[1] - by_prior, groups, seed)
    settings, chosen, out_of_fold = prior, "prior", by_prior
    reason = f"fitted weights are not better than the prior beyond doubt ({_told(gain)})"
    if gain[1] > 0:
        settings, chosen, out_of_fold = learn(asked, names, prior, index.neighbours, best[0]), "fitted", best[1]
        reason = f"fitted weights are better than the prior out of fold ({_told(gain)})"
    on_words = _gain(out_of_fold - by_words, groups, seed)
    if on_words[2] < 0:
        settings, reason = WORDS_ALONE, f"words alone are better than the {chosen} weights ({_told(on_words)})"
        chosen = "words"
    return Fitted(
        settings=settings,
        chosen=chosen,
        reason=reason,
        questions=len(asked),
        groups=count,
        gain_on_prior=gain,
        gain_on_words=on_words,
    )


def learn(
    asked: Sequence[Example], names: Sequence[str], prior: Settings, neighbours: Neighbours, pull: float
) -> Settings:
    """The weights with least loss plus `pull` times the squared distance to the prior; the rest is the prior's.

    What is linked, which is no sum of channels, is left out of the loss; the choice between weights counts it.
    """
    from scipy.optimize import minimize

    towards = np.array([prior.weights.get(name, 0.0) for name in names])
    rivals = [_rivals(one, towards, names, prior.spread, neighbours) for one in asked]

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        total, slope = 0.0, np.zeros_like(theta)
        for good, bad in rivals:
            won, lost = good @ theta, bad @ theta
            top = max(won.max(), lost.max(initial=-np.inf))
            shares, others = np.exp(won - top), np.exp(lost - top)
            whole = shares + others.sum()
            total += float((top + np.log(whole) - won).mean())
            pulled = (others @ bad) * (1 / whole).sum() + (shares / whole) @ good - good.sum(axis=0)
            slope += pulled / len(good)
        return total, slope

    # First how sharp the prior's scores are, then the weights, drawn to the prior at that sharpness.
    sharp = np.exp(minimize(lambda log: loss(np.exp(log[0]) * towards)[0], [np.log(10.0)], method="Powell").x[0])

    def drawn(theta: FloatArray) -> tuple[float, FloatArray]:
        value, slope = loss(theta)
        off = theta / sharp - towards
        return value + pull * float(off @ off), slope + 2 * pull * off / sharp

    start = sharp * np.maximum(towards, 1e-3)
    found = minimize(drawn, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(towards)).x
    if not found.sum() > 0:
        return prior
    return replace(prior, weights=dict(zip(names, found / found.sum(), strict=True)))


def fused(one: Example, names: Sequence[str], settings: Settings, neighbours: Neighbours) -> FloatArray:
    """(n,) the scores that the index serves for one question under settings, by the same function."""
    weights = ((name, settings.weights.get(name, 0.0)) for name in names)
    parts = {name: weight * part.astype(np.float64) for (name, weight), part in zip(weights, one.parts, strict=True)}
    return scored(parts, settings, neighbours, one.carried).total


def ranks(one: Example, names: Sequence[str], settings: Settings, neighbours: Neighbours) -> NDArray[np.int64]:
    """Places of the relevant rows, from 1, best first; of equal scores they come last: nothing is won by ties."""
    scores = fused(one, names, settings, neighbours)
    among = scores[one.rows]
    good = np.sort(scores[one.relevant])[::-1]
    return np.asarray(among.size - np.searchsorted(np.sort(among), good, side="left"), dtype=np.int64)


def utility(one: Example, names: Sequence[str], settings: Settings, neighbours: Neighbours) -> float:
    """Half recall@10 (of as many as can be), half the reciprocal rank of the first relevant row."""
    places = ranks(one, names, settings, neighbours)
    recall = float((places <= CUT).sum()) / min(CUT, places.size)
    return 0.5 * recall + 0.5 / float(places.min())


def _rivals(
    one: Example, towards: FloatArray, names: Sequence[str], spread: float, neighbours: Neighbours
) -> tuple[FloatArray, FloatArray]:
    """Features of the relevant rows and of the hardest others: the best of each channel and of the prior."""
    spreading = np.array([name in SPREADING for name in names])
    beside = neighbours.best_rows(np.asarray((towards * spreading) @ one.parts, dtype=np.float64))
    padded = np.concatenate([one.parts, np.zeros((len(names), 1), dtype=np.float32)], axis=1)
    features = one.parts + spread * spreading[:, None] * padded[:, beside]
    wanted = np.zeros(one.parts.shape[1], dtype=bool)
    for scores in (*features, towards @ features):
        among = scores[one.rows]
        size = min(RIVALS_A_CHANNEL, among.size)
        wanted[one.rows[np.argpartition(-among, size - 1)[:size]]] = True
    wanted[one.relevant] = False
    return features[:, one.relevant].T.astype(float), features[:, wanted].T.astype(float)


def _folds(groups: NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,) fold of each question; a group is in one fold."""
    named, codes = np.unique(groups, return_inverse=True)
    fold_of = rng.permutation(len(named)) % min(FOLDS, len(named))
    return np.asarray(fold_of[codes], dtype=np.int64)


def _gain(differences: FloatArray, groups: NDArray[np.str_], seed: int) -> tuple[float, float, float]:
    draws = cluster_bootstrap(groups, lambda rows: float(differences[rows].mean()), seed=seed)
    return (float(differences.mean()), *percentile_interval(draws))


def _told(gain: tuple[float, float, float]) -> str:
    return f"{gain[0]:+.3f}, 90 % interval {gain[1]:+.3f} to {gain[2]:+.3f}"
