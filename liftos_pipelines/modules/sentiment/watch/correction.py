"""Net sentiment freed of the classifier's pull: what each probability must count for, by language.

A classifier that is unsure spreads its probabilities, so their mean is pulled towards the balance of classes it was
calibrated on, and a fall looks smaller than it is. With M the mean probability vector of each true class
(`SoftConfusion`), a mean of probabilities has expectation q M for class shares q, whatever q is. The scores v with
M v = (-1, 0, 1) make every mention's p . v an unbiased measure of its own class, so that means of it are unbiased under
any shift of shares.
Sources: Bella et al. (2010), Quantification via probability estimators; Hopkins and King (2010), A method of automated
nonparametric content analysis for social science.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.sentiment.reading.calibration import POOLED, SoftConfusion

Array = NDArray[np.float64]

CLASS_VALUES = np.array([-1.0, 0.0, 1.0])
"""What a mention of each class counts for: negative, neutral, positive."""
MOST = 6.0
"""Largest weight a probability may get. Beyond it, M says that the classifier hardly tells the classes apart, and
undoing its pull would be mostly noise: less is undone then."""
RIDGES = (0.0, *np.geomspace(1e-6, 1.0, 121))
PULL = 50.0
"""A language's matrix is drawn to the pooled one as if so many pooled texts a class were among its own."""
LEAST = 20.0
"""Texts a class that a matrix must rest on, in its language and pooled together."""

FULL, PARTIAL, NONE = "full", "partial", "none"


@dataclass(frozen=True, kw_only=True)
class Correction:
    """`scores` (3,): a mention counts p . scores; `kind` full, partial or none.

    `matrix` (3, 3) the soft confusion they came from, `texts` (3,) how many texts of each class it rests on, `ridge`
    how much its inverse was held back; the first two None without a correction.
    """

    scores: Array
    kind: str
    matrix: Array | None = None
    texts: Array | None = None
    ridge: float = 0.0

    def error(self, mean: Array, spread: float) -> float:
        """Standard error that the calibration's own sample adds to a mean of p . scores.

        Parameters
        ----------
        mean : (3,) mean probability vector of the mentions averaged over
        spread : variance of p . scores among them

        A class's mean of p . scores has variance (variance within the class) / texts; it enters with the class's share
        (delta method). The variance within a class is at most that of drawing a class by its mean probabilities,
        and about what the mentions' own spread leaves when that between their classes is taken off.
        """
        if self.matrix is None or self.texts is None:
            return 0.0
        shares = np.clip(_ridge_inverse(self.matrix.T, self.ridge) @ mean, 0.0, 1.0)
        shares = shares / shares.sum() if shares.sum() > 0 else np.full(3, 1 / 3)
        expected = self.matrix @ self.scores
        most = self.matrix @ self.scores**2 - expected**2
        between = float(shares @ expected**2 - (shares @ expected) ** 2)
        within = np.minimum(most, max(spread - between, 0.1 * float(most.mean())))
        return float(np.sqrt((shares**2 * within / self.texts).sum()))


UNCORRECTED = Correction(scores=CLASS_VALUES, kind=NONE)


def corrections(confusion: Mapping[str, SoftConfusion] | None) -> dict[str, Correction]:
    """A correction for each language that has a soft confusion, and `pooled` for the rest; empty without any.

    Where M is so near to singular that a weight would exceed `MOST`, its inverse is held back (ridge, Tikhonov 1963)
    just so far that none does: kind `partial`. Too few texts of a class: kind `none`.
    """
    if not confusion:
        return {}
    pooled = confusion.get(POOLED)
    out = {}
    for language, own in confusion.items():
        if pooled is None or language == POOLED:
            matrix, texts = np.asarray(own.matrix, dtype=float), np.asarray(own.counts, dtype=float)
        else:
            matrix, texts = _drawn(own, pooled)
        out[language] = _solved(matrix, texts)
    return out


def correction_for(language: str, known: Mapping[str, Correction]) -> Correction:
    """The language's own correction, else the pooled one, else none."""
    return known.get(language) or known.get(POOLED) or UNCORRECTED


def _drawn(own: SoftConfusion, pooled: SoftConfusion) -> tuple[Array, Array]:
    """The language's matrix with `PULL` pooled texts a class among its own; texts a class that it rests on."""
    counts = np.asarray(own.counts, dtype=float)[:, None]
    extra = np.minimum(PULL, np.asarray(pooled.counts, dtype=float))[:, None]
    mixed = np.nan_to_num(own.matrix) * counts + np.nan_to_num(pooled.matrix) * extra
    together = counts + extra
    with np.errstate(invalid="ignore", divide="ignore"):
        return mixed / together, together[:, 0]


def _solved(matrix: Array, texts: Array) -> Correction:
    if not np.isfinite(matrix).all() or (texts < LEAST).any():
        return UNCORRECTED
    for ridge in RIDGES:
        scores = _ridge_inverse(matrix, ridge) @ CLASS_VALUES
        if np.abs(scores).max() <= MOST:
            return Correction(
                scores=scores, kind=PARTIAL if ridge else FULL, matrix=matrix, texts=texts, ridge=float(ridge)
            )
    return UNCORRECTED


def _ridge_inverse(matrix: Array, ridge: float) -> Array:
    """(M'M + ridge I)^-1 M': the inverse, with the directions in which M tells classes hardly apart held back."""
    left, sizes, right = np.linalg.svd(matrix)
    held = np.where(sizes > 1e-9, sizes / (sizes**2 + ridge + 1e-15), 0.0)
    return (right.T * held) @ left.T
