"""The hierarchical posterior: right against a sampler, covering where the naive model does not, brands coupled."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.surfacing.visibility.posterior import Shared, sample_engine
from liftos_pipelines.modules.surfacing.visibility.posterior_model import gradient, log_likelihood, patterns_of
from liftos_pipelines.modules.surfacing.visibility.ranks import above, couple, rank_bounds, rank_probabilities
from liftos_pipelines.modules.surfacing.visibility.visibility_posterior import visibility_posterior

from .worlds import mention_frame

ICC = 0.8


def panel(
    rng: np.random.Generator, prompts: int, repeats: int, rates: np.ndarray, icc: float = ICC
) -> tuple[np.ndarray, np.ndarray]:
    k = 1 / icc - 1
    leaning = rng.beta(rates * k, (1 - rates) * k, (prompts, len(rates)))
    return rng.binomial(repeats, leaning).astype(float), np.full(leaning.shape, float(repeats))


def test_the_gradient_is_that_of_the_likelihood() -> None:
    rng = np.random.default_rng(0)
    patterns = patterns_of(*panel(rng, 40, 3, np.array([0.1, 0.3, 0.5])))
    theta = rng.normal([-1, 1.2], 0.3, (4, 3, 2))
    for d in range(2):
        step = 1e-5 * np.eye(2)[d]
        slope = (log_likelihood(patterns, theta + step) - log_likelihood(patterns, theta - step)) / 2e-5
        assert np.allclose(slope, gradient(patterns, theta)[..., d], atol=1e-6)


@pytest.mark.parametrize("repeats", [1, 3, 30])
def test_prompt_effects_are_summed_out_exactly(repeats: int) -> None:
    from scipy import integrate, stats
    from scipy.special import expit

    named, asked = panel(np.random.default_rng(1), 12, repeats, np.array([0.3]))
    alpha, spread = -1.0, 5.0
    scale = np.sqrt(1 + (16 * np.sqrt(3) / (15 * np.pi)) ** 2 * spread**2)
    exact = 0.0
    for y in named[:, 0]:

        def height(u: float, y: float = y) -> float:
            p = expit(alpha + spread * u)
            return float(p**y * (1 - p) ** (repeats - y) * stats.norm.pdf(u))

        exact += np.log(integrate.quad(height, -5, 5, limit=400, points=[-2, -1, 0, 1, 2])[0])
    ours = log_likelihood(patterns_of(named, asked), np.array([[[alpha / scale, np.log(spread)]]]))[0, 0]
    assert ours == pytest.approx(exact, abs=0.01)


def test_intervals_cover_and_those_of_independent_answers_do_not() -> None:
    rng, held, naive, edge = np.random.default_rng(2), [], [], 0.0
    for seed in range(25):
        rates = np.repeat([0.05, 0.15, 0.3, 0.5], 3) * np.exp(rng.uniform(-0.25, 0.25, 12))
        named, asked = panel(rng, 40, 3, rates)
        found = sample_engine(named, asked, seed=seed, draws=600)
        low, high = np.quantile(found.rates, [0.05, 0.95], axis=0)
        held += ((low <= rates) & (rates <= high)).tolist()
        value = named.sum(axis=0) / 120
        naive += (np.abs(value - rates) <= 1.645 * np.sqrt(value * (1 - value) / 120)).tolist()
        edge = max(edge, float(found.edge.max()))
    assert 0.86 <= np.mean(held) <= 0.95
    assert np.mean(naive) < 0.75
    assert edge < 0.01


def test_months_of_the_same_prompts_are_hardly_new_evidence_about_a_level() -> None:
    """Why months are not pooled: prompts keep their leanings, so six months tell of 40 prompts and not of 240."""
    rng, one, pooled, k = np.random.default_rng(8), [], [], 1 / ICC - 1
    for seed in range(20):
        rates = rng.uniform(0.1, 0.5, 10)
        leaning = rng.beta(rates * k, (1 - rates) * k, (40, 10))
        months = [rng.binomial(3, leaning).astype(float) for _ in range(6)]
        for named, sink in ((months[-1], one), (np.concatenate(months), pooled)):
            drawn = sample_engine(named, np.full(named.shape, 3.0), seed=seed, draws=400).rates
            low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
            sink += ((low <= rates) & (rates <= high)).tolist()
    assert np.mean(one) > 0.85
    assert np.mean(pooled) < 0.65


def test_a_brand_never_named_leans_on_the_others_and_stays_possible() -> None:
    named, asked = panel(np.random.default_rng(3), 30, 2, np.full(8, 0.2))
    named[:, 0] = 0.0
    found = sample_engine(named, asked, seed=0)
    assert 0 < np.quantile(found.rates[:, 0], 0.5) < 0.05
    assert np.quantile(found.rates[:, 0], 0.95) < 0.2
    assert found.icc.mean() == pytest.approx(ICC, abs=0.15)


def test_coupling_keeps_each_brand_s_draws_and_makes_them_go_together_as_prompts_do() -> None:
    rng = np.random.default_rng(4)
    shared = rng.normal(size=(2000, 1))
    prompts = np.hstack([shared + 0.3 * rng.normal(size=(2000, 2)), rng.normal(size=(2000, 1))])
    draws = rng.normal(size=(4000, 3))
    coupled = couple(draws, prompts, seed=1)
    assert np.array_equal(np.sort(coupled, axis=0), np.sort(draws, axis=0))
    correlation = np.corrcoef(coupled.T)
    assert correlation[0, 1] == pytest.approx(np.corrcoef(prompts.T)[0, 1], abs=0.05)
    assert abs(correlation[0, 2]) < 0.1
    # Two brands named by the same prompts are told apart by less than two unrelated ones.
    lifted = couple(draws + np.array([0.3, 0.0, 0.0]), prompts, seed=1)
    assert above(lifted)[0, 1] > above(lifted)[0, 2] + 0.05


def test_probabilities_of_ranks_are_probabilities() -> None:
    draws = np.random.default_rng(5).normal([0.0, 0.2, 2.0], 1.0, (2000, 3))
    chances = rank_probabilities(draws)
    assert np.allclose(chances.sum(axis=0), 1)
    assert np.allclose(chances.sum(axis=1), 1)
    low, high = rank_bounds(chances)
    assert (low[2], high[2]) == (1, 2)
    assert (above(draws) + above(draws).T)[np.triu_indices(3, 1)] == pytest.approx(1)


def test_the_chance_that_one_brand_leads_another_is_calibrated() -> None:
    """Brands of one category share prompts: taken as unrelated, the chances would be too faint."""
    rng, said, true, apart = np.random.default_rng(6), [], [], []
    for seed in range(120):
        rates = rng.uniform(0.2, 0.4, 4)
        category = rng.random((60, 1)) < 0.5
        k = 1 / 0.6 - 1
        leaning = np.where(category, rng.beta(2 * rates * k, (1 - 2 * rates) * k, (60, 4)), 0.0)
        named = rng.binomial(2, leaning).astype(float)
        asked = np.full(named.shape, 2.0)
        drawn = sample_engine(named, asked, seed=seed, draws=400).rates
        for chances, sink in ((above(couple(drawn, named / asked, seed=seed)), said), (above(drawn), apart)):
            sink += chances[np.triu_indices(4, 1)].tolist()
        true += (rates[:, None] > rates[None, :])[np.triu_indices(4, 1)].tolist()
    p, q, won = np.array(said), np.array(apart), np.array(true, dtype=float)
    sure, right = np.maximum(p, 1 - p) > 0.8, np.where(p > 0.5, won, 1 - won)
    assert right[sure].mean() == pytest.approx(np.maximum(p, 1 - p)[sure].mean(), abs=0.08)
    assert ((p - won) ** 2).mean() < ((q - won) ** 2).mean()  # sharper than unrelated draws, and no less right


def frame(seed: int, months: int = 2, prompts: int = 15) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    leaning = rng.beta(0.2, 0.4, (prompts, 3))
    return mention_frame(
        [
            {"answer_id": f"{m}-{e}-{p}-{r}", "engine": e, "prompt_id": f"p{p}", "brand": b, "own": i == 0,
             "mentioned": bool(rng.random() < leaning[p, i]), "asked_at": datetime(2025, 1 + m, 3, tzinfo=UTC)}
            for m in range(months) for e in ("one", "two") for p in range(prompts) for r in range(2)
            for i, b in enumerate(("Acme", "Globex", "Hooli"))
        ]
    )  # fmt: skip


def test_the_tables_hold_every_month_engine_and_brand_and_pairs_of_the_newest() -> None:
    rates, pairs = visibility_posterior(frame(0), draws=300)
    assert rates.height == 2 * 3 * 3
    assert pairs.height == 3 * 3 * 2
    assert set(pairs["period"]) == {"2025-02"}
    assert rates.filter((pl.col("low") > pl.col("rate")) | (pl.col("rate") > pl.col("high"))).is_empty()
    assert rates.group_by("period", "engine").agg(pl.col("p_first").sum())["p_first"].to_list() == pytest.approx(
        [1] * 6
    )
    assert visibility_posterior(frame(0), draws=300)[0].equals(rates)
    one = frame(0, prompts=1)
    assert visibility_posterior(one)[0].is_empty()  # one prompt says nothing about prompts
    assert visibility_posterior(one.clear())[0].is_empty()


@pytest.mark.slow
def test_the_posterior_is_the_one_that_a_sampler_finds() -> None:
    """PyMC with nutpie on the same model and the same shared values, prompt effects sampled one by one."""
    import pymc as pm

    from liftos_pipelines.modules.surfacing.visibility.posterior_model import ATTENUATION

    rates = np.array([0.05, 0.2, 0.5])
    named, asked = panel(np.random.default_rng(7), 40, 3, rates)
    ours = sample_engine(named, asked, seed=0, draws=4000)
    shared: Shared = ours.shared
    with pm.Model():
        a = pm.Normal("a", shared.level, shared.level_sd, shape=3)
        log_s = pm.Normal("log_s", shared.spread, shared.spread_sd, shape=3)
        s = pm.math.exp(log_s)
        u = pm.Normal("u", 0, 1, shape=named.shape)
        pm.Binomial("y", asked.astype(int), logit_p=a * pm.math.sqrt(1 + ATTENUATION * s**2) + s * u, observed=named)
        trace = pm.sample(
            1500,
            tune=1500,
            chains=2,
            cores=1,
            random_seed=1,
            nuts_sampler="nutpie",
            target_accept=0.95,
            progressbar=False,
        )
    levels = trace.posterior["a"].to_numpy().reshape(-1, 3)
    spreads = np.exp(trace.posterior["log_s"].to_numpy().reshape(-1, 3))
    nodes = np.linspace(-5, 5, 101)
    weights = np.exp(-0.5 * nodes**2)
    weights /= weights.sum()
    scale = np.sqrt(1 + ATTENUATION * spreads**2)
    theirs = (1 / (1 + np.exp(-((levels * scale)[..., None] + spreads[..., None] * nodes)))) @ weights
    for quantile, tolerance in ((0.05, 0.02), (0.5, 0.02), (0.95, 0.03)):
        assert np.quantile(ours.rates, quantile, axis=0) == pytest.approx(
            np.quantile(theirs, quantile, axis=0), abs=tolerance
        )
