"""Entangled effects are read off the draws as they are; the shift without the largest weeks is that of an exact refit."""

from dataclasses import replace

import numpy as np
import pytest
from modules.causal.exact_fits import exact_fit, made, sound

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.checks.leverage import entangled_effects, log_effects, outlier_leverage


@pytest.mark.parametrize(("correlation", "status"), [(-0.9, "warn"), (0.0, "pass"), (0.9, "pass")])
def test_the_correlation_of_two_effects_is_the_one_the_draws_have(correlation: float, status: str) -> None:
    fitted = sound("clean", 203, 0)
    count = fitted.draws.coefficient.shape[1]
    covariance = np.eye(count)
    covariance[0, 1] = covariance[1, 0] = correlation
    logs = np.random.default_rng(1).multivariate_normal(np.zeros(count), 0.04 * covariance, size=1000)
    check = entangled_effects(replace(fitted, draws=replace(fitted.draws, coefficient=np.exp(logs))))
    assert check.status == status
    assert check.value == pytest.approx(min(correlation, 0.0), abs=0.1)
    if correlation < 0:
        names = fitted.design.channels[:2]
        assert all(name in check.detail for name in names)


def lifted(size: float) -> tuple[Fitted, Fitted, int]:
    """Five weeks of the first channel's largest exposure carry `size` more; with them, without them, how many."""
    world, design = made("clean", 203)
    y = sound("clean", 203, 3, coefficient=6.0).design.y.copy()
    top = tuple(int(t) for t in np.argsort(design.x[0].mean(axis=0))[-max(2, round(0.03 * len(design.weeks))) :])
    y[:, list(top)] += size
    design = replace(design, y=y)
    return exact_fit(world, design, 0.3, 0), exact_fit(world, design, 0.3, 0, unseen=top), len(top)


def test_an_effect_that_rests_on_a_few_weeks_is_named_and_one_that_does_not_is_not() -> None:
    steady, _, count = lifted(0.0)
    assert outlier_leverage(steady).status == "pass"
    assert outlier_leverage(steady).n == count
    assert outlier_leverage(lifted(1.0)[0]).status == "warn"


def test_reweighting_moves_an_effect_as_a_refit_without_those_weeks_does() -> None:
    whole, without, _ = lifted(0.6)
    effects, refit = log_effects(whole), log_effects(without)
    exact = np.abs(refit.mean(axis=0) - effects.mean(axis=0))[0] / effects.std(axis=0)[0]
    assert exact > 0.8
    found = outlier_leverage(whole)
    assert found.detail.endswith(f"effect of {whole.design.channels[0]} moves without its 5 largest weeks")
    assert found.value == pytest.approx(exact, rel=0.25)
