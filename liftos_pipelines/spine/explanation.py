"""Why an action was taken: event, evidence, memory, decision, policy, approval, holding, execution, outcome, proof.

Pure.
Every stage is there, whatever is known: what was not recorded, or has not come yet, is said in its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from liftos_pipelines.spine.chain_records import EventNote, Records
from liftos_pipelines.spine.chain_words import (
    alternatives_words,
    event_facts,
    figure,
    inputs_words,
    precedents_words,
    shortened,
)
from liftos_pipelines.spine.decisions import APPROVALS, DONE, GATE_DECISION, JUDGED, Decision
from liftos_pipelines.spine.ledger_audit import LedgerAudit

VOTE, NOTHING = "approval_vote", "none"
STATUSES = ("ok", "waiting", "denied", "failed", "unknown", "none")
ENDS = ("settled", "released", "refunded", "overrun")
TURNS = {"lease_ordered": "waited for", "lease_refused": "was refused", "approval_refused": "consent was refused"}
SHOWN = 12
"""Fields of an event that a decision rests on, as they are shown."""


_MARKS = re.compile(r"[\\|\[\]`]")


def plain(text: str) -> str:
    """A text in one line without characters that steer a terminal or the direction of writing."""
    if text.isprintable():
        return text
    return "".join(" " if each.isspace() else each if each.isprintable() else "\ufffd" for each in text)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage. `status` is of `STATUSES` (`none`: nothing of the kind was there); `short` fits a picture's line."""

    name: str
    title: str
    status: str
    short: str
    lines: tuple[str, ...] = ()
    at: datetime | None = None

    def __post_init__(self) -> None:
        # Whatever an agent wrote, and wherever it is shown: no word of it moves a cursor or turns a line around.
        object.__setattr__(self, "short", plain(self.short))
        object.__setattr__(self, "lines", tuple(map(plain, self.lines)))


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What Eval watches of an action: the prediction, when its outcome is due, and the outcome once it is known."""

    what: str
    due_at: datetime | None
    status: str
    predicted: float | None = None
    low: float | None = None
    high: float | None = None
    outcome: float | None = None
    std_error: float | None = None
    measured_by: str | None = None
    detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """All stages of one decision, the sentence above them, and what could not be read."""

    client: str
    action_id: str | None
    sentence: str
    stages: tuple[Stage, ...]
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "sentence", plain(self.sentence))

    @property
    def complete(self) -> bool:
        """Nothing is waited for and nothing is unknown."""
        return not any(stage.status in ("waiting", "unknown") for stage in self.stages)


def explain(
    decision: Decision,
    records: Records,
    *,
    expected: Sequence[Expected] | None = None,
    audit: LedgerAudit | None = None,
    missing: Sequence[str] = (),
) -> Explanation:
    """The stages of a decision from what is recorded around it.

    Parameters
    ----------
    expected : what Eval watches of this action; None where it was not asked
    audit : of the client's ledger; None where it was not verified
    """
    outcome = _outcome(decision, records, expected)
    execution = _execution(decision, records)
    stages = (
        _event(decision, records),
        _evidence(decision),
        _memory(decision),
        _decision(decision),
        _policy(decision),
        _approval(decision, records),
        _holding(decision, records),
        execution,
        outcome,
        _proof(decision, records, audit),
    )
    because = shortened(decision.reasoning or decision.policy_reason or "no reasoning was recorded", 160)
    sentence = f"{decision.actor}: {decision.action or _what(decision)}, {execution.short}. Because: {because}"
    return Explanation(
        client=decision.client,
        action_id=decision.action_id,
        sentence=sentence,
        stages=stages,
        missing=tuple(missing),
    )


def _what(decision: Decision) -> str:
    if decision.kind in APPROVALS:
        return "an approval"
    return decision.kind.replace("_", " ")


def _event(decision: Decision, records: Records) -> Stage:
    by_id = {event.event_id: event for event in records.events}
    path: list[EventNote] = []
    at = by_id.get(decision.event_id or "")
    while at is not None and at not in path:
        path.insert(0, at)
        at = by_id.get(at.causation_id or "")
    if not path and decision.kind == GATE_DECISION:
        asked = {name: decision.details.get(name) for name in ("run_id", "request_id", "incident", "requested_by")}
        told = tuple(f"{name.replace('_', ' ')}: {value}" for name, value in asked.items() if value)
        return _stage("event", "What happened", "ok", "an agent asked the gate", told, decision.decided_at)
    if not path:
        said = f"event {decision.event_id} is not in the log" if decision.event_id else "the entry names no event"
        return Stage(
            name="event", title="What happened", status="unknown", short="unknown", lines=(f"unknown: {said}",)
        )
    lines = []
    for event in path:
        lines.append(f"{event.occurred_at:%Y-%m-%d %H:%M} {event.type} ({event.event_id[:12]})")
        lines += [f"  {fact}" for fact in event_facts(event)]
        lines += [f"  {each}" for each in records.origins.get(event.event_id, ())]
    first = path[0]
    return Stage(
        name="event",
        title="What happened",
        status="ok",
        short=" > ".join(event.type.replace("_", " ") for event in path),
        lines=tuple(lines),
        at=first.occurred_at,
    )


def _evidence(decision: Decision) -> Stage:
    evidence = decision.evidence or {}
    fields = [f"{name.replace('_', ' ')}: {_said(value)}" for name, value in evidence.items() if _plain(value)]
    lines = [f"inputs: {inputs_words(decision)}", *fields[:SHOWN]]
    if len(fields) > SHOWN:
        lines.append(f"and {len(fields) - SHOWN} more")
    if decision.evidence is None:
        lines.append("evidence: unknown, none was recorded")
    tables = len(decision.inputs or ())
    known = decision.inputs is not None and bool(decision.evidence)
    confidence = "unknown" if decision.confidence is None else f"{decision.confidence:.2f}"
    return Stage(
        name="evidence",
        title="What it rests on",
        status="ok" if known else "unknown",
        short=f"{tables} table(s), {len(fields)} finding(s)" if known else "not recorded",
        lines=(*lines, f"confidence: {confidence}"),
    )


def _memory(decision: Decision) -> Stage:
    words = precedents_words(decision)
    named = (decision.evidence or {}).get("memories")
    if not isinstance(named, list):
        return _stage(
            "memory", "What memory knew", "unknown", "not recorded", ("unknown: the entry names no memories",)
        )
    return _stage(
        "memory", "What memory knew", "ok" if named else "none",
        f"{len(named)} like case(s)" if named else "no measured precedent", tuple(words.split("; ")),
    )  # fmt: skip


def _decision(decision: Decision) -> Stage:
    arguments = decision.details.get("arguments")
    lines = [
        f"action: {decision.action or 'unknown'}" + (f" {arguments}" if arguments not in (None, "{}") else ""),
        f"reasoning: {decision.reasoning or 'unknown'}",
        f"alternatives: {alternatives_words(decision)}",
    ]
    effect = decision.details.get("predicted_effect")
    if isinstance(effect, (int, float)):
        low, high = decision.details.get("predicted_low"), decision.details.get("predicted_high")
        lines.append(f"predicted effect: {_interval(float(effect), low, high)}")
    return _stage(
        "decision", "What was decided", "ok" if decision.action and decision.reasoning else "unknown",
        decision.action or "unknown", tuple(lines), decision.decided_at,
    )  # fmt: skip


def _policy(decision: Decision) -> Stage:
    verdict = decision.verdict or "unknown"
    status = {
        "allow": "ok",
        "needs_approval": "waiting",
        "deny": "denied",
        "given": "ok",
        "denied": "denied",
        "wait": "ok",
    }
    version = f"version {decision.policy_version[:12]}" if decision.policy_version else "version unknown"
    lines = (
        f"verdict: {verdict}",
        f"rule: {decision.policy or 'unknown'} ({version})",
        f"why: {decision.policy_reason or 'unknown'}",
    )
    judged = status.get(verdict, "unknown")
    # A verdict that asks for a person, or for a turn, is complete in itself; what came of it is in the next stages.
    return _stage(
        "policy", "What policy said", "ok" if judged == "waiting" else judged, verdict.replace("_", " "), lines
    )


def _approval(decision: Decision, records: Records) -> Stage:
    asked = [each for each in records.approvals if each.action_id == decision.action_id]
    if not asked:
        if decision.verdict == "needs_approval":
            return _stage("approval", "Approval", "unknown", "no request found", ("unknown: no request is recorded",))
        return _stage("approval", "Approval", "none", "not needed", ("none was asked for",))
    lines, status, short = _votes(decision, records), "unknown", "unknown"
    if any(each.status in ("given", "used", "consumed") for each in asked):
        asked = [each for each in asked if each.status != "expired"]  # those lapsed for another that was given
    for each in asked:
        if each.status == "open":
            status, short = "waiting", f"open until {each.expires_at:%Y-%m-%d}"
            lines.append(f"asked {each.requested_at:%Y-%m-%d %H:%M}, open until {each.expires_at:%Y-%m-%d %H:%M}")
        elif each.status == "expired":
            status, short = "denied", "expired"
            lines.append(f"asked {each.requested_at:%Y-%m-%d %H:%M}, expired without an answer")
        else:
            given = each.status in ("given", "used", "consumed")
            word = "given" if given else each.status
            status, short = ("ok" if given else "denied"), f"{word} by {each.approver or 'unknown'}"
            when = f" {each.decided_at:%Y-%m-%d %H:%M}" if each.decided_at else ""
            lines.append(f"{short}{when}: {each.reason or 'no reason given'}")
            if each.status in ("used", "consumed"):
                lines.append("used: it covers this one action, and no other")
    return _stage("approval", "Approval", status, short, tuple(lines), asked[-1].decided_at)


def _holding(decision: Decision, records: Records) -> Stage:
    """Money and targets: what was promised with the decision or right before the act, and what became of it."""
    mine = [entry for entry in records.entries if entry.content.get("action_id") == decision.action_id]
    done = [entry.content for entry in mine if entry.kind in DONE]
    reserved, leases = dict[str, int](), dict[str, int]()
    for body in (decision.details, *done):
        reserved |= _numbers(body.get("reserved"))
        leases |= _numbers(body.get("leases"))
    lines = [f"promised {_money(amount)} of {pot}" for pot, amount in reserved.items()]
    lines += [f"held {target} (turn {token})" for target, token in leases.items()]
    for body in done:
        lines += [f"{name} {_money(body[name])}" for name in ENDS if isinstance(body.get(name), int)]
        if isinstance(body.get("cost"), str):
            lines.append(f"cost {body['cost']}")
    for entry in mine:
        if entry.kind in TURNS:
            on = ", ".join(str(each) for each in entry.content.get("targets") or ())
            lines.append(f"{TURNS[entry.kind]} {on}: {entry.content.get('reason')}")
    refused = decision.verdict == "deny" and str(decision.policy).startswith(("lease_", "budget_"))
    waits = decision.verdict == "wait" and not done
    status = "denied" if refused else "waiting" if waits else "ok" if lines else "none"
    money = f"{_money(max(reserved.values()))} promised" if reserved else "no money"
    held = f"{money}, {len(leases)} target(s)" if lines else "nothing was needed"
    short = str(decision.policy).replace("_", " ") if refused else "waits for its turn" if waits else held
    if refused:
        lines.append(f"refused: {decision.policy_reason or 'unknown'}")
    return _stage("holding", "What it held", status, short, tuple(lines) or ("neither money nor targets",))


def _numbers(value: Any) -> dict[str, int]:
    known = value.items() if isinstance(value, Mapping) else ()
    return {str(name): each for name, each in known if isinstance(each, int) and not isinstance(each, bool)}


def _money(micro: int) -> str:
    """Whole millionths in words."""
    return f"{micro / 1_000_000:,.2f}"


def _votes(decision: Decision, records: Records) -> list[str]:
    """Who said what, where more than one person must agree."""
    said = [
        (entry.actor, entry.content)
        for entry in records.entries
        if entry.kind == VOTE and entry.content.get("action_id") == decision.action_id
    ]
    return [
        f"{who}: {body.get('vote')} (of {body.get('of')}): {body.get('reason') or 'no reason'}" for who, body in said
    ]


def _execution(decision: Decision, records: Records) -> Stage:
    done = [
        entry
        for entry in records.entries
        if entry.kind in DONE and entry.content.get("action_id") == decision.action_id
    ]
    if decision.action_id is None or not done:
        if decision.verdict in ("deny", "denied"):
            return _stage("execution", "What was done", "denied", "not done: denied", ("nothing: policy denies it",))
        if any(each.action_id == decision.action_id and each.status == "open" for each in records.approvals):
            return _stage("execution", "What was done", "waiting", "not done yet", ("nothing yet: waits for approval",))
        if decision.kind not in JUDGED:
            return _stage(
                "execution", "What was done", "none", decision.verdict or "nothing", ("the entry is the act",)
            )
        return _stage("execution", "What was done", "waiting", "not done yet", ("nothing was done about it yet",))
    lines = []
    for entry in done:
        body = entry.content
        lines.append(
            f"{entry.recorded_at[:16].replace('T', ' ')} {_spoken(body.get('status'))}: "
            f"{body.get('outcome') or 'unknown'}"
        )
    state = str(done[-1].content.get("status") or "unknown")
    status = {
        "executed": "ok",
        "failed": "failed",
        "denied": "denied",
        "taken_back": "ok",
        "settled": "ok",
        "released": "none",
    }.get(state, "unknown")
    return _stage(
        "execution", "What was done", status, _spoken(state), tuple(lines), datetime.fromisoformat(done[-1].recorded_at)
    )


def _spoken(status: Any) -> str:
    return str(status).replace("_", " ")


def _outcome(decision: Decision, records: Records, expected: Sequence[Expected] | None) -> Stage:
    lines, status, short = [], "unknown", "unknown"
    for memory in records.memories:
        if decision.action_id in memory.made_from and memory.outcome is not None:
            lines.append(f"remembered ({memory.memory_id[:12]}): {shortened(memory.outcome, 200)}")
            status, short = "ok", "measured"
    for each in expected or ():
        if each.outcome is not None:
            error = "" if each.std_error is None else f" (standard error {each.std_error:,.3g})"
            by = f", measured by {each.measured_by}" if each.measured_by else ""
            lines.append(f"{each.what}: {each.outcome:+,.4g}{error}{by}" + (f": {each.detail}" if each.detail else ""))
            status, short = "ok", f"measured {each.outcome:+,.4g}"
        elif each.status == NOTHING:
            lines.append(f"{each.what}: nothing to measure" + (f", {each.detail}" if each.detail else ""))
            status, short = ("none", "nothing to measure") if status == "unknown" else (status, short)
        elif each.status == "unknown":
            lines.append(f"{each.what}: unknown: {each.detail or 'not told why'}")
        elif status != "ok":
            due = f"due {each.due_at:%Y-%m-%d}" if each.due_at else "no due date"
            late = each.status == "overdue"
            said = "no outcome: it is overdue, was" if late else "no outcome yet:"
            lines.append(f"{each.what}: {said} {due}")
            status, short = ("unknown", f"overdue, {due}") if late else ("waiting", f"not yet, {due}")
        if each.predicted is not None:
            lines.append(f"predicted: {_interval(each.predicted, each.low, each.high)}")
    if not lines:
        if decision.verdict in ("deny", "denied") or decision.kind not in JUDGED:
            return _stage(
                "outcome", "What came of it", "none", "nothing to measure", ("nothing was done to be measured",)
            )
        why = "Eval was not asked" if expected is None else "Eval watches no outcome of this action yet"
        lines.append(f"unknown: {why}")
    return _stage("outcome", "What came of it", status, short, tuple(lines))


def _proof(decision: Decision, records: Records, audit: LedgerAudit | None) -> Stage:
    mine = [
        entry
        for entry in records.entries
        if entry.position == decision.position
        or (decision.action_id is not None and entry.content.get("action_id") == decision.action_id)
    ]
    lines = [f"entry {entry.position} {entry.kind} {entry.entry_hash}" for entry in mine]
    last = max((entry.position for entry in mine), default=decision.position)
    if audit is None:
        return _stage("proof", "Proof in the ledger", "unknown", "not verified", tuple(lines))
    if not audit.verified:
        good = audit.last_good_position
        held = good is not None and last <= good
        lines.append(f"the ledger does not verify: {audit.reason}")
        if held:
            lines.append(f"these entries are covered by the checkpoint of {audit.last_good_at}, which holds")
        return _stage("proof", "Proof in the ledger", "ok" if held else "failed", "ledger is broken", tuple(lines))
    if last < audit.signed_entries:
        lines.append(
            f"covered by the checkpoint of {audit.last_good_at}, key {audit.key_id}; the whole ledger verifies"
        )
        return _stage("proof", "Proof in the ledger", "ok", f"{len(mine)} signed entr{_ies(mine)}", tuple(lines))
    lines.append("chained and unbroken, not covered by a signed checkpoint")
    return _stage("proof", "Proof in the ledger", "unknown", "chained, not signed", tuple(lines))


def _ies(entries: Sequence[object]) -> str:
    return "y" if len(entries) == 1 else "ies"


def _stage(name: str, title: str, status: str, short: str, lines: tuple[str, ...], at: datetime | None = None) -> Stage:
    return Stage(name=name, title=title, status=status, short=short, lines=lines, at=at)


def _plain(value: Any) -> bool:
    return value is not None and not isinstance(value, (list, Mapping)) and value != ""


def _said(value: Any) -> str:
    return figure(value) if isinstance(value, float) else shortened(str(value), 140)


def _interval(middle: float, low: Any, high: Any) -> str:
    known = isinstance(low, (int, float)) and isinstance(high, (int, float))
    return f"{middle:+,.4g}" + (f" (90 % interval {low:+,.4g} to {high:+,.4g})" if known else "")


def explanation_object(found: Explanation) -> dict[str, Any]:
    """An explanation for JSON."""
    return {
        "client": found.client,
        "action_id": found.action_id,
        "sentence": found.sentence,
        "complete": found.complete,
        "stages": [
            {
                "name": stage.name,
                "title": stage.title,
                "status": stage.status,
                "short": stage.short,
                "at": stage.at.isoformat() if stage.at else None,
                "lines": list(stage.lines),
            }
            for stage in found.stages
        ],
        "not_read": list(found.missing),
    }


def explanation_markdown(found: Explanation) -> str:
    """An explanation for an asset's metadata: a row a stage."""
    rows = ["| stage | status | what |", "| --- | --- | --- |"]
    for stage in found.stages:
        told = "; ".join(line.strip() for line in stage.lines[:3])
        rows.append(f"| {stage.title} | {stage.status} | **{_text(stage.short)}** {_text(shortened(told, 240))} |")
    return f"{_text(found.sentence)}\n\n{chr(10).join(rows)}"


def _text(said: str) -> str:
    """What agents wrote as text in Markdown: no link, no picture, no tag, no cell of its own."""
    return _MARKS.sub(r"\\\g<0>", said).replace("<", "&lt;")


def dumps(found: Explanation) -> str:
    return json.dumps(explanation_object(found), indent=2, ensure_ascii=False)
