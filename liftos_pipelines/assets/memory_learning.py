"""What memory has learned: patterns in similar contexts, insights sure enough to act on, what became of them, and how
good memory is."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache

import dagster as dg
import numpy as np
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.assets.memory import with_extra
from liftos_pipelines.assets.memory_told import tell_recalled
from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.memory.learning import evidence as evidences
from liftos_pipelines.modules.memory.learning import quality as qualities
from liftos_pipelines.modules.memory.learning import realised
from liftos_pipelines.modules.memory.learning.evidence import Evidence
from liftos_pipelines.modules.memory.learning.insights import SCHEMA as INSIGHTS
from liftos_pipelines.modules.memory.learning.insights import find_insights
from liftos_pipelines.modules.memory.learning.patterns import (
    SCHEMA,
    Known,
    Query,
    answered,
    find_patterns,
    queries_from_campaigns,
    queries_from_items,
    topics_taught,
)
from liftos_pipelines.modules.memory.learning.recogniser import Recogniser
from liftos_pipelines.modules.memory.learning.recognition_quality import Recognised, recognised
from liftos_pipelines.modules.memory.learning.scope import Scope, calibrate
from liftos_pipelines.modules.memory.learning.validation import Conditions, conditions_of
from liftos_pipelines.modules.memory.recall.fit import Fitted, Labelled, fit
from liftos_pipelines.modules.memory.recall.query import Filters, RecallQuery
from liftos_pipelines.resources.embedder import Embedder, EmbedderResource
from liftos_pipelines.resources.lake import Lake, LakeResource
from liftos_pipelines.resources.memory_store import MemoryStore, MemoryStoreResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.outbox import outbox
from liftos_pipelines.text import Name, NameFinder

SEED = 7
NEWEST_OF_A_KIND = 100
MOST = 100_000
"""Events that one run answers."""
CAUSAL = ("budget_plan", "channel_results", "response_curves", "validation", "fit_history")
PATTERNS = "memory/patterns"


@dataclass(kw_only=True)
class _Held:
    """What this process keeps of a client between two runs: its evidence, and the answers it gave."""

    fingerprint: str
    evidence: Evidence
    scope: Scope
    recogniser: Recogniser | None
    known: Known | None = None


_held: dict[str, _Held] = {}


@lift_asset(PATTERNS, ins=inputs("memory/items", "sources/campaigns"), kinds={"polars"})
def patterns(
    context: dg.AssetExecutionContext,
    items: pl.DataFrame,
    campaigns: pl.DataFrame,
    embedder: EmbedderResource,
    lake: LakeResource,
    spine: SpineResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """What similar past actions achieved, for each alert, impact, proposal and campaign: the chance of
    success with a 90 % interval and the expected effect, or an abstention with its reason."""
    told = outbox(context, spine)
    # Staged: noted when the table is stored.
    for event in spine.get().unhandled(PATTERNS, ["campaign_started"], limit=MOST, client=context.partition_key):
        told.mark_handled(event.event_id, PATTERNS)
    held = with_extra(items)
    asked = [
        query for group in (queries_from_items(held), queries_from_campaigns(campaigns)) for query in _newest(group)
    ]
    if not asked:
        return skipped(PATTERNS, "no alert, impact, proposal or campaign to look up")
    client, reader, names = client_of(context), embedder.get(), _names(client_of(context), campaigns)
    kept = _knowledge(client.client, held, reader, names, lake.get())
    found = find_patterns(
        asked, kept.evidence, reader.encode, names, scope=kept.scope, recogniser=kept.recogniser, known=kept.known
    )
    repeated = sum(mark in (kept.known or {}) for mark in found["fingerprint"].unique())
    kept.known = answered(found)
    said = found.filter(~pl.col("abstained"))
    return result(
        found,
        queries=len(asked),
        answered=said["query_id"].n_unique(),
        coverage=said.select("query_kind", "query_id").n_unique() / len(asked),
        answered_before=repeated,
        threshold=found["threshold"][0],
        abstentions=found.filter("abstained").group_by("reason").len(name="queries").sort("reason"),
    )


def _knowledge(client: str, held: pl.DataFrame, reader: Embedder, names: NameFinder, lake: Lake) -> _Held:
    """The client's evidence, gathered again only when it says something else; and what was answered before."""
    mark = evidences.fingerprint_of(evidences.measured(held), names, reader.model_id)
    kept = _held.get(client)
    if kept is None or kept.fingerprint != mark:
        gathered = evidences.gather(held, reader.encode, names, reader.model_id)
        kept = _Held(
            fingerprint=mark,
            evidence=gathered,
            scope=calibrate(gathered),
            recogniser=topics_taught(gathered, _contexts(held), names),
        )
    if kept.known is None:
        kept.known = answered(lake.read(client, PATTERNS))
    _held[client] = kept
    return kept


