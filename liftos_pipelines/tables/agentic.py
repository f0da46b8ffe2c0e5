"""Tables of Lift Agentic."""

from __future__ import annotations

import polars as pl

from liftos_pipelines.tables.contract import BOOL, FLOAT, INT, TEXT, TIME, lake_table

TABLES = [
    lake_table(
        "agentic/registry",
        "agent_id version",
        {"agent_id": TEXT, "version": TEXT, "stage": TEXT, "readiness": FLOAT, "evidence_n": INT},
    ),
    lake_table(
        "agentic/policy_decisions",
        "run_id step",
        {
            "run_id": TEXT,
            "step": INT,
            "agent_id": TEXT,
            "decision": TEXT,
            "policy": TEXT,
            "reason": TEXT,
            "policy_version": TEXT,
        },
    ),
    lake_table(
        "agentic/proposals",
        "action_id",
        {
            "action_id": TEXT,
            "event_id": TEXT,
            "agent_id": TEXT,
            "proposed_at": TIME,
            "action": TEXT,
            "arguments": TEXT,
            "context": TEXT,
            "decision": TEXT,
            "policy": TEXT,
            "reason": TEXT,
            "policy_version": TEXT,
            "status": TEXT,
            "predicted_effect": FLOAT,
            "predicted_low": FLOAT,
            "predicted_high": FLOAT,
        },
    ),
    lake_table(
        "agentic/stops",
        "agent_id event_id",
        {
            "agent_id": TEXT,
            "event_id": TEXT,
            "reason": TEXT,
            "stopped_at": TIME,
            "until": TIME,
            "resumed_by": TEXT,
            "status": TEXT,
        },
    ),
    lake_table(
        "agentic/remediations",
        "action_id",
        {
            "action_id": TEXT,
            "action": TEXT,
            "dataset": TEXT,
            "event_id": TEXT,
            "ordered_at": TIME,
            "done_at": TIME,
            "status": TEXT,
            "lake_version": INT,
        },
    ),
    lake_table(
        "agentic/performance",
        "agent_id version period",
        {
            "agent_id": TEXT,
            "version": TEXT,
            "period": TEXT,
            "runs": INT,
            "success_rate": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "cost": FLOAT,
            "violations": INT,
            "pass_hat_k": pl.List(FLOAT),
        },
    ),
    lake_table(
        "agentic/rollouts",
        "agent_id from_version to_version",
        {
            "agent_id": TEXT,
            "from_version": TEXT,
            "to_version": TEXT,
            "stage": TEXT,
            "decision": TEXT,
            "evidence": TEXT,
        },
    ),
    lake_table(
        "agentic/ledger_audit",
        "root_hash",
        {"verified": BOOL, "entries": INT, "first_bad_entry": INT, "root_hash": TEXT},
    ),
    lake_table(
        "agentic/data_quality",
        "dataset dimension",
        {
            "dataset": TEXT,
            "dimension": TEXT,
            "score": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "n": INT,
            "weight": FLOAT,
            "level": TEXT,
            "status": TEXT,
            "evidence": TEXT,
        },
    ),
]
