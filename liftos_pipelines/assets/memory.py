"""Memory: what the organisation has learned, what it says about now, and whether it can be trusted to
remember.
"""

from datetime import UTC, datetime

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.memory import from_modules, from_sources
from liftos_pipelines.modules.memory import items as item
from liftos_pipelines.modules.memory.evidence import gather
from liftos_pipelines.modules.memory.insights import find_insights
from liftos_pipelines.modules.memory.patterns import (
    Query,
    find_patterns,
    queries_from_campaigns,
    queries_from_items,
)
from liftos_pipelines.modules.memory.quality import (
    abstention_quality,
    pattern_quality,
    questions,
    retrieval_quality,
)
from liftos_pipelines.resources.embedder import EmbedderResource
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.memory_store import MemoryStoreResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import Event
from liftos_pipelines.text import Name, NameFinder

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
SEED = 7
NEWEST_OF_A_KIND = 100


@lift_asset("memory/items", deps=[name.split("/") for name in READ], kinds={"lancedb", "polars"})
def items(
    context: dg.AssetExecutionContext, lake: LakeResource, spine: SpineResource, memory: MemoryStoreResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Every version of every memory: decisions with measured effects, notes, campaigns, tests, alerts, impacts,
    shifts, advice and agents' actions, each from its source row; a change is recorded beside what was said."""
    client, store, log = client_of(context).client, memory.get(context.partition_key), spine.get()
    events = log.events(client, types=REMEMBERED_EVENTS)
    tables = {name: lake.get().read(client, name) for name in READ}
    found = item.with_provenance(build_items(tables, events), {name: lake.get().version(client, name) for name in READ})
    restored = store.restore(_with_extra(lake.get().read(client, "memory/items")))
    done = store.remember(found, datetime.now(UTC), complete_kinds=_complete_kinds(tables))
    # Only now is the pattern stored; a run that dies before this line is asked for again.
    for event in events:
        if event.type in HANDLED_HERE:
            log.mark_handled(event.event_id, REACTION)
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
        store_version=done.version,
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


def _with_extra(history: pl.DataFrame) -> pl.DataFrame:
    """The lake's history with the columns that it drops when they hold no value."""
    missing = [name for name in item.EXTRA if name not in history.columns]
    return history.with_columns(pl.lit(None, dtype=item.EXTRA[name]).alias(name) for name in missing)


@lift_asset(
    "memory/patterns",
    ins=inputs("memory/items", "sources/campaigns"),
    kinds={"polars"},
)
def patterns(
    context: dg.AssetExecutionContext,
    items: pl.DataFrame,
    campaigns: pl.DataFrame,
    embedder: EmbedderResource,
    spine: SpineResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """What similar past actions achieved, for each alert, impact, proposal and campaign: the chance of
    success with a 90 % interval from measured effects, or an abstention with its reason."""
    held = _with_extra(items)
    asked = [
        query for group in (queries_from_items(held), queries_from_campaigns(campaigns)) for query in _newest(group)
    ]
    if not asked:
        return skipped("memory/patterns", "no alert, impact, proposal or campaign to look up")
    encode = embedder.get().encode
    names = _names(client_of(context), campaigns)
    found = find_patterns(asked, gather(held, encode, names), encode, names)
    log, client = spine.get(), context.partition_key
    for event in log.events(client, types=["campaign_started"]):
        log.mark_handled(event.event_id, "memory/patterns")
    answered = found.filter(~pl.col("abstained"))
    return result(
        found,
        queries=len(asked),
        answered=answered["query_id"].n_unique(),
        coverage=answered.select("query_kind", "query_id").n_unique() / len(asked),
        threshold=found["threshold"][0],
        abstentions=found.filter("abstained").group_by("reason").len(name="queries").sort("reason"),
    )


def _names(config: ClientConfig, campaigns: pl.DataFrame) -> NameFinder:
    """Campaigns, the brand and its competitors: names that say nothing of what happened."""
    brands = config.brand.names() if config.brand else []
    found = campaigns.select("name", "campaign_id").drop_nulls().iter_rows()
    return NameFinder([*brands, *(Name(name=name, aliases=(campaign,)) for name, campaign in found)])


def _newest(queries: list[Query]) -> list[Query]:
    """The newest queries of each kind; they come newest first."""
    kept: dict[str, list[Query]] = {}
    for query in queries:
        kept.setdefault(query.kind, []).append(query)
    return [query for group in kept.values() for query in group[:NEWEST_OF_A_KIND]]


@lift_asset(
    "memory/insights",
    ins=inputs("memory/patterns", "sources/campaigns"),
    deps=[["causal", "budget_plan"], ["causal", "channel_results"]],
    kinds={"polars"},
)
def insights(
    context: dg.AssetExecutionContext, patterns: pl.DataFrame, campaigns: pl.DataFrame, lake: LakeResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Patterns with confidence above .8 as recommendations; validated when the causal model points the same
    way.
    """
    if patterns.is_empty():
        return skipped("memory/insights", "no patterns")
    client = context.partition_key
    found = find_insights(
        _with_pattern_columns(patterns),
        campaigns,
        lake.get().read(client, "causal/budget_plan"),
        lake.get().read(client, "causal/channel_results"),
    )
    return result(
        found,
        insights=found.height,
        validated=found["validated"].fill_null(False).sum(),
        contradicted=(~found["validated"]).fill_null(False).sum(),
    )


def _with_pattern_columns(found: pl.DataFrame) -> pl.DataFrame:
    from liftos_pipelines.modules.memory.patterns import SCHEMA

    missing = [name for name in SCHEMA if name not in found.columns]
    return found.with_columns(pl.lit(None, dtype=SCHEMA[name]).alias(name) for name in missing)


@lift_asset("memory/retrieval_quality", ins=inputs("memory/items", "sources/campaigns"), kinds={"polars"})
def quality(
    context: dg.AssetExecutionContext,
    items: pl.DataFrame,
    campaigns: pl.DataFrame,
    memory: MemoryStoreResource,
    embedder: EmbedderResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """How well memory finds what belongs together, every method on the client's own outcome links, and how
    often its patterns point the right way; 90 % intervals by campaign-clustered bootstrap."""
    held = _with_extra(items).filter(pl.col("superseded_at").is_null())
    asked = questions(held)
    encode = embedder.get().encode
    names = _names(client_of(context), campaigns)
    evidence = gather(held, encode, names)
    if not asked and not len(evidence):
        return skipped("memory/retrieval_quality", "outcomes")
    index = memory.get(context.partition_key).index()
    contexts = dict(held.select("memory_id", "context").iter_rows())
    measured = pl.concat(
        [
            retrieval_quality(index, asked, encode, seed=SEED),
            pattern_quality(evidence, contexts, encode, names, seed=SEED),
            abstention_quality(evidence, encode, seed=SEED),
        ]
    )
    told = {
        f"{method}_{metric}": value
        for method, metric, value in measured.select("method", "metric", "value").iter_rows()
        if metric in ("recall@10", "mrr", "accuracy", "coverage", "abstention", "abstention_new_topic")
    }
    return result(measured, questions=len(asked), **told)
