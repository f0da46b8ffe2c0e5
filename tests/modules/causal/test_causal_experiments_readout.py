"""Reading out geo tests: the truth is found, intervals cover, false alarms keep to their level, bad input is refused."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from modules.causal.experiment_worlds import START, frame_of, geo_test, history, panel_of
from scipy import stats

from liftos_pipelines.modules.causal.experiments.contrast import (
    assignments,
    cluster_contrast,
    contrast_weights,
    randomisation_contrast,
)
from liftos_pipelines.modules.causal.experiments.did import changes, difference_in_differences, event_study
from liftos_pipelines.modules.causal.experiments.geo_panel import ExperimentError, Placed, geo_panel, place
from liftos_pipelines.modules.causal.experiments.placebo import in_time, rank, synthetic_in_space
from liftos_pipelines.modules.causal.experiments.readout import METHODS, read_out, read_placed
from liftos_pipelines.modules.causal.experiments.synthetic import (
    conformal_p,
    fit_weights,
    synthetic_control,
    treated_series,
)

FEW_TREATED = {"n_treated": 2}
SETTINGS = (
    {"n_treated": 8},
    {},
    FEW_TREATED,
    {"n_treated": 1},
    {"geos": 8, "n_treated": 3},
    {"n_treated": 3, "uneven": 0.5},
)


def plain_clustered_p(placed: Placed) -> float:
    """The dummy: the usual clustered standard error (no correction for few clusters) and a normal quantile."""
    change, weights = changes(placed), contrast_weights(placed.base, placed.treated)
    variance = 0.0
    for group in (placed.treated, ~placed.treated):
        share = np.abs(weights[group])
        variance += float((share**2 * (change[group] - share @ change[group]) ** 2).sum())
    return float(2 * stats.norm.sf(abs(weights @ change) / np.sqrt(variance)))


def rows_as_independent_p(placed: Placed) -> float:
    """A worse dummy: geo-weeks taken as independent rows."""
    gap = placed.scaled[placed.treated].mean(axis=0) - placed.scaled[~placed.treated].mean(axis=0)
    return float(stats.ttest_ind(gap[placed.n_pre :], gap[: placed.n_pre]).pvalue)


def conformal_of(placed: Placed) -> float:
    scaled = placed.scaled
    target = treated_series(scaled, placed.base, placed.treated)
    return conformal_p(target, scaled[~placed.treated], placed.n_pre)


def covered(runs: int, lift: float = 0.05, **world: float) -> dict[str, float]:
    hits = {"did": 0, "synthetic_control": 0}
    for seed in range(runs):
        placed, truth = geo_test(seed, lift=lift, **world)  # type: ignore[arg-type]
        unit = placed.base[placed.treated].sum() * placed.n_window
        for name, estimate in (
            ("did", difference_in_differences(placed, limit=400, seed=seed)[0]),
            ("synthetic_control", synthetic_control(placed)[0]),
        ):
            hits[name] += estimate.low * unit <= truth <= estimate.high * unit
    return {name: count / runs for name, count in hits.items()}


def false_alarms(runs: int, **world: float) -> dict[str, float]:
    count: dict[str, int] = {}
    for seed in range(runs):
        placed, _ = geo_test(10_000 + seed, **world)  # type: ignore[arg-type]
        estimate, p_randomised, _ = difference_in_differences(placed, limit=400, seed=seed)
        study = event_study(placed, seed=seed)
        found = {
            "did": estimate.p_value,
            "randomisation": p_randomised,
            "t": cluster_contrast(changes(placed), placed.base, placed.treated).p_value,
            "conformal": conformal_of(placed),
            "space": synthetic_in_space(placed, limit=60, seed=seed)[0],
            "slope": study.slope_p,
            "joint": study.joint_p,
            "plain clustered": plain_clustered_p(placed),
            "rows independent": rows_as_independent_p(placed),
        }
        for name, p_value in found.items():
            count[name] = count.get(name, 0) + (p_value is not None and p_value <= 0.05)
    return {name: n / runs for name, n in count.items()}


@pytest.mark.parametrize("method", METHODS)
def test_a_clear_lift_is_found_about_where_it_is(method: str) -> None:
    inside = 0
    for seed in range(10):
        placed, truth = geo_test(seed, lift=0.3, sd=0.02)
        found = read_placed(placed, method)  # type: ignore[arg-type]
        inside += found.low < truth < found.high
        assert found.effect == pytest.approx(truth, rel=0.15)
        assert found.lift == pytest.approx(0.3, abs=0.05)
        assert found.p_value is not None
        assert found.p_value <= 0.05
        assert found.p_placebo is not None
        assert found.p_placebo <= 0.05
        assert found.p_time is not None
        assert found.placebo_ratio is not None
        assert found.placebo_ratio > 2
    assert inside >= 7
    assert (found.n_treated, found.n_control, found.n_pre, found.n_window) == (5, 15, 52, 6)


def test_estimates_are_right_on_average() -> None:
    errors = {"did": [], "synthetic_control": []}
    for seed in range(60):
        placed, truth = geo_test(seed, lift=0.1)
        unit = placed.base[placed.treated].sum() * placed.n_window
        errors["did"].append(difference_in_differences(placed, limit=50)[0].effect - truth / unit)
        scaled = placed.scaled
        target = treated_series(scaled, placed.base, placed.treated)
        gap = fit_weights(target, scaled[~placed.treated], slice(0, placed.n_pre)).gap
        errors["synthetic_control"].append(gap[placed.n_pre :].mean() - truth / unit)
    for name, found in errors.items():
        assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found)), name


def test_intervals_cover_as_often_as_they_say_in_a_short_run() -> None:
    for name, share in covered(60, **FEW_TREATED).items():
        assert 0.79 <= share <= 0.98, (name, share)


@pytest.mark.slow
@pytest.mark.parametrize("world", SETTINGS, ids=str)
def test_intervals_cover_as_often_as_they_say(world: dict[str, float]) -> None:
    for name, share in covered(400, **world).items():
        assert 0.85 <= share <= 0.95, (name, share)


def test_false_alarms_keep_to_their_level_where_the_plain_clustered_error_does_not() -> None:
    found = false_alarms(60, **FEW_TREATED)
    for dummy in ("plain clustered", "rows independent"):
        assert found.pop(dummy) > 0.15
    assert all(rate <= 0.13 for rate in found.values()), found


@pytest.mark.slow
@pytest.mark.parametrize("world", SETTINGS, ids=str)
def test_false_alarms_keep_to_their_level(world: dict[str, float]) -> None:
    found = false_alarms(400, **world)
    independent, plain = found.pop("rows independent"), found.pop("plain clustered")
    assert independent > 0.15
    if world.get("n_treated", 5) <= 3:
        assert plain > 0.12
    assert all(rate <= 0.085 for rate in found.values()), found


def test_the_t_interval_is_that_of_a_plain_two_sample_test_when_geos_are_alike() -> None:
    rng = np.random.default_rng(1)
    change, base = rng.normal(0, 1, 10), np.ones(10)
    treated = np.arange(10) < 5
    found = cluster_contrast(change, base, treated)
    same = stats.ttest_ind(change[treated], change[~treated])
    interval = same.confidence_interval(0.9)
    assert (found.effect, found.p_value, found.dof) == pytest.approx(
        (same.statistic * found.std_error, same.pvalue, 8.0)
    )
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_the_randomisation_interval_is_what_a_search_over_effects_finds() -> None:
    rng = np.random.default_rng(2)
    change, base = rng.normal(0, 1, 9), np.exp(rng.normal(0, 1, 9))
    treated = np.isin(np.arange(9), [1, 4, 7])
    ways = assignments(treated, seed=0)
    assert len(ways) == 84
    found, _ = randomisation_contrast(change, base, ways)

    def p_value(effect: float) -> float:
        contrasts = contrast_weights(base, ways) @ (change - effect * treated)
        return float(np.mean(np.abs(contrasts) >= abs(contrasts[0]) - 1e-12))

    grid = np.linspace(found.effect - 8, found.effect + 8, 4001)
    inside = grid[[p_value(effect) > 0.1 for effect in grid]]
    assert (found.low, found.high) == pytest.approx((inside.min(), inside.max()), abs=0.005)


def test_weights_of_a_synthetic_control_are_a_mixture_and_find_the_donors() -> None:
    rng = np.random.default_rng(4)
    donors = 1 + np.cumsum(rng.normal(0, 0.05, (6, 60)), axis=1)
    target = 0.7 * donors[1] + 0.3 * donors[4] + 0.4
    fit = fit_weights(target, donors, slice(0, 50))
    assert fit.weights.sum() == pytest.approx(1)
    assert (fit.weights >= 0).all()
    assert fit.weights == pytest.approx([0, 0.7, 0, 0, 0.3, 0], abs=1e-3)
    assert np.abs(fit.gap).max() < 1e-3


def test_geos_that_drift_apart_before_the_test_are_called_out() -> None:
    placed, _ = geo_test(5, n_treated=8)
    outcome = placed.outcome.copy()
    outcome[placed.treated] *= 1 + 0.4 * np.arange(outcome.shape[1]) / outcome.shape[1]
    drifting = Placed(geos=placed.geos, outcome=outcome, treated=placed.treated, n_pre=placed.n_pre)
    found = read_placed(drifting, "did")
    assert found.pretrend_p is not None
    assert found.pretrend_p < 0.05
    assert any("moved apart" in note for note in found.notes)
    assert not any("moved apart" in note for note in read_placed(placed, "did").notes)


def test_a_lift_stands_out_among_earlier_dates() -> None:
    placed, _ = geo_test(6, lift=0.4)
    for method in METHODS:
        earlier = in_time(placed, method)
        assert len(earlier) >= 5
        assert rank(0.4, earlier) == pytest.approx(1 / (1 + len(earlier)))
    assert rank(0.4, np.array([0.1])) is None


def test_few_geos_bound_what_a_placebo_can_say_and_the_note_tells() -> None:
    placed, _ = geo_test(1, geos=4, n_treated=2)
    found = read_placed(placed, "synthetic_control")
    assert found.p_placebo is not None
    assert found.p_placebo >= 1 / 6
    assert any("6 assignments" in note for note in found.notes)


def test_two_geos_give_a_synthetic_control_and_no_difference_in_differences_interval() -> None:
    placed, _ = geo_test(1, geos=2, n_treated=1)
    found = read_placed(placed, "did")
    assert found.p_value is None
    assert np.isinf([found.low, found.high]).all()
    assert any("too few" in note for note in found.notes)
    assert np.isfinite(read_placed(placed, "synthetic_control").low)


WINDOW = (START + timedelta(weeks=40), START + timedelta(weeks=46, days=-1))


@pytest.mark.parametrize(
    ("geos", "treated", "window", "said"),
    [
        (1, ["g00"], WINDOW, "one geo"),
        (6, [], WINDOW, "no treated geo"),
        (6, ["g99"], WINDOW, "g99 is not in the panel"),
        (3, ["g00", "g01", "g02"], WINDOW, "all geos are treated"),
        (6, ["g01"], (date(2030, 1, 1), date(2030, 3, 1)), "not within the panel"),
        (6, ["g01"], (date(2020, 1, 1), date(2020, 3, 1)), "not within the panel"),
        (6, ["g01"], (WINDOW[0], date(2026, 1, 1)), "not within the panel"),
        (6, ["g01"], (WINDOW[1], WINDOW[0]), "before its start"),
        (6, ["g01"], (START + timedelta(weeks=2), START + timedelta(weeks=6)), "at least 4"),
        (6, ["g01"], (WINDOW[0], WINDOW[0] + timedelta(days=1)), "not within the panel"),
    ],
)
def test_a_test_that_cannot_be_read_out_is_refused_with_the_reason(
    geos: int, treated: list[str], window: tuple[date, date], said: str
) -> None:
    with pytest.raises(ExperimentError, match=said):
        place(panel_of(history(1, geos=geos)), treated, *window)


def test_too_few_weeks_for_weights_are_refused() -> None:
    panel = panel_of(history(1, geos=6))
    with pytest.raises(ExperimentError, match="needs 8 or more"):
        read_out(panel, ["g01"], *WINDOW, method="synthetic_control", pre_weeks=6)


def test_a_panel_with_gaps_or_without_numbers_is_refused() -> None:
    frame = frame_of(panel_of(history(1, geos=3)))
    assert geo_panel(frame).outcome.shape == (3, 58)
    with pytest.raises(ExperimentError, match="empty"):
        geo_panel(frame.clear())
    with pytest.raises(ExperimentError, match="geo g00 has 57 rows for 58 weeks"):
        geo_panel(frame.slice(1))
    with pytest.raises(ExperimentError, match="outcome of g00"):
        geo_panel(frame.with_columns(pl.when(pl.int_range(pl.len()) > 0).then("outcome").alias("outcome")))
    silent = history(1, geos=3)
    silent[1] = 0
    with pytest.raises(ExperimentError, match="g01 has no outcome"):
        place(panel_of(silent), ["g00"], *WINDOW)


def test_a_window_takes_the_weeks_that_lie_in_it_by_four_days() -> None:
    panel = panel_of(history(1, geos=3))
    monday = START + timedelta(weeks=30)
    placed = place(panel, ["g00"], monday + timedelta(days=3), monday + timedelta(days=16), pre_weeks=10)
    assert (placed.n_pre, placed.n_window) == (10, 2)
    assert placed.outcome[:, 10:] == pytest.approx(panel.outcome[:, 30:32])
