"""The reactor: `python -m liftos_pipelines.reactor.server` keeps warm workers and gives them runs.

One loop without threads of its own, so that nothing is decided twice; it never executes a run and never waits for a
database (that is the clerk's work).
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import sys
import time
import uuid
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from liftos_pipelines import settings
from liftos_pipelines.reactor.fingerprint import OWN, PACKAGE, fingerprint
from liftos_pipelines.reactor.options import ReactorSettings
from liftos_pipelines.reactor.protocol import (
    Lines,
    Message,
    ReactorUnreachable,
    ask,
    encode,
    prepare_socket_folder,
    set_up_log,
    socket_path,
)
from liftos_pipelines.reactor.requests import Requests
from liftos_pipelines.reactor.state import end_orphans, note_state, state_file
from liftos_pipelines.reactor.waiting import Waiting
from liftos_pipelines.reactor.workers import BATCH, REACTIONS, START_SECONDS, Worker
from liftos_pipelines.spine import telemetry
from liftos_pipelines.spine.metrics import gauge

if TYPE_CHECKING:
    from liftos_pipelines.reactor.clerk import Clerk

LOOK_SECONDS = 1.0
"""How often code, memory and deadlines are looked at."""
LEAVE_SECONDS = 10.0
"""What a stop gives runs under way; `liftos up` waits 15."""
LONGEST_PAUSE = 60.0
REMEMBERED = 200
log = logging.getLogger("liftos.reactor")


class Reactor:
    """The supervisor of one LiftOS home."""

    def __init__(
        self, options: ReactorSettings, clerk: Clerk, greeting: Message, mark: str, watched: tuple[Path, ...]
    ) -> None:
        self.options, self.clerk, self.mark, self.watched = options, clerk, mark, watched
        self.boot = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.greeting = {**greeting, "boot": self.boot}
        self.waiting = Waiting(options.queue)
        self.workers: list[Worker] = []
        self.reactions: deque[Message] = deque(maxlen=REMEMBERED)
        self.selector = selectors.DefaultSelector()
        self.began = time.time()
        self.code, self.own_code = self._code(), self._own_code()
        self.changing: str | None = None
        self.stopping: float | None = None
        self.restarting = False
        self.numbers: dict[str, int] = {}
        self.failures: dict[str, tuple[int, float]] = {}
        self.looked = 0.0
        self.listener: socket.socket | None = None
        self.requests = Requests(self)

    # --- life --------------------------------------------------------------------------------------------
    def run(self) -> int:
        """Serve until stopped. Returns the exit code."""
        self._listen()
        end_orphans()
        for waiting in self.clerk.left_over(self.boot):
            self.waiting.add(waiting)
        try:
            while not self._finished():
                self._look()
                for key, _ in self.selector.select(timeout=0.2 if self.stopping else LOOK_SECONDS):
                    key.data()
                self._hand_out()
        finally:
            self._close()
        return 0

    def stop(self, *_: Any) -> None:
        """Interrupt what runs, then end; called by the signals of an orderly stop.

        It only says so: a signal may come while a worker is being started, and the loop then knows all of them.
        """
        if self.stopping is None:
            self.stopping = time.monotonic() + LEAVE_SECONDS

    def _finished(self) -> bool:
        return (self.stopping is not None or self.restarting) and not self.workers

    def _close(self) -> None:
        if self.listener is not None:
            self.listener.close()
            with suppress(OSError):
                socket_path().unlink()
        for worker in self.workers:
            worker.kill("the reactor ended")
        self.clerk.close()
        state_file().unlink(missing_ok=True)

    def _listen(self) -> None:
        path = socket_path()
        prepare_socket_folder(path)
        path.unlink(missing_ok=True)  # left behind by a reactor that was killed: `main` has asked whether one lives
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(os.fspath(path))
        path.chmod(0o600)
        self.listener.listen(64)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)

    # --- requests ----------------------------------------------------------------------------------------
    def _accept(self) -> None:
        assert self.listener is not None
        try:
            connection, _ = self.listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        reader, began = Lines(), time.monotonic()

        def read() -> None:
            received = b""
            with suppress(OSError):
                received = connection.recv(1 << 20)
            try:
                messages = reader.feed(received) if received else []
                for message in messages:
                    connection.setblocking(True)
                    connection.settimeout(1.0)
                    connection.sendall(encode(self.requests.answer(message)))
                    connection.setblocking(False)
            except (OSError, ValueError) as error:
                log.warning("a request could not be read or answered: %s", error)
                received = b""
            if not received or time.monotonic() - began > 60:
                self.selector.unregister(connection)
                connection.close()

        self.selector.register(connection, selectors.EVENT_READ, read)

    # --- workers -----------------------------------------------------------------------------------------
    def _wanted(self) -> dict[str, int]:
        return {REACTIONS: self.options.reaction_workers, BATCH: self.options.batch_workers}

    def _start(self, kind: str) -> Worker:
        self.numbers[kind] = self.numbers.get(kind, 0) + 1
        worker = Worker.start(f"{kind}-{self.numbers[kind]}", kind, self.code, self.greeting)
        log.info("worker %s starts as process %d", worker.name, worker.pid)
        self.workers.append(worker)
        self.selector.register(worker.channel, selectors.EVENT_READ, lambda: self._hear(worker))
        self._note_state()
        return worker

    def _hear(self, worker: Worker) -> None:
        messages = worker.hears()
        if not messages and worker.process.poll() is None:
            # An end of file while the process lives: it is on its way out, its exit is seen at the next look.
            with suppress(KeyError, ValueError):
                self.selector.unregister(worker.channel)
        for message in messages:
            said = message.get("say")
            if said == "ready":
                worker.state = "idle" if worker.state == "starting" else worker.state
                self.failures.pop(worker.kind, None)
                log.info("worker %s is ready after %.1f s", worker.name, time.monotonic() - worker.since)
                for old in self.workers:
                    if old.replaced_by is worker:
                        old.leave()
            elif said == "warm":
                worker.warm = True
            elif said == "began":
                worker.begin(str(message["run_id"]), message.get("client"), message.get("reaction"))
            elif said == "ended":
                worker.end()
            elif said == "enqueue":
                if not self.waiting.add(message["run"]):
                    self.clerk.canceled(str(message["run"]["run_id"]), "Too many runs wait in the reactor.")
            elif said == "reacted":
                self.reactions.append({**message, "at": time.time()})

    def _hand_out(self) -> None:
        if self.stopping or self.restarting:
            return
        for worker in self.workers:
            # A worker that answers events executes only what it makes itself.
            if worker.kind != BATCH or not worker.free or not self.waiting:
                continue
            busy = [other.client for other in self.workers if other.run_id and other.client and other.reaction is None]
            run = self.waiting.next(busy=busy, of_a_client=self.options.runs_of_a_client)
            if run is not None:
                worker.begin(run.run_id, run.client, run.reaction)
                worker.say({"do": "run", "run_id": run.run_id, "arguments": run.arguments})

    def _look(self) -> None:
        """Once a second: ended workers, deadlines, memory, changed code, missing workers."""
        self._bury()
        now = time.monotonic()
        if now - self.looked < LOOK_SECONDS and not self.stopping:
            return
        self.looked = now
        for worker in self.workers:
            if worker.kill_at is not None and now > worker.kill_at:
                worker.kill(f"it did not heed the interrupt and its worker process {worker.pid} was killed")
            elif worker.state == "starting" and now - worker.since > START_SECONDS:
                worker.kill(f"worker {worker.name} was not ready after {START_SECONDS:g} s")
        if self.stopping or self.restarting:
            self._send_away(now)
            return
        self._look_at_code()
        if self.restarting:
            return
        for worker in list(self.workers):
            if now < self.failures.get(worker.kind, (0, 0.0))[1]:
                continue
            memory = worker.memory_mb() or 0.0
            # Not before its first run: what a fresh worker holds, its successor would hold, too.
            full = worker.runs > 0 and memory > self.options.worker_memory_mb
            if worker.free and (worker.runs >= self.options.worker_runs or full):
                self._replace(worker, f"it has executed {worker.runs} runs and holds {memory:.0f} MB")
            elif worker.free and worker.code != self.code:
                self._replace(worker, "its code changed")
        for kind, number in self._wanted().items():
            there = [worker for worker in self.workers if worker.kind == kind and worker.state != "leaving"]
            missing = number - sum(worker.replaced_by is None for worker in there)
            pause_until = self.failures.get(kind, (0, 0.0))[1]
            for _ in range(missing if now >= pause_until else 0):
                self._start(kind)

    def _send_away(self, now: float) -> None:
        """Have every worker leave: at once in a stop, when its run has ended before a restart."""
        for worker in self.workers:
            if self.stopping and worker.run_id is not None and worker.kill_at is None:
                worker.interrupt(LEAVE_SECONDS)
            if worker.state != "leaving":
                log.info("%s: worker %s leaves", "stopping" if self.stopping else "restarting", worker.name)
                worker.leave()
            elif self.stopping and now > self.stopping:
                worker.kill(f"worker {worker.name} did not end when the reactor stopped")

    def _replace(self, worker: Worker, reason: str) -> None:
        if any(other.replaced_by is worker for other in self.workers):
            return
        log.info("worker %s is replaced: %s", worker.name, reason)
        worker.replaced_by = self._start(worker.kind)

    def _bury(self) -> None:
        for worker in list(self.workers):
            if worker.process.poll() is None:
                continue
            self._hear(worker)  # what it had said before it ended
            self.workers.remove(worker)
            with suppress(KeyError, ValueError):
                self.selector.unregister(worker.channel)
            worker.channel.close()
            how = worker.ending()
            if worker.run_id is not None:
                log.error("worker %s was lost with run %s: %s", worker.name, worker.run_id, how)
                self.clerk.lost(worker.run_id, how)
            if worker.state == "starting":
                times = self.failures.get(worker.kind, (0, 0.0))[0] + 1
                pause = min(LONGEST_PAUSE, 2.0**times)
                self.failures[worker.kind] = (times, time.monotonic() + pause)
                log.error("worker %s could not start (%s); next attempt in %.0f s", worker.name, how, pause)
            for old in self.workers:
                if old.replaced_by is worker:
                    old.replaced_by = None
            log.info("worker %s has ended", worker.name)
            self._note_state()

    # --- code --------------------------------------------------------------------------------------------
    def _code(self) -> str:
        home = Path(os.environ.get("DAGSTER_HOME", "."))
        return fingerprint((PACKAGE, *self.watched), (home / "dagster.yaml",))

    def _own_code(self) -> str:
        return fingerprint((OWN,))

    def _look_at_code(self) -> None:
        """Follow a change once it has stood still for a look, so that half a checkout is not loaded."""
        now = self._code()
        if now == self.code:
            self.changing = None
        elif now != self.changing:
            self.changing = now
        else:
            self.code, self.changing = now, None
            self.failures.clear()
            if self._own_code() != self.own_code:
                self.restart("the reactor's own code changed")

    def restart(self, reason: str) -> None:
        """Start anew when the runs under way have ended."""
        log.info("restarting when the runs under way have ended: %s", reason)
        self.restarting = True

    def _note_state(self) -> None:
        note_state(self.boot, [worker.pid for worker in self.workers])
        for kind in self._wanted():
            gauge("liftos.workers").set(sum(worker.kind == kind for worker in self.workers), {"kind": kind})


def main(arguments: list[str] | None = None) -> int:
    """Open the instance, take over from an earlier reactor, serve.

    `--module NAME` serves another code location, `--watch FOLDER` follows that folder's code, too, `--cold` leaves
    slow imports to the runs that want them.
    """
    words = sys.argv[1:] if arguments is None else arguments
    module = words[words.index("--module") + 1] if "--module" in words else "liftos_pipelines.definitions"
    watched = tuple(Path(words[place + 1]) for place, word in enumerate(words) if word == "--watch")
    set_up_log()
    settings.set_defaults()
    try:
        there = ask({"do": "status"}, timeout=2)
    except ReactorUnreachable:
        pass
    else:
        log.error("a reactor serves this home already: process %s", there.get("pid"))
        return 2
    import dagster as dg
    from dagster._serdes import serialize_value

    from liftos_pipelines.reactor.clerk import Clerk
    from liftos_pipelines.reactor.launcher import WarmRunLauncher, instance_mark

    with dg.DagsterInstance.get() as instance:
        reference = serialize_value(instance.get_ref())
        launcher = instance.run_launcher
        options = launcher.settings if isinstance(launcher, WarmRunLauncher) else ReactorSettings()
        greeting = {"instance": reference, "module": module, "options": vars(options), "warm": "--cold" not in words}
        reactor = Reactor(options, Clerk(instance), greeting, instance_mark(reference), watched)

        def stop(_: int, __: FrameType | None) -> None:
            reactor.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        code = reactor.run()
        telemetry.shutdown()
    if reactor.restarting and reactor.stopping is None:
        log.info("starting anew")
        os.execv(sys.executable, [sys.executable, "-m", "liftos_pipelines.reactor.server", *words])
    return code


if __name__ == "__main__":
    sys.exit(main())
