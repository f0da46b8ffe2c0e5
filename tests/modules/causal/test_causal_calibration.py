"""Simulation-based calibration: parameters drawn from the prior lie in their posterior's intervals as often as said.

Source: Talts et al. (2018), Validating Bayesian inference algorithms with simulation-based calibration.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from modules.causal.causal_worlds import make_world
from scipy import stats

from liftos_pipelines.modules.causal.engine.draws import Draws, complete
from liftos_pipelines.modules.causal.engine.fit import Engine
from liftos_pipelines.modules.causal.engine.packing import has_week_shocks
from liftos_pipelines.modules.causal.engine.prior import effect_scale
from liftos_pipelines.modules.causal.inputs.design import Design, build_design
from liftos_pipelines.modules.causal.inputs.panel import build_panel
from liftos_pipelines.modules.causal.spec import ModelSpec

SHORT = {"seasonality": 1, "max_lag": 4, "shock_z": None, "chains": 2, "draws": 400, "tune": 400}
CONFIGS: dict[str, dict[str, Any]] = {
    "national": {},
    "free slope and Weibull": {"slope": "free", "adstock": "weibull_pdf"},
    "delayed and logistic": {"adstock": "delayed", "saturation": "logistic"},
    "multiplicative": {"form": "multiplicative"},
    "marginal ROI": {
        "channels": {
            name: {"prior": {"of": "mroi", "median": 1.0, "sigma": 0.7}} for name in ("tv", "search", "social")
        }
    },
    "reach and frequency": {},
    "three geos": {},
}


def design_of(config: str, spec: ModelSpec) -> Design:
    geos = 3 if config == "three geos" else 1
    world = make_world(seed=5, geos=geos, weeks=80)
    frame = build_panel(world.outcome, world.media, world.controls, channels=world.channels).frame
    if config == "reach and frequency":
        seen = 1 + 3 * np.random.default_rng(1).random(frame.height)
        frame = frame.with_columns(
            pl.Series("frequency__tv", np.where(frame["exposure__tv"].to_numpy() > 0, seen, 0.0)),
            (pl.col("exposure__tv") / seen).alias("reach__tv"),
        )
    return build_design(frame, spec)


def drawn_from_the_prior(engine: Engine, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Parameters, and outcomes (n_geos, n_weeks) in units of y that the model makes with them."""
    design, structure, spec = engine.design, engine.structure, engine.spec
    channels, geos, weeks = design.shape
    prior = effect_scale(design, spec)
    shares = np.array([rng.beta(p.shape.a, p.shape.b) for p in structure.shares])
    positives = np.array([np.exp(rng.normal(p.shape.a, p.shape.b)) for p in structure.positives])
    log_effect = rng.normal(prior.mu, prior.sd)
    sigma = np.abs(rng.normal(0, 2.0))
    week_sigma = np.abs(rng.normal(0, spec.week_sd or 0)) if has_week_shocks(design, spec) else 0.0
    spread = np.abs(rng.normal(0, spec.media_geo_sd, channels)) if geos > 1 else np.zeros(channels)
    geo_effect = np.exp(spread[:, None] * rng.standard_normal((channels, geos)))
    bare = Draws(
        form=structure.values(shares[None], positives[None]),
        geo_effect=geo_effect[None],
        coefficient=np.ones((1, channels)),
        sigma=np.array([sigma]),
        week_sigma=np.array([week_sigma]),
    )
    media = engine.media.total(complete(engine.media, prior, bare, log_effect[None]))[0]
    baseline = (design.baseline @ rng.standard_normal(design.baseline.shape[1])).reshape(geos, weeks)
    noise = sigma * rng.standard_normal((geos, weeks)) + week_sigma * rng.standard_normal((1, weeks))
    truth = {"share": shares, "positive": positives, "log_effect": log_effect, "sigma": np.array([sigma])}
    return truth, media + baseline + noise


def posterior_ranks(engine: Engine, truth: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Share of posterior draws below the truth, by parameter."""
    sampled = engine.sample(engine.window(), seed=seed)
    drawn = {
        "share": sampled.shares,
        "positive": sampled.positives,
        "log_effect": sampled.log_effect,
        "sigma": sampled.sigma[..., None],
    }
    return {name: (values < truth[name]).mean(axis=(0, 1)) for name, values in drawn.items()}


def ranks_over_worlds(config: str, worlds: int, *, wrong: bool = False) -> dict[str, np.ndarray]:
    spec = ModelSpec.from_config(SHORT | CONFIGS[config])
    base = Engine.of(design_of(config, spec), spec)
    rng = np.random.default_rng(11)
    collected: dict[str, list[np.ndarray]] = {}
    for number in range(worlds):
        truth, y = drawn_from_the_prior(base, rng)
        # The dummy is fitted to outcomes whose media part was never what its priors say.
        engine = Engine.of(replace(base.design, y=2.0 * y if wrong else y), spec)
        for name, ranks in posterior_ranks(engine, truth, 100 + number).items():
            collected.setdefault(name, []).append(ranks)
    return {name: np.array(ranks) for name, ranks in collected.items()}


def coverage_and_uniformity(ranks: np.ndarray) -> tuple[float, float]:
    """Share of 90 % intervals that hold the truth, and the least Kolmogorov-Smirnov p-value, Bonferroni adjusted."""
    inside = float(((ranks > 0.05) & (ranks < 0.95)).mean())
    p_values = [stats.kstest(column, "uniform").pvalue for column in ranks.T]
    return inside, min(1.0, float(np.min(p_values)) * len(p_values))


def test_a_sampler_of_another_model_is_caught() -> None:
    """The dummy: outcomes doubled after they were made leave effects and noise where their posteriors are not."""
    ranks = ranks_over_worlds("national", 25, wrong=True)
    assert coverage_and_uniformity(ranks["sigma"])[0] < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("config", list(CONFIGS))
def test_the_truth_lies_in_its_interval_as_often_as_said(config: str) -> None:
    found = {
        name: coverage_and_uniformity(ranks) for name, ranks in ranks_over_worlds(config, 100).items() if ranks.size
    }
    print(config, {name: (round(inside, 3), round(p, 3)) for name, (inside, p) in found.items()})
    for name, (inside, p) in found.items():
        assert p > 0.005, (name, inside, p)
        # 100 worlds of about 3 parameters: a right coverage of .90 lies in .84 to .96 (3 sd of 100 independent worlds
        # would be .81; parameters of a world are nearly independent).
        assert 0.84 <= inside <= 0.96, (name, inside)
