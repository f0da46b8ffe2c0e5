"""Score tests: p-values are uniform where the model holds, and each contradicted assumption is found by its own check."""

from dataclasses import replace

import numpy as np
import pytest
from modules.causal.exact_fits import SPEC, exact_fit, made, sound

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.checks.identification import (
    IDENTIFICATION,
    LEVEL,
    baseline_break,
    functional_form,
    identification_checks,
    leads_of_media,
    placebo_channels,
    serial_dependence,
)
from liftos_pipelines.modules.causal.checks.scores import leftover, score

CHECKS = (leads_of_media, functional_form, baseline_break, serial_dependence, placebo_channels)


def of_world(family: str, seed: int) -> Fitted:
    """A simulated world as it is, its noise known."""
    world, design = made(family, seed)
    sigma = float(np.std(world.noise / design.unit))
    return exact_fit(world, design, sigma, seed)


@pytest.fixture(scope="module")
def p_values() -> np.ndarray:
    """(n_data_sets, n_checks) where the model holds: three designs, many data sets on each."""
    rows = []
    for family, which, times in (("clean", 200, 35), ("collinear", 201, 35), ("geo_clean", 202, 4)):
        for seed in range(times):
            fitted = sound(family, which, seed)
            left = leftover(fitted)
            rows.append([check(fitted, left).value for check in CHECKS])
    return np.array(rows, dtype=float)


@pytest.mark.parametrize("number", range(len(CHECKS)))
def test_a_sound_model_is_seldom_warned_of(p_values: np.ndarray, number: int) -> None:
    """74 data sets at 1 %: five or more warnings have probability 0.1 %; at 20 %, 8 to 34 % are seen but for 1 %."""
    p = p_values[:, number][np.isfinite(p_values[:, number])]
    assert len(p) >= 35
    assert (p <= LEVEL).sum() < 5
    assert 0.08 <= (p <= 0.2).mean() <= 0.34


def test_all_checks_together_alarm_on_one_sound_model_in_ten_at_most(p_values: np.ndarray) -> None:
    assert (np.nanmin(p_values, axis=1) <= LEVEL).mean() <= 0.1


def test_a_score_is_standard_normal_and_finds_what_was_left_out() -> None:
    world, design = made("clean", 203)
    term = np.zeros((1, 1, len(world.weeks)))
    term[0, 0, ::7] = 1.0
    null = [float(score(leftover(sound("clean", 203, seed)), term).z[0]) for seed in range(50)]
    assert abs(np.mean(null)) < 0.4
    assert 0.7 < np.std(null) < 1.3
    y = sound("clean", 203, 0).design.y
    missed = exact_fit(world, replace(design, y=y + 0.6 * term[0]), 0.3, 0)
    assert score(leftover(missed), term).z[0] > 4


def test_a_direction_of_the_baseline_is_not_tested() -> None:
    fitted = sound("clean", 203, 0)
    level = np.ones((1, *fitted.design.y.shape))
    assert score(leftover(fitted), level).rows == ()


@pytest.mark.parametrize(
    ("family", "check"),
    [
        ("confounded_demand", serial_dependence),
        ("confounded_demand", leads_of_media),
        ("changed_baseline", baseline_break),
    ],
)
def test_a_contradicted_assumption_is_found(family: str, check: object) -> None:
    """Even seeds break the level; the same check on clean worlds is the dummy."""
    seeds = (300, 302, 304, 306)

    def warned(which: str) -> int:
        found = 0
        for seed in seeds:
            fitted = of_world(which, seed)
            found += check(fitted, leftover(fitted)).status == "warn"  # type: ignore[operator]
        return found

    assert warned(family) >= 2
    assert warned("clean") <= 1


def test_every_check_stands_in_the_list() -> None:
    fitted = sound("clean", 203, 1)
    assert tuple(check.check for check in identification_checks(fitted, SPEC)) == IDENTIFICATION
    assert len(IDENTIFICATION) == len(set(IDENTIFICATION))
