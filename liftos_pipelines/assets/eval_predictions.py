"""Lift Eval watches predictions: what every module said would happen, beside what came."""

from collections.abc import Mapping
from datetime import UTC, date, datetime

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import lift_asset, result
from liftos_pipelines.modules.agentic.outcomes import as_source_outcomes
from liftos_pipelines.modules.eval import predicted
from liftos_pipelines.modules.eval.predictions import accuracy, follow
from liftos_pipelines.modules.memory.learning.evidence import direction
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.outbox import outbox

TABLE = REACTION = "eval/predictions"
READ = (
    *("agentic/proposals", "memory/insights", "causal/campaign_outlook", "causal/budget_plan", "causal/scenario_weeks"),
    *("sources/outcomes", "agentic/outcomes", "sources/marketing_outcome", "sources/campaigns"),
)


@lift_asset(TABLE, deps=[name.split("/") for name in READ], kinds={"polars"}, code_version="1")
def predictions(
    context: dg.AssetExecutionContext, lake: LakeResource, spine: SpineResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Every prediction as it was made (effects of actions, chances of insights, gains of campaigns and plans, the KPI
    of weeks to come) beside its outcome: whether its direction was right and its 90 % interval held it, by module."""
    client, store, log, now = context.partition_key, lake.get(), spine.get(), datetime.now(UTC)
    frames = {name: store.read(client, name) for name in READ}
    told = outbox(context, log)
    for event in log.unhandled(REACTION, ["agent_action_initiated"], limit=100_000, client=client):
        told.mark_handled(event.event_id, REACTION)
    found = follow(
        store.read(client, TABLE),
        [
            *predicted.of_proposals(frames["agentic/proposals"]),
            *predicted.of_insights(frames["memory/insights"], frames["sources/campaigns"], _as_of(frames, now), now),
            *predicted.of_campaigns(frames["causal/campaign_outlook"]),
            *predicted.of_plan(frames["causal/budget_plan"], now),
            *predicted.of_forecasts(frames["causal/scenario_weeks"], now),
        ],
        outcomes=_outcomes(frames),
        kpi=frames["sources/marketing_outcome"],
        direction=direction,
        now=now,
    )
    by_module = accuracy(found)
    counts = dict(found["status"].value_counts().iter_rows())
    rates = {
        f"{row['module']}_{name}": row[name]
        for row in by_module.iter_rows(named=True)
        for name in ("hit_rate", "coverage", "hit_rate_n", "coverage_n")
    }
    return result(
        found, by_module=by_module, **{name: counts.get(name, 0) for name in ("open", "known", "overdue")}, **rates
    )


def _outcomes(frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """What the client measured, and what was measured here of agents' actions."""
    measured = as_source_outcomes(frames["agentic/outcomes"])
    return pl.concat([frames["sources/outcomes"], measured], how="diagonal")


def _as_of(frames: Mapping[str, pl.DataFrame], now: datetime) -> date:
    """The newest day of the client's marketing, up to today; today without any."""
    newest = frames["sources/marketing_outcome"]["date"].max()
    return min(newest, now.date()) if isinstance(newest, date) else now.date()
