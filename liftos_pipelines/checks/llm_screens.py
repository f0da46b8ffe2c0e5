"""Gates of Lift LLM's screens: what a model says orders nobody about and gives away nobody's data."""

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions


@dg.asset_check(
    asset=dg.AssetKey(["llm", "screens"]),
    name="outputs_clean",
    partitions_def=clients_partitions,
    description="No output orders a machine about or holds personal data, as far as the screens see.",
)
def outputs_clean(screens: pl.DataFrame) -> dg.AssetCheckResult:
    outputs = screens.filter((pl.col("where") == "output") & pl.col("screen").is_in(["injection", "pii"]))
    injections = outputs.filter(pl.col("screen") == "injection")
    return dg.AssetCheckResult(
        passed=outputs.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "injections": float(injections.height),
            "personal_data": float(outputs.height - injections.height),
            "calls": ", ".join(outputs["call_id"].unique(maintain_order=True).head(5).to_list()) or "none",
        },
    )


@dg.asset_check(
    asset=dg.AssetKey(["llm", "judgements"]),
    name="judges_answer",
    partitions_def=clients_partitions,
    description="Every configured judge could be reached and loaded.",
)
def judges_answer(judgements: pl.DataFrame) -> dg.AssetCheckResult:
    failed = judgements.drop_nulls("error")
    return dg.AssetCheckResult(
        passed=failed.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"failed": float(failed.height), "first_error": failed["error"][0] if failed.height else "none"},
    )
