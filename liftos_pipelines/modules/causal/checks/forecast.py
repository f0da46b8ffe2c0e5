"""What the baseline alone would have foretold: the same trend, season and controls, without any media.

The baseline is linear and Gaussian, so its forecast has a closed form given the noise; the noise is averaged over a
grid, weighed by marginal likelihood and prior.
"""

from __future__ import annotations

import numpy as np

from liftos_pipelines.modules.causal.engine.marginal import Window, log_density, split, window
from liftos_pipelines.modules.causal.engine.packing import has_week_shocks
from liftos_pipelines.modules.causal.engine.prior import NOISE_SD
from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.design import SHOCK, Design
from liftos_pipelines.modules.causal.spec import ModelSpec

NOISE_GRID = np.geomspace(0.02, 4.0, 24)
SHOCK_GRID = np.concatenate([[0.0], np.geomspace(0.02, 2.0, 11)])


def without_media(design: Design, spec: ModelSpec, last_weeks_out: int) -> FloatArray:
    """(n_geos, n_weeks), outcome expected by the baseline that has seen all but the newest `last_weeks_out` weeks.

    Controls of the unseen weeks are known, incidents are not. In the multiplicative form it is the median.
    """
    _, geos, weeks = design.shape
    seen = window(design.baseline, geos, weeks, last_weeks_out)
    shocks = SHOCK_GRID if has_week_shocks(design, spec) else np.zeros(1)
    sigma, week_sigma = (grid.ravel() for grid in np.meshgrid(NOISE_GRID, shocks))
    y = design.y[None]
    weight = log_density(np.broadcast_to(y, (len(sigma), geos, weeks)), seen, sigma, week_sigma)
    # Half-normal priors as in the model; the grid is even in logarithms.
    weight += np.log(sigma) - 0.5 * (sigma / NOISE_SD) ** 2
    if len(shocks) > 1:
        weight -= 0.5 * (week_sigma / (spec.week_sd or 1.0)) ** 2
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    beta = weight @ _expected(y, seen, sigma, week_sigma)
    beta[[i for i, name in enumerate(design.columns) if name.startswith(SHOCK)]] = 0.0
    return design.to_outcome((design.baseline @ beta).reshape(geos, weeks))


def _expected(y: FloatArray, seen: Window, sigma: FloatArray, week_sigma: FloatArray) -> FloatArray:
    """(n_grid, n_columns), expected coefficients at each noise."""
    beta = np.zeros((len(sigma), seen.mean.columns.size + seen.within.columns.size))
    variances = (sigma**2 + seen.geos * week_sigma**2, sigma**2)
    blocks = (seen.mean, seen.within) if seen.geos > 1 else (seen.mean,)
    for block, variance, r in zip(blocks, variances, split(y, seen), strict=False):
        rotated = np.zeros((len(sigma), block.columns.size))
        rotated[:, : block.d2.size] = np.sqrt(block.d2) * (r @ block.u) / (block.d2[None] + variance[:, None])
        beta[:, block.columns] = rotated @ block.right.T
    return beta
