"""Data that come from the model itself, with known noise, and the exact posterior of the baseline beside them.

Media stay at the truth, so that nothing but the noise decides what a check of residuals says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from modules.causal.causal_worlds import make_world
from modules.causal.fitted_worlds import of_small_world

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.engine.draws import Media, with_baseline
from liftos_pipelines.modules.causal.engine.marginal import window
from liftos_pipelines.modules.causal.spec import ModelSpec

SPEC = ModelSpec(max_lag=7, seasonality=2)
SIGMA = 0.3
Noise = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def white(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """(n_geos, n_weeks), what the model assumes."""
    return rng.standard_normal(shape)


class Source:
    """Draws data sets from one design."""

    def __init__(self, *, geos: int, weeks: int, n: int = 100) -> None:
        self.fitted = of_small_world(make_world(seed=1, geos=geos, weeks=weeks), SPEC, n=n, sigma=SIGMA)

    def draw(self, seed: int, noise: Noise = white) -> Fitted:
        """One data set and its posterior: a new baseline from its prior, and this noise in units of sigma."""
        design, draws = self.fitted.design, self.fitted.draws
        rng = np.random.default_rng([seed, 7])
        shape = design.y.shape
        base = (design.baseline @ rng.standard_normal(len(design.columns))).reshape(shape)
        y = self.fitted.media.total(draws.take([0]))[0] + base + SIGMA * noise(rng, shape)
        drawn = replace(design, y=y, outcome=design.to_outcome(y))
        media = Media(drawn, self.fitted.media.structure)
        _, geos, weeks = drawn.shape
        return Fitted(
            design=drawn, media=media, draws=with_baseline(media, draws, window(drawn.baseline, geos, weeks), rng)
        )
