"""Responses beside agents outside, in threads and processes: no overshoot, and each thing done once."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "assets"))

from response_house import CLIENT, gate_of, harm, outside, respond

from liftos_pipelines.assets.agentic_ledger import state_of
from liftos_pipelines.spine.database import Spine


def test_sixteen_who_answer_and_ask_at_once_never_spend_more_than_the_agents_budget(spine: Spine, home: Path) -> None:
    for number in range(16):
        harm(spine, str(number))
    start, errors = threading.Barrier(16), list[BaseException]()

    def works(number: int) -> None:
        start.wait()
        try:
            if number % 2:
                respond(spine, home)
                return
            gate = gate_of(spine)
            for trial in range(4):
                about = {"amount": 60, "campaign_id": f"{number}-{trial}"}
                answer = gate.authorise(outside(agent_id="pacer", arguments=about))
                if answer.decision == "allow":
                    gate.settle(answer.decision_id)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=works, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    (pot,) = [each for each in spine.pots(CLIENT) if each.pot.startswith("agent:pacer")]
    assert pot.settled + pot.reserved <= pot.limit == 1_000_000_000
    assert pot.overrun == 0
    state = state_of(spine, CLIENT)
    assert all(state.status_of(key) in ("executed", "denied", "waiting") for key in state.decided)
    assert spine.verify_ledger(CLIENT).verified


def answers(url: str, home: str) -> None:
    spine = Spine(url)
    respond(spine, Path(home))
    spine.engine.dispose()


@pytest.mark.slow
def test_two_processes_that_answer_the_same_events_do_each_thing_once(spine: Spine, home: Path) -> None:
    for number in range(12):
        harm(spine, str(number))
    start = multiprocessing.get_context("spawn")
    processes = [start.Process(target=answers, args=(spine.url, str(home))) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    done = Counter(e.content["action_id"] for e in spine.ledger(CLIENT) if e.kind == "agent_action")
    assert set(done.values()) == {1}
    assert len((home / "outbox.jsonl").read_text().splitlines()) == 12
    (pot,) = [each for each in spine.pots(CLIENT) if each.pot.startswith("agent:pacer")]
    assert pot.reserved == 0
    assert spine.verify_ledger(CLIENT).verified
