"""Exact posteriors: carry-over and curve are known, so coefficients and baseline are jointly normal."""

from dataclasses import replace
from functools import cache

import numpy as np

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.engine.draws import Draws, Media
from liftos_pipelines.modules.causal.engine.structure import resolve
from liftos_pipelines.modules.causal.inputs.design import Design, build_design
from liftos_pipelines.modules.causal.inputs.panel import build_panel
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.simulate.mmm_worlds import World, make_world

SPEC = ModelSpec()
COEFFICIENT_SD = 3.0
DRAWS = 1000


@cache
def made(family: str, seed: int) -> tuple[World, Design]:
    """A world and its design, once for all data sets drawn on it."""
    world = make_world(family, seed)
    frame = build_panel(world.outcome, world.media, world.controls, channels=world.names).frame
    return world, build_design(frame, SPEC)


def responses(world: World, design: Design) -> tuple[Media, Draws]:
    """Media at their true carry-over and half-saturation, coefficients 1; the engine's curve has slope 1."""
    channels = [next(c for c in world.channels if c.name == name) for name in design.channels]
    form = np.array([[c.retention, 1.0, c.half, 1.0] for c in channels])
    media = Media(design, resolve(SPEC, design.channels, design.frequency))
    effect = np.stack([world.effect[world.names.index(name)] for name in design.channels])
    one = Draws(
        form=form[None],
        geo_effect=effect[None],
        coefficient=np.ones((1, len(channels))),
        sigma=np.ones(1),
        week_sigma=np.zeros(1),
    )
    return media, one


def exact_fit(world: World, design: Design, sigma: float, seed: int, unseen: tuple[int, ...] = ()) -> Fitted:
    """The exact posterior of coefficients and baseline for `design.y`, as draws; weeks `unseen` are left out."""
    media, one = responses(world, design)
    curves = np.stack([media.saturated(one, c)[0].ravel() for c in range(len(design.channels))], axis=1)
    terms = np.column_stack([COEFFICIENT_SD * curves, design.baseline]) / sigma
    seen = np.tile(~np.isin(np.arange(design.shape[2]), unseen), design.shape[1])
    precision = terms[seen].T @ terms[seen] + np.eye(terms.shape[1])
    mean = np.linalg.solve(precision, terms[seen].T @ design.y.ravel()[seen] / sigma)
    factor = np.linalg.cholesky(np.linalg.inv(precision))
    drawn = mean + np.random.default_rng(seed).standard_normal((DRAWS, len(mean))) @ factor.T
    count = len(design.channels)
    draws = Draws(
        form=np.repeat(one.form, DRAWS, axis=0),
        geo_effect=np.repeat(one.geo_effect, DRAWS, axis=0),
        coefficient=COEFFICIENT_SD * drawn[:, :count],
        sigma=np.full(DRAWS, sigma),
        week_sigma=np.zeros(DRAWS),
        beta=drawn[:, count:],
    )
    return Fitted(design=design, media=media, draws=draws)


def sound(family: str, which: int, seed: int, sigma: float = 0.3, coefficient: float | None = None) -> Fitted:
    """A data set that the model itself made, prior included, and its posterior; `coefficient` of all channels if said."""
    world, design = made(family, which)
    rng = np.random.default_rng([7, seed])
    media, one = responses(world, design)
    mean = design.baseline @ rng.standard_normal(design.baseline.shape[1])
    for c in range(len(design.channels)):
        drawn = COEFFICIENT_SD * rng.standard_normal()
        mean = mean + (drawn if coefficient is None else coefficient) * media.saturated(one, c)[0].ravel()
    y = mean + sigma * rng.standard_normal(len(mean))
    return exact_fit(world, replace(design, y=y.reshape(design.y.shape)), sigma, seed)
