"""The integrated-out baseline is the same model as its twin, incidents are set apart, lift tests land where they ran."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from modules.causal.causal_worlds import World, make_world
from scipy import stats

from liftos_pipelines.modules.causal.design import Design, build_design
from liftos_pipelines.modules.causal.draws import Draws, Media, coefficients, draw_baseline
from liftos_pipelines.modules.causal.lift import LiftTests, prepare_lift_tests
from liftos_pipelines.modules.causal.model import build_model, effect_prior, window
from liftos_pipelines.modules.causal.panel import build_panel
from liftos_pipelines.modules.causal.spec import ModelSpec

SPEC = ModelSpec(max_lag=4, seasonality=1)


def design_of(world: World, spec: ModelSpec = SPEC) -> Design:
    return build_design(build_panel(world.outcome, world.media, world.controls, channels=world.channels).frame, spec)


def experiment(world: World, **changed: Any) -> pl.DataFrame:
    row = {
        "experiment_id": "e1",
        "channel": "tv",
        "geos": ["g0"],
        "start": world.weeks[10],
        "end": world.weeks[15] + timedelta(days=6),
        "incremental_outcome": 100.0,
        "std_error": 10.0,
        "spend": None,
    }
    schema = {
        "experiment_id": pl.String,
        "channel": pl.String,
        "geos": pl.List(pl.String),
        "start": pl.Date,
        "end": pl.Date,
        "incremental_outcome": pl.Float64,
        "std_error": pl.Float64,
        "spend": pl.Float64,
    }
    return pl.DataFrame([row | changed], schema=schema)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(seed=2, geos=2, weeks=60)


def point(seed: int) -> dict[str, np.ndarray]:
    """One set of parameters, drawn around plausible values."""
    rng = np.random.default_rng(seed)
    return {
        "retention": rng.uniform(0.1, 0.8, 3),
        "shape": np.exp(rng.normal(0, 0.5, 3)),
        "log_effect": rng.normal(0.2, 0.5, 3),
        "sigma": np.array(rng.uniform(0.3, 1.0)),
        "geo_spread": np.abs(rng.normal(0, 0.3, 3)),
        "geo_offset": rng.normal(0, 1, (3, 2)),
    }


def draws_at(design: Design, media: Media, at: dict[str, np.ndarray]) -> Draws:
    effect = np.exp(at["geo_spread"][:, None] * at["geo_offset"])
    return coefficients(
        media,
        effect_prior(design, SPEC),
        retention=at["retention"][None],
        shape=at["shape"][None],
        log_effect=at["log_effect"][None],
        geo_effect=effect[None],
        sigma=np.array([at["sigma"]]),
    )


def potentials(model: Any, at: dict[str, np.ndarray], names: tuple[str, ...]) -> list[float]:
    """Values of the model's potentials at a point, by the plain interpreter: nothing is compiled."""
    import pytensor

    found = {rv.name: rv for rv in model.free_RVs}
    values = [(found[name], found[name].type(name)) for name in found]
    targets = pytensor.graph.replace.clone_replace([model[name] for name in names], dict(values))
    function = pytensor.function([value for _, value in values], targets, mode="FAST_COMPILE", on_unused_input="ignore")
    return [float(np.sum(value)) for value in function(*(at[name] for name in found))]


@pytest.mark.parametrize("held", [0, 6])
def test_the_marginal_likelihood_is_the_twins_integrated_over_its_baseline(world: World, held: int) -> None:
    import pymc as pm

    design = design_of(world)
    media, seen = Media(design, SPEC.saturation, SPEC.max_lag), window(design, held)
    marginal, twin = build_model(design, SPEC), build_model(design, SPEC, marginal=False)
    for model, names in ((marginal, ("mask", "u", "d2", "n")), (twin, ("mask",))):
        with model:
            pm.set_data({name: seen.as_data()[name] for name in names})
    rows = seen.mask > 0
    for seed in (1, 2):
        at = point(seed)
        draws = draws_at(design, media, at)
        residual = (design.y.ravel() - media.total(draws)[0])[rows]
        x, s2 = design.baseline[rows], float(at["sigma"]) ** 2
        dense = stats.multivariate_normal(np.zeros(rows.sum()), x @ x.T + s2 * np.eye(rows.sum())).logpdf(residual)
        [found] = potentials(marginal, at, ("outcome",))
        assert found - 0.5 * rows.sum() * np.log(2 * np.pi) == pytest.approx(dense, abs=1e-6)
        # Chib's identity: p(y) = p(y | beta) p(beta) / p(beta | y) for any beta.
        beta = np.random.default_rng(seed).normal(size=x.shape[1])
        [conditional] = potentials(twin, at | {"beta": beta}, ("outcome",))
        precision = x.T @ x / s2 + np.eye(x.shape[1])
        covariance = np.linalg.inv(precision)
        posterior = stats.multivariate_normal(covariance @ x.T @ residual / s2, (covariance + covariance.T) / 2)
        prior = stats.norm.logpdf(beta).sum()
        assert conditional + prior - posterior.logpdf(beta) == pytest.approx(dense, abs=1e-5)


