"""What memory has learned: patterns in similar contexts, insights sure enough to act on, and how good recall is."""

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.assets.memory import with_extra
from liftos_pipelines.assets.memory_told import tell_recalled
from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.memory.learning.evidence import gather
from liftos_pipelines.modules.memory.learning.insights import find_insights
from liftos_pipelines.modules.memory.learning.patterns import (
    SCHEMA,
    Query,
    find_patterns,
    queries_from_campaigns,
    queries_from_items,
)
from liftos_pipelines.modules.memory.learning.quality import (
    abstention_quality,
    pattern_quality,
    questions,
    retrieval_quality,
)
from liftos_pipelines.resources.embedder import EmbedderResource
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.memory_store import MemoryStoreResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.outbox import outbox
from liftos_pipelines.text import Name, NameFinder

SEED = 7
NEWEST_OF_A_KIND = 100


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
    # Staged: noted when the table is stored.
    for event in spine.get().events(context.partition_key, types=["campaign_started"]):
        outbox(context, spine).mark_handled(event.event_id, "memory/patterns")
    held = with_extra(items)
    asked = [
        query for group in (queries_from_items(held), queries_from_campaigns(campaigns)) for query in _newest(group)
    ]
    if not asked:
        return skipped("memory/patterns", "no alert, impact, proposal or campaign to look up")
    encode = embedder.get().encode
    names = _names(client_of(context), campaigns)
    found = find_patterns(asked, gather(held, encode, names), encode, names)
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
    context: dg.AssetExecutionContext,
    patterns: pl.DataFrame,
    campaigns: pl.DataFrame,
    lake: LakeResource,
    spine: SpineResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """Patterns with confidence above .8 as recommendations; validated when the causal model points the same
    way.
    """
    client, told = context.partition_key, outbox(context, spine)
    if patterns.is_empty():
        tell_recalled(told, spine.get(), client, patterns, patterns)
        return skipped("memory/insights", "no patterns")
    found = find_insights(
        _with_pattern_columns(patterns),
        campaigns,
        lake.get().read(client, "causal/budget_plan"),
        lake.get().read(client, "causal/channel_results"),
    )
    tell_recalled(told, spine.get(), client, patterns, found)
    return result(
        found,
        insights=found.height,
        validated=found["validated"].fill_null(False).sum(),
        contradicted=(~found["validated"]).fill_null(False).sum(),
    )


def _with_pattern_columns(found: pl.DataFrame) -> pl.DataFrame:
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
    held = with_extra(items).filter(pl.col("superseded_at").is_null())
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
