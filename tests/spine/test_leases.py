"""Leases on what agents act upon: all targets or none, one holder at a time, and a late holder is told."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from liftos_pipelines.modules.agentic.coordination import Intent
from liftos_pipelines.spine.database import Spine

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def intent(
    name: str, tool: str = "adjust_bid", *, agent: str = "a", rank: int = 0, amount: int | None = None
) -> Intent:
    arguments = {"amount": len(name) if amount is None else amount, "by": name}
    return Intent(
        decision_id=name, agent_id=agent, run_id="r", tool=tool, arguments=arguments, incident="i", rank=rank, at=NOW
    )  # fmt: skip


def end(spine: Spine, name: str, *, done: bool = True, now: datetime = NOW) -> bool:
    return spine.transaction(lambda connection: spine.end_within(connection, "acme", name, done=done, now=now))


def test_a_target_has_one_holder_and_the_next_waits_for_its_end(spine: Spine) -> None:
    first = spine.take_leases("acme", intent("d1"), ["campaign:c", "channel:tv"], now=NOW)
    assert first.granted
    assert spine.take_leases("acme", intent("d1"), ["campaign:c", "channel:tv"], now=NOW).tokens == first.tokens
    second = spine.take_leases("acme", intent("d2", agent="b"), ["channel:tv", "page:p"], now=NOW)
    assert (second.answer.outcome, second.answer.other, dict(second.tokens)) == ("ordered", "d1", {})
    # All or none: the free target was not taken by the one that waits.
    assert spine.take_leases("acme", intent("d0", agent="c", rank=1), ["page:p"], now=NOW).granted
    assert end(spine, "d0")
    assert end(spine, "d1")
    again = spine.take_leases("acme", intent("d2", agent="b"), ["channel:tv", "page:p"], now=NOW)
    assert again.granted
    assert again.tokens["channel:tv"] == first.tokens["channel:tv"] + 1
    assert spine.take_leases("globex", intent("d3"), ["channel:tv"], now=NOW).granted
    said = [(each.decision_id, each.outcome) for each in spine.coordination("acme") if each.target == "channel:tv"]
    assert said == [("d1", "granted"), ("d2", "ordered"), ("d2", "granted")]


def test_those_that_wait_go_by_rank_then_by_who_asked_first(spine: Spine) -> None:
    spine.take_leases("acme", intent("d1"), ["page:p"], now=NOW)
    for name, rank in (("early", 0), ("late", 0), ("chief", 5)):
        asked = NOW + timedelta(seconds={"early": 1, "late": 2, "chief": 3}[name])
        late = Intent(**{**intent(name, rank=rank).__dict__, "at": asked})
        assert spine.take_leases("acme", late, ["page:p"], now=asked).answer.outcome == "ordered"
    moment = NOW + timedelta(seconds=10)
    end(spine, "d1", now=moment)
    order = []
    for _ in range(3):
        for name, rank in (("late", 0), ("early", 0), ("chief", 5)):
            # Asked anew it keeps its place, whatever moment it now gives.
            anew = Intent(**{**intent(name, rank=rank).__dict__, "at": moment})
            if name not in order and spine.take_leases("acme", anew, ["page:p"], now=moment).granted:
                order.append(name)
                end(spine, name, now=moment)
    assert order == ["chief", "early", "late"]


def test_a_holder_that_comes_back_after_its_time_is_told_and_cannot_act(spine: Spine) -> None:
    spine.take_leases("acme", intent("d1"), ["page:p"], now=NOW, lifetime=timedelta(minutes=1))
    soon, later = NOW + timedelta(seconds=30), NOW + timedelta(seconds=61)
    assert spine.holds_leases("acme", "d1", now=soon)
    assert spine.take_leases("acme", intent("d2", agent="b"), ["page:p"], now=later).granted
    assert not spine.holds_leases("acme", "d1", now=later)
    # Also not when its clock stands still: the fencing token is old.
    assert not spine.holds_leases("acme", "d1", now=soon)
    renewed = spine.transaction(lambda connection: spine.renew_within(connection, "acme", "d1", now=soon))
    assert not renewed
    assert not end(spine, "d1", now=later)
    assert spine.holds_leases("acme", "d2", now=later)


def test_a_place_in_the_queue_is_lost_by_who_stops_asking(spine: Spine) -> None:
    spine.take_leases("acme", intent("d1"), ["page:p"], now=NOW)
    spine.take_leases("acme", intent("gone", rank=9), ["page:p"], now=NOW)
    end(spine, "d1")
    assert not spine.take_leases("acme", intent("d2"), ["page:p"], now=NOW).granted
    assert spine.take_leases("acme", intent("d2"), ["page:p"], now=NOW + timedelta(minutes=10)).granted


def test_agents_that_want_targets_in_any_order_never_block_one_another_for_good(spine: Spine) -> None:
    targets = [f"campaign:{n}" for n in range(4)]
    pairs = list(itertools.permutations(targets, 2))
    holders: dict[str, str] = {}
    clashes: list[str] = []

    def work(number: int) -> int:
        opened, done = Spine(spine.url), 0
        for turn in range(4):
            wanted = pairs[(number * 5 + turn * 3) % len(pairs)]
            name = f"{number}-{turn}"
            gives_up = time.monotonic() + 30
            while time.monotonic() < gives_up:
                if opened.take_leases("acme", intent(name, agent=f"a{number}", amount=turn), wanted, now=NOW).granted:
                    for target in wanted:
                        if holders.setdefault(target, name) != name:
                            clashes.append(target)
                    for target in wanted:
                        holders.pop(target, None)
                    end(opened, name)
                    done += 1
                    break
        opened.engine.dispose()
        return done

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [4] * 6
    assert clashes == []
