"""`liftos plan`: the budget plan in words, another one with other settings, or what a scenario would bring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liftos_pipelines import settings
from liftos_pipelines.clients import load_client
from liftos_pipelines.tables import ALL

if TYPE_CHECKING:
    import polars as pl

    from liftos_pipelines.modules.causal.answers.results import Fitted
    from liftos_pipelines.modules.causal.plan.spec import PlanSpec, Scenario
    from liftos_pipelines.modules.causal.spec import ModelSpec

BOUNDS = {
    "lower": "at its lower bound",
    "upper": "at its upper bound",
    "observed": "at the highest week observed",
    "none": "",
}


def plan(
    client: Annotated[str, typer.Argument(help="Client id, the name of its folder")],
    scenario: Annotated[
        Path | None,
        typer.Option(help="YAML of one scenario (weeks, spend, scale, controls, ...) or of several by name"),
    ] = None,
    ask: Annotated[
        Path | None, typer.Option(help="YAML of plan settings to use in place of causal.plan in client.yaml")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Where the budget does most, and what a scenario would bring, by the model that serves."""
    from liftos_pipelines.resources.lake import Lake

    load_client(client)
    if scenario is not None and ask is not None:
        raise ValueError("--scenario and --ask are two questions: give one")
    if scenario is None and ask is None:
        lake = Lake(settings.lake_uri())
        frame = lake.require(client, "causal/budget_plan")
        steps = lake.read(client, "causal/plan_steps")
        tables, lines = {"plan": frame, "steps": steps}, plan_words(client, frame, steps)
    elif scenario is not None:
        tables, lines = _scenarios(client, scenario)
    else:
        assert ask is not None
        tables, lines = _other_plan(client, ask)
    if as_json:
        typer.echo(json.dumps({name: json.loads(one.write_json()) for name, one in tables.items()}, indent=2))
        return
    for line in lines:
        typer.echo(line)


def _served(client: str) -> tuple[Fitted, pl.DataFrame, ModelSpec]:
    """The model that serves, the client's panel and the specification it was fitted with."""
    import arviz as az

    from liftos_pipelines.modules.causal.engine import reading
    from liftos_pipelines.resources.lake import Lake
    from liftos_pipelines.resources.posterior_io import PosteriorAbsent, PosteriorIOManager

    panel = Lake(settings.lake_uri()).require(client, "causal/panel")
    file = PosteriorIOManager().path(client, "causal", "champion")
    if not file.is_file():
        raise PosteriorAbsent(
            f"no model serves for {client} yet. Make one: liftos run {client} --select +causal/champion"
        )
    data = az.from_netcdf(str(file), engine="netcdf4")
    if not reading.is_fitted(data):
        raise PosteriorAbsent(f"no model serves for {client}: {data.attrs['status']}")
    return reading.read_fitted(data, panel), panel, reading.spec_of(data)


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{file}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file}: expected fields such as `weeks: 12`, found {type(content).__name__}")
    return content


def scenarios_of(content: dict[str, Any], file: Path) -> dict[str, Scenario]:
    """One scenario, named by its file, or several by name.

    Raises
    ------
    ValueError : a field that is wrong, naming file and field
    """
    from liftos_pipelines.modules.causal.plan.spec import PlanSpec

    named = {file.stem: content} if "weeks" in content else content
    checked = _checked(PlanSpec, {"scenarios": named}, file)
    return dict(checked.scenarios)


def _checked(kind: type[PlanSpec], content: dict[str, Any], file: Path) -> PlanSpec:
    from pydantic import ValidationError

    try:
        return kind.model_validate(content)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"])
            lines.append(
                f"{file}: {field}: {problem['msg'].removeprefix('Value error, ')} (found {problem['input']!r})"
            )
        raise ValueError("\n".join(lines)) from error


def _scenarios(client: str, file: Path) -> tuple[dict[str, pl.DataFrame], list[str]]:
    from liftos_pipelines.modules.causal.plan.scenario import outlooks

    asked = scenarios_of(_read(file), file)
    fitted, panel, spec = _served(client)
    found = outlooks(fitted, panel, spec, asked, seed=spec.seed)
    lines = [line for name in asked for line in scenario_words(found.channels, name)]
    return {"scenarios": found.channels, "weeks": found.weeks}, [*lines, *(f"Note: {note}." for note in found.notes)]


