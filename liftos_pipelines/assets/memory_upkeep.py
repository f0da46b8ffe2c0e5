"""The memory's upkeep: the journal flushed, files compacted, indexes fresh, old versions gone, cited ones kept."""

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import lift_asset, result, skipped
from liftos_pipelines.resources.memory_store import MemoryStoreResource


@lift_asset("memory/upkeep", deps=[["memory", "items"]], kinds={"lancedb"})
def upkeep(context: dg.AssetExecutionContext, memory: MemoryStoreResource) -> dg.MaterializeResult[pl.DataFrame]:
    """How the memory lies on disk before and after its upkeep: rows, files, versions, rows the text index lacks,
    versions that the ledger cites. Nothing that was acknowledged may be gone afterwards."""
    store = memory.get(context.partition_key)
    if not store.count():
        return skipped("memory/upkeep", "nothing is remembered yet")
    held = store.count()
    flushed = store.flush()
    before = store.table.shape()
    after = store.optimize()
    readable = sum(store.at(name).height > 0 for name in store.tags())
    rows = [
        {"measure": name, "before": float(getattr(before, name)), "after": float(getattr(after, name))}
        for name in ("rows", "fragments", "versions", "unindexed", "pinned", "bytes")
    ]
    rows.append({"measure": "acknowledged", "before": float(held), "after": float(store.count())})
    rows.append({"measure": "pinned_readable", "before": float(before.pinned), "after": float(readable)})
    frame = pl.DataFrame(rows, schema={"measure": pl.String, "before": pl.Float64, "after": pl.Float64})
    return result(frame, flushed=flushed, **dict(frame.select("measure", "after").iter_rows()))
