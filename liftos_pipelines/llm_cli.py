"""`liftos llm`: plan an experiment of prompts or models, and see where the running ones stand."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

llm_app = typer.Typer(no_args_is_help=True, help="Language models in production: experiments of prompts and models.")
experiment_app = typer.Typer(no_args_is_help=True, help="Plan an experiment, and see where the running ones stand.")
llm_app.add_typer(experiment_app, name="experiment")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON")]


@experiment_app.command("plan")
def plan(
    effect: Annotated[float, typer.Option(help="Smallest difference to find, in the metric's unit (0.05 of a rate)")],
    rate: Annotated[float | None, typer.Option(help="The control's rate, for a metric of yes and no")] = None,
    spread: Annotated[float | None, typer.Option(help="Standard deviation of one unit, for a mean")] = None,
    share_b: Annotated[float, typer.Option(help="Planned share of the new variant")] = 0.5,
    power: Annotated[float, typer.Option(help="Chance to find the effect by the horizon")] = 0.8,
    units_per_day: Annotated[float | None, typer.Option(help="Units a day, to say it in days")] = None,
    variance_removed: Annotated[float, typer.Option(help="By covariates, as past experiments report it")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the simulated paths")] = 0,
    as_json: AsJson = False,
) -> None:
    """Units that a planned effect needs when one looks every day, beside what a single look would need."""
    from liftos_pipelines.modules.llm.experiments.sample_size import sample_size, spread_of_rate

    if (rate is None) == (spread is None):
        raise ValueError("say either --rate (a metric of yes and no) or --spread (a mean)")
    middle = spread if spread is not None else spread_of_rate(_middle(rate or 0.0, effect))
    found = sample_size(effect, middle, share_b=share_b, power=power, variance_removed=variance_removed, seed=seed)
    days = None if units_per_day is None else found.horizon / units_per_day
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"days": days}, indent=2))
        return
    typer.echo(f"horizon_units: {found.horizon}  finds {effect:g} with a power of {found.simulated_power:.0%}")
    typer.echo(f"on average     {found.expected:,} units, when looked at daily and stopped once found")
    typer.echo(f"a single look  {found.single_look:,} units, if nobody looks before the end")
    if days is not None and units_per_day is not None:
        typer.echo(
            f"at {units_per_day:g} units a day: {days:.0f} days, {found.expected / units_per_day:.0f} on average"
        )


@experiment_app.command("show")
def show(
    client: Annotated[str, typer.Argument(help="Client id, the name of its folder")],
    experiment: Annotated[str | None, typer.Option(help="Only this experiment")] = None,
    as_json: AsJson = False,
) -> None:
    """Every experiment: what was decided, what the newest look says, its guardrails, and the next split."""
    import polars as pl

    from liftos_pipelines import settings
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.resources.lake import Lake

    load_client(client)
    lake = Lake(settings.lake_uri())
    lake.require(client, "llm/experiments")
    found = lake.read(client, "llm/experiments")
    if "cs_method" not in found.columns and found.height:
        raise ValueError(f"llm/experiments of {client} is of an earlier version: materialise it again")
    looks, shares = lake.read(client, "llm/experiment_looks"), lake.read(client, "llm/allocation")
    if experiment is not None:
        known = sorted(set(found["experiment"]))
        if experiment not in known:
            raise ValueError(f'there is no experiment "{experiment}" of {client}; it has {", ".join(known) or "none"}')
        mine = pl.col("experiment") == experiment
        found, looks, shares = found.filter(mine), looks.filter(mine), shares.filter(mine)
    if as_json:
        body = {"experiments": found, "looks": looks, "allocation": shares}
        typer.echo(json.dumps({name: frame.to_dicts() for name, frame in body.items()}, default=str, indent=2))
        return
    if found.is_empty():
        typer.echo(f"{client} has no experiment: no prompt has calls of two variants or versions")
    for line in words(found, looks, shares):
        typer.echo(line)


def words(found: Any, looks: Any, shares: Any) -> list[str]:
    """What the three tables say, line by line."""
    import polars as pl

    lines: list[str] = []
    for (name, a, b), pair in found.group_by("experiment", "variant_a", "variant_b", maintain_order=True):
        row = pair.row(0, named=True)
        own = looks.filter((pl.col("experiment") == name) & (pl.col("variant_b") == b)).sort("look")
        last = own.row(-1, named=True) if own.height else None
        lines.append(f"{name}: {b} against {a}, {row['metric']}, {row['n_a']:,} and {row['n_b']:,} calls")
        if last is not None and last["final_decision"]:
            lines.append(f"  decided   {last['final_decision']} on {last['final_at']:%Y-%m-%d %H:%M}")
        lines.append(f"  now says  {row['decision']}: {row['reason']}")
        if row["estimate"] is None:
            lines.append(f"  looks     {own.height}")
            continue
        low, high = _number(row["cs_low"]), _number(row["cs_high"])
        lines.append(f"  estimate  {_number(row['estimate'])} ({low} to {high} at any look, {row['cs_method']})")
        better, loss = _number(row["p_b_better"]), _number(row["expected_loss_b"])
        lines.append(f"  chances   P(B better) {better}; shipping B would cost {loss} on average")
        if row.get("variance_removed"):
            lines.append(f"  adjusted  {row['variance_removed']:.0%} of the variance removed by {row['covariates']}")
        lines.append(f"  split     anytime-valid p {_number(row['srm_p_value'])}")
        for guard in pair.filter(pl.col("role") == "guardrail").iter_rows(named=True):
            lines.append(f"  guard     {guard['guardrail'] or 'unknown':<8} {guard['metric']}: {guard['reason']}")
        if row.get("notes"):
            lines.append(f"  note      {row['notes']}")
        lines.append(f"  looks     {own.height}")
    for (name,), arms in shares.group_by("experiment", maintain_order=True):
        newest = arms.filter(pl.col("as_of") == pl.col("as_of").max())
        split = ", ".join(f"{row['variant']} {row['probability']:.0%}" for row in newest.iter_rows(named=True))
        lines.append(f"{name}: next calls {split} ({newest['reason'][0]})")
    return lines


def _middle(rate: float, effect: float) -> float:
    """The rate half-way to the effect, whose spread stands for both arms."""
    if not 0 < rate < 1 or not 0 <= rate + effect <= 1:
        raise ValueError(f"a rate of {rate} and an effect of {effect}: both {rate} and {rate + effect} must be rates")
    return rate + effect / 2


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
