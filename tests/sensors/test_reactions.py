"""Each unhandled event gets a run, once at a time, again after a failure, and not for ever."""

from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg

from liftos_pipelines.resources.spine import SpineResource, open_spine
from liftos_pipelines.sensors.reaction_runs import ATTEMPTS, PendingEvent, plan_runs, reaction_sensor
from liftos_pipelines.sensors.reactions import REACTIONS
from liftos_pipelines.spine.payloads import PAYLOADS, DriftDetected, SentimentDropDetected

NOW = datetime(2025, 6, 1, tzinfo=UTC)


def pending(*pairs: tuple[str, str]) -> list[PendingEvent]:
    return [PendingEvent(event_id=event, client=client) for event, client in pairs]


def test_events_of_one_client_share_a_run_keyed_by_the_newest() -> None:
    runs = plan_runs(pending(("e1", "acme"), ("e2", "globex"), ("e3", "acme")), ["acme", "globex"], {}, [])
    assert [(run.client, run.run_key, run.event_ids) for run in runs] == [
        ("acme", "e3", ("e1", "e3")),
        ("globex", "e2", ("e2",)),
    ]


def test_a_client_with_a_run_under_way_waits_and_an_unknown_client_too() -> None:
    assert plan_runs(pending(("e1", "acme"), ("e2", "gone")), ["acme"], {}, ["e1"]) == []


def test_a_failed_run_is_tried_again_under_a_new_key_up_to_the_limit() -> None:
    assert plan_runs(pending(("e1", "acme")), ["acme"], {"e1": 1}, [])[0].run_key == "e1:2"
    assert plan_runs(pending(("e1", "acme")), ["acme"], {"e1": ATTEMPTS}, []) == []


def test_every_reaction_answers_known_events() -> None:
    for reaction in REACTIONS:
        assert set(reaction.event_types) <= set(PAYLOADS), reaction.name


def test_a_drift_of_the_model_asks_for_a_refit_and_a_drift_of_other_data_does_not(
    home: Path, instance: dg.DagsterInstance
) -> None:
    reaction = next(each for each in REACTIONS if each.name == "causal/champion")
    sensor, spine = reaction_sensor(reaction), open_spine()
    instance.add_dynamic_partitions("clients", ["acme"])

    def ask(dataset: str) -> int:
        spine.raise_event(
            "acme",
            DriftDetected(
                dataset=dataset, column="c", as_of=NOW.date(), test="t", statistic=1.0, p_value_adjusted=None
            ),
            occurred_at=NOW,
        )
        asked = sensor(dg.build_sensor_context(instance=instance, resources={"spine": SpineResource()}))
        return len(asked.run_requests or []) if isinstance(asked, dg.SensorResult) else 0

    assert ask("sources/mentions") == 0
    assert ask("causal/mmm_posterior") == 1


def test_the_sensor_asks_for_one_run_with_the_events_id_and_none_when_handled(
    home: Path, instance: dg.DagsterInstance
) -> None:
    reaction = REACTIONS[0]
    sensor = reaction_sensor(reaction)
    spine = open_spine()
    instance.add_dynamic_partitions("clients", ["acme"])
    event = spine.raise_event(
        "acme",
        SentimentDropDetected(
            alert_id="a1",
            campaign_id="c",
            detected_at=NOW,
            window_start=date(2025, 5, 1),
            window_end=date(2025, 5, 9),
            severity=0.5,
            effect=-0.3,
            n=200,
        ),
        occurred_at=NOW,
    )

    def tick() -> dg.SensorResult | dg.SkipReason:
        context = dg.build_sensor_context(instance=instance, resources={"spine": SpineResource()})
        return sensor(context)  # type: ignore[return-value]

    result = tick()
    assert isinstance(result, dg.SensorResult)
    assert result.run_requests is not None
    request = result.run_requests[0]
    assert (request.run_key, request.partition_key) == (event.event_id, "acme")
    assert request.tags["liftos/event"] == event.event_id
    spine.mark_handled(event.event_id, reaction.name)
    assert isinstance(tick(), dg.SkipReason)
