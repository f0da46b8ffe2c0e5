"""Who or what decided, and the whole chain around it, read from the spine: events, ledger, approvals, deliveries.

To write: merge `accountable(...)` into the ledger body of a decision. To read: `decision_chain(spine, event_id)` for
the chain an event belongs to, `decisions(spine, client)` for a client's decisions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, String, Text, cast, column, inspect, or_, select, table
from sqlalchemy.engine import Connection

from liftos_pipelines.spine.chain import Chain, Step, build_chain
from liftos_pipelines.spine.chain_records import (
    RAISED_BY,
    AnswerNote,
    ApprovalNote,
    EventNote,
    MemoryNote,
    Records,
    RunNote,
    actions_of,
)
from liftos_pipelines.spine.database import Spine, SpineError
from liftos_pipelines.spine.decisions import (
    ACTION,
    APPROVALS,
    DECISION,
    JUDGED,
    Alternative,
    Decision,
    Input,
    accountable,
    read_decisions,
)
from liftos_pipelines.spine.explanation import Explanation, explain
from liftos_pipelines.spine.ledger import LedgerEntry
from liftos_pipelines.spine.schema import ApprovalRow, EventRow, HandledRow, LedgerRow

CONCERNING = 20
"""Earlier decisions shown for a broken promise, the newest."""
SHORTEST_PREFIX = 8
LONGEST_WAY = 16
"""Events from an action back to its first cause, in what must be quick."""
TOLD_OF_ACTIONS = ("approval_vote", "approval_refused", "lease_ordered", "lease_refused")
EVENTS: Any = EventRow.__table__
HANDLED: Any = HandledRow.__table__
LEDGER: Any = LedgerRow.__table__
APPROVALS_ASKED: Any = ApprovalRow.__table__
# The payload as text: one that is no JSON must not keep the rest of a chain from being read.
EVENT_COLUMNS = [cast(each, Text).label("payload") if each.name == "payload" else each for each in EVENTS.c]
DELIVERIES = table(
    "deliveries",
    *(column(name, String) for name in ("event_id", "reaction", "status", "reason", "last_run", "attempts")),
    column("failed_at", DateTime(timezone=True)),
)


class UnknownId(SpineError):
    """Nothing in the spine goes by this id; the message says what was looked at and what to do."""


def decision_chain(spine: Spine, event_id: str, *, expected: Mapping[str, Sequence[str]] | None = None) -> Chain:
    """The chain that an event belongs to, from its first cause to what was done, with every decision in it.

    For `trust_degraded` (and other events about a module) `concerning` holds the newest earlier decisions that rest
    on that module: by their recorded inputs, or by the event that they answer.

    Parameters
    ----------
    expected : which reactions answer an event type, so that an answer that is missing is told

    Raises
    ------
    UnknownId : there is no such event
    """
    with spine.engine.connect() as connection:
        found = _events_where(connection, EVENTS.c.event_id == event_id)
        if not found:
            raise UnknownId(f"there is no event {event_id}; `liftos events list CLIENT` names those there are")
        event, correlation = found[0], _chain_of(connection, found[0])
    chain = build_chain(read_records(spine, event.client, correlation, expected=expected))
    module = event.payload.get("module")
    if not isinstance(module, str):
        return chain
    return replace(chain, concerning=tuple(decisions_about(spine, event.client, module, before=event.recorded_at)))


def read_records(
    spine: Spine,
    client: str,
    correlation_id: str,
    *,
    expected: Mapping[str, Sequence[str]] | None = None,
    memories: Sequence[MemoryNote] = (),
    runs: Sequence[RunNote] = (),
    origins: Mapping[str, Sequence[str]] | None = None,
) -> Records:
    """What the spine holds of one correlation of a client; what other stores hold is handed in."""
    with spine.engine.connect() as connection:
        mine = (EVENTS.c.client == client, EVENTS.c.correlation_id == correlation_id)
        events = [_event(row) for row in connection.execute(select(*EVENT_COLUMNS).where(*mine).order_by(EVENTS.c.seq))]
        entries = _entries(connection, client, events)
        actions = actions_of(events, entries)
        asked = connection.execute(
            select(APPROVALS_ASKED).where(
                APPROVALS_ASKED.c.client == client, APPROVALS_ASKED.c.action_id.in_(sorted(actions))
            )
        ).all()
        approvals = [_approval(row) for row in asked]
        events += _approval_events(connection, client, approvals, {event.event_id for event in events})
        answers = _answers(connection, [event.event_id for event in events])
    return Records(
        client=client,
        correlation_id=correlation_id,
        events=events,
        entries=entries,
        answers=answers,
        approvals=approvals,
        memories=memories,
        runs=runs,
        origins=origins or {},
        expected=expected or {},
    )


def read_action(spine: Spine, client: str, decision: Decision) -> Records:
    """What ledger and approvals hold of one decision alone, without the chain around it."""
    entries = [
        entry
        for entry in spine.ledger(client)
        if entry.position == decision.position
        or (decision.action_id is not None and entry.content.get("action_id") == decision.action_id)
    ]
    with spine.engine.connect() as connection:
        asked = connection.execute(
            select(APPROVALS_ASKED).where(
                APPROVALS_ASKED.c.client == client, APPROVALS_ASKED.c.action_id == decision.action_id
            )
        ).all()
    return Records(
        client=client,
        correlation_id=decision.correlation_id or "",
        events=[],
        entries=entries,
        approvals=[_approval(row) for row in asked],
    )


def explain_newest(spine: Spine, client: str, position: int) -> Explanation | None:
    """Why the action at a position of the ledger, its newest decision, was taken, from the spine alone.

    For what must be quick: it reads what stands behind that position and verifies nothing, so that proof and outcome
    are unknown here; `liftos explain` reads everything.
    """
    entries = spine.ledger(client, after=position - 1, kinds=(*TOLD_OF_ACTIONS, DECISION, ACTION))
    if not entries or entries[0].position != position:
        return None
    mine = [each for each in entries if each.content.get("action_id") == entries[0].content.get("action_id")]
    decision = read_decisions(mine)[0]
    with spine.engine.connect() as connection:
        events: list[EventNote] = []
        wanted = decision.event_id
        while wanted and len(events) < LONGEST_WAY and all(wanted != each.event_id for each in events):
            events += _events_where(connection, EVENTS.c.event_id == wanted)[:1]
            wanted = events[-1].causation_id if events and events[-1].event_id == wanted else None
        asked = connection.execute(
            select(APPROVALS_ASKED).where(
                APPROVALS_ASKED.c.client == client, APPROVALS_ASKED.c.action_id == decision.action_id
            )
        ).all()
    records = Records(
        client=client,
        correlation_id=decision.correlation_id or "",
        events=events,
        entries=mine,
        approvals=[_approval(row) for row in asked],
    )
    return explain(decision, records)


def decision_of(spine: Spine, client: str, wanted: str) -> Decision:
    """A client's decision by the id of its action, its own, an approval's, or its ledger entry's hash.

    `last` is the newest. The first characters are enough, from eight on.

    Raises
    ------
    UnknownId : none goes by it, or several do
    """
    entries = spine.ledger(client)
    known = read_decisions(entries)
    if wanted == "last":
        made = [each for each in known if each.kind in JUDGED] or known
        if not made:
            raise UnknownId(f"{client} has no decision in its ledger yet")
        return made[-1]
    asked = {each.approval_id: each.action_id for each in spine.approvals(client)}
    actions = {action for approval, action in asked.items() if _goes_by(approval, wanted)}

    def meant(each: Decision) -> bool:
        names = (each.action_id, each.decision_id, each.entry_hash, each.ledger_key)
        return any(_goes_by(name, wanted) for name in names) or each.action_id in actions

    # An id that is given whole is meant, also where others begin with it.
    found = [each for each in known if wanted in (each.action_id, each.decision_id)]
    found = found or [each for each in known if meant(each)]
    # An approval is a decision of its own; asked about is the one that it answers.
    found = [each for each in found if each.kind in JUDGED] or found
    if len({each.action_id or each.decision_id for each in found}) == 1:
        return found[-1]  # one that was judged again is what it was judged last
    newest = ", ".join(str(each.action_id) for each in known[-3:] if each.action_id) or "none"
    if found:
        raise UnknownId(f"{len(found)} decisions of {client} go by {wanted!r}; give more of the id")
    raise UnknownId(
        f"no decision of {client} goes by {wanted!r}: give an action, decision or approval id or a ledger entry's hash "
        f"(at least {SHORTEST_PREFIX} characters), or `last`. Newest actions: {newest}"
    )


def _goes_by(name: str | None, wanted: str) -> bool:
    return name is not None and (name == wanted or (len(wanted) >= SHORTEST_PREFIX and name.startswith(wanted)))


def decisions(spine: Spine, client: str) -> list[Decision]:
    """Every decision of a client, oldest first, with what came of it."""
    return read_decisions(spine.ledger(client))


def decisions_about(
    spine: Spine, client: str, module: str, *, before: datetime | None = None, limit: int = CONCERNING
) -> list[Decision]:
    """The newest decisions that rest on a module, oldest first.

    One rests on it when its recorded inputs name one of the module's tables, when an event of its correlation up to
    it was raised by that module, or when the module is `agentic` itself.
    """
    with spine.engine.connect() as connection:
        rows = connection.execute(
            select(EVENTS.c.event_id, EVENTS.c.type, EVENTS.c.causation_id).where(EVENTS.c.client == client)
        ).all()
    raised = {event_id: (event_type, cause) for event_id, event_type, cause in rows}

    def rests(decision: Decision) -> bool:
        if module == "agentic" or any(each.table.startswith(f"{module}/") for each in decision.inputs or ()):
            return True
        event_id, steps = decision.event_id, 0
        while event_id in raised and steps < len(raised):
            event_type, cause = raised[event_id]
            if RAISED_BY.get(event_type, "").startswith(f"{module}/"):
                return True
            event_id, steps = cause, steps + 1
        return False

    found = [
        each
        for each in decisions(spine, client)
        if (before is None or each.decided_at is None or _utc(each.decided_at) <= before) and rests(each)
    ]
    return found[-limit:]


def correlations_of(spine: Spine, wanted: str) -> list[tuple[str, str]]:
    """(client, correlation id) of whatever goes by an id: correlation, event, alert, action, approval, ledger entry.

    The first characters are enough, from eight on.
    """
    like = f"{_escaped(wanted)}%" if len(wanted) >= SHORTEST_PREFIX else _escaped(wanted)
    with spine.engine.connect() as connection:
        matched = or_(*(each.like(like, escape="\\") for each in (EVENTS.c.event_id, EVENTS.c.correlation_id)))
        found = _events_where(connection, matched)
        if not found and len(wanted) >= SHORTEST_PREFIX:
            # An id that an event speaks of: an alert, an action, a pattern.
            found = _events_where(connection, cast(EVENTS.c.payload, Text).like(f'%": "{like}', escape="\\"))
        if found:
            return list(dict.fromkeys((each.client, _chain_of(connection, each)) for each in found))
        entries = connection.execute(
            select(LEDGER).where(
                or_(
                    LEDGER.c.entry_hash.like(like, escape="\\"),
                    LEDGER.c.body.like(f'%"action_id":"{like}"%', escape="\\"),
                    LEDGER.c.body.like(f'%"approval_id":"{like}"%', escape="\\"),
                )
            )
        ).all()
        asked = connection.execute(
            select(APPROVALS_ASKED.c.client, APPROVALS_ASKED.c.action_id).where(
                APPROVALS_ASKED.c.approval_id.like(like, escape="\\")
            )
        ).all()
        bodies = [(row.client, _entry(row).content) for row in entries]
        bodies += [(row.client, {"action_id": row.action_id}) for row in asked]
        return _of_bodies(connection, bodies)


def _events_where(connection: Connection, condition: Any) -> list[EventNote]:
    return [_event(row) for row in connection.execute(select(*EVENT_COLUMNS).where(condition).order_by(EVENTS.c.seq))]


def _chain_of(connection: Connection, event: EventNote) -> str:
    """The correlation whose chain an event stands in: an answer to a request stands in the chain that asked."""
    if event.type in APPROVALS:
        for _, correlation in _of_bodies(connection, [(event.client, {"action_id": event.payload.get("action_id")})]):
            return correlation
    return event.correlation_id


def _of_bodies(connection: Connection, bodies: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, str]]:
    """The correlation of each ledger body: its own, or that of the event it answers, or of its action's decision."""
    found: dict[tuple[str, str], None] = {}
    for client, body in bodies:
        event_id = body.get("event_id")
        if event_id is None and body.get("action_id"):
            decided = connection.execute(
                select(LEDGER).where(
                    LEDGER.c.client == client,
                    LEDGER.c.kind == DECISION,
                    LEDGER.c.body.like(f'%"action_id":"{_escaped(str(body["action_id"]))}"%', escape="\\"),
                )
            ).first()
            body = _entry(decided).content if decided is not None else body
            event_id = body.get("event_id")
        row = connection.execute(
            select(EVENTS.c.correlation_id).where(EVENTS.c.client == client, EVENTS.c.event_id == event_id)
        ).first()
        correlation = row.correlation_id if row is not None else body.get("correlation_id")
        if correlation:
            found[(client, str(correlation))] = None
    return list(found)


