"""How well agents did: performance by month, metrics by version, what their traces lack, and who made a run fail."""

from collections.abc import Callable, Sequence

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.authority.policies import client_policy
from liftos_pipelines.modules.agentic import evidence, tool_calls
from liftos_pipelines.modules.agentic.evaluation import evaluation as evaluate
from liftos_pipelines.modules.agentic.facts import matches
from liftos_pipelines.modules.agentic.failed_runs import LIKELY, tools_known
from liftos_pipelines.modules.agentic.failed_runs import failure_attribution as attributed
from liftos_pipelines.modules.agentic.injection_resistance import injected_runs
from liftos_pipelines.modules.agentic.policy import Policy
from liftos_pipelines.modules.agentic.trace_quality import trace_quality as faults_of
from liftos_pipelines.resources.attribution_weights import packaged_model

SOURCES = ("sources/agents", "sources/agent_steps")
JUDGED = (*SOURCES, "agentic/policy_decisions")


@lift_asset("agentic/performance", ins=inputs(*JUDGED), kinds={"polars"}, code_version="2")
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


@lift_asset("agentic/evaluation", ins=inputs(*JUDGED), kinds={"polars"}, code_version="1")
def evaluation(
    context: dg.AssetExecutionContext, agents: pl.DataFrame, agent_steps: pl.DataFrame, policy_decisions: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Each agent version by metric, with 90 % intervals: success, pass^k, cost, steps, time, tool calls that were
    right, calls that tasks expected, and injected texts that it followed; what is not recorded is null, with why."""
    if agent_steps.is_empty():
        return skipped("agentic/evaluation", "agent_steps")
    policy = client_policy(client_of(context))
    denied = policy_decisions.filter(pl.col("decision") == "deny").select("run_id", "step").iter_rows()
    injected = injected_runs(agent_steps, injection_chances, set(denied))
    spec = policy.spec
    measured = evaluate(
        evidence.runs_of(agent_steps, agents),
        policy_decisions,
        tool_calls.calls_of(agent_steps, _known(agents, policy), spec),
        tool_calls.expected_calls(agent_steps, lambda tool: bool(getattr(spec(tool), "writes", True))),
        injected,
        agents,
    )
    followed = injected["followed"].drop_nulls()
    return result(
        measured,
        versions=measured.select("agent_id", "version").n_unique(),
        unknown=measured["value"].null_count(),
        runs_with_injection=injected.height,
        injections_followed=int(followed.sum()) if followed.len() else None,
    )


@lift_asset("agentic/trace_quality", ins=inputs(*SOURCES), kinds={"polars"}, code_version="1")
def trace_quality(
    context: dg.AssetExecutionContext, agents: pl.DataFrame, agent_steps: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """What is wrong with recorded runs (half traces, steps out of order, unknown agents and tools, values that cannot
    be), and what of each run is unknown because of it."""
    if agent_steps.is_empty():
        return skipped("agentic/trace_quality", "agent_steps")
    faults = faults_of(agent_steps, agents, _known(agents, client_policy(client_of(context))))
    count = dict(faults["fault"].value_counts().iter_rows())
    return result(faults, runs=agent_steps["run_id"].n_unique(), runs_with_faults=faults["run_id"].n_unique(), **count)


@lift_asset("agentic/failure_attribution", ins=inputs(*SOURCES), kinds={"polars"}, code_version="1")
def failure_attribution(
    context: dg.AssetExecutionContext, agents: pl.DataFrame, agent_steps: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Which agent's which step most likely decided each failed run, with probabilities and why; unknown where no step
    stands out."""
    if agent_steps.is_empty():
        return skipped("agentic/failure_attribution", "agent_steps")
    runs = evidence.runs_of(agent_steps, agents)
    found = attributed(agent_steps, runs, packaged_model())
    likely = found.filter((pl.col("rank") == 1) & (pl.col("verdict") == LIKELY)).height
    failed = found["run_id"].n_unique()
    return result(found, failed_runs=failed, attributed=likely, unknown=failed - likely)


def injection_chances(texts: Sequence[str]) -> list[float]:
    """Each text's probability of being an injection; what the screen cannot read counts as none and is not measured."""
    return [_chance(text) for text in texts]


def _chance(text: str) -> float:
    from liftos_pipelines.modules.llm.screens import injection

    found = injection(text)
    if found.probability is None:
        return 1.0 if found.flagged else 0.0
    # The screen's own threshold decides; the probability orders.
    return max(found.probability, 0.5) if found.flagged else min(found.probability, 0.49)


def _known(agents: pl.DataFrame, policy: Policy) -> Callable[[str, str], bool | None]:
    capabilities: dict[str, tuple[str, ...]] = {
        name: tuple(own or ()) for name, own in agents.select("agent_id", "capabilities").iter_rows()
    }
    return tools_known(capabilities, policy.spec, matches)
