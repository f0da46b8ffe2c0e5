"""Whether newest weeks came as foreseen: standardised one-step-ahead forecast errors and a scan for a lasting break.

Each new week is foreseen from the weeks before it; its place in that forecast (PIT), as a normal score, is independent
N(0, 1) from week to week when the model holds. A level that breaks at week j leaves a known signature in these scores
(the baseline follows it, so it fades); the scan takes the largest correlation with any start. Scores are cut off at
`CUT`, so that one odd week is not a break. Thresholds come from simulation of the same scan and spend ALPHA evenly over
`LOOKS` weekly looks: looking again each week does not inflate false alarms.
Sources: Dawid (1984), Statistical theory: the prequential approach; Lai (1995), Sequential changepoint detection;
Lan and DeMets (1983) for the spending.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from liftos_pipelines.modules.causal.engine import marginal
from liftos_pipelines.modules.causal.engine.draws import Draws, Media
from liftos_pipelines.modules.causal.engine.transforms import FloatArray

ALPHA, LOOKS = 0.05, 13
"""False alarms between two full fits, over as many weekly looks; later looks go on at the same rate."""
CUT = 2.5
SHORTEST = 2
"""Weeks that a break has lasted at least."""
LONGEST = 26
"""Weeks back that a break's start is looked for."""
SIMULATIONS = 8000
MOST_DRAWS = 400


@dataclass(frozen=True, kw_only=True)
class Errors:
    """One-step-ahead errors of the newest weeks, all geos together.

    `pit` and `z` (n_new,); `signature` (n_new, n_new): column j, what a unit break of the level from new week j on
    leaves in z.
    """

    pit: FloatArray
    z: FloatArray
    signature: FloatArray


@dataclass(frozen=True, kw_only=True)
class Scan:
    """`score` of the last look, its `threshold`, and `alarm`: any look since the full fit went above its own. `p_value`
    is of the last look, times LOOKS; None with fewer than `SHORTEST` weeks. `start`: new week at which the likeliest
    break began, `direction` its sign."""

    score: float | None
    threshold: float | None
    p_value: float | None
    alarm: bool
    start: int | None
    direction: int | None


def one_step_errors(media: Media, draws: Draws, new: int) -> Errors:
    """Standardised forecast errors of the newest `new` weeks, each given all weeks before it.

    `draws` are of the posterior before those weeks; they are reweighted as the weeks come in.
    """
    design = media.design
    _, geos, weeks = design.shape
    draws = draws.thin(MOST_DRAWS)
    seen = marginal.window(design.baseline, geos, weeks, new)
    block = seen.mean
    residual = np.sqrt(geos) * media.residual(draws).mean(axis=1)
    variance = draws.sigma**2 + geos * draws.week_sigma**2
    columns = np.sqrt(geos) * design.baseline.reshape(geos, weeks, -1).mean(axis=0)[-new:, block.columns]
    rotated = columns @ block.right
    q = block.d2.size
    shrunk = np.sqrt(block.d2) * (residual @ block.u) / (block.d2 + variance[:, None])
    surprise = residual[:, -new:] - shrunk @ rotated[:, :q].T
    spread = variance[:, None] / (block.d_all**2 + variance[:, None])
    # (n_draws, new, new): of new weeks given old ones
    covariance = np.einsum("iq,sq,jq->sij", rotated, spread, rotated) + variance[:, None, None] * np.eye(new)
    root = np.linalg.cholesky(covariance)
    innovation = np.linalg.solve(root, surprise[..., None])[..., 0]
    scale = np.diagonal(root, axis1=1, axis2=2)
    log_density = np.cumsum(-0.5 * innovation**2 - np.log(scale), axis=1)
    before = np.hstack([np.zeros((len(draws), 1)), log_density[:, :-1]])
    weight = np.exp(before - before.max(axis=0))
    weight /= weight.sum(axis=0)
    pit = (weight * ndtr(innovation)).sum(axis=0)
    middle = np.linalg.cholesky(np.median(covariance, axis=0))
    steps = np.tril(np.ones((new, new)))
    return Errors(
        pit=pit,
        z=np.asarray(ndtri(np.clip(pit, 1e-12, 1 - 1e-12))),
        signature=np.asarray(np.linalg.solve(middle, steps)),
    )


@dataclass(frozen=True, kw_only=True)
class Look:
    """One weekly look: `shapes` (n_weeks, n_starts) of unit length, the `threshold` of the score, and the scores of
    chance, ascending, among paths that have not crossed before."""

    shapes: FloatArray
    first_start: int
    threshold: float
    chance: FloatArray


def boundaries(signature: FloatArray, seed: int = 0) -> list[Look]:
    """Looks at two new weeks, at three, and so on up to all of `signature` (n_new, n_new)."""
    new = len(signature)
    normal = np.random.default_rng([seed, new]).standard_normal((SIMULATIONS, new))
    chance = np.clip(normal, -CUT, CUT)
    # Each look may spend as much of all paths, among those that have not crossed before.
    most = int(SIMULATIONS * ALPHA / LOOKS)
    looks = []
    for weeks in range(SHORTEST, new + 1):
        shapes = _shapes(signature, weeks)
        scores = np.abs(chance[:, :weeks] @ shapes).max(axis=1)
        ascending = np.sort(scores)
        threshold = float(ascending[-(most + 1)])
        looks.append(Look(shapes=shapes, first_start=max(0, weeks - LONGEST), threshold=threshold, chance=ascending))
        chance = chance[scores <= threshold]
    return looks


def judge(z: FloatArray, looks: list[Look]) -> Scan:
    """Scores of all looks so far, oldest first, against their thresholds; `z` (n_new,)."""
    if not looks:
        return Scan(score=None, threshold=None, p_value=None, alarm=False, start=None, direction=None)
    z = np.clip(z, -CUT, CUT)
    by_look = [z[: len(look.shapes)] @ look.shapes for look in looks]
    alarm = any(np.abs(scores).max() > look.threshold for scores, look in zip(by_look, looks, strict=True))
    last, scores = looks[-1], by_look[-1]
    best = int(np.abs(scores).argmax())
    score = float(np.abs(scores[best]))
    above = len(last.chance) - int(np.searchsorted(last.chance, score))
    return Scan(
        score=score,
        threshold=last.threshold,
        p_value=min(1.0, LOOKS * (above + 1) / (SIMULATIONS + 1)),
        alarm=alarm,
        start=last.first_start + best,
        direction=int(np.sign(scores[best])),
    )


def scan_for_break(errors: Errors, seed: int = 0) -> Scan:
    """Largest correlation of the errors with a break's signature, against what chance gives at each look."""
    return judge(errors.z, boundaries(errors.signature, seed))


def _shapes(signature: FloatArray, look: int) -> FloatArray:
    """(look, n_starts), unit-length signatures of breaks that have lasted `SHORTEST` to `LONGEST` weeks."""
    starts = signature[:look, max(0, look - LONGEST) : look - SHORTEST + 1]
    return np.asarray(starts / np.linalg.norm(starts, axis=0))
