"""Frames of agents and steps from a few fields, and the packaged policy as it is parsed for a client."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import yaml

import liftos_pipelines
from liftos_pipelines.modules.agentic.ledger_state import LedgerState
from liftos_pipelines.modules.agentic.lifecycle import TRANSITION, Key, Move
from liftos_pipelines.modules.agentic.policy import Policy, parse_policy
from liftos_pipelines.tables import table

DEFAULT = yaml.safe_load((Path(liftos_pipelines.__file__).parent / "policies" / "default.yaml").read_text())
AIRLINE = Path(liftos_pipelines.__file__).parent / "bench" / "airline_policy.yaml"
START = datetime(2025, 3, 3, 9, tzinfo=UTC)


def default_policy() -> Policy:
    return parse_policy(DEFAULT, file="default.yaml", variables={"internal_domains": ["acme.example"]})


def policy(content: dict[str, Any]) -> Policy:
    return parse_policy(content, file="policies.yaml", base=DEFAULT, variables={"internal_domains": ["acme.example"]})


def agents(*rows: dict[str, Any]) -> pl.DataFrame:
    contract = table("sources/agents")
    base = {
        "type": "budget_allocator",
        "owner": "growth",
        "purpose": "p",
        "version": "1",
        "stage": "live",
        "capabilities": [],
    }
    return pl.DataFrame(
        [{c: (base | r).get(c) for c in contract.columns} for r in rows], schema=contract.columns, orient="row"
    )


def call(tool: str | None, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) or arguments is None else json.dumps(arguments)
    return {"kind": "tool_call", "tool": tool, "arguments": text, **fields}


def steps(*rows: dict[str, Any], run_id: str = "r1", agent_id: str = "a", at: datetime = START) -> pl.DataFrame:
    contract = table("sources/agent_steps")
    full = []
    for i, row in enumerate(rows):
        one = {"run_id": run_id, "agent_id": agent_id, "step": i + 1, "at": at + timedelta(seconds=i), **row}
        full.append(
            {c: one.get(c) for c in contract.columns} | {k: v for k, v in one.items() if k not in contract.columns}
        )
    schema = contract.columns | ({"agent_version": pl.String()} if any("agent_version" in r for r in rows) else {})
    return pl.DataFrame(full, schema=schema, orient="row")


def airline_steps(file: Path) -> pl.DataFrame:
    """tau-bench's recorded airline runs as `sources/agent_steps`."""
    rows: list[dict[str, Any]] = []
    for run in json.loads(file.read_text()):
        run_id, at = f"airline-{run['task_id']}#{run['trial']}", START + timedelta(minutes=len(rows))
        todo: list[dict[str, Any]] = []
        for message in run["traj"]:
            if message["role"] in ("user", "assistant") and message.get("content"):
                todo.append({"kind": "message", "content": f"{message['role']}: {message['content']}"})
            for tool in message.get("tool_calls") or []:
                todo.append(call(tool["function"]["name"], tool["function"]["arguments"]))
            if message["role"] == "tool":
                todo.append({"kind": "tool_result", "tool": message["name"], "content": message["content"]})
        todo.append({"kind": "outcome", "reward": run["reward"]})
        for number, row in enumerate(todo, start=1):
            rows.append({"run_id": run_id, "agent_id": "airline", "step": number, "at": at, **row})
    contract = table("sources/agent_steps")
    return pl.DataFrame([{c: r.get(c) for c in contract.columns} for r in rows], schema=contract.columns, orient="row")


def outcomes(**successes: list[bool]) -> pl.DataFrame:
    """Runs of some agents, as `evidence.runs_of` gives them, a second each."""
    from liftos_pipelines.modules.agentic.evidence import runs_of

    frames = [
        steps({"kind": "message"}, {"kind": "outcome", "reward": float(won)}, run_id=f"{agent}-run-{i}", agent_id=agent)
        for agent, own in successes.items()
        for i, won in enumerate(own)
    ]
    return runs_of(
        pl.concat(frames) if frames else steps().clear(), agents(*({"agent_id": name} for name in successes))
    )


def moves_of(*entries: tuple[dict[str, Any], datetime]) -> dict[Key, tuple[Move, ...]]:
    """Versions' moves as the ledger's state folds them, from the bodies and times of its entries."""
    state = LedgerState()
    for position, (body, at) in enumerate(entries):
        state.fold(position, TRANSITION, body, at)
    return state.moves
