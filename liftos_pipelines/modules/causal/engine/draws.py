"""Posterior draws as plain arrays, and the model's forward pass on them: no PyMC, no compilation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from liftos_pipelines.modules.causal.engine import marginal
from liftos_pipelines.modules.causal.engine.marginal import Window
from liftos_pipelines.modules.causal.engine.prior import MARGIN, PLAIN, EffectScale
from liftos_pipelines.modules.causal.engine.structure import Structure
from liftos_pipelines.modules.causal.engine.transforms import FloatArray, carry_weights, lag_tensor, saturate
from liftos_pipelines.modules.causal.inputs.design import Design

STEP = 1e-4
"""Relative step of the derivative that a prior on marginal returns is about."""


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Draws of the model's parameters; the first axis is the draw.

    `form` (n_draws, n_channels, 4): two parameters of carry-over, two of the curve, 1 where a family has fewer;
    `coefficient` (n_draws, n_channels), `geo_effect` (n_draws, n_channels, n_geos), `sigma` (n_draws,) noise of a geo's
    week, `week_sigma` (n_draws,) noise that geos share, `beta` (n_draws, n_columns) or None before it was drawn.
    """

    form: FloatArray
    geo_effect: FloatArray
    coefficient: FloatArray
    sigma: FloatArray
    week_sigma: FloatArray
    beta: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.sigma)

    def thin(self, most: int) -> Draws:
        """At most `most` draws, evenly spaced."""
        if len(self) <= most:
            return self
        return self.take(np.linspace(0, len(self) - 1, most).round().astype(int))

    def take(self, rows: Any) -> Draws:
        """The draws at these positions, repeats allowed."""
        return replace(self, **{name: array[rows] for name, array in vars(self).items() if array is not None})


class Media:
    """The media part of the model for one design; the lagged exposure is laid out once."""

    def __init__(self, design: Design, structure: Structure) -> None:
        self.design, self.structure = design, structure
        self._lags = lag_tensor(design.x, structure.max_lag)

    def saturated(self, draws: Draws, channel: int, scale: float | FloatArray = 1.0) -> FloatArray:
        """(n_draws, n_geos, n_weeks), response without its coefficient, at `scale` times the spend.

        `scale` is a number, (n_weeks,) or (n_geos, n_weeks); it applies before carry-over. With reach and frequency it
        scales the people reached.
        """
        structure, design = self.structure, self.design
        form = draws.form[:, channel]
        weights = carry_weights(structure.carry[channel], form[:, 0], form[:, 1], structure.max_lag)
        first, second = form[:, 2, None, None], form[:, 3, None, None]
        curve = structure.curve[channel]
        scale = np.asarray(scale, dtype=float)
        if structure.saturates_first[channel]:
            x, people = design.x[channel], design.multiplier[channel]
            if design.frequency[channel]:
                people = people * scale
            else:
                x = x * scale
            within = saturate(curve, x[None], first, second) * people
            carried = np.zeros_like(within)
            for lag in range(min(structure.max_lag, within.shape[2] - 1) + 1):
                carried[:, :, lag:] += weights[:, lag, None, None] * within[:, :, : within.shape[2] - lag]
            return np.asarray(carried * draws.geo_effect[:, channel, :, None])
        _, geos, weeks = design.shape
        lags = self._lags[channel]
        if scale.ndim:
            lags = lag_tensor(design.x[channel] * scale, structure.max_lag)
        carried = (lags.reshape(geos * weeks, -1) @ weights.T).T.reshape(len(draws), geos, weeks)
        if not scale.ndim and scale != 1.0:
            carried = carried * scale
        return np.asarray(saturate(curve, carried, first, second) * draws.geo_effect[:, channel, :, None])

    def contribution(self, draws: Draws, channel: int, scale: float | FloatArray = 1.0) -> FloatArray:
        """(n_draws, n_geos, n_weeks), in units of y."""
        return draws.coefficient[:, channel, None, None] * self.saturated(draws, channel, scale)

    def total(self, draws: Draws) -> FloatArray:
        """(n_draws, n_geos, n_weeks), all channels, in units of y."""
        channels, geos, weeks = self.design.shape
        out = np.zeros((len(draws), geos, weeks))
        for channel in range(channels):
            out += self.contribution(draws, channel)
        return out

    def residual(self, draws: Draws) -> FloatArray:
        """(n_draws, n_geos, n_weeks), y less media: what baseline and noise have to explain."""
        return np.asarray(self.design.y - self.total(draws))


def complete(media: Media, prior: EffectScale, draws: Draws, log_effect: FloatArray) -> Draws:
    """Draws with their coefficients, which follow from the sampled effects (see `prior`)."""
    worth = np.ones_like(log_effect)
    for channel, code in enumerate(prior.code):
        if code == PLAIN:
            continue
        response = media.saturated(draws, channel)
        if code == MARGIN:
            response = (media.saturated(draws, channel, 1 + STEP) - media.saturated(draws, channel, 1 - STEP)) / (
                2 * STEP
            )
        worth[:, channel] = np.einsum("sgt,gt->s", response, prior.value[channel])
    return replace(draws, coefficient=np.exp(log_effect) * prior.unit / worth)


def with_baseline(media: Media, draws: Draws, seen: Window, rng: np.random.Generator) -> Draws:
    """Draws with one exact draw of the baseline's coefficients each."""
    beta = marginal.draw_baseline(media.residual(draws), seen, draws.sigma, draws.week_sigma, rng)
    return replace(draws, beta=beta)


def log_marginal(media: Media, draws: Draws, seen: Window) -> FloatArray:
    """(n_draws,), log p(y of the weeks in the mask | draw), the baseline integrated out as in the sampled model."""
    return marginal.log_density(media.residual(draws), seen, draws.sigma, draws.week_sigma)


def log_new_weeks(media: Media, draws: Draws, new: int, residual: FloatArray | None = None) -> FloatArray:
    """(n_draws,), log p(newest `new` weeks | draw, the weeks before): what importance weights are made of.

    The baseline is integrated out, so a trend that moved is not a reason to distrust the media's draws. `residual` is
    `media.residual(draws)`, for those who have it.
    """
    design = media.design
    _, geos, weeks = design.shape
    if residual is None:
        residual = media.residual(draws)
    whole = marginal.window(design.baseline, geos, weeks)
    before = marginal.window(design.baseline, geos, weeks, new)
    return marginal.log_density(residual, whole, draws.sigma, draws.week_sigma) - marginal.log_density(
        residual, before, draws.sigma, draws.week_sigma
    )