def _other_plan(client: str, file: Path) -> tuple[dict[str, pl.DataFrame], list[str]]:
    from liftos_pipelines.modules.causal.plan.budget import make_plan
    from liftos_pipelines.modules.causal.plan.spec import PlanSpec

    asked = _checked(PlanSpec, _read(file), file)
    fitted, _, spec = _served(client)
    made = make_plan(fitted, plan_weeks=spec.plan_weeks, band=spec.plan_band, seed=spec.seed, plan=asked)
    return {"plan": made.channels, "steps": made.steps}, plan_words(client, made.channels, made.steps)


def plan_words(client: str, frame: pl.DataFrame, steps: pl.DataFrame) -> list[str]:
    """A plan in sentences and a table: what it gains, how sure, what moves where, what it was held to."""
    import polars as pl

    if frame.is_empty():
        return [f"{client} has no plan: there is no source, no model serves, or nothing was spent in the plan's weeks"]
    whole = frame.filter(pl.col("channel") == ALL).row(0, named=True)
    unit = whole["unit"]
    change = whole["spend_planned"] / whole["spend_current"] - 1
    money = "the same total" if abs(change) < 1e-6 else f"{abs(change):.1%} {'more' if change > 0 else 'less'} in total"
    lines = [
        f"Plan of {client} for {whole['weeks']} weeks like the newest, {money}:",
        f"  {_number(whole['uplift'])} more {unit} ({_number(whole['uplift_low'])} to {_number(whole['uplift_high'])}, "
        f"90 %), {whole['uplift'] / whole['response_current']:+.1%} of what media brought; "
        f"better with probability {whole['probability_better']:.2f}",
        f"  {'channel':<18}{'now':>14}{'plan':>14}{'change':>9}{'next returns':>14}",
    ]
    for row in frame.filter(pl.col("channel") != ALL).iter_rows(named=True):
        margin = "" if row["mroi_planned"] is None else f"{row['mroi_planned']:.3g}"
        flag = "  beyond what was observed" if row["beyond_observed"] else ""
        note = BOUNDS.get(row["bound"], "")
        lines.append(
            f"  {row['channel']:<18}{_number(row['spend_current']):>14}{_number(row['spend_planned']):>14}"
            f"{row['scale'] - 1:>+9.0%}{margin:>14}{flag}{'  ' + note if note else ''}"
        )
    gap = whole["certificate_gap"]
    lines.append(
        f"No transfer of 1 % of the budget between two places gains more than {max(gap, 0.0):.1e} of the response "
        f"(multipliers leave {whole['kkt_residual']:.1e} of the gradient)."
    )
    if steps.height and steps["step"].n_unique() > 1:
        lines.append(f"In steps (causal/plan_steps): {steps['step'].n_unique()} steps from {steps['week_start'][0]}.")
    return lines


def scenario_words(frame: pl.DataFrame, name: str) -> list[str]:
    """A scenario in sentences and a table."""
    import polars as pl

    mine = frame.filter(pl.col("scenario") == name)
    whole = mine.filter(pl.col("channel") == ALL).row(0, named=True)
    lines = [
        f"Scenario {name}, {whole['weeks']} weeks from {whole['first_week']}:",
        f"  outcome {_number(whole['outcome'])} ({_number(whole['outcome_low'])} to {_number(whole['outcome_high'])}, "
        f"90 %), with the current plan {_number(whole['outcome_current'])}",
        f"  {_number(whole['uplift'])} more {whole['unit']} than the current plan ({_number(whole['uplift_low'])} to "
        f"{_number(whole['uplift_high'])}); better with probability {whole['probability_better']:.2f}",
        f"  {'channel':<18}{'spend':>14}{'current':>14}{'incremental':>14}{'gain':>14}",
    ]
    for row in mine.filter(pl.col("channel") != ALL).iter_rows(named=True):
        flag = "  beyond what was observed" if row["beyond_observed"] else ""
        lines.append(
            f"  {row['channel']:<18}{_number(row['spend']):>14}{_number(row['spend_current']):>14}"
            f"{_number(row['incremental']):>14}{_number(row['uplift']):>14}{flag}"
        )
    return lines


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"
