"""Gate of what language models say of the client's marketing."""

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions


@dg.asset_check(
    asset=dg.AssetKey(["llm", "claims"]),
    name="claims_agree_with_tables",
    partitions_def=clients_partitions,
    description="No recorded output says of a channel, a brand or a campaign what LiftOS's own tables contradict.",
)
def claims_agree_with_tables(claims: pl.DataFrame) -> dg.AssetCheckResult:
    wrong = claims.filter(pl.col("verdict") == "contradicted")
    told = [f"{claim} ({reason})" for claim, reason in wrong.head(5).select("claim", "reason").iter_rows()]
    return dg.AssetCheckResult(
        passed=wrong.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "contradicted": float(wrong.height),
            "claims": float(claims.height),
            "unknown": float((claims["verdict"] == "unknown").sum()),
            "which": "; ".join(told) or "none",
        },
    )
