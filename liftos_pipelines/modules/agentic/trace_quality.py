"""What is wrong with recorded runs: half traces, steps out of order or twice, strangers, values that cannot be.

Nothing is repaired silently: each fault is a row, and what it makes unknowable is said (`unknown`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise

import polars as pl

from liftos_pipelines.modules.agentic.arguments import read_arguments
from liftos_pipelines.tables import table

MAKES_UNKNOWN = {
    "no_outcome": "success",
    "step_conflict": "success",
    "negative_cost": "cost",
    "call_without_result": "whether the call went well",
    "confidence_out_of_range": "confidence",
    "arguments_not_json": "what was called with",
}
"""Of each fault, what of the run is not known because of it."""


def trace_quality(steps: pl.DataFrame, agents: pl.DataFrame, known: Callable[[str, str], bool | None]) -> pl.DataFrame:
    """The `agentic/trace_quality` table: one row a run, fault and agent, with its first step and how often.

    Parameters
    ----------
    steps : as in `sources/agent_steps`, in the order in which they came; repeats are told
    known : (agent, tool) -> whether that tool exists; None where nobody declares any
    """
    contract = table("agentic/trace_quality")
    if steps.is_empty():
        return contract.empty()
    registered = set(agents["agent_id"].to_list())
    with_results = set(steps.filter(pl.col("kind") == "tool_result")["agent_id"].unique().to_list())
    rows: list[dict[str, object]] = []
    for (run_id,), run in steps.group_by("run_id", maintain_order=True):
        found: dict[tuple[str, str], list[tuple[int, str]]] = {}
        for agent, fault, step, detail in _faults(run, registered, with_results, known):
            found.setdefault((agent, fault), []).append((step, detail))
        rows += [
            {
                "run_id": run_id,
                "agent_id": agent,
                "fault": fault,
                "step": cases[0][0],
                "count": len(cases),
                "detail": cases[0][1],
                "unknown": MAKES_UNKNOWN.get(fault),
            }
            for (agent, fault), cases in found.items()
        ]
    return contract.conform(pl.DataFrame(rows, schema=contract.columns)).sort("run_id", "step", "fault")


def _faults(
    run: pl.DataFrame, registered: set[str], with_results: set[str], known: Callable[[str, str], bool | None]
) -> Iterator[tuple[str, str, int, str]]:
    columns = ["agent_id", "step", "at", "kind", "tool", "arguments", "content", "cost", "confidence", "reward"]
    said = list(run.select(columns).iter_rows(named=True))
    numbers = [step["step"] for step in said]
    if not any(step["kind"] == "outcome" or step["reward"] is not None for step in said):
        yield said[0]["agent_id"], "no_outcome", max(numbers), "the run has no outcome and no reward"
    if numbers != sorted(numbers):
        late = next(b for a, b in pairwise(numbers) if b < a)
        yield said[0]["agent_id"], "out_of_order", late, "steps came in another order than they were numbered"
    ordered = sorted(said, key=lambda step: step["step"])
    first: dict[int, dict[str, object]] = {}
    for step in ordered:
        number = step["step"]
        if number in first:
            same = first[number] == step
            fault = "step_twice" if same else "step_conflict"
            yield step["agent_id"], fault, number, "the same step twice" + ("" if same else ", with another content")
        first.setdefault(number, step)
    steps = list(first.values())
    missing = sorted(set(range(min(numbers), max(numbers) + 1)) - set(numbers))
    if missing:
        yield said[0]["agent_id"], "steps_missing", missing[0], f"{len(missing)} step number(s) are missing"
    times = [step["at"] for step in steps]
    for step, before, at in zip(steps[1:], times, times[1:], strict=False):
        if isinstance(before, datetime) and isinstance(at, datetime) and at < before:
            yield str(step["agent_id"]), "time_goes_back", int(str(step["step"])), f"{at} follows {before}"
            break
    yield from _of_steps(steps, registered, with_results, known)


def _of_steps(
    steps: list[dict[str, object]],
    registered: set[str],
    with_results: set[str],
    known: Callable[[str, str], bool | None],
) -> Iterator[tuple[str, str, int, str]]:
    waiting: dict[str, int] = {}
    for step in steps:
        agent, number, tool = str(step["agent_id"]), int(str(step["step"])), step["tool"]
        if registered and agent not in registered:
            yield agent, "unknown_agent", number, f"agent {agent} is not in the registry"
        cost, confidence, reward = step["cost"], step["confidence"], step["reward"]
        if isinstance(cost, float) and not cost >= 0:
            yield agent, "negative_cost", number, f"cost is {cost}"
        if isinstance(confidence, float) and not 0 <= confidence <= 1:
            yield agent, "confidence_out_of_range", number, f"confidence is {confidence}"
        if isinstance(reward, float) and reward != reward:
            yield agent, "reward_not_a_number", number, "the reward is not a number"
        if step["kind"] == "tool_call":
            if not tool:
                yield agent, "call_without_tool", number, "the call names no tool"
                continue
            if known(agent, str(tool)) is False:
                yield agent, "unknown_tool", number, f"there is no tool {tool}"
            read = read_arguments(None if step["arguments"] is None else str(step["arguments"]))
            if isinstance(read, str):
                yield agent, "arguments_not_json", number, read
            if agent in with_results and str(tool) in waiting:
                yield agent, "call_without_result", waiting[str(tool)], f"{tool} gave no result"
            waiting[str(tool)] = number
        elif step["kind"] == "tool_result":
            if tool is None:
                waiting.clear()
            elif str(tool) not in waiting:
                yield agent, "result_without_call", number, f"a result of {tool} that was not called"
            else:
                del waiting[str(tool)]
    for tool_name, number in waiting.items():
        agent = next(str(step["agent_id"]) for step in steps if int(str(step["step"])) == number)
        if agent in with_results:
            yield agent, "call_without_result", number, f"{tool_name} gave no result"
