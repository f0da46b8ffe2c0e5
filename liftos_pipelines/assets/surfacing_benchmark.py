"""Lift Surfacing compares: the brand beside its competitors over time, where the gap lies, and a page for reading."""

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.assets.surfacing_visibility import READ, SEED, groups_of
from liftos_pipelines.modules.surfacing.benchmark import benchmark as benchmark_of
from liftos_pipelines.modules.surfacing.decomposition import gap_decomposition as decompose
from liftos_pipelines.modules.surfacing.stability import stability as stability_of
from liftos_pipelines.tables import ALL


@lift_asset("surfacing/benchmark", ins=inputs("surfacing/answer_mentions"), code_version="1")
def benchmark(context: dg.AssetExecutionContext, answer_mentions: pl.DataFrame) -> dg.MaterializeResult[pl.DataFrame]:
    """Each brand's level now, change on the same prompts since last month and quarter, slope and rank probability."""
    if answer_mentions.is_empty():
        return skipped("surfacing/benchmark", "answers")
    compared = benchmark_of(answer_mentions, seed=SEED)
    own = compared.filter(pl.col("own"), pl.col("engine") == ALL, pl.col("metric") == "mention_rate")
    row = own.row(0, named=True) if own.height else {}
    return result(
        compared, **{name: row.get(name) for name in ("value", "change", "slope", "p_first", "paired_prompts")}
    )


@lift_asset("surfacing/stability", ins=inputs("surfacing/answer_mentions"), code_version="1")
def stability(context: dg.AssetExecutionContext, answer_mentions: pl.DataFrame) -> dg.MaterializeResult[pl.DataFrame]:
    """How far brand sets and ranks agree from run to run and month to month, beside what chance alone does."""
    if answer_mentions.is_empty():
        return skipped("surfacing/stability", "answers")
    found = stability_of(answer_mentions, seed=SEED)
    whole = found.filter(pl.col("engine") == ALL).iter_rows(named=True)
    return result(found, **{f"{row['scope']}_{row['measure']}": row["value"] for row in whole})


@lift_asset("surfacing/gap_decomposition", ins=READ, code_version="1")
def gap_decomposition(
    context: dg.AssetExecutionContext, answer_mentions: pl.DataFrame, answers: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """The gap to the leading competitor, split exactly by engine, prompt group and what happens in an answer."""
    if answer_mentions.is_empty():
        return skipped("surfacing/gap_decomposition", "answers")
    parts = decompose(answer_mentions, groups_of(client_of(context), answers), seed=SEED)
    whole = parts.filter((pl.col("engine") == ALL) & (pl.col("metric") == "mention_rate"))
    return result(parts, gap=whole["total"][0] if whole.height else None)
