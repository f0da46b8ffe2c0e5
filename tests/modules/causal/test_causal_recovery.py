"""Sampled fits on worlds with known truth: recovery and coverage, and the two samplers beside each other."""

import json

import arviz as az
import numpy as np
import polars as pl
import pytest
from modules.causal.causal_worlds import World, make_world

from liftos_pipelines.modules.causal.answers.results import channel_results
from liftos_pipelines.modules.causal.checks.validation import validate
from liftos_pipelines.modules.causal.engine.backtest import backtest, predict, unforeseen
from liftos_pipelines.modules.causal.engine.fit import Engine, fit
from liftos_pipelines.modules.causal.engine.reading import read_fitted
from liftos_pipelines.modules.causal.inputs.design import build_design
from liftos_pipelines.modules.causal.inputs.panel import build_panel
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.modules.causal.watch.update import held_out, refresh

SPEC = ModelSpec(seasonality=1, draws=400, tune=400)


def panel_of(world: World) -> pl.DataFrame:
    return build_panel(world.outcome, world.media, world.controls, channels=world.channels).frame


@pytest.mark.slow
@pytest.mark.parametrize("geos", [1, 3])
def test_intervals_hold_the_true_roi_and_beat_equal_credit(geos: int) -> None:
    held, ours, equal, retained = [], [], [], []
    for seed in range(4):
        world = make_world(seed=seed, geos=geos)
        panel = panel_of(world)
        data = fit(build_design(panel, SPEC), SPEC)
        fitted = read_fitted(data, panel)
        table = channel_results(fitted).filter(pl.col("geo") == "all")
        for row in table.iter_rows(named=True):
            true = world.roi[row["channel"]]
            held.append(row["roi_low"] <= true <= row["roi_high"])
            ours.append(abs(row["roi"] / true - 1))
            equal.append(abs(np.mean(list(world.roi.values())) / true - 1))
        retained.append(np.abs(fitted.draws.form[:, :, 0].mean(axis=0) - [0.6, 0.1, 0.4]).max())
        verdicts = dict(validate(data, fitted, SPEC).select("check", "status").iter_rows())
        assert verdicts["r_hat"] != "fail"
        assert verdicts["divergences"] != "fail"
        assert verdicts["heldout_accuracy"] == "pass"
        assert refresh(data, panel) is None
        assert held_out(data) is not None
    # 12 intervals of 90 %: two or fewer misses have probability 0.89, four or more 0.026.
    assert np.mean(held) >= 9 / 12
    assert np.median(ours) < 0.25
    assert np.median(ours) < np.median(equal)
    assert np.median(retained) < 0.25


def effects(data: az.InferenceData) -> np.ndarray:
    """(n_draws, n_channels), log ROI."""
    return data.posterior["log_effect"].to_numpy().reshape(-1, 3)


@pytest.mark.slow
@pytest.mark.parametrize("geos", [1, 2])
def test_the_fused_sampler_and_the_pymc_graph_have_the_same_posterior(geos: int) -> None:
    world = make_world(seed=1, geos=geos)
    design = build_design(panel_of(world), SPEC)
    fused = effects(fit(design, SPEC.model_copy(update={"draws": 1000, "tune": 600, "folds": 0})))
    graph = effects(fit(design, SPEC.model_copy(update={"draws": 1000, "tune": 600, "folds": 0, "sampler": "pymc"})))
    sd = fused.std(axis=0)
    # About 1,500 effective draws each: a mean is known to .026 sd, a difference of two to .037.
    assert np.abs((fused.mean(axis=0) - graph.mean(axis=0)) / sd).max() < 0.15
    np.testing.assert_allclose(sd / graph.std(axis=0), 1, atol=0.15)


@pytest.mark.slow
def test_the_unmarginalised_twin_has_the_same_posterior() -> None:
    import nutpie

    from liftos_pipelines.modules.causal.engine.graph import build_model

    world = make_world(seed=1, geos=1)
    design = build_design(panel_of(world), SPEC)
    ours = effects(fit(design, SPEC.model_copy(update={"draws": 1000, "folds": 0})))
    compiled = nutpie.compile_pymc_model(build_model(design, SPEC, marginal=False))
    twin = effects(nutpie.sample(compiled, draws=1000, tune=1000, chains=2, cores=2, seed=1, progress_bar=False))
    assert np.abs((ours.mean(axis=0) - twin.mean(axis=0)) / ours.std(axis=0)).max() < 0.2
    np.testing.assert_allclose(ours.std(axis=0) / twin.std(axis=0), 1, atol=0.2)


