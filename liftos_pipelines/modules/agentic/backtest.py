"""A changed policy tried on what was recorded: every decision that it would make differently, and why."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from liftos_pipelines.modules.agentic.conditions import conjuncts
from liftos_pipelines.modules.agentic.engine import Verdict
from liftos_pipelines.modules.agentic.facts import Call
from liftos_pipelines.modules.agentic.history import RunHistory
from liftos_pipelines.modules.agentic.ledger_state import Stop
from liftos_pipelines.modules.agentic.policy import STRENGTH, Policy
from liftos_pipelines.modules.agentic.policy.words import condition_in_words
from liftos_pipelines.modules.agentic.replay import Replay, replay
from liftos_pipelines.tables import table

CHANGES = {
    "run_id": pl.String(),
    "step": pl.Int64(),
    "agent_id": pl.String(),
    "tool": pl.String(),
    "at": pl.Datetime("us", "UTC"),
    "before": pl.String(),
    "after": pl.String(),
    "rule": pl.String(),
    "reason": pl.String(),
    "before_rule": pl.String(),
    "after_rule": pl.String(),
    "before_approvers": pl.String(),
    "after_approvers": pl.String(),
}


@dataclass(frozen=True, kw_only=True)
class BackTest:
    """`changes`: decisions, or who must agree to them, that differ; `rule` is the stronger side's. `by_rule` counts
    them by change and rule. `before` and `after` are the two replays, each with its own budgets, rates and sequences.
    """

    judged: int
    changes: pl.DataFrame
    by_rule: pl.DataFrame
    before: Replay
    after: Replay


def back_test(
    steps: pl.DataFrame,
    agents: pl.DataFrame,
    old: Policy,
    new: Policy,
    *,
    stops: Mapping[str, Sequence[Stop]] | None = None,
    since: datetime | None = None,
    screen: Callable[[str], Collection[str]] | None = None,
) -> BackTest:
    """Both policies from the same beginning; `since` limits what is told, not what is judged."""
    before = replay(steps, agents, old, stops, screen)
    after = replay(steps, agents, new, stops, screen)
    keys = ["run_id", "step", "agent_id", "tool", "at"]
    said = ["decision", "policy", "reason", "approvers"]
    both = before.decisions.select(*keys, *(pl.col(name).alias(f"old_{name}") for name in said)).with_columns(
        after.decisions.select(pl.col(name).alias(f"new_{name}") for name in said)
    )
    if since is not None:
        both = both.filter(pl.col("at") >= since)
    moved = both.filter(
        (pl.col("old_decision") != pl.col("new_decision")) | pl.col("old_approvers").ne_missing(pl.col("new_approvers"))
    )
    strong = [pl.col(f"{which}_decision").replace_strict(STRENGTH, return_dtype=pl.Int8) for which in ("old", "new")]
    changes = (
        moved.with_columns((strong[0] > strong[1]).alias("_before"))
        .select(
            *keys,
            pl.col("old_decision").alias("before"),
            pl.col("new_decision").alias("after"),
            pl.when("_before").then("old_policy").otherwise("new_policy").alias("rule"),
            pl.when("_before").then("old_reason").otherwise("new_reason").alias("reason"),
            pl.col("old_policy").alias("before_rule"),
            pl.col("new_policy").alias("after_rule"),
            pl.col("old_approvers").alias("before_approvers"),
            pl.col("new_approvers").alias("after_approvers"),
        )
        .cast(CHANGES)  # type: ignore[arg-type]
    )
    by_rule = (
        changes.group_by("before", "after", "rule")
        .agg(
            pl.len().alias("decisions"),
            pl.col("run_id").n_unique().alias("runs"),
            pl.col("reason").first(),
            pl.format("{} step {}", pl.col("run_id").first(), pl.col("step").first()).alias("first"),
        )
        .sort(["decisions", "before", "after", "rule"], descending=[True, False, False, False])
    )
    return BackTest(judged=both.height, changes=changes, by_rule=by_rule, before=before, after=after)


def steps_of_decisions(decisions: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """The platform's own decisions, as the ledger holds them, in the form of recorded steps: each a run of its own
    unless it names the run and step that it was made in."""
    contract = table("sources/agent_steps")
    rows = []
    for said in decisions:
        at = said["proposed_at"]
        moment = at if isinstance(at, datetime) else datetime.fromisoformat(at)
        arguments = said.get("arguments")
        rows.append(
            {
                "run_id": str(said.get("run_id") or f"ledger:{said['action_id']}"),
                "agent_id": said["agent_id"],
                "step": int(said.get("step") or 1),
                "at": moment if moment.tzinfo else moment.replace(tzinfo=UTC),
                "kind": "tool_call",
                "tool": said["action"],
                "arguments": arguments if isinstance(arguments, str) or arguments is None else json.dumps(arguments),
                "cost": said.get("cost"),
            }
        )
    full = [{name: row.get(name) for name in contract.columns} for row in rows]
    return pl.DataFrame(full, schema=contract.columns, orient="row")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A rule as it stood when a call was judged: whether it held (None: could not be told), and what kept it off."""

    rule: str
    decision: str
    held: bool | None
    kept_off: str


@dataclass(frozen=True, kw_only=True)
class Explained:
    call: Call | None
    verdict: Verdict
    asked: tuple[Asked, ...]


def explain(
    steps: pl.DataFrame,
    agents: pl.DataFrame,
    policy: Policy,
    run_id: str,
    step: int,
    *,
    stops: Mapping[str, Sequence[Stop]] | None = None,
    screen: Callable[[str], Collection[str]] | None = None,
) -> Explained | None:
    """Why one recorded call is decided as it is, everything before it replayed; None where there is no such call."""
    found: list[Explained] = []

    def watch(call: Call | None, verdict: Verdict, history: RunHistory, number: int) -> None:
        if history.run_id != run_id or number != step:
            return
        asked = () if call is None else tuple(_asked(policy, call, history))
        found.append(Explained(call=call, verdict=verdict, asked=asked))

    replay(steps, agents, policy, stops, screen, watch)
    return found[0] if found else None


def _asked(policy: Policy, call: Call, history: RunHistory) -> Iterable[Asked]:
    for rule in policy.rules:
        held: bool | None = True
        kept_off = ""
        for part in conjuncts(rule.condition):
            said = part.holds(call, history)
            if said is not True:
                held, kept_off = said, condition_in_words(part)
                if said is False:
                    break
        yield Asked(rule=rule.name, decision=rule.decision, held=held, kept_off=kept_off)
