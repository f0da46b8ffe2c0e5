"""What is true of the marketing world: ROI, marginal ROI, response curves and the best split of the budget."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import optimize

from liftos_pipelines.simulate.marketing import (
    CHANNELS,
    GEOS,
    LAGS,
    NOISE_SHARE,
    REVENUE_PER_CONVERSION,
    FloatArray,
    Marketing,
    response,
)

SCALES = np.round(np.arange(0.0, 2.0001, 0.05), 2)
SPLIT_BOUNDS = (0.7, 1.3)
CURRENT_WEEKS = 52


def conversions(world: Marketing, channel: int, scale: float, weeks: int | None = None) -> float:
    """All geos' conversions of one channel over the last `weeks` when its spend is `scale` times what it was."""
    settings = CHANNELS[channel]
    population = np.array(list(GEOS.values()), dtype=float)
    by_week = response(
        world.impressions[:, :, channel] * scale,
        population,
        retention=settings.retention,
        half_saturation=float(world.half_saturation[channel]),
        ceiling=float(world.ceiling[channel]),
        effect=world.effect[:, channel],
    )
    return float(by_week[:, -weeks:].sum() if weeks else by_week.sum())


def marginal_roi(world: Marketing, channel: int, weeks: int | None = None) -> float:
    """Revenue of one more per cent of spend in every week and geo, by that per cent."""
    spend = world.spend[:, -weeks:, channel].sum() if weeks else world.spend[:, :, channel].sum()
    gain = conversions(world, channel, 1.01, weeks) - conversions(world, channel, 1.0, weeks)
    return float(gain * REVENUE_PER_CONVERSION / (0.01 * spend))


def best_split(world: Marketing, bounds: tuple[float, float]) -> FloatArray:
    """(n_channels,) multiples of spend that give most at the same total budget, each within `bounds`."""
    spend = world.spend.sum(axis=(0, 1))

    def lost(scales: FloatArray) -> float:
        return -sum(conversions(world, c, float(scale)) for c, scale in enumerate(scales)) / 1e5

    solution = optimize.minimize(
        lost,
        np.ones(len(CHANNELS)),
        method="SLSQP",
        bounds=[bounds] * len(CHANNELS),
        constraints={"type": "eq", "fun": lambda scales: float((scales * spend).sum() / spend.sum() - 1)},
        options={"ftol": 1e-10, "maxiter": 200},
    )
    if not solution.success:
        raise RuntimeError(f"the best split of the budget was not found: {solution.message}")
    return np.asarray(solution.x, dtype=float)


def truth(world: Marketing) -> dict[str, Any]:
    """Every parameter and every quantity that the causal module estimates."""
    spend = world.spend.sum(axis=(0, 1))
    split = best_split(world, SPLIT_BOUNDS)
    current = np.array([conversions(world, c, 1.0) for c in range(len(CHANNELS))])
    planned = np.array([conversions(world, c, float(split[c])) for c in range(len(CHANNELS))])
    channels = {
        channel.name: {
            "spend": float(spend[c]),
            "contribution": float(world.contribution[:, :, c].sum()),
            "contribution_by_geo": dict(zip(GEOS, world.contribution[:, :, c].sum(axis=1).tolist(), strict=True)),
            "roi": float(world.contribution[:, :, c].sum() * REVENUE_PER_CONVERSION / spend[c]),
            "mroi": marginal_roi(world, c),
            "mroi_last_year": marginal_roi(world, c, CURRENT_WEEKS),
            "retention": channel.retention,
            "half_saturation": float(world.half_saturation[c]),
            "ceiling_per_head": float(world.ceiling[c]),
            "effect_by_geo": dict(zip(GEOS, world.effect[:, c].tolist(), strict=True)),
            "conversions_at_scale": [conversions(world, c, float(scale)) for scale in SCALES],
        }
        for c, channel in enumerate(CHANNELS)
    }
    return {
        "channels": channels,
        "scales": SCALES.tolist(),
        "adstock": f"geometric, unit total weight over {LAGS} lags, on impressions per head",
        "saturation": "s / (s + half_saturation), half_saturation in adstocked impressions per head a week",
        "revenue_per_conversion": REVENUE_PER_CONVERSION,
        "noise_sd_share_of_baseline": NOISE_SHARE,
        "outcome_total": float(world.outcome.sum()),
        "baseline_total": float(world.baseline.sum()),
        "newsletter_contribution": float(world.newsletter.sum()),
        "media_share": float(world.contribution.sum() / world.outcome.sum()),
        "best_split": {
            "bounds": list(SPLIT_BOUNDS),
            "scale": {channel.name: float(split[c]) for c, channel in enumerate(CHANNELS)},
            "uplift_share_of_media": float(planned.sum() / current.sum() - 1),
        },
    }
