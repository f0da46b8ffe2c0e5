"""Weekly marketing worlds with exactly known truth: what the marketing-mix engine is held against.

    outcome[g, t] = heads_g * level * (own_g + trend + season + controls + break + demand)[g, t]
                  + sum over channels of contribution[c, g, t]  +  noise[g, t]
    contribution  = ceiling_c * effect_cg * heads_g * s^n / (s^n + half_c^n)
    s             = geometric carry-over, unit total weight over lags 0..8, of exposure per head in units of its
                    median while on air

Family `clean` is the engine's default model to the letter, its parameters drawn from the plausible region of the
default priors: retention uniform on [0, 0.9], half-saturation LogNormal(log 0.9, 0.7) within its central 90 %, ROI
LogNormal(0.2, 0.9) within its central 80 %. Spend is drawn apart from ROI; a world whose media share leaves the
family's range is drawn again. Each other family departs from it in one way, named in `RECIPES`.

Source of the form: Jin et al. (2017), Bayesian methods for media mix modeling with carryover and shape effects; of the
idea to publish failures by family: the stress matrix of mmm-framework.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Range = tuple[float, float]

FIRST_WEEK = date(2022, 1, 3)
LAGS = 9
"""Lags 0..8."""
KNOT_WEEKS = 26
LEVEL = 0.02
"""Outcome per head and week that a baseline of 1 stands for."""
PRICE = 40.0
"""Revenue of one outcome."""
NAMES = ("tv", "search", "social", "video", "display")
SALT = 20_241
MOST_TRIES = 500


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a family of worlds draws from; ranges are uniform. Sizes are shares of the baseline's level of 1."""

    geos: int = 1
    media_share: Range = (0.15, 0.40)
    """Accepted share of all media in the outcome."""
    spend_ratio: Range = (0.14, 0.28)
    """All spend over the revenue of the baseline."""
    noise: Range = (0.02, 0.045)
    week_shock: Range = (0.0, 0.0)
    """Sd of shocks that all geos share in a week."""
    common_plan: float = 0.0
    """Share of the variance of log spend that all channels have in common."""
    outlier_weeks: int = 0
    """Weeks of one channel with 6 to 12 times its median spend."""
    slope: Range = (1.0, 1.0)
    """Hill slope; above 1 the response is S-shaped."""
    demand: Range = (0.0, 0.0)
    """Sd of an unobserved autocorrelated demand that also moves spend."""
    level_break: Range = (0.0, 0.0)
    trend_break: Range = (0.0, 0.0)
    """Change of the yearly slope; an even seed breaks the level, an odd one the trend."""


RECIPES: dict[str, Recipe] = {
    "clean": Recipe(),
    "geo_clean": Recipe(geos=6, noise=(0.03, 0.06), week_shock=(0.01, 0.03)),
    "outlier_spend": Recipe(outlier_weeks=4),
    "weak_signal": Recipe(media_share=(0.02, 0.07), spend_ratio=(0.02, 0.06), noise=(0.05, 0.08)),
    "collinear": Recipe(common_plan=0.97),
    "confounded_demand": Recipe(demand=(0.05, 0.10)),
    "s_shaped": Recipe(slope=(2.0, 3.0)),
    "changed_baseline": Recipe(level_break=(0.10, 0.20), trend_break=(0.20, 0.40)),
}
FAMILIES = tuple(RECIPES)
WELL_SPECIFIED = ("clean", "geo_clean", "outlier_spend")
"""Families whose data the default model could have made (week shocks apart): honest intervals must cover there."""


@dataclass(frozen=True, kw_only=True)
class ChannelTruth:
    """A channel's true response. `half` in units of the median exposure while on air; `ceiling` outcome per head."""

    name: str
    roi: float
    retention: float
    half: float
    slope: float
    ceiling: float


