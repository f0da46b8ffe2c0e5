"""`liftos surfacing`: what the panel of prompts can see, and what it would take to see more."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liftos_pipelines import settings
from liftos_pipelines.clients import ClientConfig, load_client
from liftos_pipelines.tables import ALL

if TYPE_CHECKING:
    import polars as pl

surfacing_app = typer.Typer(no_args_is_help=True, help="Surfacing: plan the panel of prompts asked of assistants.")
PANEL_COLUMNS = ("prompt_id", "prompt", "intent", "stage", "branded")


@surfacing_app.command("panel")
def panel(
    client: Annotated[str, typer.Argument(help="Client id, the name of its folder")],
    width: Annotated[
        float | None, typer.Option(help="Wanted width of the mention rate's 90 % interval, both sides together (0.1)")
    ] = None,
    repeats: Annotated[int, typer.Option(help="How often each prompt is asked a month", min=1)] = 3,
    price: Annotated[float | None, typer.Option(help="Price of one answer; finds the cheapest panel")] = None,
    prompt_price: Annotated[float, typer.Option(help="Monthly price of having one more prompt")] = 0.0,
    write: Annotated[Path | None, typer.Option(help="Write the industry's prompts, filled in, as CSV")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """What the present panel of prompts can see, what a wanted width needs, and prompts ready to ask."""
    from liftos_pipelines.templates.loader import load_template

    config = load_client(client)
    template = load_template(config.industry, config.folder)
    wanted = template.targets.interval_width if width is None else width
    answer = plan(config, wanted, repeats, price, prompt_price)
    prompts = ready_prompts(config) if config.brand is not None else []
    answer["ready_prompts"] = len(prompts)
    if write is not None:
        if config.brand is None:
            raise ValueError(f"{config.folder}/client.yaml: brand: prompts name a brand and its competitors; add it")
        _write(write, prompts)
        answer["written"] = str(write)
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    for line in panel_words(answer, config.currency):
        typer.echo(line)


def ready_prompts(config: ClientConfig) -> list[dict[str, str]]:
    """The prompts of the client's industry, filled in with its brand, competitors and vocabulary."""
    from liftos_pipelines.templates.loader import load_template, prompt_panel

    assert config.brand is not None
    return prompt_panel(
        load_template(config.industry, config.folder),
        brand=config.brand.name,
        competitors=[competitor.name for competitor in config.brand.competitors],
    )


def plan(config: ClientConfig, width: float, repeats: int, price: float | None, prompt_price: float) -> dict[str, Any]:
    """Per engine what is asked and seen now, and what the wanted width needs."""
    from liftos_pipelines.modules.surfacing.panel_design import (
        Prices,
        assumed,
        cheapest_panel,
        half_width,
        prompts_needed,
        smallest_change,
    )
    from liftos_pipelines.resources.lake import Lake

    lake = Lake(settings.lake_uri())
    engines = []
    for row in _measured(lake.read(config.client, "surfacing/visibility_posterior")):
        asked = max(row["n_answers"] / row["n_prompts"], 1.0)
        rate, icc, _ = assumed(row["rate"], row["icc"])
        engines.append(
            {
                "engine": row["engine"],
                "period": row["period"],
                "prompts": row["n_prompts"],
                "repeats": asked,
                "rate": rate,
                "low": row["low"],
                "high": row["high"],
                "icc": icc,
                "counts_as": row["n_answers"] / (1 + (asked - 1) * icc),
                "smallest_change": smallest_change(rate, icc, row["n_prompts"], asked)
                if row["n_prompts"] > 1
                else None,
                "prompts_needed": prompts_needed(width, rate, icc, repeats),
            }
        )
    widest = max(engines, key=lambda one: one["rate"] * (1 - one["rate"]) * one["icc"], default=None)
    rate, icc, notes = assumed(widest["rate"] if widest else None, widest["icc"] if widest else None)
    needed = prompts_needed(width, rate, icc, repeats)
    cheapest = (
        cheapest_panel(width, rate, icc, Prices(answer=price, prompt=prompt_price)) if price is not None else None
    )
    return {
        "client": config.client,
        "width": width,
        "repeats": repeats,
        "engines": engines,
        "rate": rate,
        "icc": icc,
        "assumed": notes,
        "prompts_needed": needed,
        "width_found": 2 * half_width(rate, icc, needed, repeats) if needed else None,
        "prompts_needed_once": prompts_needed(width, rate, icc, 1),
        "price": price,
        "cheapest": asdict(cheapest) if cheapest else None,
    }


def _measured(posterior: pl.DataFrame) -> list[dict[str, Any]]:
    """The own brand's rows of the newest month, one an engine."""
    import polars as pl

    own = posterior.filter(pl.col("own") & (pl.col("engine") != ALL))
    return own.filter(pl.col("period") == pl.col("period").max()).sort("engine").to_dicts()


def panel_words(answer: dict[str, Any], currency: str) -> list[str]:
    """The plan as sentences."""
    lines = []
    for one in answer["engines"]:
        lines.append(
            f"{one['engine']}, {one['period']}: {one['prompts']} prompts asked {one['repeats']:.1f} times each. "
            f"The brand is named in {one['rate']:.0%} of answers "
            f"(90 % interval {one['low']:.0%} to {one['high']:.0%}). "
            f"Answers to one prompt agree (correlation {one['icc']:.2f}), so they count as {one['counts_as']:.0f}."
        )
        if one["smallest_change"] is not None:
            lines.append(
                f"  With other prompts each month it would see a change of {100 * one['smallest_change']:.0f} points "
                "four times in five; with the same prompts a smaller one."
            )
    lines += answer["assumed"]
    wanted = f"An interval {100 * answer['width']:.0f} points wide (plus or minus {50 * answer['width']:.1f})"
    if answer["prompts_needed"] is None:
        lines.append(f"{wanted} is out of reach: more prompts than make sense. Ask for a wider one.")
    else:
        lines.append(
            f"{wanted} needs {answer['prompts_needed']} prompts asked {answer['repeats']} times each an engine"
            + (
                f", or {answer['prompts_needed_once']} asked once."
                if answer["prompts_needed_once"] and answer["repeats"] > 1
                else "."
            )
        )
    if answer["cheapest"]:
        best = answer["cheapest"]
        lines.append(
            f"Cheapest at {answer['price']:g} {currency} an answer: {best['prompts']} prompts, {best['repeats']} "
            f"repeat{'s' if best['repeats'] > 1 else ''}, {best['cost']:,.2f} {currency} a month and engine."
        )
    if "written" in answer:
        lines.append(f"{answer['ready_prompts']} prompts are in {answer['written']}.")
    elif answer["ready_prompts"]:
        lines.append(f"{answer['ready_prompts']} prompts are ready to ask: --write prompts.csv")
    return lines


def _write(file: Path, prompts: list[dict[str, str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, PANEL_COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(prompts)
