"""Who or what decided: one record a decision, written into the ledger's body and read back without loss.

What was not recorded is None, which means unknown; an empty tuple means that there was none. Nothing is invented.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from liftos_pipelines.spine.ledger import LedgerEntry

DECISION, ACTION = "agent_decision", "agent_action"
GATE_DECISION, GATE_OUTCOME = "gate_decision", "gate_outcome"
"""Of an agent outside that asks before each call, and of what it says came of the call."""
JUDGED, DONE = (DECISION, GATE_DECISION), (ACTION, GATE_OUTCOME)
APPROVALS = ("approval_given", "approval_denied")
REFUSALS = ("policy_violation",)
STANDING = ("agent_stopped", "agent_not_stopped", "agent_resumed")
"""Whether an agent may go on deciding."""
MOVES = ("agent_transition",)
"""Of an agent's version from one stage to another."""
EXPERIMENT_LOOK = "experiment_look"
"""What followed from one look at an experiment of a prompt or model."""
DECIDING = (*JUDGED, *APPROVALS, *REFUSALS, *STANDING, *MOVES, EXPERIMENT_LOOK)
"""Kinds of ledger entries that say that somebody, or a policy, decided."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """A table that was looked at: `version` is its Delta version, `rows` how many of its rows counted."""

    table: str
    version: int | None = None
    rows: int | None = None


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """What else could have been done, and why it was not."""

    action: str
    reason: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One decision with its grounds. `verdict` is what policy or the person said, `outcome` what came of it."""

    decision_id: str
    client: str
    kind: str
    actor: str
    decided_at: datetime | None
    verdict: str | None
    action: str | None
    action_id: str | None
    event_id: str | None
    correlation_id: str | None
    run_id: str | None
    inputs: tuple[Input, ...] | None
    reasoning: str | None
    alternatives: tuple[Alternative, ...] | None
    evidence: Mapping[str, Any] | None
    confidence: float | None
    policy: str | None
    policy_version: str | None
    policy_reason: str | None
    outcome: str | None
    position: int
    entry_hash: str
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else the entry holds, as it was written."""

    @property
    def ledger_key(self) -> str:
        """`position:kind`, as events cite it."""
        return f"{self.position}:{self.kind}"


def accountable(
    *,
    inputs: Iterable[Input] | None = None,
    reasoning: str | None = None,
    alternatives: Iterable[Alternative] | None = None,
    evidence: Mapping[str, Any] | None = None,
    confidence: float | None = None,
    correlation_id: str | None = None,
    run_id: str | None = None,
) -> dict[str, Any]:
    """The fields that make a ledger body accountable, to be merged into it; what is None is left out.

    `confidence` is a measured or computed probability, never a literal. `inputs=()` says that nothing was looked at.

    Raises
    ------
    ValueError : a confidence outside [0, 1]
    """
    if confidence is not None and not 0 <= confidence <= 1:
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1, or be None when it is not known")
    told: dict[str, Any] = {}
    if inputs is not None:
        told["inputs"] = [{"table": each.table, "version": each.version, "rows": each.rows} for each in inputs]
    if alternatives is not None:
        told["alternatives"] = [
            {"action": each.action, "reason": each.reason} | ({"details": dict(each.details)} if each.details else {})
            for each in alternatives
        ]
    others = {
        "reasoning": reasoning,
        "evidence": None if evidence is None else dict(evidence),
        "confidence": confidence,
        "correlation_id": correlation_id,
        "dagster_run_id": run_id,
    }
    return told | {name: value for name, value in others.items() if value is not None}


_READ = {
    *("inputs", "alternatives", "reasoning", "evidence", "confidence", "correlation_id", "dagster_run_id"),
    *("action", "action_id", "event_id", "decision", "policy", "policy_version", "reason", "proposed_at"),
}


def read_decision(entry: LedgerEntry, *, outcome: str | None = None) -> Decision:
    """The record of one ledger entry; fields of another shape than expected stay in `details`."""
    body = entry.content
    rest = {name: value for name, value in body.items() if name not in _READ}

    def text(name: str) -> str | None:
        value = body.get(name)
        return value if isinstance(value, str) and value else None

    inputs, alternatives = _inputs(body.get("inputs")), _alternatives(body.get("alternatives"))
    verdict = text("decision")
    if entry.kind in APPROVALS:
        verdict = entry.kind.removeprefix("approval_")
    elif entry.kind in STANDING:
        verdict = entry.kind.removeprefix("agent_").replace("_", " ")
    elif entry.kind in REFUSALS:
        verdict = "deny"
    elif entry.kind in MOVES:
        verdict = f"{text('from') or 'unknown'} to {text('to') or 'unknown'}"
    # A person's or a switch's reason is its reasoning; beside a proposal the reason is the policy's.
    own_reason = entry.kind in (*APPROVALS, *STANDING, *MOVES)
    reasoning = text("reason") if own_reason else text("reasoning")
    confidence = body.get("confidence")
    evidence = body.get("evidence")
    understood = {
        "inputs": inputs is not None,
        "alternatives": alternatives is not None,
        "evidence": isinstance(evidence, dict),
        "confidence": isinstance(confidence, (int, float)),
        "proposed_at": _moment(body.get("proposed_at")) is not None,
    }
    for name in _READ & body.keys():
        if not understood.get(name, isinstance(body[name], str)) and body[name] is not None:
            rest[name] = body[name]
    return Decision(
        decision_id=(text("action_id") if entry.kind in JUDGED else None) or entry.idempotency_key,
        client=entry.client,
        kind=entry.kind,
        actor=entry.actor,
        decided_at=_moment(body.get("proposed_at")) or _moment(entry.recorded_at),
        verdict=verdict,
        action=text("action"),
        action_id=text("action_id"),
        event_id=text("event_id"),
        correlation_id=text("correlation_id"),
        run_id=text("dagster_run_id"),
        inputs=inputs,
        reasoning=reasoning,
        alternatives=alternatives,
        evidence=evidence if isinstance(evidence, dict) else None,
        confidence=float(confidence) if isinstance(confidence, (int, float)) else None,
        policy=text("policy"),
        policy_version=text("policy_version"),
        policy_reason=None if own_reason else text("reason"),
        outcome=outcome,
        position=entry.position,
        entry_hash=entry.entry_hash,
        details=rest,
    )


def read_decisions(entries: Sequence[LedgerEntry]) -> list[Decision]:
    """Every decision of some ledger entries, each with the last thing that was done about it."""
    done: dict[str, str] = {}
    for entry in entries:
        if entry.kind in DONE:
            body = entry.content
            done[str(body.get("action_id"))] = ": ".join(
                str(body[name]) for name in ("status", "outcome") if body.get(name)
            )
    return [
        read_decision(entry, outcome=done.get(str(entry.content.get("action_id"))))
        for entry in entries
        if entry.kind in DECIDING
    ]


def _inputs(value: Any) -> tuple[Input, ...] | None:
    if not isinstance(value, list):
        return None
    try:
        return tuple(Input(table=str(each["table"]), version=each["version"], rows=each["rows"]) for each in value)
    except (KeyError, TypeError):
        return None


def _alternatives(value: Any) -> tuple[Alternative, ...] | None:
    if not isinstance(value, list):
        return None
    try:
        return tuple(
            Alternative(action=str(each["action"]), reason=each.get("reason"), details=each.get("details", {}))
            for each in value
        )
    except (KeyError, TypeError, AttributeError):
        return None


def _moment(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
