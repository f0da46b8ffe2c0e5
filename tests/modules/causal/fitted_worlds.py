"""Draws placed at a world's own parameters, or scattered about them: answers and plans are tested without sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from modules.causal import causal_worlds

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.engine.draws import Draws, Media, with_baseline
from liftos_pipelines.modules.causal.engine.marginal import window
from liftos_pipelines.modules.causal.engine.structure import resolve
from liftos_pipelines.modules.causal.inputs.design import build_design
from liftos_pipelines.modules.causal.inputs.panel import build_panel
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.simulate import mmm_worlds


def place(
    panel: pl.DataFrame,
    spec: ModelSpec,
    form: np.ndarray,
    coefficient: np.ndarray,
    *,
    geo_effect: np.ndarray | None = None,
    n: int = 200,
    wobble: float = 0.0,
    sigma: float = 0.2,
    week_sigma: float = 0.0,
    seed: int = 0,
) -> Fitted:
    """A posterior whose draws have `form` (n_channels, 4) and `coefficient` (n_channels,), the outcome per head that a
    fully saturated exposure brings (in the multiplicative form its share); `wobble` is the sd of log deviations."""
    design = build_design(panel, spec)
    media = Media(design, resolve(spec, design.channels, design.frequency))
    rng = np.random.default_rng(seed)

    def near(values: np.ndarray) -> np.ndarray:
        return np.asarray(values) * np.exp(wobble * rng.standard_normal((n, *np.shape(values))))

    forms = near(form)
    forms[..., 0] = np.clip(forms[..., 0], 0.0, 0.95)
    forms[..., 3] = form[:, 3]
    channels, geos, _ = design.shape
    own = np.ones((channels, geos)) if geo_effect is None else geo_effect
    draws = Draws(
        form=forms,
        geo_effect=np.broadcast_to(own, (n, channels, geos)).copy(),
        coefficient=near(coefficient) / design.scales.spread,
        sigma=np.full(n, sigma),
        week_sigma=np.full(n, week_sigma),
    )
    _, geos, weeks = design.shape
    return Fitted(
        design=design, media=media, draws=with_baseline(media, draws, window(design.baseline, geos, weeks), rng)
    )


def of_small_world(world: causal_worlds.World, spec: ModelSpec, **how: Any) -> Fitted:
    """A world of `causal_worlds`; its curves are in exposure per head."""
    panel = build_panel(world.outcome, world.media, world.controls, channels=world.channels).frame
    scales = build_design(panel, spec).scales
    form = np.array(
        [
            [causal_worlds.RETENTION[c], 1.0, causal_worlds.HALF[c] * 0.6 / scales.media[i], 1.0]
            for i, c in enumerate(world.channels)
        ]
    )
    ceiling = [
        causal_worlds.ROI[c] * 0.006 * 0.85 * (0.6 + causal_worlds.HALF[c] * 0.6) / 0.6 / causal_worlds.PRICE
        for c in world.channels
    ]
    return place(panel, spec, form, np.array(ceiling), **how)


def of_mmm_world(world: mmm_worlds.World, spec: ModelSpec, **how: Any) -> Fitted:
    """A world of `simulate.mmm_worlds`; with a free slope in `spec` where its curves are S-shaped."""
    panel = build_panel(world.outcome, world.media, world.controls, channels=world.names).frame
    form = np.array([[c.retention, 1.0, c.half, c.slope] for c in world.channels])
    # Noise of geos and of weeks, as the world has it.
    noise = world.noise / world.heads[:, None] / build_design(panel, spec).scales.spread
    own = float((noise - noise.mean(axis=0)).std(ddof=1)) if len(world.heads) > 1 else float(noise.std())
    shared = float(np.sqrt(max(noise.mean(axis=0).var() - own**2 / len(world.heads), 0.0)))
    how = {"sigma": own, "week_sigma": shared if len(world.heads) > 1 else 0.0} | how
    return place(panel, spec, form, np.array([c.ceiling for c in world.channels]), geo_effect=world.effect, **how)
