"""`liftos up`: the reactor, Dagster's web UI and daemon and MLflow's UI as child processes, stopped together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from liftos_pipelines import settings

START_SECONDS = 90
REACTOR = "Reactor"


@dataclass(frozen=True, kw_only=True)
class Service:
    name: str
    command: list[str]
    url: str | None = None
    needed: bool = True
    """Whether the others stop when it ends."""


def services(host: str, port: int, mlflow_port: int) -> list[Service]:
    """What runs: a code server, the web UI and the daemon reading it, the reactor, and MLflow's UI."""
    from liftos_pipelines.reactor.origins import LOCATION, code_location, workspace_file

    bin_folder = Path(sys.executable).parent
    # The same address each time: runs link to it, sensors and schedules keep their state by it.
    location, workspace = code_location(serve=True), workspace_file()
    artifacts = settings.mlflow_artifacts()
    return [
        *gate_service(),
        Service(
            name="Dagster code server",
            command=[
                str(bin_folder / "dagster"),
                "code-server",
                "start",
                "-m",
                "liftos_pipelines.definitions",
                "--location-name",
                LOCATION,
                "-h",
                location.host,
                "-p",
                str(location.port),
            ],
        ),
        Service(name=REACTOR, command=[sys.executable, "-m", "liftos_pipelines.reactor.server"], needed=False),
        Service(
            name="Dagster web UI",
            command=[str(bin_folder / "dagster-webserver"), "-h", host, "-p", str(port), "-w", str(workspace)],
            url=f"http://{host}:{port}",
        ),
        Service(name="Dagster daemon", command=[str(bin_folder / "dagster-daemon"), "run", "-w", str(workspace)]),
        Service(
            name="MLflow UI",
            command=[
                str(bin_folder / "mlflow"),
                "server",
                "--host",
                host,
                "--port",
                str(mlflow_port),
                "--backend-store-uri",
                settings.mlflow_uri(),
                "--default-artifact-root",
                artifacts,
                "--workers",
                "1",
            ],
            url=f"http://{host}:{mlflow_port}",
        ),
    ]


def gate_service() -> list[Service]:
    """The decision service for agents, where `LIFTOS_GATE_PORT` names its port (`LIFTOS_GATE_HOST` its address)."""
    port = os.environ.get("LIFTOS_GATE_PORT")
    if not port:
        return []
    host = os.environ.get("LIFTOS_GATE_HOST", "127.0.0.1")
    command = [sys.executable, "-m", "liftos_pipelines.cli", "gate", "serve", "--host", host, "--port", port]
    return [Service(name="Gate", command=command, url=f"http://{host}:{port}/v1/health", needed=False)]


def run_services(host: str, port: int, mlflow_port: int, console: Console, stop_after: float | None = None) -> int:
    """Start everything, print the addresses, and wait; Ctrl-C or a service that dies stops all.

    Returns the exit code: 0 after an orderly stop, 1 when a service ended by itself.
    """
    for taken in (port, mlflow_port):
        if _is_taken(host, taken):
            console.print(f"port {taken} on {host} is already in use; choose another with --port or --mlflow-port")
            return 2
    logs = settings.home() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    Path(settings.home() / "mlflow").mkdir(parents=True, exist_ok=True)
    # MLflow's job runner would start five idle processes for features that need an LLM.
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **os.environ}
    # Where `liftos trace` and pages written by assets link to.
    environment.setdefault("LIFTOS_DAGSTER_URL", f"http://{host}:{port}")
    children: list[tuple[Service, subprocess.Popen[bytes]]] = []
    signal.signal(signal.SIGTERM, _interrupt)
    began, code = time.monotonic(), 0
    try:
        for service in services(host, port, mlflow_port):
            file = (logs / f"{service.name.lower().replace(' ', '-')}.log").open("wb")
            # A group of its own, so that Ctrl-C reaches this process first and the stop is orderly.
            child = subprocess.Popen(
                service.command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True, env=environment
            )
            children.append((service, child))
        for service, child in children:
            if service.url:
                state = "ready" if _wait(service.url, child) else f"not answering yet, see {logs}"
                console.print(f"{service.name}: {service.url} ({state})", highlight=False)
        reactor = next(child for service, child in children if service.name == REACTOR)
        console.print(f"{REACTOR}: {_reactor_state(reactor)}", highlight=False)
        console.print(f"Sensors and schedules run in the daemon. Logs: {logs}. Stop with Ctrl-C.", highlight=False)
        while stop_after is None or time.monotonic() - began < stop_after:
            dead = [service.name for service, child in children if child.poll() is not None and service.needed]
            gone = [each for each in children if each[1].poll() is not None and not each[0].needed]
            for service, child in gone:
                console.print(
                    f"{service.name} ended with code {child.returncode}; everything goes on without it, only slower. "
                    f"See {logs}.",
                    highlight=False,
                )
                children.remove((service, child))
            if dead:
                console.print(f"{', '.join(dead)} ended; stopping the others. See {logs}.", highlight=False)
                code = 1
                break
            time.sleep(0.5)
    except KeyboardInterrupt:
        console.print("Stopping.")
    finally:
        _stop([child for _, child in children])
        console.print("All services are stopped.")
    return code


def _interrupt(*_: object) -> None:
    """A termination request stops the services as orderly as Ctrl-C does."""
    raise KeyboardInterrupt


def _stop(children: list[subprocess.Popen[bytes]]) -> None:
    for child in reversed(children):
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + 15
    for child in reversed(children):
        try:
            child.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _wait(url: str, child: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    return False


def _reactor_state(child: subprocess.Popen[bytes]) -> str:
    """In words, what the reactor says of itself once its workers are ready."""
    from liftos_pipelines.reactor.protocol import ReactorUnreachable, ask

    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        try:
            workers = ask({"do": "status"})["workers"]
        except ReactorUnreachable:
            workers = []
        ready = [worker for worker in workers if worker["state"] != "starting"]
        if workers and len(ready) == len(workers):
            kinds = [f"{sum(each['kind'] == kind for each in ready)} for {kind}" for kind in ("reactions", "batch")]
            return f"{len(ready)} warm workers ({', '.join(kinds)}); `liftos reactor status` says what they do"
        time.sleep(0.3)
    return "not answering; events are answered by sensors, runs get processes"


def _is_taken(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0
