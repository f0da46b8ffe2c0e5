"""What is known of one correlation, as records: from the spine, the ledger, and the stores beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from liftos_pipelines.spine.ledger import LedgerEntry

RAISED_BY = {
    "sentiment_drop_detected": "sentiment/alerts",
    "causal_impact_identified": "causal/impact",
    "agent_action_initiated": "agentic/proposals",
    "campaign_started": "sources/campaigns",
    "visibility_shift_detected": "surfacing/shifts",
    "algorithm_change_detected": "surfacing/shifts",
    "trust_degraded": "eval/trust_scores",
    "drift_detected": "eval/drift",
    "causal_pattern_detected": "causal/patterns",
    "policy_violation_detected": "agentic/policy_decisions",
    "budget_exhausted": "agentic/policy_decisions",
    "insights_recalled": "memory/patterns",
    "root_cause_identified": "eval/root_causes",
    "remediation_ordered": "agentic/proposals",
}
"""Which asset raises an event: the reaction of that name is where it hangs in the tree."""


@dataclass(frozen=True, kw_only=True)
class EventNote:
    """An event as it stands in the log, also one whose type or payload this version cannot read."""

    seq: int
    event_id: str
    client: str
    type: str
    occurred_at: datetime
    recorded_at: datetime
    payload: Mapping[str, Any]
    causation_id: str | None
    correlation_id: str


@dataclass(frozen=True, kw_only=True)
class AnswerNote:
    """A reaction's state with one event: handled, waiting, or dead with the reason."""

    event_id: str
    reaction: str
    status: str
    at: datetime | None = None
    attempts: int = 0
    reason: str | None = None
    run_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ApprovalNote:
    approval_id: str
    action_id: str
    status: str
    requested_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    approver: str | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class MemoryNote:
    """One memory and the ids of what it was made from."""

    memory_id: str
    kind: str
    text: str
    recorded_at: datetime | None
    made_from: frozenset[str]
    outcome: str | None = None
    effect: float | None = None
    std_error: float | None = None
    run_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunNote:
    """Where and how long an answer ran: a Dagster run, or a span of it."""

    run_id: str
    reaction: str | None
    asset: str | None
    event_id: str | None
    status: str
    milliseconds: float | None
    started_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Records:
    """Everything known of one correlation; `expected` says which reactions answer an event, by its id or type."""

    client: str
    correlation_id: str
    events: Sequence[EventNote]
    entries: Sequence[LedgerEntry] = ()
    answers: Sequence[AnswerNote] = ()
    approvals: Sequence[ApprovalNote] = ()
    memories: Sequence[MemoryNote] = ()
    runs: Sequence[RunNote] = ()
    origins: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What an event was seen in, by event id: the texts of mentions, an alert's explanation."""
    expected: Mapping[str, Sequence[str]] = field(default_factory=dict)


def actions_of(events: Iterable[EventNote], entries: Iterable[LedgerEntry]) -> set[str]:
    """Ids of the actions that these events and entries speak of."""
    told = {str(event.payload["action_id"]) for event in events if event.payload.get("action_id")}
    return told | {str(entry.content["action_id"]) for entry in entries if entry.content.get("action_id")}
