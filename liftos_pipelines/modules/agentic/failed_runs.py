"""Recorded runs that failed, each with the steps that most likely decided it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import polars as pl

from liftos_pipelines.modules.agentic.attribution import AttributionModel, Turn, attribute, stands_out
from liftos_pipelines.tables import table

NAMED = 3
"""Steps that are named of a run, the likeliest first."""
LIKELY, UNKNOWN = "likely", "unknown"
_PERSON = re.compile(r"\s*(?:user|human|customer)\s*:", re.I)


def failure_attribution(steps: pl.DataFrame, runs: pl.DataFrame, model: AttributionModel) -> pl.DataFrame:
    """The `agentic/failure_attribution` table: for every run that failed, the steps most likely at fault.

    `verdict` is unknown where no step stands out among the others; the ranking is given all the same.
    """
    contract = table("agentic/failure_attribution")
    failed = runs.filter(pl.col("success") == False)["run_id"].to_list()  # noqa: E712
    chosen = steps.filter(pl.col("run_id").is_in(failed)).sort("run_id", "step", maintain_order=True)
    rows = []
    for (run_id,), run in chosen.group_by("run_id", maintain_order=True):
        blames = attribute(turns_of(run), model)
        if not blames:
            rows.append(_unknown(str(run_id), "no step is recorded that could be at fault"))
            continue
        verdict = LIKELY if stands_out(blames, model) else UNKNOWN
        for rank, blame in enumerate(blames[:NAMED], start=1):
            why = "; ".join(blame.reasons) or "nothing speaks for it in particular"
            rows.append(
                {
                    "run_id": run_id,
                    "rank": rank,
                    "agent_id": blame.agent,
                    "step": blame.step,
                    "probability": blame.probability,
                    "agent_probability": blame.agent_probability,
                    "verdict": verdict,
                    "reason": why if verdict == LIKELY else f"no step stands out; {why}",
                }
            )
    return contract.conform(pl.DataFrame(rows, schema=contract.columns))


def turns_of(run: pl.DataFrame) -> tuple[Turn, ...]:
    """One run's steps as turns: calls act, results and what people say cannot be at fault, outcomes are left out."""
    works = bool(run["kind"].is_in(["tool_call", "reasoning"]).any())
    turns = []
    columns = ("step", "agent_id", "kind", "tool", "arguments", "content")
    for place, (step, agent, kind, tool, arguments, content) in enumerate(run.select(columns).iter_rows()):
        if kind == "outcome":
            continue
        asked = kind == "message" and (bool(_PERSON.match(content or "")) or (place == 0 and works))
        turns.append(
            Turn(
                step=int(step),
                agent=str(agent),
                text=f"{tool}({arguments or ''}) {content or ''}" if kind == "tool_call" else str(content or ""),
                acts=kind == "tool_call",
                result=kind == "tool_result" or asked,
            )
        )
    return tuple(turns)


def tools_known(
    capabilities: Mapping[str, Collection[str]], declared: Callable[[str], Any], matches: Callable[[str, str], bool]
) -> Callable[[str, str], bool | None]:
    """(agent, tool) -> whether the tool is declared by policy or granted to the agent; None where neither says any."""
    granted = any(capabilities.values())

    def known(agent_id: str, tool: str) -> bool | None:
        own = capabilities.get(agent_id) or ()
        if declared(tool) is not None or any(matches(each, tool) for each in own):
            return True
        return False if own or granted else None

    return known


def _unknown(run_id: str, reason: str) -> dict[str, object]:
    return {
        "run_id": run_id,
        "rank": 1,
        "agent_id": None,
        "step": None,
        "probability": None,
        "agent_probability": None,
        "verdict": UNKNOWN,
        "reason": reason,
    }
