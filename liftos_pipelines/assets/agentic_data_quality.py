"""Whether the data that agents decide on may be relied on."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, lift_asset, result
from liftos_pipelines.modules.agentic import data_quality as quality
from liftos_pipelines.modules.llm.prices import PriceTable
from liftos_pipelines.modules.sources.rows import MAY_BE_EMPTY, QUARANTINE
from liftos_pipelines.resources.call_prices import client_prices
from liftos_pipelines.resources.lake import Lake, LakeResource
from liftos_pipelines.tables import SOURCES

NAME = "agentic/data_quality"
DATASETS = tuple(f"sources/{source}" for source in SOURCES)
COST_TOLERANCE = 0.01
"""A recorded cost within this share of tokens times price is confirmed by it."""


@lift_asset(NAME, deps=[name.split("/") for name in DATASETS], kinds={"polars"}, code_version="1")
def data_quality(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult[pl.DataFrame]:
    """Every source by eight dimensions (completeness, accuracy, consistency, validity, uniqueness, timeliness,
    relevance, integrity), each a share with its interval or unknown, and whether agents may rely on it."""
    client, store = client_of(context), lake.get()
    tables = {name: store.read(client.client, name) for name in DATASETS}
    received = [_received(context, name, rows, store) for name, rows in tables.items()]
    confirmed = {"sources/llm_calls": costs_confirmed(tables["sources/llm_calls"], client_prices(client))}
    judged = quality.data_quality(received, datetime.now(UTC), confirmed)
    overall = judged.filter(pl.col("dimension") == quality.OVERALL)
    count = dict(overall["status"].value_counts().iter_rows())
    return result(
        judged,
        sources=overall.height,
        lowest=overall["score"].min(),
        **{name: count.get(name, 0) for name in ("pass", "fail", "unknown")},
    )


def _received(context: dg.AssetExecutionContext, name: str, rows: pl.DataFrame, store: Lake) -> quality.Received:
    source, told = name.split("/")[1], _last_said(context, name)
    if source in ("marketing_media", "marketing_controls"):
        # The wide marketing file feeds three tables; its rows are counted once, with the outcome.
        aside = pl.DataFrame(schema=QUARANTINE)
    else:
        aside = store.quarantine(context.partition_key, source.removesuffix("_outcome"))
    return quality.Received(
        dataset=name,
        rows=rows,
        set_aside=aside,
        may_be_empty=MAY_BE_EMPTY.get(name, frozenset()),
        identical=_count(told.get("rows_identical")),
        restated=_count(told.get("rows_restated_by_a_later_file")),
        ignored=_ignored(told),
    )


def costs_confirmed(calls: pl.DataFrame, prices: PriceTable) -> tuple[int, int, str]:
    """Recorded costs that tokens times price confirm: how many of how many, and whose word that is."""
    recorded = calls.filter(pl.col("cost").is_not_null())
    good = asked = 0
    for model, tokens_in, tokens_out, cost in recorded.select(
        "model", "input_tokens", "output_tokens", "cost"
    ).iter_rows():
        expected = prices.cost(model, tokens_in, tokens_out)
        if expected is not None:
            asked += 1
            good += abs(cost - float(expected)) <= COST_TOLERANCE * float(expected)
    return (good, asked, f"tokens times {prices.source}")


def _last_said(context: dg.AssetExecutionContext, dataset: str) -> dict[str, Any]:
    """What the source's newest materialisation of this client recorded about itself."""
    found = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(dataset.split("/")), asset_partitions=[context.partition_key]),
        limit=1,
    )
    newest = found.records[0].asset_materialization if found.records else None
    return {name: value.value for name, value in newest.metadata.items()} if newest else {}


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) else None


def _ignored(told: dict[str, Any]) -> tuple[str, ...] | None:
    """Columns nobody reads; unknown for the wide marketing table, whose mapping names its columns itself."""
    said = told.get("columns_ignored")
    return None if said is None else tuple(part.split(" (")[0] for part in said.split(", ") if part)
