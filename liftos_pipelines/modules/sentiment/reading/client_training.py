"""A client's own labels: move the default model towards them, and keep the result only when it proves itself.

Labels that one client brings are few and alike: the same sentence with another product in it. A random split would
put copies on both sides and call the model perfect. So whole clusters of similar texts are left out in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from liftos_pipelines.modules.sentiment.reading import calibration as cal
from liftos_pipelines.modules.sentiment.reading.linear import fit_softmax
from liftos_pipelines.modules.sentiment.reading.model import LABELS, SentimentModel
from liftos_pipelines.modules.sentiment.reading.training import ITERATIONS, SEED, folds_of, sentiment_figures
from liftos_pipelines.stats import cluster_bootstrap, percentile_interval

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_ROWS_PER_CLASS = 30
"""Fewer labelled texts in a class than this, and a client's labels cannot judge, let alone beat, the default."""
MIN_CLUSTERS = 15
"""Fewer distinct kinds of text than this, and leaving some out says nothing."""
ALIKE = 0.25
"""Clusters are joined while their texts have this cosine on average. Unrelated sentences about one brand: .15."""
LINKED_AT_ONCE = 2_500
"""More texts than this are clustered from a sample, the others joining the cluster they are most like."""
FOLDS = 5
PENALTIES = (1.0, 4.0, 16.0)


@dataclass(frozen=True, kw_only=True)
class ClientTraining:
    """Outcome of retraining for one client: the model to use, whether it is new, and why.

    The figures are for left-out clusters, over all labelled texts; NaN where nothing was fitted.
    """

    model: SentimentModel
    promoted: bool
    reason: str
    n_labelled: int
    n_clusters: int = 0
    default_macro_f1: float = float("nan")
    client_macro_f1: float = float("nan")
    default_log_loss: float = float("nan")
    client_log_loss: float = float("nan")


def retrain_for_client(
    default: SentimentModel,
    texts: Sequence[str],
    labels: Sequence[str],
    languages: Sequence[str | None],
    *,
    min_rows_per_class: int = MIN_ROWS_PER_CLASS,
    seed: int = SEED,
) -> ClientTraining:
    """Move the default model towards a client's labels; promote it when it is not worse on left-out texts.

    The change to the default weights is fitted with a pull towards no change, whose strength is chosen by log loss on
    left-out clusters; calibration and the abstention threshold come from left-out predictions too. The new model is
    promoted when on left-out clusters its log loss is not worse than the default's (the index averages probabilities)
    and its macro-F1 is not shown to be lower (90 % interval over clusters); it is then fitted to all labelled texts.

    Raises
    ------
    ValueError : a label that is not negative, neutral or positive, naming it
    """
    wrong = sorted(set(labels) - set(LABELS))
    if wrong:
        raise ValueError(f"labelled_mentions: label {wrong[0]!r} is not one of {', '.join(LABELS)}")
    y = np.asarray([LABELS.index(label) for label in labels], dtype=np.int64)
    counts = np.bincount(y, minlength=len(LABELS))
    if counts.min() < min_rows_per_class:
        least = LABELS[int(counts.argmin())]
        reason = f"{counts.min()} labelled mentions are {least}; {min_rows_per_class} of each class are needed"
        return ClientTraining(model=default, promoted=False, reason=reason, n_labelled=y.size)
    features = default.features(texts)
    clusters = clusters_of(features[:, : default.n_grams])
    n_clusters = int(clusters.max()) + 1
    if n_clusters < MIN_CLUSTERS:
        reason = f"the labelled mentions are of {n_clusters} kinds only; {MIN_CLUSTERS} are needed to judge a model"
        return ClientTraining(model=default, promoted=False, reason=reason, n_labelled=y.size, n_clusters=n_clusters)

    raw = default.logits(features)["sentiment"]
    # Columns that no labelled text has cannot change: fitting without them is the same, and faster.
    columns = np.unique(features.indices)
    narrow = features[:, columns]
    fold = folds_of(clusters, FOLDS, seed=seed)
    tried = {penalty: _left_out(narrow, y, raw, fold, penalty) for penalty in PENALTIES}
    scored = {penalty: _cross_calibrated(logits, y, fold) for penalty, logits in tried.items()}
    penalty = min(PENALTIES, key=lambda each: _log_loss(scored[each], y))
    new, codes = scored[penalty], [code or cal.POOLED for code in languages]
    old = default.calibrated(raw, codes)
    f1_old, f1_new = (cal.macro_f1(y, p.argmax(axis=1), len(LABELS)) for p in (old, new))
    loss_old, loss_new = _log_loss(old, y), _log_loss(new, y)
    # Whole clusters are drawn: forty kinds of text are worth forty observations, however many copies they have.
    differences = cluster_bootstrap(
        clusters,
        lambda rows: (
            cal.macro_f1(y[rows], new[rows].argmax(axis=1), 3) - cal.macro_f1(y[rows], old[rows].argmax(axis=1), 3)
        ),
        seed=seed,
        replicates=300,
    )
    low, high = percentile_interval(differences)
    promoted = loss_new <= loss_old and high >= 0
    verdict = "not worse than" if promoted else "not shown to be as good as"
    reason = (
        f"{verdict} the default on {y.size} left-out mentions of {n_clusters} kinds: macro-F1 {f1_new:.3f} against "
        f"{f1_old:.3f} (difference {low:+.3f} to {high:+.3f}), log loss {loss_new:.3f} against {loss_old:.3f}"
    )
    return ClientTraining(
        model=_fitted(default, narrow, columns, y, raw, tried[penalty], new, codes, penalty) if promoted else default,
        promoted=promoted,
        reason=reason,
        n_labelled=y.size,
        n_clusters=n_clusters,
        default_macro_f1=f1_old,
        client_macro_f1=f1_new,
        default_log_loss=loss_old,
        client_log_loss=loss_new,
    )


