"""The gate between processes: no overshoot, a stop that holds everywhere, and nothing half-written by a killed one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "authority"))

from gate_house import CLIENT, NOW, Clock, agent, ask, gate

from liftos_pipelines.assets.agentic_ledger import resume_agent, stop_agent
from liftos_pipelines.authority import gate as gate_module
from liftos_pipelines.spine.database import Spine

WORKERS, CALLS = 16, 6


def work(url: str, worker: int) -> list[str]:
    spine = Spine(url)
    door = gate(spine, agent("a", budget=100.0))
    said = []
    for number in range(CALLS):
        answer = door.authorise(ask(request_id=f"{worker}-{number}", run_id=f"r{worker}", arguments={"amount": 3}))
        if answer.allowed and number % 2:
            door.settle(answer.decision_id, 3)
        said.append(answer.policy)
    spine.engine.dispose()
    return said


def check(spine: Spine, said: list[str]) -> None:
    assert sorted(set(said)) == ["budget_exhausted", "reversible"]
    assert said.count("reversible") == 33
    (pot,) = spine.pots(CLIENT)
    assert (pot.settled + pot.reserved, pot.overrun) == (99_000_000, 0)
    decisions = spine.ledger(CLIENT, kinds=["gate_decision"])
    assert len(decisions) == WORKERS * CALLS
    assert spine.verify_ledger(CLIENT).verified


def test_sixteen_threads_with_gates_of_their_own_spend_no_more_than_there_is(spine: Spine) -> None:
    with ThreadPoolExecutor(WORKERS) as pool:
        check(
            spine, [each for said in pool.map(lambda number: work(spine.url, number), range(WORKERS)) for each in said]
        )


def test_sixteen_processes_spend_no_more_than_there_is(spine: Spine) -> None:
    spine.engine.dispose()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["liftos_pipelines.authority.gate", "alembic.command", __name__])
    with context.Pool(WORKERS) as pool:
        check(spine, [each for said in pool.starmap(work, [(spine.url, n) for n in range(WORKERS)]) for each in said])


def test_a_stop_written_by_another_process_holds_at_the_next_decision(spine: Spine) -> None:
    door, elsewhere = gate(spine), Spine(spine.url)
    for number in range(20):
        name = f"n{number}"
        assert door.authorise(ask(request_id=f"{name} before", arguments={"amount": 1})).allowed
        stop_agent(elsewhere, CLIENT, "a", by="ann", reason=name, now=NOW + timedelta(minutes=number))
        assert door.authorise(ask(request_id=f"{name} after", arguments={"amount": 1})).policy == "agent_stopped"
        assert resume_agent(elsewhere, CLIENT, "a", by="ann", reason="on", now=NOW + timedelta(minutes=number))
    elsewhere.engine.dispose()


@pytest.fixture
def child() -> Iterator[list[Any]]:
    started: list[Any] = []
    yield started
    for process in started:
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()


def hold_and_wait(url: str, told: Any) -> None:
    answer = gate(Spine(url)).authorise(ask(request_id="killed", arguments={"amount": 80, "campaign_id": "c"}))
    told.send(answer.decision_id)
    time.sleep(60)


def test_a_process_killed_between_reserving_and_settling_costs_the_budget_a_while_and_then_nothing(
    spine: Spine, child: list[Any]
) -> None:
    spine.engine.dispose()
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=hold_and_wait, args=(spine.url, there))
    process.start()
    child.append(process)
    assert here.poll(60)
    decision = here.recv()
    process.kill()
    process.join()
    clock = Clock()
    door = gate(spine, clock=clock)
    assert door.authorise(ask(request_id="1", arguments={"amount": 30})).policy == "budget_exhausted"
    clock.pass_(minutes=15, seconds=1)
    assert door.authorise(ask(request_id="2", arguments={"amount": 30})).allowed
    # What it did spend, told late, is counted.
    assert door.settle(decision, 80).overrun == "10"
    assert spine.verify_ledger(CLIENT).verified


@pytest.mark.parametrize("where", ["reserve_within", "take_within", "append_within"])
def test_a_crash_half_way_leaves_neither_money_nor_lease_nor_entry(
    spine: Spine, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = gate(spine)
    whole = getattr(spine, where)

    def cut(*args: Any, **kwargs: Any) -> Any:
        whole(*args, **kwargs)
        raise KeyboardInterrupt  # as hard as it gets within a process: nothing below may catch it

    monkeypatch.setattr(spine, where, cut)
    with pytest.raises(KeyboardInterrupt):
        door.authorise(ask(request_id="1"))
    monkeypatch.undo()
    assert spine.pots(CLIENT) == []
    assert spine.ledger(CLIENT) == []
    assert spine.coordination(CLIENT) == []
    assert gate(spine).authorise(ask(request_id="1")).allowed


def test_an_event_that_could_not_be_raised_is_raised_by_the_next_refusal(
    spine: Spine, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = gate(spine)
    monkeypatch.setattr(spine, "raise_event", lambda *_, **__: 1 / 0)
    assert door.authorise(ask(request_id="1", arguments={"amount": 500})).policy == "budget_exhausted"
    monkeypatch.undo()
    assert door.authorise(ask(request_id="2", arguments={"amount": 500})).policy == "budget_exhausted"
    assert [event.type for event in spine.events(CLIENT)] == [gate_module.BudgetExhausted.type]