def _entries(connection: Connection, client: str, events: Sequence[EventNote]) -> list[LedgerEntry]:
    """Ledger entries about these events or about the actions decided on them."""
    ids = {event.event_id for event in events}
    actions = {str(event.payload["action_id"]) for event in events if event.payload.get("action_id")}
    correlation = {event.correlation_id for event in events}
    refused = {
        (str(event.payload.get("run_id")), str(event.payload.get("step")), str(event.payload.get("policy")))
        for event in events
        if event.type == "policy_violation_detected"
    }
    rows = connection.execute(select(LEDGER).where(LEDGER.c.client == client).order_by(LEDGER.c.position))
    entries = [_entry(row) for row in rows]
    bodies = [entry.content for entry in entries]
    for body in bodies:
        if body.get("event_id") in ids or body.get("correlation_id") in correlation:
            actions |= {str(body["action_id"])} if body.get("action_id") else set()
    return [
        entry
        for entry, body in zip(entries, bodies, strict=True)
        if body.get("event_id") in ids
        or body.get("correlation_id") in correlation
        or str(body.get("action_id")) in actions
        or (refused and tuple(str(body.get(name)) for name in ("run_id", "step", "policy")) in refused)
    ]


def _approval_events(
    connection: Connection, client: str, approvals: Sequence[ApprovalNote], known: set[str]
) -> list[EventNote]:
    """Events of answers to these approvals; an operator's answer begins a correlation of its own."""
    wanted = {approval.approval_id for approval in approvals if approval.status in ("given", "denied")}
    if not wanted:
        return []
    query = select(*EVENT_COLUMNS).where(EVENTS.c.client == client, EVENTS.c.type.in_(APPROVALS))
    found = [_event(row) for row in connection.execute(query)]
    return [each for each in found if each.payload.get("approval_id") in wanted and each.event_id not in known]


