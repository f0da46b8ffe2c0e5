"""Designing a test: power that is real, geos that are balanced and within bounds, and no geo test without geos."""

from itertools import pairwise

import numpy as np
import pytest
from modules.causal.experiment_worlds import geo_test, history, panel_of
from scipy import stats

from liftos_pipelines.modules.causal.experiments.assign import assign_geos, draw_ways, imbalance
from liftos_pipelines.modules.causal.experiments.contrast import contrast_weights
from liftos_pipelines.modules.causal.experiments.design import GeoDesign, NationalDesign, design_test
from liftos_pipelines.modules.causal.experiments.did import difference_in_differences
from liftos_pipelines.modules.causal.experiments.geo_panel import ExperimentError
from liftos_pipelines.modules.causal.experiments.power import lifted, rejections, simulate_power, smallest_found
from liftos_pipelines.modules.causal.experiments.sample_size import did_power_iid
from liftos_pipelines.modules.causal.experiments.switchback import read_switchback, schedule, switchback_power


def independent(seed: int, geos: int = 16, weeks: int = 300, sd: float = 0.05) -> np.ndarray:
    return 1000 * (1 + np.random.default_rng([seed, 20]).normal(0, sd, (geos, weeks)))


def average_power(worlds: int, trials: int, lifts: tuple[float, ...]) -> np.ndarray:
    """Over histories of independent geo-weeks, treated geos free of balancing, so that the formula applies."""
    return np.mean(
        [
            simulate_power(
                independent(seed), 8, 4, method="did", lifts=lifts, trials=trials, seed=seed, balance=False
            ).power
            for seed in range(worlds)
        ],
        axis=0,
    )


def test_simulated_power_is_the_formula_s_where_weeks_are_independent() -> None:
    lifts = (0.0, 0.02, 0.04, 0.06)
    found = average_power(6, 150, lifts)
    for lift, power in zip(lifts, found, strict=True):
        formula = did_power_iid(lift, 0.05, n_treated=8, n_control=8, n_pre=52, n_window=4)
        assert power == pytest.approx(formula, abs=0.07), lift


@pytest.mark.slow
def test_simulated_power_is_the_formula_s_in_a_long_run() -> None:
    lifts = (0.0, 0.02, 0.03, 0.04, 0.06)
    found = average_power(30, 200, lifts)
    for lift, power in zip(lifts, found, strict=True):
        formula = did_power_iid(lift, 0.05, n_treated=8, n_control=8, n_pre=52, n_window=4)
        assert power == pytest.approx(formula, abs=0.035), lift


def test_the_formula_overstates_power_where_weeks_hang_together() -> None:
    found = [
        simulate_power(history(seed, weeks=156), 5, 6, method="did", lifts=(0.05,), trials=100, seed=seed).power[1]
        for seed in range(4)
    ]
    formula = did_power_iid(0.05, 0.05, n_treated=5, n_control=15, n_pre=52, n_window=6)
    assert np.mean(found) < formula - 0.15


@pytest.mark.parametrize("method", ["did", "synthetic_control"])
def test_power_rises_with_the_lift_and_false_alarms_are_told(method: str) -> None:
    curve = simulate_power(history(2, weeks=156), 6, 6, method=method, trials=120)  # type: ignore[arg-type]
    assert curve.lifts[0] == 0
    assert curve.false_alarm == curve.power[0] < 0.15
    assert curve.power[-1] > 0.95
    assert curve.mde is not None
    assert curve.at(curve.mde) == pytest.approx(0.8, abs=0.02)
    assert (curve.low <= curve.power).all()
    assert (curve.power <= curve.high).all()


@pytest.mark.parametrize("n_treated", [2, 9])
def test_the_simulation_s_short_cut_decides_as_the_readout_does(n_treated: int) -> None:
    for seed in range(8):
        placed, _ = geo_test(seed, n_treated=n_treated, sizes=0.3)
        quick = rejections(placed, (0.0, 0.05, 0.1, 0.3), "did")
        whole = [
            difference_in_differences(lifted(placed, lift), limit=200)[0].p_value <= 0.05
            for lift in (0.0, 0.05, 0.1, 0.3)
        ]
        assert quick.tolist() == whole


