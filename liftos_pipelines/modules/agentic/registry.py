"""The registry of agents: what is registered of each, at which stage it stands, and how ready it is by evidence."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from liftos_pipelines.modules.agentic.criteria import judged, type_warning
from liftos_pipelines.modules.agentic.evidence import readiness, success_rate
from liftos_pipelines.modules.agentic.lifecycle import Key, Move
from liftos_pipelines.tables import table

RESPONDER = "liftos.responder"
"""The built-in agent that answers events where no agent of the client has the capability."""
RESPONDER_CAPABILITIES = (
    *("notify", "open_ticket", "shift_budget", "rollback", "promote", "move_agent"),
    *("refit_model", "reingest_source"),
)


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
    own = contract.conform(agents).select(list(contract.columns)).filter(pl.col("agent_id") != RESPONDER)
    return pl.concat([own, built_in])


def registry(
    agents: pl.DataFrame,
    runs: pl.DataFrame,
    decisions: pl.DataFrame | None = None,
    moves: Mapping[Key, tuple[Move, ...]] | None = None,
    stopped: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """The `agentic/registry` table: every registered agent and version, and every version that has run or was moved.

    `stage` is where the version stands now, by its last move in the ledger (`moves`), else as registered. `readiness`
    is null for a version that never ran. Extra columns: the registration, `successes`, success and its 90 % interval,
    cost a run, runs with a violation, the type's criteria, `stopped` with why, `warning`.
    """
    contract = table("agentic/registry")
    denied = (
        pl.Series([], dtype=pl.String)
        if decisions is None
        else decisions.filter(pl.col("decision") == "deny")["run_id"]
    )
    marked = runs.with_columns(pl.col("run_id").is_in(denied.unique().to_list()).alias("violating"))
    listed = {
        (row["agent_id"], row["version"]): row
        for row in agents.select([name for name in REGISTERED if name in agents.columns]).iter_rows(named=True)
    }
    ran = {(str(agent), str(version)): group for (agent, version), group in marked.group_by("agent_id", "version")}
    rows = []
    for key in sorted({*listed, *ran, *(moves or {})}):
        own, row = ran.get(key, marked.clear()), listed.get(key, {})
        rows.append(
            row | {"agent_id": key[0], "version": key[1], "registered": key in listed} | _standing(key, row, moves)
        )
        rows[-1] |= _record(own, row.get("type"), denied_known=decisions is not None)
        rows[-1]["stopped"] = (stopped or {}).get(key[0]) or (stopped or {}).get("*")
    return contract.conform(pl.DataFrame(rows, schema=contract.columns | EXTRA, infer_schema_length=None))


REGISTERED = (
    "agent_id", "version", "type", "owner", "purpose", "stage", "capabilities", "budget", "rollback_to", "data_scopes",
    "risk_tier", "model", "prompt",
)  # fmt: skip
EXTRA: dict[str, pl.DataType] = {
    "type": pl.String(),
    "owner": pl.String(),
    "purpose": pl.String(),
    "capabilities": pl.List(pl.String()),
    "budget": pl.Float64(),
    "rollback_to": pl.String(),
    "data_scopes": pl.List(pl.String()),
    "risk_tier": pl.String(),
    "model": pl.String(),
    "prompt": pl.String(),
    "registered": pl.Boolean(),
    "registered_stage": pl.String(),
    "stage_since": pl.Datetime("us", "UTC"),
    "stage_by": pl.String(),
    "stage_reason": pl.String(),
    "runs": pl.Int64(),
    "successes": pl.Int64(),
    "success_rate": pl.Float64(),
    "success_low": pl.Float64(),
    "success_high": pl.Float64(),
    "cost_per_run": pl.Float64(),
    "violating_runs": pl.Int64(),
    "criteria_met": pl.Int64(),
    "criteria_measured": pl.Int64(),
    "criteria_named": pl.Int64(),
    "criteria": pl.String(),
    "stopped": pl.String(),
    "warning": pl.String(),
}


def _standing(key: Key, row: Mapping[str, object], moves: Mapping[Key, tuple[Move, ...]] | None) -> dict[str, object]:
    own = (moves or {}).get(key, ())
    last = own[-1] if own else None
    kind = row.get("type")
    return {
        "registered_stage": row.get("stage"),
        "stage": last.to_stage if last else row.get("stage"),
        "stage_since": last.at if last else None,
        "stage_by": last.by if last else None,
        "stage_reason": last.reason if last else None,
        "warning": type_warning(str(kind) if kind is not None else None),
    }


def _record(runs: pl.DataFrame, kind: object, *, denied_known: bool) -> dict[str, object]:
    known = runs.drop_nulls("success")
    rate, low, high = success_rate(known)
    costs = runs["cost"].drop_nulls()
    successes = int(known["success"].sum())
    met, measured, named, words = judged(str(kind) if kind is not None else None, runs)
    return {
        "readiness": readiness(successes, known.height),
        "evidence_n": known.height,
        "runs": runs.height,
        "successes": successes,
        "success_rate": rate,
        "success_low": low,
        "success_high": high,
        "cost_per_run": float(costs.mean()) if costs.len() else None,  # type: ignore[arg-type]
        "violating_runs": int(runs["violating"].sum()) if denied_known else None,
        "criteria_met": met,
        "criteria_measured": measured,
        "criteria_named": named,
        "criteria": words,
    }
