"""What language models say of the client's marketing, against what LiftOS knows of it."""

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.modules.llm.known_facts import SOURCES, facts_of
from liftos_pipelines.modules.llm.known_facts import claims as claims_of
from liftos_pipelines.resources.lake import LakeResource


@lift_asset(
    "llm/claims",
    ins=inputs("sources/llm_calls"),
    deps=[name.split("/") for name in SOURCES],
    kinds={"polars"},
    code_version="1",
)
def claims(
    context: dg.AssetExecutionContext, llm_calls: pl.DataFrame, lake: LakeResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Claims of recorded outputs about channels, shares of voice and budgets, each against the tables that know it
    (supported, contradicted, or unknown with the reason)."""
    if llm_calls.is_empty():
        return skipped("llm/claims", "llm_calls")
    client, store = client_of(context), lake.get()
    facts = facts_of({name: store.read(client.client, name) for name in SOURCES}, client.currency)
    found = claims_of(llm_calls, facts)
    counted = dict(found["verdict"].value_counts().iter_rows())
    wrong = found.filter(pl.col("verdict") == "contradicted")
    return result(
        found,
        facts=len(facts),
        claims=found.height,
        **{name: counted.get(name, 0) for name in ("supported", "contradicted", "unknown")},
        wrong=wrong.head(8).select("call_id", "claim", "reason"),
    )
