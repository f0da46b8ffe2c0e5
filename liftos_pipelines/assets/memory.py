"""What memory holds: everything that was seen, decided, done and what came of it, each from its source row."""

from datetime import UTC, datetime

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, lift_asset, result, skipped
from liftos_pipelines.modules.memory.records import from_modules, from_sources
from liftos_pipelines.modules.memory.records import items as item
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.memory_store import MemoryStoreResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import Event
from liftos_pipelines.spine.ledger import LedgerEntry
from liftos_pipelines.spine.outbox import outbox

READ = (
    *("sources/outcomes", "sources/notes", "sources/campaigns", "sources/experiments"),
    *("sources/mentions", "sentiment/mention_scores", "sentiment/alerts", "causal/impact", "causal/channel_results"),
    "causal/patterns",
    *("surfacing/shifts", "surfacing/recommendations", "agentic/proposals", "llm/experiments"),
)
REMEMBERED_EVENTS = (
    *("agent_action_initiated", "causal_impact_identified", "sentiment_drop_detected"),
    *("visibility_shift_detected", "algorithm_change_detected"),
)
HANDLED_HERE = ("agent_action_initiated", "visibility_shift_detected", "algorithm_change_detected")
REACTION = "memory/items"


@lift_asset("memory/items", deps=[name.split("/") for name in READ], kinds={"lancedb", "polars"})
def items(
    context: dg.AssetExecutionContext, lake: LakeResource, spine: SpineResource, memory: MemoryStoreResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Every version of every memory: decisions with measured effects, notes, campaigns, tests, alerts, impacts,
    shifts, advice and agents' actions, each from its source row; a change is recorded beside what was said."""
    client, store, log = client_of(context).client, memory.get(context.partition_key), spine.get()
    events = log.events(client, types=REMEMBERED_EVENTS)
    tables = {name: lake.get().read(client, name) for name in READ}
    found = item.with_provenance(
        build_items(tables, events),
        {name: lake.get().version(client, name) for name in READ},
        run_id=context.run_id,
        ledger=decisions(log.ledger(client)),
    )
    restored = store.restore(item.with_extra(lake.get().read(client, "memory/items")))
    done = store.remember(found, datetime.now(UTC), complete_kinds=_complete_kinds(tables))
    # Only now is the pattern stored; a run that dies before this line is asked for again.
    for event in events:
        if event.type in HANDLED_HERE:
            outbox(context, spine).mark_handled(event.event_id, REACTION)
    history = store.history()
    if history.is_empty():
        return skipped("memory/items", "nothing to remember yet")
    current = history.filter(pl.col("superseded_at").is_null())
    return result(
        history,
        memories=current.height,
        added=done.added,
        closed=done.closed,
        unchanged=done.unchanged,
        restored=restored,
        with_measured_outcome=current["effect"].is_not_null().sum(),
        kinds=current.group_by("kind").len(name="memories").sort("kind"),
        known_under_another_name=done.aliases,
    )


def build_items(tables: dict[str, pl.DataFrame], events: list[Event]) -> pl.DataFrame:
    """Items of all kinds from the lake's tables and the spine's events."""
    campaigns = tables["sources/campaigns"]
    names = dict(campaigns.select("campaign_id", "name").iter_rows())
    told = [
        {
            "event_id": event.event_id,
            "type": event.type,
            "occurred_at": event.occurred_at,
            "causation_id": event.causation_id,
            "payload": event.payload.model_dump(mode="json"),
        }
        for event in events
    ]
    said = from_modules.what_was_said(
        tables["sentiment/alerts"], tables["sources/mentions"], tables["sentiment/mention_scores"], told
    )
    triggers = {event.event_id: event.payload.model_dump(mode="json") for event in events}
    return item.combine(
        [
            from_sources.outcomes(tables["sources/outcomes"], names),
            from_sources.notes(tables["sources/notes"]),
            from_sources.campaigns(campaigns),
            from_sources.experiments(tables["sources/experiments"]),
            from_modules.alerts(tables["sentiment/alerts"], names, said),
            from_modules.impacts(tables["causal/impact"], triggers, names, said),
            from_modules.channel_results(tables["causal/channel_results"]),
            from_modules.causal_patterns(tables["causal/patterns"]),
            from_modules.shifts(tables["surfacing/shifts"]),
            from_modules.recommendations(tables["surfacing/recommendations"]),
            from_modules.proposals(tables["agentic/proposals"], triggers, said),
            from_modules.llm_experiments(tables["llm/experiments"]),
            from_modules.patterns(told, said),
        ]
    )


def decisions(ledger: list[LedgerEntry]) -> dict[str, dict[str, object]]:
    """Where the ledger holds the decision on each action: position and hash by action id."""
    found = {}
    for entry in ledger:
        action, _, what = entry.idempotency_key.rpartition(":")
        if what == "decision":
            found[action] = {"entry": entry.position, "hash": entry.entry_hash}
    return found


def _complete_kinds(tables: dict[str, pl.DataFrame]) -> list[str]:
    """Kinds whose table is a full snapshot: a row gone from it was taken back. An empty one may never have
    run.
    """
    snapshots = {
        "alert": "sentiment/alerts",
        "impact": "causal/impact",
        "channel_result": "causal/channel_results",
        "shift": "surfacing/shifts",
        "recommendation": "surfacing/recommendations",
        "proposal": "agentic/proposals",
        "llm_experiment": "llm/experiments",
    }
    return [kind for kind, name in snapshots.items() if tables[name].height]


with_extra = item.with_extra
