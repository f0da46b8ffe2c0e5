"""The marketing-mix model in PyMC: the definition, that the fused kernel repeats and custom models start from.

The baseline is integrated out (see `marginal`), so the sampler sees only the media parameters and the noise;
`marginal=False` gives the twin that samples the baseline's coefficients too. Tests hold the three equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from liftos_pipelines.modules.causal.engine.marginal import Block, window
from liftos_pipelines.modules.causal.engine.packing import has_week_shocks
from liftos_pipelines.modules.causal.engine.prior import MARGIN, NOISE_SD, PLAIN, effect_scale
from liftos_pipelines.modules.causal.engine.structure import Structure, resolve
from liftos_pipelines.modules.causal.engine.transforms import TINY, FloatArray, lag_tensor
from liftos_pipelines.modules.causal.inputs.design import Design
from liftos_pipelines.modules.causal.inputs.lift import LiftTests
from liftos_pipelines.modules.causal.spec import ModelSpec

if TYPE_CHECKING:
    import pymc as pm


def build_model(design: Design, spec: ModelSpec, lift: LiftTests | None = None, *, marginal: bool = True) -> pm.Model:
    """The PyMC model of a design."""
    import pymc as pm
    import pytensor.tensor as pt

    channels, geos, weeks = design.shape
    structure = resolve(spec, design.channels, design.frequency)
    prior, seen = effect_scale(design, spec), window(design.baseline, geos, weeks)
    labels = {
        "share_of": [p.label for p in structure.shares],
        "positive_of": [p.label for p in structure.positives],
    }
    coords = {"channel": design.channels, "geo": design.geos, "baseline": design.columns, **labels}
    with pm.Model(coords={name: values for name, values in coords.items() if len(values)}) as model:
        shares, positives = _forms(pm, structure)
        log_effect = pm.Normal("log_effect", prior.mu, prior.sd, dims="channel")
        sigma = pm.HalfNormal("sigma", NOISE_SD)
        week_sigma: Any = pm.HalfNormal("week_sigma", spec.week_sd) if has_week_shocks(design, spec) else 0.0
        geo_effect: Any = np.ones((channels, geos))
        if geos > 1:
            geo_spread = pm.HalfNormal("geo_spread", spec.media_geo_sd, dims="channel")
            geo_offset = pm.Normal("geo_offset", 0.0, 1.0, dims=("channel", "geo"))
            geo_effect = pt.exp(geo_spread[:, None] * geo_offset)

        graph = _Graph(pt, design, structure, shares, positives)
        responses = [graph.response(c) * geo_effect[c][:, None] for c in range(channels)]
        coefficients = []
        for c in range(channels):
            if prior.code[c] == PLAIN:
                worth: Any = 1.0
            else:
                counted = graph.margin(c) * geo_effect[c][:, None] if prior.code[c] == MARGIN else responses[c]
                worth = (counted * prior.value[c]).sum()
            coefficients.append(pt.exp(log_effect[c]) * prior.unit[c] / worth)
        media = sum(coefficients[c] * responses[c] for c in range(channels))

        residual = seen.mask * (design.y - media)
        if marginal:
            mean = residual.sum(axis=0) / np.sqrt(geos)
            density = _block_density(pt, seen.mean, mean, sigma**2 + geos * week_sigma**2)
            if geos > 1:
                density += _block_density(pt, seen.within, (residual - residual.mean(axis=0)).ravel(), sigma**2)
            pm.Potential("outcome", density)
        else:
            beta = pm.Normal("beta", 0.0, 1.0, dims="baseline")
            expected = media + pt.dot(design.baseline, beta).reshape((geos, weeks))
            if has_week_shocks(design, spec):
                shock = pm.Normal("week_shock", 0.0, 1.0, shape=weeks)
                expected = expected + week_sigma * shock[None, :]
            pm.Potential("outcome", pm.logp(pm.Normal.dist(expected, sigma), design.y).sum())
        if lift is not None and len(lift):
            gained = pt.stack(
                [graph.gained(lift, j, geo_effect) * coefficients[lift.channel[j]] for j in range(len(lift))]
            )
            pm.Deterministic("lift_mean", gained)
            pm.Normal("lift_tests", gained / lift.std_error, 1.0, observed=lift.effect / lift.std_error)
    return model


def _forms(pm: Any, structure: Structure) -> tuple[Any, Any]:
    """The two vectors of form parameters, in the structure's order; None where there is none."""
    shares = positives = None
    if structure.shares:
        a, b = (np.array([getattr(p.shape, side) for p in structure.shares]) for side in ("a", "b"))
        shares = pm.Beta("share", a, b, dims="share_of")
    if structure.positives:
        a, b = (np.array([getattr(p.shape, side) for p in structure.positives]) for side in ("a", "b"))
        positives = pm.LogNormal("positive", a, b, dims="positive_of")
    return shares, positives


