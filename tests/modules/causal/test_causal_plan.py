"""Budget plans on draws at the truth: the best is found, asked-for bounds and targets are kept, contradictions named."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modules.causal import causal_worlds
from modules.causal.fitted_worlds import of_mmm_world, of_small_world

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.plan.budget import Plan, PlanError, make_plan
from liftos_pipelines.modules.causal.plan.program import Simulation, build_program
from liftos_pipelines.modules.causal.plan.solve import risk_value, risk_weights
from liftos_pipelines.modules.causal.plan.spec import PlanSpec, Risk, Steps
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.simulate.mmm_truth import best_split, budget_of, equal_split, revenue
from liftos_pipelines.simulate.mmm_worlds import PRICE, World, carry_over, make_world, saturated
from liftos_pipelines.tables import ALL

FREE = ModelSpec(slope="free")


def planned(fitted: Fitted, band: float = 0.3, weeks: int = 52, seed: int = 1, **asked: Any) -> Plan:
    return make_plan(fitted, plan_weeks=weeks, band=band, seed=seed, plan=PlanSpec.model_validate(asked))


def whole(plan: Plan) -> dict[str, Any]:
    return plan.channels.filter(pl.col("channel") == ALL).row(0, named=True)


def parts(plan: Plan) -> pl.DataFrame:
    return plan.channels.filter(pl.col("channel") != ALL)


@pytest.fixture(scope="module")
def clean() -> World:
    return make_world("clean", 0)


@pytest.fixture(scope="module")
def wide(clean: World) -> Fitted:
    """Draws scattered widely about the truth: risk matters."""
    return of_mmm_world(clean, FREE, n=400, wobble=0.6, seed=3)


@pytest.mark.parametrize("family", ["clean", "geo_clean", "s_shaped", "outlier_spend"])
@pytest.mark.parametrize("seed", [0, 1])
def test_with_true_parameters_the_plan_is_the_best_there_is(family: str, seed: int) -> None:
    world = make_world(family, seed)
    budget = budget_of(world, plan_weeks=52, band=0.3)
    best = revenue(world, best_split(world, budget), budget)
    plan = planned(of_mmm_world(world, FREE, n=4))
    assert 1 - revenue(world, parts(plan)["scale"].to_numpy(), budget) / best < 1e-4
    assert 1 - revenue(world, equal_split(budget), budget) / best > 0.005  # the dummy
    assert whole(plan)["certificate_gap"] <= 1e-7
    assert whole(plan)["kkt_residual"] < 1e-3


@pytest.mark.parametrize("form", ["additive", "multiplicative"])
def test_no_point_of_a_fine_grid_is_better(form: str) -> None:
    """Three channels by brute force on the joint response, for the form whose parts add up and the one whose do not."""
    spec = ModelSpec(max_lag=7, seasonality=1, form=form)
    world = causal_worlds.make_world(seed=5, geos=2, weeks=80)
    fitted = of_small_world(world, spec, n=8, wobble=0.3)
    if form == "multiplicative":
        # Effects in log units: large enough that the channels interact.
        object.__setattr__(fitted.draws, "coefficient", fitted.draws.coefficient * 0 + [[0.5, 0.9, 0.4]])
    plan = planned(fitted, weeks=40, band=0.5)
    found = parts(plan)
    program = build_program(fitted, 40, None)
    simulation = Simulation(fitted, fitted.draws, program)
    spend = program.spend[:, 0]
    fine = np.linspace(0.5, 1.5, 41)
    best = -np.inf
    highest = fitted.design.spend.sum(axis=1).max(axis=1) * 40 / spend
    for a, b in product(fine, fine):
        c = (spend.sum() - a * spend[0] - b * spend[1]) / spend[2]
        if 0.5 <= c <= min(1.5, highest[2]) and a <= highest[0] and b <= highest[1]:
            best = max(best, float(simulation.values(np.array([[a], [b], [c]])).mean()))
    got = float(simulation.values(found["scale"].to_numpy()[:, None]).mean())
    assert got >= best * (1 - 1e-9)
    assert float(simulation.current.mean()) < best * (1 - 1e-3)  # today's split would not pass
    assert whole(plan)["response_planned"] == pytest.approx(got)
    if form == "multiplicative":
        assert abs(found["response_planned"].sum() / got - 1) > 1e-3  # the sum of the parts is not the whole


@pytest.mark.parametrize("steps", [None, Steps(weeks=5), Steps(weeks=5, shape="even")])
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"form": "multiplicative"},
        {"order": "saturation_first", "saturation": "tanh"},
        {"saturation": "logistic", "adstock": "delayed"},
        {"slope": "free"},
        {"saturation": "none"},
    ],
    ids=lambda config: "-".join(config.values()) or "default",
)
def test_gradients_are_those_of_finite_differences(config: dict[str, Any], steps: Steps | None) -> None:
    spec = ModelSpec.from_config({"max_lag": 7, "seasonality": 1} | config)
    fitted = of_small_world(causal_worlds.make_world(seed=1, geos=2, weeks=60), spec, n=6, wobble=0.2)
    if "slope" in config:
        fitted.draws.form[:, :, 3] = 1.8
    program = build_program(fitted, 22, steps)
    simulation = Simulation(fitted, fitted.draws, program)
    rng = np.random.default_rng(0)
    at, weights = rng.uniform(0.5, 1.5, program.spend.shape), rng.dirichlet(np.ones(6))
    values, pull = simulation.with_gradient(at)
    np.testing.assert_allclose(values, simulation.values(at), rtol=1e-10)
    gradient = pull(weights)
    for c, k in product(range(len(at)), range(at.shape[1])):
        up, down = at.copy(), at.copy()
        up[c, k] += 1e-5
        down[c, k] -= 1e-5
        slope = float((simulation.values(up) - simulation.values(down)) @ weights) / 2e-5
        assert gradient[c, k] == pytest.approx(slope, rel=1e-5, abs=1e-6 * np.abs(gradient).max())


@pytest.mark.parametrize("form", ["additive", "multiplicative"])
def test_the_response_of_a_steady_plan_is_the_models_own(form: str) -> None:
    fitted = of_small_world(
        causal_worlds.make_world(seed=2, geos=2, weeks=60), ModelSpec(max_lag=7, form=form), n=5, wobble=0.2
    )
    program = build_program(fitted, 30, None)
    simulation = Simulation(fitted, fitted.draws, program)
    scales = np.array([0.8, 1.3, 1.0])
    own = [
        (fitted.gained(fitted.draws, c, s) * fitted.worth())[:, :, -30:].sum(axis=(1, 2)) for c, s in enumerate(scales)
    ]
    np.testing.assert_allclose(simulation.by_channel(scales[:, None]), own, rtol=1e-9)


def test_reach_and_frequency_buy_people() -> None:
    world = causal_worlds.make_world(seed=2, geos=1, weeks=60)
    seen = 1 + 2 * np.random.default_rng(1).random(60)
    exposure = world.media.filter(pl.col("channel") == "tv")["exposure"].to_numpy()
    frequency = np.where(exposure > 0, seen, 0.0)
    from liftos_pipelines.modules.causal.inputs.panel import build_panel

    panel = build_panel(world.outcome, world.media, world.controls, channels=world.channels).frame.with_columns(
        pl.Series("frequency__tv", frequency), pl.Series("reach__tv", exposure / seen)
    )
    from modules.causal.fitted_worlds import place

    form = np.tile([0.5, 1.0, 0.8, 1.0], (3, 1))
    fitted = place(panel, ModelSpec(), form, np.full(3, 1e-3), n=4, wobble=0.1)
    simulation = Simulation(fitted, fitted.draws, build_program(fitted, 30, None))
    scales = np.full((3, 1), 1.2)
    own = [(fitted.gained(fitted.draws, c, 1.2) * fitted.worth())[:, :, -30:].sum(axis=(1, 2)) for c in range(3)]
    np.testing.assert_allclose(simulation.by_channel(scales), own, rtol=1e-9)
    # People add up: a channel that buys reach has no saturation in spend.
    assert simulation.by_channel(2 * scales)[0] == pytest.approx(2 * simulation.by_channel(scales)[0])


@pytest.mark.parametrize("target", ["roi", "mroi"])
def test_a_flexible_total_meets_its_target(clean: World, target: str) -> None:
    fitted = of_mmm_world(clean, FREE, n=50, wobble=0.1)
    free = {name: {"low": 0.0, "high": 4.0} for name in clean.names}
    now = whole(planned(fitted))
    asked = now["roi_current"] * (1.1 if target == "roi" else 0.6)
    plan = planned(fitted, flexible={target: asked}, channels=free, allow_beyond_observed=True, budget=None)
    total, rows = whole(plan), parts(plan)
    assert total["bound"] == "flexible"
    if target == "roi":
        assert total["roi_planned"] == pytest.approx(asked, rel=0.01)
        # The same return with the spend of today scaled down would bring less.
        assert total["response_planned"] > 0
    else:
        inside = rows.filter(pl.col("bound") == "none")
        assert inside.height
        np.testing.assert_allclose(inside["mroi_planned"].to_numpy(), asked, rtol=0.01)
        at_bounds = rows.filter(pl.col("bound") == "lower").filter(pl.col("spend_planned") > 0)
        assert (at_bounds["mroi_planned"] <= asked * 1.01).all()
    assert abs(total["spend_planned"] / total["spend_current"] - 1) > 0.05  # the total did move
    # The dummy, today's spend, does not meet it.
    assert abs(now["roi_current"] / asked - 1) > 0.05


def test_a_target_out_of_reach_is_refused_and_says_what_is_in_reach(clean: World) -> None:
    fitted = of_mmm_world(clean, FREE, n=10)
    with pytest.raises(PlanError, match=r"causal\.plan\.flexible\.roi is 900"):
        planned(fitted, flexible={"roi": 900.0})


def test_a_plan_against_risk_has_less_of_it(wide: Fitted) -> None:
    mean = planned(wide, band=0.9)
    for measure, q in (("cvar", 0.1), ("quantile", 0.1)):
        risk = Risk(measure=measure, q=q)  # type: ignore[arg-type]
        careful = planned(wide, band=0.9, risk=risk.model_dump())
        simulation = Simulation(wide, wide.draws.thin(500), build_program(wide, 52, None))
        kept, given_up = (
            risk_value(simulation.values(parts(plan)["scale"].to_numpy()[:, None]), risk) for plan in (careful, mean)
        )
        assert kept > given_up * 1.0005
        assert whole(careful)["objective"] == pytest.approx(kept)
        assert whole(careful)["response_planned"] < whole(mean)["response_planned"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=20, max_size=60), st.sampled_from([0.05, 0.1, 0.5]))
def test_risk_measures_are_what_they_are_called(values: list[float], q: float) -> None:
    array = np.array(values)
    for measure in ("mean", "quantile", "cvar"):
        weights = risk_weights(array, Risk(measure=measure, q=q))  # type: ignore[arg-type]
        assert weights.sum() == pytest.approx(1)
        assert (weights >= 0).all()
    count = q * len(array)
    worst = np.sort(array)
    full = int(count)
    by_hand = (worst[:full].sum() + (count - full) * worst[min(full, len(worst) - 1)]) / count
    assert risk_value(array, Risk(measure="cvar", q=q)) == pytest.approx(by_hand, abs=1e-9)
    assert risk_value(array, Risk(measure="cvar", q=q)) <= array.mean() + 1e-9


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_bounds_are_asked_the_plan_keeps_them_or_says_why_not(data: st.DataObject, clean: World) -> None:
    fitted = of_mmm_world(clean, FREE, n=4, wobble=0.3)
    names = clean.names
    asked: dict[str, Any] = {"channels": {}, "groups": {}, "starts": 3}
    for name in data.draw(st.lists(st.sampled_from(names), unique=True, max_size=3)):
        low = data.draw(st.floats(0, 1.2))
        asked["channels"][name] = {"low": low, "high": low + data.draw(st.floats(0, 1))}
    members = data.draw(st.lists(st.sampled_from(names), unique=True, max_size=3))
    if members:
        low = data.draw(st.floats(0.3, 1.1))
        asked["groups"]["some"] = {"channels": members, "low": low, "high": low + data.draw(st.floats(0, 0.5))}
    if data.draw(st.booleans()):
        asked["budget"] = float(clean.spend[:, :, -52:].sum()) * data.draw(st.floats(0.6, 1.4))
    if data.draw(st.booleans()):
        asked["steps"] = {"weeks": 26, "low": 0.2, "high": 1.8}
    refused = ""
    try:
        plan = planned(fitted, **asked)
    except PlanError as error:
        refused = str(error)
    if refused:
        assert "causal.plan" in refused
        return
    rows = {row["channel"]: row for row in plan.channels.iter_rows(named=True)}
    now = sum(rows[name]["spend_current"] for name in names)
    spent = {name: rows[name]["spend_planned"] for name in names}
    assert sum(spent.values()) == pytest.approx(asked.get("budget", now), rel=1e-6)
    for name in names:
        bounds = asked["channels"].get(name, {"low": 0.7, "high": 1.3})
        scale = spent[name] / rows[name]["spend_current"]
        assert bounds["low"] - 1e-6 <= scale <= bounds["high"] + 1e-6
        assert not rows[name]["beyond_observed"]
    if members:
        together = sum(spent[m] for m in members) / sum(rows[m]["spend_current"] for m in members)
        group = asked["groups"]["some"]
        assert group["low"] - 1e-6 <= together <= group["high"] + 1e-6
    for row in plan.steps.iter_rows(named=True) if "steps" in asked else ():
        assert 0.2 - 1e-6 <= row["scale"] <= 1.8 + 1e-6
    assert rows[ALL]["certificate_gap"] <= 1e-6


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"budget": 1.0}, r"causal\.plan\.budget \(1\)"),
        ({"channels": {"tv": {"low": 0.9, "most": 1.0}}}, r"causal\.plan\.channels\.tv: low .* most"),
        ({"channels": {"serch": {"low": 0.9}}}, r'serch is not a paid channel \(closest: "search"\)'),
        ({"channels": {"tv": {"low": 40.0, "high": 50.0}}}, r"causal\.plan\.channels\.tv .*allow_beyond_observed"),
        ({"groups": {"all": {"channels": ["tv", "search"], "low": 1.6}}}, r"causal\.plan\.groups\.all"),
    ],
)
def test_bounds_that_contradict_each_other_are_named(clean: World, asked: dict[str, Any], named: str) -> None:
    with pytest.raises(PlanError, match=named):
        planned(of_mmm_world(clean, FREE, n=4), **asked)


def test_beyond_what_was_observed_only_when_allowed_and_then_flagged(clean: World) -> None:
    fitted = of_mmm_world(clean, FREE, n=4)
    much = {name: {"low": 0.0, "high": 30.0} for name in clean.names}
    kept = planned(fitted, channels=much)
    assert not kept.channels["beyond_observed"].any()
    for row in parts(kept).iter_rows(named=True):
        c = clean.names.index(row["channel"])
        assert row["spend_planned"] / 52 <= clean.spend[c].sum(axis=0).max() * (1 + 1e-6)
    budget = float(clean.spend[:, :, -52:].sum()) * 8
    over = planned(fitted, channels=much, budget=budget, allow_beyond_observed=True)
    assert over.channels["beyond_observed"].any()
    flagged = set(over.channels.filter(pl.col("beyond_observed"))["channel"])
    for row in parts(over).iter_rows(named=True):
        c = clean.names.index(row["channel"])
        assert (row["channel"] in flagged) == (
            row["spend_planned"] / 52 > clean.spend[c].sum(axis=0).max() * (1 + 1e-6)
        )


def true_response(world: World, plan: Plan, scales: np.ndarray) -> float:
    """Revenue over the plan's weeks and those after of spend by steps, by the world's own formulas."""
    weeks = plan.program.weeks
    total = 0.0
    for c, channel in enumerate(world.channels):
        past, window = world.exposure[c][:, :-weeks], world.exposure[c][:, -weeks:]
        decided = window * np.repeat(scales[c], [b - a for a, b in plan.program.step_weeks])
        path = np.concatenate([past, decided, window[:, :8]], axis=1)
        curve = saturated(carry_over(path, channel.retention), channel.half, channel.slope)
        outcome = channel.ceiling * world.effect[c][:, None] * world.heads[:, None] * curve
        total += PRICE * float(outcome[:, -(weeks + 8) :].sum())
    return total


def bursts() -> World:
    """A world whose channels were all on air heavily in turns, though carry-over and saturation call for less of it."""
    world = make_world("clean", 4)
    heavy = np.where((np.arange(len(world.weeks)) // 4) % 2 == 0, 1.7, 0.3)
    exposure = np.stack([channel * heavy for channel in np.abs(world.exposure) * 0 + world.exposure])
    exposure = np.stack([path / np.median(path[path > 0]) for path in exposure])
    media = world.media.with_columns(
        (pl.col(name) * pl.Series(np.tile(heavy, len(world.names)))).alias(name) for name in ("spend", "exposure")
    )
    return World(**vars(world) | {"media": media, "spend": world.spend * heavy, "exposure": exposure})


def test_steps_over_weeks_beat_a_static_split_where_flights_were_badly_timed() -> None:
    world = bursts()
    fitted = of_mmm_world(world, FREE, n=4)
    moving = planned(fitted, weeks=48, steps={"weeks": 4, "low": 0.0, "high": 6.0})
    static = planned(fitted, weeks=48)
    still = np.repeat(parts(static)["scale"].to_numpy()[:, None], moving.scales.shape[1], axis=1)
    today = true_response(world, moving, np.ones_like(moving.scales))
    gain_static = true_response(world, moving, still) - today
    gain_moving = true_response(world, moving, moving.scales) - today
    assert gain_moving > 1.5 * gain_static > 0
    # What the plan promises is what the world gives.
    assert whole(moving)["uplift"] == pytest.approx(gain_moving, rel=1e-6)
    assert moving.channels["carry"][0] == "simulated"
    per_channel = moving.steps.group_by("channel").agg(pl.col("spend_planned").sum()).sort("channel")
    np.testing.assert_allclose(
        per_channel["spend_planned"].to_numpy(), parts(moving).sort("channel")["spend_planned"].to_numpy(), rtol=1e-9
    )
    assert whole(moving)["certificate_gap"] <= 1e-6


def test_an_even_flighting_is_better_than_bursts_for_a_saturating_channel() -> None:
    world = bursts()
    even = planned(of_mmm_world(world, FREE, n=4), weeks=48, steps={"weeks": 4, "shape": "even"})
    assert whole(even)["uplift"] > 0
    assert even.steps.filter(pl.col("spend_current") > 0)["scale"].null_count() == 0


def test_without_revenue_a_target_on_returns_is_refused(clean: World) -> None:
    silent = World(**vars(clean) | {"outcome": clean.outcome.with_columns(revenue=pl.lit(None, pl.Float64))})
    fitted = of_mmm_world(silent, FREE, n=4)
    with pytest.raises(PlanError, match="revenue is unknown"):
        planned(fitted, flexible={"roi": 2.0})
    assert planned(fitted).channels["unit"][0] == "outcome"
