"""The worlds' truth is exact, and each family departs from the clean model in the way that it names."""

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.causal.inputs.design import build_design
from liftos_pipelines.modules.causal.inputs.panel import build_panel
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.simulate.mmm_truth import best_split, budget_of, by_average_roi, equal_split, feasible, revenue
from liftos_pipelines.simulate.mmm_worlds import (
    FAMILIES,
    FIRST_WEEK,
    PRICE,
    RECIPES,
    World,
    carry_over,
    make_world,
    saturated,
)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_outcome_is_what_the_truth_adds_up_to(family: str) -> None:
    world = make_world(family, 3)
    outcome = world.outcome["outcome"].to_numpy().reshape(world.baseline.shape)
    np.testing.assert_allclose(outcome, world.baseline + world.contribution.sum(axis=0) + world.noise)
    assert outcome.min() > 0
    assert world.weeks[0] == FIRST_WEEK
    assert 104 <= len(world.weeks) <= 156
    low, high = RECIPES[family].media_share
    assert low <= world.media_share <= high


@pytest.mark.parametrize("family", FAMILIES)
def test_roi_and_response_follow_from_the_tables(family: str) -> None:
    world = make_world(family, 4)
    media = world.media.with_columns(pl.col("geo").cast(pl.String))
    for c, channel in enumerate(world.channels):
        spend = media.filter(pl.col("channel") == channel.name)["spend"].sum()
        assert world.contribution[c].sum() * PRICE / spend == pytest.approx(channel.roi)
        np.testing.assert_allclose(world.respond(c), world.contribution[c])
        assert world.respond(c, 0.0).sum() == 0
        assert world.respond(c, 1.1).sum() > world.contribution[c].sum()


def test_a_seed_makes_one_world_and_another_seed_another() -> None:
    again, other = make_world("clean", 5), make_world("clean", 6)
    assert make_world("clean", 5).outcome.equals(again.outcome)
    assert not again.outcome["outcome"].head(50).equals(other.outcome["outcome"].head(50))


def test_an_unknown_family_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match='no family "foggy"'):
        make_world("foggy", 0)


def own_correlation(world: World) -> float:
    log = np.log(world.spend.reshape(len(world.spend), -1) + 1)
    found = np.corrcoef(log)
    return float(np.median(found[np.triu_indices(len(log), 1)]))


def peak(world: World) -> float:
    return float(max(np.max(c) / np.median(c[c > 0]) for c in world.spend))


def test_families_depart_as_named_and_clean_worlds_do_not() -> None:
    clean = [make_world("clean", seed) for seed in range(4)]
    assert max(own_correlation(world) for world in clean) < 0.6
    assert all(own_correlation(make_world("collinear", seed)) > 0.85 for seed in range(4))
    assert all(peak(make_world("outlier_spend", seed)) > 5.9 for seed in range(4))
    assert all(c.slope == 1 for world in clean for c in world.channels)
    assert all(2 <= c.slope <= 3 for c in make_world("s_shaped", 0).channels)
    assert make_world("weak_signal", 0).media_share < 0.07 < 0.15 <= min(world.media_share for world in clean)
    assert "level_break" in make_world("changed_baseline", 0).departure
    assert "trend_break" in make_world("changed_baseline", 1).departure
    assert not any(world.departure for world in clean)
    assert len(make_world("geo_clean", 0).geos) == 6


def test_hidden_demand_moves_spend_and_outcome_together() -> None:
    """Where demand is hidden, the baseline explains spend beyond what season, trend and controls do."""

    def link(world: World) -> float:
        frame = build_panel(world.outcome, world.media, world.controls, channels=world.names).frame
        design = build_design(frame, ModelSpec())
        known = design.baseline
        hidden = world.baseline.ravel() - known @ np.linalg.lstsq(known, world.baseline.ravel(), rcond=None)[0]
        spend = np.log(world.spend[1].ravel())
        spend = spend - known @ np.linalg.lstsq(known, spend, rcond=None)[0]
        if np.std(hidden) < 1e-6 * np.std(world.baseline):
            return 0.0
        return float(np.corrcoef(hidden, spend)[0, 1])

    assert min(link(make_world("confounded_demand", seed)) for seed in range(4)) > 0.2
    assert max(link(make_world("clean", seed)) for seed in range(4)) == 0.0


def test_week_shocks_are_shared_by_geos() -> None:
    noise = make_world("geo_clean", 1).noise / make_world("geo_clean", 1).heads[:, None]
    assert np.corrcoef(noise)[np.triu_indices(6, 1)].mean() > 0.03


def test_a_clean_world_is_in_the_model_to_the_letter() -> None:
    """With true carry-over and saturation, media and the design's baseline leave exactly the noise."""
    world = make_world("clean", 2)
    frame = build_panel(world.outcome, world.media, world.controls, channels=world.names).frame
    design = build_design(frame, ModelSpec(shock_z=None))
    order = [world.names.index(name) for name in design.channels]
    curves = [
        saturated(carry_over(design.x[i], world.channels[c].retention), world.channels[c].half, 1.0).ravel()
        for i, c in enumerate(order)
    ]
    terms = np.column_stack([design.baseline, *curves])
    quiet = (design.outcome - world.noise).ravel()
    left = quiet - terms @ np.linalg.lstsq(terms, quiet, rcond=None)[0]
    assert np.abs(left).max() < 1e-6 * quiet.mean()
    bent = make_world("s_shaped", 2)
    frame = build_panel(bent.outcome, bent.media, bent.controls, channels=bent.names).frame
    design = build_design(frame, ModelSpec(shock_z=None))
    curves = [
        saturated(carry_over(design.x[design.channels.index(c.name)], c.retention), c.half, 1.0).ravel()
        for c in bent.channels
    ]
    terms = np.column_stack([design.baseline, *curves])
    quiet = (design.outcome - bent.noise).ravel()
    left = quiet - terms @ np.linalg.lstsq(terms, quiet, rcond=None)[0]
    assert np.abs(left).max() > 1e-3 * quiet.mean()


@pytest.mark.parametrize("family", ["clean", "s_shaped", "geo_clean"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_feasible_plan_beats_the_best_split(family: str, seed: int) -> None:
    world = make_world(family, seed)
    budget = budget_of(world, plan_weeks=52, band=0.3)
    best = best_split(world, budget)
    assert float(best @ budget.spend) == pytest.approx(float(budget.spend.sum()), rel=1e-6)
    assert np.all(best >= budget.low - 1e-9)
    assert np.all(best <= budget.high + 1e-9)
    top = revenue(world, best, budget)
    rng = np.random.default_rng(seed)
    wishes = [rng.uniform(budget.low, budget.high) for _ in range(300)]
    wishes += [
        np.ones(len(best)),
        equal_split(budget),
        by_average_roi(np.array([c.roi for c in world.channels]), budget),
    ]
    values = [revenue(world, feasible(wish, budget), budget) for wish in wishes]
    assert max(values) <= top * (1 + 1e-6)
    # The dummy: today's budget is beaten by a margin that the search could not find by accident.
    assert revenue(world, feasible(np.ones(len(best)), budget), budget) < top * (1 - 1e-3)
