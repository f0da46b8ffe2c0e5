"""Several agents on one incident: which of their actions repeat, oppose or overlap one another, and who goes first.

An action has targets (a campaign, a channel's budget, a page, a prompt, an agent, a data set), found in its
arguments. On a shared target two actions are

- duplicates: the same tool with the same arguments, while the first still runs or for the same incident;
- opposed: one takes back what the other does (raise and lower, promote and roll back, pause and start);
- overlapping: both write, and neither of the above.

The law: a duplicate is refused. Of opposed actions the one of higher rank stands, at equal rank the earlier one: the
other is refused; one of higher rank that finds the other already running waits for its end. Overlapping actions run
one after another, by rank, then by who asked first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

from liftos_pipelines.modules.agentic.facts import call_identity

Outcome = Literal["granted", "ordered", "refused_duplicate", "refused_conflict"]
Relation = Literal["none", "duplicate", "opposed", "overlap"]

TARGETS = {
    "campaign": "campaign",
    "campaign_id": "campaign",
    "ad": "ad",
    "ad_id": "ad",
    "budget_line": "channel",
    "channel": "channel",
    "from_channel": "channel",
    "to_channel": "channel",
    "page": "page",
    "page_url": "page",
    "url": "page",
    "prompt": "prompt",
    "prompt_name": "prompt",
    "model": "model",
    "agent": "agent",
    "target_agent": "agent",
    "dataset": "dataset",
    "segment": "segment",
}
"""Arguments that name what an action changes, and of which kind that is."""
SPOKEN = ("notify", "open_ticket", "send_mail", "send_message")
"""Tools that tell somebody something: they change nothing that two agents could fight over."""
OPPOSITES = (
    ("raise", "lower"),
    ("promote", "rollback"),
    ("pause", "start"),
    ("publish", "unpublish"),
    ("enable", "disable"),
    ("add", "remove"),
    ("create", "delete"),
)
_WORDS = {
    **dict.fromkeys(("raise", "increase", "up", "raised", "grow"), "raise"),
    **dict.fromkeys(("lower", "decrease", "down", "reduce", "lowered", "cut"), "lower"),
    **dict.fromkeys(("promote", "promoted", "rollout"), "promote"),
    **dict.fromkeys(("rollback", "revert", "rolledback"), "rollback"),
    **dict.fromkeys(("pause", "paused", "stop", "stopped", "halt", "inactive"), "pause"),
    **dict.fromkeys(("start", "started", "resume", "resumed", "run", "active", "activate"), "start"),
    **dict.fromkeys(("publish", "published"), "publish"),
    **dict.fromkeys(("unpublish", "unpublished", "withdraw"), "unpublish"),
    **dict.fromkeys(("enable", "enabled"), "enable"),
    **dict.fromkeys(("disable", "disabled"), "disable"),
    **dict.fromkeys(("add", "added"), "add"),
    **dict.fromkeys(("remove", "removed"), "remove"),
    **dict.fromkeys(("create", "created"), "create"),
    **dict.fromkeys(("delete", "deleted"), "delete"),
}
_SIGNED = ("delta", "change", "change_percent", "percent", "by")
_SAYING = ("direction", "action", "status", "state", "operation")


@dataclass(frozen=True, kw_only=True)
class Intent:
    """An action that an agent means to take. `rank` is its agent's in the policy, higher goes first."""

    decision_id: str
    agent_id: str
    run_id: str
    tool: str
    arguments: Mapping[str, Any]
    incident: str | None
    rank: int
    at: datetime

    @property
    def identity(self) -> str:
        return call_identity(self.tool, self.arguments)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Another action on one of the targets: it holds them (`held`), waits for them (`queued`) or had them (`done`)."""

    intent: Intent
    targets: frozenset[str]
    status: Literal["held", "queued", "done"]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an intent may do now, because of which other decision, and why."""

    outcome: Outcome
    other: str | None
    reason: str


