"""Held-out weeks by an expanding window: what the model would have said before it saw them.

Leaving the newest weeks out of a posterior is a reweighting of its draws by 1 / p(those weeks | draw, before); where
Pareto-smoothed weights are trusted that is exact enough, and where they are not the model is sampled again without
those weeks, beginning where the full fit ended.
Sources: Burkner, Gabry & Vehtari (2020), Approximate leave-future-out cross-validation; Vehtari et al. (2024), Pareto
smoothed importance sampling.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from liftos_pipelines.modules.causal.engine.draws import Draws, Media, log_new_weeks, with_baseline
from liftos_pipelines.modules.causal.engine.sampling import Sampled
from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.design import SHOCK, Design
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.modules.causal.watch.monitor import importance_update

if TYPE_CHECKING:
    from liftos_pipelines.modules.causal.engine.fit import Engine

MOST_DRAWS = 500
"""Draws kept of each fold's predictions."""
LEAST_SHARE = 0.5
"""A fold that would see fewer of the weeks than this is not made."""
REFIT_CHAINS, REFIT_TUNE, REFIT_ACCEPT = 2, 150, 0.8
"""Enough for a prediction, which needs no tails of the parameters; half the steps of a fit that is published."""


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Predictions of `ahead` weeks from `first_week` on by a posterior that has seen only the weeks before.

    `outcome` (n_samples, n_geos, n_ahead), noisy replicates; `log_effect` (n_samples, n_channels): effects as known
    then; `method` is `reweighted` or `refit`; `k_hat` and `ess` are of the weights, whichever was taken.
    """

    first_week: date
    method: str
    k_hat: float
    ess: float
    outcome: FloatArray
    log_effect: FloatArray


def holdout_length(weeks: int, spec: ModelSpec) -> int:
    """Newest weeks that one fold does not see."""
    return spec.holdout_weeks if spec.holdout_weeks is not None else int(np.clip(weeks // 10, 4, 13))


def backtest(engine: Engine, sampled: Sampled, draws: Draws) -> list[Fold]:
    """Folds, the newest first; none when `holdout_weeks` is 0 or `folds` is 0."""
    spec, weeks = engine.spec, len(engine.design.weeks)
    held = holdout_length(weeks, spec)
    if not held:
        return []
    cuts = [k * held for k in range(1, spec.folds + 1) if weeks - k * held >= LEAST_SHARE * weeks]
    residual = engine.media.residual(draws)
    return [_fold(engine, sampled, draws, residual, out, held) for out in cuts]


def _fold(engine: Engine, sampled: Sampled, draws: Draws, residual: FloatArray, out: int, held: int) -> Fold:
    spec, design, media = engine.spec, engine.design, engine.media
    rng = np.random.default_rng([spec.seed, 2, out])
    seen = engine.window(out)
    update = importance_update(-log_new_weeks(media, draws, out, residual))
    log_effect = sampled.log_effect.reshape(len(draws), -1)
    if update.trusted or spec.sampler == "pymc":
        method = "reweighted"
        rows = systematic(update.weights, MOST_DRAWS, rng)
        chosen, log_effect = draws.take(rows), log_effect[rows]
        chosen = with_baseline(media, chosen, seen, rng)
    else:
        method = "refit"
        known = sampled.unconstrained
        fresh = engine.sample(
            seen,
            seed=spec.seed + out,
            near=None if known is None else known.reshape(-1, known.shape[-1]),
            chains=REFIT_CHAINS,
            draws=MOST_DRAWS // REFIT_CHAINS,
            tune=REFIT_TUNE,
            target_accept=REFIT_ACCEPT,
        )
        chosen = engine.complete(fresh, seen, spec.seed + out)
        log_effect = fresh.log_effect.reshape(len(chosen), -1)
    position = len(design.weeks) - out
    _, noisy = predict(media, unforeseen(chosen, design), rng)
    return Fold(
        first_week=design.weeks[position],
        method=method,
        k_hat=update.k_hat,
        ess=update.ess,
        outcome=noisy[:, :, position : position + held],
        log_effect=log_effect,
    )


def systematic(weights: FloatArray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of `size` draws by systematic resampling, which adds the least noise of its own."""
    places = (rng.uniform() + np.arange(size)) / size
    return np.minimum(np.searchsorted(np.cumsum(weights), places), len(weights) - 1)


def predict(media: Media, draws: Draws, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Expected outcome and a noisy replicate, both (n_draws, n_geos, n_weeks), in outcome.

    In the multiplicative form the first is the median of the outcome.

    Raises
    ------
    ValueError : the draws have no baseline
    """
    design, beta = media.design, draws.beta
    if beta is None:
        raise ValueError("the draws have no baseline: call with_baseline first")
    _, geos, weeks = design.shape
    mean = media.total(draws) + (beta @ design.baseline.T).reshape(len(draws), geos, weeks)
    noisy = mean + draws.sigma[:, None, None] * rng.standard_normal(mean.shape)
    noisy += draws.week_sigma[:, None, None] * rng.standard_normal((len(draws), 1, weeks))
    return design.to_outcome(mean), design.to_outcome(noisy)


def unforeseen(draws: Draws, design: Design) -> Draws:
    """Nobody who forecasts a week knows that it will be set apart as an incident: those terms are 0."""
    beta = np.array(draws.beta)
    beta[:, [i for i, name in enumerate(design.columns) if name.startswith(SHOCK)]] = 0.0
    return replace(draws, beta=beta)
