"""Events once, effects once, a ledger that shows every tampering, approvals that are used once."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest

from liftos_pipelines.clients import ClientError
from liftos_pipelines.spine.database import Spine, SpineError, parse_payload
from liftos_pipelines.spine.payloads import PAYLOADS, CampaignStarted

NOW = datetime(2025, 6, 1, tzinfo=UTC)


def started(campaign: str = "c1") -> CampaignStarted:
    return CampaignStarted(campaign_id=campaign, name="Spring", start=date(2025, 5, 1))


def test_the_same_cause_is_one_event(spine: Spine) -> None:
    first = spine.raise_event("acme", started(), occurred_at=NOW)
    again = spine.raise_event("acme", started(), occurred_at=NOW + timedelta(days=1))
    assert again == first
    assert len(spine.events("acme")) == 1
    assert spine.raise_event("globex", started(), occurred_at=NOW).event_id != first.event_id


def test_many_processes_raising_one_cause_append_it_once(spine: Spine) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = set(
            pool.map(lambda i: spine.raise_event("acme", started(f"c{i % 5}"), occurred_at=NOW).event_id, range(40))
        )
    assert len(ids) == 5
    assert len(spine.events("acme")) == 5


def test_an_event_keeps_its_chain_and_its_payload(spine: Spine) -> None:
    first = spine.raise_event("acme", started(), occurred_at=NOW)
    second = spine.raise_event(
        "acme", started("c2"), occurred_at=NOW, causation_id=first.event_id, correlation_id=first.correlation_id
    )
    read = spine.event(second.event_id)
    assert read is not None
    assert read.payload == started("c2")
    assert (read.causation_id, read.correlation_id) == (first.event_id, first.event_id)
    assert read.occurred_at == NOW


def test_only_unhandled_events_are_offered_and_a_reaction_is_noted_once(spine: Spine) -> None:
    events = [spine.raise_event("acme", started(f"c{i}"), occurred_at=NOW) for i in range(3)]
    assert spine.mark_handled(events[0].event_id, "memory/items")
    assert not spine.mark_handled(events[0].event_id, "memory/items")
    left = spine.unhandled("memory/items", ["campaign_started"])
    assert [event.event_id for event in left] == [event.event_id for event in events[1:]]
    assert len(spine.unhandled("another", ["campaign_started"])) == 3
    assert spine.unhandled("memory/items", ["trust_degraded"]) == []


def test_a_database_opened_again_holds_what_was_written(url: str) -> None:
    Spine(url).raise_event("acme", started(), occurred_at=NOW)
    assert len(Spine(url).events("acme")) == 1


def open_and_raise(url: str) -> str:
    return Spine(url).raise_event("acme", started(), occurred_at=NOW).event_id


def test_processes_that_open_a_new_database_together_migrate_it_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'spine.db'}"
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert len(set(pool.map(open_and_raise, [url] * 4))) == 1
    assert len(Spine(url).events("acme")) == 1


@pytest.mark.parametrize("client", ["../x", "a' OR '1'='1", ""])
def test_hostile_client_ids_are_refused(spine: Spine, client: str) -> None:
    with pytest.raises(ClientError):
        spine.raise_event(client, started(), occurred_at=NOW)
    with pytest.raises(ClientError):
        spine.events(client)
    with pytest.raises(ClientError):
        spine.append_ledger(client, "decision", "x", {}, idempotency_key="k")


def test_a_clients_events_and_entries_are_its_own(spine: Spine) -> None:
    spine.raise_event("acme", started(), occurred_at=NOW)
    spine.append_ledger("acme", "decision", "agent", {"a": 1}, idempotency_key="k")
    assert spine.events("globex") == []
    assert spine.ledger("globex") == []


def fill(spine: Spine, entries: int = 6) -> None:
    for number in range(entries):
        spine.append_ledger("acme", "decision", "agent", {"number": number}, idempotency_key=str(number))


def test_an_untouched_ledger_verifies_and_a_key_is_chained_once(spine: Spine) -> None:
    fill(spine)
    fill(spine)
    audit = spine.verify_ledger("acme")
    assert (audit.verified, audit.entries, audit.first_bad_entry) == (True, 6, None)
    with pytest.raises(SpineError, match="cannot be changed"):
        spine.append_ledger("acme", "decision", "agent", {"number": 99}, idempotency_key="0")


def test_writers_side_by_side_make_one_chain(spine: Spine) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: spine.append_ledger("acme", "d", "a", {"i": i}, idempotency_key=str(i)), range(60)))
    audit = spine.verify_ledger("acme")
    assert (audit.verified, audit.entries) == (True, 60)


def ask(spine: Spine, **arguments: object) -> str:
    return spine.request_approval(
        "acme",
        action_id="a1",
        agent_id="g",
        action="shift_budget",
        arguments=arguments,
        policy_version="v1",
        requested_at=NOW,
    ).approval_id


def test_an_approval_is_bound_to_its_arguments_and_used_once(spine: Spine) -> None:
    approval = ask(spine, amount=100)
    assert ask(spine, amount=100) == approval
    assert ask(spine, amount=101) != approval
    decided = spine.decide_approval("acme", approval, given=True, approver="ann", reason="fine", now=NOW)
    assert decided.status == "given"
    with pytest.raises(SpineError, match="already given"):
        spine.decide_approval("acme", approval, given=False, approver="bob", reason="", now=NOW)
    assert [event.type for event in spine.events("acme")] == ["approval_given"]
    assert spine.verify_ledger("acme").entries == 1


def test_an_answer_cut_off_by_a_crash_is_completed_by_giving_it_again(spine: Spine) -> None:
    approval = ask(spine, amount=100)
    with spine.engine.begin() as connection:  # what a kill after the first of the three writes leaves behind
        connection.exec_driver_sql("UPDATE approvals SET status = 'given', approver = 'ann', reason = 'fine'")
    with pytest.raises(SpineError, match="already given"):
        spine.decide_approval("acme", approval, given=True, approver="bob", reason="", now=NOW)
    spine.decide_approval("acme", approval, given=True, approver="ann", reason="fine", now=NOW)
    assert [event.type for event in spine.events("acme")] == ["approval_given"]
    assert spine.verify_ledger("acme").entries == 1
    with pytest.raises(SpineError, match="already given"):
        spine.decide_approval("acme", approval, given=True, approver="ann", reason="fine", now=NOW)


def test_an_expired_or_foreign_approval_is_refused(spine: Spine) -> None:
    approval = ask(spine, amount=1)
    with pytest.raises(SpineError, match="has no approval request"):
        spine.decide_approval("globex", approval, given=True, approver="ann", reason="", now=NOW)
    with pytest.raises(SpineError, match="expired"):
        spine.decide_approval("acme", approval, given=True, approver="ann", reason="", now=NOW + timedelta(days=30))
    assert spine.approvals("acme")[0].status == "expired"


def test_a_payload_by_hand_says_what_is_wrong() -> None:
    assert set(PAYLOADS) >= {"sentiment_drop_detected", "causal_impact_identified", "agent_action_initiated"}
    with pytest.raises(SpineError, match="there is no event type"):
        parse_payload("sentiment_dropped", "{}")
    with pytest.raises(SpineError, match="campaign_id"):
        parse_payload("campaign_started", "{}")
