"""Beside a real code server and web UI: canceling by GraphQL, and Dagster's own launcher when the reactor is down."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.workspace.load import load_workspace_process_context_from_yaml_paths
from reactor_house import HERE, ROOT, House, house_in, until
from tiny_location import REACTION

from liftos_pipelines.reactor.origins import code_location, workspace_file
from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.spine.payloads import SentimentDropDetected

pytestmark = pytest.mark.slow
BIN = Path(sys.executable).parent
NOW = datetime(2026, 3, 2, tzinfo=UTC)
TERMINATE = """
mutation Stop($id: String!) { terminateRun(runId: $id) { __typename ... on PythonError { message } } }
"""
LINK = """
query Link($id: ID!) { runOrError(runId: $id) { __typename ... on Run {
  status repositoryOrigin { repositoryLocationName } } } }
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_in(tmp_path_factory.mktemp("house"), "{grace_seconds: 5, queue: 8}") as made:
        location = code_location(serve=True)
        port = str(location.port)
        server = [str(BIN / "dagster"), "api", "grpc", "-m", "tiny_location", "-h", location.host, "-p", port]
        with _process(made.home, "code", [*server, "--location-name", location.location_name]):
            until(lambda: _listens(location.port), 60)
            made.start()
            yield made


@pytest.fixture(scope="module")
def web(house: House) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(BIN / "dagster-webserver"), "-w", str(workspace_file()), "-h", "127.0.0.1", "-p", str(port)]
    with _process(house.home, "web", command):
        url = f"http://127.0.0.1:{port}"
        until(lambda: _listens(port), 90)
        yield url


@contextmanager
def _process(home: Path, name: str, command: list[str]) -> Iterator[None]:
    with (home / f"{name}.log").open("ab") as log:
        path = os.pathsep.join([str(HERE), str(ROOT)])
        child = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": path}, start_new_session=True
        )
    try:
        yield
    finally:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=15)
        child.poll() is None and child.kill()


def _listens(port: int | None) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def asked(web: str, query: str, run_id: str) -> dict:
    body = json.dumps({"query": query, "variables": {"id": run_id}}).encode()
    request = urllib.request.Request(f"{web}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())["data"]


def test_a_run_terminated_in_the_ui_is_canceled_and_its_worker_lives(house: House, web: str) -> None:
    worker = house.worker("batch")["pid"]
    run_id = house.launch("slow")
    until(lambda: house.run(run_id).status is dg.DagsterRunStatus.STARTED, 30)
    assert asked(web, LINK, run_id)["runOrError"]["repositoryOrigin"]["repositoryLocationName"] == "liftos_pipelines"
    assert asked(web, TERMINATE, run_id)["terminateRun"]["__typename"] == "TerminateRunSuccess"
    assert house.ended(run_id, 20).status is dg.DagsterRunStatus.CANCELED
    assert house.worker("batch")["pid"] == worker
    assert house.ended(house.launch("quick"), 20).status is dg.DagsterRunStatus.SUCCESS


def test_a_reaction_terminated_in_the_ui_does_not_lose_its_event(house: House, web: str) -> None:
    worker = house.worker("reactions")["pid"]
    (house.home / "hold").touch()
    payload = SentimentDropDetected(
        alert_id="held",
        campaign_id="all",
        detected_at=NOW,
        window_start=NOW.date(),
        window_end=(NOW + timedelta(days=6)).date(),
        severity=0.5,
        effect=-0.2,
        n=100,
    )
    event = open_spine().raise_event("acme", payload, occurred_at=NOW)

    def held() -> str | None:
        runs = house.instance.get_runs(dg.RunsFilter(tags={"liftos/event": event.event_id}))
        return next((run.run_id for run in runs if run.status is dg.DagsterRunStatus.STARTED), None)

    run_id = str(until(held, 30))
    assert asked(web, TERMINATE, run_id)["terminateRun"]["__typename"] == "TerminateRunSuccess"
    assert house.ended(run_id, 20).status is dg.DagsterRunStatus.CANCELED
    waiting = until(lambda: [each for each in open_spine().pending("acme", REACTION) if each.attempts], 10)
    assert "CANCELED" in str(waiting[0].reason)  # type: ignore[index]
    (house.home / "hold").unlink()
    until(lambda: open_spine().is_handled(event.event_id, REACTION), 60)
    assert house.lines("answered").count(event.event_id) == 1
    assert house.worker("reactions")["pid"] == worker


def test_with_the_reactor_down_dagsters_own_launcher_starts_the_run(house: House) -> None:
    house.stop()
    run = house.create("quick")
    with load_workspace_process_context_from_yaml_paths(house.instance, [str(workspace_file())]) as process:
        house.instance.launch_run(run.run_id, process.create_request_context())
        ended = house.ended(run.run_id, 90)
    assert ended.status is dg.DagsterRunStatus.SUCCESS
    assert "liftos/reactor" not in ended.tags
