"""A warm worker as its supervisor sees it: a child process and the socket to it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field

from liftos_pipelines.reactor.protocol import Lines, Message, encode

REACTIONS, BATCH = "reactions", "batch"
START_SECONDS = 180.0
log = logging.getLogger("liftos.reactor")


@dataclass(eq=False, kw_only=True)
class Worker:
    """`state` is starting, idle, busy, leaving (ends after its run) or ended."""

    name: str
    kind: str
    process: subprocess.Popen[bytes]
    channel: socket.socket
    code: str
    state: str = "starting"
    warm: bool = False
    run_id: str | None = None
    client: str | None = None
    reaction: str | None = None
    since: float = field(default_factory=time.monotonic)
    runs: int = 0
    killed: str = ""
    kill_at: float | None = None
    replaced_by: Worker | None = None
    lines: Lines = field(default_factory=Lines)

    @classmethod
    def start(cls, name: str, kind: str, code: str, greeting: Message) -> Worker:
        """Start the process; it says `ready` when its code location is loaded."""
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own: who stops the reactor stops the supervisor, which then decides for its workers.
            process = subprocess.Popen(
                [sys.executable, "-m", "liftos_pipelines.reactor.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        ours.setblocking(False)
        worker = cls(name=name, kind=kind, process=process, channel=ours, code=code)
        worker.say({"do": "begin", "name": name, "kind": kind, **greeting})
        return worker

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def free(self) -> bool:
        return self.state == "idle" and self.replaced_by is None

    def say(self, message: Message) -> None:
        with suppress(OSError):  # a worker that is gone is noticed by its process
            self.channel.setblocking(True)
            self.channel.sendall(encode(message))
            self.channel.setblocking(False)

    def hears(self) -> list[Message]:
        """What the worker has said; nothing more once it has closed its end."""
        received = b""
        with suppress(BlockingIOError, OSError):
            received = self.channel.recv(1 << 20)
        if not received:
            return []
        try:
            return self.lines.feed(received)
        except ValueError:
            log.exception("worker %s said what cannot be read", self.name)
            return []

    def begin(self, run_id: str, client: str | None, reaction: str | None) -> None:
        self.state, self.run_id, self.client, self.reaction = "busy", run_id, client, reaction
        self.since = time.monotonic()

    def end(self) -> None:
        """Its run has ended."""
        self.state = "leaving" if self.state == "leaving" else "idle"
        self.run_id = self.client = self.reaction = None
        self.kill_at, self.runs, self.since = None, self.runs + 1, time.monotonic()

    def interrupt(self, grace: float) -> None:
        """Interrupt its run as Ctrl-C would; kill it when it has not ended after `grace` seconds."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGINT)
        if self.kill_at is None:
            self.kill_at = time.monotonic() + grace

    def kill(self, reason: str) -> None:
        self.killed, self.kill_at = reason, None
        with suppress(ProcessLookupError):
            self.process.kill()

    def leave(self) -> None:
        """Have it end when its run has ended."""
        self.state = "leaving"
        self.say({"do": "leave"})

    def ending(self) -> str:
        """In words, how the process ended."""
        code = self.process.wait()
        if self.killed:
            return self.killed
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (out of memory?)" if -code == signal.SIGKILL else ""
            return f"its worker process {self.pid} was ended by {name}{hint}"
        return f"its worker process {self.pid} ended with code {code}, see the reactor's log"

    def memory_mb(self) -> float | None:
        return resident_mb(self.pid)

    def described(self) -> Message:
        memory = self.memory_mb()
        return {
            "name": self.name,
            "kind": self.kind,
            "pid": self.pid,
            "state": self.state,
            "warm": self.warm,
            "run_id": self.run_id,
            "client": self.client,
            "runs": self.runs,
            "memory_mb": memory,
            "seconds": round(time.monotonic() - self.since, 1),
        }


def resident_mb(pid: int) -> float | None:
    """Resident memory of a process, or None where the system does not tell."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def is_worker(pid: int) -> bool:
    """Whether a process is one of a reactor's workers; numbers are given to other processes in time."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"liftos_pipelines.reactor.worker" in file.read()
    except OSError:
        return False
