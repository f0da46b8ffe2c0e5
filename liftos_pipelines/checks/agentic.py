"""Gates of Lift Agentic: no violations, budgets kept."""

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions

BUDGET_GUARD = "budget"


@dg.asset_check(
    asset=dg.AssetKey(["agentic", "policy_decisions"]),
    name="no_violations",
    partitions_def=clients_partitions,
    description="No recorded call that the policy denies.",
)
def no_violations(policy_decisions: pl.DataFrame) -> dg.AssetCheckResult:
    denied = policy_decisions.filter(pl.col("decision") == "deny")
    by_policy = denied.group_by("policy").len().sort("len", descending=True)
    return dg.AssetCheckResult(
        passed=denied.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "violations": float(denied.height),
            "calls": float(policy_decisions.height),
            "by_policy": ", ".join(f"{policy}: {n}" for policy, n in by_policy.iter_rows()) or "none",
        },
    )


@dg.asset_check(
    asset=dg.AssetKey(["agentic", "policy_decisions"]),
    name="budgets_kept",
    partitions_def=clients_partitions,
    description="No recorded call that would have gone over its agent's budget.",
)
def budgets_kept(policy_decisions: pl.DataFrame) -> dg.AssetCheckResult:
    over = policy_decisions.filter((pl.col("decision") == "deny") & (pl.col("policy") == BUDGET_GUARD))
    agents = ", ".join(over["agent_id"].unique().sort().to_list())
    return dg.AssetCheckResult(
        passed=over.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"calls_over_budget": float(over.height), "agents": agents or "none"},
    )
