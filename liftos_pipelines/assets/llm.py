"""Lift LLM's assets: recorded calls become scores, comparisons of variants, weekly performance."""

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.modules.llm.performance import performance as performance_of
from liftos_pipelines.modules.llm.prices import total, unpriced_by_model
from liftos_pipelines.modules.llm.scores import score_calls
from liftos_pipelines.resources.call_prices import client_prices
from liftos_pipelines.resources.grounding_model import packaged_calibration


@lift_asset("llm/call_scores", ins=inputs("sources/llm_calls"), kinds={"polars"}, code_version="2")
def call_scores(context: dg.AssetExecutionContext, llm_calls: pl.DataFrame) -> dg.MaterializeResult[pl.DataFrame]:
    """Each call's probability of being supported by its context, what is not, wording screens, cost and latency."""
    if llm_calls.is_empty():
        return skipped("llm/call_scores", "llm_calls")
    prices = client_prices(client_of(context))
    scores = score_calls(llm_calls, prices, packaged_calibration())
    return result(
        scores,
        groundedness=scores["groundedness"].mean(),
        unsupported_share=scores["unsupported"].mean(),
        calls_with_context=scores["groundedness"].count(),
        toxicity_flagged=scores["toxicity_flag"].sum() if scores["toxicity_flag"].count() else None,
        bias_flagged=scores["bias_flag"].sum() if scores["bias_flag"].count() else None,
        cost=None if (spent := total(scores["cost"])) is None else float(spent),
        cost_known_share=scores["cost"].count() / scores.height,
        cost_unknown_by_model=unpriced_by_model(llm_calls, scores),
        price_source=prices.source,
    )


@lift_asset("llm/performance", ins=inputs("sources/llm_calls", "llm/call_scores"), kinds={"polars"}, code_version="2")
def performance(
    context: dg.AssetExecutionContext, llm_calls: pl.DataFrame, call_scores: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Calls, error rate, latency, cost and groundedness a week, model, prompt, version and use case, with 90 %
    intervals."""
    if llm_calls.is_empty():
        return skipped("llm/performance", "llm_calls")
    weekly = performance_of(llm_calls, call_scores)
    newest = weekly.filter(pl.col("period") == pl.col("period").max())
    return result(
        weekly,
        calls=weekly["calls"].sum(),
        latest_calls=newest["calls"].sum(),
        latest_cost=newest["cost"].sum() if newest["cost"].count() else None,
        latest_latency_p95=newest["latency_p95"].max(),
    )
