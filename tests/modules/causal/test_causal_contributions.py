"""Contributions by week and returns by quarter, on draws at the truth: they are the world's, and nothing is lost at the
borders."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from modules.causal import causal_worlds
from modules.causal.fitted_worlds import of_mmm_world, of_small_world, place

from liftos_pipelines.modules.causal.answers.contributions import (
    BASELINE,
    INTERPLAY,
    contributions,
    quarters,
    returns,
    year_before,
)
from liftos_pipelines.modules.causal.answers.results import Fitted, channel_results
from liftos_pipelines.modules.causal.inputs.panel import build_panel
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.simulate.mmm_worlds import PRICE, World, carry_over, make_world, saturated
from liftos_pipelines.tables import ALL, table

FREE = ModelSpec(slope="free")


@pytest.fixture(scope="module")
def world() -> World:
    return make_world("geo_clean", 1)


@pytest.fixture(scope="module")
def fitted(world: World) -> Fitted:
    return of_mmm_world(world, FREE, n=100, wobble=0.05)


def true_outcome(world: World, c: int, exposure: np.ndarray, after: int = 0) -> np.ndarray:
    """(n_geos, n_weeks + after), a channel's outcome by the world's own formulas, silent after the last week."""
    channel = world.channels[c]
    path = np.pad(exposure, ((0, 0), (0, after)))
    curve = saturated(carry_over(path, channel.retention), channel.half, channel.slope)
    return np.asarray(channel.ceiling * world.effect[c][:, None] * world.heads[:, None] * curve)


def test_parts_of_each_week_are_the_worlds_and_add_up(world: World, fitted: Fitted) -> None:
    found = contributions(fitted)
    table("causal/contributions").conform(found)
    for c, name in enumerate(world.names):
        for geo, true in (("geo_2", world.contribution[c][2]), (ALL, world.contribution[c].sum(axis=0))):
            rows = found.filter((pl.col("channel") == name) & (pl.col("geo") == geo)).sort("date")
            assert np.abs(rows["contribution"].to_numpy() / true.clip(1e-9) - 1)[true > 0].max() < 0.1
            inside = (rows["contribution_low"].to_numpy() <= true + 1e-9) & (
                true <= rows["contribution_high"].to_numpy() + 1e-9
            )
            assert inside.mean() > 0.8
    draws = fitted.draws
    assert draws.beta is not None
    expected = fitted.design.to_outcome(
        fitted.media.total(draws) + (draws.beta @ fitted.design.baseline.T).reshape(len(draws), *fitted.design.y.shape)
    )
    by_week = found.filter(pl.col("geo") == ALL).group_by("date").agg(pl.col("contribution").sum()).sort("date")
    np.testing.assert_allclose(by_week["contribution"].to_numpy(), expected.mean(axis=0).sum(axis=0), rtol=1e-9)
    by_geo = found.filter(pl.col("geo") != ALL).group_by("date", "channel").agg(pl.col("contribution").sum())
    whole = found.filter(pl.col("geo") == ALL).join(by_geo, on=["date", "channel"])
    np.testing.assert_allclose(whole["contribution"].to_numpy(), whole["contribution_right"].to_numpy(), rtol=1e-9)


def test_weeks_whose_carry_in_nobody_knows_are_marked(fitted: Fitted) -> None:
    found = contributions(fitted)
    unknown = found.filter(~pl.col("carry_in_known"))
    assert unknown["date"].n_unique() == 8
    assert unknown["date"].max() < found.filter(pl.col("carry_in_known") & (pl.col("kind") == "paid"))["date"].min()
    assert BASELINE not in unknown["channel"].unique()


def test_what_a_quarter_returned_counts_what_came_later(world: World, fitted: Fitted) -> None:
    found = returns(of_mmm_world(world, FREE, n=2))
    table("causal/returns").conform(found)
    names = quarters(world.weeks)
    last_name, last = names[-1]
    for c, name in enumerate(world.names):
        rows = {
            row["period"]: row
            for row in found.filter((pl.col("channel") == name) & (pl.col("geo") == ALL)).iter_rows(named=True)
        }
        spend = world.spend[c]
        whole = true_outcome(world, c, world.exposure[c], 8)
        assert rows[ALL]["roi"] == pytest.approx(world.contribution[c].sum() * PRICE / spend.sum(), rel=1e-6)
        assert rows[ALL]["roi_full"] == pytest.approx(whole.sum() * PRICE / spend.sum(), rel=1e-6)
        for period, inside in (names[2], (last_name, last)):
            silent = world.exposure[c].copy()
            silent[:, inside] = 0
            brought = (whole - true_outcome(world, c, silent, 8)).sum()
            if spend[:, inside].sum() > 0:
                assert rows[period]["contribution_full"] == pytest.approx(brought, rel=1e-6)
                assert rows[period]["cost_per_outcome"] == pytest.approx(spend[:, inside].sum() / brought, rel=1e-6)
                assert rows[period]["effectiveness"] * rows[period]["exposure"] == pytest.approx(brought, rel=1e-6)
        if spend[:, last].sum() > 0 and world.channels[c].retention > 0.3:
            # Without what is still to come, the last quarter's spend is underrated.
            assert rows[last_name]["roi"] < rows[last_name]["roi_full"]


def test_marginal_returns_are_those_of_one_more_per_cent(world: World, fitted: Fitted) -> None:
    known = channel_results(fitted).filter(pl.col("geo") == ALL)
    found = returns(fitted).filter((pl.col("period") == ALL) & (pl.col("geo") == ALL))
    for name in world.names:
        one, other = (t.filter(pl.col("channel") == name).row(0, named=True) for t in (known, found))
        for column in ("roi", "roi_low", "mroi", "mroi_high", "contribution"):
            assert other[column] == pytest.approx(one[column], rel=1e-6)
        assert other["marginal_cost_per_outcome"] > other["cost_per_outcome"]
        assert other["cost_per_outcome_low"] < other["cost_per_outcome"] < other["cost_per_outcome_high"]


def test_a_price_counts_from_its_reference() -> None:
    small = causal_worlds.make_world(seed=3, geos=1, weeks=104, noise=0.01)
    spec = ModelSpec(max_lag=7, seasonality=1, roles={"price": "treatment"}, treatment_reference="min")
    found = contributions(of_small_world(small, spec, n=200)).filter(
        (pl.col("channel") == "price") & (pl.col("geo") == ALL)
    )
    assert found["kind"].unique().to_list() == ["treatment"]
    control = small.controls["value"].to_numpy()
    true = 0.03 * 4e6 * 0.002 * (control - control.min())
    share = found["contribution"].to_numpy().sum() / true.sum()
    assert share == pytest.approx(1, abs=0.15)
    assert abs(found["contribution"].to_numpy()[np.argmin(control)]) < 1e-9
    # A mere control stays in the baseline.
    plain = contributions(of_small_world(small, ModelSpec(max_lag=7, seasonality=1), n=20))
    assert "price" not in plain["channel"].unique()


def test_in_the_multiplicative_form_the_parts_and_their_interplay_are_the_outcome() -> None:
    small = causal_worlds.make_world(seed=3, geos=2, weeks=80)
    panel = build_panel(small.outcome, small.media, small.controls, channels=small.channels).frame
    spec = ModelSpec(max_lag=7, form="multiplicative", roles={"price": "treatment"})
    fitted = place(panel, spec, np.tile([0.4, 1.0, 1.0, 1.0], (3, 1)), np.array([0.3, 0.5, 0.2]), n=50, wobble=0.1)
    found = contributions(fitted)
    by_week = found.filter(pl.col("geo") == "g0").group_by("date").agg(pl.col("contribution").sum()).sort("date")
    np.testing.assert_allclose(by_week["contribution"].to_numpy(), fitted.design.outcome[0], rtol=1e-9)
    assert found.filter(pl.col("channel") == INTERPLAY)["contribution"].abs().max() > 0
    table_of = returns(fitted).filter((pl.col("period") == ALL) & (pl.col("geo") == ALL))
    known = channel_results(fitted).filter(pl.col("geo") == ALL)
    np.testing.assert_allclose(table_of["roi"].to_numpy(), known["roi"].to_numpy(), rtol=1e-9)
    assert (table_of["roi_full"] > table_of["roi"]).all()


def test_without_revenue_there_are_costs_but_no_returns(world: World) -> None:
    silent = World(**vars(world) | {"outcome": world.outcome.with_columns(revenue=pl.lit(None, pl.Float64))})
    found = returns(of_mmm_world(silent, FREE, n=5)).filter(pl.col("spend") > 0)
    assert found["roi"].null_count() == found["roi_full"].null_count() == found.height
    assert found.filter(pl.col("period") == ALL)["cost_per_outcome"].null_count() == 0


def test_weeks_after_the_last_look_like_the_year_before() -> None:
    values = np.arange(60.0)
    assert year_before(values, 3).tolist() == [8, 9, 10]
    assert year_before(values[:20], 3).tolist() == [19, 19, 19]