def targets_of(tool: str, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """What an action changes, as `kind:name`, sorted; nothing for a tool that only tells somebody something."""
    if tool in SPOKEN:
        return ()
    found: set[str] = set()
    for argument, kind in TARGETS.items():
        found.update(f"{kind}:{name}" for name in _names(arguments.get(argument)))
    names = list(_names(arguments.get("name")))
    kinds = list(_names(arguments.get("kind"))) or [
        kind for kind in ("prompt", "agent", "model") if kind in _tokens(tool)
    ]
    found.update(f"{kind}:{name}" for kind in kinds for name in names)
    # An agent that an action moves; elsewhere `agent_id` says who speaks.
    if "agent" in _tokens(tool) or "to_stage" in arguments:
        found.update(f"agent:{name}" for name in _names(arguments.get("agent_id")))
    return tuple(sorted(target.casefold() for target in found))


def relation(one: Intent, other: Intent, shared: Iterable[str]) -> Relation:
    """How two actions stand to one another on the targets that they share."""
    shared = list(shared)
    if not shared:
        return "none"
    if one.identity == other.identity:
        return "duplicate"
    for target in shared:
        mine, theirs = directions(one, target), directions(other, target)
        if any((a in mine and b in theirs) or (b in mine and a in theirs) for a, b in OPPOSITES):
            return "opposed"
    return "overlap"


def directions(intent: Intent, target: str) -> frozenset[str]:
    """In which ways an action moves a target, in the words of `OPPOSITES`; nothing where it does not say."""
    found = {_WORDS[word] for word in _tokens(intent.tool) if word in _WORDS}
    for argument in _SAYING:
        said = intent.arguments.get(argument)
        if isinstance(said, str):
            found |= {_WORDS[word] for word in _tokens(said) if word in _WORDS}
    for argument in _SIGNED:
        number = intent.arguments.get(argument)
        if isinstance(number, (int, float)) and not isinstance(number, bool) and number:
            found.add("raise" if number > 0 else "lower")
    for argument, way in (("from_channel", "lower"), ("to_channel", "raise")):
        if f"channel:{intent.arguments.get(argument)}".casefold() == target:
            found.add(way)
    return frozenset(found)


def coordinate(intent: Intent, targets: Iterable[str], others: Sequence[Standing]) -> Answer:
    """Whether an intent may have all of its targets now, after whom it must wait, or why it may not act at all.

    Parameters
    ----------
    others : what else concerns the targets; a `done` one only while it is remembered
    """
    wanted = frozenset(targets)
    behind: Standing | None = None
    for other in sorted(others, key=lambda each: (each.status != "held", each.intent.at, each.intent.decision_id)):
        if other.intent.decision_id == intent.decision_id:
            continue
        answer = _answer(intent, wanted, other)
        if answer is None:
            continue
        if answer.outcome != "ordered":
            return answer
        behind = behind or other
    if behind is not None:
        return Answer(outcome="ordered", other=behind.intent.decision_id, reason=_waiting(intent, wanted, behind))
    return Answer(outcome="granted", other=None, reason="nobody else acts on it")


def _answer(intent: Intent, wanted: frozenset[str], other: Standing) -> Answer | None:
    """What one other action means for an intent; None where it stands in no way."""
    theirs = other.intent
    shared = sorted(wanted & other.targets)
    kind = relation(intent, theirs, shared)
    same_incident = intent.incident is not None and intent.incident == theirs.incident
    on = ", ".join(shared)
    first = f"{theirs.agent_id}'s {theirs.tool} ({theirs.decision_id[:12]})"
    if kind == "duplicate" and (same_incident or other.status != "done"):
        did = {"held": "is doing", "queued": "waits to do", "done": "did"}[other.status]
        return Answer(
            outcome="refused_duplicate", other=theirs.decision_id, reason=f"{first} {did} exactly this on {on}"
        )
    if kind == "opposed" and (same_incident or other.status != "done"):
        stronger = intent.rank > theirs.rank
        own = other.status == "done" and theirs.agent_id == intent.agent_id
        if not stronger and not own:
            why = "has the higher rank" if theirs.rank > intent.rank else "came first"
            return Answer(
                outcome="refused_conflict",
                other=theirs.decision_id,
                reason=f"it would take back {first} on {on}, which {why}",
            )
        return None if other.status != "held" else _ordered(intent, wanted, other)
    if kind == "none" or other.status == "done":
        return None
    if other.status == "queued" and not _before(theirs, intent):
        return None
    return _ordered(intent, wanted, other)


def _ordered(intent: Intent, wanted: frozenset[str], other: Standing) -> Answer:
    return Answer(outcome="ordered", other=other.intent.decision_id, reason=_waiting(intent, wanted, other))


def _waiting(intent: Intent, wanted: frozenset[str], other: Standing) -> str:
    verb = "holds" if other.status == "held" else "waits before it for"
    on = ", ".join(sorted(wanted & other.targets))
    return f"{other.intent.agent_id}'s {other.intent.tool} ({other.intent.decision_id[:12]}) {verb} {on}"


def _before(one: Intent, other: Intent) -> bool:
    return (-one.rank, one.at, one.decision_id) < (-other.rank, other.at, other.decision_id)


def _names(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, (list, tuple)):
        return [str(each) for each in value if isinstance(each, (str, int)) and not isinstance(each, bool)]
    return [str(value)] if isinstance(value, int) and not isinstance(value, bool) else []


def _tokens(text: str) -> list[str]:
    words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", text).lower())
    joined = [first + second for first, second in pairwise(words)]
    return words + joined
