"""Checks of residuals, baseline, learning and stability: data of the model itself pass, each broken world is named."""

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from modules.causal.causal_worlds import World, make_world
from modules.causal.fitted_worlds import of_small_world
from modules.causal.model_worlds import SPEC, Source, white

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.checks import model
from liftos_pipelines.modules.causal.checks.gate import Gate
from liftos_pipelines.modules.causal.engine.draws import Draws
from liftos_pipelines.modules.causal.engine.prior import effect_scale

GATE = Gate()


@pytest.fixture(scope="module", params=[1, 4], ids=["national", "geos"])
def source(request: pytest.FixtureRequest) -> Source:
    return Source(geos=request.param, weeks=104)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return Source(geos=2, weeks=104).draw(0)


def heavy_tails(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.standard_t(2.0, shape)


def louder_later(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return white(rng, shape) * np.where(np.arange(shape[1]) < shape[1] // 2, 1.0, 2.5)


def one_loud_geo(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return white(rng, shape) * np.where(np.arange(shape[0]) == 0, 2.5, 1.0)[:, None]


def one_geo_off_for_a_quarter(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    out = white(rng, shape)
    out[0, 39:52] += 4.0
    return out


def lasting(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    out = white(rng, shape)
    for t in range(1, shape[1]):
        out[:, t] = 0.6 * out[:, t - 1] + 0.8 * out[:, t]
    return out


def share(source: Source, noise: Any, check: Any, n: int) -> float:
    """How often a check does not pass."""
    return float(np.mean([check(source.draw(seed, noise)).status != "pass" for seed in range(n)]))


def predictive(fitted: Fitted) -> model.Check:
    return model.posterior_predictive(fitted, GATE, 1)


def lag_one(fitted: Fitted) -> model.Check:
    return model.residual_checks(fitted, GATE, 1)[0]


def ljung_box(fitted: Fitted) -> model.Check:
    return model.residual_checks(fitted, GATE, 1)[1]


@pytest.mark.parametrize("check", [predictive, lag_one, ljung_box])
def test_the_models_own_data_raise_few_alarms(source: Source, check: Any) -> None:
    # At most one in 50 by construction; 6 of 60 would have a probability below 0.002.
    assert share(source, white, check, 60) < 0.1


@pytest.mark.parametrize("noise", [heavy_tails, louder_later])
def test_noise_that_is_not_the_models_is_named(source: Source, noise: Any) -> None:
    assert share(source, noise, predictive, 10) >= 0.8


@pytest.mark.parametrize(
    ("noise", "words"), [(one_loud_geo, "noisier"), (one_geo_off_for_a_quarter, "a geo that stays off")]
)
def test_a_geo_unlike_the_others_is_named(noise: Any, words: str) -> None:
    geos = Source(geos=4, weeks=104)
    assert share(geos, noise, predictive, 10) >= 0.8
    assert words in predictive(geos.draw(1, noise)).detail


@pytest.mark.parametrize("check", [lag_one, ljung_box])
def test_residuals_that_follow_each_other_are_seen(source: Source, check: Any) -> None:
    assert share(source, lasting, check, 10) >= 0.7
    # Independent noise that changes in size is no such thing.
    assert share(source, louder_later, check, 10) <= 0.3


def test_a_baseline_below_zero_fails_and_twin_channels_are_seen(fitted: Fitted) -> None:
    assert model.negative_baseline(fitted, GATE).status == "pass"
    huge = Draws(**vars(fitted.draws) | {"coefficient": fitted.draws.coefficient * 30})
    below = Fitted(design=fitted.design, media=fitted.media, draws=huge)
    assert model.negative_baseline(below, GATE).status == "fail"

    assert model.multicollinearity(fitted, GATE).status == "pass"
    world = make_world(seed=4, geos=2, weeks=104)
    twin = world.media.filter(pl.col("channel") == "tv").with_columns(
        channel=pl.lit("social"), exposure=pl.col("exposure") * (1 + 0.01 * pl.int_range(pl.len()).mod(3))
    )
    media = pl.concat([world.media.filter(pl.col("channel") != "social"), twin])
    twins = of_small_world(World(**vars(world) | {"media": media}), SPEC, n=20)
    assert model.multicollinearity(twins, GATE).status == "warn"
    same = twin.with_columns(exposure=pl.col("spend") * 100)
    media = pl.concat([world.media.filter(pl.col("channel") != "social"), same])
    identical = model.multicollinearity(of_small_world(World(**vars(world) | {"media": media}), SPEC, n=20), GATE)
    assert identical.status == "warn"
    assert np.isfinite(identical.value or np.nan)


def posterior(effect: np.ndarray, names: tuple[str, ...], without: np.ndarray | None = None, **attrs: str) -> Any:
    """A posterior of logarithmic effects (n_draws, n_channels), and of the same without the newest weeks."""
    import arviz as az
    import xarray as xr

    data = az.from_dict(
        posterior={"log_effect": effect[None]}, coords={"channel": list(names)}, dims={"log_effect": ["channel"]}
    )
    if without is not None:
        folds = xr.Dataset(
            {
                "roi_effect": (("fold", "sample", "channel"), without[None]),
                "outcome": (("fold", "ahead"), np.zeros((1, 8))),
            },
            coords={"channel": list(names)},
        )
        data.add_groups({"predictions": folds})
    data.attrs.update(attrs)
    return data


def test_a_channel_that_the_data_said_nothing_of_is_named(fitted: Fitted) -> None:
    prior = effect_scale(fitted.design, SPEC)
    names = fitted.design.channels
    draws = np.random.default_rng(0).standard_normal((4000, len(names)))
    untaught = model.prior_posterior_shift(posterior(prior.mu + prior.sd * draws, names), fitted.design, SPEC)
    assert (untaught.status, untaught.value) == ("warn", 0.0)
    half = prior.sd * np.where(np.arange(len(names)) == 0, 1.0, 0.5)
    taught = model.prior_posterior_shift(posterior(prior.mu + half * draws, names), fitted.design, SPEC)
    assert taught.status == "warn"
    assert taught.detail.endswith(f": {names[0]}")
    all_ = model.prior_posterior_shift(posterior(prior.mu + 0.5 * prior.sd * draws, names), fitted.design, SPEC)
    assert all_.status == "pass"


def test_stability_over_refits_is_measured_in_posterior_sd() -> None:
    rng = np.random.default_rng(0)
    names = ("tv", "search")
    before = 1.0 + 0.5 * rng.standard_normal((500, 2))
    for moved, status in ((0.2, "pass"), (0.8, "warn"), (2.0, "fail")):
        now = 1.0 + np.array([0.0, moved]) + 0.4 * rng.standard_normal((2000, 2))
        check = model.refit_stability(posterior(now, names, before), GATE)
        assert check.status == status
        if status != "pass":
            assert "search" in check.detail
    assert model.refit_stability(posterior(before, names), GATE).status == "unknown"


def test_a_served_models_effects_are_compared_by_name() -> None:
    rng = np.random.default_rng(0)
    now = np.array([1.0, 2.0]) + 0.3 * rng.standard_normal((2000, 2))
    served = {"version": 4, "log_effect": {"search": {"mean": 2.0, "sd": 0.3}, "gone": {"mean": 9.0, "sd": 0.1}}}
    same = model.champion_stability(posterior(now, ("tv", "search"), reference=json.dumps(served)), GATE)
    assert same.status == "pass"
    assert "version 4" in same.detail
    served["log_effect"] = {"search": {"mean": 1.0, "sd": 0.3}}
    assert model.champion_stability(posterior(now, ("tv", "search"), reference=json.dumps(served)), GATE).status == (
        "warn"
    )
    for nothing in ("null", json.dumps({"why": "geos are no longer those of the served model"})):
        assert model.champion_stability(posterior(now, ("tv", "search"), reference=nothing), GATE).status == "unknown"
