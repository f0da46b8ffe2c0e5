"""A warm worker: `python -m liftos_pipelines.reactor.worker FD`, started by the supervisor, executes runs in turn.

The main thread executes (signals reach only it); one thread listens to the supervisor, another loads what is slow.
"""

from __future__ import annotations

import importlib
import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liftos_pipelines import settings

settings.ease_imports()

from liftos_pipelines.reactor.protocol import Lines, Message, encode, set_up_log  # noqa: E402
from liftos_pipelines.reactor.workers import REACTIONS  # noqa: E402
from liftos_pipelines.spine import telemetry  # noqa: E402

if TYPE_CHECKING:
    import dagster as dg

    from liftos_pipelines.reactor.dispatcher import Dispatcher

ORPHAN_GRACE = 8.0
"""Seconds that a worker without a supervisor gives its run before it ends itself."""
QUIET_SECONDS = 0.5
POOL_RECYCLE_SECONDS = 600
log = logging.getLogger("liftos.reactor")


class Worker:
    """The process's life: greeted, loaded, then runs until told to leave."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.inbox: queue.Queue[Message] = queue.Queue()
        self.leaving = threading.Event()
        self.busy_at = time.monotonic()
        self.working = False
        self._saying = threading.Lock()

    def say(self, message: Message) -> None:
        with self._saying, suppress(OSError):
            self.channel.sendall(encode(message))

    def listen(self) -> None:
        """Thread: what the supervisor says; without a supervisor the process ends."""
        reader = Lines()
        while True:
            try:
                received = self.channel.recv(1 << 20)
            except OSError:
                received = b""
            if not received:
                break
            for message in reader.feed(received):
                if message["do"] == "leave":
                    self.leaving.set()
                self.inbox.put(message)
        self.leaving.set()
        self.inbox.put({"do": "leave"})
        if self.working:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(ORPHAN_GRACE)
        os._exit(1)

    def run(self) -> None:
        """Executed by the main thread, with interrupts held back outside of runs."""
        greeting = self.inbox.get()
        settings.set_defaults()
        import dagster as dg
        from dagster._core.instance.ref import InstanceRef
        from dagster._serdes import deserialize_value
        from dagster._utils.interrupts import capture_interrupts, pop_captured_interrupt

        self.name, self.kind, self.boot = greeting["name"], greeting["kind"], greeting["boot"]
        self.options: dict[str, int] = greeting["options"]
        with (
            capture_interrupts(),
            dg.DagsterInstance.from_ref(deserialize_value(greeting["instance"], InstanceRef)) as instance,
        ):
            # PostgreSQL: connections kept open instead of one a call; SQLite's are kept by its own storage.
            instance.optimize_for_webserver(statement_timeout=0, pool_recycle=POOL_RECYCLE_SECONDS, max_overflow=8)
            dispatcher = self._load(greeting["module"], instance)
            self.say({"say": "ready"})
            if greeting["warm"]:
                threading.Thread(target=self._warm, daemon=True, name="warmth").start()
            poll = self.options["poll_milliseconds"] / 1000
            while True:
                message = self._next(poll if dispatcher else None)
                # An interrupt for a run that had just ended must not end the next one.
                pop_captured_interrupt()
                if message is not None and message["do"] == "run":
                    self._execute(instance, message)
                elif self.leaving.is_set():
                    break
                elif dispatcher is not None:
                    self._dispatch(dispatcher)

    def _load(self, module: str, instance: dg.DagsterInstance) -> Dispatcher | None:
        from liftos_pipelines.reactor.jobs import asset_job

        job = asset_job(module, "defs", os.getcwd())
        job.get_definition()
        if self.kind != REACTIONS:
            return None
        from liftos_pipelines.reactor.dispatcher import Dispatcher
        from liftos_pipelines.resources.spine import open_spine
        from liftos_pipelines.sensors.reactions import REACTIONS as REACTION_TABLE

        reactions = getattr(importlib.import_module(module), "REACTIONS", REACTION_TABLE)
        return Dispatcher(
            instance,
            job,
            open_spine(),
            reactions,
            boot=self.boot,
            execute=lambda run: self._execute_here(job, run, instance),
            say=self.say,
            batch=self.options["batch_workers"] > 0,
        )

    def _next(self, poll: float | None) -> Message | None:
        try:
            return self.inbox.get(timeout=poll)
        except queue.Empty:
            return None

    def _dispatch(self, dispatcher: Dispatcher) -> None:
        try:
            dispatcher.turn(go_on=lambda: not self.leaving.is_set())
        except Exception:
            # A locked or absent database passes; the sensors hold the fort meanwhile.
            log.exception("the dispatcher's turn failed; it looks again in a second")
            time.sleep(1)

    def _execute(self, instance: dg.DagsterInstance, message: Message) -> None:
        from dagster._core.errors import DagsterExecutionInterruptedError
        from dagster._grpc.types import ExecuteRunArgs
        from dagster._serdes import deserialize_value

        from liftos_pipelines.reactor.jobs import held_job

        try:
            arguments = deserialize_value(message["arguments"], ExecuteRunArgs)
            run = instance.get_run_by_id(arguments.run_id)
            if run is not None and not run.is_finished:
                self._execute_here(held_job(arguments.job_origin), run, instance)
        except DagsterExecutionInterruptedError:
            log.info("run %s was interrupted", message["run_id"])
        except Exception:
            log.exception("run %s", message["run_id"])  # Dagster has written it to the run's log before
        finally:
            self.say({"say": "ended", "run_id": message["run_id"]})

    def _execute_here(self, job: Any, run: dg.DagsterRun, instance: dg.DagsterInstance) -> None:
        from liftos_pipelines.reactor.executing import execute

        self.working = True
        try:
            execute(job, run, instance, worker=self.name, step_timeout=self.options["step_timeout_seconds"])
        finally:
            self.working = False
            self.busy_at = time.monotonic()

    def _warm(self) -> None:
        from liftos_pipelines.reactor.warmth import warm

        def wait() -> None:
            # Threads take turns: loading beside a run would slow the run down.
            while not self.leaving.is_set() and (self.working or time.monotonic() - self.busy_at < QUIET_SECONDS):
                time.sleep(0.05)

        warm(self.kind, wait)
        self.say({"say": "warm"})


def main() -> None:
    set_up_log()
    worker = Worker(socket.socket(fileno=int(sys.argv[1])))
    threading.Thread(target=worker.listen, daemon=True, name="listener").start()
    sys.path.insert(0, str(Path.cwd()))
    worker.run()
    telemetry.shutdown()
    logging.shutdown()
    # Nothing is left to write, and taking a thousand modules apart takes more than a second.
    os._exit(0)


if __name__ == "__main__":
    main()