def clusters_of(features: sparse.csr_matrix, alike: float = ALIKE, *, seed: int = SEED) -> Ints:
    """Cluster of each row of unit length, by average linkage of cosines (Sokal and Michener 1958)."""
    n = features.shape[0]
    if n < 2:
        return np.zeros(n, dtype=np.int64)
    sample = np.sort(np.random.default_rng(seed).permutation(n)[:LINKED_AT_ONCE])
    chosen = features[sample]
    distance = np.clip(1.0 - (chosen @ chosen.T).toarray(), 0.0, None)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform((distance + distance.T) / 2, checks=False), method="average")
    found = fcluster(tree, 1.0 - alike, criterion="distance").astype(np.int64) - 1
    clusters = np.empty(n, dtype=np.int64)
    clusters[sample] = found
    rest = np.setdiff1d(np.arange(n), sample)
    if rest.size:
        member = sparse.csr_matrix((np.ones(sample.size), (found, np.arange(sample.size))))
        centres = (sparse.diags(1 / np.bincount(found)) @ member @ chosen).tocsr()
        clusters[rest] = np.asarray((features[rest] @ centres.T).argmax(axis=1)).ravel()
    return clusters


def _left_out(features: sparse.csr_matrix, y: Ints, raw: Array, fold: Ints, penalty: float) -> Array:
    """Logits for each text by a model fitted to the other folds."""
    out = np.empty_like(raw)
    for k in range(FOLDS):
        fit, rest = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        change, shift = fit_softmax(
            features[fit], y[fit], raw.shape[1], penalty=penalty, offset=raw[fit], iterations=ITERATIONS
        )
        out[rest] = raw[rest] + features[rest] @ change + shift
    return out


def _cross_calibrated(logits: Array, y: Ints, fold: Ints) -> Array:
    """Probabilities of each fold, calibrated on the others: no text judges a calibration that it took part in."""
    out = np.empty_like(logits)
    for k in range(FOLDS):
        rest = fold != k
        out[~rest] = cal.fit_calibration(logits[rest], y[rest]).apply(logits[~rest])
    return out


def _fitted(
    default: SentimentModel,
    narrow: sparse.csr_matrix,
    columns: Ints,
    y: Ints,
    raw: Array,
    left_out: Array,
    probabilities: Array,
    codes: Sequence[str],
    penalty: float,
) -> SentimentModel:
    change, shift = fit_softmax(narrow, y, raw.shape[1], penalty=penalty, offset=raw, iterations=ITERATIONS)
    head = default.heads["sentiment"]
    weights = head.weights.copy()
    weights[columns] += change.astype(np.float32)
    correct = probabilities.argmax(axis=1) == y
    threshold = cal.abstention_threshold(probabilities.max(axis=1), correct, default.target_accuracy)
    moved = replace(
        default,
        heads={**default.heads, "sentiment": replace(head, weights=weights, bias=head.bias + shift)},
        calibrations={cal.POOLED: cal.fit_calibration(left_out, y)},
        # A few hundred texts cannot show that less confidence is enough than the default asks for; and where no share
        # of them is right often enough, nothing is sure enough.
        abstain_below=1.0 if threshold is None else max(threshold, default.abstain_below),
        abstain_by_language={},
        origin="client",
        soft_confusion={cal.POOLED: cal.soft_confusion(probabilities, y)},
    )
    figures = sentiment_figures(probabilities, y, codes, moved.abstain_below)
    # What is stored is what is scored with, so the weights pass through their stored precision here already.
    return SentimentModel.from_arrays(replace(moved, figures={**default.figures, "client": figures}).to_arrays())


def _log_loss(probabilities: Array, y: Ints) -> float:
    return float(-np.log(np.clip(probabilities[np.arange(y.size), y], 1e-9, 1)).mean())
