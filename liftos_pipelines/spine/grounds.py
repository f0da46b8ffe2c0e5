"""Whether what the ledger says of decisions can be followed: inputs, reasoning, evidence that is still there. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from liftos_pipelines.spine.decisions import (
    APPROVALS,
    DECIDING,
    DECISION,
    DONE,
    GATE_DECISION,
    JUDGED,
    MOVES,
    REFUSALS,
    STANDING,
    read_decision,
)
from liftos_pipelines.spine.ledger import LedgerEntry

OPERATOR = "operator"


@dataclass(frozen=True)
class Gap:
    """What one entry lacks, by its `position:kind`."""

    entry: str
    lacks: tuple[str, ...]


@dataclass(frozen=True)
class Grounds:
    """Of the entries that decide or act: how many there are, and what is missing in those that have a gap."""

    judged: int
    gaps: tuple[Gap, ...]

    @property
    def share(self) -> float | None:
        """The share without a gap; None when there is no such entry."""
        return None if not self.judged else 1 - len(self.gaps) / self.judged

    def words(self, most: int = 5) -> str:
        told = [f"{gap.entry} lacks {', '.join(gap.lacks)}" for gap in self.gaps[:most]]
        more = len(self.gaps) - most
        return "; ".join(told) + (f"; and {more} more" if more > 0 else "") if told else "none"


def grounds(
    entries: Sequence[LedgerEntry],
    *,
    events: Collection[str],
    memories: Collection[str],
    table_version: Callable[[str], int | None],
) -> Grounds:
    """Judge every entry that decides or acts.

    A decision needs its inputs, its reasoning and evidence, and what these cite must be there: the event, the memories,
    the tables in at least the cited version. An approval or an action needs a reason or outcome and its decision; a
    stop or a refusal its reason and the event or step it rests on; a move between stages its reason and evidence; a
    decision of the gate the rule's reason and version and the request's hash.

    Parameters
    ----------
    events, memories : ids that there are
    table_version : a table's newest version, None where there is none
    """
    decided = {str(entry.content.get("action_id")) for entry in entries if entry.kind in JUDGED}
    judged = [entry for entry in entries if entry.kind in (*DECIDING, *DONE)]
    gaps = []
    for entry in judged:
        lacks = _lacks(entry, decided, events, memories, table_version)
        if lacks:
            gaps.append(Gap(f"{entry.position}:{entry.kind}", tuple(lacks)))
    return Grounds(len(judged), tuple(gaps))


def cited_memories(entry: LedgerEntry) -> list[str]:
    """Ids of the memories that a decision's evidence names."""
    evidence = entry.content.get("evidence")
    named = evidence.get("memories") if isinstance(evidence, dict) else None
    return [str(each["memory_id"]) for each in named or () if isinstance(each, dict) and each.get("memory_id")]


def _lacks(
    entry: LedgerEntry,
    decided: Collection[str],
    events: Collection[str],
    memories: Collection[str],
    table_version: Callable[[str], int | None],
) -> list[str]:
    body = entry.content
    if entry.kind in DONE:
        # A call that was released was never made: it has a reason instead of an outcome.
        missing = [] if body.get("status") else ["status"]
        missing += [] if body.get("outcome") or body.get("reason") else ["outcome"]
        return missing + _unresolved("decision", body.get("action_id"), decided)
    decision = read_decision(entry)
    lacks = []
    if entry.kind in APPROVALS:
        # Which action the person saw is bound by the request; why is theirs to say.
        return _unresolved("decision", body.get("action_id"), decided) + ([] if decision.reasoning else ["a reason"])
    if entry.kind == GATE_DECISION:
        # The agent outside has the reasoning; the gate vouches for the rule, its version, and the exact request.
        lacks = [] if decision.policy_reason else ["a reason"]
        return lacks + [name for name in ("policy_version", "request_sha256") if not body.get(name)]
    if entry.kind in MOVES:
        return [name for name in ("reason", "evidence") if not body.get(name)]
    if entry.kind in (*REFUSALS, *STANDING):
        if not (decision.reasoning or decision.policy_reason):
            lacks.append("a reason")
        if entry.kind in REFUSALS:
            return lacks + [name for name in ("run_id", "step") if body.get(name) is None]
        if body.get("trigger") not in (None, OPERATOR) and body.get("event_id") is not None:
            lacks += _unresolved("event", body["event_id"], events)
        return lacks
    if decision.inputs is None:
        lacks.append("inputs")
    if not decision.reasoning:
        lacks.append("reasoning")
    if not decision.evidence:
        lacks.append("evidence")
    if entry.kind == DECISION or decision.event_id:
        lacks += _unresolved("event", decision.event_id, events)
    lacks += [f"memory {each} (not there)" for each in cited_memories(entry) if each not in memories]
    for each in decision.inputs or ():
        newest = table_version(each.table)
        if each.version is not None and (newest is None or newest < each.version):
            lacks.append(f"{each.table} version {each.version} (not there)")
    return lacks


def _unresolved(what: str, wanted: Any, there: Collection[str]) -> list[str]:
    if not wanted:
        return [f"its {what}"]
    return [] if str(wanted) in there else [f"{what} {str(wanted)[:12]} (not there)"]