def _block_density(pt: Any, block: Block, residual: Any, variance: Any) -> Any:
    projected = pt.dot(block.u.T, residual)
    wide = block.d2 + variance
    outside = (residual**2).sum() - (projected**2).sum()
    quadratic = outside / variance + (projected**2 / wide).sum()
    return -0.5 * (quadratic + pt.log(wide).sum() + (block.n - block.d2.size) * pt.log(variance))


class _Graph:
    """Carry-over and curves of the channels as graph expressions."""

    def __init__(self, pt: Any, design: Design, structure: Structure, shares: Any, positives: Any) -> None:
        self.pt, self.design, self.structure = pt, design, structure
        self.form: list[list[Any]] = [list(row) for row in structure.fixed]
        for group, values in ((structure.shares, shares), (structure.positives, positives)):
            for i, parameter in enumerate(group):
                self.form[parameter.channel][parameter.slot] = values[i]
        self.weights = [self._weights(c) for c in range(len(design.channels))]

    def _weights(self, c: int) -> Any:
        pt, kind, last = self.pt, self.structure.carry[c], self.structure.max_lag
        first, second = self.form[c][:2]
        lag = np.arange(last + 1.0)
        if kind == "none":
            return pt.as_tensor(np.eye(1, last + 1)[0])
        if kind == "geometric":
            log = lag * pt.log(pt.maximum(first, TINY))
        elif kind == "delayed":
            log = (lag - second * last) ** 2 * pt.log(pt.maximum(first, TINY))
        elif kind == "binomial":
            log = (1 / pt.maximum(first, TINY) - 1) * np.log1p(-lag / (last + 1))
        elif kind == "weibull_pdf":
            place = pt.log((lag + 1) / second)
            log = (first - 1) * place - pt.exp(first * place)
        else:
            powers = pt.exp(first * pt.log(np.maximum(lag, TINY) / second))
            log = -pt.cumsum(pt.where(lag > 0, powers, 0.0))
        powers = pt.exp(log - pt.max(log))
        return powers / powers.sum()

    def _curve(self, c: int, exposure: Any) -> Any:
        pt, kind = self.pt, self.structure.curve[c]
        first, second = self.form[c][2:]
        if kind == "none":
            return exposure
        if kind == "michaelis_menten" or (kind == "hill" and isinstance(second, float) and second == 1.0):
            return exposure / (exposure + first)
        if kind == "hill":
            safe = pt.where(exposure > 0, exposure, 1.0)
            power = pt.exp(second * pt.log(safe / first))
            return pt.where(exposure > 0, power / (1 + power), 0.0)
        return pt.tanh(first * exposure / 2) if kind == "logistic" else pt.tanh(exposure / first)

    def _carried(self, c: int, exposure: FloatArray | Any) -> Any:
        lags = self.structure.max_lag + 1
        if isinstance(exposure, np.ndarray):
            return self.pt.dot(lag_tensor(exposure, lags - 1), self.weights[c])
        weeks = self.design.shape[2]
        pad = self.pt.concatenate([self.pt.zeros((exposure.shape[0], lags - 1)), exposure], axis=1)
        return sum(self.weights[c][lag] * pad[:, lags - 1 - lag : lags - 1 - lag + weeks] for lag in range(lags))

    def response(self, c: int) -> Any:
        """(n_geos, n_weeks), saturated carry-over."""
        if self.structure.saturates_first[c]:
            return self._carried(c, self._curve(c, self.design.x[c]) * self.design.multiplier[c])
        return self._curve(c, self._carried(c, self.design.x[c]))

    def margin(self, c: int) -> Any:
        """(n_geos, n_weeks), what one per cent more brings, per per cent."""
        pt = self.pt
        carried = self._carried(c, self.design.x[c])
        value = self._curve(c, carried)
        first, second = self.form[c][2:]
        kind = self.structure.curve[c]
        if kind == "none":
            return value
        if kind in ("hill", "michaelis_menten"):
            return (second if kind == "hill" else 1.0) * value * (1 - value)
        place = first * carried / 2 if kind == "logistic" else carried / first
        return place * (1 - pt.tanh(place) ** 2)

    def gained(self, lift: LiftTests, j: int, geo_effect: Any) -> Any:
        """Outcome test j added, per unit of its channel's coefficient."""
        c = int(lift.channel[j])

        def response(lags: FloatArray, people: FloatArray) -> Any:
            if self.structure.saturates_first[c]:
                return self.pt.dot(people * self._curve(c, lags), self.weights[c])
            return self._curve(c, self.pt.dot(lags, self.weights[c]))

        change = response(lift.lags[j], lift.people[j]) - response(lift.lags_without[j], lift.people_without[j])
        return (change * lift.weight[j] * geo_effect[c][lift.geo[j]]).sum()
