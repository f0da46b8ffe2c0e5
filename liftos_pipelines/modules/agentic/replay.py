"""A log of agent steps judged in order, run by run: every tool call gets a decision record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from liftos_pipelines.modules.agentic.conditions import AgentFacts
from liftos_pipelines.modules.agentic.engine import AgentHistory, PolicyEngine, RunHistory
from liftos_pipelines.modules.agentic.ledger_state import Stop
from liftos_pipelines.modules.agentic.policy import Policy
from liftos_pipelines.tables import table


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A recorded call that policy denies: the agent did it all the same."""

    run_id: str
    step: int
    agent_id: str
    at: datetime
    policy: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Exhausted:
    """An agent's budget refused a call; the first time in its period."""

    agent_id: str
    at: datetime
    limit: float
    spent: float


@dataclass(frozen=True, kw_only=True)
class Replay:
    decisions: pl.DataFrame
    violations: tuple[Violation, ...]
    exhausted: tuple[Exhausted, ...]


def agents_known(agents: pl.DataFrame) -> dict[str, AgentFacts]:
    """Agents of the registry by id."""
    columns = ("agent_id", "type", "stage", "capabilities", "budget")
    return {
        agent_id: AgentFacts(
            agent_id=agent_id,
            type=kind,
            stage=stage,
            capabilities=frozenset(capabilities or ()),
            budget=budget,
        )
        for agent_id, kind, stage, capabilities, budget in agents.select(columns).iter_rows()
    }


def replay(
    steps: pl.DataFrame, agents: pl.DataFrame, policy: Policy, stops: Mapping[str, Sequence[Stop]] | None = None
) -> Replay:
    """Judge every `tool_call` step of a log, runs in order of their first step, steps in order within a run.

    A client without a registry cannot say which agents are unknown; its agents are then judged as registered, with
    nothing known of them. A call of an agent that was stopped by then (`stops`) is denied. Extra columns: `tool`, `at`.
    """
    known = agents_known(agents)
    engine, shared = PolicyEngine(policy, stops), AgentHistory()
    rows: list[dict[str, object]] = []
    violations: list[Violation] = []
    exhausted: dict[tuple[str, str], Exhausted] = {}
    for run in _runs(steps):
        history = RunHistory(run_id=str(run["run_id"][0]), agents=shared)
        columns = ("agent_id", "step", "at", "kind", "tool", "arguments", "content", "cost")
        for agent_id, step, at, kind, tool, arguments, content, cost in run.select(columns).iter_rows():
            if kind == "message":
                history.last_message = content
            if kind != "tool_call":
                continue
            agent = known.get(agent_id) or AgentFacts(agent_id=agent_id, registered=agents.is_empty())
            call = engine.call(agent, tool, arguments, at, cost)
            if isinstance(call, str):
                verdict = engine.refuse(call)
            else:
                verdict = engine.judge(call, history)
                period = engine.period(call, history.run_id)
                if verdict.exhausted and agent.budget is not None:
                    spent = shared.reserved[(agent_id, period)] + max(call.cost, call.amount or 0.0)
                    event = Exhausted(agent_id=agent_id, at=at, limit=agent.budget, spent=spent)
                    exhausted.setdefault((agent_id, period), event)
                history.record(call, verdict, period)
            if verdict.decision == "deny":
                violations.append(
                    Violation(
                        run_id=history.run_id,
                        step=step,
                        agent_id=agent_id,
                        at=at,
                        policy=verdict.policy,
                        reason=verdict.reason,
                    )
                )
            rows.append(
                {
                    "run_id": history.run_id,
                    "step": step,
                    "agent_id": agent_id,
                    "decision": verdict.decision,
                    "policy": verdict.policy,
                    "reason": verdict.reason,
                    "policy_version": verdict.policy_version,
                    "tool": tool,
                    "at": at,
                }
            )
    contract = table("agentic/policy_decisions")
    schema = {**contract.columns, "tool": pl.String(), "at": pl.Datetime("us", "UTC")}
    return Replay(
        decisions=contract.conform(pl.DataFrame(rows, schema=schema)),
        violations=tuple(violations),
        exhausted=tuple(exhausted.values()),
    )


def _runs(steps: pl.DataFrame) -> Iterator[pl.DataFrame]:
    ordered = steps.with_columns(pl.col("at").min().over("run_id").alias("_start")).sort("_start", "run_id", "step")
    for _, run in ordered.group_by("run_id", maintain_order=True):
        yield run