def _answers(connection: Connection, event_ids: Sequence[str]) -> list[AnswerNote]:
    done = connection.execute(select(HANDLED).where(HANDLED.c.event_id.in_(event_ids))).all()
    answers = [
        AnswerNote(event_id=row.event_id, reaction=row.reaction, status="handled", at=_utc(row.handled_at))
        for row in done
    ]
    answered = {(each.event_id, each.reaction) for each in answers}
    if not inspect(connection).has_table("deliveries"):
        return answers
    for row in connection.execute(select(DELIVERIES).where(DELIVERIES.c.event_id.in_(event_ids))):
        if (row.event_id, row.reaction) not in answered:
            answers.append(
                AnswerNote(
                    event_id=row.event_id,
                    reaction=row.reaction,
                    status="dead" if row.status == "dead" else "waiting",
                    at=_utc(row.failed_at) if row.failed_at else None,
                    attempts=int(row.attempts or 0),
                    reason=row.reason,
                    run_id=row.last_run,
                )
            )
    return answers


def _event(row: Any) -> EventNote:
    try:
        payload = json.loads(row.payload)
    except ValueError:
        payload = {}
    return EventNote(
        seq=row.seq,
        event_id=row.event_id,
        client=row.client,
        type=row.type,
        occurred_at=_utc(row.occurred_at),
        recorded_at=_utc(row.recorded_at),
        payload=payload if isinstance(payload, dict) else {},
        causation_id=row.causation_id,
        correlation_id=row.correlation_id,
    )


def _entry(row: Any) -> LedgerEntry:
    return LedgerEntry(**{name: getattr(row, name) for name in LedgerEntry.__dataclass_fields__})


def _approval(row: Any) -> ApprovalNote:
    return ApprovalNote(
        approval_id=row.approval_id,
        action_id=row.action_id,
        status=row.status,
        requested_at=_utc(row.requested_at),
        expires_at=_utc(row.expires_at),
        decided_at=_utc(row.decided_at) if row.decided_at is not None else None,
        approver=row.approver,
        reason=row.reason,
    )


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


__all__ = [
    "ACTION",
    "DECISION",
    "Alternative",
    "Chain",
    "Decision",
    "Input",
    "Step",
    "UnknownId",
    "accountable",
    "correlations_of",
    "decision_chain",
    "decision_of",
    "decisions",
    "decisions_about",
    "read_action",
    "read_records",
]
