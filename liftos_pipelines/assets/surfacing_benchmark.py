"""Lift Surfacing compares: the brand beside its competitors over time, where the gap lies, and a page for reading."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import DAILY, SKIPPED, client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.assets.surfacing_visibility import READ, SEED, groups_of
from liftos_pipelines.clients import clients_partitions
from liftos_pipelines.modules.surfacing.visibility.benchmark import benchmark as benchmark_of
from liftos_pipelines.modules.surfacing.visibility.decomposition import gap_decomposition as decompose
from liftos_pipelines.modules.surfacing.visibility.panel_design import panel_plan, plan_words
from liftos_pipelines.modules.surfacing.visibility.stability import stability as stability_of
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.tables import ALL
from liftos_pipelines.templates.loader import load_template

PAGE = "visibility_report.html"
REPEATS = 3
"""How often the report's advice asks each prompt a month."""


@lift_asset("surfacing/benchmark", ins=inputs("surfacing/answer_mentions"), kinds={"polars"}, code_version="1")
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


@lift_asset("surfacing/stability", ins=inputs("surfacing/answer_mentions"), kinds={"polars"}, code_version="1")
def stability(context: dg.AssetExecutionContext, answer_mentions: pl.DataFrame) -> dg.MaterializeResult[pl.DataFrame]:
    """How far brand sets and ranks agree from run to run and month to month, beside what chance alone does."""
    if answer_mentions.is_empty():
        return skipped("surfacing/stability", "answers")
    found = stability_of(answer_mentions, seed=SEED)
    whole = found.filter(pl.col("engine") == ALL).iter_rows(named=True)
    return result(found, **{f"{row['scope']}_{row['measure']}": row["value"] for row in whole})


@lift_asset("surfacing/gap_decomposition", ins=READ, kinds={"polars"}, code_version="1")
def gap_decomposition(
    context: dg.AssetExecutionContext, answer_mentions: pl.DataFrame, answers: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """The gap to the leading competitor, split exactly by engine, prompt group and what happens in an answer."""
    if answer_mentions.is_empty():
        return skipped("surfacing/gap_decomposition", "answers")
    parts = decompose(answer_mentions, groups_of(client_of(context), answers), seed=SEED)
    whole = parts.filter((pl.col("engine") == ALL) & (pl.col("metric") == "mention_rate"))
    return result(parts, gap=whole["total"][0] if whole.height else None)


@dg.asset(
    key=["surfacing", "report"],
    ins=inputs(
        "surfacing/visibility",
        "surfacing/visibility_posterior",
        "surfacing/visibility_pairs",
        "surfacing/benchmark",
        "surfacing/stability",
        "surfacing/gap_decomposition",
        "surfacing/prompt_gaps",
        "surfacing/source_gaps",
        "surfacing/shifts",
    ),
    partitions_def=clients_partitions,
    group_name="surfacing",
    owners=["team:surfacing"],
    freshness_policy=DAILY,
    kinds={"html"},
    code_version="1",
)
def report(
    context: dg.AssetExecutionContext,
    visibility: pl.DataFrame,
    visibility_posterior: pl.DataFrame,
    visibility_pairs: pl.DataFrame,
    benchmark: pl.DataFrame,
    stability: pl.DataFrame,
    gap_decomposition: pl.DataFrame,
    prompt_gaps: pl.DataFrame,
    source_gaps: pl.DataFrame,
    shifts: pl.DataFrame,
    lake: LakeResource,
) -> dg.MaterializeResult[Any]:
    """One self-contained HTML page: who is named how often, how sure that is, and where the gap lies."""
    from liftos_pipelines.modules.surfacing.report.page import Report, report_page
    from liftos_pipelines.modules.surfacing.report.words import lead

    client = client_of(context)
    if client.brand is None or visibility.is_empty():
        missing = "answers" if client.brand is not None else "brand in client.yaml"
        return dg.MaterializeResult(metadata={"status": f"{SKIPPED} ({missing})"})
    width = load_template(client.industry, client.folder).targets.interval_width
    now = datetime.now(UTC)
    page = report_page(
        Report(
            client=client.client,
            brand=client.brand.name,
            now=now,
            visibility=visibility,
            posterior=visibility_posterior,
            pairs=visibility_pairs,
            benchmark=benchmark,
            stability=stability,
            decomposition=gap_decomposition,
            prompt_gaps=prompt_gaps,
            source_gaps=source_gaps,
            shifts=shifts,
            panel=plan_words(panel_plan(visibility_posterior, width, REPEATS)),
        )
    ).encode()
    file = lake.get().folder(client.client, "surfacing") / PAGE
    partial = file.with_suffix(".partial")
    partial.write_bytes(page)
    partial.replace(file)
    return dg.MaterializeResult(
        metadata={
            "status": "ok",
            "verdict": lead(visibility_posterior, visibility_pairs),
            "page": dg.MetadataValue.path(str(file)),
            "sha256": hashlib.sha256(page).hexdigest(),
            "bytes": float(len(page)),
            "generated_at": now.isoformat(timespec="seconds"),
        }
    )