def test_the_baseline_is_drawn_from_its_exact_posterior(world: World) -> None:
    design = design_of(world)
    media, seen = Media(design, SPEC.saturation, SPEC.max_lag), window(design)
    one = draws_at(design, media, point(1))
    many = one.take(np.zeros(4000, dtype=int))
    beta = draw_baseline(media, many, seen, np.random.default_rng(0))
    s2 = float(one.sigma[0]) ** 2
    covariance = np.linalg.inv(design.baseline.T @ design.baseline / s2 + np.eye(len(design.columns)))
    mean = covariance @ design.baseline.T @ (design.y.ravel() - media.total(one)[0]) / s2
    sd = np.sqrt(np.diag(covariance))
    assert np.abs((beta.mean(axis=0) - mean) / sd).max() < 5 / np.sqrt(4000) * 1.2
    np.testing.assert_allclose(beta.std(axis=0) / sd, 1, atol=0.06)


def test_a_total_contribution_is_roi_times_spend_whatever_the_curve(world: World) -> None:
    design = design_of(world)
    media = Media(design, SPEC.saturation, SPEC.max_lag)
    at = point(3)
    draws = draws_at(design, media, at)
    assert design.price is not None
    for c in range(3):
        revenue = (media.contribution(draws, c)[0] * design.unit * design.price).sum()
        assert revenue / design.spend[c].sum() == pytest.approx(np.exp(at["log_effect"][c]))


def test_an_incident_is_set_apart_and_a_quiet_world_has_none(world: World) -> None:
    assert design_of(world).scales.shocks == ()
    week = world.weeks[30]
    hit = world.outcome.with_columns(
        outcome=pl.col("outcome") * pl.when(pl.col("date") == week).then(0.7).otherwise(1.0)
    )
    shocked = World(**{**vars(world), "outcome": hit})
    assert design_of(shocked).scales.shocks == (week,)
    assert design_of(shocked, SPEC.model_copy(update={"shock_z": None})).scales.shocks == ()


def test_a_lift_test_enters_as_what_the_channel_added_in_its_window_and_geos(world: World) -> None:
    design = design_of(world)
    lift = prepare_lift_tests(experiment(world), design, SPEC.max_lag)
    assert lift.ids == ("e1",)
    media, at = Media(design, SPEC.saturation, SPEC.max_lag), point(4)
    draws = draws_at(design, media, at)
    [found] = potentials(build_model(design, SPEC, lift), at, ("lift_mean",))
    without = design.x.copy()
    without[0, 0, 10:16] = 0
    other = Media(Design(**{**vars(design), "x": without}), SPEC.saturation, SPEC.max_lag)
    gained = (media.contribution(draws, 0) - other.contribution(draws, 0))[0] * design.unit
    assert found == pytest.approx(gained[0, 10:16].sum())
    # Exposure before the window still works inside it: that is not the test's doing.
    assert found < (media.contribution(draws, 0)[0] * design.unit)[0, 10:16].sum()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"channel": "radio"}, "radio is not in the model"),
        ({"geos": ["mars"]}, "geo mars is not in the panel"),
        ({"std_error": 0.0}, "positive std_error"),
        ({"spend": 1e12}, "it says 1000000000000.0 was spent"),
        ({"geos": None}, None),
    ],
)
def test_a_lift_test_that_does_not_fit_is_left_out_and_named(
    world: World, changed: dict[str, Any], said: str | None
) -> None:
    lift: LiftTests = prepare_lift_tests(experiment(world, **changed), design_of(world), SPEC.max_lag)
    assert len(lift) == (said is None)
    assert said is None or said in lift.notes[0]


def test_a_prior_for_a_channel_that_is_not_there_is_named(world: World) -> None:
    spec = ModelSpec(roi_priors={"radio": {"median": 1.0, "sigma": 1.0}})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="radio"):
        effect_prior(design_of(world), spec)
