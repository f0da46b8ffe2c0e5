"""Gates of surfacing's pages and advice: audits that measure, markup that parses, advice that invents nothing."""

import dagster as dg
import polars as pl

from liftos_pipelines.checks.surfacing import targets_of
from liftos_pipelines.clients import clients_partitions
from liftos_pipelines.modules.surfacing import DIMENSIONS, measured_share

AUDIT = dg.AssetKey(["surfacing", "page_audit"])
ADVICE = dg.AssetKey(["surfacing", "recommendations"])
TOLERANCE = 1e-9


@dg.asset_check(
    asset=AUDIT,
    name="audit_coverage",
    partitions_def=clients_partitions,
    description="As many of the audit's dimensions could be measured as the template wants.",
)
def audit_coverage(context: dg.AssetCheckExecutionContext, page_audit: pl.DataFrame) -> dg.AssetCheckResult:
    share = measured_share(page_audit)
    if share is None:
        return dg.AssetCheckResult(passed=True, metadata={"measured_share": "unknown"})
    target = targets_of(context.partition_key).audit_coverage
    unmeasured = page_audit.filter(pl.col("score").is_null())["dimension"].unique().sort().to_list()
    return dg.AssetCheckResult(
        passed=share >= target,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"measured_share": share, "target": target, "not_measured": ", ".join(unmeasured) or "none"},
    )


@dg.asset_check(
    asset=AUDIT,
    name="audit_consistent",
    blocking=True,
    partitions_def=clients_partitions,
    description="Scores in 0 to 100, a reason wherever there is none, weights of the scored dimensions summing to 1.",
)
def audit_consistent(page_audit: pl.DataFrame) -> dg.AssetCheckResult:
    reason = pl.col("reason") if "reason" in page_audit.columns else pl.lit(None, dtype=pl.String)
    wrong = page_audit.filter(
        ~pl.col("score").is_between(0, 100).fill_null(True) | (pl.col("score").is_null() != reason.is_not_null())
    ).height
    off = 0
    if "weight" in page_audit.columns:
        weights = (
            page_audit.filter(pl.col("dimension").is_in(list(DIMENSIONS))).group_by("url").agg(pl.col("weight").sum())
        )
        off = weights.filter((pl.col("weight") - 1).abs() > TOLERANCE).height
    return dg.AssetCheckResult(
        passed=wrong == off == 0, metadata={"rows_inconsistent": float(wrong), "pages_with_other_weights": float(off)}
    )


@dg.asset_check(
    asset=AUDIT,
    name="structured_data_parses",
    partitions_def=clients_partitions,
    description="Every block of structured data could be read; each broken one is named by page and position.",
)
def structured_data_parses(page_audit: pl.DataFrame) -> dg.AssetCheckResult:
    if "failed" not in page_audit.columns:
        return dg.AssetCheckResult(passed=True, metadata={"pages_with_broken_blocks": "unknown"})
    broken = page_audit.filter(pl.col("failed").list.contains("every block readable"))
    named = [f"{url}: {evidence}" for url, evidence in broken.select("url", "evidence").head(5).iter_rows()]
    return dg.AssetCheckResult(
        passed=broken.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"pages_with_broken_blocks": float(broken.height), "which": "; ".join(named) or "none"},
    )


@dg.asset_check(
    asset=ADVICE,
    name="no_effect_invented",
    blocking=True,
    partitions_def=clients_partitions,
    description="An expected effect only with the client's own outcomes behind it, inside its own interval.",
)
def no_effect_invented(recommendations: pl.DataFrame) -> dg.AssetCheckResult:
    count = pl.col("effect_n") if "effect_n" in recommendations.columns else pl.lit(0)
    wrong = recommendations.filter(
        pl.col("expected_effect").is_not_null()
        & ((count < 1) | ~pl.col("expected_effect").is_between("low", "high").fill_null(False))
    ).height
    return dg.AssetCheckResult(passed=wrong == 0, metadata={"rows_with_an_invented_effect": float(wrong)})
