"""From a mention to its outcome: the steps of one correlation as a tree. Pure: records in, tree out.

What the spine and the ledger hold is enough; runs, memories and spans add where it ran, what was kept and how long
it took. A chain that ends early says so: waiting, dead with its reason, or nobody answers such an event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from liftos_pipelines.spine.chain_records import (
    RAISED_BY,
    AnswerNote,
    ApprovalNote,
    EventNote,
    MemoryNote,
    Records,
    RunNote,
)
from liftos_pipelines.spine.chain_words import decision_notes, event_facts, shortened
from liftos_pipelines.spine.decisions import (
    ACTION,
    APPROVALS,
    DECISION,
    REFUSALS,
    STANDING,
    Decision,
    read_decisions,
)
from liftos_pipelines.spine.ledger import LedgerEntry

PROPOSING = ("agentic/proposals", "agentic/drift")
"""Reactions whose answer is a decision of an agent."""
STOPPING = ("agentic/stops",)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the chain. `status`: ok, waiting, failed, dead, denied or unknown; `seconds` since the first."""

    kind: str
    id: str
    title: str
    status: str = "ok"
    at: datetime | None = None
    seconds: float | None = None
    milliseconds: float | None = None
    run_id: str | None = None
    entry_hash: str | None = None
    notes: tuple[str, ...] = ()
    decision: Decision | None = None
    children: tuple[Step, ...] = ()

    def walk(self) -> Iterator[Step]:
        """This step and all below it, in the order they are printed."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, kw_only=True)
class Chain:
    """The tree of one correlation, and its decisions. `complete` is False when something waits, failed or is dead."""

    client: str
    correlation_id: str
    root: Step
    decisions: tuple[Decision, ...]
    concerning: tuple[Decision, ...] = ()
    """For a broken promise: earlier decisions that rest on the module that broke it."""

    @property
    def complete(self) -> bool:
        return all(step.status in ("ok", "denied") for step in self.root.walk())


def build_chain(records: Records) -> Chain:
    """The tree: event -> reaction -> decision -> approval, action -> event -> memory -> outcome."""
    decisions = read_decisions(records.entries)
    builder = _Builder(records, decisions)
    known = {event.event_id for event in records.events}
    # An approval's event begins a correlation of its own; it hangs below its approval and not here.
    first = [
        event
        for event in records.events
        if event.causation_id not in known and event.event_id not in builder.placed_elsewhere
    ]
    children = [builder.event(event) for event in sorted(first, key=lambda each: each.seq)]
    # What nothing leads to (events that name one another as their cause) is shown all the same.
    children += [builder.event(event) for event in records.events if event.event_id not in builder.seen]
    start = min((event.recorded_at for event in records.events), default=None)
    root = Step(
        kind="correlation",
        id=records.correlation_id,
        title=f"{records.client}: {len(records.events)} event(s), {len(decisions)} decision(s)",
        status="ok" if records.events else "unknown",
        at=start,
        notes=() if records.events else ("no event of this correlation stands in the log",),
        children=tuple(children),
    )
    return Chain(
        client=records.client,
        correlation_id=records.correlation_id,
        root=_timed(root, start),
        decisions=tuple(decisions),
    )


class _Builder:
    def __init__(self, records: Records, decisions: Sequence[Decision]) -> None:
        self.records = records
        self.decisions = decisions
        self.placed_elsewhere: set[str] = set()
        self.seen: set[str] = set()
        self._placed_memories: set[str] = set()
        self._approval_events = {
            str(event.payload.get("approval_id")): event for event in records.events if event.type in APPROVALS
        }
        self.placed_elsewhere |= {
            event.event_id
            for approval_id, event in self._approval_events.items()
            if any(approval.approval_id == approval_id for approval in records.approvals)
        }

    def event(self, event: EventNote) -> Step:
        """An event with its answers; what an answer raised hangs below that answer."""
        self.seen.add(event.event_id)
        caused = [
            each
            for each in self.records.events
            if each.causation_id == event.event_id and each.event_id not in self.seen
        ]
        answers = {answer.reaction: answer for answer in self.records.answers if answer.event_id == event.event_id}
        expected = self.records.expected
        owed = expected[event.event_id] if event.event_id in expected else expected.get(event.type, ())
        names = list(dict.fromkeys([*answers, *owed]))
        decided = [each for each in self.decisions if each.kind == DECISION and each.event_id == event.event_id]
        refused = [each for each in self.decisions if each.kind in REFUSALS and _same_refusal(each, event)]
        acted = {each.action_id for each in decided}
        standing = [each for each in self.decisions if each.kind in STANDING and each.event_id == event.event_id]
        below: dict[str | None, list[Step]] = {name: [] for name in names}
        for decision in decided:
            below.setdefault(_place(PROPOSING, names), []).append(self.decision(decision, caused))
        for decision in standing:
            below.setdefault(_place(STOPPING, names), []).append(self._standing(decision))
        for child in caused:
            if child.payload.get("action_id") in acted:
                continue  # stands below its decision
            raiser = RAISED_BY.get(child.type, "")
            place = _place(PROPOSING if raiser in PROPOSING else (raiser,), names)
            below.setdefault(place, []).append(self.event(child))
        steps = [self._origin(event)] if event.event_id in self.records.origins else []
        steps += [self._refusal(each) for each in refused]
        steps += [self._answer(event, name, answers.get(name), below[name]) for name in names]
        steps += below.get(None, [])
        steps += self.memories({event.event_id, *_keys(event)}, event.type == "agent_action_initiated")
        if not names and event.type not in APPROVALS and not below.get(None):
            steps.append(Step(kind="note", id="", title="nobody answers events of this type", status="ok"))
        return Step(
            kind="event",
            id=event.event_id,
            title=event.type,
            at=event.recorded_at,
            notes=event_facts(event),
            children=tuple(steps),
        )

    def _origin(self, event: EventNote) -> Step:
        texts = tuple(self.records.origins[event.event_id])
        return Step(kind="seen", id="", title="what it was seen in", at=event.occurred_at, notes=texts)

    def _answer(self, event: EventNote, name: str, answer: AnswerNote | None, below: Sequence[Step]) -> Step:
        ran = [run for run in self.records.runs if run.reaction == name and run.event_id == event.event_id]
        ran = ran or [
            run
            for run in self.records.runs
            if answer is not None and answer.at and run.asset == name and _covers(run, answer.at)
        ]
        run = ran[-1] if ran else None
        if answer is None:
            status, title = "waiting", f"{name}: no reaction yet"
        elif answer.status == "handled":
            status, title = "ok", f"{name} answered"
        elif answer.status == "dead":
            status, title = "dead", f"{name}: dead: {answer.reason or 'unknown'}"
        else:
            tried = f" after {answer.attempts} failed attempt(s): {answer.reason}" if answer.attempts else ""
            status, title = "waiting", f"{name}: no reaction yet{tried}"
        if status == "waiting" and run is not None and run.status in ("failure", "canceled"):
            title += f" (last run: {run.status})"
        return Step(
            kind="reaction",
            id=name,
            title=title,
            status=status,
            at=answer.at if answer else None,
            milliseconds=run.milliseconds if run else None,
            run_id=(answer.run_id if answer else None) or (run.run_id if run else None),
            children=tuple(below),
        )

    def decision(self, decision: Decision, caused: Sequence[EventNote]) -> Step:
        """A decision with its approval, what was done, and the event that told of it."""
        steps: list[Step] = []
        asked = [each for each in self.records.approvals if each.action_id == decision.action_id]
        steps += [self._approval(each) for each in asked]
        done = [
            entry
            for entry in self.records.entries
            if entry.kind == ACTION and entry.content.get("action_id") == decision.action_id
        ]
        told = [self.event(each) for each in caused if each.payload.get("action_id") == decision.action_id]
        for place, entry in enumerate(done):
            last = place == len(done) - 1
            steps.append(self._action(entry, told if last else ()))
        if not done:
            if decision.verdict == "deny":
                title, status = "not done: policy denies it", "denied"
            elif any(each.status == "open" for each in asked):
                title, status = "not done yet: waits for an approval", "waiting"
            else:
                title, status = "nothing was done about it yet", "waiting"
            steps.append(Step(kind="action", id=decision.action_id or "", title=title, status=status))
            steps += told
        return Step(
            kind="decision",
            id=decision.decision_id,
            title=f"{decision.actor} decided: {decision.action or 'unknown action'}, {decision.verdict or 'unknown'}",
            status="ok" if decision.verdict else "unknown",
            at=decision.decided_at,
            run_id=decision.run_id,
            entry_hash=decision.entry_hash,
            notes=decision_notes(decision),
            decision=decision,
            children=tuple(steps),
        )

    def _refusal(self, decision: Decision) -> Step:
        return Step(
            kind="decision",
            id=decision.decision_id,
            title=f"policy {decision.policy or 'unknown'} refused a step of {decision.actor}",
            status="denied",
            at=decision.decided_at,
            entry_hash=decision.entry_hash,
            notes=decision_notes(decision),
            decision=decision,
        )

    def _standing(self, decision: Decision) -> Step:
        agent = decision.details.get("agent_id") or decision.actor
        return Step(
            kind="decision",
            id=decision.decision_id,
            title=f"{agent} is {decision.verdict}: {decision.reasoning or 'reason unknown'}",
            at=decision.decided_at,
            entry_hash=decision.entry_hash,
            decision=decision,
        )

    def _approval(self, approval: ApprovalNote) -> Step:
        entry = next(
            (
                each
                for each in self.records.entries
                if each.kind in APPROVALS and each.content.get("approval_id") == approval.approval_id
            ),
            None,
        )
        status = {"open": "waiting", "given": "ok", "used": "ok", "denied": "denied", "expired": "denied"}
        if approval.status == "open":
            words = f"approval asked for, open until {approval.expires_at:%Y-%m-%d %H:%M}"
        elif approval.status == "expired":
            words = "approval expired without an answer"
        else:
            said = "given it, and it was used" if approval.status == "used" else f"{approval.status} it"
            words = f"{approval.approver or 'unknown'} has {said}"
        event = self._approval_events.get(approval.approval_id)
        return Step(
            kind="approval",
            id=approval.approval_id,
            title=words,
            status=status.get(approval.status, "unknown"),
            at=approval.decided_at or approval.requested_at,
            entry_hash=entry.entry_hash if entry else None,
            notes=(f"reason: {approval.reason}",) if approval.reason else (),
            children=(self.event(event),) if event is not None else (),
        )

    def _action(self, entry: LedgerEntry, told: Sequence[Step]) -> Step:
        body = entry.content
        state = str(body.get("status") or "unknown")
        status = {"executed": "ok", "failed": "failed", "denied": "denied"}.get(state, "unknown")
        return Step(
            kind="action",
            id=str(body.get("action_id") or ""),
            title=f"{body.get('action') or 'action'} {state}: {body.get('outcome') or 'outcome unknown'}",
            status=status,
            at=_moment(entry.recorded_at),
            run_id=body.get("dagster_run_id"),
            entry_hash=entry.entry_hash,
            children=tuple(told),
        )

    def memories(self, keys: set[str], expected: bool) -> list[Step]:
        """Memories made of these ids, each once in the tree, where it first belongs."""
        found = [
            each
            for each in self.records.memories
            if each.memory_id not in self._placed_memories and keys & each.made_from
        ]
        self._placed_memories |= {each.memory_id for each in found}
        return [self._memory(each, expected) for each in found]

    def _memory(self, memory: MemoryNote, awaits_outcome: bool) -> Step:
        outcome: tuple[Step, ...] = ()
        if memory.outcome is not None or memory.effect is not None:
            error = "" if memory.std_error is None else f" (standard error {memory.std_error:.3g})"
            title = memory.outcome or f"effect {memory.effect:+.4g}"
            title += error
            outcome = (Step(kind="outcome", id=memory.memory_id, title=title),)
        elif awaits_outcome:
            outcome = (Step(kind="outcome", id=memory.memory_id, title="outcome unknown: not measured yet"),)
        return Step(
            kind="memory",
            id=memory.memory_id,
            title=f"remembered as {memory.kind}: {shortened(memory.text)}",
            at=memory.recorded_at,
            run_id=memory.run_id,
            children=outcome,
        )


def _keys(event: EventNote) -> set[str]:
    """Ids by which memories know what an event is about."""
    return {str(event.payload[name]) for name in ("action_id", "alert_id", "pattern_id") if event.payload.get(name)}


def _place(reactions: Sequence[str], names: Sequence[str]) -> str | None:
    """The first of these reactions that the event has; None when none of them answers it."""
    return next((each for each in reactions if each in names), None)


def _same_refusal(decision: Decision, event: EventNote) -> bool:
    wanted = ("run_id", "step", "policy")
    told = {**decision.details, "policy": decision.policy}
    return event.type == "policy_violation_detected" and all(
        event.payload.get(name) is not None and str(event.payload[name]) == str(told.get(name)) for name in wanted
    )


def _covers(run: RunNote, moment: datetime) -> bool:
    if run.started_at is None or run.milliseconds is None:
        return False
    since = (moment - run.started_at).total_seconds()
    # Handled is noted with the table's commit, shortly after the asset's own work has ended.
    return 0 <= since <= run.milliseconds / 1000 + 5


def _timed(step: Step, start: datetime | None) -> Step:
    seconds = (step.at - start).total_seconds() if step.at is not None and start is not None else None
    return replace(step, seconds=seconds, children=tuple(_timed(child, start) for child in step.children))


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
