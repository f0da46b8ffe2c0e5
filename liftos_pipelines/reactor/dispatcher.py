"""Takes events to their last reaction inside a warm worker, without waiting for a daemon's loop.

Each reaction becomes a run on the same Dagster instance. Sensors ask the same `due` and take the same leases, so with
both at work each effect happens once, and with this one gone the sensors do the same work, only later.
"""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import serialize_value
from sqlalchemy import select

from liftos_pipelines.assets.common import FITTED_WEEKLY
from liftos_pipelines.clients import list_clients
from liftos_pipelines.reactor.jobs import HeldJob
from liftos_pipelines.reactor.launcher import launch_message
from liftos_pipelines.reactor.protocol import REACTOR_TAG, Message
from liftos_pipelines.reactor.runs import QUIET, create_run
from liftos_pipelines.reactor.workers import is_worker
from liftos_pipelines.sensors.reactions import Reaction
from liftos_pipelines.spine.database import Event, Spine
from liftos_pipelines.spine.metrics import counter, histogram
from liftos_pipelines.spine.schema import EventRow
from liftos_pipelines.spine.tracing import run_tags, span

LEASE_SECONDS = 600.0
"""Longer than a reaction takes; one whose worker died is taken over at once, see `_claim`."""
BATCH_LEASE_SECONDS = 4 * 3600.0
LOOK_AGAIN_SECONDS = 2.0
"""How often everything is looked at though no event came: waiting attempts, leases, clients that were registered."""
AT_ONCE = 500
PRIORITY = "10"
FIRST = ("causal/impact", "agentic/proposals", "memory/items")
"""What takes an event to a stored pattern, before what only follows along the way, such as a prediction to watch."""
HOST = socket.gethostname()
log = logging.getLogger("liftos.reactor")


@dataclass(frozen=True, kw_only=True)
class _Handed:
    """A reaction that a batch worker executes because it takes minutes."""

    run_id: str
    client: str
    event_ids: tuple[str, ...]