def test_longer_tests_in_more_geos_find_smaller_lifts() -> None:
    outcome = history(3, weeks=156)
    few = simulate_power(outcome, 2, 2, method="did", trials=100).power.sum()
    many = simulate_power(outcome, 8, 10, method="did", trials=100).power.sum()
    assert many > few


def test_a_lift_that_is_not_found_has_no_smallest_size() -> None:
    assert smallest_found((0.0, 0.1, 0.2), np.array([0.05, 0.3, 0.6]), 0.8) is None
    assert smallest_found((0.0, 0.1, 0.2), np.array([0.05, 0.6, 1.0]), 0.8) == pytest.approx(0.15)


def test_assignments_are_valid_and_balanced_better_than_random_ones() -> None:
    better, ahead = [], []
    for seed in range(12):
        # Balanced on the first weeks, judged on those that follow: a balance that does not last is worth nothing.
        outcome = history(seed, weeks=104)
        outcome *= 1 + 0.1 * np.sin(2 * np.pi * np.arange(104) / 40)[None, :] * (np.arange(20) % 4)[:, None]
        chosen = assign_geos(panel_of(outcome[:, :78]), 5, seed=seed)
        assert len(chosen.treated) == 5
        assert not set(chosen.treated) & set(chosen.control)
        assert len(chosen.treated) + len(chosen.control) == 20
        better.append(chosen.imbalance / chosen.imbalance_random)
        mask = np.isin(panel_of(outcome).geos, chosen.treated)
        later, base = outcome[:, 78:], outcome[:, :78].mean(axis=1)
        rng = np.random.default_rng(seed)
        free = np.argsort(rng.random((300, 20)), axis=1) < 5
        gaps = np.abs(contrast_weights(base, np.vstack([mask, free])) @ (later / base[:, None])).mean(axis=1)
        ahead.append(gaps[0] / np.median(gaps[1:]))
    assert max(better) < 0.9
    assert np.mean(ahead) < 0.9


def test_the_choice_is_repeated_by_its_seed_and_differs_with_another() -> None:
    panel = panel_of(history(1, weeks=104))
    assert assign_geos(panel, 5, seed=1) == assign_geos(panel, 5, seed=1)
    assert len({assign_geos(panel, 5, seed=seed).treated for seed in range(6)}) > 3


def test_every_geo_may_be_drawn_and_each_stratum_gives_one() -> None:
    outcome = history(4, geos=11, weeks=60)
    ways = draw_ways(outcome, 3, 600, seed=0)
    assert (ways.sum(axis=1) == 3).all()
    assert ways.any(axis=0).all()
    order = np.argsort(np.argsort(outcome.mean(axis=1)))
    spread = np.array([np.ptp(order[way]) for way in ways])
    assert spread.min() >= 2
    assert (imbalance(outcome, ways) > 0).all()


def test_excluded_geos_and_the_budget_share_are_kept() -> None:
    outcome = history(5, weeks=104)
    panel = panel_of(outcome, spend=outcome * 0.1)
    chosen = assign_geos(panel, 4, excluded=["g03", "g07"], max_spend_share=0.2)
    assert not {"g03", "g07"} & {*chosen.treated, *chosen.control}
    assert chosen.spend_share is not None
    assert chosen.spend_share <= 0.2
    assert chosen.outcome_share == pytest.approx(chosen.spend_share, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"n_treated": 20}, "cannot be treated"),
        ({"n_treated": 0}, "cannot be treated"),
        ({"n_treated": 12}, "more than half"),
        ({"n_treated": 3, "excluded": ["paris"]}, "paris is not in the panel"),
        ({"n_treated": 1, "excluded": [f"g{g:02d}" for g in range(19)]}, "1 geo is left"),
        ({"n_treated": 3, "max_spend_share": 0.1}, "no spend of this channel"),
    ],
)
def test_constraints_that_cannot_be_kept_are_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        assign_geos(panel_of(history(1)), **arguments)  # type: ignore[arg-type]


