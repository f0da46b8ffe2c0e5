"""Tables of Lift Eval."""

from __future__ import annotations

from liftos_pipelines.tables.contract import BOOL, FLOAT, INT, TEXT, TIME, lake_table

TABLES = [
    lake_table(
        "eval/trust_scores",
        "module slo",
        {
            "module": TEXT,
            "slo": TEXT,
            "value": FLOAT,
            "threshold": FLOAT,
            "met": TEXT,
            "probability_met": FLOAT,
            "n": INT,
            "age_hours": FLOAT,
        },
    ),
    lake_table(
        "eval/drift",
        "dataset column test",
        {
            "dataset": TEXT,
            "column": TEXT,
            "test": TEXT,
            "statistic": FLOAT,
            "threshold": FLOAT,
            "p_value_adjusted": FLOAT,
            "drifted": BOOL,
            "estimated_performance_loss": FLOAT,
        },
    ),
    lake_table(
        "eval/root_causes",
        "incident_id cause",
        {
            "incident_id": TEXT,
            "module": TEXT,
            "cause": TEXT,
            "contribution": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "evidence": TEXT,
        },
    ),
    lake_table(
        "eval/predictions",
        "prediction_id",
        {
            "prediction_id": TEXT,
            "made_at": TIME,
            "module": TEXT,
            "subject": TEXT,
            "what": TEXT,
            "predicted": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "due_at": TIME,
            "outcome": FLOAT,
            "outcome_at": TIME,
            "inside": BOOL,
            "status": TEXT,
        },
    ),
    lake_table(
        "eval/platform_trust",
        "client module",
        {"client": TEXT, "module": TEXT, "met": INT, "slos": INT, "unknown": INT, "probability_met": FLOAT},
    ),
]
