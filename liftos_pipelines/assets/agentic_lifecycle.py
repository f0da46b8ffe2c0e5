"""Which agents there are, at which stage each version stands, and what the evidence says of moving it."""

from datetime import UTC, datetime

import dagster as dg
import polars as pl

from liftos_pipelines.assets.agentic import package_version
from liftos_pipelines.assets.agentic_ledger import state_of
from liftos_pipelines.assets.common import inputs, lift_asset, result, skipped
from liftos_pipelines.authority.stops import EVERY_CLIENT
from liftos_pipelines.modules.agentic import evidence
from liftos_pipelines.modules.agentic import registry as registered
from liftos_pipelines.modules.agentic import rollouts as judged
from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.outbox import Tells, outbox
from liftos_pipelines.spine.payloads import AgentRolloutDecided

JUDGED_FROM = ("sources/agents", "sources/agent_steps", "agentic/policy_decisions")
DECIDED = ("promote", "rollback")


@lift_asset("agentic/registry", ins=inputs(*JUDGED_FROM), kinds={"polars"}, code_version="2")
def registry(
    context: dg.AssetExecutionContext,
    agents: pl.DataFrame,
    agent_steps: pl.DataFrame,
    policy_decisions: pl.DataFrame,
    spine: SpineResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """Every agent and version with the stage it stands at now and its readiness: the success rate it exceeds with 95 %
    probability (null: it never ran). Stages are moved by `liftos agents` and decided rollouts, each in the ledger."""
    if agents.is_empty() and agent_steps.is_empty():
        return skipped("agentic/registry", "agents")
    known = _registry(agents, agent_steps, policy_decisions, spine.get(), context.partition_key)
    return result(
        known,
        agents=known["agent_id"].n_unique(),
        never_run=(known["evidence_n"] == 0).sum(),
        unregistered=(~known["registered"]).sum(),
        stopped=known["stopped"].is_not_null().sum(),
        warnings="; ".join(known["warning"].drop_nulls().to_list()[:5]) or "none",
    )


@lift_asset("agentic/rollouts", ins=inputs(*JUDGED_FROM), kinds={"polars"}, code_version="2")
def rollouts(
    context: dg.AssetExecutionContext,
    agents: pl.DataFrame,
    agent_steps: pl.DataFrame,
    policy_decisions: pl.DataFrame,
    spine: SpineResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """Whether each agent's version should be promoted, held or rolled back, judged against the version before it by
    success, violations and cost; a decision is an event, once."""
    if agents.is_empty():
        return skipped("agentic/rollouts", "agents")
    log = spine.get()
    moves = state_of(log, context.partition_key).moves
    decided = judged.rollouts(agents, evidence.runs_of(agent_steps, agents), policy_decisions, moves)
    _announce(outbox(context, spine), context.partition_key, decided)
    count = dict(decided["decision"].value_counts().iter_rows())
    return result(decided, **{name: count.get(name, 0) for name in ("promote", "hold", "rollback")})


def registry_now(client: str, lake: Lake, spine: Spine) -> pl.DataFrame:
    """The registry as it is at this moment: what the lake knows of runs, what the ledger knows of stages and stops."""
    agents, steps, decisions = (lake.read(client, name) for name in JUDGED_FROM)
    return _registry(agents, steps, decisions, spine, client)


def _registry(
    agents: pl.DataFrame, steps: pl.DataFrame, decisions: pl.DataFrame, spine: Spine, client: str
) -> pl.DataFrame:
    state, now = state_of(spine, client), datetime.now(UTC)
    everywhere = state_of(spine, EVERY_CLIENT)
    return registered.registry(
        registered.with_responder(agents, package_version()),
        evidence.runs_of(steps, agents),
        decisions,
        state.moves,
        state.stopped(state.moment(now)) | everywhere.stopped(everywhere.moment(now)),
    )


def _announce(told: Tells, client: str, decided: pl.DataFrame) -> None:
    now = datetime.now(UTC)
    for row in decided.filter(pl.col("decision").is_in(DECIDED)).iter_rows(named=True):
        # The judged version is `to_version` of the table: it came after `from_version`.
        serves = (row["from_version"], row["to_version"])
        before, after = serves if row["decision"] == "promote" else serves[::-1]
        told.raise_event(
            client,
            AgentRolloutDecided(
                agent_id=row["agent_id"],
                version=row["to_version"],
                from_version=before,
                to_version=after,
                from_stage=row["stage"],
                stage=row["to_stage"],
                decision=row["decision"],
                reason=row["evidence"],
                number=row["number"],
                evidence={name: row.get(name) for name in judged.NUMBERS},
            ),
            occurred_at=now,
        )
