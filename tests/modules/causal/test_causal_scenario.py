"""Scenarios on a world whose future is known: explicit controls foretell it, zero-filled ones do not, gains are true."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from modules.causal.fitted_worlds import of_mmm_world

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.inputs.design import build_design
from liftos_pipelines.modules.causal.inputs.panel import CONTROL, PanelError, build_panel
from liftos_pipelines.modules.causal.plan.future import ScenarioError, extend, future_rows
from liftos_pipelines.modules.causal.plan.scenario import Outlook, outlook, outlooks
from liftos_pipelines.modules.causal.plan.spec import Scenario
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.simulate.mmm_worlds import PRICE, World, carry_over, make_world, saturated
from liftos_pipelines.tables import ALL, table

AHEAD = 12
SPEC = ModelSpec(slope="free")
LEVEL = 10.0
"""Controls are prices: they vary about a level far from nothing."""


def dear(world: World) -> World:
    return replace(world, controls=world.controls.with_columns(pl.col("value") + LEVEL))


def cut(world: World, weeks: int) -> World:
    """The same world before its last weeks took place."""
    last = world.weeks[-weeks - 1]
    tables = {name: getattr(world, name).filter(pl.col("date") <= last) for name in ("outcome", "media", "controls")}
    arrays = {n: getattr(world, n)[..., :-weeks] for n in ("spend", "exposure", "contribution", "baseline", "noise")}
    return replace(world, weeks=world.weeks[:-weeks], **tables, **arrays)


def panel_of(world: World) -> pl.DataFrame:
    return build_panel(world.outcome, world.media, world.controls, channels=world.names).frame


@pytest.fixture(scope="module", params=["clean", "geo_clean"])
def world(request: pytest.FixtureRequest) -> World:
    return dear(make_world(request.param, 6))


@pytest.fixture(scope="module")
def fitted(world: World) -> Fitted:
    return truly(world)


def truly(world: World, ahead: int = AHEAD, spec: ModelSpec = SPEC) -> Fitted:
    """Draws at the media's truth of a world cut short; its exposure is counted in the units of the weeks it has."""
    before = cut(world, ahead)
    median = [np.median(path[path > 0]) for path in before.exposure]
    channels = tuple(replace(channel, half=channel.half / m) for channel, m in zip(world.channels, median, strict=True))
    return of_mmm_world(replace(before, channels=channels), spec, n=200)


def controls_of(world: World) -> dict[str, Any]:
    """The world's own future of each control."""
    ahead = world.controls.filter(pl.col("date") >= world.weeks[-AHEAD])
    return {
        name: {"geos": {geo: part.filter(pl.col("geo") == geo)["value"].to_list() for geo in world.geos}}
        for (name,), part in ahead.group_by("control")
    }


def asked(world: World, **changed: Any) -> Scenario:
    return Scenario.model_validate({"weeks": AHEAD, "controls": controls_of(world)} | changed)


def look(world: World, fitted: Fitted, scenario: Scenario) -> Outlook:
    return outlook(fitted, panel_of(cut(world, AHEAD)), SPEC, scenario, "next", seed=3)


def same_spend(world: World) -> dict[str, Any]:
    return {name: tuple(world.spend[c, :, -AHEAD:].sum(axis=0)) for c, name in enumerate(world.names)}


def test_explicit_controls_foretell_the_future_and_zeros_do_not(world: World, fitted: Fitted) -> None:
    actual = world.outcome.filter(pl.col("date") >= world.weeks[-AHEAD]).group_by("date").agg(pl.col("outcome").sum())
    zeros = {name: {"value": 0.0} for name in controls_of(world)}
    error = {}
    for label, controls in (("given", controls_of(world)), ("zero", zeros)):
        told = look(world, fitted, asked(world, spend=same_spend(world), controls=controls))
        weeks = told.weeks.filter(pl.col("geo") == ALL).join(actual, on="date", suffix="_true")
        error[label] = float((weeks["outcome"] - weeks["outcome_true"]).abs().sum() / weeks["outcome_true"].sum())
        if label == "given":
            inside = weeks.filter(pl.col("outcome_true").is_between(pl.col("outcome_low"), pl.col("outcome_high")))
            assert inside.height >= AHEAD - 3
    assert error["given"] < 0.12
    assert error["zero"] > 2 * error["given"]


