"""On how little an effect may rest: a few extreme weeks, or a difference between channels that hardly differ."""

from __future__ import annotations

import numpy as np

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.checks.check import Check
from liftos_pipelines.modules.causal.engine.transforms import FloatArray

DRAWS = 1000
ENTANGLED = -0.7
"""Posterior correlation of two channels' logarithmic effects below which the data know mostly their sum."""
TOP_SHARE = 0.03
"""Weeks of largest exposure that are left out together."""
SHIFT = 1.0
"""Posterior standard deviations by which that may move a channel's logarithmic effect."""
LEAST_DRAWS = 30.0


def log_effects(fitted: Fitted) -> FloatArray:
    """(n_draws, n_channels), logarithm of each channel's contribution over all weeks and geos, in units of y."""
    draws = fitted.draws.thin(DRAWS)
    size = fitted.design.scales.size[None, :, None]
    totals = [(fitted.media.contribution(draws, c) * size).sum(axis=(1, 2)) for c in range(len(fitted.design.channels))]
    return np.log(np.maximum(np.stack(totals, axis=1), 1e-300))


def entangled_effects(fitted: Fitted) -> Check:
    """Most negative posterior correlation between two channels' effects: what one gains the other loses.

    Their sum may still be known well; the split between them is then the prior's.
    """
    names = fitted.design.channels
    if len(names) < 2:
        return Check(
            check="entangled_effects", value=None, threshold=ENTANGLED, status="unknown", detail="there is one channel"
        )
    correlation = np.asarray(np.corrcoef(log_effects(fitted).T))
    np.fill_diagonal(correlation, 1.0)
    a, b = np.unravel_index(int(np.argmin(correlation)), correlation.shape)
    worst = float(correlation[a, b])
    return Check(
        check="entangled_effects",
        value=worst,
        threshold=ENTANGLED,
        status="pass" if worst >= ENTANGLED else "warn",
        detail=f"posterior correlation of the effects of {names[a]} and {names[b]}; below the threshold their split is "
        "hardly known",
        n=len(names),
    )


def outlier_leverage(fitted: Fitted) -> Check:
    """How far a channel's effect moves, in posterior sd, without the few weeks of its largest exposure.

    Leaving weeks out is a reweighting of the draws by 1 / p(those weeks | draw). Where the weights collapse the effect
    rests on those weeks altogether, and the shift of the few draws that remain is a lower bound.

    Source: Gelfand, Dey and Chang (1992), Model determination using predictive distributions.
    """
    design, draws = fitted.design, fitted.draws.thin(DRAWS)
    if draws.beta is None:
        return Check(
            check="outlier_leverage", value=None, threshold=SHIFT, status="unknown", detail="the draws have no baseline"
        )
    _, geos, weeks = design.shape
    mean = fitted.media.total(draws) + (draws.beta @ design.baseline.T).reshape(len(draws), geos, weeks)
    error = design.y - mean
    average = error.mean(axis=1)
    own = draws.sigma[:, None] ** 2
    common = own + geos * draws.week_sigma[:, None] ** 2
    within = ((error - average[:, None]) ** 2).sum(axis=1)
    # log p of each week, all geos together: the mean over geos carries the shock that they share.
    density = -0.5 * (within / own + geos * average**2 / common + (geos - 1) * np.log(own) + np.log(common))
    effects = log_effects(fitted)
    centre, spread = effects.mean(axis=0), effects.std(axis=0)
    worst, name, few = 0.0, design.channels[0], np.inf
    top = max(2, round(TOP_SHARE * weeks))
    for c, channel in enumerate(design.channels):
        largest = np.argsort(design.x[c].mean(axis=0))[-top:]
        log_weight = -density[:, largest].sum(axis=1)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        shift = float(abs(weight @ effects[:, c] - centre[c]) / spread[c])
        if shift > worst:
            worst, name, few = shift, channel, float(1 / (weight**2).sum())
    unsure = f"; only {few:.0f} draws stand for that" if few < LEAST_DRAWS else ""
    return Check(
        check="outlier_leverage",
        value=worst,
        threshold=SHIFT,
        status="pass" if worst <= SHIFT else "warn",
        detail=f"posterior sd by which the effect of {name} moves without its {top} largest weeks{unsure}",
        n=top,
    )
