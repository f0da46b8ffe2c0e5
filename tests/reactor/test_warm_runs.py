"""Launched runs in warm workers: who executes them, how they end, and what happens when something goes wrong."""

import os
import time

import dagster as dg
from reactor_house import House, until

from liftos_pipelines.reactor.protocol import REACTOR_TAG, ask


def test_a_launched_run_is_executed_by_a_warm_worker_and_links_to_its_code_location(house: House) -> None:
    worker = house.worker("batch")
    began = time.monotonic()
    run = house.ended(house.launch("quick"))
    seconds = time.monotonic() - began
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert house.lines("quick")[-1] == f"acme {worker['pid']}"
    assert run.remote_job_origin is not None
    assert run.remote_job_origin.location_name == "liftos_pipelines"
    assert run.tags[REACTOR_TAG] == house.status()["boot"]
    assert run.tags["dagster/code_location"] == "liftos_pipelines"
    assert seconds < 5
    known = house.instance.run_launcher.check_run_worker_health(run)
    assert known.status.value == "NOT_FOUND"  # it has ended: nobody has it any more


def test_a_canceled_run_ends_at_its_next_step_and_the_worker_goes_on(house: House) -> None:
    worker = house.worker("batch")
    run_id = house.launch("slow")
    until(lambda: house.lines("slow"))
    assert house.instance.run_launcher.check_run_worker_health(house.run(run_id)).status.value == "RUNNING"
    assert house.instance.run_launcher.terminate(run_id)
    assert house.ended(run_id, 5).status is dg.DagsterRunStatus.CANCELED
    until(lambda: house.worker("batch")["state"] == "idle")
    assert house.worker("batch")["pid"] == worker["pid"]
    assert house.ended(house.launch("quick")).status is dg.DagsterRunStatus.SUCCESS


def test_a_waiting_run_can_be_canceled_and_reactions_go_before_batch(house: House) -> None:
    holding = house.launch("slow")
    until(lambda: house.worker("batch")["run_id"] == holding)
    batch = house.launch("quick", "bolt")
    reaction = house.launch("quick", "acme", **{"liftos/reaction": "tiny/quick", "dagster/priority": "10"})
    never = house.launch("quick", "bolt")
    assert [entry["run_id"] for entry in house.status()["queue"]] == [reaction, batch, never]
    assert not ask({"do": "greet", "instance": "another"})["takes_runs"]
    assert house.instance.run_launcher.terminate(never)
    assert house.ended(never).status is dg.DagsterRunStatus.CANCELED
    house.instance.run_launcher.terminate(holding)
    assert house.ended(reaction).status is dg.DagsterRunStatus.SUCCESS
    assert house.ended(batch).status is dg.DagsterRunStatus.SUCCESS
    order = {run_id: house.instance.get_run_record_by_id(run_id).start_time for run_id in (reaction, batch)}
    assert order[reaction] < order[batch]


def test_a_step_that_takes_too_long_is_interrupted_retried_and_says_so(house: House) -> None:
    run = house.ended(house.launch("late"))
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert len(house.lines("late")) == 2  # the retry policy's second attempt
    failures = [
        entry.dagster_event.step_failure_data.error
        for entry in house.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    ]
    told = " ".join(f"{error.message} {error.cause.message if error.cause else ''}" for error in failures)
    assert "tiny/late took longer than the 0.3 s a step may take" in told


def test_a_worker_that_dies_fails_its_run_at_once_and_is_replaced(house: House) -> None:
    before = house.worker("batch")["pid"]
    run = house.ended(house.launch("crash"), 10)
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert "ended with code 7" in house.said(run.run_id)
    until(lambda: house.worker("batch")["pid"] != before, 40)
    assert house.ended(house.launch("quick")).status is dg.DagsterRunStatus.SUCCESS


def test_a_run_that_heeds_no_interrupt_is_ended_after_the_grace_period(house: House) -> None:
    run_id = house.launch("stubborn")
    until(lambda: house.lines("stubborn"))
    assert house.instance.run_launcher.terminate(run_id)
    run = house.ended(run_id, 10)
    assert run.status is dg.DagsterRunStatus.CANCELED
    assert "did not heed the interrupt" in house.said(run_id)
    until(lambda: house.worker("batch")["state"] == "idle", 40)


def test_a_worker_is_replaced_after_its_number_of_runs_without_losing_one(house: House) -> None:
    first = house.worker("batch")["pid"]
    left = 5 - house.worker("batch")["runs"]
    runs = [house.ended(house.launch("quick")) for _ in range(left)]
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    until(lambda: house.worker("batch")["pid"] != first, 40)
    assert house.ended(house.launch("quick")).status is dg.DagsterRunStatus.SUCCESS


def test_changed_code_replaces_the_workers(house: House) -> None:
    until(lambda: len(house.ready()) == 2)
    before = {worker["pid"] for worker in house.ready()}
    (house.home / "watched" / "new.py").write_text("one = 1\n", encoding="utf-8")
    until(lambda: len(house.ready()) == 2 and not before & {worker["pid"] for worker in house.ready()}, 60)


def test_a_killed_reactor_leaves_no_run_under_way_and_no_worker(house: House) -> None:
    running = house.launch("slow")
    until(lambda: house.run(running).status is dg.DagsterRunStatus.STARTED)
    waiting = house.launch("quick", "bolt")
    workers = [worker["pid"] for worker in house.ready()]
    house.kill()
    assert house.instance.run_launcher.check_run_worker_health(house.run(running)).status.value == "FAILED"
    house.start()
    assert house.ended(running).status is dg.DagsterRunStatus.FAILURE
    assert house.ended(waiting).status is dg.DagsterRunStatus.SUCCESS
    for pid in workers:
        until(lambda pid=pid: not _lives(pid))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_orderly_stop_interrupts_what_runs_and_removes_the_socket(house: House) -> None:
    running = house.launch("slow")
    until(lambda: house.run(running).status is dg.DagsterRunStatus.STARTED)
    assert house.stop() == 0
    assert house.run(running).is_finished
    assert not (house.home / "dagster" / "reactor.sock").exists()


def test_a_stop_amid_a_change_of_workers_ends_the_new_ones_too(house: House) -> None:
    house.start()
    until(lambda: len(house.ready()) == 2, 60)
    (house.home / "watched").mkdir(exist_ok=True)
    (house.home / "watched" / "changed.py").write_text(f"# {time.time()}\n")
    until(lambda: len(house.status()["workers"]) > 2, 30)
    pids = [worker["pid"] for worker in house.status()["workers"]]
    assert house.stop() == 0
    until(lambda: not any(_lives(pid) for pid in pids), 5)
