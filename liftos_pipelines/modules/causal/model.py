"""The marketing-mix model in PyMC, its linear-Gaussian baseline integrated out, and its unmarginalised twin.

With X = U D V' the baseline's design and r = y - media, the baseline's coefficients integrate out exactly:

    cov(r) = X X' + s2 I,   log|cov| = sum log(D^2 + s2) + (n - q) log s2,
    r' cov^-1 r = (r'r - p'p) / s2 + sum p^2 / (D^2 + s2),   p = U'r

so that the sampler sees only the media parameters and the noise. U and D^2 are data: the validation fit swaps them
(and the mask of weeks) in the compiled model instead of compiling another.

The media parameters' prior is on what is asked: total contribution, as ROI x spend where revenue is known and as a
share of the outcome where it is not. The coefficient b_c follows from it, the carry-over and the saturation.
Source of ROI priors: Zhang et al. (2024), Media mix model calibration with Bayesian priors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from liftos_pipelines.modules.causal.design import Design
from liftos_pipelines.modules.causal.lift import LiftTests
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.modules.causal.transforms import FloatArray, lag_tensor

if TYPE_CHECKING:
    import pymc as pm

# Prior of the half-saturation point (or the logistic rate), in units of the median positive exposure: LogNormal.
SHAPE_PRIOR = {"hill": (float(np.log(0.9)), 0.7), "logistic": (float(np.log(1.2)), 0.7)}
NOISE_PRIOR = 2.0


@dataclass(frozen=True, kw_only=True)
class EffectPrior:
    """Prior of a channel's total contribution: unit x LogNormal(mu, sd), weighed by `value` (n_geos, n_weeks).

    `unit` (n_channels,) is spend for an ROI and the total outcome for a share; `value` (n_channels, n_geos, n_weeks)
    is what one unit of y is worth, in the same money or outcome.
    """

    unit: FloatArray
    mu: FloatArray
    sd: FloatArray
    value: FloatArray


@dataclass(frozen=True, kw_only=True)
class Window:
    """What the likelihood sees: the baseline's factors with zero rows outside the mask. Shapes do not depend on it."""

    mask: FloatArray
    u: FloatArray
    d2: FloatArray
    v: FloatArray
    n: float

    def as_data(self) -> dict[str, FloatArray]:
        return {"mask": self.mask, "u": self.u, "d2": self.d2, "n": np.array(self.n)}


def effect_prior(design: Design, spec: ModelSpec) -> EffectPrior:
    """ROI priors for paid channels where revenue is known, shares of the outcome otherwise.

    Raises
    ------
    ValueError : `roi_priors` names a channel that is not there
    """
    channels, geos, weeks = design.shape
    strange = sorted(set(spec.roi_priors) - set(design.channels[: design.paid]))
    if strange:
        raise ValueError(
            f"causal.roi_priors names {', '.join(strange)}, not among the paid channels of the model: "
            f"{', '.join(design.channels[: design.paid])}"
        )
    heads = np.broadcast_to(design.unit, (geos, weeks))
    total = float(design.outcome.sum())
    unit, mu, sd, value = np.empty(channels), np.empty(channels), np.empty(channels), np.empty((channels, geos, weeks))
    spend = design.spend.sum(axis=(1, 2))
    for c, name in enumerate(design.channels):
        value[c] = heads
        if c < design.paid and design.price is not None:
            prior = spec.roi_priors.get(name, spec.roi_prior)
            unit[c], mu[c], sd[c] = spend[c], np.log(prior.median), prior.sigma
            value[c] = heads * design.price
        elif c < design.paid:
            unit[c], mu[c], sd[c] = total * spend[c] / spend.sum(), np.log(spec.media_share), spec.share_sigma
        else:
            unit[c], mu[c], sd[c] = total, np.log(spec.organic_share), spec.share_sigma
    return EffectPrior(unit=unit, mu=mu, sd=sd, value=value)


def window(design: Design, last_weeks_out: int = 0) -> Window:
    """The likelihood's view of all weeks but the newest `last_weeks_out`."""
    _, geos, weeks = design.shape
    mask = np.ones((geos, weeks))
    if last_weeks_out:
        mask[:, weeks - last_weeks_out :] = 0
    rows = mask.ravel() > 0
    u, d, vt = np.linalg.svd(design.baseline[rows], full_matrices=False)
    full = np.zeros((geos * weeks, u.shape[1]))
    full[rows] = u
    return Window(mask=mask.ravel(), u=full, d2=d**2, v=vt.T, n=float(rows.sum()))