def test_a_budget_share_that_no_draw_keeps_names_the_least() -> None:
    outcome = history(1)
    with pytest.raises(ExperimentError, match="the least found is"):
        assign_geos(panel_of(outcome, spend=outcome), 5, max_spend_share=0.001)


def test_too_little_history_is_refused() -> None:
    with pytest.raises(ExperimentError, match="too few to try a test"):
        simulate_power(history(1, weeks=12), 3, 6, method="did")
    with pytest.raises(ExperimentError, match="too few to balance"):
        assign_geos(panel_of(history(1, weeks=7)), 3)
    with pytest.raises(ExperimentError, match="a lift of 0"):
        design_test(panel_of(history(1)), "tv", weeks=4, lift=0.0)


def test_a_design_says_whom_to_treat_and_what_it_finds() -> None:
    designed = design_test(
        panel_of(history(6, geos=12, weeks=120, sd=0.03)), "tv", weeks=6, lift=0.06, n_treated=4, trials=80
    )
    assert isinstance(designed, GeoDesign)
    assert len(designed.assignment.treated) == 4
    assert 0.06 in designed.curve.lifts
    assert designed.power == designed.curve.power[designed.curve.lifts.index(0.06)]
    assert {(other.weeks, other.n_treated) for other in designed.others} >= {(2, 4), (12, 4), (6, 1), (6, 6)}


def test_without_a_number_of_geos_the_fewest_that_find_the_lift_are_taken() -> None:
    panel = panel_of(history(7, geos=12, weeks=120, sd=0.02))
    easy = design_test(panel, "tv", weeks=6, lift=0.25, trials=60)
    hard = design_test(panel, "tv", weeks=6, lift=0.03, trials=60)
    assert isinstance(easy, GeoDesign)
    assert isinstance(hard, GeoDesign)
    assert len(easy.assignment.treated) < len(hard.assignment.treated)
    assert easy.power >= 0.75


def test_on_national_data_a_geo_test_is_refused_and_an_on_off_test_offered() -> None:
    designed = design_test(panel_of(history(8, geos=1, weeks=156)), "tv", weeks=4)
    assert isinstance(designed, NationalDesign)
    assert "a geo test is not possible" in designed.reason
    assert len(designed.on) == 12
    assert sum(designed.on) == 6
    sizes = [curve.mde or np.inf for curve in (designed.curve, *designed.others)]
    assert all(later <= earlier for earlier, later in pairwise(sizes))


def test_on_off_tests_keep_their_level_and_find_the_effect_where_a_before_after_view_does_not() -> None:
    runs, alarms, naive, effects = 400, 0, 0, []
    for seed in range(runs):
        series = history(seed, geos=1, weeks=24)[0]
        on = schedule(24, seed=seed)
        alarms += read_switchback(series, on).p_value <= 0.05
        effects.append(read_switchback(series * (1 + 0.1 * on), on).effect)
        halves = np.log(series)
        naive += stats.ttest_ind(halves[:12], halves[12:]).pvalue <= 0.05
    assert alarms / runs <= 0.08
    assert np.mean(effects) == pytest.approx(0.1, abs=0.015)
    assert naive / runs > 0.15


def test_on_off_power_rises_and_short_histories_are_refused() -> None:
    series = history(9, geos=1, weeks=120)[0]
    curve = switchback_power(series, 24, trials=150)
    assert curve.false_alarm < 0.12
    assert curve.power[-1] > 0.9
    with pytest.raises(ExperimentError, match="too few to try a test of 24 weeks"):
        switchback_power(series[:20], 24)
    with pytest.raises(ExperimentError, match="whole pairs of blocks"):
        schedule(10)
    with pytest.raises(ExperimentError, match="must be positive"):
        read_switchback(np.zeros(12), schedule(12))
