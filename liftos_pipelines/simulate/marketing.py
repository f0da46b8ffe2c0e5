"""Weekly marketing in four geos with a known response, and two lift tests.

    outcome[g, t] = baseline[g, t]                                   trend and two yearly harmonics
                  + sum over channels of  contribution[g, t, c]
                  + newsletter[g, t] + controls[g, t]
                  - loss[g, t]                                       the incident, a share of all of the above
                  + noise[g, t]                                      normal, sd 3 % of the geo's mean baseline

    contribution = ceiling_c * effect_gc * population_g * s / (s + half_saturation_c)
    s            = geometric adstock, unit total weight over 8 lags, of impressions per head

Exposure before the first week is taken as zero, so the files alone regenerate every contribution. The ceilings
are set so that each channel's ROI over the two years is exactly the one named here.
Source of the form: Jin et al. (2017), Bayesian methods for media mix modeling with carryover and shape effects.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.simulate.setting import INCIDENT, WEEK_STARTS, WEEKS, stream

FloatArray = NDArray[np.float64]

GEOS: dict[str, int] = {"north": 5_200_000, "south": 3_900_000, "east": 2_700_000, "west": 1_600_000}
LAGS = 8
REVENUE_PER_CONVERSION = 60.0
BASELINE_PER_THOUSAND = 1.6
NOISE_SHARE = 0.03
PRICE_EFFECT, COMPETITOR_EFFECT = -0.040, -0.025
NEWSLETTER_SHARE = 0.04


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A paid channel's truth. `weekly_spend` per head in EUR while on air; `half_saturation` as a multiple of
    the mean adstocked exposure per head."""

    name: str
    roi: float
    retention: float
    half_saturation: float
    weekly_spend: float
    cpm: float
    on_air: tuple[int, int] | None
    """Weeks on, weeks off; None: always on."""


CHANNELS: tuple[Channel, ...] = (
    Channel(name="tv", roi=1.8, retention=0.60, half_saturation=1.6, weekly_spend=0.0150, cpm=14.0, on_air=(4, 4)),
    Channel(name="search", roi=3.2, retention=0.15, half_saturation=2.5, weekly_spend=0.0045, cpm=22.0, on_air=None),
    Channel(name="social", roi=2.3, retention=0.35, half_saturation=1.2, weekly_spend=0.0065, cpm=8.0, on_air=(5, 3)),
    Channel(name="video", roi=1.3, retention=0.45, half_saturation=1.0, weekly_spend=0.0070, cpm=11.0, on_air=(3, 3)),
    Channel(name="display", roi=0.7, retention=0.25, half_saturation=0.8, weekly_spend=0.0045, cpm=4.0, on_air=None),
)


@dataclass(frozen=True, kw_only=True)
class LiftTest:
    """A geo experiment: the channel is dark before the test, on in it, dark until the window's end.

    So the window holds the whole effect of its own spend (carry-over included) and nearly nothing else's.
    """

    experiment_id: str
    channel: str
    geos: tuple[str, ...]
    dark_before: int
    first_week: int
    weeks_on: int
    weeks_after: int

    @property
    def window(self) -> slice:
        return slice(self.first_week, self.first_week + self.weeks_on + self.weeks_after)


