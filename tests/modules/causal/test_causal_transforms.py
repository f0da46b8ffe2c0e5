"""Carry-over and saturation against a published generator, whose contributions are known to the last digit."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.causal.transforms import adstock_weights, geometric_adstock, hill, lag_tensor, saturate


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
    np.testing.assert_allclose(adstock_weights(np.array([0.0]), 3), [[1, 0, 0, 0]])


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
        adstock_weights(np.array([0.5, value]), 4)


def test_half_saturation_is_where_half_is_reached() -> None:
    assert hill(np.array(3.0), np.array(3.0)) == 0.5
    with pytest.raises(ValueError, match="tanh"):
        saturate("tanh", np.ones(1), np.ones(1))
