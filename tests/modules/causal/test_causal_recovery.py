"""Sampled fits on worlds with known truth: recovery, coverage, and what lift tests add. Slow: each compiles a model."""

import numpy as np
import polars as pl
import pytest
from modules.causal.causal_worlds import World, make_world

from liftos_pipelines.modules.causal.design import build_design
from liftos_pipelines.modules.causal.fit import fit
from liftos_pipelines.modules.causal.panel import build_panel
from liftos_pipelines.modules.causal.reading import newest_update, read_fitted
from liftos_pipelines.modules.causal.results import channel_results
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.modules.causal.validation import validate

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
        retained.append(np.abs(fitted.draws.retention.mean(axis=0) - [0.6, 0.1, 0.4]).max())
        verdicts = dict(validate(data, fitted, SPEC).select("check", "status").iter_rows())
        assert verdicts["r_hat"] != "fail"
        assert verdicts["divergences"] != "fail"
        assert verdicts["heldout_accuracy"] == "pass"
        found = newest_update(data, panel)
        assert found is not None
        assert found[0] == "refit"
    # 12 intervals of 90 %: two or fewer misses have probability 0.89, four or more 0.026.
    assert np.mean(held) >= 9 / 12
    assert np.median(ours) < 0.25
    assert np.median(ours) < np.median(equal)
    assert np.median(retained) < 0.25


@pytest.mark.slow
def test_the_marginal_model_and_its_twin_have_the_same_posterior() -> None:
    import nutpie

    from liftos_pipelines.modules.causal.model import build_model

    world = make_world(seed=1, geos=1)
    design = build_design(panel_of(world), SPEC)
    summaries = []
    for marginal in (True, False):
        compiled = nutpie.compile_pymc_model(build_model(design, SPEC, marginal=marginal), freeze_model=False)
        drawn = nutpie.sample(compiled, draws=1000, tune=1000, chains=2, cores=2, seed=1, progress_bar=False).posterior
        effect = drawn["log_effect"].to_numpy().reshape(-1, 3)
        summaries.append((effect.mean(axis=0), effect.std(axis=0)))
    (mean, sd), (twin_mean, twin_sd) = summaries
    assert np.abs((mean - twin_mean) / sd).max() < 0.2
    np.testing.assert_allclose(sd / twin_sd, 1, atol=0.2)
