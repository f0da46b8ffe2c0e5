"""Score tests of a fitted model: would another term in the mean explain what the model leaves?

For a linear Gaussian model y = mu + e, e ~ N(0, S), the residual r = y - E[mu | y] has the covariance S - V, where V
is the posterior covariance of mu. So for a direction z that was left out, z' S^-1 r has mean 0 and a variance known
from the posterior itself, priors and the freedom of the media's parameters included; no refit is needed. The baseline's
part of V is exact, the media's is that of the draws. Several directions are tested together by the largest of their
statistics, whose distribution is simulated with their correlations.

Source: Rao (1948), Large sample tests of statistical hypotheses; White (1994), Estimation, inference and specification
analysis, for the reading as specification tests; Bayesian residual covariance after Gelman et al. (2013), section 14.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.engine.transforms import FloatArray

DRAWS = 1000
SIMULATIONS = 2000
TESTABLE = 0.3
"""Directions of which the media's freedom leaves less than this share cannot be told from it: not tested. Their draws
are neither many nor normal enough to say how much is left."""
SPANNED = 1e-3
"""Likewise where the baseline itself leaves less than this share."""


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """What the model leaves, in units of the noise; n runs over weeks within geos.

    `residual` (n,); `basis` (n, q), orthonormal, and `shrink` (q,): the baseline explains basis shrink basis' of a
    vector; `moved` (n_draws, n): the media's draws about their mean, after the baseline has adjusted to each; `whiten`
    (2,): factor of a cell's own part and of the part that all geos share in a week.
    """

    residual: FloatArray
    basis: FloatArray
    shrink: FloatArray
    moved: FloatArray
    geos: int
    whiten: tuple[float, float]

    def white(self, values: FloatArray) -> FloatArray:
        """(..., n_geos, n_weeks) -> (..., n): values in units of independent unit noise."""
        own, shared = self.whiten
        mean = values.mean(axis=-2, keepdims=True)
        out = (values - mean) * own + mean * shared
        return out.reshape(*values.shape[:-2], -1)

    def adjusted(self, rows: FloatArray) -> FloatArray:
        """(..., n) rows after the baseline has explained what it can of them."""
        return rows - (rows @ self.basis * self.shrink) @ self.basis.T

    def covariance(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What the baseline leaves of rows' variance, and what of that the media take, both (k, k).

        Their difference is the covariance of rows @ residual if the model holds. `rows` (k, n) in white units.
        """
        freed = self.moved @ rows.T
        return np.asarray(self.adjusted(rows) @ rows.T), np.asarray(freed.T @ freed / len(freed))


def leftover(fitted: Fitted) -> Leftover:
    """Residuals of a fit, at the posterior mean of the noise."""
    design, draws = fitted.design, fitted.draws.thin(DRAWS)
    _, geos, weeks = design.shape
    variance = float((draws.sigma**2).mean())
    common = variance + geos * float((draws.week_sigma**2).mean())
    whiten = (1 / np.sqrt(variance), 1 / np.sqrt(common))
    empty = np.empty(0)
    frame = Leftover(residual=empty, basis=empty, shrink=empty, moved=empty, geos=geos, whiten=whiten)
    columns = frame.white(design.baseline.T.reshape(-1, geos, weeks))
    _, d, basis = np.linalg.svd(columns, full_matrices=False)
    shrink = d**2 / (d**2 + 1)
    media = frame.white(fitted.media.total(draws).reshape(-1, geos, weeks))
    frame = Leftover(residual=empty, basis=basis.T, shrink=shrink, moved=empty, geos=geos, whiten=whiten)
    mean = media.mean(axis=0)
    return Leftover(
        residual=frame.adjusted(frame.white(design.y) - mean),
        basis=basis.T,
        shrink=shrink,
        moved=frame.adjusted(media - mean),
        geos=geos,
        whiten=whiten,
    )


@dataclass(frozen=True, kw_only=True)
class Scores:
    """`z` (k,), each standard normal if the model holds; `correlation` (k, k); `rows`: directions that were tested."""

    z: FloatArray
    correlation: FloatArray
    rows: tuple[int, ...]


def score(left: Leftover, directions: FloatArray) -> Scores:
    """Test directions (k, n_geos, n_weeks), each an additive term that the model does not have."""
    rows = left.white(directions)
    size = np.sqrt((rows**2).sum(axis=1))
    kept = np.flatnonzero(size > 0)
    rows = rows[kept] / size[kept, None]
    beside, freed = left.covariance(rows)
    testable = (np.diag(beside) > SPANNED) & (np.diag(freed) < (1 - TESTABLE) * np.diag(beside))
    rows, kept, covariance = rows[testable], kept[testable], (beside - freed)[np.ix_(testable, testable)]
    sd = np.sqrt(np.diag(covariance))
    return Scores(
        z=rows @ left.residual / sd, correlation=covariance / np.outer(sd, sd), rows=tuple(int(i) for i in kept)
    )


def largest_p_value(scores: Scores, seed: int) -> float:
    """P(largest |z| is as large as seen), the directions' correlations kept; 1 without a direction."""
    if not len(scores.z):
        return 1.0
    drawn = np.abs(normal_draws(scores.correlation, SIMULATIONS, seed)).max(axis=1)
    return float((1 + (drawn >= np.abs(scores.z).max()).sum()) / (SIMULATIONS + 1))


def squares_p_value(scores: Scores, seed: int) -> float:
    """P(sum of z squared is as large as seen), correlations kept; 1 without a direction.

    Stronger than the largest where several directions are left out at once.
    """
    if not len(scores.z):
        return 1.0
    drawn = (normal_draws(scores.correlation, SIMULATIONS, seed) ** 2).sum(axis=1)
    return float((1 + (drawn >= (scores.z**2).sum()).sum()) / (SIMULATIONS + 1))


def normal_draws(covariance: FloatArray, count: int, seed: int) -> FloatArray:
    """(count, k), normal with this covariance, whose negative eigenvalues (of simulation error) count as 0."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    factor = vectors * np.sqrt(np.clip(values, 0, None))
    return np.asarray(np.random.default_rng(seed).standard_normal((count, len(covariance))) @ factor.T)
