"""Changes: found when they are there, silent when not, and told apart by whose they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import expit

from liftos_pipelines.modules.surfacing import visibility_shifts
from liftos_pipelines.modules.surfacing.change import find_alarms, joint_statistic, scan, window_z, windows_for
from liftos_pipelines.modules.surfacing.daily import daily_series, domain_entropies
from liftos_pipelines.tables import table

from .worlds import BRANDS, daily_answers, day_of

CHANGE = 70
ALL_MOVE = {"Acme": -1.2, "Globex": 1.0, "Initech": -0.8, "Hooli": 1.2, "Umbrella": -1.0}


def series(
    rng: np.random.Generator, days: int, brands: int, *, change: int | None = None, sd: float = 0.0
) -> np.ndarray:
    """Daily mention rates of a fixed panel (30 prompts twice a day) with day noise; a shift of all brands from `change`."""
    base, leaning = rng.normal(-1.5, 1, brands), rng.normal(0, 2, (30, brands))
    shift = rng.normal(0, sd, brands) if sd else np.zeros(brands)
    noise = rng.normal(0, 0.15, (days, 1, brands))
    late = (np.arange(days) >= (days if change is None else change))[:, None, None]
    return rng.binomial(2, expit(base + leaning + noise + late * shift)).mean(axis=1) / 2


def alarms(values: np.ndarray, seed: int, permutations: int = 200, *, joint: bool = True) -> list[int]:
    """Days of alarms by all series jointly, or by the best single brand alone."""
    weights = np.full(len(values), 60.0)
    found = scan(
        values,
        weights,
        values.shape[1],
        windows=windows_for(1),
        span_days=len(values) - 18,
        seed=seed,
        permutations=permutations,
    )
    unreachable = {"single_threshold": np.inf} if joint else {"joint_threshold": np.inf}
    return [alarm.day for alarm in find_alarms(values, weights, values.shape[1], replace(found, **unreachable))]


def test_z_is_the_hand_computed_one() -> None:
    windows = windows_for(1)
    values = np.concatenate([np.tile([0.2, 0.4], 14), [0.6] * 5])[:, None]
    weights = np.full(33, 10.0)
    spread = np.mean(np.diff(values[:, 0]) ** 2 / 0.2)
    expected = (0.6 - 0.3) / np.sqrt(spread * (1 / 50 + 1 / 280))
    z = window_z(values, weights, windows)
    assert z[-1, 0] == pytest.approx(expected)
    assert np.isnan(z[: windows.recent + windows.minimum - 1]).all()
    assert joint_statistic(np.array([1.0, -1.0])) == pytest.approx(0.0)


def test_weekly_asking_uses_fewer_but_longer_days() -> None:
    weekly = windows_for(7)
    assert (weekly.recent, weekly.base) == (3, 10)
    assert (windows_for(1).recent, windows_for(1).base) == (5, 28)


def test_stable_engines_raise_few_alarms_and_the_always_dummy_raises_many() -> None:
    years, joint, single = 0.0, 0, 0
    for seed in range(12):
        values = series(np.random.default_rng(seed), 365, 6)
        joint, single = joint + len(alarms(values, seed)), single + len(alarms(values, seed, joint=False))
        years += (365 - 18) / 365.25
    assert joint / years < 0.6  # promised: .1 a year each
    assert single / years < 0.6
    values = series(np.random.default_rng(0), 365, 6)
    weights = np.full(365, 60.0)
    found = scan(values, weights, 6, windows=windows_for(1), span_days=347, seed=0, permutations=20)
    always = find_alarms(values, weights, 6, replace(found, joint_threshold=-np.inf))
    assert len(always) > 20


def test_a_small_shift_of_all_brands_is_found_jointly_more_often_than_by_one_brand() -> None:
    joint = single = 0
    for seed in range(10):
        values = series(np.random.default_rng(100 + seed), 200, 30, change=150, sd=0.3)
        joint += any(150 <= day <= 164 for day in alarms(values, seed))
        single += any(150 <= day <= 164 for day in alarms(values, seed, joint=False))
    assert joint >= 9
    assert joint > single


@pytest.mark.slow
def test_false_alarm_rate_and_power_at_full_size() -> None:
    false, years = 0, 0.0
    for seed in range(60):
        found = alarms(series(np.random.default_rng(seed), 730, 40), seed, permutations=400)
        false, years = false + len(found), years + (730 - 18) / 365.25
    assert false / years < 0.2
    hits = sum(
        any(500 <= day <= 514 for day in alarms(series(np.random.default_rng(s), 730, 40, change=500, sd=0.3), s))
        for s in range(40)
    )
    assert hits / 40 >= 0.95


def kinds(frame: pl.DataFrame) -> list[tuple[str, str, str]]:
    return frame.select("engine", "kind", "brand").rows()


def test_an_engine_that_reweighs_brands_is_an_engine_change() -> None:
    mentions, answers = daily_answers(1, engines=("one", "two"), change_day=CHANGE, shift={"two": ALL_MOVE})
    found = visibility_shifts(mentions, answers)
    assert kinds(found) == [("two", "engine", "all")]
    row = found.row(0, named=True)
    assert day_of(CHANGE) <= row["detected_at"].date() <= day_of(CHANGE + 8)
    assert row["window_start"] <= row["window_end"]
    assert row["p_value"] < 0.01
    assert table("surfacing/shifts").conform(found).height == 1


def test_one_brand_that_falls_is_a_brand_change_with_its_size() -> None:
    mentions, answers = daily_answers(2, engines=("one", "two"), change_day=CHANGE, shift={"one": {"Acme": -2.5}})
    found = visibility_shifts(mentions, answers)
    assert ("one", "brand", "Acme") in kinds(found)
    assert {kind for _, kind, _ in kinds(found)} == {"brand"}
    assert found.filter(pl.col("brand") == "Acme")["effect"].max() < 0


def test_the_same_on_every_engine_is_the_world() -> None:
    mentions, answers = daily_answers(
        3, engines=("one", "two"), change_day=CHANGE, shift={"one": ALL_MOVE, "two": ALL_MOVE}
    )
    assert kinds(visibility_shifts(mentions, answers)) == [("all", "world", "all")]


def test_one_brand_on_every_engine_is_that_brand_everywhere() -> None:
    drop = {"Acme": -2.5}
    mentions, answers = daily_answers(4, engines=("one", "two"), change_day=CHANGE, shift={"one": drop, "two": drop})
    assert ("all", "brand", "Acme") in kinds(visibility_shifts(mentions, answers))


def test_other_prompts_are_our_own_change() -> None:
    mentions, answers = daily_answers(5, prompts_change=CHANGE)
    found = visibility_shifts(mentions, answers)
    assert {kind for _, kind, _ in kinds(found)} == {"own"}
    assert "new prompts" in found["evidence"][0]


def test_reworded_prompts_do_not_hide_a_change_of_the_engine() -> None:
    mentions, answers = daily_answers(6, prompts_change=CHANGE, change_day=CHANGE, shift={"one": ALL_MOVE})
    assert "engine" in {kind for _, kind, _ in kinds(visibility_shifts(mentions, answers))}


def test_a_stable_engine_and_a_short_history_are_silent() -> None:
    assert visibility_shifts(*daily_answers(7)).is_empty()
    short = visibility_shifts(*daily_answers(8, days=12, change_day=6, shift={"one": ALL_MOVE}))
    assert short.is_empty()
    assert table("surfacing/shifts").conform(short).is_empty()


def test_the_same_data_and_seed_give_the_same_shifts() -> None:
    world = daily_answers(9, change_day=CHANGE, shift={"one": ALL_MOVE})
    assert visibility_shifts(*world).equals(visibility_shifts(*world))


def test_daily_series_hold_the_day_s_rates() -> None:
    mentions, answers = daily_answers(10, days=20)
    (one,) = daily_series(mentions, domain_entropies(answers))
    first = mentions.filter((pl.col("brand") == "Acme") & (pl.col("asked_at").dt.date() == day_of(0)))[
        "mentioned"
    ].mean()
    assert one.values[0, one.names.index("Acme")] == pytest.approx(first)
    assert one.brands == len(BRANDS)
    assert set(one.weights) == {40.0}
    assert "citations_per_answer" not in one.names  # always three: it cannot witness a change