@dataclass(frozen=True, kw_only=True)
class World:
    """The three canonical tables and the truth behind them. Arrays run over channels, geos, weeks in table order."""

    family: str
    seed: int
    outcome: pl.DataFrame
    media: pl.DataFrame
    controls: pl.DataFrame
    geos: tuple[str, ...]
    weeks: tuple[date, ...]
    channels: tuple[ChannelTruth, ...]
    heads: FloatArray
    """(n_geos,)"""
    spend: FloatArray
    """(n_channels, n_geos, n_weeks), currency"""
    exposure: FloatArray
    """(n_channels, n_geos, n_weeks), per head in units of its median while on air"""
    effect: FloatArray
    """(n_channels, n_geos), multiples of the ceiling"""
    contribution: FloatArray
    """(n_channels, n_geos, n_weeks), outcome"""
    baseline: FloatArray
    """(n_geos, n_weeks), outcome without media and noise"""
    noise: FloatArray
    """(n_geos, n_weeks), outcome"""
    departure: dict[str, float]
    """What sets this world apart from the clean model: sizes and places."""

    @property
    def names(self) -> list[str]:
        return [channel.name for channel in self.channels]

    @property
    def media_share(self) -> float:
        """Share of all media in the expected outcome."""
        return float(self.contribution.sum() / (self.contribution.sum() + self.baseline.sum()))

    def respond(self, channel: int, scale: float = 1.0) -> FloatArray:
        """(n_geos, n_weeks), a channel's contribution to the outcome had its exposure been `scale` times what it was."""
        truth = self.channels[channel]
        curve = saturated(carry_over(self.exposure[channel] * scale, truth.retention), truth.half, truth.slope)
        return truth.ceiling * self.effect[channel][:, None] * self.heads[:, None] * curve


def carry_over(exposure: FloatArray, retention: float) -> FloatArray:
    """Geometric carry-over along the last axis, zero before the first week, weights of unit sum."""
    weights = retention ** np.arange(LAGS)
    weights /= weights.sum()
    out = np.zeros_like(exposure)
    for lag, weight in enumerate(weights):
        out[..., lag:] += weight * exposure[..., : exposure.shape[-1] - lag]
    return out


def saturated(carried: FloatArray, half: float, slope: float) -> FloatArray:
    """Hill curve in [0, 1)."""
    raised = carried**slope
    return np.asarray(raised / (raised + half**slope))


def make_world(family: str, seed: int) -> World:
    """One world; the same family and seed give the same world.

    Raises
    ------
    ValueError : no such family; or its media share could not be met, which is an error in its recipe
    """
    if family not in RECIPES:
        raise ValueError(f'there is no family "{family}" of worlds; families: {", ".join(FAMILIES)}')
    recipe = RECIPES[family]
    for attempt in range(MOST_TRIES):
        rng = np.random.default_rng([SALT, FAMILIES.index(family), seed, attempt])
        world = _draw(family, recipe, seed, rng)
        if recipe.media_share[0] <= world.media_share <= recipe.media_share[1]:
            return world
    raise ValueError(f"{family} {seed}: no draw of {MOST_TRIES} has a media share within {recipe.media_share}")


