"""Posterior draws as plain arrays, and the model's forward pass on them: no PyMC, no compilation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from liftos_pipelines.modules.causal.design import Design
from liftos_pipelines.modules.causal.model import EffectPrior, Window, window
from liftos_pipelines.modules.causal.transforms import FloatArray, adstock_weights, lag_tensor, saturate


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Draws of the model's parameters; the first axis is the draw.

    `retention`, `shape`, `coefficient` (n_draws, n_channels), `geo_effect` (n_draws, n_channels, n_geos),
    `sigma` (n_draws,), `beta` (n_draws, n_columns) or None before the baseline was drawn.
    """

    retention: FloatArray
    shape: FloatArray
    geo_effect: FloatArray
    coefficient: FloatArray
    sigma: FloatArray
    beta: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.sigma)

    def thin(self, most: int) -> Draws:
        """At most `most` draws, evenly spaced."""
        if len(self) <= most:
            return self
        return self.take(np.linspace(0, len(self) - 1, most).round().astype(int))

    def take(self, rows: Any) -> Draws:
        return Draws(
            retention=self.retention[rows],
            shape=self.shape[rows],
            geo_effect=self.geo_effect[rows],
            coefficient=self.coefficient[rows],
            sigma=self.sigma[rows],
            beta=None if self.beta is None else self.beta[rows],
        )


class Media:
    """The media part of the model for one design; the lagged exposure is laid out once."""

    def __init__(self, design: Design, saturation: str, max_lag: int) -> None:
        self.design, self.saturation, self.max_lag = design, saturation, max_lag
        self._lags = lag_tensor(design.x, max_lag)

    def saturated(self, draws: Draws, channel: int, scale: float = 1.0) -> FloatArray:
        """(n_draws, n_geos, n_weeks), saturated carried-over exposure times geo effect, exposure times `scale`."""
        weights = adstock_weights(draws.retention[:, channel], self.max_lag)
        _, geos, weeks = self.design.shape
        flat = self._lags[channel].reshape(geos * weeks, -1) @ weights.T
        carried = flat.T.reshape(len(draws), geos, weeks) * scale
        curved = saturate(self.saturation, carried, draws.shape[:, channel, None, None])
        return curved * draws.geo_effect[:, channel, :, None]

    def contribution(self, draws: Draws, channel: int, scale: float = 1.0) -> FloatArray:
        """(n_draws, n_geos, n_weeks), in units of y."""
        return draws.coefficient[:, channel, None, None] * self.saturated(draws, channel, scale)

    def total(self, draws: Draws) -> FloatArray:
        """(n_draws, n_geos * n_weeks), all channels, in units of y."""
        channels, geos, weeks = self.design.shape
        out = np.zeros((len(draws), geos, weeks))
        for channel in range(channels):
            out += self.contribution(draws, channel)
        return out.reshape(len(draws), geos * weeks)


def coefficients(
    media: Media,
    prior: EffectPrior,
    *,
    retention: FloatArray,
    shape: FloatArray,
    log_effect: FloatArray,
    geo_effect: FloatArray,
    sigma: FloatArray,
) -> Draws:
    """Complete draws from the sampled parameters: b_c from the total contribution (see `model`)."""
    unscaled = Draws(
        retention=retention, shape=shape, geo_effect=geo_effect, coefficient=np.ones_like(shape), sigma=sigma
    )
    worth = np.stack(
        [
            np.einsum("sgt,gt->s", media.saturated(unscaled, channel), prior.value[channel])
            for channel in range(shape.shape[1])
        ],
        axis=1,
    )
    coefficient = np.exp(log_effect) * prior.unit / worth
    return Draws(retention=retention, shape=shape, geo_effect=geo_effect, coefficient=coefficient, sigma=sigma)


def draw_baseline(media: Media, draws: Draws, seen: Window, rng: np.random.Generator) -> FloatArray:
    """(n_draws, n_columns), one exact draw of the baseline's coefficients for each draw of the rest."""
    residual = seen.mask * (media.design.y.ravel() - media.total(draws))
    d, s2 = np.sqrt(seen.d2), draws.sigma[:, None] ** 2
    inside = seen.d2 + s2
    mean = d * (residual @ seen.u) / inside
    return np.asarray((mean + np.sqrt(s2 / inside) * rng.standard_normal(mean.shape)) @ seen.v.T)


def log_marginal(media: Media, draws: Draws, seen: Window) -> FloatArray:
    """(n_draws,), log p(y of the weeks in the mask | draw), the baseline integrated out as in the sampled model."""
    residual = seen.mask * (media.design.y.ravel() - media.total(draws))
    projected = residual @ seen.u
    variance = draws.sigma**2
    inside = seen.d2[None] + variance[:, None]
    outside = (residual**2).sum(axis=1) - (projected**2).sum(axis=1)
    quadratic = outside / variance + (projected**2 / inside).sum(axis=1)
    determinant = np.log(inside).sum(axis=1) + (seen.n - seen.d2.size) * np.log(variance)
    return np.asarray(-0.5 * (quadratic + determinant + seen.n * np.log(2 * np.pi)))


def log_new_weeks(media: Media, draws: Draws, new: int) -> FloatArray:
    """(n_draws,), log p(newest `new` weeks | draw, the weeks before): what importance weights are made of.

    The baseline is integrated out, so a trend that moved is not a reason to distrust the media's draws.
    """
    design = media.design
    return log_marginal(media, draws, window(design)) - log_marginal(media, draws, window(design, new))
