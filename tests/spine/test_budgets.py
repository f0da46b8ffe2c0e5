"""Money is promised before it is spent: exact amounts, all limits at once, and never more than there is."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liftos_pipelines.spine.budgets import PotDraw, Refusal, Reservation, micro, money
from liftos_pipelines.spine.database import Spine, SpineError

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
LIMIT = 1000


def draw(amount: int, pot: str = "day", limit: int = LIMIT, hard: bool = True) -> PotDraw:
    return PotDraw(pot=pot, limit=limit, amount=amount, hard=hard)


def state(spine: Spine, pot: str = "day") -> tuple[int, int, int]:
    found = {each.pot: each for each in spine.pots("acme")}[pot]
    return found.settled, found.reserved, found.overrun


def test_a_promise_is_made_once_settled_once_and_what_is_left_comes_back(spine: Spine) -> None:
    first = spine.reserve("acme", "d1", "a", [draw(600)], now=NOW)
    assert isinstance(first, Reservation)
    assert spine.reserve("acme", "d1", "a", [draw(600)], now=NOW) == first
    with pytest.raises(SpineError, match="other amounts"):
        spine.reserve("acme", "d1", "a", [draw(601)], now=NOW)
    refused = spine.reserve("acme", "d2", "a", [draw(401)], now=NOW)
    assert isinstance(refused, Refusal)
    assert (refused.committed, refused.exhausted_at) == (600, NOW)
    assert spine.settle_reservation("acme", "d1", 250, now=NOW).actual == 250
    assert spine.settle_reservation("acme", "d1", 250, now=NOW).actual == 250
    with pytest.raises(SpineError, match="already settled"):
        spine.settle_reservation("acme", "d1", 251, now=NOW)
    assert state(spine) == (250, 0, 0)
    # Another client's pot of the same name is another pot.
    assert isinstance(spine.reserve("globex", "d1", "a", [draw(1000)], now=NOW), Reservation)


def test_all_limits_are_drawn_on_or_none(spine: Spine) -> None:
    spine.reserve("acme", "d1", "a", [draw(10, "month", 10)], now=NOW)
    refused = spine.reserve("acme", "d2", "a", [draw(5, "day"), draw(5, "month", 10), draw(5, "run")], now=NOW)
    assert isinstance(refused, Refusal)
    assert refused.pot == "month"
    assert {pot.pot for pot in spine.pots("acme") if pot.reserved} == {"month"}


def test_what_goes_beyond_the_promise_takes_what_is_left_and_the_rest_is_known_as_overrun(spine: Spine) -> None:
    for name, amount in (("d1", 300), ("d2", 500)):
        spine.reserve("acme", name, "a", [draw(amount)], now=NOW)
    assert spine.settle_reservation("acme", "d1", 450, now=NOW).overrun == 0
    assert state(spine) == (450, 500, 0)
    assert spine.settle_reservation("acme", "d2", 700, now=NOW).overrun == 150
    assert state(spine) == (1000, 0, 150)
    assert isinstance(spine.reserve("acme", "d3", "a", [draw(0)], now=NOW), Refusal)
    # A raised limit must cover what was spent too much before it gives anything out.
    assert isinstance(spine.reserve("acme", "d4", "a", [draw(1, limit=1150)], now=NOW), Refusal)
    assert isinstance(spine.reserve("acme", "d5", "a", [draw(1, limit=1151)], now=NOW), Reservation)


def test_a_promise_whose_holder_is_gone_is_given_back_and_counts_when_it_was_spent_all_the_same(spine: Spine) -> None:
    spine.reserve("acme", "d1", "a", [draw(900)], now=NOW, lifetime=timedelta(minutes=1))
    soon, later = NOW + timedelta(seconds=59), NOW + timedelta(minutes=1)
    assert isinstance(spine.reserve("acme", "d2", "a", [draw(200)], now=soon), Refusal)
    assert isinstance(spine.reserve("acme", "d2", "a", [draw(200)], now=later), Reservation)
    gone = spine.reservation("acme", "d1")
    assert gone is not None
    assert gone.status == "expired"
    assert spine.settle_reservation("acme", "d1", 900, now=later).overrun == 100
    assert state(spine) == (800, 200, 100)


def test_a_soft_limit_is_overdrawn_by_consent_only(spine: Spine) -> None:
    soft = draw(1200, hard=False)
    refused = spine.reserve("acme", "d1", "a", [soft], now=NOW)
    assert isinstance(refused, Refusal)
    assert not refused.hard
    assert isinstance(spine.reserve("acme", "d1", "a", [soft], now=NOW, consented=True), Reservation)
    assert spine.settle_reservation("acme", "d1", 1200, now=NOW).overrun == 0
    assert isinstance(spine.reserve("acme", "d2", "a", [draw(1)], now=NOW, consented=True), Refusal)


def test_amounts_are_exact_and_what_is_none_is_refused() -> None:
    assert sum(micro(0.1) for _ in range(10)) == micro(1)
    assert micro("0.0000001") == 1
    assert micro("0.0000019", down=True) == 1
    assert money(micro("1234.5")) == "1,234.50"
    for wrong in ("ten", float("nan"), float("inf"), -1, True):
        with pytest.raises(ValueError, match="not an amount"):
            micro(wrong)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "release", "wait"]),
        st.integers(0, 5),
        st.integers(0, 700),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_what_is_spent_and_promised_never_exceeds_the_limit_whatever_happens(
    spine: Spine, steps: list[tuple[str, int, int]]
) -> None:
    client, now, spent = f"c{abs(hash(str(steps))) % 10**12}", NOW, {}
    for what, number, amount in steps:
        name = f"d{number}"
        try:
            if what == "reserve":
                spine.reserve(client, name, "a", [draw(amount)], now=now, lifetime=timedelta(minutes=5))
            elif what == "settle":
                spine.settle_reservation(client, name, amount, now=now)
                spent[name] = amount
            elif what == "release":
                spine.release_reservation(client, name, now=now)
            else:
                now += timedelta(minutes=amount / 100)
        except SpineError:
            continue
        for pot in spine.pots(client):
            assert pot.settled + pot.reserved <= LIMIT
            assert pot.reserved >= 0
            # Nothing that was spent is forgotten.
            assert pot.settled + pot.overrun == sum(spent.values())


def _spend(url: str, worker: int, rounds: int, watch: bool = False) -> tuple[int, int]:
    """One writer: how much it was granted, and the most that it ever saw given out."""
    spine, granted, most = Spine(url), 0, 0
    for number in range(rounds):
        got = spine.reserve("acme", f"w{worker}-{number}", f"agent{worker}", [draw(7), draw(7, "month", 5000)], now=NOW)
        if isinstance(got, Reservation):
            granted += 7
            if number % 3 == 0:
                spine.settle_reservation("acme", f"w{worker}-{number}", 7, now=NOW)
        if watch:
            pot = next(each for each in spine.pots("acme") if each.pot == "day")
            most = max(most, pot.settled + pot.reserved)
    spine.engine.dispose()
    return granted, most


def _naive(url: str, worker: int, rounds: int, turn: threading.Barrier) -> int:
    """Check, then write, as two steps: what a budget is without a reservation in one transaction."""
    spine, granted = Spine(url), 0
    for _ in range(rounds):
        with spine.engine.connect() as connection:
            there = connection.exec_driver_sql("SELECT spent FROM naive").scalar_one()
        turn.wait()
        if there + 7 <= LIMIT:
            with spine.engine.begin() as connection:
                connection.exec_driver_sql("UPDATE naive SET spent = spent + 7")
            granted += 7
    spine.engine.dispose()
    return granted


def test_sixteen_threads_never_get_more_than_the_limit_and_a_check_before_a_write_does(spine: Spine) -> None:
    with ThreadPoolExecutor(16) as pool:
        done = list(pool.map(lambda worker: _spend(spine.url, worker, 12, watch=True), range(16)))
    granted = sum(each for each, _ in done)
    assert granted == LIMIT - LIMIT % 7
    assert max(most for _, most in done) <= LIMIT
    settled, reserved, overrun = state(spine)
    assert (settled + reserved, overrun) == (granted, 0)
    with spine.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS naive")
        connection.exec_driver_sql("CREATE TABLE naive (spent INTEGER)")
        connection.exec_driver_sql("INSERT INTO naive VALUES (0)")
    turn = threading.Barrier(16)
    with ThreadPoolExecutor(16) as pool:
        naive = sum(pool.map(lambda worker: _naive(spine.url, worker, 12, turn), range(16)))
    with spine.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE naive")
    assert naive > LIMIT


@pytest.mark.slow
def test_sixteen_processes_never_get_more_than_the_limit(spine: Spine) -> None:
    """Slow only because sixteen processes start; the gate's own test of them runs always."""
    spine.engine.dispose()
    work = multiprocessing.get_context("forkserver")
    work.set_forkserver_preload(["liftos_pipelines.spine.database", "alembic.command", __name__])
    with work.Pool(16) as pool:
        done = pool.starmap(_spend, [(spine.url, worker, 12) for worker in range(16)])
    assert sum(granted for granted, _ in done) == LIMIT - LIMIT % 7
    settled, reserved, overrun = state(spine)
    assert (settled + reserved, overrun) == (LIMIT - LIMIT % 7, 0)
