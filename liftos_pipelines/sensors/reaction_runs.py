"""Events become runs, by sensors: the safety net under the reactor, and all there is without it.

What to run is a pure function of what is due and who is at it; the sensor is its thin shell. An asset's table, its
events and its handled marks are stored together or asked for again, so an event is answered at least once and its
effect happens once. A lease by client and reaction keeps sensors and reactor from doing the same thing; it names the
run asked for, so that this run is settled once, when it has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from liftos_pipelines.assets.common import FITTED_WEEKLY
from liftos_pipelines.clients import list_clients
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.sensors.reactions import REACTIONS, Reaction
from liftos_pipelines.spine.database import Event, Spine

INTERVAL_SECONDS = 2
BATCH = 200
"""Events of one run: a burst is answered in parts, none of which can take for ever."""
LEASE_SECONDS = 120.0
"""From asking for a run until it is seen; renewed as long as the run is under way."""
LEFT_TO_REACTOR = timedelta(seconds=20)
"""With the reactor at work, sensors take up only what it left lying for so long."""
MOST_COUNTED = 10_000
OWNER = "sensor:"
KEY_TAG, EVENT_TAG, REACTION_TAG = "dagster/run_key", "liftos/event", "liftos/reaction"


@dataclass(frozen=True, kw_only=True)
class PendingEvent:
    """What the decision needs to know of a due event."""

    event_id: str
    client: str


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run of a client: it answers the client's due events at once."""

    run_key: str
    client: str
    event_ids: tuple[str, ...]


def plan_runs(
    pending: Iterable[PendingEvent],
    clients: Iterable[str],
    runs_so_far: Mapping[str, int],
    busy: Iterable[str],
    batch: int = BATCH,
) -> list[PlannedRun]:
    """Which runs to ask for.

    Parameters
    ----------
    pending : due events, in the order of the log
    clients : registered partitions; events of others wait
    runs_so_far : how many runs were keyed by an event already; a further one gets a key of its own
    busy : clients whose run of this reaction is under way
    batch : most events of one run; the others follow in the next
    """
    open_to, by_client = set(clients) - set(busy), dict[str, list[str]]()
    for event in pending:
        if event.client in open_to:
            by_client.setdefault(event.client, []).append(event.event_id)
    runs = []
    for client, event_ids in by_client.items():
        part = tuple(event_ids[:batch])
        before = runs_so_far.get(part[-1], 0)
        run_key = part[-1] if before == 0 else f"{part[-1]}:{before + 1}"
        runs.append(PlannedRun(run_key=run_key, client=client, event_ids=part))
    return runs


def reaction_sensor(reaction: Reaction) -> dg.SensorDefinition:
    """The sensor that turns a reaction's events into runs."""

    @dg.sensor(
        name=reaction.sensor_name,
        description=reaction.description,
        asset_selection=dg.AssetSelection.assets(*(name.split("/") for name in reaction.assets)),
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def _sensor(context: dg.SensorEvaluationContext, spine: SpineResource) -> dg.SensorResult | dg.SkipReason:
        store, now = spine.get(), datetime.now(UTC)
        pending = answerable(store, reaction, now)
        busy, failed = _settle(store, context.instance, reaction, pending, now)
        pending = [event for event in pending if event.event_id not in failed]
        waiting = len(pending)
        if not waiting:
            return dg.SkipReason(f"no due {' or '.join(reaction.event_types)}")
        if store.reactor_at_work(now):
            pending = [event for event in pending if now - event.recorded_at > LEFT_TO_REACTOR]
        registered = set(context.instance.get_dynamic_partitions("clients"))
        gone = _note_gone_clients(store, reaction, pending, registered, now)
        by_id = {event.event_id: event for event in pending}
        runs = [
            run
            for run in plan_runs(
                [PendingEvent(event_id=event.event_id, client=event.client) for event in pending],
                registered,
                _runs_so_far(context.instance, reaction, list(by_id)),
                busy,
            )
            if _taken(store, reaction, run, now)
        ]
        if not runs:
            why = f"; {gone} of a client that is gone, see `liftos events dead`" if gone else ""
            return dg.SkipReason(
                f"{waiting} due event(s): their run is under way, left to the reactor, or their client is not "
                f"registered{why}"
            )
        return dg.SensorResult(run_requests=[_request(reaction, run, by_id[run.event_ids[-1]]) for run in runs])

    return _sensor


def answerable(spine: Spine, reaction: Reaction, now: datetime) -> list[Event]:
    """Due events that a reaction answers; those of its types that it does not are noted as done with."""
    due = spine.due(reaction.name, reaction.event_types, now=now)
    spine.dismiss([event.event_id for event in due if not reaction.answers(event.payload)], reaction.name)
    return [event for event in due if reaction.answers(event.payload)]


def owed(spine: Spine, client: str) -> dict[str, int]:
    """How many of a client's events each reaction has yet to answer; what was given up is not among them."""
    found = {}
    for reaction in REACTIONS:
        dead = {letter.event_id for letter in spine.dead_letters(client, reaction.name)}
        open_ = spine.unhandled(reaction.name, reaction.event_types, limit=MOST_COUNTED, client=client)
        number = sum(reaction.answers(event.payload) and event.event_id not in dead for event in open_)
        if number:
            found[reaction.name] = number
    return found


def quick_answers(owed: Iterable[str]) -> list[str]:
    """The assets that answer for these reactions, without those that fit a model anew: minutes, not seconds."""
    quick = [
        reaction.assets
        for reaction in REACTIONS
        if reaction.name in set(owed) and not FITTED_WEEKLY.intersection(reaction.assets)
    ]
    return sorted({asset for assets in quick for asset in assets})


def in_words(owed: Mapping[str, int], *, reactor: bool) -> str:
    """What a person who has just run a client's assets should know of the answers that are still open."""
    if not owed:
        return ""
    parts = ", ".join(f"{name} {number:,}" for name, number in owed.items())
    who = (
        "the reactor is at them"
        if reactor
        else "events that came after the asset that answers them had run. `liftos up` answers them, or run again"
    )
    return f"Not answered yet: {parts}: {who}."


def _taken(spine: Spine, reaction: Reaction, run: PlannedRun, now: datetime) -> bool:
    """Take the lease for a run, unless somebody else has it or has answered since we looked."""
    owner = OWNER + run.run_key
    if not spine.claim(reaction.name, run.client, owner, now, LEASE_SECONDS):
        return False
    if spine.open_among(run.event_ids, reaction.name):
        return True
    spine.release(reaction.name, run.client, owner)
    return False


def _request(reaction: Reaction, run: PlannedRun, newest: Event) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=run.run_key,
        partition_key=run.client,
        tags={
            REACTION_TAG: reaction.name,
            EVENT_TAG: newest.event_id,
            "liftos/correlation": newest.correlation_id,
            "liftos/trigger": "event",
            "dagster/priority": "10",
        },
    )


