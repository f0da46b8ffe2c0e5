"""Decisions read back as they were written; the chain around an event, whole, broken off, waiting or dead."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liftos_pipelines.spine.accountability import (
    Alternative,
    Input,
    UnknownId,
    accountable,
    correlations_of,
    decision_chain,
    decisions,
    decisions_about,
)
from liftos_pipelines.spine.chain import Chain, Step, build_chain
from liftos_pipelines.spine.chain_records import AnswerNote, EventNote, MemoryNote, Records, RunNote
from liftos_pipelines.spine.database import Event, Spine
from liftos_pipelines.spine.decisions import read_decision
from liftos_pipelines.spine.ledger import LedgerEntry, canonical
from liftos_pipelines.spine.payloads import (
    AgentActionInitiated,
    CausalImpactIdentified,
    SentimentDropDetected,
    TrustDegraded,
)

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
EXPECTED = {
    "sentiment_drop_detected": ["causal/impact"],
    "causal_impact_identified": ["agentic/proposals"],
    "agent_action_initiated": ["memory/items"],
}
texts = st.text(max_size=30)
maybe = st.none() | texts.filter(bool)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Spine:
    return Spine(f"sqlite:///{tmp_path_factory.mktemp('spine')}/spine.db")


def _drop(spine: Spine, alert: str, client: str = "acme") -> Event:
    payload = SentimentDropDetected(
        alert_id=alert,
        campaign_id="c1",
        detected_at=NOW,
        window_start=date(2026, 2, 1),
        window_end=date(2026, 2, 14),
        severity=0.5,
        effect=-0.3,
        n=200,
    )
    return spine.raise_event(client, payload, occurred_at=NOW)


def _impact(spine: Spine, drop: Event) -> Event:
    payload = CausalImpactIdentified(
        trigger_event_id=drop.event_id,
        campaign_id="c1",
        window_start=date(2026, 2, 1),
        window_end=date(2026, 2, 14),
        effect=-500.0,
        effect_low=-800.0,
        effect_high=-200.0,
        revenue_at_risk=1000.0,
        probability_harmful=0.97,
    )
    spine.mark_handled(drop.event_id, "causal/impact")
    return spine.raise_event(
        drop.client, payload, occurred_at=NOW, causation_id=drop.event_id, correlation_id=drop.correlation_id
    )


def _decide(spine: Spine, impact: Event, action: str, verdict: str, **grounds: object) -> str:
    action_id = f"{action}-{impact.event_id}"
    body = {
        "action_id": action_id,
        "event_id": impact.event_id,
        "agent_id": "responder",
        "proposed_at": NOW.isoformat(),
        "action": action,
        "arguments": "{}",
        "decision": verdict,
        "policy": "small",
        "policy_version": "abc",
        "reason": "small enough",
    } | accountable(**grounds)  # type: ignore[arg-type]
    spine.append_ledger(impact.client, "agent_decision", "responder", body, idempotency_key=f"{action_id}:decision")
    return action_id


def _carry_out(spine: Spine, impact: Event, action_id: str, action: str, status: str = "executed") -> Event:
    body = {"action_id": action_id, "action": action, "status": status, "outcome": "written to outbox.jsonl"}
    spine.append_ledger(impact.client, "agent_action", "responder", body, idempotency_key=f"{action_id}:{status}")
    payload = AgentActionInitiated(
        action_id=action_id,
        agent_id="responder",
        action=action,
        arguments={},
        context="x",
        decision="allow",
        status=status,
    )
    return spine.raise_event(
        impact.client, payload, occurred_at=NOW, causation_id=impact.event_id, correlation_id=impact.correlation_id
    )


def _path(chain: Chain, kind: str, part: str = "") -> list[str]:
    """Kinds from the root down to the first step of that kind."""

    def down(step: Step, above: list[str]) -> list[str] | None:
        here = [*above, step.kind]
        if step.kind == kind and part in step.title:
            return here
        return next((found for child in step.children if (found := down(child, here))), None)

    return down(chain.root, []) or []


def test_a_whole_chain_is_one_tree_from_the_drop_to_the_action(store: Spine) -> None:
    drop = _drop(store, "whole")
    impact = _impact(store, drop)
    action_id = _decide(
        store,
        impact,
        "open_ticket",
        "allow",
        inputs=[Input(table="causal/budget_plan", version=4, rows=12)],
        reasoning="harm is likely",
        alternatives=[Alternative(action="notify", reason="too weak for likely harm")],
        confidence=0.97,
        correlation_id=drop.correlation_id,
    )
    told = _carry_out(store, impact, action_id, "open_ticket")
    store.mark_handled(impact.event_id, "agentic/proposals")
    store.mark_handled(told.event_id, "memory/items")
    chain = decision_chain(store, impact.event_id, expected=EXPECTED)
    assert chain.complete
    assert chain.correlation_id == drop.correlation_id
    assert _path(chain, "action") == ["correlation", "event", "reaction", "event", "reaction", "decision", "action"]
    (decision,) = chain.decisions
    assert decision.inputs == (Input(table="causal/budget_plan", version=4, rows=12),)
    assert decision.alternatives == (Alternative(action="notify", reason="too weak for likely harm"),)
    assert (decision.actor, decision.confidence, decision.policy, decision.policy_version) == (
        *("responder", 0.97, "small"),
        "abc",
    )
    assert decision.outcome == "executed: written to outbox.jsonl"
    entry = store.ledger("acme")[decision.position]
    assert decision.entry_hash == entry.entry_hash
    steps = {step.kind: step for step in chain.root.walk()}
    assert steps["decision"].entry_hash == entry.entry_hash
    assert "effect -500 (90 % interval -800 to -200)" in next(
        step.notes[0] for step in chain.root.walk() if step.title == "causal_impact_identified"
    )
    # The same tree by whatever id of it one has at hand.
    for wanted in (
        drop.event_id,
        told.event_id[:10],
        action_id,
        entry.entry_hash[:12],
        "whole-no",
        drop.correlation_id,
    ):
        expected = [] if wanted == "whole-no" else [("acme", drop.correlation_id)]
        assert correlations_of(store, wanted) == expected, wanted


def test_what_was_not_recorded_is_unknown_and_nothing_is_invented(store: Spine) -> None:
    impact = _impact(store, _drop(store, "bare"))
    _decide(store, impact, "notify", "allow")
    chain = decision_chain(store, impact.event_id, expected=EXPECTED)
    (decision,) = chain.decisions
    assert (decision.inputs, decision.alternatives, decision.confidence, decision.reasoning) == (None,) * 4
    step = next(step for step in chain.root.walk() if step.kind == "decision")
    assert {"reasoning: unknown", "inputs: unknown", "alternatives: unknown", "confidence: unknown"} <= set(step.notes)
    _decide(store, impact, "rollback", "deny", inputs=(), alternatives=())
    denied = decision_chain(store, impact.event_id, expected=EXPECTED)
    step = next(step for step in denied.root.walk() if step.kind == "decision" and "rollback" in step.title)
    assert {"inputs: none", "alternatives: none"} <= set(step.notes)


def test_a_chain_that_breaks_off_says_where(store: Spine) -> None:
    drop = _drop(store, "early")
    chain = decision_chain(store, drop.event_id, expected=EXPECTED)
    assert not chain.complete
    assert "causal/impact: no reaction yet" in [step.title for step in chain.root.walk()]
    store.note_failure([drop.event_id], "causal/impact", "the series is too short", now=NOW)
    tried = decision_chain(store, drop.event_id, expected=EXPECTED)
    (waiting,) = [step for step in tried.root.walk() if step.kind == "reaction"]
    assert waiting.status == "waiting"
    assert "1 failed attempt(s): the series is too short" in waiting.title
    for turn in range(1, 12):
        store.note_failure([drop.event_id], "causal/impact", "the series is too short", now=NOW + timedelta(days=turn))
    dead = decision_chain(store, drop.event_id, expected=EXPECTED)
    (given_up,) = [step for step in dead.root.walk() if step.kind == "reaction"]
    assert given_up.status == "dead"
    assert "dead: the series is too short" in given_up.title


def test_an_approval_and_its_answer_hang_below_the_decision_they_are_about(store: Spine) -> None:
    drop = _drop(store, "asks")
    impact = _impact(store, drop)
    action_id = _decide(store, impact, "shift_budget", "needs_approval")
    approval = store.request_approval(
        "acme",
        action_id=action_id,
        agent_id="responder",
        action="shift_budget",
        arguments={},
        policy_version="abc",
        requested_at=NOW,
    )
    waiting = decision_chain(store, drop.event_id, expected=EXPECTED)
    assert [step.status for step in waiting.root.walk() if step.kind in ("approval", "action")] == ["waiting"] * 2
    store.decide_approval("acme", approval.approval_id, given=True, approver="ada", reason="go on", now=NOW)
    chain = decision_chain(store, drop.event_id, expected=EXPECTED)
    assert _path(chain, "event", "approval_given")[-3:] == ["decision", "approval", "event"]
    (person,) = [each for each in chain.decisions if each.kind == "approval_given"]
    assert (person.actor, person.verdict, person.reasoning) == ("ada", "given", "go on")
    assert correlations_of(store, approval.approval_id[:12])[0] == ("acme", drop.correlation_id)


def test_a_broken_promise_brings_the_decisions_that_rest_on_its_module(store: Spine) -> None:
    impact = _impact(store, _drop(store, "rests", client="beta"))
    on_event = _decide(store, impact, "notify", "allow", inputs=[Input(table="causal/panel")])
    degraded = store.raise_event(
        "beta",
        TrustDegraded(
            module="sentiment", slo="ece", as_of=date(2026, 3, 1), value=0.2, threshold=0.05, probability_met=0.0
        ),
        occurred_at=NOW,
    )
    # Sentiment raised the drop that led to it; surfacing had no part in it.
    chain = decision_chain(store, degraded.event_id)
    assert [each.action_id for each in chain.concerning] == [on_event]
    assert [each.action_id for each in decisions_about(store, "beta", "causal")] == [on_event]
    assert decisions_about(store, "beta", "surfacing") == []
    assert decisions_about(store, "acme", "agentic") == decisions(store, "acme")[-20:]


def test_an_unknown_event_is_told_with_a_way_out(store: Spine) -> None:
    with pytest.raises(UnknownId, match="liftos events list"):
        decision_chain(store, "no-such-event")
    assert correlations_of(store, "%") == []
    assert correlations_of(store, "________") == []
    assert correlations_of(store, "alert_id") == []


def test_a_confidence_that_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        accountable(confidence=1.3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    inputs=st.none()
    | st.lists(
        st.builds(Input, table=texts, version=st.none() | st.integers(0, 99), rows=st.none() | st.integers(0, 10**9))
    ),
    alternatives=st.none()
    | st.lists(
        st.builds(
            Alternative, action=texts, reason=st.none() | texts, details=st.dictionaries(texts, texts, max_size=2)
        )
    ),
    evidence=st.none()
    | st.dictionaries(texts, texts | st.floats(allow_nan=False, allow_infinity=False) | st.lists(texts), max_size=4),
    reasoning=maybe,
    confidence=st.none() | st.floats(0, 1),
    other=st.dictionaries(texts.map(lambda text: f"x-{text}"), texts | st.integers(), max_size=3),
)
def test_every_decision_is_read_back_without_loss(inputs, alternatives, evidence, reasoning, confidence, other) -> None:  # type: ignore[no-untyped-def]
    body = {"action_id": "a1", "decision": "allow", "policy": "p", **other} | accountable(
        inputs=inputs, alternatives=alternatives, evidence=evidence, reasoning=reasoning, confidence=confidence
    )
    entry = LedgerEntry(
        client="acme",
        position=0,
        recorded_at=NOW.isoformat(),
        kind="agent_decision",
        actor="responder",
        idempotency_key="k",
        body=canonical(body),
        previous_hash="0",
        entry_hash="h",
    )
    read = read_decision(entry)
    assert read.inputs == (None if inputs is None else tuple(inputs))
    assert read.alternatives == (None if alternatives is None else tuple(alternatives))
    assert read.evidence == evidence
    assert read.reasoning == reasoning
    assert read.confidence == confidence
    assert dict(read.details) == other


def _event(number: int, event_type: str, cause: int | None, **payload: object) -> EventNote:
    return EventNote(
        seq=number,
        event_id=f"e{number}",
        client="acme",
        type=event_type,
        occurred_at=NOW,
        recorded_at=NOW + timedelta(seconds=number),
        payload=payload,
        causation_id=None if cause is None else f"e{cause}",
        correlation_id="c",
    )


def test_memories_runs_and_outcomes_take_their_place_in_the_tree() -> None:
    records = Records(
        client="acme",
        correlation_id="c",
        events=[
            _event(0, "sentiment_drop_detected", None, alert_id="alert-1"),
            _event(1, "causal_impact_identified", 0, effect=-5.0),
            _event(2, "agent_action_initiated", 1, action_id="act"),
        ],
        answers=[AnswerNote(event_id="e0", reaction="causal/impact", status="handled", at=NOW + timedelta(seconds=1))],
        memories=[
            MemoryNote(memory_id="m1", kind="pattern", text="t", recorded_at=NOW, made_from=frozenset({"act", "e0"})),
            MemoryNote(
                memory_id="m2",
                kind="alert",
                text="t",
                recorded_at=NOW,
                made_from=frozenset({"alert-1"}),
                outcome="net sentiment -0.3",
                effect=-0.3,
            ),
        ],
        runs=[
            RunNote(
                run_id="r1", reaction="causal/impact", asset=None, event_id="e0", status="success", milliseconds=88.0
            )
        ],
        origins={"e0": ["mention 7: where is my parcel"]},
        expected=EXPECTED,
    )
    chain = build_chain(records)
    steps = {step.id: step for step in chain.root.walk()}
    assert steps["causal/impact"].run_id == "r1"
    assert steps["causal/impact"].milliseconds == 88.0
    # The pattern hangs below the action that it is about, though it also names the drop.
    assert [child.id for child in steps["e2"].children if child.kind == "memory"] == ["m1"]
    assert [step.title for step in chain.root.walk() if step.kind == "outcome" and step.id == "m1"] == [
        "outcome unknown: not measured yet"
    ]
    assert [child.id for child in steps["e0"].children if child.kind == "memory"] == ["m2"]
    assert next(step for step in chain.root.walk() if step.kind == "seen").notes == ("mention 7: where is my parcel",)
    assert steps["e2"].seconds == 2.0
    assert not chain.complete


def test_events_that_cause_one_another_in_a_circle_do_not_hang_it() -> None:
    circle = [_event(0, "drift_detected", 1), _event(1, "drift_detected", 0), _event(2, "future_type", None, x=1)]
    chain = build_chain(Records(client="acme", correlation_id="c", events=circle))
    assert {step.id for step in chain.root.walk() if step.kind == "event"} == {"e0", "e1", "e2"}


def test_a_ledger_entry_of_another_shape_is_kept_and_not_misread(tmp_path: Path) -> None:
    entry = LedgerEntry(
        client="acme",
        position=0,
        recorded_at="not a time",
        kind="agent_decision",
        actor="a",
        idempotency_key="k",
        body=canonical({"inputs": "everything", "alternatives": [1], "evidence": "seen", "confidence": "high"}),
        previous_hash="0",
        entry_hash="h",
    )
    read = read_decision(entry)
    assert (read.inputs, read.alternatives, read.evidence, read.confidence, read.decided_at) == (None,) * 5
    assert read.details == {"inputs": "everything", "alternatives": [1], "evidence": "seen", "confidence": "high"}
