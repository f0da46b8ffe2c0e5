"""The memory's upkeep: the journal flushed, files compacted, indexes fresh, old versions gone, cited ones kept."""

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import lift_asset, result, skipped
from liftos_pipelines.resources.lake import Lake, LakeResource
from liftos_pipelines.resources.memory_store import MemoryStore, MemoryStoreResource


@lift_asset("memory/upkeep", deps=[["memory", "items"]], kinds={"lancedb"})
def upkeep(
    context: dg.AssetExecutionContext, lake: LakeResource, memory: MemoryStoreResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """How the memory lies on disk before and after its upkeep: rows, files, versions, rows the text index lacks,
    versions that the ledger cites. Nothing that was acknowledged may be gone afterwards."""
    store = memory.get(context.partition_key)
    if not store.count():
        return skipped("memory/upkeep", "nothing is remembered yet")
    held = store.count()
    flushed = store.flush()
    before = store.table.shape()
    after = store.optimize()
    removed = _remove_old_files(lake.get(), store) if store.forgotten() else 0
    readable = sum(store.at(name).height > 0 for name in store.tags())
    rows = [
        {"measure": name, "before": float(getattr(before, name)), "after": float(getattr(after, name))}
        for name in ("rows", "fragments", "versions", "unindexed", "pinned", "bytes")
    ]
    rows.append({"measure": "acknowledged", "before": float(held), "after": float(store.count())})
    rows.append({"measure": "pinned_readable", "before": float(before.pinned), "after": float(readable)})
    frame = pl.DataFrame(rows, schema={"measure": pl.String, "before": pl.Float64, "after": pl.Float64})
    return result(
        frame, flushed=flushed, lake_files_removed=removed, **dict(frame.select("measure", "after").iter_rows())
    )


def _remove_old_files(lake: Lake, store: MemoryStore) -> int:
    """Files of earlier versions of `memory/items`, which hold what was forgotten since; the lake's history of that
    table ends with them.
    """
    if not lake.exists(store.client, "memory/items"):
        return 0
    from deltalake import DeltaTable

    table = DeltaTable(lake.path(store.client, "memory/items"), storage_options=lake.storage_options or None)
    return len(table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False))
