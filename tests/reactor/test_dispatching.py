"""Events taken to their reactions by a real dispatcher in a real worker, beside sensors that would do the same."""

import time
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from reactor_house import House, until
from tiny_location import REACTION, REACTIONS

from liftos_pipelines.resources.spine import SpineResource, open_spine
from liftos_pipelines.sensors.reaction_runs import reaction_sensor
from liftos_pipelines.spine.database import Event
from liftos_pipelines.spine.payloads import SentimentDropDetected, VisibilityShiftDetected

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def drop(number: int, client: str = "acme") -> Event:
    payload = SentimentDropDetected(
        alert_id=f"a{number}",
        campaign_id="all",
        detected_at=NOW,
        window_start=NOW.date(),
        window_end=(NOW + timedelta(days=6)).date(),
        severity=0.5,
        effect=-0.2,
        n=100,
    )
    return open_spine().raise_event(client, payload, occurred_at=NOW)


def handled(event: Event) -> bool:
    return open_spine().is_handled(event.event_id, REACTION)


def runs_of(house: House, event: Event) -> list[dg.DagsterRun]:
    return list(house.instance.get_runs(dg.RunsFilter(tags={"liftos/event": event.event_id})))


def test_an_event_is_answered_at_once_by_a_run_that_links_to_its_code_location(house: House) -> None:
    event = drop(1)
    until(lambda: handled(event), 10)
    [run] = runs_of(house, event)
    assert house.ended(run.run_id).status is dg.DagsterRunStatus.SUCCESS
    assert run.remote_job_origin is not None
    assert run.remote_job_origin.location_name == "liftos_pipelines"
    assert run.job_code_origin is not None
    assert run.tags["dagster/partition"] == "acme"
    assert run.tags["dagster/run_key"] == event.event_id
    assert run.tags["dagster/sensor_name"] == REACTIONS[0].sensor_name
    assert run.tags["liftos/correlation"] == event.correlation_id
    records = house.instance.fetch_materializations(dg.AssetKey(["tiny", "answer"]), limit=10).records
    assert run.run_id in {record.run_id for record in records}
    said = until(lambda: house.status()["reactions"])
    assert said[-1]["reaction"] == REACTION  # type: ignore[index]


def test_a_burst_is_answered_in_few_runs_each_event_once(house: House) -> None:
    before = len(house.lines("answered"))
    events = [drop(100 + number) for number in range(60)]
    until(lambda: all(handled(event) for event in events), 20)
    answered = house.lines("answered")[before:]
    assert sorted(answered) == sorted(event.event_id for event in events)
    assert sum(len(runs_of(house, event)) for event in events) < 30


def test_a_worker_killed_in_a_reaction_is_replaced_and_the_event_answered_once(house: House) -> None:
    (house.home / "fall").touch()
    event = drop(2)
    until(lambda: handled(event), 40)
    assert house.lines("answered").count(event.event_id) == 1
    ended = [house.ended(run.run_id).status for run in runs_of(house, event)]
    assert sorted(status.value for status in ended) == ["FAILURE", "SUCCESS"]


def test_a_run_that_leaves_its_event_open_counts_as_a_failure_and_is_not_repeated_at_once(house: House) -> None:
    payload = VisibilityShiftDetected(
        engine="aria", kind="mention", brand="Lumen", detected_at=NOW, effect=-0.1, p_value=0.01
    )
    open_spine().raise_event("acme", payload, occurred_at=NOW)
    until(lambda: house.lines("forgetful"))
    waiting = until(lambda: [each for each in open_spine().pending("acme", "tiny/follow") if each.attempts])
    assert "no asset noted the event as handled" in waiting[0].reason  # type: ignore[index]
    time.sleep(1)
    assert len(house.lines("forgetful")) == 1


def test_an_event_of_a_client_that_is_gone_waits_with_the_reason(house: House) -> None:
    drop(3, "ghost")
    waiting = until(lambda: [each for each in open_spine().pending("ghost", REACTION) if each.attempts])
    assert 'client "ghost" is gone' in waiting[0].reason  # type: ignore[index]
    assert house.ready()


def test_with_the_reactor_down_the_sensor_asks_for_the_same_run_and_with_both_it_happens_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = reaction_sensor(REACTIONS[0])

    def asked() -> list[dg.RunRequest]:
        context = dg.build_sensor_context(instance=house.instance, resources={"spine": SpineResource()})
        found = sensor(context)
        return list(found.run_requests or []) if isinstance(found, dg.SensorResult) else []

    house.stop()
    monkeypatch.setattr("liftos_pipelines.sensors.reaction_runs.LEFT_TO_REACTOR", timedelta(0))
    event = drop(4)
    [request] = asked()
    assert request.run_key == event.event_id
    assert not handled(event)
    # The sensor holds the lease for the run that it asked for; the reactor leaves the event to it until it has run out.
    open_spine().release(REACTION, "acme", f"sensor:{event.event_id}")
    house.start()
    until(lambda: handled(event), 20)
    assert asked() == []
    assert house.lines("answered").count(event.event_id) == 1
