"""What runs beside what, in which order, and for how long: by tags, by config, by client."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from reactor_house import House, house_in, until
from tiny_location import REACTION

from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.spine.payloads import SentimentDropDetected

NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Workers whose memory is over its bound from the first run on."""
    with house_in(tmp_path_factory.mktemp("house"), "{grace_seconds: 1, queue: 8, worker_memory_mb: 1}") as made:
        made.start()
        yield made


def test_a_worker_over_its_memory_is_replaced_after_its_run_and_not_before(house: House) -> None:
    first = house.worker("batch")["pid"]
    until(lambda: house.worker("batch")["seconds"] > 2.5)  # looked at twice: it has not run, so it stays
    assert house.worker("batch")["pid"] == first
    assert house.ended(house.launch("quick")).status is dg.DagsterRunStatus.SUCCESS
    until(lambda: house.worker("batch")["pid"] != first, 60)
    assert house.ended(house.launch("quick"), 60).status is dg.DagsterRunStatus.SUCCESS


def test_an_event_is_answered_beside_its_clients_batch_run_and_a_second_batch_run_waits(house: House) -> None:
    running = house.launch("slow")
    until(lambda: house.run(running).status is dg.DagsterRunStatus.STARTED, 60)
    waiting = house.launch("quick")
    payload = SentimentDropDetected(
        alert_id="beside",
        campaign_id="all",
        detected_at=NOW,
        window_start=NOW.date(),
        window_end=(NOW + timedelta(days=6)).date(),
        severity=0.5,
        effect=-0.2,
        n=100,
    )
    event = open_spine().raise_event("acme", payload, occurred_at=NOW)
    until(lambda: open_spine().is_handled(event.event_id, REACTION), 60)
    assert house.run(running).status is dg.DagsterRunStatus.STARTED
    assert [entry["run_id"] for entry in house.status()["queue"]] == [waiting]
    house.instance.run_launcher.terminate(running)
    assert house.ended(waiting, 60).status is dg.DagsterRunStatus.SUCCESS


def test_waiting_runs_are_taken_by_priority(house: House) -> None:
    running = house.launch("slow", "bolt")
    until(lambda: house.run(running).status is dg.DagsterRunStatus.STARTED, 60)
    low = house.launch("quick", "acme", **{"dagster/priority": "-1"})
    plain = house.launch("quick", "acme")
    high = house.launch("quick", "acme", **{"dagster/priority": "5"})
    assert [entry["run_id"] for entry in house.status()["queue"]] == [high, plain, low]
    house.instance.run_launcher.terminate(running)
    for run_id in (high, plain, low):
        house.ended(run_id, 60)
    began = [house.instance.get_run_record_by_id(run_id).start_time for run_id in (high, plain, low)]
    assert began == sorted(began)


def test_a_runs_tag_limits_each_of_its_steps(house: House) -> None:
    run = house.ended(house.launch("patient", **{"liftos/step_timeout_seconds": "0.3"}), 60)
    assert run.status is dg.DagsterRunStatus.FAILURE
    [failure] = house.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    error = failure.dagster_event.step_failure_data.error
    assert "tiny/patient took longer than the 0.3 s" in f"{error.message} {error.cause.message if error.cause else ''}"


@pytest.mark.slow
def test_a_runs_config_gives_each_step_a_process(house: House) -> None:
    config: dict[str, object] = {"execution": {"config": {"multiprocess": {"max_concurrent": 2}}}}
    worker = house.worker("batch")["pid"]
    run = house.ended(house.launch("quick+second", "bolt", config), 120)
    assert run.status is dg.DagsterRunStatus.SUCCESS
    processes = {int(house.lines(name)[-1].split()[1]) for name in ("quick", "second")}
    assert len(processes) == 2
    assert worker not in processes
