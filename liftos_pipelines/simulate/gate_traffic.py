"""A few dozen calls that the demo's agents ask of the real gate now, each with the answer that is due beside it.

Unlike the rest of the world this happens at the clock's time: a gate answers when it is asked. Two agents answer one
incident (one repeats the other, one would take back what it did, one has to wait), a person consents to one mail, once
and to the letter, and a day's budget is asked for by several calls at once. Ids begin with the day: asked again on the
same day, the same answers come from the first time's record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from liftos_pipelines.authority.gate import Gate
from liftos_pipelines.authority.requests import ActionRequest, Authorisation
from liftos_pipelines.spine.budgets import MICRO

FILE = "truth_gate.json"
BY = "the demo's person"
AT_ONCE, EACH = 5, 90.0
"""Calls that ask for the mixer's budget at the same moment, and EUR of each: 320 of 400 are left, which bears three."""


@dataclass
class Traffic:
    """The requests so far: what each was, the answer that was due, and the one that came."""

    gate: Gate
    day: str
    asked: list[dict[str, str]] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)

    def ask(self, what: str, expected: str, number: str, agent: str, tool: str, **about: Any) -> Authorisation:
        arguments = about.pop("arguments", {})
        answer = self.gate.authorise(self.request(number, agent, tool, arguments, **about))
        self.note(what, expected, answer)
        return answer

    def request(self, number: str, agent: str, tool: str, arguments: Any, **about: Any) -> ActionRequest:
        return ActionRequest(
            run_id=f"{self.day}-{about.pop('run', agent)}",
            agent_id=agent,
            tool=tool,
            arguments=arguments,
            request_id=f"{self.day}-{number}",
            **about,
        )

    def note(self, what: str, expected: str, answer: Authorisation) -> None:
        """`expected` is a decision, or a decision and the reason by name: `deny: budget_exhausted`."""
        answered = f"{answer.decision}: {answer.policy}" if ": " in expected else answer.decision
        self.asked.append({"what": what, "expected": expected, "answered": answered})
        self.decisions.append(answer.decision_id)


def run(gate: Gate, folder: Path, now: datetime) -> dict[str, Any]:
    """Ask, note what was answered, and keep it in the client's folder (no source reads it).

    Returns
    -------
    dict with `asked` (what, expected, answered), `decisions` (ids) and `coordination` (how many of what is due)
    """
    file, day = folder / FILE, f"{now.astimezone(UTC):%Y-%m-%d}"
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    if known is not None and known["day"] == day and gate.decision(known["decisions"][0]) is not None:
        return dict(known)
    traffic = Traffic(gate, day)
    _one_incident(traffic)
    _consent(traffic, now)
    _refused(traffic)
    _budget(traffic)
    told = {
        "day": day,
        "asked": traffic.asked,
        "decisions": list(dict.fromkeys(traffic.decisions)),
        "coordination": {"ordered": 1, "refused_conflict": 1, "refused_duplicate": 1},
    }
    file.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return told


def _shift(giver: str, taker: str, amount: float) -> dict[str, Any]:
    return {"from_channel": giver, "to_channel": taker, "amount": amount, "currency": "EUR"}