def build_model(design: Design, spec: ModelSpec, lift: LiftTests | None = None, *, marginal: bool = True) -> pm.Model:
    """The PyMC model; `marginal=False` gives the twin that samples the baseline's coefficients `beta` too."""
    import pymc as pm
    import pytensor.tensor as pt

    channels, geos, weeks = design.shape
    prior, seen = effect_prior(design, spec), window(design)
    coords = {"channel": design.channels, "geo": design.geos, "baseline": design.columns}
    lags = lag_tensor(design.x, spec.max_lag).reshape(channels, geos * weeks, spec.max_lag + 1)
    with pm.Model(coords=coords) as model:

        def data(name: str, values: FloatArray) -> Any:
            # A static shape lets the compiler specialise although the values can be swapped.
            return pm.Data(name, values, shape=np.shape(values))

        retention = pm.Uniform("retention", 0.0, 1.0, dims="channel")
        shape = pm.LogNormal("shape", *SHAPE_PRIOR[spec.saturation], dims="channel")
        log_effect = pm.Normal("log_effect", prior.mu, prior.sd, dims="channel")
        sigma = pm.HalfNormal("sigma", NOISE_PRIOR)

        powers = retention[:, None] ** np.arange(spec.max_lag + 1.0)[None, :]
        weights = powers / powers.sum(axis=1, keepdims=True)
        carried = (data("lags", lags) * weights[:, None, :]).sum(axis=-1)
        saturated = _saturate(pt, spec, carried, shape[:, None]).reshape((channels, geos, weeks))
        geo_effect = None
        if geos > 1:
            geo_spread = pm.HalfNormal("geo_spread", spec.media_geo_sd, dims="channel")
            geo_offset = pm.Normal("geo_offset", 0.0, 1.0, dims=("channel", "geo"))
            geo_effect = pt.exp(geo_spread[:, None] * geo_offset)
            saturated = saturated * geo_effect[:, :, None]
        worth = (saturated * data("value", prior.value)).sum(axis=(1, 2))
        coefficient = pt.exp(log_effect) * prior.unit / worth
        media = (coefficient[:, None, None] * saturated).sum(axis=0).ravel()

        y, mask = data("y", design.y.ravel()), data("mask", seen.mask)
        variance = sigma**2
        if marginal:
            residual = mask * (y - media)
            projected = pt.dot(data("u", seen.u).T, residual)
            d2, n = data("d2", seen.d2), data("n", np.array(seen.n))
            inside = d2 + variance
            quadratic = (pt.dot(residual, residual) - pt.dot(projected, projected)) / variance
            quadratic += (projected**2 / inside).sum()
            determinant = pt.log(inside).sum() + (n - seen.d2.size) * pt.log(variance)
            pm.Potential("outcome", -0.5 * (quadratic + determinant))
        else:
            beta = pm.Normal("beta", 0.0, 1.0, dims="baseline")
            mean = media + pt.dot(data("baseline_design", design.baseline), beta)
            pm.Potential("outcome", (mask * pm.logp(pm.Normal.dist(mean, sigma), y)).sum())
        if lift is not None and len(lift):
            scaled = coefficient[lift.channel]
            gained = _lift(pt, spec, lift, data, weights, shape, geo_effect) * scaled
            effect = pm.Deterministic("lift_mean", gained)
            pm.Normal("lift_tests", effect / lift.std_error, 1.0, observed=lift.effect / lift.std_error)
    return model


def _saturate(pt: Any, spec: ModelSpec, exposure: Any, shape: Any) -> Any:
    if spec.saturation == "hill":
        return exposure / (exposure + shape)
    return pt.tanh(shape * exposure / 2)


def _lift(pt: Any, spec: ModelSpec, lift: LiftTests, data: Any, weights: Any, shape: Any, geo_effect: Any) -> Any:
    """(n_tests,), outcome each test added, per unit of its channel's coefficient."""
    own, curve = weights[lift.channel][:, None, :], shape[lift.channel][:, None]
    with_test = _saturate(pt, spec, (data("lift_lags", lift.lags) * own).sum(axis=-1), curve)
    without = _saturate(pt, spec, (data("lift_lags_without", lift.lags_without) * own).sum(axis=-1), curve)
    gained = (with_test - without) * lift.weight
    if geo_effect is not None:
        gained = gained * geo_effect[lift.channel[:, None], lift.geo]
    return gained.sum(axis=1)
