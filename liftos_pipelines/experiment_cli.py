"""`liftos experiment`: design the next test of a channel, read out the past ones."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liftos_pipelines import settings
from liftos_pipelines.clients import load_client

if TYPE_CHECKING:
    import polars as pl

    from liftos_pipelines.modules.causal.experiments.design import GeoDesign, NationalDesign

experiment_app = typer.Typer(no_args_is_help=True, help="Experiments: design the next test, read out the past ones.")
Client = Annotated[str, typer.Argument(help="Client id, the name of its folder")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON")]
NAMES = {"did": "difference-in-differences", "synthetic_control": "synthetic control"}


def _table(client: str, name: str) -> pl.DataFrame:
    from liftos_pipelines.resources.lake import Lake

    load_client(client)
    return Lake(settings.lake_uri()).require(client, name)


@experiment_app.command("design")
def design(
    client: Client,
    channel: Annotated[str, typer.Option(help="The channel to test")],
    weeks: Annotated[int, typer.Option(help="Weeks the test shall last")] = 4,
    geos: Annotated[int | None, typer.Option(help="Geos to treat; the fewest that do when absent")] = None,
    lift: Annotated[float, typer.Option(help="Lift to find, as a share of the outcome (0.05 is 5 %)")] = 0.05,
    exclude: Annotated[list[str] | None, typer.Option(help="A geo to leave out; may be given again")] = None,
    max_spend_share: Annotated[
        float | None, typer.Option(help="Largest share of the channel's spend that treated geos may carry")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draws")] = 0,
    as_json: AsJson = False,
) -> None:
    """Which geos to treat, and what a test of so many weeks would find, from the client's own history."""
    from liftos_pipelines.modules.causal.experiments.design import GeoDesign, design_test
    from liftos_pipelines.modules.causal.experiments.geo_panel import SPEND, geo_panel

    frame = _table(client, "causal/panel")
    known = [name.removeprefix(SPEND) for name in frame.columns if name.startswith(SPEND)]
    if channel not in known:
        raise ValueError(f'channel "{channel}" is not in the panel of {client}; it has {", ".join(known) or "none"}')
    designed = design_test(
        geo_panel(frame, channel),
        channel,
        weeks=weeks,
        lift=lift,
        n_treated=geos,
        excluded=exclude or (),
        max_spend_share=max_spend_share,
        seed=seed,
    )
    if as_json:
        typer.echo(json.dumps(_plain(asdict(designed) | {"power": designed.power}), indent=2))
        return
    for line in geo_words(designed) if isinstance(designed, GeoDesign) else national_words(designed):
        typer.echo(line)


@experiment_app.command("readout")
def readout(client: Client, as_json: AsJson = False) -> None:
    """Past experiments as the panel shows them, beside what was reported."""
    frame = _table(client, "causal/experiment_readout")
    if as_json:
        typer.echo(frame.write_json())
        return
    for line in readout_words(client, frame):
        typer.echo(line)


def geo_words(designed: GeoDesign) -> list[str]:
    """A geo test in sentences: who is treated, what it finds, what other lengths and sizes would."""
    chosen, curve = designed.assignment, designed.curve
    share = f" and {chosen.spend_share:.0%} of the spend on it" if chosen.spend_share is not None else ""
    lines = [
        f"Geo test of {designed.channel}, {designed.weeks} weeks",
        f"  treat:        {', '.join(chosen.treated)} ({chosen.outcome_share:.0%} of the outcome{share})",
        f"  compare with: {', '.join(chosen.control)}",
    ]
    if chosen.excluded:
        lines.append(f"  left out:     {', '.join(chosen.excluded)}")
    lines += [
        f"  balance:      {chosen.imbalance:.3f}, a random draw has {chosen.imbalance_random:.3f} (median); one of the "
        f"{chosen.n_accepted} best of {chosen.n_draws} draws, taken at random",
        f"  read out by:  {NAMES[curve.method]}",
        f"Chance to find a lift of {designed.lift:.1%}: {designed.power:.0%}. {_mde(curve.mde)}",
        f"False alarms on the client's own weeks: {curve.false_alarm:.1%} "
        f"({curve.low[0]:.1%} to {curve.high[0]:.1%}, {curve.trials} trials; 5 % is meant)",
        "  lift    power   90 % interval",
    ]
    lines += [
        f"  {lift:>5.1%}  {power:>5.0%}    {low:.0%} to {high:.0%}"
        for lift, power, low, high in zip(curve.lifts, curve.power, curve.low, curve.high, strict=True)
        if lift > 0
    ]
    if designed.others:
        lines.append("Other tests, with the lift found four times in five and false alarms:")
    lines += [
        f"  {other.weeks:>2} weeks, {other.n_treated:>2} geos treated: "
        f"{_share(other.mde)}, {other.false_alarm:.0%} ({other.trials} trials)"
        for other in designed.others
    ]
    return lines + [f"Note: {note}." for note in designed.notes]


def national_words(designed: NationalDesign) -> list[str]:
    """An on/off test in sentences, after saying why there is no geo test."""
    curve = designed.curve
    on = " ".join("on" if week else "off" for week in designed.on)
    lines = [
        f"No geo test of {designed.channel}: {designed.reason}.",
        f"On/off test instead, {curve.weeks} weeks in blocks of {curve.block_weeks} (pairs, the order by coin):",
        f"  {on}",
        f"Chance to find a lift of {designed.lift:.1%}: {designed.power:.0%}. {_mde(curve.mde)}",
        f"False alarms on the client's own weeks: {curve.false_alarm:.1%} ({curve.trials} trials; 5 % is meant)",
    ]
    lines += [f"  {other.weeks} weeks would find {_share(other.mde)}" for other in designed.others]
    return [
        *lines,
        "Note: the first week of each block is left out; a channel that works for longer needs longer blocks.",
    ]


def readout_words(client: str, frame: pl.DataFrame) -> list[str]:
    """Two lines an experiment and method: the numbers, then why they agree, do not, or cannot be compared."""
    if frame.is_empty():
        return [f"{client} has no past experiment, or no marketing to hold it against"]
    lines = []
    for row in frame.sort("experiment_id", "method").iter_rows(named=True):
        number = {name: _number(row[name]) for name in ("effect", "effect_low", "effect_high")}
        reported = f"{_number(row['reported_effect'])} ± {_number(row['reported_std_error'])}"
        p_value, p_placebo = (_probability(row[name]) for name in ("p_value", "p_placebo"))
        lines += [
            f"{row['agrees']:<8}{row['experiment_id']} ({row['channel']}), {NAMES[row['method']]}: "
            f"{number['effect']} ({number['effect_low']} to {number['effect_high']}), p {p_value}, "
            f"placebo p {p_placebo}; reported {reported}",
            f"        {row['detail']}",
        ]
    return lines


def _mde(mde: float | None) -> str:
    if mde is None:
        return "No lift tried is found four times in five: treat more geos, or for longer."
    return f"The smallest lift found four times in five is {mde:.1%}."


def _share(value: float | None) -> str:
    return "no lift tried" if value is None else f"a lift of {value:.1%}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


def _probability(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _plain(value: Any) -> Any:
    """What JSON can hold: arrays as lists, numbers that are not finite as null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
