"""`kill -9` in the midst of real chains: nothing lost, nothing twice, the ledger proves itself."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fault_house import FaultHouse, kill, reaction_worker, until

from liftos_pipelines.bench.reaction_house import reactor

pytestmark = pytest.mark.slow
EVENTS, KILLS = 24, 6


def test_a_worker_killed_again_and_again_answers_every_event_once(house: FaultHouse) -> None:
    chance = random.Random(5)
    with reactor(house.home):
        events = [house.raise_drop()]
        until(lambda: house.answered(events), 60)
        for number in range(EVENTS):
            events.append(house.raise_drop())
            time.sleep(chance.uniform(0.0, 0.4))
            if number % (EVENTS // KILLS) == 1:
                time.sleep(chance.uniform(0.0, 1.2))  # anywhere in the chain, between two hops too
                pid = until(reaction_worker, 90)
                assert isinstance(pid, int)
                kill(pid)
        until(lambda: house.answered(events), 240)
    house.assert_each_once(events)


def _supervisor(home: Path) -> subprocess.Popen[bytes]:
    with (home / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "liftos_pipelines.reactor.server", "--cold"],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def test_a_supervisor_killed_in_a_chain_and_started_again_answers_every_event_once(house: FaultHouse) -> None:
    first = _supervisor(house.home)
    try:
        until(reaction_worker, 120)
        events = [house.raise_drop() for _ in range(3)]
        until(lambda: house.spine.is_handled(events[0].event_id, "causal/impact"), 60)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        events += [house.raise_drop() for _ in range(3)]  # while nobody is there
        second = _supervisor(house.home)
        try:
            until(lambda: house.answered(events), 180)
        finally:
            second.terminate()
            second.wait(timeout=30)
    finally:
        first.poll() is None and first.kill()
    house.assert_each_once(events)
    assert not [run for run in house.instance.get_runs() if not run.is_finished]
