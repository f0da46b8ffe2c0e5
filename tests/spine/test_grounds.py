"""Whether what decisions cite can be followed: what is missing, or gone, is named by its entry."""

from __future__ import annotations

from typing import Any

from liftos_pipelines.spine.decisions import Input, accountable
from liftos_pipelines.spine.grounds import Grounds, grounds
from liftos_pipelines.spine.ledger import LedgerEntry, canonical_json


def entry(position: int, kind: str, body: dict[str, Any]) -> LedgerEntry:
    return LedgerEntry(
        client="acme", position=position, recorded_at="2026-01-01T00:00:00+00:00", kind=kind, actor="a",
        idempotency_key=str(position), body=canonical_json(body), previous_hash="", entry_hash=str(position),
    )  # fmt: skip


def decision(**changed: Any) -> dict[str, Any]:
    full = accountable(
        inputs=[Input(table="causal/impact", version=2)],
        reasoning="harm is likely",
        evidence={"effect": -1.0, "memories": [{"memory_id": "m1"}]},
    )
    body = {"action_id": "x1", "event_id": "e1", "action": "notify", "decision": "allow"} | full | changed
    return {name: value for name, value in body.items() if value is not None}


def judge(*entries: LedgerEntry) -> Grounds:
    versions = {"causal/impact": 4}
    return grounds(entries, events={"e1"}, memories={"m1"}, table_version=versions.get)


def test_what_can_be_followed_has_no_gap() -> None:
    found = judge(
        entry(0, "agent_decision", decision()),
        entry(1, "agent_action", {"action_id": "x1", "status": "executed", "outcome": "written"}),
        entry(2, "approval_given", {"action_id": "x1", "approval_id": "p", "reason": "fine"}),
        entry(
            3, "agent_stopped", {"agent_id": "a", "event_id": "e1", "trigger": "budget_exhausted", "reason": "spent"}
        ),
        entry(
            4, "agent_stopped", {"agent_id": "a", "event_id": "no event", "trigger": "operator", "reason": "ann: so"}
        ),
        entry(5, "policy_violation", {"run_id": "r", "step": 1, "policy": "pii", "reason": "personal data"}),
        entry(6, "root_cause", {"event_id": "another"}),
        entry(7, "gate_decision", {"action_id": "g", "reason": "small", "policy_version": "v", "request_sha256": "h"}),
        entry(8, "gate_outcome", {"action_id": "g", "status": "released", "reason": "not needed any more"}),
        entry(9, "agent_transition", {"from": "shadow", "to": "canary", "reason": "ready", "evidence": {"runs": 80}}),
        entry(10, "experiment_look", {**decision(), "event_id": None, "action_id": None}),
    )
    assert (found.judged, found.gaps, found.share, found.words()) == (10, (), 1.0, "none")


def test_every_gap_is_named_by_its_entry() -> None:
    found = judge(
        entry(0, "agent_decision", decision(inputs=None, reasoning=None, evidence=None, event_id=None)),
        entry(
            1, "agent_decision", decision(action_id="x2", event_id="gone", evidence={"memories": [{"memory_id": "m9"}]})
        ),
        entry(2, "agent_decision", decision(inputs=[{"table": "causal/impact", "version": 9, "rows": None}])),
        entry(3, "agent_action", {"action_id": "never decided", "status": "executed"}),
        entry(4, "approval_denied", {"action_id": "x2", "reason": ""}),
        entry(
            5, "agent_stopped", {"agent_id": "a", "event_id": "gone", "trigger": "budget_exhausted", "reason": "spent"}
        ),
        entry(6, "policy_violation", {"policy": "pii"}),
    )
    assert {gap.entry: gap.lacks for gap in found.gaps} == {
        "0:agent_decision": ("inputs", "reasoning", "evidence", "its event"),
        "1:agent_decision": ("event gone (not there)", "memory m9 (not there)"),
        "2:agent_decision": ("causal/impact version 9 (not there)",),
        "3:agent_action": ("outcome", "decision never decide (not there)"),
        "4:approval_denied": ("a reason",),
        "5:agent_stopped": ("event gone (not there)",),
        "6:policy_violation": ("a reason", "run_id", "step"),
    }
    assert found.share == 0.0
    assert "and 2 more" in found.words()


def test_a_ledger_without_decisions_has_no_share() -> None:
    assert judge().share is None
