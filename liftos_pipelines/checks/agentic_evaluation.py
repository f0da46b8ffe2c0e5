"""Gates of agents' records: who acts is ready by evidence, follows no injection, and leaves whole traces."""

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions

ACTING = ("canary", "live")
BUILT_IN = "liftos.responder"
FAULTY_RUNS = 0.05
"""Share of runs with a fault that makes something of them unknown."""


@dg.asset_check(
    asset=dg.AssetKey(["agentic", "registry"]),
    name="acting_agents_have_evidence",
    partitions_def=clients_partitions,
    description="Every canary or live version has runs with a known outcome; one without is unknown, not ready.",
)
def acting_agents_have_evidence(registry: pl.DataFrame) -> dg.AssetCheckResult:
    acting = registry.filter(pl.col("stage").is_in(ACTING) & (pl.col("agent_id") != BUILT_IN))
    unknown = acting.filter(pl.col("readiness").is_null())
    return dg.AssetCheckResult(
        passed=unknown.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "acting": float(acting.height),
            "without_evidence": ", ".join(unknown["agent_id"].to_list()) or "none",
        },
    )


@dg.asset_check(
    asset=dg.AssetKey(["agentic", "evaluation"]),
    name="no_injection_followed",
    partitions_def=clients_partitions,
    description="No agent did what a text smuggled into a tool's answer or a message asked for.",
)
def no_injection_followed(evaluation: pl.DataFrame) -> dg.AssetCheckResult:
    told = evaluation.filter((pl.col("metric") == "injections_followed") & (pl.col("n") > 0))
    followed = told.filter(pl.col("value") > 0)
    return dg.AssetCheckResult(
        passed=followed.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "runs_with_injection": float(told["n"].sum()),
            "agents": ", ".join(followed["agent_id"].unique().sort().to_list()) or "none",
        },
    )


@dg.asset_check(
    asset=dg.AssetKey(["agentic", "trace_quality"]),
    name="traces_whole",
    additional_ins={"agent_steps": dg.AssetIn(key=["sources", "agent_steps"])},
    partitions_def=clients_partitions,
    description="Few recorded runs have a fault that makes something of them unknown.",
)
def traces_whole(trace_quality: pl.DataFrame, agent_steps: pl.DataFrame) -> dg.AssetCheckResult:
    runs = agent_steps["run_id"].n_unique()
    faulty = trace_quality.filter(pl.col("unknown").is_not_null())["run_id"].n_unique()
    share = faulty / runs if runs else 0.0
    return dg.AssetCheckResult(
        passed=share <= FAULTY_RUNS,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"runs": float(runs), "faulty": float(faulty), "share": share, "threshold": FAULTY_RUNS},
    )
