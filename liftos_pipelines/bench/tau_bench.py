"""tau-bench's recorded airline runs (Yao et al., 2024; sierra-research/tau-bench @ 59a200c, MIT) as agent steps."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from liftos_pipelines.bench.figure import NoData
from liftos_pipelines.tables import table

START = datetime(2025, 3, 3, 9, tzinfo=UTC)
AGENT = "airline"


def airline_file(data: Path) -> Path:
    """Where the runs lie.

    Raises
    ------
    NoData : they are not on this machine
    """
    file = data / "agentic" / "tau_bench" / "gpt-4o-airline.json"
    if not file.is_file():
        raise NoData(f"{file} is absent; set LIFTOS_SHARED_DATA to the public data sets")
    return file


def airline_steps(file: Path) -> pl.DataFrame:
    """200 runs (50 tasks, four tries each) as `sources/agent_steps`, with the calls that each task expects."""
    contract = table("sources/agent_steps")
    rows: list[dict[str, Any]] = []
    for number, run in enumerate(json.loads(file.read_text(encoding="utf-8"))):
        steps: list[dict[str, Any]] = []
        for message in run["traj"]:
            steps += _steps(message)
        actions = [{"name": call["name"], "arguments": call["kwargs"]} for call in run["info"]["task"]["actions"]]
        steps.append({"kind": "outcome", "reward": run["reward"], "expected_calls": json.dumps(actions)})
        started = START + timedelta(hours=number)
        for place, step in enumerate(steps, start=1):
            named = {"run_id": f"airline-{run['task_id']}#{run['trial']}", "agent_id": AGENT, "step": place}
            row = named | {"at": started + timedelta(seconds=place)} | step
            rows.append({column: row.get(column) for column in contract.columns})
    return pl.DataFrame(rows, schema=contract.columns, orient="row")


def _steps(message: dict[str, Any]) -> list[dict[str, Any]]:
    if message["role"] == "tool":
        return [{"kind": "tool_result", "tool": message["name"], "content": message["content"]}]
    steps: list[dict[str, Any]] = []
    if message["role"] in ("user", "assistant") and message.get("content"):
        steps.append({"kind": "message", "content": f"{message['role']}: {message['content']}"})
    for call in message.get("tool_calls") or []:
        function = call["function"]
        steps.append({"kind": "tool_call", "tool": function["name"], "arguments": function["arguments"]})
    return steps