class Dispatcher:
    """One worker's view of what is due.

    Parameters
    ----------
    execute : runs a created run to its end in this process
    say : tells the supervisor
    batch : whether there are batch workers for reactions that take minutes
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        job: HeldJob,
        spine: Spine,
        reactions: Sequence[Reaction],
        *,
        boot: str,
        execute: Callable[[dg.DagsterRun], None],
        say: Callable[[Message], None],
        batch: bool,
    ) -> None:
        self.instance, self.job, self.spine = instance, job, spine
        self.reactions = sorted(
            reactions, key=lambda each: FIRST.index(each.name) if each.name in FIRST else len(FIRST)
        )
        self.boot, self.execute, self.say, self.batch = boot, execute, say, batch
        self.owner = f"reactor@{HOST}:{os.getpid()}"
        self.seen = -1
        self.looked = self.beaten = 0.0
        self.answered: dict[tuple[str, str], str] = {}
        self.handed: dict[str, list[_Handed]] = {}

    def turn(self, go_on: Callable[[], bool] = lambda: True) -> int:
        """Answer everything that is due, and what follows from it. Returns the number of runs."""
        newest = self.spine.newest_seq()
        everything = time.monotonic() - self.looked >= LOOK_AGAIN_SECONDS
        if newest == self.seen and not everything:
            return 0
        self.looked, runs = time.monotonic(), 0
        self._beat()
        owed = {reaction.name for reaction in self.reactions} if everything else set()
        while go_on():
            newest = self.spine.newest_seq()
            if newest != self.seen:
                owed |= self._asked_for_since(self.seen)
                self.seen = newest
            # From the first again after each run: what stands first never waits for what merely follows it.
            reaction = next((each for each in self.reactions if each.name in owed), None)
            if reaction is None:
                break
            ran = self._answer(reaction)
            runs += ran
            if not ran:
                owed.discard(reaction.name)
        return runs

    def _asked_for_since(self, seq: int) -> set[str]:
        """Reactions to events that came after a place in the log: only they need to be asked what is due."""
        with self.spine.reading() as connection:
            kinds = set(connection.scalars(select(EventRow.type).where(EventRow.seq > seq).distinct()))
        return {reaction.name for reaction in self.reactions if kinds.intersection(reaction.event_types)}

    def _beat(self) -> None:
        """Tell the sensors now and then that fresh events are taken care of."""
        if time.monotonic() - self.beaten > LOOK_AGAIN_SECONDS:
            self.beaten = time.monotonic()
            self.spine.beat(self.owner, datetime.now(UTC))

    # --- one reaction ------------------------------------------------------------------------------------
    def _answer(self, reaction: Reaction) -> int:
        now = datetime.now(UTC)
        self._collect(reaction, now)
        due = self.spine.due(reaction.name, reaction.event_types, now=now, limit=AT_ONCE)
        foreign = [event.event_id for event in due if not reaction.answers(event.payload)]
        if foreign:
            self.spine.dismiss(foreign, reaction.name)
        pending = [event for event in due if reaction.answers(event.payload)]
        pending = self._not_answered_in_vain(reaction, pending, now)
        ran = 0
        for client, events in _by_client(pending).items():
            if self._is_known(client, reaction, events, now):
                ran += self._run(reaction, client, events)
        return ran

    def _not_answered_in_vain(self, reaction: Reaction, events: list[Event], now: datetime) -> list[Event]:
        """A run that succeeded and left its event open would be repeated for ever: it counts as a failure."""
        fresh = []
        for event in events:
            run_id = self.answered.pop((reaction.name, event.event_id), None)
            if run_id is None:
                fresh.append(event)
            else:
                reason = f"run {run_id} succeeded, but no asset noted the event as handled by {reaction.name}"
                self.spine.note_failure([event.event_id], reaction.name, reason, now=now, run_id=run_id)
        return fresh

    def _is_known(self, client: str, reaction: Reaction, events: list[Event], now: datetime) -> bool:
        if self.instance.has_dynamic_partition("clients", client):
            return True
        if client in list_clients():
            return False  # its folder is there, so it is registered in a moment
        reason = f'client "{client}" is gone: it has no folder with a client.yaml'
        self.spine.note_failure([event.event_id for event in events], reaction.name, reason, now=now)
        return False

    def _claim(self, reaction: str, client: str, seconds: float) -> bool:
        now = datetime.now(UTC)
        if self.spine.claim(reaction, client, self.owner, now, seconds):
            return True
        holder = self.spine.holder(reaction, client, now) or ""
        name, _, pid = holder.rpartition(":")
        # A worker that was killed cannot let go; nobody needs to wait for its lease to run out.
        if name == f"reactor@{HOST}" and pid.isdigit() and not is_worker(int(pid)):
            self.spine.release(reaction, client, holder)
            return self.spine.claim(reaction, client, self.owner, datetime.now(UTC), seconds)
        return False

    def _run(self, reaction: Reaction, client: str, events: list[Event]) -> int:
        slow = bool(FITTED_WEEKLY.intersection(reaction.assets))
        if slow and (not self.batch or any(each.client == client for each in self.handed.get(reaction.name, ()))):
            return 0
        if not self._claim(reaction.name, client, BATCH_LEASE_SECONDS if slow else LEASE_SECONDS):
            return 0
        # Somebody may have answered between the look and the lease.
        still_open = self.spine.open_among([event.event_id for event in events], reaction.name)
        events = [event for event in events if event.event_id in still_open]
        if not events:
            self.spine.release(reaction.name, client, self.owner)
            return 0
        self._beat()
        if slow:
            self._hand_over(reaction, client, events)
            return 0
        run_id, began = str(uuid.uuid4()), time.monotonic()
        self.say({"say": "began", "run_id": run_id, "client": client, "reaction": reaction.name})
        try:
            with span(
                f"reaction {reaction.name}",
                correlation_id=events[-1].correlation_id,
                attributes={"liftos.client": client, "liftos.events": len(events), "liftos.run_id": run_id},
            ):
                run = self._create(reaction, client, events, run_id)
                self.execute(run)
            self._settle(reaction, run_id, [event.event_id for event in events])
        except dg.DagsterExecutionInterruptedError:
            self._settle(reaction, run_id, [event.event_id for event in events])
        except Exception as error:
            log.exception("reaction %s of %s", reaction.name, client)
            self.spine.note_failure(
                [event.event_id for event in events],
                reaction.name,
                f"{type(error).__name__}: {error}"[:2000],
                now=datetime.now(UTC),
                run_id=run_id,
            )
        finally:
            self.spine.release(reaction.name, client, self.owner)
            self.say({"say": "ended", "run_id": run_id})
        now = datetime.now(UTC)
        counter("liftos.runs").add(1, {"reaction": reaction.name})
        for event in events:
            waited = (now - event.recorded_at).total_seconds()
            histogram("liftos.reaction.duration").record(waited, {"reaction": reaction.name})
        self.say(
            {
                "say": "reacted",
                "reaction": reaction.name,
                "client": client,
                "events": len(events),
                "run_id": run_id,
                "run_seconds": round(time.monotonic() - began, 4),
                "waited_seconds": round((now - events[0].recorded_at).total_seconds(), 4),
            }
        )
        return 1

    def _create(self, reaction: Reaction, client: str, events: Sequence[Event], run_id: str) -> dg.DagsterRun:
        newest = events[-1]
        return create_run(
            self.instance,
            self.job,
            [dg.AssetKey(name.split("/")) for name in reaction.assets],
            run_id=run_id,
            partition=client,
            run_config=QUIET,
            tags={
                "liftos/reaction": reaction.name,
                "liftos/event": newest.event_id,
                "liftos/trigger": "event",
                "dagster/priority": PRIORITY,
                # What the sensor looks for before it asks for a run of its own.
                "dagster/run_key": newest.event_id,
                "dagster/sensor_name": reaction.sensor_name,
                REACTOR_TAG: self.boot,
                **run_tags(newest.correlation_id),
            },
        )

    def _settle(self, reaction: Reaction, run_id: str, event_ids: Iterable[str]) -> None:
        """Note what became of a run: a failure is counted, a success must have handled its events."""
        run = self.instance.get_run_by_id(run_id)
        if run is not None and run.status is dg.DagsterRunStatus.SUCCESS:
            self.answered |= {(reaction.name, event_id): run_id for event_id in event_ids}
            return
        status = "is gone" if run is None else f"ended as {run.status.value}"
        reason = f"run {run_id} {status}: {_first_failure(self.instance, run_id)}"
        self.spine.note_failure(event_ids, reaction.name, reason, now=datetime.now(UTC), run_id=run_id)

    # --- reactions that take minutes -----------------------------------------------------------------------
    def _hand_over(self, reaction: Reaction, client: str, events: Sequence[Event]) -> None:
        run = self._create(reaction, client, events, str(uuid.uuid4()))
        assert run.job_code_origin is not None
        arguments = ExecuteRunArgs(
            job_origin=run.job_code_origin, run_id=run.run_id, instance_ref=self.instance.get_ref()
        )
        self.say({"say": "enqueue", "run": launch_message(run, serialize_value(arguments))})
        handed = _Handed(run_id=run.run_id, client=client, event_ids=tuple(event.event_id for event in events))
        self.handed.setdefault(reaction.name, []).append(handed)

    def _collect(self, reaction: Reaction, now: datetime) -> None:
        for handed in list(self.handed.get(reaction.name, ())):
            run = self.instance.get_run_by_id(handed.run_id)
            if run is None or run.is_finished:
                self.handed[reaction.name].remove(handed)
                self._settle(reaction, handed.run_id, handed.event_ids)
                self.spine.release(reaction.name, handed.client, self.owner)
            else:
                self.spine.claim(reaction.name, handed.client, self.owner, now, BATCH_LEASE_SECONDS)


def _by_client(events: Iterable[Event]) -> Mapping[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in events:
        found.setdefault(event.client, []).append(event)
    return found


def _first_failure(instance: dg.DagsterInstance, run_id: str) -> str:
    """In a sentence, why a run did not succeed."""
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED}
    for entry in instance.all_logs(run_id, of_type=kinds):
        event = entry.dagster_event
        if event is None:
            continue
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None and (error.cls_name or "").startswith("Dagster"):
                error = error.cause
            text = str(error.message).strip() if error is not None else event.message or ""
            return f"{(event.step_key or '').replace('__', '/')}: {text}"[:2000]
        return (event.message or event.event_type_value)[:2000]
    return "its log does not say why"
