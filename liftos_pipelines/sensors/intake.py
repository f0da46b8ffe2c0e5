"""Clients and files become partitions and runs: new client folders are registered, changed files are taken in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import dagster as dg

from liftos_pipelines.clients import ClientError, list_clients, load_client
from liftos_pipelines.resources.client_files import ClientFileError, stamps
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.sensors.reactions import REACTIONS
from liftos_pipelines.spine.database import Spine

# Which assets a source's files feed first; what lies further downstream follows by events and by the schedules.
FED_BY_SOURCE: dict[str, tuple[str, ...]] = {
    "marketing": (
        "sources/marketing_outcome",
        "sources/marketing_media",
        "sources/marketing_controls",
        "causal/panel",
        "causal/monitor",
        "causal/channel_update",
    ),
    "experiments": ("sources/experiments",),
    "mentions": ("sources/mentions", "sentiment/mention_scores", "sentiment/daily_index", "sentiment/alerts"),
    "labelled_mentions": ("sources/labelled_mentions", "sentiment/model"),
    "campaigns": ("sources/campaigns",),
    "answers": (
        "sources/answers",
        "surfacing/answer_mentions",
        "surfacing/visibility",
        "surfacing/prompt_gaps",
        "surfacing/source_gaps",
        "surfacing/shifts",
    ),
    "pages": ("sources/pages", "surfacing/page_audit"),
    "llm_calls": (
        "sources/llm_calls",
        "llm/call_scores",
        "llm/performance",
        "llm/experiments",
        "llm/experiment_looks",
        "llm/allocation",
        "llm/regressions",
    ),
    "agents": ("sources/agents", "agentic/registry"),
    "agent_steps": (
        "sources/agent_steps",
        "agentic/policy_decisions",
        "agentic/registry",
        "agentic/rollouts",
        "agentic/performance",
        "agentic/evaluation",
        "agentic/trace_quality",
        "agentic/failure_attribution",
    ),
    "outcomes": ("sources/outcomes", "memory/items"),
    "notes": ("sources/notes", "memory/items"),
}


def new_clients(folders: list[str], registered: list[str]) -> list[str]:
    """Folders that are not partitions yet."""
    return sorted(set(folders) - set(registered))


def changed_sources(seen: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Sources whose files differ from what was seen; a source never seen is new."""
    return sorted(source for source, print_ in now.items() if seen.get(source) != print_)


BACKLOG_BOUND = 500
"""Unanswered events of a client above which its new files wait: what they would raise could only pile up."""


def backlog(spine: Spine, client: str) -> int:
    """Answers that all reactions together still owe a client."""
    return sum(spine.backlog(each.name, each.event_types, client=client) for each in REACTIONS)


def fingerprints(client: str) -> dict[str, str]:
    """What each source's local files or Delta table look like now; a source given by URI is left to the schedules."""
    config = load_client(client)
    prints: dict[str, str] = {}
    for source in type(config.sources).model_fields:
        settings = getattr(config.sources, source)
        if settings is None or "://" in settings.path:
            continue
        try:
            found = stamps(config, f"sources.{source}.path", settings.path)
        except ClientFileError:
            continue  # absent or refused: ingestion says why, the sensor waits for something to take in
        if found:
            prints[source] = json.dumps(found)
    return prints


@dg.sensor(
    name="register_clients",
    description="Registers a partition for each client folder that holds a client.yaml.",
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    asset_selection=dg.AssetSelection.groups("sources"),
)
def register_clients(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    names = new_clients(list_clients(), list(context.instance.get_dynamic_partitions("clients")))
    if not names:
        return dg.SkipReason("every client folder is registered")
    request = dg.DynamicPartitionsDefinition(name="clients").build_add_request(names)
    return dg.SensorResult(dynamic_partitions_requests=[request])


@dg.sensor(
    name="new_files",
    description="Takes in a client's files when they change; a client's first run is left to a person or the schedule.",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    asset_selection=dg.AssetSelection.assets(
        *sorted({tuple(name.split("/")) for names in FED_BY_SOURCE.values() for name in names})
    ),
)
def new_files(context: dg.SensorEvaluationContext, spine: SpineResource) -> dg.SensorResult | dg.SkipReason:
    seen: dict[str, dict[str, str]] = json.loads(context.cursor) if context.cursor else {}
    registered = set(context.instance.get_dynamic_partitions("clients"))
    requests: list[Any] = []
    now: dict[str, dict[str, str]] = {}
    held: list[str] = []
    for client in list_clients():
        if client not in registered:
            continue
        try:
            now[client] = fingerprints(client)
        except ClientError as error:
            context.log.error(str(error))
            now[client] = seen.get(client, {})
            continue
        if client not in seen:
            continue
        changed = changed_sources(seen[client], now[client])
        owed = backlog(spine.get(), client) if changed else 0
        if owed > BACKLOG_BOUND:
            # Seen as it was before, so that the change is found again when the backlog is worked off.
            now[client] = seen[client]
            held.append(f"{client}: {', '.join(changed)} wait(s) behind {owed:,} unanswered events")
            continue
        for source in changed:
            digest = hashlib.sha256(now[client][source].encode()).hexdigest()[:16]
            requests.append(
                dg.RunRequest(
                    run_key=f"{client}:{source}:{digest}",
                    partition_key=client,
                    asset_selection=[dg.AssetKey(name.split("/")) for name in FED_BY_SOURCE[source]],
                    tags={"liftos/trigger": "file", "liftos/source": source},
                )
            )
    for line in held:
        context.log.warning(f"{line} (`liftos events backlog`)")
    if not requests:
        return dg.SensorResult(skip_reason="; ".join(held) or "no file changed", cursor=json.dumps(now))
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(now))