def _draw(family: str, recipe: Recipe, seed: int, rng: np.random.Generator) -> World:
    weeks = int(rng.choice([104, 130, 156]))
    count = int(rng.integers(3, 6))
    geos = recipe.geos
    names = ("national",) if geos == 1 else tuple(f"geo_{g}" for g in range(geos))
    heads = np.round(np.exp(rng.uniform(np.log(4e5), np.log(4e6), geos))).astype(float)
    days = tuple(FIRST_WEEK + timedelta(weeks=t) for t in range(weeks))
    departure: dict[str, float] = {}

    control = _control_paths(rng, geos, weeks)
    season = _season(rng, days)
    relative = np.exp(0.1 * rng.standard_normal(geos))[:, None] * np.ones((1, weeks))
    relative += _trend(rng, weeks) + season
    if geos > 1:
        relative += 0.01 * rng.standard_normal(geos)[:, None] * np.arange(weeks) / 52
    sizes = rng.uniform(0.015, 0.05, len(control)) * rng.choice([-1, 1], len(control))
    relative += np.einsum("k,kgt->gt", sizes, control)
    relative += _broken(recipe, seed, weeks, rng, departure)
    demand = _autoregressive(rng, (weeks,), rng.uniform(0.7, 0.9))
    strength = rng.uniform(*recipe.demand)
    if strength:
        departure["demand_sd"] = strength
        relative += strength * demand
    baseline = heads[:, None] * LEVEL * relative

    path = _spend_paths(recipe, rng, count, geos, weeks, control, season, demand if strength else None)
    path *= heads[None, :, None]
    if recipe.outlier_weeks:
        _spike(path, recipe.outlier_weeks, rng, departure)
    split = np.clip(rng.dirichlet(np.full(count, 3.0)), 0.06, None)
    budget = rng.uniform(*recipe.spend_ratio) * baseline.sum() * PRICE
    spend = path / path.sum(axis=(1, 2), keepdims=True) * (split / split.sum() * budget)[:, None, None]
    impressions = spend * (1000 / rng.uniform(4, 20, count))[:, None, None]
    impressions = impressions * np.exp(0.05 * rng.standard_normal(spend.shape))
    per_head = impressions / heads[None, :, None]
    exposure = np.stack([channel / np.median(channel[channel > 0]) for channel in per_head])

    effect = np.ones((count, geos))
    if geos > 1:
        effect = np.exp(rng.uniform(0.05, 0.3, count)[:, None] * rng.standard_normal((count, geos)))
    channels, contribution = [], np.empty_like(spend)
    for c in range(count):
        retention, slope = float(rng.uniform(0, 0.9)), float(rng.uniform(*recipe.slope))
        half = float(0.9 * np.exp(0.7 * _within(rng, 1.645)))
        roi = float(np.exp(0.2 + 0.9 * _within(rng, 1.282)))
        shape = effect[c][:, None] * heads[:, None] * saturated(carry_over(exposure[c], retention), half, slope)
        ceiling = roi * float(spend[c].sum()) / PRICE / float(shape.sum())
        contribution[c] = ceiling * shape
        channels.append(
            ChannelTruth(name=NAMES[c], roi=roi, retention=retention, half=half, slope=slope, ceiling=ceiling)
        )
    shock = rng.uniform(*recipe.week_shock) * rng.standard_normal(weeks)
    noise = rng.uniform(*recipe.noise) * rng.standard_normal((geos, weeks)) + shock
    noise = noise * heads[:, None] * LEVEL
    outcome, media, controls = _tables(
        names, days, heads, baseline + contribution.sum(axis=0) + noise, spend, impressions, control
    )
    return World(
        family=family,
        seed=seed,
        outcome=outcome,
        media=media,
        controls=controls,
        geos=names,
        weeks=days,
        channels=tuple(channels),
        heads=heads,
        spend=spend,
        exposure=exposure,
        effect=effect,
        contribution=contribution,
        baseline=baseline,
        noise=noise,
        departure=departure,
    )


def _within(rng: np.random.Generator, most: float) -> float:
    """A standard normal number given that it is no further than `most` from 0."""
    while True:
        drawn = float(rng.standard_normal())
        if abs(drawn) <= most:
            return drawn


def _autoregressive(rng: np.random.Generator, shape: tuple[int, ...], correlation: float) -> FloatArray:
    """Stationary AR(1) of unit variance along the last axis."""
    out = rng.standard_normal(shape)
    for t in range(1, shape[-1]):
        out[..., t] = correlation * out[..., t - 1] + np.sqrt(1 - correlation**2) * out[..., t]
    return out


def _control_paths(rng: np.random.Generator, geos: int, weeks: int) -> FloatArray:
    """(n_controls, n_geos, n_weeks): one or two observed confounders, mostly common to all geos."""
    count = int(rng.integers(1, 3))
    common = _autoregressive(rng, (count, 1, weeks), 0.6)
    return np.asarray(0.9 * common + 0.44 * _autoregressive(rng, (count, geos, weeks), 0.6))


def _season(rng: np.random.Generator, days: tuple[date, ...]) -> FloatArray:
    """(n_weeks,), three yearly Fourier pairs by calendar day."""
    day = np.array([week.timetuple().tm_yday for week in days]) / 365.25
    out = np.zeros(len(days))
    for order, size in ((1, 0.06), (2, 0.03), (3, 0.015)):
        out += size * rng.standard_normal() * np.sin(2 * np.pi * order * day)
        out += size * rng.standard_normal() * np.cos(2 * np.pi * order * day)
    return out


