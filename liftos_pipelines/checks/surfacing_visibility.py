"""Gates of Lift Surfacing's measures: enough prompts to say something, and a posterior that was integrated whole."""

import dagster as dg
import polars as pl

from liftos_pipelines.checks.surfacing import targets_of
from liftos_pipelines.clients import clients_partitions, load_client
from liftos_pipelines.modules.surfacing.visibility.panel_design import panel_plan
from liftos_pipelines.tables import ALL

EDGE = 0.01
"""Probability on the rim of the posterior's grid above which its intervals may be cut short."""
SUM_TOLERANCE = 1e-9


@dg.asset_check(
    asset=dg.AssetKey(["surfacing", "visibility_posterior"]),
    name="enough_prompts",
    partitions_def=clients_partitions,
    description="The newest month's interval of the brand's mention rate is as narrow as the template wants it.",
)
def enough_prompts(context: dg.AssetCheckExecutionContext, visibility_posterior: pl.DataFrame) -> dg.AssetCheckResult:
    target = targets_of(context.partition_key).interval_width
    own = visibility_posterior.filter(pl.col("own"))
    if own.is_empty():
        client = load_client(context.partition_key)
        asked = client.sources.answers is not None and client.brand is not None
        return dg.AssetCheckResult(
            passed=not asked,
            severity=dg.AssetCheckSeverity.WARN,
            description="no month has two prompts with readable answers: no interval" if asked else None,
            metadata={"interval_width": "unknown", "target": target},
        )
    newest = own.filter(pl.col("engine") == ALL).sort("period").row(-1, named=True)
    width = newest["high"] - newest["low"]
    repeats = max(round(newest["n_answers"] / newest["n_prompts"]), 1)
    needed = panel_plan(visibility_posterior, target, repeats).prompts_needed
    return dg.AssetCheckResult(
        passed=width <= target,
        severity=dg.AssetCheckSeverity.WARN,
        description=None
        if width <= target
        else f"{newest['n_prompts']} prompts give an interval {width:.2f} wide; about {needed or 'more than 5000'} are "
        f"needed for {target:.2f} on one engine (liftos surfacing panel {context.partition_key})",
        metadata={
            "interval_width": width,
            "target": target,
            "prompts": float(newest["n_prompts"]),
            "prompts_needed": float(needed) if needed is not None else "unknown",
            "icc": newest["icc"],
        },
    )


@dg.asset_check(
    asset=dg.AssetKey(["surfacing", "visibility_posterior"]),
    name="posterior_whole",
    blocking=True,
    partitions_def=clients_partitions,
    description=f"Intervals hold their rate, probabilities of ranks sum to 1, the grid's rim holds < {EDGE:.0%}.",
)
def posterior_whole(visibility_posterior: pl.DataFrame) -> dg.AssetCheckResult:
    # A mean may lie outside the central 90 % only where nearly all draws are nil.
    outside = visibility_posterior.filter((pl.col("low") > pl.col("rate")) | (pl.col("rate") > pl.col("high"))).height
    sums = visibility_posterior["rank_probabilities"].list.sum() if visibility_posterior.height else pl.Series([1.0])
    worst = visibility_posterior["edge"].max() if visibility_posterior.height else 0.0
    edge = float(worst) if isinstance(worst, float) else 0.0
    passed = outside == 0 and bool(((sums - 1).abs() < SUM_TOLERANCE).all()) and edge < EDGE
    return dg.AssetCheckResult(
        passed=passed, metadata={"rows_outside": float(outside), "largest_edge": edge, "threshold": EDGE}
    )


@dg.asset_check(
    asset=dg.AssetKey(["surfacing", "gap_decomposition"]),
    name="parts_add_up",
    blocking=True,
    partitions_def=clients_partitions,
    description="The parts of every decomposition add up to its gap, or to the gap's change.",
)
def parts_add_up(gap_decomposition: pl.DataFrame) -> dg.AssetCheckResult:
    kind = pl.col("component").replace({"mix": "change", "rate": "change"})
    sums = (
        gap_decomposition.with_columns(kind=kind)
        .group_by("engine", "metric", "dimension", "kind")
        .agg(apart=(pl.col("value").sum() - pl.col("total").first()).abs())
    )
    worst = sums["apart"].max()
    apart = float(worst) if isinstance(worst, float) else 0.0
    return dg.AssetCheckResult(passed=apart < SUM_TOLERANCE, metadata={"largest_difference": apart})
