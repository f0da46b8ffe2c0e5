"""The integrated-out baseline is the same model as its twin, incidents are set apart, lift tests land where they ran."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from modules.causal.causal_worlds import World, make_world
from scipy import stats

from liftos_pipelines.modules.causal.engine.draws import Draws, Media, complete, log_marginal, with_baseline
from liftos_pipelines.modules.causal.engine.fit import Engine
from liftos_pipelines.modules.causal.engine.graph import build_model
from liftos_pipelines.modules.causal.engine.prior import effect_scale
from liftos_pipelines.modules.causal.inputs.design import Design, build_design
from liftos_pipelines.modules.causal.inputs.lift import LiftTests, prepare_lift_tests
from liftos_pipelines.modules.causal.inputs.panel import build_panel
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


def point(engine: Engine, seed: int) -> dict[str, np.ndarray]:
    """One set of parameters, drawn around plausible values."""
    rng = np.random.default_rng(seed)
    return {
        "share": rng.uniform(0.1, 0.8, len(engine.structure.shares)),
        "positive": np.exp(rng.normal(0, 0.5, len(engine.structure.positives))),
        "log_effect": rng.normal(0.2, 0.5, 3),
        "sigma": np.array(rng.uniform(0.3, 1.0)),
        "week_sigma": np.array(rng.uniform(0.2, 0.6)),
        "geo_spread": np.abs(rng.normal(0, 0.3, 3)),
        "geo_offset": rng.normal(0, 1, (3, 2)),
    }


def draws_at(engine: Engine, at: dict[str, np.ndarray]) -> Draws:
    effect = np.exp(at["geo_spread"][:, None] * at["geo_offset"])[None]
    bare = Draws(
        form=engine.structure.values(at["share"][None], at["positive"][None]),
        geo_effect=effect,
        coefficient=np.ones((1, 3)),
        sigma=at["sigma"][None],
        week_sigma=at["week_sigma"][None],
    )
    return complete(engine.media, effect_scale(engine.design, engine.spec), bare, at["log_effect"][None])


def potentials(model: Any, at: dict[str, np.ndarray], names: tuple[str, ...]) -> list[float]:
    """Values of the model's potentials at a point, by the plain interpreter: nothing is compiled."""
    import pytensor

    found = {rv.name: rv for rv in model.free_RVs}
    values = [(found[name], found[name].type(name)) for name in found]
    targets = pytensor.graph.replace.clone_replace([model[name] for name in names], dict(values))
    function = pytensor.function([value for _, value in values], targets, mode="FAST_COMPILE", on_unused_input="ignore")
    return [float(np.sum(value)) for value in function(*(at[name] for name in found))]