def _one_incident(traffic: Traffic) -> None:
    gate, incident = traffic.gate, f"incident-{traffic.day}"
    for number in range(6):
        read = traffic.ask("reading figures", "allow", f"read-{number}", "reader", "read_metrics", run=f"a{number}")
        if read.allowed:
            gate.settle(read.decision_id, 0)
    first = traffic.ask(
        "a shift of money", "allow", "shift", "mixer", "shift_budget", arguments=_shift("tv", "search", 80.0),
        incident=incident,
    )  # fmt: skip
    again = _shift("tv", "search", 80.0)
    traffic.ask("the same request again", "allow", "shift", "mixer", "shift_budget", arguments=again, incident=incident)
    traffic.ask(
        "the request with another amount", "deny: request_changed", "shift", "mixer", "shift_budget",
        arguments=_shift("tv", "search", 81.0), incident=incident,
    )  # fmt: skip
    traffic.ask(
        "the same shift by another agent", "deny: lease_duplicate", "twin", "pacer-canary", "shift_budget",
        arguments=again, incident=incident,
    )  # fmt: skip
    traffic.ask(
        "the shift taken back by another agent", "deny: lease_conflict", "back", "pacer-canary", "shift_budget",
        arguments=_shift("search", "tv", 60.0), incident=incident, run="p2",
    )  # fmt: skip
    later = {"arguments": _shift("tv", "video", 50.0), "run": "p3"}
    traffic.ask("another shift off the same channel", "wait", "later", "pacer-canary", "shift_budget", **later)
    if first.allowed:
        gate.settle(first.decision_id, 80)
    after = traffic.ask("the one that waited", "allow", "later", "pacer-canary", "shift_budget", **later)
    if after.allowed:
        gate.settle(after.decision_id, 50)


def _consent(traffic: Traffic, now: datetime) -> None:
    mail = {"to": "partner@agency.example", "subject": f"Figures of {traffic.day}", "body": "Orders are within plan."}
    changed = mail | {"to": "partner@agency.exampl"}

    def ask(what: str, expected: str, number: str, body: Mapping[str, str], **about: Any) -> Authorisation:
        return traffic.ask(what, expected, number, "tasker", "send_mail", arguments=body, run=number, **about)

    asked = ask("a mail, which cannot be undone", "needs_approval", "mail", mail)
    if asked.approval_id is None:
        return
    _give(traffic, asked.approval_id, now)
    ask("consent claimed for another address", "deny: approval_for_something_else", "other", changed,
        approval_id=asked.approval_id)  # fmt: skip
    sent = ask("the mail that was consented to", "allow", "mail", mail)
    if sent.allowed:
        traffic.gate.settle(sent.decision_id, 0)
    ask("the used consent claimed once more", "deny: approval_closed", "twice", mail, approval_id=asked.approval_id)


def _give(traffic: Traffic, approval_id: str, now: datetime) -> None:
    traffic.gate.spine.decide_approval(
        traffic.gate.client, approval_id, given=True, approver=BY, reason="the partner waits for it", now=now
    )


def _refused(traffic: Traffic) -> None:
    traffic.ask("a tool that the agent does not have", "deny", "tool", "reader", "delete_audience", run="x1")
    traffic.ask(
        "arguments that are not JSON",
        "deny: malformed_call",
        "json",
        "reader",
        "notify",
        arguments="{text: hi",
        run="x2",
    )
    traffic.ask("an agent that nobody registered", "deny: unknown_agent", "who", "stranger", "read_metrics")


def _budget(traffic: Traffic) -> None:
    """Several calls at once, each within the budget, together beyond it."""

    def ask(number: int) -> Authorisation:
        arguments = _shift("display", "social", EACH) | {"campaign_id": f"c-{number}"}
        # Their own targets, so that only the money is fought over.
        about = {"targets": (f"campaign:{traffic.day}-{number}",), "run": f"b{number}"}
        return traffic.gate.authorise(traffic.request(f"budget-{number}", "mixer", "shift_budget", arguments, **about))

    # What LiftOS itself had the mixer do today is spent as well.
    left = min(pot.left for pot in traffic.gate.spine.pots(traffic.gate.client) if pot.pot.startswith("agent:mixer:"))
    bears = int(left / MICRO // EACH)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = sorted(pool.map(ask, range(AT_ONCE)), key=lambda answer: answer.decision != "allow")
    for place, answer in enumerate(answers):
        fits = place < bears
        traffic.note(
            f"call {place + 1} of {AT_ONCE} at once on one budget",
            "allow" if fits else "deny: budget_exhausted",
            answer,
        )
        if answer.allowed:
            traffic.gate.settle(answer.decision_id, EACH)
