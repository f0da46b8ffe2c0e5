"""Each due event gets a run, one at a time, again after a failure, and not for ever; a backlog holds new files back."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from liftos_pipelines.resources.spine import SpineResource, open_spine
from liftos_pipelines.sensors import intake
from liftos_pipelines.sensors.reaction_runs import PendingEvent, plan_runs, quick_answers, reaction_sensor
from liftos_pipelines.sensors.reactions import REACTIONS, Reaction
from liftos_pipelines.spine.database import ATTEMPTS, Event, NewEvent, Spine
from liftos_pipelines.spine.payloads import PAYLOADS, DriftDetected, SentimentDropDetected

NOW = datetime(2025, 6, 1, tzinfo=UTC)
IMPACT = next(each for each in REACTIONS if each.name == "causal/impact")


def pending(*pairs: tuple[str, str]) -> list[PendingEvent]:
    return [PendingEvent(event_id=event, client=client) for event, client in pairs]


def test_events_of_one_client_share_a_run_keyed_by_the_newest() -> None:
    runs = plan_runs(pending(("e1", "acme"), ("e2", "globex"), ("e3", "acme")), ["acme", "globex"], {}, [])
    assert [(run.client, run.run_key, run.event_ids) for run in runs] == [
        ("acme", "e3", ("e1", "e3")),
        ("globex", "e2", ("e2",)),
    ]


def test_a_client_with_a_run_under_way_waits_and_an_unknown_client_too() -> None:
    assert plan_runs(pending(("e1", "acme"), ("e2", "gone")), ["acme"], {}, ["acme"]) == []


def test_a_further_run_of_an_event_gets_a_key_of_its_own() -> None:
    assert plan_runs(pending(("e1", "acme")), ["acme"], {"e1": 1}, [])[0].run_key == "e1:2"


def test_a_burst_is_answered_in_parts() -> None:
    burst = pending(*((f"e{number}", "acme") for number in range(10)))
    (run,) = plan_runs(burst, ["acme"], {}, [], batch=4)
    assert (run.run_key, len(run.event_ids)) == ("e3", 4)


def test_every_reaction_answers_known_events() -> None:
    for reaction in REACTIONS:
        assert set(reaction.event_types) <= set(PAYLOADS), reaction.name


def ask(
    instance: dg.DagsterInstance, reaction: Reaction = IMPACT, *, why: list[str] | None = None
) -> list[dg.RunRequest]:
    """One tick of a reaction's sensor."""
    told = reaction_sensor(reaction)(dg.build_sensor_context(instance=instance, resources={"spine": SpineResource()}))
    if isinstance(told, dg.SkipReason):
        (why if why is not None else []).append(str(told.skip_message))
        return []
    assert isinstance(told, dg.SensorResult)
    return list(told.run_requests or [])


def drop(alert: str) -> SentimentDropDetected:
    return SentimentDropDetected(
        alert_id=alert,
        campaign_id="c",
        detected_at=NOW,
        window_start=date(2025, 5, 1),
        window_end=date(2025, 5, 9),
        severity=0.5,
        effect=-0.3,
        n=200,
    )


def raised(alert: str, client: str = "acme") -> Event:
    return open_spine().raise_event(client, drop(alert), occurred_at=NOW)


