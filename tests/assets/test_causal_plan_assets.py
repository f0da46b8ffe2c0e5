"""Answers over time, plans with steps and scenarios through a real instance, and `liftos plan` on what it stored."""

import json
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from assets.causal_running import metadata_of, runner, write_client
from modules.causal.causal_worlds import make_world
from typer.testing import CliRunner

from liftos_pipelines.assets import causal_contributions
from liftos_pipelines.cli import app
from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.resources.posterior_io import PosteriorAbsent

QUICK = {"chains": 2, "draws": 400, "tune": 300, "max_lag": 4, "seasonality": 1, "holdout_weeks": 6}
SCENARIO = {"weeks": 8, "scale": {"search": 1.2}, "controls": {"price": {"hold": "last"}}}
PLAN = {
    "weeks": 40,
    "steps": {"weeks": 10, "low": 0.5, "high": 1.5},
    "channels": {"tv": {"low": 0.9}},
    "scenarios": {"more_search": SCENARIO},
}
NEW = ("contributions", "returns", "plan_steps", "scenarios", "scenario_weeks")


def plan(*words: str) -> str:
    done = CliRunner().invoke(app, ["plan", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_answers_plans_and_scenarios_are_stored_and_told(instance: dg.DagsterInstance, home: Path) -> None:
    world = make_world(seed=3, geos=2, weeks=80)
    write_client(home, "acme", world, QUICK | {"plan": PLAN})
    run = runner(instance, causal_contributions)
    result = run("acme")
    lake = Lake(str(home / "lake"))
    stored = {name: lake.read("acme", f"causal/{name}") for name in (*NEW, "budget_plan")}
    weeks = stored["contributions"]
    assert weeks["date"].n_unique() == 80
    assert set(weeks["channel"]) == {"tv", "search", "social", "baseline"}
    assert metadata_of(result, "contributions")["carry_in_unknown_weeks"] == 4
    whole = stored["budget_plan"].filter(pl.col("channel") == "all").row(0, named=True)
    steps = stored["plan_steps"]
    assert steps["step"].n_unique() == 4
    assert steps["spend_planned"].sum() == pytest.approx(whole["spend_planned"])
    assert whole["carry"] == "simulated"
    assert metadata_of(result, "budget_plan")["certificate_gap"] <= 1e-6
    gained = stored["scenarios"].filter(pl.col("channel") == "search").row(0, named=True)
    assert gained["spend"] == pytest.approx(1.2 * gained["spend_current"])
    assert gained["uplift"] > 0
    assert stored["scenario_weeks"].filter(pl.col("geo") == "all").height == 8

    told = plan("acme")
    assert "Plan of acme for 40 weeks" in told
    assert "tv" in told
    assert json.loads(plan("acme", "--json"))["plan"][-1]["channel"] == "all"
    file = home / "ask.yaml"
    file.write_text("weeks: 6\nscale: {tv: 0.5}\ncontrols: {price: {hold: last}}\n")
    told = plan("acme", "--scenario", str(file))
    assert "Scenario ask, 6 weeks from" in told
    assert "price is held at the last value seen" in told
    file.write_text("flexible: {mroi: 1.0}\nband: 0.2\n")
    assert "in total" in plan("acme", "--ask", str(file))
    file.write_text("weeks: 6\n")
    with pytest.raises(ValueError, match="gives no future of price"):
        plan("acme", "--scenario", str(file))
    file.write_text("weeks: 6\nspnd: {tv: 1}\n")
    with pytest.raises(ValueError, match=r"ask\.yaml: scenarios\.ask\.spnd"):
        plan("acme", "--scenario", str(file))


def test_without_a_source_all_of_them_are_empty_and_say_why(instance: dg.DagsterInstance, home: Path) -> None:
    write_client(home, "quiet", None, {})
    runner(instance, causal_contributions)("quiet")
    lake = Lake(str(home / "lake"))
    for name in NEW:
        assert lake.read("quiet", f"causal/{name}").is_empty()
        assert lake.status("quiet", f"causal/{name}") == "skipped: no source (marketing)"
    assert "has no plan" in plan("quiet")


def test_a_scenario_before_any_model_says_how_to_make_one(home: Path) -> None:
    write_client(home, "new", make_world(seed=3, geos=1, weeks=60), {})
    Lake(str(home / "lake")).write(
        "new",
        "causal/panel",
        pl.DataFrame(
            schema={
                "date": pl.Date,
                "geo": pl.String,
                "outcome": pl.Float64,
                "revenue_per_outcome": pl.Float64,
                "population": pl.Float64,
            }
        ),
    )
    file = home / "s.yaml"
    file.write_text("weeks: 6\n")
    with pytest.raises(PosteriorAbsent, match="liftos run new --select"):
        plan("new", "--scenario", str(file))
