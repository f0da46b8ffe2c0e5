"""Whether what the model says of its own weeks hangs together: residuals, baseline, what was learned, stability.

Checks of residuals use this: if (parameters, data) come from the model, the residuals at one posterior draw are exactly
the model's noise, whatever was learned from the same data; their p-values need no refit and no approximation, and their
mean over draws errs to the safe side. Source: Johnson (2007), Bayesian model assessment using pivotal quantities.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.checks.check import Check, judged, unknown
from liftos_pipelines.modules.causal.checks.gate import Gate
from liftos_pipelines.modules.causal.engine.prior import effect_scale
from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.design import Design
from liftos_pipelines.modules.causal.spec import ModelSpec

if TYPE_CHECKING:
    import arviz as az

DRAWS, REPLICATES = 100, 1000
BLOCK = 13
"""Weeks over which a lasting departure is looked for."""
SHIFT = 0.1
"""A channel learned something when its effect's posterior sd or mean moved by a tenth of the prior's sd."""


def noise(fitted: Fitted) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Residuals in units of their noise: of the mean over geos (n_draws, n_weeks), of each geo about that mean
    (n_draws, n_geos, n_weeks), and the expected y of the weeks (n_weeks,)."""
    design, draws = fitted.design, fitted.draws.thin(DRAWS)
    assert draws.beta is not None
    _, geos, _ = design.shape
    base = (draws.beta @ design.baseline.T).reshape(len(draws), *design.y.shape)
    left = fitted.media.residual(draws) - base
    mean = left.mean(axis=1)
    national = mean * np.sqrt(geos) / np.sqrt(draws.sigma**2 + geos * draws.week_sigma**2)[:, None]
    own = (left - mean[:, None]) / draws.sigma[:, None, None]
    return national, own, (design.y[None] - left).mean(axis=(0, 1))


def posterior_predictive(fitted: Fitted, gate: Gate, seed: int) -> Check:
    """Smallest Bayesian p-value of several discrepancies over time and geos, times their number (Bonferroni).

    Over time: spread that changes from the first half to the second, spread that grows with the level, a long tail, a
    skew, a quarter of a year that stays above or below. Over geos: one that is noisier than the others, one that leaves
    for a quarter of a year, a long tail.
    """
    national, own, level = noise(fitted)
    rng = np.random.default_rng([seed, 12])
    alike = rng.standard_normal((REPLICATES, national.shape[1]))
    p = _p_values(_over_time(national, level), _over_time(alike, level))
    if own.shape[1] > 1:
        alike = rng.standard_normal((REPLICATES, *own.shape[1:]))
        alike -= alike.mean(axis=1, keepdims=True)
        p |= _p_values(_over_geos(own), _over_geos(alike))
    worst = min(p, key=lambda name: p[name])
    value = min(1.0, len(p) * p[worst])
    detail = f"p-value of {len(p)} discrepancies together; worst: {worst} ({p[worst]:.3g})"
    return judged("posterior_predictive", value, gate, detail, n=len(p))


def _over_time(z: FloatArray, level: FloatArray) -> dict[str, FloatArray]:
    """Discrepancies of series (n, n_weeks), each (n,)."""
    half = z.shape[1] // 2
    size = np.abs(z) - np.abs(z).mean(axis=1, keepdims=True)
    out = {
        "noise changes over time": np.log((z[:, :half] ** 2).mean(axis=1) / (z[:, half:] ** 2).mean(axis=1)),
        "largest residual": np.abs(z).max(axis=1),
        "skewed residuals": (z**3).mean(axis=1),
        "weeks that stay off": np.abs(_blocks(z)).max(axis=1),
    }
    if level.std() > 0:
        out["noise grows with the level"] = size @ ((level - level.mean()) / level.std())
    return out


def _over_geos(own: FloatArray) -> dict[str, FloatArray]:
    spread = np.log((own**2).mean(axis=2))
    return {
        "a geo noisier than the others": np.abs(spread - spread.mean(axis=1, keepdims=True)).max(axis=1),
        "a geo that stays off": np.abs(_blocks(own)).max(axis=(1, 2)),
        "largest residual of a geo": np.abs(own).max(axis=(1, 2)),
    }


