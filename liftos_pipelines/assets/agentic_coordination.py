"""What happened when several agents wanted to act on the same thing."""

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import lift_asset, result
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.tables import table

TABLE = "agentic/coordination"


@lift_asset(TABLE, deps=[["agentic", "proposals"]], kinds={"sqlalchemy"}, code_version="1")
def coordination(context: dg.AssetExecutionContext, spine: SpineResource) -> dg.MaterializeResult[pl.DataFrame]:
    """Every action that asked for a target (a campaign, a channel's budget, a page, a prompt, an agent): granted, put
    in order behind another one, or refused as a duplicate or a conflict, with which other action and why."""
    contract = table(TABLE)
    rows = [
        {
            "action_id": said.decision_id,
            "agent_id": said.agent_id,
            "target": said.target,
            "incident": said.incident,
            "outcome": said.outcome,
            "with": said.other,
            "reason": said.reason,
            "at": said.at,
        }
        for said in spine.get().coordination(context.partition_key)
    ]
    frame = contract.conform(pl.DataFrame(rows, schema=contract.columns))
    count = dict(frame["outcome"].value_counts().iter_rows())
    names = ("granted", "ordered", "refused_duplicate", "refused_conflict")
    return result(frame, **{name: count.get(name, 0) for name in names})