def _trend(rng: np.random.Generator, weeks: int) -> FloatArray:
    """(n_weeks,), a random walk over knots, straight between them."""
    knots = np.arange(0, weeks + KNOT_WEEKS, KNOT_WEEKS)
    steps = np.concatenate([[0.0], 0.04 * rng.standard_normal(len(knots) - 1)])
    return np.asarray(np.interp(np.arange(weeks), knots, np.cumsum(steps)))


def _broken(recipe: Recipe, seed: int, weeks: int, rng: np.random.Generator, departure: dict[str, float]) -> FloatArray:
    """(n_weeks,), a step or a bend of the baseline in the middle part of the series; zero without a recipe for it."""
    at = int(rng.uniform(0.3, 0.7) * weeks)
    sign = float(rng.choice([-1, 1]))
    after = np.clip(np.arange(weeks) - at, 0, None)
    if recipe.level_break[1] and seed % 2 == 0:
        size = sign * rng.uniform(*recipe.level_break)
        departure |= {"level_break": size, "break_week": at}
        return np.asarray(size * (np.arange(weeks) >= at))
    if recipe.trend_break[1]:
        size = sign * rng.uniform(*recipe.trend_break)
        departure |= {"trend_break": size, "break_week": at}
        return np.asarray(size * np.minimum(after / 52, 1.5))
    return np.zeros(weeks)


def _spend_paths(
    recipe: Recipe,
    rng: np.random.Generator,
    count: int,
    geos: int,
    weeks: int,
    control: FloatArray,
    season: FloatArray,
    demand: FloatArray | None,
) -> FloatArray:
    """(n_channels, n_geos, n_weeks), relative spend per head: plans that know season, controls and, hidden, demand."""
    shared = _autoregressive(rng, (1, 1, weeks), 0.4)
    out = np.empty((count, geos, weeks))
    for c in range(count):
        size = rng.uniform(0.4, 0.7)
        own = _autoregressive(rng, (1, weeks), 0.3)
        log = np.sqrt(1 - recipe.common_plan) * own + np.sqrt(recipe.common_plan) * shared[0]
        log = size * log + rng.uniform(0, 2) * season
        log = log + np.einsum("k,kgt->gt", rng.uniform(-0.2, 0.3, len(control)), control) * (not recipe.common_plan)
        if geos > 1:
            log = log + 0.35 * _autoregressive(rng, (geos, weeks), 0.5)
        if demand is not None:
            log = log + rng.uniform(0.35, 0.65) * demand
        out[c] = np.exp(log)
        # Every second channel runs in flights; a common plan has no flights of its own.
        if c % 2 == 0 and not recipe.common_plan:
            on, off = int(rng.integers(4, 9)), int(rng.integers(2, 6))
            start = rng.integers(0, on + off, size=(geos, 1))
            out[c] *= (np.arange(weeks)[None, :] + start) % (on + off) < on
    return out


def _spike(path: FloatArray, count: int, rng: np.random.Generator, departure: dict[str, float]) -> None:
    """A few extreme weeks of one channel, in place."""
    channel = int(rng.integers(len(path)))
    median = np.median(path[channel][path[channel] > 0])
    hit = rng.choice(np.arange(8, path.shape[-1]), size=count, replace=False)
    times = rng.uniform(6, 12, count)
    path[channel][:, hit] = median * times
    departure |= {"outlier_channel": channel, "largest_outlier": float(times.max())}


def _tables(
    geos: tuple[str, ...],
    weeks: tuple[date, ...],
    heads: FloatArray,
    outcome: FloatArray,
    spend: FloatArray,
    impressions: FloatArray,
    control: FloatArray,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    keys = {"date": list(weeks) * len(geos), "geo": np.repeat(geos, len(weeks)).tolist()}
    wide = pl.DataFrame(
        {
            **keys,
            "outcome": outcome.ravel(),
            "revenue": outcome.ravel() * PRICE,
            "population": np.repeat(heads, len(weeks)),
        }
    )
    media = [
        pl.DataFrame(
            {**keys, "channel": NAMES[c], "spend": spend[c].ravel(), "exposure": impressions[c].ravel(), "kind": "paid"}
        )
        for c in range(len(spend))
    ]
    controls = [
        pl.DataFrame({**keys, "control": f"control_{k}", "value": control[k].ravel()}) for k in range(len(control))
    ]
    return wide, pl.concat(media), pl.concat(controls)
