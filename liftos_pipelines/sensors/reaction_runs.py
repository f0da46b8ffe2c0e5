"""Events become runs.

The decision is a pure function of what is unhandled and what already ran; the sensor is its thin shell. An asset
marks an event handled when its effect is stored, so an event is answered at least once and its effect happens once;
a failed run is tried again, up to `ATTEMPTS` times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.sensors.reactions import REACTIONS, Reaction

ATTEMPTS = 3
INTERVAL_SECONDS = 2


@dataclass(frozen=True, kw_only=True)
class PendingEvent:
    """What the decision needs to know of an unhandled event."""

    event_id: str
    client: str


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run a client: it answers all of the client's pending events at once."""

    run_key: str
    client: str
    event_ids: tuple[str, ...]


def plan_runs(
    pending: Iterable[PendingEvent], clients: Iterable[str], failed: Mapping[str, int], active: Iterable[str]
) -> list[PlannedRun]:
    """Which runs to ask for.

    Parameters
    ----------
    pending : unhandled events, oldest first
    clients : registered partitions; events of others wait
    failed : failed runs so far, by event id
    active : event ids whose run is queued or running
    """
    known, running = set(clients), set(active)
    by_client: dict[str, list[str]] = {}
    for event in pending:
        if event.client not in known or failed.get(event.event_id, 0) >= ATTEMPTS:
            continue
        by_client.setdefault(event.client, []).append(event.event_id)
    runs = []
    for client, event_ids in by_client.items():
        if running.intersection(event_ids):
            continue
        newest = event_ids[-1]
        attempt = failed.get(newest, 0)
        run_key = newest if attempt == 0 else f"{newest}:{attempt + 1}"
        runs.append(PlannedRun(run_key=run_key, client=client, event_ids=tuple(event_ids)))
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
        unhandled = spine.get().unhandled(reaction.name, reaction.event_types)
        pending = [event for event in unhandled if reaction.answers(event.payload)]
        if not pending:
            return dg.SkipReason(f"no unhandled {' or '.join(reaction.event_types)}")
        failed, active = _run_history(context.instance, reaction, [event.event_id for event in pending])
        runs = plan_runs(
            [PendingEvent(event_id=event.event_id, client=event.client) for event in pending],
            context.instance.get_dynamic_partitions("clients"),
            failed,
            active,
        )
        if not runs:
            return dg.SkipReason(
                f"{len(pending)} unhandled event(s): their run is under way, failed for good, or "
                "their client is not registered"
            )
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(
                    run_key=run.run_key,
                    partition_key=run.client,
                    tags={
                        "liftos/reaction": reaction.name,
                        "liftos/event": run.event_ids[-1],
                        "liftos/trigger": "event",
                        "dagster/priority": "10",
                    },
                )
                for run in runs
            ]
        )

    return _sensor


def _run_history(
    instance: dg.DagsterInstance, reaction: Reaction, event_ids: Sequence[str]
) -> tuple[dict[str, int], set[str]]:
    failed: dict[str, int] = {}
    active: set[str] = set()
    for event_id in event_ids:
        runs = instance.get_runs(
            dg.RunsFilter(tags={"liftos/reaction": reaction.name, "liftos/event": event_id}), limit=ATTEMPTS + 1
        )
        failed[event_id] = sum(
            run.status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED) for run in runs
        )
        if any(not run.is_finished for run in runs):
            active.add(event_id)
    return failed, active


reaction_sensors = [reaction_sensor(reaction) for reaction in REACTIONS]