def _names(config: ClientConfig, campaigns: pl.DataFrame) -> NameFinder:
    """Campaigns, the brand and its competitors: names that say nothing of what happened."""
    brands = config.brand.names() if config.brand else []
    found = campaigns.select("name", "campaign_id").drop_nulls().iter_rows()
    return _finder((*brands, *(Name(name=name, aliases=(campaign,)) for name, campaign in found)))


@lru_cache(maxsize=16)
def _finder(names: tuple[Name, ...]) -> NameFinder:
    return NameFinder(list(names))


def _newest(queries: list[Query]) -> list[Query]:
    """The newest queries of each kind; they come newest first."""
    kept: dict[str, list[Query]] = {}
    for query in queries:
        kept.setdefault(query.kind, []).append(query)
    return [query for group in kept.values() for query in group[:NEWEST_OF_A_KIND]]


@lift_asset(
    "memory/insights",
    ins=inputs(PATTERNS, "sources/campaigns"),
    deps=[["causal", name] for name in CAUSAL],
    kinds={"polars"},
)
def insights(
    context: dg.AssetExecutionContext,
    patterns: pl.DataFrame,
    campaigns: pl.DataFrame,
    lake: LakeResource,
    spine: SpineResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """Patterns with confidence above .8 as recommendations, each validated, contradicted or left unknown by the causal
    model under current conditions, with what it expects of the action where that names a channel and an amount."""
    client, told = context.partition_key, outbox(context, spine)
    if patterns.is_empty():
        tell_recalled(told, spine.get(), client, patterns, patterns)
        return skipped("memory/insights", "no patterns")
    asked = _with_columns(patterns, SCHEMA)
    conditions = _conditions(client, lake.get(), asked)
    found = find_insights(asked, campaigns, conditions)
    tell_recalled(told, spine.get(), client, patterns, found)
    status = dict(found["validation_status"].value_counts().iter_rows())
    return result(
        found,
        insights=found.height,
        **{name: status.get(name, 0) for name in ("validated", "contradicted", "unknown")},
        why_unknown=found.filter(pl.col("validation_status") == "unknown").group_by("validation").len(name="insights"),
        **({"causal_problem": conditions.problem} if conditions.problem else {}),
    )


_seen: dict[str, tuple[tuple[object, ...], Conditions]] = {}


def _conditions(client: str, lake: Lake, patterns: pl.DataFrame) -> Conditions:
    """Current conditions by Causal's newest tables, read again only when one of them was written again."""
    lived = patterns.filter(pl.col("query_kind").is_in(["alert", "impact"]))["at"].max()
    newest: date | None = lived.date() if isinstance(lived, datetime) else None
    names, now = [f"causal/{name}" for name in CAUSAL], datetime.now(UTC)
    mark = (newest, now.date(), *(lake.version(client, name) for name in names))
    kept = _seen.get(client)
    if kept is None or kept[0] != mark:
        tables = {name.split("/")[1]: lake.read(client, name) for name in names}
        kept = mark, conditions_of(**tables, newest=newest, now=now)
        _seen[client] = kept
    return kept[1]


def _with_columns(frame: pl.DataFrame, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    missing = [name for name in schema if name not in frame.columns]
    return frame.with_columns(pl.lit(None, dtype=schema[name]).alias(name) for name in missing)


@lift_asset(
    "memory/insight_outcomes", ins=inputs("memory/insights", "memory/items", "agentic/proposals"), kinds={"polars"}
)
def insight_outcomes(
    context: dg.AssetExecutionContext, insights: pl.DataFrame, items: pl.DataFrame, proposals: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Each insight with the action that followed it and, once measured, what that came to."""
    if insights.is_empty():
        return skipped("memory/insight_outcomes", "no insights")
    found = realised.insight_outcomes(_with_columns(insights, INSIGHTS), proposals, with_extra(items))
    return result(
        found,
        insights=found.height,
        acted_on=found["acted_on"].sum(),
        measured=found["effect"].count(),
        right=found["p_right"].mean(),
    )


@lift_asset(
    "memory/insight_calibration",
    ins=inputs("memory/insight_outcomes", "memory/items", "sources/campaigns"),
    kinds={"polars"},
)
def insight_calibration(
    context: dg.AssetExecutionContext,
    insight_outcomes: pl.DataFrame,
    items: pl.DataFrame,
    campaigns: pl.DataFrame,
    embedder: EmbedderResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """When memory said .9, how often was it so? By what it said of insights that were acted on, and of every past
    decision when asked about it before it was taken; with 90 % intervals."""
    held = with_extra(items)
    reader, names = embedder.get(), _names(client_of(context), campaigns)
    gathered = evidences.gather(held, reader.encode, names, reader.model_id)
    told = qualities.replay(gathered, _contexts(held), reader.encode, names)
    measured = insight_outcomes.drop_nulls(["said", "p_right"])
    found = pl.concat(
        [
            realised.calibration(
                measured["said"].to_numpy().astype(float), measured["p_right"].to_numpy().astype(float), "acted on"
            ),
            realised.calibration(told.said, told.right, "replayed"),
        ]
    )
    if found.is_empty():
        return skipped("memory/insight_calibration", "no decision with a measured effect that memory had an answer for")
    replayed = found.filter(pl.col("source") == "replayed")
    return result(
        found,
        replayed=told.said.size,
        acted_on=measured.height,
        calibration_error=realised.calibration_error(replayed),
        table=found,
    )


def _contexts(held: pl.DataFrame) -> dict[str, str]:
    current = held.filter(pl.col("superseded_at").is_null(), pl.col("context").is_not_null())
    return dict(current.select("memory_id", "context").iter_rows())


@lift_asset("memory/retrieval_quality", ins=inputs("memory/items", "sources/campaigns"), kinds={"polars"})
def quality(
    context: dg.AssetExecutionContext,
    items: pl.DataFrame,
    campaigns: pl.DataFrame,
    memory: MemoryStoreResource,
    embedder: EmbedderResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """How well memory finds what belongs together, every method on the client's own outcome links, how often its
    patterns point the right way, and whether it knows its topics; 90 % intervals by campaign-clustered bootstrap."""
    held = with_extra(items).filter(pl.col("superseded_at").is_null())
    asked = qualities.questions(held)
    reader = embedder.get()
    encode, names = reader.encode, _names(client_of(context), campaigns)
    evidence = evidences.gather(held, encode, names, reader.model_id)
    if not asked and not len(evidence):
        return skipped("memory/retrieval_quality", "outcomes")
    store, contexts = memory.get(context.partition_key), _contexts(held)
    weights = _fit_weights(store, asked, encode)
    index = store.index()
    told = qualities.replay(evidence, contexts, encode, names)
    texts = [evidences.situation(contexts[str(name)], names) for name in evidence.ids]
    topics = recognised(evidence, texts)
    measured = pl.concat(
        [
            qualities.retrieval_quality(index, asked, encode, seed=SEED),
            qualities.pattern_quality(told, seed=SEED),
            qualities.abstention_quality(evidence, encode, seed=SEED),
            qualities.recognition_quality(topics, seed=SEED),
        ]
    )
    numbers = {
        f"{method}_{metric}": value
        for method, metric, value in measured.select("method", "metric", "value").iter_rows()
        if not metric.startswith("recall@5") and not method.endswith("-bm25")
    }
    return result(
        measured,
        questions=len(asked),
        recall_weights=weights.chosen,
        recall_weights_reason=weights.reason,
        **numbers,
        **_picture(told, topics),
    )


def _fit_weights(store: MemoryStore, asked: list[qualities.Question], encode: evidences.Encoder) -> Fitted:
    """The recall weights that the client's outcome links speak for, kept beside its memory."""
    index = store.index()
    vectors = encode([question.text for question in asked])
    labelled = [
        Labelled(
            query=RecallQuery(
                text=question.text,
                vector=vector,
                model_id=index.model_id,
                filters=Filters(exclude=frozenset({question.memory_id})),
            ),
            relevant=question.relevant,
            group=question.group,
        )
        for question, vector in zip(asked, vectors, strict=True)
    ]
    fitted = fit(index, labelled, seed=SEED)
    store.weights.write(fitted)
    return fitted


def _picture(told: qualities.Replay, topics: Recognised | None) -> dict[str, dg.MetadataValue]:
    """Accuracy against coverage, and what was said against what was so."""
    if told.said.size < 2:
        return {}
    from matplotlib.figure import Figure

    from liftos_pipelines.page_style import markdown_image

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    drawn = [("direction of an effect", told.sure[told.answered], told.right, "o")]
    if topics is not None:
        drawn.append(("topic of a context", topics.sure, topics.right, "s"))
    for label, sure, hit, marker in drawn:
        order = np.argsort(-sure, kind="stable")
        share = np.arange(1, order.size + 1) / order.size
        left.plot(share, np.cumsum(hit[order]) / np.arange(1, order.size + 1), label=f"{label} (n {order.size})")
        said = told.said if marker == "o" else sure
        bins = np.minimum((said * 10).astype(int), 9)
        points = [(said[bins == code].mean(), hit[bins == code].mean()) for code in np.unique(bins)]
        right.plot(*zip(*points, strict=True), marker=marker, label=label)
    right.plot([0, 1], [0, 1], color="grey", linewidth=1)
    left.set(xlabel="share of questions answered, surest first", ylabel="right", ylim=(0, 1.02))
    right.set(xlabel="probability said", ylabel="share right", xlim=(0, 1), ylim=(0, 1.02))
    left.legend(loc="lower left", fontsize=8)
    return {"accuracy_and_calibration": dg.MetadataValue.md(markdown_image(figure, "Accuracy and calibration"))}