def true_gain(world: World, spend: dict[str, Any]) -> float:
    """Revenue over the scenario's weeks and those after against the newest weeks' exposure again, by the world's own
    formulas; a currency buys what it bought in the year before, in geos as they were."""
    total = 0.0
    for c, name in enumerate(world.names):
        channel = world.channels[c]
        exposure, money = world.exposure[c][:, :-AHEAD], world.spend[c][:, :-AHEAD]
        current = exposure[:, -AHEAD:]
        year, paid = exposure[:, -52:], money[:, -52:]
        by_geo = paid.sum(axis=1) / paid.sum()
        per = (year * (paid > 0)).sum(axis=1) / paid.sum(axis=1)
        planned = current if name not in spend else (by_geo * per)[:, None] * np.asarray(spend[name])
        outcome = []
        for path in (planned, current):
            whole = np.concatenate([exposure, path, current[:, :8]], axis=1)
            curve = saturated(carry_over(whole, channel.retention), channel.half, channel.slope)
            outcome.append((channel.ceiling * world.effect[c] * world.heads)[:, None] * curve)
        total += PRICE * float((outcome[0] - outcome[1]).sum())
    return total


def test_the_gain_over_the_current_plan_is_the_worlds(world: World, fitted: Fitted) -> None:
    first = world.names[1]
    most = world.spend[1].sum(axis=0).max()
    spend = {first: tuple(np.linspace(0.2, 0.9, AHEAD) * most)}
    told = look(world, fitted, asked(world, spend=spend, price=PRICE))
    table("causal/scenarios").conform(told.channels)
    table("causal/scenario_weeks").conform(told.weeks)
    rows = {row["channel"]: row for row in told.channels.iter_rows(named=True)}
    true = true_gain(world, spend)
    assert rows[ALL]["uplift"] == pytest.approx(true, rel=1e-6)
    assert rows[first]["uplift"] == pytest.approx(true, rel=1e-6)
    assert rows[first]["spend"] == pytest.approx(sum(spend[first]))
    assert rows[ALL]["probability_better"] == (1.0 if true > 0 else 0.0)
    other = rows[world.names[0]]
    assert other["uplift"] == pytest.approx(0.0, abs=1e-6 * abs(true))
    assert other["probability_better"] == 0.0
    assert other["spend"] == pytest.approx(other["spend_current"])
    assert rows[ALL]["incremental"] == pytest.approx(sum(rows[name]["incremental"] for name in world.names))


def test_the_interval_widens_the_further_ahead(world: World) -> None:
    """Beyond the last knot the trend takes steps that nobody has seen; held where it ended, it would be as sure as today."""
    fitted = truly(world)
    held = {name: {"hold": "last"} for name in controls_of(world)}
    told = outlook(fitted, panel_of(cut(world, AHEAD)), SPEC, Scenario(weeks=78, controls=held), "far", seed=1)
    weeks = told.weeks.filter(pl.col("geo") == ALL).sort("date")
    width = (weeks["outcome_high"] - weeks["outcome_low"]).to_numpy()
    assert width[-8:].mean() > 1.3 * width[:8].mean()
    assert len([note for note in told.notes if "held at the last value" in note]) == len(held)


def test_known_weeks_are_as_they_were_fitted(world: World, fitted: Fitted) -> None:
    """An extended design is the fit's in the fit's weeks: no scale is taken anew, columns keep their coefficients."""
    before = cut(world, AHEAD)
    panel = panel_of(before)
    rows = future_rows(panel, asked(world), "next", planned=True)
    design, draws = extend(fitted, panel, rows, SPEC, seed=0)
    places = [design.columns.index(name) for name in fitted.design.columns]
    geos, weeks = len(before.geos), len(before.weeks)
    cube = design.baseline.reshape(geos, weeks + AHEAD, -1)[:, :weeks, places]
    np.testing.assert_allclose(cube, fitted.design.baseline.reshape(geos, weeks, -1), atol=1e-12)
    np.testing.assert_allclose(design.x[:, :, :weeks], fitted.design.x)
    assert draws.beta is not None
    assert fitted.draws.beta is not None
    np.testing.assert_array_equal(draws.beta[:, places], fitted.draws.beta)
    # Scales of an older posterior, without frozen terms, give the same.
    bare = replace(fitted.design, scales=replace(fitted.design.scales, terms=None, weeks=None))
    again, _ = extend(replace(fitted, design=bare), panel, rows, SPEC, seed=0)
    np.testing.assert_allclose(again.baseline, design.baseline)


