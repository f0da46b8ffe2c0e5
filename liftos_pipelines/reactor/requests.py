"""What the supervisor is asked over its socket, and what it answers: launch, cancel, health, status, restart, stop."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from liftos_pipelines.reactor.protocol import Message
from liftos_pipelines.reactor.workers import BATCH

if TYPE_CHECKING:
    from liftos_pipelines.reactor.server import Reactor


class Requests:
    """Answers for one reactor; called by its loop, so that nothing is decided twice."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor

    def answer(self, message: Message) -> Message:
        """Answer one request; one that is not understood gets a reason, too."""
        kind = str(message.get("do"))
        answering = getattr(self, f"_do_{kind}", None)
        if answering is None:
            return {"ok": False, "reason": f"unknown request {kind!r}"}
        try:
            return answering(message)  # type: ignore[no-any-return]
        except (KeyError, TypeError, ValueError) as error:
            return {"ok": False, "reason": f"request {kind} is not complete: {error!r}"}

    def _do_greet(self, message: Message) -> Message:
        reason = ""
        # One that starts is as soon there as a process of the run's own, unless it could not start before.
        batch = [worker for worker in self.reactor.workers if worker.kind == BATCH and worker.state != "leaving"]
        batch = [worker for worker in batch if worker.state != "starting" or BATCH not in self.reactor.failures]
        if message["instance"] != self.reactor.mark:
            reason = "it serves another Dagster instance"
        elif self.reactor.stopping or self.reactor.restarting:
            reason = "it is stopping or restarting"
        elif not batch:
            reason = "no batch worker is ready"
        elif len(self.reactor.waiting) >= self.reactor.waiting.limit:
            reason = f"{len(self.reactor.waiting)} runs wait already"
        return {"ok": True, "boot": self.reactor.boot, "takes_runs": not reason, "reason": reason}

    def _do_launch(self, message: Message) -> Message:
        run = message["run"]
        if self.reactor.stopping or self.reactor.restarting or not self.reactor.waiting.add(run):
            return {"ok": False, "reason": f"{len(self.reactor.waiting)} runs wait already"}
        return {"ok": True}

    def _do_cancel(self, message: Message) -> Message:
        run_id = str(message["run_id"])
        if self.reactor.waiting.remove(run_id) is not None:
            self.reactor.clerk.canceled(run_id, "Canceled before a worker had begun it.")
            return {"ok": True}
        for worker in self.reactor.workers:
            if worker.run_id == run_id:
                worker.interrupt(self.reactor.options.grace_seconds)
                return {"ok": True}
        return {"ok": False, "reason": "no worker has this run"}

    def _do_health(self, message: Message) -> Message:
        run_id = str(message["run_id"])
        at = [worker.name for worker in self.reactor.workers if worker.run_id == run_id]
        return {"ok": True, "known": bool(at) or run_id in self.reactor.waiting, "worker": at[0] if at else "queue"}

    def _do_status(self, _: Message) -> Message:
        return {
            "ok": True,
            "boot": self.reactor.boot,
            "pid": os.getpid(),
            "since": self.reactor.began,
            "state": "stopping" if self.reactor.stopping else "restarting" if self.reactor.restarting else "ready",
            "queued": len(self.reactor.waiting),
            "queue": [{"run_id": run.run_id, "client": run.client} for run in self.reactor.waiting.runs],
            "workers": [worker.described() for worker in self.reactor.workers],
            "reactions": list(self.reactor.reactions),
            "failing": {slot: times for slot, (times, _) in self.reactor.failures.items() if times},
        }

    def _do_restart(self, _: Message) -> Message:
        self.reactor.restart("asked to")
        return {"ok": True, "workers": len(self.reactor.workers)}

    def _do_stop(self, _: Message) -> Message:
        self.reactor.stop()
        return {"ok": True}
