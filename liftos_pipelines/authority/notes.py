"""What the ledger is told of the gate's decisions, and of what became of the calls."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import datetime
from typing import Any

from liftos_pipelines.authority.holding import Held
from liftos_pipelines.authority.requests import ActionRequest, Authorisation, Settlement
from liftos_pipelines.spine.leases import Lease
from liftos_pipelines.spine.ledger_store import LedgerNote

DECIDED, ENDED = "gate_decision", "gate_outcome"
LEASE_REFUSED, LEASE_ORDERED = "lease_refused", "lease_ordered"
LONGEST_TEXT = 16_000
"""Longer arguments stand in the ledger by their hash."""


def decision_notes(
    request: ActionRequest,
    answer: Authorisation,
    held: Held,
    arguments: dict[str, Any] | str,
    fingerprint: str,
    now: datetime,
    *,
    repeated: bool,
) -> list[LedgerNote]:
    """A decision with all it rests on. `repeated`: an answer to a request that was decided before."""
    actor, key = _name(request.agent_id), f"gate:{answer.decision_id}:{answer.attempt}"
    if repeated:
        key = f"{key}:{answer.policy}:{uuid.uuid4().hex}"
    text = json.dumps(arguments, sort_keys=True) if isinstance(arguments, dict) else arguments
    body: dict[str, Any] = {
        "action_id": answer.decision_id,
        "action": _name(request.tool) if request.tool else None,
        "agent_id": actor,
        "agent_version": request.agent_version,
        "run_id": _name(request.run_id),
        "request_id": _name(request.request_id),
        "proposed_at": now.isoformat(timespec="microseconds"),
        "arguments_sha256": hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest(),
        "decision": answer.decision,
        "policy": answer.policy,
        "reason": answer.reason,
        "policy_version": answer.policy_version,
        "request_sha256": fingerprint,
        "attempt": answer.attempt,
    }
    if len(text) <= LONGEST_TEXT:
        body["arguments"] = _plain(text)
    optional = {
        "subject": request.subject,
        "incident": request.incident,
        "correlation_id": request.correlation_id,
        "requested_by": request.requested_by,
        "cost": None if request.cost is None else str(request.cost),
        "reserved": dict(held.reserved) or None,
        "leases": dict(held.tokens) or None,
        "approval_id": answer.approval_id,
    }
    body |= {name: _plain(value) if isinstance(value, str) else value for name, value in optional.items() if value}
    notes = [LedgerNote(DECIDED, actor, body, key)]
    if held.lease is not None and not held.lease.granted:
        notes.append(lease_note(answer.decision_id, actor, request.incident, held.lease, f"{key}:lease"))
    return notes


def lease_note(action_id: str, actor: str, incident: str | None, lease: Lease, key: str) -> LedgerNote:
    """That targets were refused, or that the action waits for its turn on them, because of which other one."""
    kind = LEASE_ORDERED if lease.answer.outcome == "ordered" else LEASE_REFUSED
    about = {
        "action_id": action_id,
        "targets": list(lease.targets),
        "incident": incident,
        "outcome": lease.answer.outcome,
        "with": lease.answer.other,
        "reason": lease.answer.reason,
    }
    return LedgerNote(kind, actor, about, key)


def ending_note(agent_id: str, settled: Settlement, reason: str | None, now: datetime) -> LedgerNote:
    body = {
        "action_id": settled.decision_id,
        "status": settled.status,
        "outcome": settled.outcome,
        "cost": settled.cost,
        "overrun": settled.overrun,
        "in_time": settled.in_time,
        "reason": reason,
        "ended_at": now.isoformat(timespec="microseconds"),
    }
    return LedgerNote(ENDED, agent_id, body, f"gate:{settled.decision_id}:ended")


def _name(value: Any) -> str:
    return _plain(str(value))[:128]


def _plain(text: str) -> str:
    """Text that every database holds: without NUL and half characters."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
