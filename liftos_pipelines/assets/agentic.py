"""Lift Agentic's judgements: every recorded call of a client's agents, by the client's policy."""

from collections.abc import Callable, Collection
from importlib.metadata import PackageNotFoundError, version

import dagster as dg
import polars as pl

from liftos_pipelines.assets.agentic_ledger import state_of
from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.authority.policies import client_policy
from liftos_pipelines.modules.agentic import replay
from liftos_pipelines.modules.agentic.policy import Policy
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import LedgerNote, Spine
from liftos_pipelines.spine.outbox import Tells, outbox
from liftos_pipelines.spine.payloads import BudgetExhausted, PolicyViolationDetected

AGENT_SOURCES = ("sources/agents", "sources/agent_steps")


@lift_asset("agentic/policy_decisions", ins=inputs(*AGENT_SOURCES), kinds={"polars"}, code_version="1")
def policy_decisions(
    context: dg.AssetExecutionContext, agents: pl.DataFrame, agent_steps: pl.DataFrame, spine: SpineResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Every recorded tool call judged by the client's policy; calls that it denies are violations and raise events."""
    if agent_steps.is_empty():
        return skipped("agentic/policy_decisions", "agent_steps")
    policy = client_policy(client_of(context))
    versions = dict(agents.select("agent_id", "version").iter_rows())
    stops = state_of(spine.get(), context.partition_key).stops_of(versions)
    judged = replay.replay(agent_steps, agents, policy, stops, screen_for(policy))
    _announce(spine.get(), outbox(context, spine), context.partition_key, judged, policy)
    count = dict(judged.decisions["decision"].value_counts().iter_rows())
    return result(
        judged.decisions,
        allowed=count.get("allow", 0),
        needs_approval=count.get("needs_approval", 0),
        violations=count.get("deny", 0),
        budgets_exhausted=len(judged.exhausted),
        steps_given_twice=len(judged.duplicates),
        steps_out_of_order=len(judged.out_of_order),
        policy=policy.name,
        policy_version=policy.version,
        policy_warnings="; ".join(policy.warnings) or "none",
    )


def screen_for(policy: Policy) -> Callable[[str], Collection[str]] | None:
    """What reads tools' answers for a policy that asks whether they are flagged; None where no rule does."""
    if not replay.asks_flags(policy):
        return None
    from liftos_pipelines.modules.llm.screens import injection

    return lambda text: ("injection",) if injection(text).flagged else ()


def package_version() -> str:
    """The installed LiftOS version, which is the built-in responder's."""
    try:
        return version("liftos-pipelines")
    except PackageNotFoundError:
        return "source"


def _announce(spine: Spine, told: Tells, client: str, judged: replay.Replay, policy: Policy) -> None:
    """Events and ledger entries for what policy denied; what was announced before is left alone."""
    known = {event.payload.cause_key() for event in spine.events(client, [PolicyViolationDetected.type])}
    notes = []
    for violation in judged.violations:
        payload = PolicyViolationDetected(
            run_id=violation.run_id,
            step=violation.step,
            agent_id=violation.agent_id,
            policy=violation.policy,
            reason=violation.reason,
        )
        if payload.cause_key() in known:
            continue
        body = payload.model_dump(mode="json") | {"policy_version": policy.version}
        key = f"violation:{policy.version[:16]}:{payload.cause_key()}"
        notes.append(LedgerNote("policy_violation", violation.agent_id, body, key))
        told.raise_event(client, payload, occurred_at=violation.at)
    spine.append_ledger_many(client, notes)
    for spent in judged.exhausted:
        told.raise_event(
            client,
            BudgetExhausted(agent_id=spent.agent_id, limit=spent.limit, spent=spent.spent, at=spent.at),
            occurred_at=spent.at,
        )
