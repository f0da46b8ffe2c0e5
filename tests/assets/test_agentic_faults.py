"""Responses to events that were cut off, disturbed or poisoned: nothing is lost, nothing is done twice, a stop holds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from liftos_pipelines.assets import agentic_stops
from liftos_pipelines.assets.agentic_acting import Actor
from liftos_pipelines.assets.agentic_ledger import resume_agent, state_of, stop_agent
from liftos_pipelines.assets.agentic_reaction import REACTION, Responder
from liftos_pipelines.assets.agentic_stops import stops
from liftos_pipelines.modules.agentic.conditions import AgentFacts
from liftos_pipelines.modules.agentic.proposals import Situation
from liftos_pipelines.modules.agentic.registry import RESPONDER
from liftos_pipelines.resources.actions import ActionFailed, Means, Order, Outbox, execute
from liftos_pipelines.resources.lake import LakeIOManager, LakeResource
from liftos_pipelines.resources.memory_store import MemoryStoreResource
from liftos_pipelines.resources.policy_files import read_policy
from liftos_pipelines.resources.spine import SpineResource, open_spine
from liftos_pipelines.spine import outbox as staging
from liftos_pipelines.spine.database import Event, LedgerMoved, LedgerNote, Spine
from liftos_pipelines.spine.payloads import (
    CausalImpactIdentified,
    DriftDetected,
    Payload,
    PolicyViolationDetected,
    RootCauseIdentified,
)

CLIENT = "acme"
NOW = datetime(2025, 9, 20, tzinfo=UTC)
ACTIONS = frozenset({"notify", "open_ticket", "refit_model", "reingest_source", "rollback"})


@pytest.fixture
def spine(home: Path) -> Spine:
    return open_spine()


def agent(name: str) -> AgentFacts:
    return AgentFacts(agent_id=name, stage="live", capabilities=ACTIONS, registered=True)


def respond(spine: Spine, home: Path, *, killed: bool = False, situation: Any = None, run_id: str = "run") -> Responder:
    """A run of `agentic/proposals`; one that is killed after all its work never tells what it staged."""
    told = staging.Outbox(spine)
    responder = Responder(
        client=CLIENT, spine=spine, told=told,
        policy=read_policy(None),
        situation=situation or (lambda: Situation(agents=(agent("acme.desk"), agent(RESPONDER)), channels={}, changes={}, currency="EUR")),
        folder=home, versions=dict, refittable=frozenset({"causal/mmm_posterior"}), now=datetime.now(UTC), run_id=run_id,
    )  # fmt: skip
    responder.answer()
    if not killed:
        told.commit()
    return responder


def raised(spine: Spine, payload: Payload) -> Event:
    return spine.raise_event(CLIENT, payload, occurred_at=NOW)


def an_impact(cause: str, campaign: str = "all") -> CausalImpactIdentified:
    return CausalImpactIdentified(
        trigger_event_id=cause, campaign_id=campaign, window_start=date(2025, 9, 8), window_end=date(2025, 9, 19),
        effect=-1.0, effect_low=-2.0, effect_high=0.5, revenue_at_risk=None, probability_harmful=0.5,
    )  # fmt: skip


def a_broken_source() -> RootCauseIdentified:
    return RootCauseIdentified(
        trigger_event_id="t", module="sources", slo="freshness", incident_id="i", cause_found="late", kind="contract",
        subject_kind="source", subject="mentions", evidence="it is late",
    )  # fmt: skip


def test_a_remedy_that_was_carried_out_is_ordered_also_after_a_kill_before_the_event_was_told(
    spine: Spine, home: Path
) -> None:
    raised(spine, a_broken_source())
    respond(spine, home, killed=True)
    assert state_of(spine, CLIENT).status  # executed, says the ledger
    assert spine.events(CLIENT, ["remediation_ordered"]) == []
    for _ in range(2):
        respond(spine, home)
    assert len(spine.events(CLIENT, ["remediation_ordered"])) == 1
    assert len(spine.events(CLIENT, ["agent_action_initiated"])) == 1
    assert spine.verify_ledger(CLIENT).verified


def test_an_event_that_cannot_be_answered_holds_up_no_other_and_its_attempts_are_its_own(
    spine: Spine, home: Path
) -> None:
    first, poison, last = (raised(spine, an_impact(cause, campaign)) for cause, campaign in (("a", "x"), ("b", "poison"), ("c", "x")))  # fmt: skip

    class Broken(dict[str, str]):
        def get(self, key: Any, default: Any = None) -> Any:
            if key == "poison":
                raise KeyError("the channel of campaign poison")
            return default

    def situation() -> Situation:
        return Situation(agents=(agent(RESPONDER),), channels=Broken(), changes={}, currency="EUR")

    spine.raise_event(CLIENT, an_impact("d"), occurred_at=NOW)
    harmful = an_impact("e", "poison").model_copy(update={"probability_harmful": 0.99})
    poisoned = raised(spine, harmful)
    for number in range(3):
        said = respond(spine, home, situation=situation, run_id=f"run {number}")
    assert "poison" in said.unanswered[0]
    assert {spine.is_handled(event.event_id, REACTION) for event in (first, poison, last)} == {True}
    assert not spine.is_handled(poisoned.event_id, REACTION)
    (waiting,) = spine.pending(CLIENT, REACTION)
    # Three runs came by within a moment: the two before its next attempt was due do not count.
    assert (waiting.attempts, "poison" in str(waiting.reason)) == (1, True)
    respond(spine, home)
    assert spine.is_handled(poisoned.event_id, REACTION)


def test_a_stop_holds_for_the_next_decision_also_of_a_run_that_has_begun(
    spine: Spine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liftos_pipelines.assets.agentic_reaction.BATCH", 2)
    events = [raised(spine, an_impact(str(number))) for number in range(6)]
    write, batches = Responder._write, list[int]()

    def meanwhile(self: Responder, state: Any, drafts: Any, *more: Any) -> Any:
        batches.append(len(drafts))
        if len(batches) == 2:  # the second batch is judged, not yet written
            stop_agent(spine, CLIENT, "acme.desk", by="eve", reason="it spams", now=datetime.now(UTC))
        return write(self, state, drafts, *more)

    monkeypatch.setattr(Responder, "_write", meanwhile)
    respond(spine, home)
    entries = spine.ledger(CLIENT)
    stopped_at = next(entry.position for entry in entries if entry.kind == "agent_stopped")
    after = [e.content["agent_id"] for e in entries if e.kind == "agent_decision" and e.position > stopped_at]
    assert after == [RESPONDER] * 4
    assert all(spine.is_handled(event.event_id, REACTION) for event in events)


def test_what_a_stopped_agent_was_allowed_before_waits_until_a_person_lets_it_go_on(
    spine: Spine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised(spine, an_impact("a"))
    monkeypatch.setattr(Actor, "carry_out", lambda *_: None)  # killed between decision and action
    respond(spine, home, killed=True)
    monkeypatch.undo()
    stop_agent(spine, CLIENT, "acme.desk", by="eve", reason="it spams", now=datetime.now(UTC))
    respond(spine, home)
    (key,) = state_of(spine, CLIENT).open
    assert not Outbox(home).holds(key)
    assert resume_agent(spine, CLIENT, "acme.desk", by="eve", reason="mended", now=NOW)  # a clock that went back
    for _ in range(2):
        respond(spine, home)
    assert state_of(spine, CLIENT).status_of(key) == "executed"
    assert len((home / "outbox.jsonl").read_text().splitlines()) == 1


def test_a_person_ends_only_the_stops_that_were_seen(spine: Spine) -> None:
    stop_agent(spine, CLIENT, "a", by="eve", reason="first", now=NOW)
    seen = [stop.event_id for stop in state_of(spine, CLIENT).stops_of()["a"]]
    stop_agent(spine, CLIENT, "a", by="joe", reason="second", now=NOW + timedelta(seconds=1))
    body = {"agent_id": "a", "by": "eve", "reason": "mended", "stops": seen}
    spine.append_ledger(CLIENT, "agent_resumed", "eve", body, idempotency_key="resume")
    state = state_of(spine, CLIENT)
    assert "second" in state.stopped(state.moment(NOW))["a"]


def test_who_writes_on_what_is_no_longer_the_newest_is_told_to_read_again(spine: Spine) -> None:
    spine.append_ledger(CLIENT, "k", "a", {}, idempotency_key="1")
    with pytest.raises(LedgerMoved, match="1 entries came after position -1"):
        spine.append_ledger_many(CLIENT, [LedgerNote("k", "a", {}, "2")], read_until=-1)
    spine.append_ledger_many(CLIENT, [LedgerNote("k", "a", {}, "2")], read_until=0)
    assert len(spine.ledger(CLIENT)) == 2


def test_a_drift_with_a_reaction_of_its_own_leaves_nothing_open_here(spine: Spine, home: Path) -> None:
    drift = DriftDetected(
        dataset="causal/mmm_posterior", column="outcome", as_of=date(2025, 9, 1), test="ks", statistic=1.0,
        p_value_adjusted=None,
    )  # fmt: skip
    event = raised(spine, drift)
    respond(spine, home)
    assert spine.is_handled(event.event_id, "agentic/drift")
    assert spine.events(CLIENT, ["agent_action_initiated"]) == []


def test_a_line_that_a_crash_cut_off_stays_alone(tmp_path: Path) -> None:
    (tmp_path / "outbox.jsonl").write_text('{"action_id": "x')
    order = Order(client=CLIENT, action_id="y", agent_id="a", action="notify", arguments={"text": "t"}, ordered_at=NOW)
    assert execute(order, Means.of(tmp_path)) == "written to outbox.jsonl"
    assert execute(order, Means.of(tmp_path)) == "already in outbox.jsonl"
    assert not Outbox(tmp_path).holds("x")


def stops_run(instance: dg.DagsterInstance) -> bool:
    instance.add_dynamic_partitions("clients", [CLIENT])
    resources = {
        "lake_io": LakeIOManager(),
        "lake": LakeResource(),
        "spine": SpineResource(),
        "memory": MemoryStoreResource(),
    }
    return dg.materialize([stops], instance=instance, partition_key=CLIENT, resources=resources).success


def test_a_stop_that_cannot_be_told_holds_and_keeps_no_other_from_being_told(
    spine: Spine, home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "clients" / CLIENT).mkdir(parents=True)
    (home / "clients" / CLIENT / "client.yaml").write_text(f"client: {CLIENT}\n")
    events = [
        raised(spine, PolicyViolationDetected(run_id=name, step=1, agent_id=name, policy="p", reason="it did x"))
        for name in ("a", "b")
    ]
    real = agentic_stops.execute

    def refuses(order: Order, *more: Any) -> str:
        if order.arguments["agent_id"] == "a":
            raise ActionFailed("the webhook answered 503")
        return real(order, *more)

    monkeypatch.setattr(agentic_stops, "execute", refuses)
    assert stops_run(instance)
    state = state_of(spine, CLIENT)
    assert set(state.stopped(state.moment(NOW))) == {"a", "b"}
    assert [spine.is_handled(event.event_id, "agentic/stops") for event in events] == [False, True]
    (waiting,) = spine.pending(CLIENT, "agentic/stops")
    assert (waiting.attempts, "503" in str(waiting.reason)) == (1, True)
    # Newer steps came in meanwhile, by which the violation would be history: what was written down stands.
    monkeypatch.undo()
    monkeypatch.setenv("LIFTOS_HOME", str(home))
    monkeypatch.setattr(agentic_stops, "_judge", lambda *_: pytest.fail("judged anew"))
    assert stops_run(instance)
    assert spine.is_handled(events[0].event_id, "agentic/stops")
    assert len(spine.ledger(CLIENT)) == 2
    assert len((LakeResource().get().folder(CLIENT, "agentic") / "outbox.jsonl").read_text().splitlines()) == 2
