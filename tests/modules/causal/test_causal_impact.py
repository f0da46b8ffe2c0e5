"""The counterfactual of an event: right when nothing happened, powerful when something did, silent when it cannot know."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.causal.impact import Impact, ImpactUnknown, Series, estimate_impact, national_series

START = date(2023, 1, 2)


def series(seed: int, *, weeks: int = 104, step: int = 7, rho: float = 0.5, noise: float = 3.0) -> Series:
    """Level 100, yearly wave, one channel, autocorrelated errors of standard deviation `noise`."""
    rng = np.random.default_rng(seed)
    n = weeks * 7 // step
    time = np.arange(n) * step / 7
    error = np.empty(n)
    error[0] = rng.normal(0, noise)
    for t in range(1, n):
        error[t] = rho * error[t - 1] + rng.normal(0, noise * np.sqrt(1 - rho**2))
    media = rng.gamma(2, 1, size=(1, n)) * (rng.random(n) > 0.3)
    outcome = 100 + 0.05 * time + 8 * np.sin(2 * np.pi * time / 52.18) + 6 * media[0] / (1 + media[0]) + error
    dates = tuple(START + timedelta(days=step * t) for t in range(n))
    return Series(
        dates=dates, step=step, outcome=outcome, price=np.full(n, 20.0), media=media, controls=np.empty((0, n))
    )


def with_drop(quiet: Series, first: int, length: int, drop: float) -> Series:
    outcome = quiet.outcome.copy()
    outcome[first : first + length] -= drop
    return Series(**{**vars(quiet), "outcome": outcome})


def at(data: Series, first: int, length: int) -> Impact:
    return estimate_impact(data, data.dates[first], data.dates[first + length - 1] + timedelta(days=data.step - 1))


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_where_nothing_happened_harm_is_seldom_claimed_and_intervals_hold_zero(rho: float) -> None:
    found = [at(series(seed, rho=rho), first, 3) for seed in range(25) for first in (60, 75, 90)]
    covered = np.mean([impact.effect_low <= 0 <= impact.effect_high for impact in found])
    alarms = np.mean([impact.probability_harmful >= 0.95 for impact in found])
    # 75 windows: nominal 0.90 and 0.05, three binomial standard errors each way.
    assert covered >= 0.79
    assert alarms <= 0.13


def test_a_drop_of_ten_per_cent_for_three_weeks_is_found_and_its_size_held() -> None:
    found = [at(with_drop(series(seed), 80, 3, 10.0), 80, 3) for seed in range(30)]
    assert np.mean([impact.probability_harmful >= 0.95 for impact in found]) >= 0.9
    assert np.mean([impact.effect_low <= -30 <= impact.effect_high for impact in found]) >= 0.75
    assert abs(np.mean([impact.effect for impact in found]) + 30) < 4


def test_a_flat_average_of_the_weeks_before_would_blame_the_season() -> None:
    """The dummy: mean of the eight weeks before as counterfactual, in a falling season, sees harm everywhere."""
    naive, ours = [], []
    for seed in range(15):
        quiet = series(seed)
        first = 52 + 22  # the wave falls here
        naive.append(quiet.outcome[first : first + 3].sum() - 3 * quiet.outcome[first - 8 : first].mean())
        ours.append(at(quiet, first, 3).effect)
    assert abs(np.mean(ours)) < abs(np.mean(naive)) / 2


def test_revenue_at_risk_is_the_loss_in_money_and_never_negative() -> None:
    loss = at(with_drop(series(1), 80, 3, 15.0), 80, 3)
    assert loss.revenue_at_risk == pytest.approx(-loss.effect * 20)
    gain = at(with_drop(series(1), 80, 3, -15.0), 80, 3)
    assert gain.revenue_at_risk == 0
    unpriced = Series(**{**vars(series(1)), "price": None})
    assert at(unpriced, 80, 3).revenue_at_risk is None


def test_daily_outcomes_work_too() -> None:
    found = [at(with_drop(series(seed, weeks=60, step=1), 300, 14, 12.0), 300, 14) for seed in range(6)]
    assert np.mean([impact.probability_harmful > 0.95 for impact in found]) >= 5 / 6
    assert np.mean([impact.effect_low <= -14 * 12 <= impact.effect_high for impact in found]) >= 4 / 6


def test_a_window_of_days_takes_the_weeks_it_mostly_covers() -> None:
    data = series(3)
    monday = data.dates[70]
    found = estimate_impact(data, monday - timedelta(days=2), monday + timedelta(days=8))
    assert (found.window_start, found.n_window) == (monday, 1)
    within = estimate_impact(data, monday + timedelta(days=2), monday + timedelta(days=3))
    assert (within.window_start, within.window_end) == (monday, monday + timedelta(days=6))


@pytest.mark.parametrize(
    ("first", "length", "said"), [(10, 2, "at least 26"), (40, 30, "more than half"), (104, 2, "outside")]
)
def test_too_little_data_is_said_and_not_estimated(first: int, length: int, said: str) -> None:
    data = series(4)
    start = START + timedelta(weeks=first)
    with pytest.raises(ImpactUnknown, match=said):
        estimate_impact(data, start, start + timedelta(weeks=length, days=-1))


def tables(hole: bool = False) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    dates = [START + timedelta(weeks=t) for t in range(60)]
    outcome = pl.DataFrame(
        {
            "date": dates * 2,
            "geo": ["a"] * 60 + ["b"] * 60,
            "outcome": np.arange(120.0) + 1,
            "revenue": [None] * 120,
            "population": [None] * 120,
        },
        schema_overrides={"revenue": pl.Float64, "population": pl.Float64},
    )
    if hole:
        outcome = outcome.filter(~((pl.col("geo") == "b") & (pl.col("date") == dates[20])))
    media = pl.DataFrame(
        {
            "date": dates,
            "geo": "a",
            "channel": "tv",
            "spend": np.arange(60.0),
            "exposure": np.arange(60.0),
            "kind": "paid",
        }
    )
    controls = pl.DataFrame({"date": dates[:-1], "geo": "a", "control": "price", "value": np.arange(59.0)})
    return outcome, media, controls


def test_the_national_series_sums_geos_and_leaves_out_what_does_not_reach_the_end() -> None:
    data = national_series(*tables())
    assert data.outcome[0] == 1 + 61
    assert data.price is None
    assert data.media.shape == (1, 60)
    assert data.controls.shape == (0, 60)  # it lacks the last week
    with pytest.raises(ImpactUnknown, match="incomplete on"):
        national_series(*tables(hole=True))
    outcome, media, controls = tables()
    late = outcome.filter(~((pl.col("geo") == "b") & (pl.col("date") == outcome["date"].max())))
    assert len(national_series(late, media, controls).dates) == 59
    gap = outcome.filter(pl.col("date") != START + timedelta(weeks=20))
    with pytest.raises(ImpactUnknown, match="days apart"):
        national_series(gap, media, controls)