def _blocks(z: FloatArray) -> FloatArray:
    """(..., n_weeks) -> (..., n_blocks): sums over blocks in units of their own noise."""
    count = max(z.shape[-1] // BLOCK, 1)
    edges = np.linspace(0, z.shape[-1], count + 1).astype(int)
    sums = np.add.reduceat(z, edges[:-1], axis=-1)
    return np.asarray(sums / np.sqrt(np.diff(edges)))


def _p_values(seen: dict[str, FloatArray], null: dict[str, FloatArray]) -> dict[str, float]:
    """Two-sided p-value of each statistic, averaged over draws."""
    out = {}
    for name, values in seen.items():
        drawn = np.sort(null[name])
        above = 1 - np.searchsorted(drawn, values, side="left") / len(drawn)
        below = np.searchsorted(drawn, values, side="right") / len(drawn)
        two = np.minimum(2 * np.minimum(above, below), 1)
        out[name] = max(float(two.mean()), 1 / len(drawn))
    return out


def residual_checks(fitted: Fitted, gate: Gate, seed: int) -> list[Check]:
    """Lag-1 correlation of residuals, and Ljung-Box over 4 to 8 lags; of the mean over geos where there are several.

    Source: Ljung and Box (1978), On a measure of lack of fit in time series models.
    """
    national, _, _ = noise(fitted)
    weeks = national.shape[1]
    mean = national.mean(axis=0)
    mean = mean - mean.mean()
    first = float(mean[1:] @ mean[:-1] / (mean @ mean))
    lags = int(np.clip(weeks // 12, 4, 8))
    alike = np.random.default_rng([seed, 13]).standard_normal((REPLICATES, weeks))
    null, seen = np.sort(_ljung_box(alike, lags)), _ljung_box(national, lags)
    p = max(float((1 - np.searchsorted(null, seen) / len(null)).mean()), 1 / len(null))
    return [
        judged(
            "residual_autocorrelation",
            first,
            gate,
            "lag 1; far from 0, intervals are too narrow",
            by=abs(first),
            n=weeks,
        ),
        judged("ljung_box", p, gate, f"p-value over {lags} lags; Q {float(np.mean(seen)):.1f}", n=weeks),
    ]


def _ljung_box(z: FloatArray, lags: int) -> FloatArray:
    n = z.shape[1]
    size = (z**2).sum(axis=1)
    terms = [((z[:, k:] * z[:, :-k]).sum(axis=1) / size) ** 2 / (n - k) for k in range(1, lags + 1)]
    return np.asarray(n * (n + 2) * np.sum(terms, axis=0))


def negative_baseline(fitted: Fitted, gate: Gate) -> Check:
    """Probability that media would explain more than all of the outcome over the whole time."""
    design, draws = fitted.design, fitted.draws.thin(500)
    media = sum(fitted.gained(draws, c).sum(axis=(1, 2)) for c in range(len(design.channels)))
    probability = float((design.outcome.sum() - media < 0).mean())
    return judged("negative_baseline", probability, gate, "P(total outcome less media < 0)", n=len(draws))


def multicollinearity(fitted: Fitted, gate: Gate) -> Check:
    """Largest variance inflation factor of carried-over media, given the baseline and the other channels."""
    design = fitted.design
    channels, geos, weeks = design.shape
    few = fitted.draws.thin(50)
    media = np.stack([fitted.media.saturated(few, c).mean(axis=0) for c in range(channels)]).reshape(channels, -1).T
    centred = media - media.mean(axis=0)
    media /= np.maximum(np.linalg.norm(centred, axis=0), 1e-12)
    left = media - design.baseline @ np.linalg.lstsq(design.baseline, media, rcond=None)[0]
    # What the others leave of a channel is the reciprocal of the inverse's diagonal; a little ridge keeps twins finite.
    rest = 1 / np.diag(np.linalg.inv(left.T @ left + 1e-9 * np.eye(channels)))
    factors = 1 / np.clip(rest, 1e-9, 1)
    worst = int(np.argmax(factors))
    detail = f"largest variance inflation factor: {design.channels[worst]}"
    return judged("multicollinearity", float(factors[worst]), gate, detail, n=geos * weeks)


def prior_posterior_shift(data: az.InferenceData, design: Design, spec: ModelSpec) -> Check:
    """Share of channels whose effect the data moved or narrowed against its prior; names those it did not."""
    prior = effect_scale(design, spec)
    effect = data.posterior["log_effect"].to_numpy().reshape(-1, len(design.channels))
    moved = np.abs(effect.mean(axis=0) - prior.mu) / prior.sd > SHIFT
    narrowed = effect.std(axis=0) < (1 - SHIFT) * prior.sd
    learned = moved | narrowed
    silent = [name for name, yes in zip(design.channels, learned, strict=True) if not yes]
    detail = f"share of channels; the data say little about: {', '.join(silent) or 'no channel'}"
    return judged("prior_posterior_shift", float(learned.mean()), spec.gate, detail, n=len(learned))


def refit_stability(data: az.InferenceData, gate: Gate) -> Check:
    """How far a channel's effect moved when the newest weeks came in, in posterior sd of the fit without them.

    If the model is right, more data move a posterior mean by less than that sd: the variance of the move is what the
    posterior's own variance shrinks by.
    """
    if "predictions" not in data.groups():
        return unknown("refit_stability", gate, "no back-test: causal.holdout_weeks or causal.folds is 0")
    without = data.predictions["roi_effect"].to_numpy()[0]
    effect = data.posterior["log_effect"].to_numpy().reshape(-1, without.shape[1])
    moved = np.abs(effect.mean(axis=0) - without.mean(axis=0)) / without.std(axis=0)
    worst = int(np.argmax(moved))
    name = str(data.predictions["channel"].to_numpy()[worst])
    detail = f"posterior sd by which the effect of {name} moved with the newest {data.predictions.sizes['ahead']} weeks"
    return judged("refit_stability", float(moved[worst]), gate, detail, n=len(moved))


def champion_stability(data: az.InferenceData, gate: Gate) -> Check:
    """How far a channel's effect lies from where the served model has it, in that model's posterior sd."""
    reference: dict[str, Any] = json.loads(data.attrs.get("reference", "null")) or {}
    served = reference.get("log_effect", {})
    names = [str(name) for name in data.posterior["channel"].to_numpy()]
    both = [name for name in names if name in served]
    if not both:
        return unknown("champion_stability", gate, reference.get("why") or "no model is served yet")
    effect = data.posterior["log_effect"]
    moved = {
        name: abs(float(effect.sel(channel=name).mean()) - served[name]["mean"]) / served[name]["sd"] for name in both
    }
    worst = max(moved, key=lambda name: moved[name])
    detail = f"posterior sd by which the effect of {worst} differs from that of version {reference['version']}"
    return judged("champion_stability", moved[worst], gate, detail, n=len(both))
