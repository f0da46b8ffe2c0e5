"""Carry-over and saturation against a published generator, whose contributions are known to the last digit."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.causal.engine.transforms import (
    CARRY,
    Carry,
    FloatArray,
    carry_weights,
    geometric_adstock,
    lag_tensor,
    saturate,
)


def test_contributions_of_a_published_generator_are_met_exactly(shared_data: Path) -> None:
    folder = shared_data / "mmm" / "pymc_marketing"
    truth = json.loads((folder / "truth.json").read_text())
    frame = pl.read_csv(folder / "mmm_example.csv")
    for name, channel in truth["channels"].items():
        exposure = frame[name].to_numpy()[None, None]
        carried = geometric_adstock(exposure, np.array([channel["alpha"]]), max_lag=7)
        total = channel["beta"] * saturate("logistic", carried, np.array(channel["lambda"])).sum()
        assert total == pytest.approx(channel["total_contribution"], rel=1e-9)
        # One lag more or less is a different model: the test can fail.
        other = geometric_adstock(exposure, np.array([channel["alpha"]]), max_lag=3)
        assert channel["beta"] * saturate("logistic", other, np.array(channel["lambda"])).sum() != pytest.approx(
            channel["total_contribution"], rel=1e-9
        )


def test_weights_sum_to_one_and_an_impulse_fades_by_retention() -> None:
    impulse = np.zeros((1, 1, 6))
    impulse[0, 0, 1] = 1.0
    carried = geometric_adstock(impulse, np.array([0.5]), max_lag=2)[0, 0]
    np.testing.assert_allclose(carried, np.array([0, 4, 2, 1, 0, 0]) / 7)


@pytest.mark.parametrize("kind", list(CARRY))
def test_every_family_sums_to_one_over_its_lags(kind: Carry) -> None:
    rng = np.random.default_rng(3)
    weights = carry_weights(kind, rng.uniform(0, 0.999, 50), rng.uniform(0.01, 3, 50), 6)
    np.testing.assert_allclose(weights.sum(axis=-1), 1)
    assert weights.min() >= 0


def test_families_have_the_shapes_they_are_named_for() -> None:
    def weights(kind: Carry, first: float, second: float) -> FloatArray:
        return carry_weights(kind, np.array(first), np.array(second), 8)

    np.testing.assert_allclose(weights("geometric", 0.0, 1.0), np.eye(9)[0], atol=1e-11)
    assert weights("delayed", 0.7, 0.25).argmax() == 2
    assert weights("weibull_pdf", 3.0, 4.0).argmax() > 1
    assert weights("weibull_cdf", 2.0, 3.0).argmax() == 0
    # Meridian's binomial decay ends at zero one week beyond the window and is a straight line at a half.
    np.testing.assert_allclose(np.diff(weights("binomial", 0.5, 1.0), n=2), 0, atol=1e-12)
    np.testing.assert_allclose(weights("none", 0.5, 1.0), np.eye(9)[0])


def test_a_leading_axis_of_draws_gives_each_draws_own_carry_over() -> None:
    exposure = np.random.default_rng(0).random((2, 3, 20))
    retention = np.array([[0.1, 0.7], [0.4, 0.2]])
    both = geometric_adstock(exposure, retention, 5)
    for draw in range(2):
        np.testing.assert_allclose(both[draw], geometric_adstock(exposure, retention[draw], 5))


def test_a_series_shorter_than_its_memory_is_allowed() -> None:
    assert lag_tensor(np.ones((1, 3)), 8).sum() == 6


@pytest.mark.parametrize("value", [1.0, -0.1, np.nan])
def test_a_retention_that_is_none_is_named(value: float) -> None:
    with pytest.raises(ValueError, match="position 1"):
        geometric_adstock(np.ones((2, 1, 4)), np.array([0.5, value]), 4)


def test_curves_rise_from_nothing_and_bend_as_they_are_named() -> None:
    three = np.array(3.0)
    assert saturate("hill", three, three, 1.0) == 0.5
    assert saturate("hill", three, three, 2.5) == pytest.approx(0.5)
    x = np.linspace(0, 6, 61)
    for kind in ("hill", "michaelis_menten", "logistic", "tanh", "none"):
        y = saturate(kind, x, np.array(1.5), np.array(1.0))  # type: ignore[arg-type]
        assert y[0] == 0
        assert np.all(np.diff(y) > 0)
    np.testing.assert_allclose(saturate("hill", x, three, 1.0), saturate("michaelis_menten", x, three))
    bend = np.diff(saturate("hill", x, three, 3.0), n=2)
    assert bend[0] > 0 > bend[-1], "a slope above 1 is S-shaped"


def test_a_family_that_is_not_known_is_named() -> None:
    with pytest.raises(ValueError, match="root"):
        saturate("root", np.ones(1), np.ones(1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="linear"):
        carry_weights("linear", np.ones(1), np.ones(1), 2)  # type: ignore[arg-type]
