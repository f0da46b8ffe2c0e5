"""Gates of the memory: each thing is held once, and all of it is findable."""

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions
from liftos_pipelines.resources.memory_store import MemoryStoreResource

MAX_VERSIONS = 3 * 60 * 10
"""A flush a second for as long as unpinned versions are kept, each with its compaction."""
MAX_FRAGMENTS, MAX_UNINDEXED = 4, 100


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


@dg.asset_check(asset=["memory", "upkeep"], name="upkeep_loses_nothing", partitions_def=clients_partitions)
def upkeep_loses_nothing(context: dg.AssetCheckExecutionContext, upkeep: pl.DataFrame) -> dg.AssetCheckResult:
    """Every acknowledged version is in LanceDB, and every version that the ledger cites can still be read."""
    after = dict(upkeep.select("measure", "after").iter_rows())
    before = dict(upkeep.select("measure", "before").iter_rows())
    lost = max(before.get("acknowledged", 0.0) - after.get("rows", 0.0), 0.0)
    unreadable = after.get("pinned", 0.0) - after.get("pinned_readable", 0.0)
    return dg.AssetCheckResult(
        passed=lost == 0 and unreadable == 0, metadata={"versions_lost": lost, "cited_unreadable": unreadable}
    )


@dg.asset_check(asset=["memory", "upkeep"], name="upkeep_keeps_the_table_small", partitions_def=clients_partitions)
def upkeep_keeps_the_table_small(context: dg.AssetCheckExecutionContext, upkeep: pl.DataFrame) -> dg.AssetCheckResult:
    """Few files, no row that the text index lacks, and no more versions than the last minutes can have made beside
    those that are cited."""
    after = dict(upkeep.select("measure", "after").iter_rows())
    versions = after.get("versions", 0.0) - after.get("pinned", 0.0)
    told = {"versions": versions, "fragments": after.get("fragments", 0.0), "unindexed": after.get("unindexed", 0.0)}
    return dg.AssetCheckResult(
        passed=versions <= MAX_VERSIONS and told["fragments"] <= MAX_FRAGMENTS and told["unindexed"] <= MAX_UNINDEXED,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=told,
    )
