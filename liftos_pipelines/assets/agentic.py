"""Lift Agentic's assets: who acts, within which authority, how well, and the responses to what happened."""

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import yaml

from liftos_pipelines.assets.agentic_reaction import answer_impacts
from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.agentic import evidence, replay
from liftos_pipelines.modules.agentic import registry as registered
from liftos_pipelines.modules.agentic.policy import Policy, PolicyError, parse_policy
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.payloads import BudgetExhausted, PolicyViolationDetected
from liftos_pipelines.tables import table

DEFAULT_POLICY = Path(__file__).resolve().parents[1] / "policies" / "default.yaml"
AGENT_SOURCES = ("sources/agents", "sources/agent_steps")


@lift_asset("agentic/registry", ins=inputs(*AGENT_SOURCES), kinds={"polars"}, code_version="1")
def registry(
    context: dg.AssetExecutionContext, agents: pl.DataFrame, agent_steps: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Every agent and version with its stage and readiness: the success rate it exceeds with 95 % probability."""
    if agents.is_empty() and agent_steps.is_empty():
        return skipped("agentic/registry", "agents")
    runs = evidence.runs_of(agent_steps, agents)
    known = registered.registry(registered.with_responder(agents, package_version()), runs)
    return result(
        known,
        agents=known["agent_id"].n_unique(),
        never_run=(known["evidence_n"] == 0).sum(),
        unregistered=(~known["registered"]).sum(),
    )


@lift_asset("agentic/policy_decisions", ins=inputs(*AGENT_SOURCES), kinds={"polars"}, code_version="1")
def policy_decisions(
    context: dg.AssetExecutionContext, agents: pl.DataFrame, agent_steps: pl.DataFrame, spine: SpineResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Every recorded tool call judged by the client's policy; calls that it denies are violations and raise events."""
    if agent_steps.is_empty():
        return skipped("agentic/policy_decisions", "agent_steps")
    policy = client_policy(client_of(context))
    judged = replay.replay(agent_steps, agents, policy)
    _announce(spine.get(), context.partition_key, judged, policy)
    count = dict(judged.decisions["decision"].value_counts().iter_rows())
    return result(
        judged.decisions,
        allowed=count.get("allow", 0),
        needs_approval=count.get("needs_approval", 0),
        violations=count.get("deny", 0),
        budgets_exhausted=len(judged.exhausted),
        policy=policy.name,
        policy_version=policy.version,
    )


@lift_asset(
    "agentic/performance", ins=inputs(*AGENT_SOURCES, "agentic/policy_decisions"), kinds={"polars"}, code_version="1"
)
def performance(
    context: dg.AssetExecutionContext, agents: pl.DataFrame, agent_steps: pl.DataFrame, policy_decisions: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Success with 90 % intervals, cost, violations and pass^k of each agent version, by month and over all time."""
    if agent_steps.is_empty():
        return skipped("agentic/performance", "agent_steps")
    measured = evidence.performance(evidence.runs_of(agent_steps, agents), policy_decisions)
    total = measured.filter(pl.col("period") == "all")
    outcomes = int(total["outcomes"].sum())
    successes = float((total["success_rate"] * total["outcomes"]).sum() or 0.0)
    return result(
        measured,
        runs=total["runs"].sum(),
        success_rate=successes / outcomes if outcomes else None,
        cost=total["cost"].sum() if total["cost"].count() else None,
        violations=total["violations"].sum(),
    )


@lift_asset(
    "agentic/rollouts", ins=inputs(*AGENT_SOURCES, "agentic/policy_decisions"), kinds={"polars"}, code_version="1"
)
def rollouts(
    context: dg.AssetExecutionContext, agents: pl.DataFrame, agent_steps: pl.DataFrame, policy_decisions: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Whether each agent's version should be promoted, held or rolled back, judged against the version before it."""
    if agents.is_empty():
        return skipped("agentic/rollouts", "agents")
    decided = registered.rollouts(agents, evidence.runs_of(agent_steps, agents), policy_decisions)
    count = dict(decided["decision"].value_counts().iter_rows())
    return result(decided, **{name: count.get(name, 0) for name in ("promote", "hold", "rollback")})


@lift_asset(
    "agentic/ledger_audit",
    deps=[dg.AssetKey(["agentic", "policy_decisions"]), dg.AssetKey(["agentic", "proposals"])],
    kinds={"sqlalchemy"},
    code_version="1",
)
def ledger_audit(context: dg.AssetExecutionContext, spine: SpineResource) -> dg.MaterializeResult[pl.DataFrame]:
    """The client's ledger recomputed from its start: whether every entry is as written and none is missing."""
    audit = spine.get().verify_ledger(context.partition_key)
    row = {
        "verified": audit.verified,
        "entries": audit.entries,
        "first_bad_entry": audit.first_bad_entry,
        "root_hash": audit.root_hash,
        "reason": audit.reason,
    }
    schema = {**table("agentic/ledger_audit").columns, "reason": pl.String()}
    return result(pl.DataFrame([row], schema=schema), verified=audit.verified, entries=audit.entries)


@lift_asset(
    "agentic/proposals",
    ins=inputs("sources/agents", "sources/campaigns"),
    deps=[dg.AssetKey(["causal", "impact"]), dg.AssetKey(["causal", "budget_plan"])],
    kinds={"polars"},
    code_version="1",
)
def proposals(
    context: dg.AssetExecutionContext,
    agents: pl.DataFrame,
    campaigns: pl.DataFrame,
    spine: SpineResource,
    lake: LakeResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """Responses to identified impacts: judged by the client's policy, then executed, queued for approval or denied."""
    client = client_of(context)
    store = lake.get()
    answered = answer_impacts(
        client,
        spine=spine.get(),
        policy=client_policy(client),
        agents=registered.with_responder(agents, package_version()),
        campaigns=campaigns,
        plan=store.read(client.client, "causal/budget_plan"),
        folder=store.folder(client.client, "agentic"),
        now=datetime.now(UTC),
    )
    count = dict(answered["status"].value_counts().iter_rows())
    names = ("executed", "awaiting_approval", "denied", "failed")
    return result(answered, proposals=answered.height, **{name: count.get(name, 0) for name in names})


def client_policy(client: ClientConfig) -> Policy:
    """The client's own policy file, or the packaged default.

    Raises
    ------
    PolicyError : the file is absent, unreadable, or says something a policy cannot say
    """
    variables = {"internal_domains": list(client.brand.domains) if client.brand else []}
    default = _read_yaml(DEFAULT_POLICY)
    if client.policies is None:
        return parse_policy(default, file="default policy", variables=variables)
    file = client.folder / client.policies
    if not file.is_file():
        raise PolicyError(f"{client.folder / 'client.yaml'}: policies: there is no file {file}; mend the path")
    return parse_policy(_read_yaml(file), file=str(file), base=default, variables=variables)


def package_version() -> str:
    """The installed LiftOS version, which is the built-in responder's."""
    try:
        return version("liftos-pipelines")
    except PackageNotFoundError:
        return "source"


def _read_yaml(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PolicyError(f"{file}: not readable as YAML: {error}") from error


def _announce(spine: Spine, client: str, judged: replay.Replay, policy: Policy) -> None:
    """Events and ledger entries for what policy denied; what was announced before is left alone."""
    known = {event.payload.cause_key() for event in spine.events(client, [PolicyViolationDetected.type])}
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
        spine.append_ledger(
            client,
            "policy_violation",
            violation.agent_id,
            payload.model_dump(mode="json") | {"policy_version": policy.version},
            idempotency_key=f"violation:{policy.version[:16]}:{payload.cause_key()}",
        )
        spine.raise_event(client, payload, occurred_at=violation.at)
    for spent in judged.exhausted:
        spine.raise_event(
            client,
            BudgetExhausted(agent_id=spent.agent_id, limit=spent.limit, spent=spent.spent, at=spent.at),
            occurred_at=spent.at,
        )