def noise_covariance(design: Design, at: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Independent noise, and shocks that geos share in a week."""
    _, geos, weeks = design.shape
    same_week = np.tile(np.eye(weeks), (geos, geos))
    whole = float(at["sigma"]) ** 2 * np.eye(geos * weeks) + float(at["week_sigma"]) ** 2 * same_week
    return whole[np.ix_(rows, rows)]


@pytest.mark.parametrize("held", [0, 6])
def test_the_marginal_likelihood_is_the_dense_one(world: World, held: int) -> None:
    engine = Engine.of(design_of(world), SPEC)
    design, seen = engine.design, engine.window(held)
    rows = np.flatnonzero(np.tile(seen.mask, 2) > 0)
    for seed in (1, 2):
        at = point(engine, seed)
        draws = draws_at(engine, at)
        residual = engine.media.residual(draws).reshape(1, -1)[0, rows]
        x = design.baseline[rows]
        dense = stats.multivariate_normal(np.zeros(rows.size), x @ x.T + noise_covariance(design, at, rows))
        assert log_marginal(engine.media, draws, seen)[0] == pytest.approx(dense.logpdf(residual), abs=1e-6)


def test_the_twin_integrates_to_the_marginal_likelihood(world: World) -> None:
    """Chib's identity: p(y) = p(y | beta) p(beta) / p(beta | y) for any beta."""
    spec = SPEC.model_copy(update={"week_sd": None})
    engine = Engine.of(design_of(world, spec), spec)
    marginal, twin = build_model(engine.design, spec), build_model(engine.design, spec, marginal=False)
    at = point(engine, 1) | {"week_sigma": np.array(0.0)}
    x, s2 = engine.design.baseline, float(at["sigma"]) ** 2
    residual = engine.media.residual(draws_at(engine, at)).ravel()
    beta = np.random.default_rng(1).normal(size=x.shape[1])
    [conditional] = potentials(twin, at | {"beta": beta}, ("outcome",))
    covariance = np.linalg.inv(x.T @ x / s2 + np.eye(x.shape[1]))
    posterior = stats.multivariate_normal(covariance @ x.T @ residual / s2, (covariance + covariance.T) / 2)
    [found] = potentials(marginal, at, ("outcome",))
    expected = conditional + stats.norm.logpdf(beta).sum() - posterior.logpdf(beta)
    assert found - 0.5 * residual.size * np.log(2 * np.pi) == pytest.approx(expected, abs=1e-5)


def test_the_baseline_is_drawn_from_its_exact_posterior(world: World) -> None:
    engine = Engine.of(design_of(world), SPEC)
    design, at = engine.design, point(engine, 1)
    one = draws_at(engine, at)
    many = with_baseline(engine.media, one.take(np.zeros(4000, dtype=int)), engine.window(), np.random.default_rng(0))
    beta = np.asarray(many.beta)
    rows = np.arange(design.y.size)
    noise = np.linalg.inv(noise_covariance(design, at, rows))
    covariance = np.linalg.inv(design.baseline.T @ noise @ design.baseline + np.eye(len(design.columns)))
    mean = covariance @ design.baseline.T @ noise @ engine.media.residual(one).ravel()
    sd = np.sqrt(np.diag(covariance))
    assert np.abs((beta.mean(axis=0) - mean) / sd).max() < 5 / np.sqrt(4000) * 1.2
    np.testing.assert_allclose(beta.std(axis=0) / sd, 1, atol=0.06)


def test_a_total_contribution_is_roi_times_spend_whatever_the_curve(world: World) -> None:
    engine = Engine.of(design_of(world), SPEC)
    design, at = engine.design, point(engine, 3)
    draws = draws_at(engine, at)
    assert design.price is not None
    for c in range(3):
        revenue = (engine.media.contribution(draws, c)[0] * design.unit * design.price).sum()
        assert revenue / design.spend[c].sum() == pytest.approx(np.exp(at["log_effect"][c]))


def test_a_prior_on_marginal_roi_is_about_the_next_currency(world: World) -> None:
    prior = {"of": "mroi", "median": 1.0, "sigma": 0.9}
    spec = ModelSpec.from_config({"max_lag": 4, "seasonality": 1, "channels": {"tv": {"prior": prior}}})
    engine = Engine.of(design_of(world, spec), spec)
    design, at = engine.design, point(engine, 3)
    draws = draws_at(engine, at)
    assert design.price is not None
    more = engine.media.contribution(draws, 0, 1.001) - engine.media.contribution(draws, 0, 0.999)
    marginal = (more[0] * design.unit * design.price).sum() / (0.002 * design.spend[0].sum())
    assert marginal == pytest.approx(np.exp(at["log_effect"][0]), rel=1e-5)


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
    engine = Engine.of(design, SPEC, lift)
    media, at = engine.media, point(engine, 4)
    draws = draws_at(engine, at)
    [found] = potentials(build_model(design, SPEC, lift), at, ("lift_mean",))
    without = design.x.copy()
    without[0, 0, 10:16] = 0
    other = Media(Design(**{**vars(design), "x": without}), engine.structure)
    gained = (media.contribution(draws, 0) - other.contribution(draws, 0))[0] * design.unit
    assert found == pytest.approx(gained[0, 10:16].sum())
    longer = prepare_lift_tests(experiment(world), design, SPEC.max_lag, carry_out_weeks=4)
    [with_carry_out] = potentials(build_model(design, SPEC, longer), at, ("lift_mean",))
    assert with_carry_out == pytest.approx(gained[0, 10:20].sum())
    assert with_carry_out > found
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
        effect_scale(design_of(world), spec)
