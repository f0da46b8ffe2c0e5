"""A real reactor on a home of its own, with real worker processes, for a location of small assets."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from liftos_pipelines.reactor.protocol import ReactorUnreachable, ask

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DAGSTER_YAML = """
storage:
  custom:
    module: liftos_pipelines.instance_storage
    class: KeptSqliteStorage
    config: {base_dir: {env: LIFTOS_DAGSTER_STORAGE}}
local_artifact_storage:
  module: dagster._core.storage.root
  class: LocalArtifactStorage
  config: {base_dir: {env: LIFTOS_DAGSTER_STORAGE}}
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
run_launcher:
  module: liftos_pipelines.reactor.launcher
  class: WarmRunLauncher
  config: LAUNCHER
run_monitoring: {enabled: true}
telemetry: {enabled: false}
"""


SMALL = "{grace_seconds: 1, worker_runs: 5, queue: 3}"


def until(seen: Callable[[], object], seconds: float = 20.0) -> object:
    """Wait for something to become true, and hand it back."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            found = seen()
        except ReactorUnreachable:
            found = None
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not seen within {seconds:g} s; {status_or_none()}")


def status_or_none() -> object:
    try:
        return ask({"do": "status"})
    except ReactorUnreachable as error:
        return str(error)


class House:
    """A home, its Dagster instance, and the reactor that serves it."""

    def __init__(self, home: Path, instance: dg.DagsterInstance) -> None:
        self.home, self.instance = home, instance
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = (self.home / "reactor.log").open("ab")
        watched = self.home / "watched"
        watched.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "liftos_pipelines.reactor.server", "--cold"),
                *("--module", "tiny_location", "--watch", str(watched)),
            ],
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT)])},
        )
        until(lambda: len(self.ready()) == 2, 60)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=20)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def status(self) -> dict:
        return ask({"do": "status"})

    def ready(self) -> list[dict]:
        return [worker for worker in self.status()["workers"] if worker["state"] in ("idle", "busy")]

    def worker(self, kind: str) -> dict:
        """The worker of a kind, when there is one again."""

        def there() -> dict | None:
            return next((worker for worker in self.ready() if worker["kind"] == kind), None)

        found = until(there, 60)
        assert isinstance(found, dict)
        return found

    def create(
        self, asset: str, client: str = "acme", config: dict[str, object] | None = None, **tags: str
    ) -> dg.DagsterRun:
        from liftos_pipelines.reactor.jobs import asset_job
        from liftos_pipelines.reactor.runs import create_run

        return create_run(
            self.instance,
            asset_job("tiny_location", "defs", str(HERE)),
            [dg.AssetKey(["tiny", name]) for name in asset.split("+")],
            run_id=str(uuid.uuid4()),
            partition=client,
            run_config=config,
            tags=tags,
        )

    def launch(self, asset: str, client: str = "acme", config: dict[str, object] | None = None, **tags: str) -> str:
        run = self.create(asset, client, config, **tags)
        self.instance.launch_run(run.run_id, None)  # type: ignore[arg-type]
        return run.run_id

    def run(self, run_id: str) -> dg.DagsterRun:
        found = self.instance.get_run_by_id(run_id)
        assert found is not None
        return found

    def ended(self, run_id: str, seconds: float = 20.0) -> dg.DagsterRun:
        until(lambda: self.run(run_id).is_finished, seconds)
        return self.run(run_id)

    def lines(self, name: str) -> list[str]:
        file = self.home / name
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    def said(self, run_id: str) -> str:
        return "\n".join(entry.message or "" for entry in self.instance.all_logs(run_id))


@contextmanager
def house_in(home: Path, launcher: str = SMALL) -> Iterator[House]:
    changed = {
        "LIFTOS_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster_home"),
        "LIFTOS_DAGSTER_STORAGE": str(home / "dagster"),
    }
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    sys.path.insert(0, str(HERE))
    (home / "dagster_home").mkdir()
    (home / "dagster").mkdir()
    (home / "clients" / "acme").mkdir(parents=True)
    (home / "dagster_home" / "dagster.yaml").write_text(DAGSTER_YAML.replace("LAUNCHER", launcher), encoding="utf-8")
    house = None
    try:
        with dg.DagsterInstance.get() as instance:
            instance.add_dynamic_partitions("clients", ["acme", "bolt"])
            house = House(home, instance)
            yield house
    finally:
        if house is not None and house.process is not None and house.process.poll() is None:
            house.stop()
        sys.path.remove(str(HERE))
        for name, old in before.items():
            if old is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = old