def test_a_back_test_by_weights_foresees_what_a_refit_foresees() -> None:
    """Leaving weeks out by importance weights is the same as sampling without them."""
    world = make_world(seed=3, geos=1)
    design = build_design(panel_of(world), SPEC)
    engine = Engine.of(design, SPEC)
    sampled = engine.sample(engine.window(), seed=1)
    draws = engine.complete(sampled, engine.window(), 1)
    [newest, *_] = backtest(engine, sampled, draws)
    assert newest.method == "reweighted"
    held = newest.outcome.shape[-1]
    fresh = engine.sample(engine.window(held), seed=2)
    _, noisy = predict(
        engine.media,
        unforeseen(engine.complete(fresh, engine.window(held), 2), design),
        np.random.default_rng(3),
    )
    refitted = noisy[:, 0, -held:]
    sd = refitted.std(axis=0)
    assert np.abs((newest.outcome[:, 0].mean(axis=0) - refitted.mean(axis=0)) / sd).max() < 0.3
    full = predict(engine.media, draws, np.random.default_rng(4))[1][:, 0, -held:]
    seen = design.outcome[0, -held:]
    # The fit that has seen those weeks is nearer to them: leaving out does something.
    assert np.abs(full.mean(axis=0) - seen).mean() < np.abs(refitted.mean(axis=0) - seen).mean()


def test_remedies_are_tried_and_told_when_draws_are_not_good_enough() -> None:
    world = make_world(seed=1, geos=1, weeks=60)
    short = ModelSpec(seasonality=1, draws=100, tune=100, folds=0)
    data = fit(build_design(panel_of(world), short), short)
    attempts = json.loads(data.attrs["attempts"])
    assert len(attempts) > 1, "100 draws of 4 chains cannot give 400 effective ones"
    assert attempts[0]["ess"] < 400
    assert attempts[-1]["ess"] > attempts[0]["ess"]
    assert data.posterior.sizes["draw"] > 100


@pytest.mark.parametrize("forms", [{"adstock": "weibull_pdf"}, {"adstock": "none", "saturation": "none"}])
def test_a_model_without_a_kind_of_parameter_is_fitted_and_read_again(forms: dict[str, str]) -> None:
    """Weibull carry-over has no shares; linear media without carry-over have neither shares nor positives."""
    world = make_world(seed=1, geos=1, weeks=70)
    spec = ModelSpec.from_config({"seasonality": 1, "folds": 1, **forms})
    panel = panel_of(world)
    data = fit(build_design(panel, spec), spec)
    assert channel_results(read_fitted(data, panel)).height == 2 * 3


@pytest.mark.parametrize("geos", [1, 2])
def test_chains_begun_among_a_neighbours_draws_reach_their_own_posterior(geos: int) -> None:
    """The frame of another posterior (twelve weeks fewer) is a metric, and no part of the answer."""
    design = build_design(panel_of(make_world(seed=4, geos=geos)), SPEC)
    engine = Engine.of(design, SPEC.model_copy(update={"draws": 1000}))
    other = engine.sample(engine.window(12), seed=1).unconstrained
    assert other is not None
    plain = engine.sample(engine.window(), seed=2)
    framed = engine.sample(engine.window(), seed=3, near=other.reshape(-1, other.shape[-1]), tune=150)
    ours, theirs = (drawn.log_effect.reshape(-1, 3) for drawn in (framed, plain))
    sd = theirs.std(axis=0)
    assert np.abs((ours.mean(axis=0) - theirs.mean(axis=0)) / sd).max() < 0.2
    np.testing.assert_allclose(ours.std(axis=0) / sd, 1, atol=0.2)
    # Begun in the middle of the neighbour without its width, a chain must find its own metric: more steps each.
    assert framed.n_steps.mean() < plain.n_steps.mean()
    assert framed.diverging.mean() < 0.005
