"""What is screened and judged in recorded calls: injection, personal data, abuse, bias, and judges side by side."""

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.modules.llm.bias import bias_report as bias_of
from liftos_pipelines.modules.llm.judging import BUILT_IN, LENGTH_ONLY
from liftos_pipelines.modules.llm.judging import judge_agreement as agreement_of
from liftos_pipelines.modules.llm.screened import screen_calls, screen_summary
from liftos_pipelines.modules.llm.screens.measured import MEASURED
from liftos_pipelines.resources.call_prices import client_prices
from liftos_pipelines.resources.judge_model import configured_judges
from liftos_pipelines.resources.judging import judge_calls
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.tables import table


@lift_asset("llm/screens", ins=inputs("sources/llm_calls"), kinds={"polars"}, code_version="1")
def screens(context: dg.AssetExecutionContext, llm_calls: pl.DataFrame) -> dg.MaterializeResult[pl.DataFrame]:
    """Calls whose input, context or output orders the machine about, holds personal data, abuses or generalises."""
    if llm_calls.is_empty():
        return skipped("llm/screens", "llm_calls")
    flagged, checked = screen_calls(llm_calls)
    in_outputs = flagged.filter(pl.col("where") == "output")
    return result(
        flagged,
        summary=screen_summary(flagged, checked),
        measured_rates=dg.MetadataValue.md(MEASURED),
        injections_in_context=flagged.filter((pl.col("screen") == "injection") & (pl.col("where") == "context")).height,
        injections_in_outputs=(in_outputs["screen"] == "injection").sum(),
        personal_data_in_outputs=(in_outputs["screen"] == "pii").sum(),
    )


@lift_asset("llm/bias_report", ins=inputs("sources/llm_calls", "llm/call_scores"), kinds={"polars"}, code_version="2")
def bias_report(
    context: dg.AssetExecutionContext, llm_calls: pl.DataFrame, call_scores: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Whether outputs differ where an input's group term alone is exchanged, and recorded bias probes; Holm."""
    if llm_calls.is_empty():
        return skipped("llm/bias_report", "llm_calls")
    report = bias_of(llm_calls, call_scores)
    return result(
        report,
        differences=(report["verdict"] == "difference").sum(),
        tests_with_enough_pairs=report["verdict"].is_in(["difference", "no difference found"]).sum(),
    )


@lift_asset("llm/judgements", ins=inputs("sources/llm_calls"), kinds={"polars"}, code_version="1")
def judgements(
    context: dg.AssetExecutionContext, llm_calls: pl.DataFrame, lake: LakeResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Probability of support by each judge model of the client's own; calls judged once are not judged again."""
    if llm_calls.is_empty():
        return skipped("llm/judgements", "llm_calls")
    client = client_of(context)
    judges = configured_judges(client)
    if not judges:
        return result(table("llm/judgements").empty(), status="skipped: no judge in client.yaml (llm.judge)")
    before = lake.get().read(client.client, "llm/judgements")
    judged = judge_calls(llm_calls, before, judges, client_prices(client))
    failed = judged.drop_nulls("error")
    return result(
        judged,
        judges=", ".join(judge.name for judge, _ in judges),
        judged_now=judged["error"].is_null().sum(),
        unread=(judged["error"].is_null() & judged["probability"].is_null()).sum(),
        failed=failed.height,
        first_error=failed["error"][0] if failed.height else "none",
        cost=judged["cost"].sum() if judged["cost"].count() else None,
    )


@lift_asset(
    "llm/judge_agreement",
    ins=inputs("sources/llm_calls", "llm/call_scores", "llm/judgements"),
    kinds={"polars"},
    code_version="1",
)
def judge_agreement(
    context: dg.AssetExecutionContext, llm_calls: pl.DataFrame, call_scores: pl.DataFrame, judgements: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """The built-in judge, the client's judge models and a length-only control: agreement with labels, latency, cost."""
    if llm_calls.is_empty():
        return skipped("llm/judge_agreement", "llm_calls")
    agreement = agreement_of(llm_calls, call_scores, judgements)

    def measured(method: str) -> float | None:
        row = agreement.filter((pl.col("method") == method) & (pl.col("metric") == "auroc feedback"))
        return row["value"][0] if row.height else None

    return result(
        agreement,
        judges=agreement["method"].n_unique(),
        built_in_auroc_feedback=measured(BUILT_IN),
        length_only_auroc_feedback=measured(LENGTH_ONLY),
    )
