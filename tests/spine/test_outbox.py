"""What an asset tells is told with its table or not at all, also when it is killed in between."""

import os
import signal
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from liftos_pipelines.assets.common import lift_asset, result
from liftos_pipelines.clients import clients_partitions
from liftos_pipelines.resources import lake as lake_room
from liftos_pipelines.resources.lake import Lake, LakeIOManager
from liftos_pipelines.resources.spine import SpineResource, open_spine
from liftos_pipelines.spine.outbox import Direct, outbox
from liftos_pipelines.spine.payloads import CampaignStarted, SentimentDropDetected, TrustDegraded
from liftos_pipelines.tables import table

NOW = datetime(2025, 6, 1, tzinfo=UTC)
REACTION, TABLE = "causal/impact", "causal/impact"
KILLED_AT = ("before computing", "computed", "stored", "told")


def die_at(point: str) -> None:
    """In a process that was told to, end as by a power cut."""
    if os.environ.get("DIE_AT") == point:
        os.kill(os.getpid(), signal.SIGKILL)


@lift_asset(TABLE)
def answer(context: dg.AssetExecutionContext, spine: SpineResource) -> dg.MaterializeResult[pl.DataFrame]:
    """Answers each drop with a row and an event, as the real reaction does."""
    die_at("before computing")
    told, rows = outbox(context, spine), []
    for event in spine.get().events(context.partition_key, ["sentiment_drop_detected"]):
        rows.append(dict.fromkeys(table(TABLE).columns) | {"event_id": event.event_id, "window_start": NOW.date()})
        payload = TrustDegraded(
            module="m", slo=event.event_id, as_of=NOW.date(), value=None, threshold=1.0, probability_met=0.0
        )
        told.raise_event(event.client, payload, occurred_at=NOW, causation_id=event.event_id)
        told.mark_handled(event.event_id, REACTION)
    assert not any(spine.get().is_handled(str(row["event_id"]), REACTION) for row in rows)
    die_at("computed")
    if os.environ.get("FAIL") == "once" and context.retry_number == 0:
        raise RuntimeError("the first attempt fails when it has staged all it had to say")
    return result(pl.DataFrame(rows, schema=table(TABLE).columns))


def materialise(instance: dg.DagsterInstance, asset: dg.AssetsDefinition = answer) -> bool:
    instance.add_dynamic_partitions("clients", ["acme"])
    resources = {"lake_io": LakeIOManager(), "spine": SpineResource()}
    return dg.materialize(
        [asset], partition_key="acme", instance=instance, resources=resources, raise_on_error=False
    ).success


def raised(alerts: int = 3) -> list[str]:
    def drop(alert: str) -> SentimentDropDetected:
        return SentimentDropDetected(
            alert_id=alert, campaign_id="c", detected_at=NOW, window_start=date(2025, 5, 1),
            window_end=date(2025, 5, 9), severity=0.5, effect=-0.3, n=200,
        )  # fmt: skip

    return [open_spine().raise_event("acme", drop(str(n)), occurred_at=NOW).event_id for n in range(alerts)]


def state(home: Path) -> tuple[list[str], list[str], list[str]]:
    """Rows of the table, causes of the events told, events handled."""
    spine = open_spine()
    rows = Lake(str(home / "lake")).read("acme", TABLE)["event_id"].to_list()
    told = [str(event.causation_id) for event in spine.events("acme", ["trust_degraded"])]
    handled = [event.event_id for event in spine.events("acme") if spine.is_handled(event.event_id, REACTION)]
    return rows, told, handled


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[str]]]:
    """A home for each point at which a run of the asset was killed there, with the events it was to answer."""
    homes = {}
    with pytest.MonkeyPatch.context() as patch:
        for point in KILLED_AT:
            home = tmp_path_factory.mktemp("killed")
            patch.setenv("LIFTOS_HOME", str(home))
            homes[point] = (home, raised())
    command = [sys.executable, __file__, *(f"{point}={home}" for point, (home, _) in homes.items())]
    subprocess.run(command, env=os.environ | {"DAGSTER_HOME": ""}, check=True, timeout=120)
    return homes


