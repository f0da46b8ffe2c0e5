"""The registry of agents with their readiness, and what the evidence says about promoting a version."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from liftos_pipelines.modules.agentic.evidence import readiness
from liftos_pipelines.stats import anytime_half_width
from liftos_pipelines.tables import table

RESPONDER = "liftos.responder"
"""The built-in agent that answers events where no agent of the client has the capability."""
RESPONDER_CAPABILITIES = ("notify", "open_ticket", "shift_budget", "rollback", "refit_model", "reingest_source")
MIN_RUNS = 20
"""Runs with a known outcome that each version needs before it is compared."""
ALPHA = 0.05
PLANNED_RUNS = 200.0


def responder(version: str) -> dict[str, object]:
    """The built-in responder as a row of `sources/agents`."""
    return {
        "agent_id": RESPONDER,
        "type": "performance_monitor",
        "owner": "liftos",
        "purpose": "Answers impacts that no agent of the client is registered for",
        "version": version,
        "stage": "live",
        "capabilities": list(RESPONDER_CAPABILITIES),
        "budget": None,
        "rollback_to": None,
    }


def with_responder(agents: pl.DataFrame, version: str) -> pl.DataFrame:
    """The client's agents and the built-in one."""
    contract = table("sources/agents")
    built_in = pl.DataFrame([responder(version)], schema=contract.columns)
    own = agents.select(list(contract.columns)).filter(pl.col("agent_id") != RESPONDER)
    return pl.concat([own, built_in])


def registry(agents: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """The `agentic/registry` table: every registered agent and version, and every version that has run.

    `readiness` is null for a version that never ran. Extra columns: the registration, `successes`, `registered`.
    """
    contract = table("agentic/registry")
    seen = runs.group_by("agent_id", "version").agg(
        pl.col("success").is_not_null().sum().alias("evidence_n"),
        pl.col("success").fill_null(False).sum().alias("successes"),
    )
    listed = agents.select("agent_id", "version", "type", "owner", "purpose", "stage", "capabilities").with_columns(
        pl.lit(True).alias("registered")
    )
    joined = listed.join(seen, on=["agent_id", "version"], how="full", coalesce=True).with_columns(
        pl.col("evidence_n", "successes").fill_null(0).cast(pl.Int64), pl.col("registered").fill_null(False)
    )
    values = [readiness(s, n) for s, n in joined.select("successes", "evidence_n").iter_rows()]
    scored = joined.with_columns(pl.Series("readiness", values, dtype=pl.Float64))
    return contract.conform(scored).sort("agent_id", "version")


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a version's runs say: successes of n known outcomes, and runs with a violation of all runs."""

    successes: int
    outcomes: int
    violating: int
    runs: int


def rollouts(agents: pl.DataFrame, runs: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """The `agentic/rollouts` table: each agent's version against the one it would roll back to.

    The earlier version's runs are those of the same agent, or of an agent of the same type and owner that is
    registered with that version (a canary beside its live twin). Decisions: `promote`, `hold`, `rollback`,
    `insufficient_evidence`. Safe to look at after every run: they rest on asymptotic confidence sequences.
    """
    contract = table("agentic/rollouts")
    denied = decisions.filter(pl.col("decision") == "deny").select("run_id").unique()
    marked = runs.join(denied.with_columns(pl.lit(True).alias("violating")), on="run_id", how="left")
    rows = []
    columns = ("agent_id", "type", "owner", "version", "stage", "rollback_to")
    for agent_id, kind, owner, version, stage, earlier in agents.select(columns).iter_rows():
        if earlier is None or earlier == version:
            continue
        new = _record(marked.filter((pl.col("agent_id") == agent_id) & (pl.col("version") == version)))
        twins = agents.filter((pl.col("type") == kind) & (pl.col("owner") == owner) & (pl.col("version") == earlier))[
            "agent_id"
        ].to_list()
        old = _record(marked.filter((pl.col("version") == earlier) & pl.col("agent_id").is_in([agent_id, *twins])))
        decision, evidence = decide(old, new)
        rows.append(
            {
                "agent_id": agent_id,
                "from_version": earlier,
                "to_version": version,
                "stage": stage,
                "decision": decision,
                "evidence": evidence,
            }
        )
    return contract.conform(pl.DataFrame(rows, schema=contract.columns))


def decide(old: Record, new: Record) -> tuple[str, str]:
    """A decision on the new version and the evidence for it, in words."""
    if min(old.outcomes, new.outcomes) < MIN_RUNS:
        return (
            "insufficient_evidence",
            f"{new.outcomes} outcomes of the new version, {old.outcomes} of the old; {MIN_RUNS} of each are needed",
        )
    gain, half = _difference(new.successes, new.outcomes, old.successes, old.outcomes)
    harm, harm_half = _difference(new.violating, new.runs, old.violating, old.runs)
    evidence = (
        f"success {new.successes}/{new.outcomes} against {old.successes}/{old.outcomes}: "
        f"{gain:+.3f} (95 % sequence {gain - half:+.3f} to {gain + half:+.3f}); "
        f"runs with a violation {new.violating}/{new.runs} against {old.violating}/{old.runs}"
    )
    if harm - harm_half > 0:
        return ("rollback", f"{evidence}; violations rose")
    if gain + half < 0:
        return ("rollback", f"{evidence}; success fell")
    if gain - half > 0:
        return ("promote", evidence)
    return ("hold", f"{evidence}; no difference is shown yet")


def _record(runs: pl.DataFrame) -> Record:
    return Record(
        successes=int(runs["success"].fill_null(False).sum()),
        outcomes=int(runs["success"].is_not_null().sum()),
        violating=int(runs["violating"].fill_null(False).sum()),
        runs=runs.height,
    )


def _difference(hits_b: int, n_b: int, hits_a: int, n_a: int) -> tuple[float, float]:
    """Difference of two rates and the half-width of its confidence sequence; both rates shrunk by one success and
    one failure for the variance (Agresti and Caffo, 2000), so that 0 of n is not certain."""
    variance = sum(p * (1 - p) / (n + 2) for p, n in (((hits_a + 1) / (n_a + 2), n_a), ((hits_b + 1) / (n_b + 2), n_b)))
    half = anytime_half_width(float(np.sqrt(variance)), n_a + n_b, alpha=ALPHA, planned_units=PLANNED_RUNS)
    return (hits_b / n_b - hits_a / n_a, half)