LIFT_TESTS: tuple[LiftTest, ...] = (
    LiftTest(
        experiment_id="lift-social-2024",
        channel="social",
        geos=("north", "west"),
        dark_before=6,
        first_week=34,
        weeks_on=5,
        weeks_after=4,
    ),
    LiftTest(
        experiment_id="lift-tv-2025",
        channel="tv",
        geos=("south", "east"),
        dark_before=8,
        first_week=62,
        weeks_on=5,
        weeks_after=6,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Marketing:
    """The generated panel. Arrays are (n_geos, n_weeks) or (n_geos, n_weeks, n_channels)."""

    spend: FloatArray
    impressions: FloatArray
    effect: FloatArray
    ceiling: FloatArray
    half_saturation: FloatArray
    contribution: FloatArray
    baseline: FloatArray
    newsletter_exposure: FloatArray
    newsletter: FloatArray
    price: FloatArray
    competitor: FloatArray
    controls: FloatArray
    loss: FloatArray
    noise: FloatArray

    @property
    def outcome(self) -> FloatArray:
        return self.baseline + self.contribution.sum(axis=2) + self.newsletter + self.controls - self.loss + self.noise


def geometric_adstock(exposure: FloatArray, retention: float, lags: int = LAGS) -> FloatArray:
    """Carry-over with unit total weight over `lags` weeks; weeks are the second axis of (n_geos, n_weeks)."""
    weights = retention ** np.arange(lags)
    weights /= weights.sum()
    carried = np.zeros_like(exposure)
    for lag, weight in enumerate(weights):
        carried[:, lag:] += weight * exposure[:, : exposure.shape[1] - lag]
    return carried


def response(
    exposure: FloatArray,
    population: FloatArray,
    *,
    retention: float,
    half_saturation: float,
    ceiling: float,
    effect: FloatArray,
) -> FloatArray:
    """Conversions of one channel, (n_geos, n_weeks), from its exposure (n_geos, n_weeks) in impressions."""
    carried = geometric_adstock(exposure / population[:, None], retention)
    return ceiling * effect[:, None] * population[:, None] * carried / (carried + half_saturation)


def generate(seed: int) -> Marketing:
    """Draw the panel."""
    rng = stream(seed, "marketing")
    population = np.array(list(GEOS.values()), dtype=float)
    week = np.arange(WEEKS)
    spend = np.stack([_spend(rng, channel, population) for channel in CHANNELS], axis=2)
    spend = np.round(spend, 2)
    cpm = np.array([channel.cpm for channel in CHANNELS])
    impressions = np.round(spend / cpm * 1000 * np.exp(rng.normal(0, 0.06, spend.shape)))

    season = 0.10 * np.cos(2 * np.pi * (week - 49) / 52.18) + 0.05 * np.cos(4 * np.pi * (week - 24) / 52.18)
    level = np.exp(rng.normal(0, 0.10, len(GEOS))) * BASELINE_PER_THOUSAND / 1000 * population
    baseline = level[:, None] * (1 + 0.08 * week / 52.18 + season)[None, :]

    effect = np.exp(rng.normal(0, 0.15, (len(GEOS), len(CHANNELS))))
    effect /= effect.mean(axis=0)
    ceiling, half, contribution = np.ones(len(CHANNELS)), np.empty(len(CHANNELS)), np.empty_like(spend)
    for c, channel in enumerate(CHANNELS):
        per_head = geometric_adstock(impressions[:, :, c] / population[:, None], channel.retention)
        half[c] = channel.half_saturation * per_head.mean()
        unit = response(
            impressions[:, :, c],
            population,
            retention=channel.retention,
            half_saturation=half[c],
            ceiling=1.0,
            effect=effect[:, c],
        )
        ceiling[c] = channel.roi * spend[:, :, c].sum() / (REVENUE_PER_CONVERSION * unit.sum())
        contribution[:, :, c] = ceiling[c] * unit

    sent = np.round(population[:, None] * 0.02 * np.exp(rng.normal(0, 0.35, (len(GEOS), WEEKS))))
    newsletter = NEWSLETTER_SHARE * baseline.mean(axis=1, keepdims=True) * sent / sent.mean(axis=1, keepdims=True)
    price = np.round(100 + _autoregressive(rng, 0.8, 2.0)[None, :] + rng.normal(0, 0.5, (len(GEOS), WEEKS)), 2)
    competitor = np.round(50 + 10 * _autoregressive(rng, 0.6, 1.0)[None, :] + rng.normal(0, 3, (len(GEOS), WEEKS)), 2)
    mean_level = baseline.mean(axis=1, keepdims=True)
    controls = mean_level * (PRICE_EFFECT * (price - 100) / 2 + COMPETITOR_EFFECT * (competitor - 50) / 10)

    expected = baseline + contribution.sum(axis=2) + newsletter + controls
    first = WEEK_STARTS.index(INCIDENT.start)
    share = np.zeros(WEEKS)
    share[first : first + INCIDENT.weeks] = INCIDENT.outcome_loss
    return Marketing(
        spend=spend,
        impressions=impressions,
        effect=effect,
        ceiling=ceiling,
        half_saturation=half,
        contribution=contribution,
        baseline=baseline,
        newsletter_exposure=sent,
        newsletter=newsletter,
        price=price,
        competitor=competitor,
        controls=controls,
        loss=expected * share,
        noise=rng.normal(0, NOISE_SHARE, (len(GEOS), WEEKS)) * mean_level,
    )


def _autoregressive(rng: np.random.Generator, rho: float, sd: float) -> FloatArray:
    """(n_weeks,), stationary with standard deviation `sd`."""
    values = np.empty(WEEKS)
    values[0] = rng.normal(0, sd)
    for week in range(1, WEEKS):
        values[week] = rho * values[week - 1] + rng.normal(0, sd * np.sqrt(1 - rho**2))
    return values


def _spend(rng: np.random.Generator, channel: Channel, population: FloatArray) -> FloatArray:
    """(n_geos, n_weeks) in EUR: flights that begin at each geo's own time, levels that vary by week and geo."""
    geos = population.size
    on = np.ones((geos, WEEKS), dtype=bool)
    if channel.on_air is not None:
        weeks_on, weeks_off = channel.on_air
        for g in range(geos):
            week, flying = -int(rng.integers(0, weeks_on + weeks_off)), True
            while week < WEEKS:
                length = max(1, (weeks_on if flying else weeks_off) + int(rng.integers(-1, 2)))
                on[g, max(0, week) : max(0, week + length)] = flying
                week, flying = week + length, not flying
    for test in LIFT_TESTS:
        if test.channel == channel.name:
            rows = [list(GEOS).index(geo) for geo in test.geos]
            on[rows, test.first_week - test.dark_before : test.window.stop] = False
            on[rows, test.first_week : test.first_week + test.weeks_on] = True
    level = np.exp(rng.normal(0, 0.45, (geos, WEEKS)) + 0.25 * _autoregressive(rng, 0.7, 1.0)[None, :])
    return population[:, None] * channel.weekly_spend * level * on


def files(world: Marketing) -> pl.DataFrame:
    """The wide table as a client would bring it: one row a week and geo."""
    geos = list(GEOS)
    columns: dict[str, object] = {
        "week": [start for _ in geos for start in WEEK_STARTS],
        "region": [geo for geo in geos for _ in WEEK_STARTS],
        "conversions": np.round(world.outcome.ravel(), 2),
        "revenue_per_conversion": np.full(world.outcome.size, REVENUE_PER_CONVERSION),
        "population": np.repeat(list(GEOS.values()), WEEKS),
    }
    for c, channel in enumerate(CHANNELS):
        columns[f"{channel.name}_spend"] = world.spend[:, :, c].ravel()
        columns[f"{channel.name}_impressions"] = world.impressions[:, :, c].ravel().astype(int)
    columns["newsletter_sent"] = world.newsletter_exposure.ravel().astype(int)
    columns["price_index"] = world.price.ravel()
    columns["competitor_activity"] = world.competitor.ravel()
    return pl.DataFrame(columns)


def decomposition(world: Marketing) -> pl.DataFrame:
    """What is true, row for row beside `files`: every part of the outcome, the noise included."""
    panel = files(world).select("week", "region", "conversions")
    parts = {
        "baseline": world.baseline,
        "newsletter": world.newsletter,
        "controls": world.controls,
        "incident_loss": world.loss,
        "noise": world.noise,
    }
    for c, channel in enumerate(CHANNELS):
        parts[f"contribution_{channel.name}"] = world.contribution[:, :, c]
    return panel.with_columns(pl.Series(name, values.ravel()) for name, values in parts.items())


def experiments(world: Marketing, seed: int) -> tuple[pl.DataFrame, list[dict[str, object]]]:
    """The lift tests as a client would bring them, and what they would have found without error."""
    rng = stream(seed, "experiments")
    rows: list[dict[str, object]] = []
    truth: list[dict[str, object]] = []
    names = [channel.name for channel in CHANNELS]
    for test in LIFT_TESTS:
        geos = [list(GEOS).index(geo) for geo in test.geos]
        c = names.index(test.channel)
        true = float(world.contribution[geos, test.window, c].sum())
        spend = float(world.spend[geos, test.window, c].sum())
        std_error = 0.12 * true
        window: tuple[date, date] = (WEEK_STARTS[test.window.start], _last_day(test.window.stop - 1))
        rows.append(
            {
                "experiment_id": test.experiment_id,
                "channel": test.channel,
                "geos": ";".join(test.geos),
                "start": window[0],
                "end": window[1],
                "incremental_outcome": round(rng.normal(true, std_error), 1),
                "std_error": round(std_error, 1),
                "spend": round(spend, 2),
            }
        )
        truth.append({"experiment_id": test.experiment_id, "channel": test.channel, "incremental_outcome": true})
    return pl.DataFrame(rows), truth


def _last_day(week: int) -> date:
    return date.fromordinal(WEEK_STARTS[week].toordinal() + 6)