def run_of(instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """The run that the daemon makes of a request."""
    tags = {
        **request.tags,
        "dagster/run_key": str(request.run_key),
        "dagster/partition": str(request.partition_key),
    }
    return instance.create_run_for_job(job_def=_nothing, tags=tags, status=status)


@dg.job
def _nothing() -> None:
    pass


def later(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    """Let the sensors' clock stand later than it is."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Later":
            return super().now(UTC) + by  # type: ignore[return-value]

    monkeypatch.setattr("liftos_pipelines.sensors.reaction_runs.datetime", Later)


@pytest.fixture
def acme(home: Path, instance: dg.DagsterInstance) -> dg.DagsterInstance:
    instance.add_dynamic_partitions("clients", ["acme"])
    return instance


def test_a_drift_of_the_model_asks_for_a_refit_and_a_drift_of_other_data_does_not(acme: dg.DagsterInstance) -> None:
    reaction = next(each for each in REACTIONS if each.name == "causal/champion")
    spine = open_spine()

    def drifted(dataset: str) -> Event:
        payload = DriftDetected(
            dataset=dataset, column="c", as_of=NOW.date(), test="t", statistic=1.0, p_value_adjusted=None
        )
        return spine.raise_event("acme", payload, occurred_at=NOW)

    other = drifted("sources/mentions")
    assert ask(acme, reaction) == []
    assert spine.is_handled(other.event_id, reaction.name)  # done with: it holds nobody and is no backlog
    drifted("causal/mmm_posterior")
    assert len(ask(acme, reaction)) == 1


def test_the_sensor_asks_for_one_run_with_the_events_id_and_none_when_handled(acme: dg.DagsterInstance) -> None:
    event = raised("a1")
    (request,) = ask(acme)
    assert (request.run_key, request.partition_key) == (event.event_id, "acme")
    assert request.tags["liftos/event"] == event.event_id
    assert request.tags["liftos/correlation"] == event.correlation_id
    assert ask(acme) == []  # asked for, not yet launched
    run_of(acme, request, dg.DagsterRunStatus.STARTED)
    assert ask(acme) == []  # under way
    open_spine().mark_handled(event.event_id, IMPACT.name)
    assert ask(acme) == []


def test_a_failed_run_is_counted_once_tried_again_later_and_given_up(
    acme: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    event, spine, keys = raised("a1"), open_spine(), []
    for attempt in range(ATTEMPTS):
        later(monkeypatch, timedelta(hours=attempt))
        (request,) = ask(acme)
        keys.append(request.run_key)
        run_of(acme, request, dg.DagsterRunStatus.FAILURE)
        assert ask(acme) == []
        assert ask(acme) == []
    later(monkeypatch, timedelta(hours=ATTEMPTS))
    assert ask(acme) == []
    assert keys == [event.event_id, *(f"{event.event_id}:{number}" for number in range(2, ATTEMPTS + 1))]
    (letter,) = spine.dead_letters("acme")
    assert (letter.event_id, letter.attempts) == (event.event_id, ATTEMPTS)
    assert "ended as FAILURE" in letter.reason
    spine.revive("acme")
    assert [request.run_key for request in ask(acme)] == [f"{event.event_id}:{ATTEMPTS + 1}"]


def test_a_run_that_succeeds_without_an_answer_is_not_repeated_for_ever(acme: dg.DagsterInstance) -> None:
    raised("a1")
    run_of(acme, ask(acme)[0], dg.DagsterRunStatus.SUCCESS)
    assert ask(acme) == []
    (waiting,) = open_spine().pending("acme", IMPACT.name)
    assert waiting.attempts == 1
    assert "succeeded, but no asset noted" in str(waiting.reason)


def test_an_event_replayed_after_its_success_is_run_again(acme: dg.DagsterInstance) -> None:
    event, spine = raised("a1"), open_spine()
    (request,) = ask(acme)
    spine.mark_handled(event.event_id, IMPACT.name)
    run_of(acme, request, dg.DagsterRunStatus.SUCCESS)
    assert ask(acme) == []
    assert spine.replay("acme", reactions={IMPACT.name: IMPACT.event_types}, after_seq=0) == 1
    assert [again.run_key for again in ask(acme)] == [f"{event.event_id}:2"]


def test_a_request_that_was_never_launched_is_made_again_when_its_lease_ran_out(
    acme: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised("a1")
    (request,) = ask(acme)
    later(monkeypatch, timedelta(minutes=5))
    assert [again.run_key for again in ask(acme)] == [request.run_key]


def test_what_the_reactor_has_in_hand_the_sensor_leaves_alone(
    acme: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised("a1")
    spine, now = open_spine(), datetime.now(UTC)
    spine.claim(IMPACT.name, "acme", "reactor@here:1", now, 60)
    assert ask(acme) == []
    spine.release(IMPACT.name, "acme", "reactor@here:1")
    spine.beat("reactor@here:1", now)
    assert ask(acme) == []  # fresh, and the reactor is at work
    later(monkeypatch, timedelta(minutes=2))
    assert len(ask(acme)) == 1  # it fell silent


def test_events_of_a_client_that_is_gone_become_dead_letters_that_say_so(
    acme: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised("a1", client="globex")
    why: list[str] = []
    for attempt in range(ATTEMPTS):
        later(monkeypatch, timedelta(hours=attempt))
        assert ask(acme, why=why) == []
    assert "gone" in why[0]
    (letter,) = open_spine().dead_letters("globex")
    assert "liftos client add globex" in letter.reason


def test_an_event_whose_client_is_about_to_be_registered_just_waits(acme: dg.DagsterInstance, home: Path) -> None:
    (home / "clients" / "globex").mkdir()
    (home / "clients" / "globex" / "client.yaml").write_text("client: globex\n")
    raised("a1", client="globex")
    assert ask(acme) == []
    assert [waiting.attempts for waiting in open_spine().pending("globex")] == [0]


def test_a_burst_comes_in_batches_until_all_are_handled(acme: dg.DagsterInstance) -> None:
    spine = open_spine()
    new = [NewEvent(client="acme", payload=drop(f"a{number}"), occurred_at=NOW) for number in range(450)]
    burst = {event.event_id: event.seq for event in spine.raise_events(new)}
    sizes = []
    while requests := ask(acme):
        (request,) = requests
        reach = burst[request.tags["liftos/event"]]
        open_ones = spine.due(IMPACT.name, IMPACT.event_types, now=datetime.now(UTC))
        part = [event.event_id for event in open_ones if event.seq <= reach]
        sizes.append(spine.dismiss(part, IMPACT.name))
        run_of(acme, request, dg.DagsterRunStatus.SUCCESS)
    assert sizes == [200, 200, 50]
    assert spine.backlog(IMPACT.name) == 0


def test_new_files_wait_while_a_client_has_too_much_unanswered(
    acme: dg.DagsterInstance, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home / "clients" / "acme"
    folder.mkdir()
    (folder / "client.yaml").write_text("client: acme\nsources:\n  notes: {path: notes.jsonl}\n")
    (folder / "notes.jsonl").write_text('{"note_id": "n1", "at": "2025-01-05", "text": "x"}\n')
    monkeypatch.setattr(intake, "BACKLOG_BOUND", 3)

    def tick(cursor: str | None) -> dg.SensorResult:
        resources = {"spine": SpineResource()}
        told = intake.new_files(dg.build_sensor_context(instance=acme, cursor=cursor, resources=resources))
        assert isinstance(told, dg.SensorResult)
        return told

    cursor = tick(None).cursor
    events = [raised(f"a{number}") for number in range(4)]  # raising itself never refuses
    (folder / "notes.jsonl").write_text('{"note_id": "n2", "at": "2025-01-05", "text": "longer"}\n')
    held = tick(cursor)
    assert held.run_requests == []
    assert "notes wait(s) behind" in str(held.skip_reason)
    spine: Spine = open_spine()
    for reaction in REACTIONS:
        spine.dismiss([event.event_id for event in events], reaction.name)
    assert [request.tags["liftos/source"] for request in tick(held.cursor).run_requests or []] == ["notes"]


def test_quick_answers_leave_out_what_fits_a_model_for_minutes() -> None:
    assert quick_answers(["agentic/proposals", "memory/patterns", "causal/champion"]) == [
        "agentic/proposals", "memory/insights", "memory/items", "memory/patterns",
    ]  # fmt: skip
    assert quick_answers([]) == []
