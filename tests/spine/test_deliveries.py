"""What a reaction owes: in order, again after a failure, given up with the reason, replayed; one driver at a time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from liftos_pipelines.spine.database import ATTEMPTS, Event, NewEvent, Spine, SpineError, parse_payload
from liftos_pipelines.spine.deliveries import BACKOFF, REACH_STEP
from liftos_pipelines.spine.payloads import CampaignStarted, TrustDegraded

NOW = datetime(2025, 6, 1, tzinfo=UTC)
R, TYPES = "memory/patterns", ("campaign_started",)


def started(campaign: str = "c1") -> CampaignStarted:
    return CampaignStarted(campaign_id=campaign, name="Spring", start=date(2025, 5, 1))


def raised(spine: Spine, campaign: str, chain: str | None = None, client: str = "acme") -> Event:
    return spine.raise_event(client, started(campaign), occurred_at=NOW, correlation_id=chain)


def due(spine: Spine, now: datetime = NOW, limit: int = 500) -> list[str]:
    return [event.payload.cause_key().split("|")[0] for event in spine.due(R, TYPES, now=now, limit=limit)]


def test_what_is_due_comes_in_the_order_of_the_log_until_it_is_handled(spine: Spine) -> None:
    events = [raised(spine, name) for name in ("a", "b", "c")]
    assert due(spine) == ["a", "b", "c"]
    assert due(spine, limit=2) == ["a", "b"]
    assert spine.mark_handled(events[1].event_id, R)
    raised(spine, "d")
    assert due(spine) == ["a", "c", "d"]
    assert spine.due("another", TYPES, now=NOW) != []
    assert spine.due(R, ("trust_degraded",), now=NOW) == []


def test_what_was_handled_before_anybody_looked_is_not_due(spine: Spine) -> None:
    event = raised(spine, "a")
    assert spine.mark_handled(event.event_id, R)
    assert not spine.mark_handled(event.event_id, R)
    assert due(spine) == []
    assert spine.backlog(R, TYPES) == 0


def test_an_event_waits_for_an_earlier_one_of_its_chain_and_no_other(spine: Spine) -> None:
    first, _, _ = raised(spine, "a", "chain"), raised(spine, "b", "chain"), raised(spine, "c")
    raised(spine, "d", "chain", client="globex")  # another client's, though it has the same name
    assert due(spine) == ["a", "c", "d"]
    spine.note_failure([first.event_id], R, "no", now=NOW)
    assert due(spine) == ["c", "d"]  # waiting for its attempt, it still holds what follows
    spine.mark_handled(first.event_id, R)
    assert due(spine) == ["b", "c", "d"]


def test_a_failure_is_tried_again_later_each_time_and_then_given_up_with_the_reason(spine: Spine) -> None:
    event, follower = raised(spine, "a", "chain"), raised(spine, "b", "chain")
    now = NOW
    for attempt in range(1, ATTEMPTS):
        assert spine.note_failure([event.event_id], R, f"fault {attempt}", now=now) == []
        assert due(spine, now) == []
        now += BACKOFF[min(attempt, len(BACKOFF)) - 1]
        assert due(spine, now) == ["a"]
    (letter,) = spine.note_failure([event.event_id], R, "the last fault", now=now)
    assert (letter.attempts, letter.reason, letter.client) == (ATTEMPTS, "the last fault", "acme")
    assert "liftos events retry acme" in letter.advice
    assert spine.dead_letters("acme") == [letter]
    assert due(spine, now) == ["b"]  # what is dead holds nobody
    assert spine.backlog(R) == 1
    assert spine.revive("globex") == 0
    assert spine.revive("acme", event_id=event.event_id) == 1
    assert due(spine, now) == ["a"]
    assert spine.dead_letters() == []
    assert follower.seq > event.seq


def test_one_run_counts_once_and_a_handled_event_never_fails(spine: Spine) -> None:
    event, done = raised(spine, "a"), raised(spine, "b")
    spine.mark_handled(done.event_id, R)
    for _ in range(ATTEMPTS + 1):
        assert spine.note_failure([event.event_id, done.event_id], R, "x", now=NOW, run_id="run-1") == []
    assert [waiting.attempts for waiting in spine.pending("acme", R)] == [1]


def test_a_dead_letter_that_is_handled_after_all_is_gone(spine: Spine) -> None:
    event = raised(spine, "a")
    for number in range(ATTEMPTS):
        spine.note_failure([event.event_id], R, "x", now=NOW, run_id=str(number))
    assert len(spine.dead_letters()) == 1
    spine.mark_handled(event.event_id, R)
    assert spine.dead_letters() == []


def test_replay_asks_again_for_a_clients_answers_from_a_point_on(spine: Spine) -> None:
    events = [raised(spine, name) for name in "abc"]
    raised(spine, "z", client="globex")
    spine.dismiss([event.event_id for event in events], R)
    assert due(spine) == ["z"]
    assert spine.replay("acme", reactions={R: TYPES}, after_seq=events[0].seq) == 2
    assert due(spine) == ["b", "c", "z"]
    assert not spine.is_handled(events[2].event_id, R)
    assert spine.replay("acme", reactions={R: TYPES, "other": TYPES}, since=events[2].recorded_at) == 2
    assert spine.replay("acme", reactions={R: TYPES}, since=datetime.now(UTC) + timedelta(hours=1)) == 0
    with pytest.raises(SpineError, match="from where"):
        spine.replay("acme", reactions={R: TYPES})


def test_the_backlog_counts_what_nobody_looked_for_yet(spine: Spine) -> None:
    assert spine.newest_seq() == 0
    last = [raised(spine, name) for name in "abc"][-1]
    assert spine.newest_seq() == last.seq
    assert spine.backlog(R) == 0  # it never looked, and nobody said what it answers
    assert spine.backlog(R, TYPES) == 3
    assert len(due(spine)) == 3
    raised(spine, "d", client="globex")
    assert spine.backlog(R, TYPES) == spine.backlog(R) == 4
    assert spine.backlog(R, client="globex") == 1


def test_what_is_still_open_can_be_asked_once_more(spine: Spine) -> None:
    ids = [raised(spine, name).event_id for name in "abc"]
    spine.mark_handled(ids[1], R)
    assert spine.open_among(ids, R) == {ids[0], ids[2]}
    assert spine.open_among(ids, "other") == set(ids)
    assert spine.open_among([], R) == set()


def test_foreign_events_are_passed_without_being_lost(spine: Spine) -> None:
    def trust(number: int) -> NewEvent:
        payload = TrustDegraded(
            module="m", slo=str(number), as_of=date(2025, 1, 1), value=0.0, threshold=1.0, probability_met=0.1
        )
        return NewEvent(client="acme", payload=payload, occurred_at=NOW)

    assert due(spine) == []
    spine.raise_events(trust(number) for number in range(REACH_STEP + 10))
    assert due(spine) == []
    raised(spine, "a")
    assert due(spine) == ["a"]


BROKEN = {"not JSON": "{broken", "not an object": "[1]", "does not fit": '{"campaign_id": 3}'}


def rewrite(spine: Spine, event: Event, payload: str) -> None:
    with spine.engine.begin() as connection:
        connection.execute(text("UPDATE events SET payload = :p WHERE seq = :s"), {"p": payload, "s": event.seq})


@pytest.mark.parametrize("said", list(BROKEN))
def test_a_row_that_cannot_be_read_is_set_aside_and_the_others_go_on(spine: Spine, said: str) -> None:
    if said == "not JSON" and spine.engine.dialect.name == "postgresql":
        pytest.skip("PostgreSQL's JSON type holds JSON only")
    first, broken, _ = raised(spine, "a"), raised(spine, "b", "chain"), raised(spine, "c", "chain")
    rewrite(spine, broken, BROKEN[said])
    assert next(event.event_id for event in spine.events("acme")) == first.event_id
    assert len(spine.events("acme")) == 2
    assert due(spine) == ["a", "c"]
    (letter,) = spine.dead_letters("acme")
    assert letter.event_id == broken.event_id
    assert said in letter.reason
    assert [row.event_id for row in spine.unreadable("acme")] == [broken.event_id]
    with pytest.raises(SpineError, match=said):
        spine.event(broken.event_id)
    rewrite(spine, broken, started("b").model_dump_json())
    assert spine.revive("acme") == 1
    assert due(spine) == ["a", "b"]


def test_a_moment_that_is_none_stops_nobody(spine: Spine) -> None:
    if spine.engine.dialect.name == "postgresql":
        pytest.skip("PostgreSQL holds moments only")
    event = raised(spine, "a")
    raised(spine, "b")
    with spine.engine.begin() as connection:
        connection.execute(text("UPDATE events SET occurred_at = 'soon' WHERE seq = :s"), {"s": event.seq})
    assert due(spine) == ["b"]
    assert "no readable moment" in spine.dead_letters()[0].reason


def test_an_unknown_type_is_told_and_troubles_nobody(spine: Spine) -> None:
    event = raised(spine, "a")
    with spine.engine.begin() as connection:
        connection.execute(text("UPDATE events SET type = 'from_the_future' WHERE seq = :s"), {"s": event.seq})
    raised(spine, "b")
    assert due(spine) == ["b"]
    assert len(spine.events("acme")) == 1
    (letter,) = spine.dead_letters()
    assert "from_the_future" in letter.reason
    assert "Install the version" in letter.reason


def test_fields_of_a_later_schema_are_kept_when_passed_on(spine: Spine) -> None:
    payload = CampaignStarted(**(started().model_dump() | {"mood": "bold", "rank": 3}))
    read = spine.raise_event("acme", payload, occurred_at=NOW).payload
    passed_on = spine.raise_event("globex", read, occurred_at=NOW).payload
    assert passed_on.model_dump()["mood"] == "bold"
    assert passed_on == payload
    with pytest.raises(SpineError, match="has no field mood"):
        parse_payload("campaign_started", payload.model_dump_json())


def test_a_number_that_is_none_survives_every_database(spine: Spine) -> None:
    payload = started().model_copy(update={"budget": float("inf")})
    assert spine.raise_event("acme", payload, occurred_at=NOW).payload == payload


def test_a_clock_that_goes_back_changes_no_order_and_stops_nobody(spine: Spine) -> None:
    first = raised(spine, "a")
    second = spine.raise_event("acme", started("b"), occurred_at=NOW - timedelta(days=400))
    assert due(spine, NOW - timedelta(days=500)) == ["a", "b"]
    spine.note_failure([first.event_id], R, "x", now=NOW)
    assert due(spine, NOW - timedelta(days=1)) == ["a", "b"]  # nobody waits for the clock to catch up
    assert second.seq > first.seq


def test_one_driver_at_a_time_holds_a_reaction_of_a_client(spine: Spine) -> None:
    assert spine.claim(R, "acme", "one", NOW, 60)
    assert spine.claim(R, "acme", "one", NOW, 60)  # renewed
    assert not spine.claim(R, "acme", "two", NOW + timedelta(seconds=59), 60)
    assert spine.claim(R, "globex", "two", NOW, 60)
    assert not spine.release(R, "acme", "two")
    assert spine.holder(R, "acme", NOW) == "one"
    assert spine.claim(R, "acme", "two", NOW + timedelta(seconds=61), 60)  # the first one is gone
    assert not spine.release(R, "acme", "one")
    assert spine.release(R, "acme", "two")
    assert spine.holder(R, "acme", NOW) is None


def test_a_lease_outlives_a_clock_that_goes_back_by_its_own_length_only(spine: Spine) -> None:
    assert spine.claim(R, "acme", "one", NOW, 60)
    back = NOW - timedelta(days=30)
    assert not spine.claim(R, "acme", "two", back, 60)
    assert not spine.claim(R, "acme", "two", back + timedelta(seconds=59), 60)
    assert spine.claim(R, "acme", "two", back + timedelta(seconds=61), 60)


def test_of_many_drivers_at_once_one_gets_the_lease(spine: Spine) -> None:
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda number: spine.claim(R, "acme", f"d{number}", NOW, 60), range(16)))
    assert sum(got) == 1


def test_a_reactor_at_work_is_known_until_it_falls_silent(spine: Spine) -> None:
    assert not spine.reactor_at_work(NOW)
    spine.beat("reactor", NOW)
    assert spine.reactor_at_work(NOW)
    assert not spine.reactor_at_work(NOW + timedelta(minutes=1))


def test_drivers_side_by_side_see_each_event_and_handle_it_once(spine: Spine) -> None:
    total = 60

    def drive(_: int) -> int:
        done = 0
        for _round in range(200):
            events = spine.due(R, TYPES, now=NOW, limit=10)
            done += sum(spine.mark_handled(event.event_id, R) for event in events)
            if spine.newest_seq() >= total and not spine.backlog(R, TYPES):
                break
        return done

    def fill(_: int) -> int:
        for number in range(total):
            raised(spine, f"c{number}")
        return 0

    work: list[Callable[[int], int]] = [fill, drive, drive, drive]
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda each: each(0), work))
    assert sum(counts) + len(spine.due(R, TYPES, now=NOW)) == total