def _settle(
    spine: Spine, instance: dg.DagsterInstance, reaction: Reaction, pending: Sequence[Event], now: datetime
) -> tuple[set[str], set[str]]:
    """Look after the runs that sensors asked for: clients that are busy, and events whose attempt has failed."""
    busy: set[str] = set()
    failed: set[str] = set()
    for lease in spine.claims(reaction.name, now):
        if not lease.owner.startswith(OWNER):
            if not lease.expired:
                busy.add(lease.client)
            continue
        run_key = lease.owner.removeprefix(OWNER)
        found = instance.get_runs(dg.RunsFilter(tags={REACTION_TAG: reaction.name, KEY_TAG: run_key}), limit=1)
        if not found:
            # Not launched yet; when the lease runs out, the same key is asked for once more.
            if not lease.expired:
                busy.add(lease.client)
            continue
        run = found[0]
        if not run.is_finished:
            spine.claim(reaction.name, lease.client, lease.owner, now, LEASE_SECONDS)
            busy.add(lease.client)
            continue
        newest = run.tags.get(EVENT_TAG)
        reach = next((event.seq for event in pending if event.event_id == newest), None)
        if reach is None and newest is not None:
            told = spine.event(newest)
            reach = told.seq if told else 0
        left = [event.event_id for event in pending if event.client == lease.client and event.seq <= (reach or 0)]
        if left:
            spine.note_failure(left, reaction.name, _why(run), now=now, run_id=run.run_id)
            failed.update(left)
        spine.release(reaction.name, lease.client, lease.owner)
    return busy, failed


def _why(run: dg.DagsterRun) -> str:
    if run.status is dg.DagsterRunStatus.SUCCESS:
        return f"run {run.run_id} succeeded, but no asset noted the event as handled"
    return f"run {run.run_id} ended as {run.status.value}; its log in the UI says why"


def _note_gone_clients(
    spine: Spine, reaction: Reaction, pending: Sequence[Event], registered: set[str], now: datetime
) -> int:
    """Count an attempt for events whose client has no folder any more; one that is new is registered in a moment."""
    strangers = {event.client for event in pending} - registered
    gone = strangers - set(list_clients()) if strangers else set()
    for client in gone:
        theirs = [event.event_id for event in pending if event.client == client]
        reason = (
            f'client "{client}" is gone: it has no folder with a client.yaml. Put the folder back '
            f"(`liftos client add {client}`), or leave its events here"
        )
        spine.note_failure(theirs, reaction.name, reason, now=now)
    return sum(event.client in gone for event in pending)


def _runs_so_far(instance: dg.DagsterInstance, reaction: Reaction, event_ids: Sequence[str]) -> dict[str, int]:
    if not event_ids:
        return {}
    known = instance.get_runs(dg.RunsFilter(tags={REACTION_TAG: reaction.name, EVENT_TAG: list(event_ids)}))
    counts: dict[str, int] = {}
    for run in known:
        counts[run.tags[EVENT_TAG]] = counts.get(run.tags[EVENT_TAG], 0) + 1
    return counts


reaction_sensors = [reaction_sensor(reaction) for reaction in REACTIONS]
