"""Gates of the memory: each thing is held once, all of it is findable, fusing words and meaning does no harm."""

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions
from liftos_pipelines.resources.memory_store import MemoryStoreResource

HARM_METRIC = "mrr"
"""The metric on which fused search must not fall below BM25 alone."""
MIN_QUESTIONS = 30
"""Fewer questions than this cannot tell harm from noise; the check then passes as unknown."""


@dg.asset_check(
    asset=["memory", "items"],
    name="one_current_version_a_memory",
    blocking=True,
    partitions_def=clients_partitions,
)
def one_current_version_a_memory(context: dg.AssetCheckExecutionContext, items: pl.DataFrame) -> dg.AssetCheckResult:
    """No memory has two current versions, and no version is stored twice."""
    current = items.filter(pl.col("superseded_at").is_null())
    doubled = current.height - current["memory_id"].n_unique()
    repeated = items.height - items.select("memory_id", "recorded_at").n_unique()
    return dg.AssetCheckResult(
        passed=doubled == 0 and repeated == 0,
        metadata={"two_current_versions": float(doubled), "repeated_versions": float(repeated)},
    )


@dg.asset_check(asset=["memory", "items"], name="store_holds_the_items", partitions_def=clients_partitions)
def store_holds_the_items(
    context: dg.AssetCheckExecutionContext, items: pl.DataFrame, memory: MemoryStoreResource
) -> dg.AssetCheckResult:
    """The vector store holds as many current memories as the lake's table."""
    current = items.filter(pl.col("superseded_at").is_null()).height
    stored = memory.get(context.partition_key).count_current()
    return dg.AssetCheckResult(
        passed=stored == current, metadata={"in_store": float(stored), "in_lake": float(current)}
    )


@dg.asset_check(asset=["memory", "items"], name="every_memory_is_embedded", partitions_def=clients_partitions)
def every_memory_is_embedded(
    context: dg.AssetCheckExecutionContext, items: pl.DataFrame, memory: MemoryStoreResource
) -> dg.AssetCheckResult:
    """No stored version lacks a vector of the present model."""
    missing = memory.get(context.partition_key).count_unembedded() if items.height else 0
    return dg.AssetCheckResult(passed=missing == 0, metadata={"unembedded": float(missing)})


@dg.asset_check(
    asset=["memory", "retrieval_quality"],
    name="fusion_not_below_words_alone",
    partitions_def=clients_partitions,
)
def fusion_not_below_words_alone(
    context: dg.AssetCheckExecutionContext, retrieval_quality: pl.DataFrame
) -> dg.AssetCheckResult:
    """Hybrid recall is not below BM25: the paired 90 % interval of the difference is not wholly below 0."""
    row = retrieval_quality.filter(pl.col("method") == "hybrid-bm25", pl.col("metric") == HARM_METRIC)
    if row.is_empty() or row["n"][0] < MIN_QUESTIONS:
        asked = float(row["n"][0]) if row.height else 0.0
        return dg.AssetCheckResult(
            passed=True,
            metadata={
                "status": "unknown: too few questions",
                "questions": asked,
                "needed": float(MIN_QUESTIONS),
            },
        )
    value, low, high = (float(row[name][0]) for name in ("value", "low", "high"))
    return dg.AssetCheckResult(
        passed=high >= 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"difference": value, "low": low, "high": high, "questions": float(row["n"][0])},
    )