@pytest.mark.parametrize("point", KILLED_AT)
def test_killed_at_any_step_the_next_run_ends_the_same_and_tells_once(
    killed: dict[str, tuple[Path, list[str]]], instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    home, triggers = killed[point]
    monkeypatch.setenv("LIFTOS_HOME", str(home))
    rows, told, handled = state(home)
    assert told == handled == (triggers if point == "told" else [])  # together or not at all, and after the table
    assert rows == (triggers if point in ("stored", "told") else [])
    spine = open_spine()
    due = spine.due(REACTION, ["sentiment_drop_detected"], now=datetime.now(UTC))
    assert [event.event_id for event in due] == ([] if point == "told" else triggers)
    if due:
        assert materialise(instance)
    assert state(home) == (triggers, triggers, triggers)


def test_a_failed_attempt_leaves_nothing_and_its_repetition_tells_once(
    home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    triggers = raised()
    monkeypatch.setenv("FAIL", "once")
    assert not materialise(instance)
    assert state(home) == ([], [], [])
    again = answer.with_attributes()

    @lift_asset(TABLE, retry_policy=dg.RetryPolicy(max_retries=1))
    def answered_again(context: dg.AssetExecutionContext, spine: SpineResource) -> dg.MaterializeResult[pl.DataFrame]:
        return again.op.compute_fn.decorated_fn(context, spine)  # type: ignore[no-any-return, union-attr]

    assert materialise(instance, answered_again)
    assert state(home) == (triggers, triggers, triggers)


def test_a_table_that_cannot_be_stored_tells_nothing(
    home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised()
    monkeypatch.setenv("LIFTOS_LAKE_URI", "/proc/no/place")
    assert not materialise(instance)
    assert state(home)[1:] == ([], [])


def test_an_event_that_came_after_the_inputs_were_read_stays_unanswered(
    home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = "sources/campaigns"
    Lake(str(home / "lake")).write("acme", upstream, table(upstream).empty())
    triggers = raised(2)

    class Slow(LakeIOManager):
        """Between reading an input and computing, another process raises an event."""

        def load_input(self, context: dg.InputContext) -> pl.DataFrame:
            found = super().load_input(context)
            assert raised(3)[:2] == triggers
            return found

    @lift_asset(TABLE, ins={"campaigns": dg.AssetIn(key=upstream.split("/"))})
    def reads(
        context: dg.AssetExecutionContext, campaigns: pl.DataFrame, spine: SpineResource
    ) -> dg.MaterializeResult[pl.DataFrame]:
        for event in spine.get().events(context.partition_key, ["sentiment_drop_detected"]):
            outbox(context, spine).mark_handled(event.event_id, REACTION)
        return result(table(TABLE).empty())

    instance.add_dynamic_partitions("clients", ["acme"])
    resources = {"lake_io": Slow(), "spine": SpineResource()}
    source = dg.AssetSpec(upstream.split("/"), partitions_def=clients_partitions).with_io_manager_key("lake_io")
    done = dg.materialize([source, reads], partition_key="acme", instance=instance, resources=resources)
    assert done.success
    assert state(home)[2] == triggers


def test_outside_of_a_run_everything_is_told_at_once(home: Path) -> None:
    told = outbox(dg.build_asset_context(), SpineResource())
    assert isinstance(told, Direct)
    payload = CampaignStarted(campaign_id="c", name="n", start=NOW.date())
    event_id = told.raise_event("acme", payload, occurred_at=NOW)
    told.mark_handled(event_id, REACTION)
    (event,) = open_spine().events("acme")
    assert event.event_id == event_id
    assert open_spine().is_handled(event_id, REACTION)


if __name__ == "__main__":
    commit = lake_room.commit_staged

    def commit_or_die(context: object) -> int:
        die_at("stored")
        said = commit(context)
        die_at("told")
        return said

    lake_room.commit_staged = commit_or_die
    for argument in sys.argv[1:]:
        point, _, home = argument.partition("=")
        child = os.fork()  # before anything has begun a thread: what is imported serves all of them
        if child == 0:
            os.environ |= {"LIFTOS_HOME": home, "DIE_AT": point}
            with dg.DagsterInstance.ephemeral() as ephemeral:
                materialise(ephemeral)
            os._exit(1)
        _, ended = os.waitpid(child, 0)
        if not (os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGKILL):
            sys.exit(f"it was not killed at {point!r}")