def test_a_held_season_is_that_of_the_years_before(world: World) -> None:
    before = cut(world, AHEAD)
    panel = panel_of(before)
    name = next(iter(controls_of(world)))
    held = {control: {"hold": "mean_of_season"} for control in controls_of(world)}
    rows = future_rows(panel, asked(world, controls=held), "next", planned=True)
    geo = before.geos[0]
    known = panel.filter(pl.col("geo") == geo).sort("date")
    week = rows["date"].min()
    alike = known.filter((pl.lit(week) - pl.col("date")).dt.total_days().is_between(365 - 11, 365 + 11))
    if before.weeks[0] > alike["date"].min() or len(before.weeks) < 118:
        got = rows.filter((pl.col("geo") == geo) & (pl.col("date") == week))[CONTROL + name][0]
        assert got == pytest.approx(alike[CONTROL + name].mean(), abs=0.5)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"controls": {}}, "gives no future of control_0"),
        ({"spend": {"tvv": 3.0}}, r'tvv \(closest: "tv"\)'),
        ({"scale": {"nothing": 1.0}}, "names nothing"),
    ],
)
def test_what_a_scenario_leaves_open_is_named(
    world: World, fitted: Fitted, changed: dict[str, Any], named: str
) -> None:
    with pytest.raises(ScenarioError, match=named):
        look(world, fitted, asked(world, **changed))


def test_a_control_of_the_wrong_length_or_geo_is_named(world: World, fitted: Fitted) -> None:
    controls = controls_of(world)
    with pytest.raises(ScenarioError, match=r"controls\.control_0 has 2 values for 12 weeks"):
        look(world, fitted, asked(world, controls=controls | {"control_0": {"values": [1.0, 2.0]}}))
    geos = controls["control_0"]["geos"] | {"mars": [0.0] * AHEAD}
    with pytest.raises(ScenarioError, match="mars differs"):
        look(world, fitted, asked(world, controls=controls | {"control_0": {"geos": geos}}))
    with pytest.raises(ValueError, match="give one of values, value, geos, hold"):
        Scenario.model_validate({"weeks": 2, "controls": {"a": {}}})
    with pytest.raises(ValueError, match="has 3 values for 2 weeks"):
        Scenario.model_validate({"weeks": 2, "spend": {"tv": [1, 2, 3]}})


def test_spend_beyond_what_was_seen_is_flagged(world: World, fitted: Fitted) -> None:
    name = world.names[1]
    much = float(world.spend[1].sum(axis=0).max() * 1.5)
    told = look(world, fitted, asked(world, spend={name: much}))
    flagged = told.channels.filter(pl.col("beyond_observed"))["channel"].to_list()
    assert set(flagged) == {name, ALL}


def test_twice_the_current_plan_gains_in_both_forms(world: World) -> None:
    scenario = asked(world, scale={world.names[1]: 1.5})
    before = cut(world, AHEAD)
    for form in ("additive", "multiplicative"):
        spec = ModelSpec(slope="free", form=form)  # type: ignore[arg-type]
        fitted = truly(world, spec=spec)
        if form == "multiplicative":
            fitted.draws.coefficient[:] = 0.2 / fitted.design.scales.spread
        told = outlook(fitted, panel_of(before), spec, scenario, "more", seed=1)
        rows = {row["channel"]: row for row in told.channels.iter_rows(named=True)}
        assert rows[ALL]["uplift_low"] > 0
        assert rows[ALL]["uplift"] == pytest.approx(rows[world.names[1]]["uplift"], rel=1e-9)
        assert 0.5 < rows[ALL]["outcome"] / (before.outcome["outcome"].sum() / len(before.weeks) * AHEAD) < 2


def test_a_gaussian_process_says_how_far_it_reaches(world: World) -> None:
    before = cut(world, AHEAD)
    spec = ModelSpec(slope="free", trend="gp")
    fitted = of_mmm_world(before, spec, n=5)
    held = {name: {"hold": "last"} for name in controls_of(world)}
    with pytest.raises(PanelError, match="Gaussian-process trend"):
        outlook(fitted, panel_of(before), spec, Scenario(weeks=60, controls=held), "far", seed=1)


def test_no_scenario_gives_empty_tables(world: World, fitted: Fitted) -> None:
    none = outlooks(fitted, panel_of(cut(world, AHEAD)), SPEC, {}, seed=1)
    assert none.channels.is_empty()
    assert none.weeks.columns == list(table("causal/scenario_weeks").columns)
    assert build_design(panel_of(world), SPEC).weeks[-1] == world.weeks[-1]
