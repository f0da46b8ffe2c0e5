"""A log of agent steps judged in order, run by run: every tool call gets a decision record."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from liftos_pipelines.modules.agentic.conditions import AgentFacts, leaves
from liftos_pipelines.modules.agentic.engine import AgentHistory, PolicyEngine, RunHistory, Verdict
from liftos_pipelines.modules.agentic.facts import Call
from liftos_pipelines.modules.agentic.ledger_state import Stop
from liftos_pipelines.modules.agentic.policy import Policy
from liftos_pipelines.modules.agentic.policy.words import need_in_words
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
    """`duplicates` are steps given more than once (the first is judged), `out_of_order` those timed before the step
    that precedes them; both by run and step."""

    decisions: pl.DataFrame
    violations: tuple[Violation, ...]
    exhausted: tuple[Exhausted, ...]
    duplicates: tuple[tuple[str, int], ...] = ()
    out_of_order: tuple[tuple[str, int], ...] = ()


AGENT_COLUMNS = ("agent_id", "type", "stage", "capabilities", "budget", "data_scopes", "risk_tier")
STEP_COLUMNS = ("agent_id", "step", "at", "kind", "tool", "arguments", "content", "cost", "environment", "flags")


def agents_known(agents: pl.DataFrame) -> dict[str, AgentFacts]:
    """Agents of the registry by id."""
    return {
        agent_id: AgentFacts(
            agent_id=agent_id,
            type=kind,
            stage=stage,
            capabilities=frozenset(capabilities or ()),
            budget=budget,
            data_scopes=None if scopes is None else frozenset(scopes),
            risk=risk,
        )
        for agent_id, kind, stage, capabilities, budget, scopes, risk in _rows(agents, AGENT_COLUMNS)
    }


def asks_flags(policy: Policy) -> bool:
    """Whether a rule asks what a screen found in a tool's answer, so that answers need screening."""
    patterns = (
        pattern
        for rule in policy.rules
        for leaf in leaves(rule.condition)
        for pattern in (*getattr(leaf, "patterns", ()), getattr(leaf, "last", None))
    )
    return any(getattr(pattern, "flags", None) for pattern in patterns)


def replay(
    steps: pl.DataFrame,
    agents: pl.DataFrame,
    policy: Policy,
    stops: Mapping[str, Sequence[Stop]] | None = None,
    screen: Callable[[str], Collection[str]] | None = None,
    watch: Callable[[Call | None, Verdict, RunHistory, int], None] | None = None,
) -> Replay:
    """Judge every `tool_call` step of a log, runs in order of their first step, steps in order within a run.

    A client without a registry cannot say which agents are unknown; its agents are then judged as registered, with
    nothing known of them. A call of an agent that was stopped by then (`stops`) is denied. `screen` says what is wrong
    with a tool's answer, for rules on flagged results; `watch` sees each verdict before it is noted. An optional column
    `environment` says where a call was made, `flags` what was seen in an answer when it came.
    Extra columns: `tool`, `at`, `approvers` (how many must agree, of whom).
    """
    known = agents_known(agents)
    engine, shared = PolicyEngine(policy, stops), AgentHistory()
    rows: list[dict[str, object]] = []
    violations: list[Violation] = []
    exhausted: dict[tuple[str, str], Exhausted] = {}
    duplicates: list[tuple[str, int]] = []
    late: list[tuple[str, int]] = []
    for run in _runs(steps):
        history, seen_steps, latest = RunHistory(run_id=str(run["run_id"][0]), agents=shared), set[int](), None
        for agent_id, step, at, kind, tool, arguments, content, cost, environment, flags in _rows(run, STEP_COLUMNS):
            if step is not None:  # steps without a number cannot be told to be the same
                if step in seen_steps:
                    duplicates.append((history.run_id, step))
                    continue
                seen_steps.add(step)
            if at is not None:
                if latest is not None and at < latest:
                    late.append((history.run_id, step))
                latest = at if latest is None else max(at, latest)
            if kind == "message":
                history.note_message(content, at)
            elif kind == "tool_result":
                seen = screen(content) if screen and content else ()
                history.note_result(tool, content, at, {*(flags or ()), *seen})
            if kind != "tool_call":
                continue
            agent = known.get(agent_id) or AgentFacts(agent_id=agent_id, registered=agents.is_empty())
            call = engine.call(agent, tool, arguments, at, cost, environment)
            if isinstance(call, str):
                verdict = engine.refuse(call)
                if watch is not None:
                    watch(None, verdict, history, step)
            else:
                verdict = engine.judge(call, history)
                if watch is not None:
                    watch(call, verdict, history, step)
                draw = verdict.draw
                if draw is not None and draw.registry:
                    spent = shared.reserved[draw.key] + draw.amount
                    event = Exhausted(agent_id=agent_id, at=at, limit=draw.limit, spent=spent)
                    exhausted.setdefault(draw.key, event)
                engine.record(call, verdict, history)
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
                    "approvers": None if verdict.approval is None else need_in_words(verdict.approval),
                }
            )
    contract = table("agentic/policy_decisions")
    extra = {"tool": pl.String(), "at": pl.Datetime("us", "UTC"), "approvers": pl.String()}
    return Replay(
        decisions=contract.conform(pl.DataFrame(rows, schema={**contract.columns, **extra})),
        violations=tuple(violations),
        exhausted=tuple(exhausted.values()),
        duplicates=tuple(duplicates),
        out_of_order=tuple(late),
    )


def _rows(frame: pl.DataFrame, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The columns in this order, null where the frame has none of the name."""
    picked = [pl.col(name) if name in frame.columns else pl.lit(None).alias(name) for name in columns]
    return frame.select(picked).iter_rows()


def _runs(steps: pl.DataFrame) -> Iterator[pl.DataFrame]:
    ordered = steps.with_columns(pl.col("at").min().over("run_id").alias("_start")).sort(
        "_start", "run_id", "step", maintain_order=True
    )
    for _, run in ordered.group_by("run_id", maintain_order=True):
        yield run
