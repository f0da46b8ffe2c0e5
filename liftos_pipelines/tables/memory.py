"""Tables of Lift Memory."""

from __future__ import annotations

from liftos_pipelines.tables.contract import BOOL, FLOAT, INT, TEXT, TEXTS, TIME, lake_table

TABLES = [
    lake_table(
        "memory/items",
        "memory_id recorded_at",
        {
            "memory_id": TEXT,
            "kind": TEXT,
            "text": TEXT,
            "domain": TEXT,
            "valid_from": TIME,
            "valid_to": TIME,
            "recorded_at": TIME,
            "superseded_at": TIME,
            "source": TEXT,
            "outcome": TEXT,
            "effect": FLOAT,
            "std_error": FLOAT,
            "provenance": TEXT,
        },
        write="merge",
    ),
    lake_table("memory/upkeep", "measure", {"measure": TEXT, "before": FLOAT, "after": FLOAT}),
    lake_table(
        "memory/patterns",
        "pattern_id",
        {
            "pattern_id": TEXT,
            "query_id": TEXT,
            "memory_ids": TEXTS,
            "similarity": FLOAT,
            "p_success": FLOAT,
            "confidence": FLOAT,
            "abstained": BOOL,
            "action": TEXT,
        },
    ),
    lake_table(
        "memory/insights",
        "insight_id",
        {
            "insight_id": TEXT,
            "context": TEXT,
            "recommendation": TEXT,
            "confidence": FLOAT,
            "validated": BOOL,
            "evidence": TEXT,
        },
    ),
    lake_table(
        "memory/insight_outcomes",
        "insight_id",
        {
            "insight_id": TEXT,
            "recommendation": TEXT,
            "campaign_id": TEXT,
            "made_at": TIME,
            "confidence": FLOAT,
            "said": FLOAT,
            "validation_status": TEXT,
            "acted_on": BOOL,
            "action_id": TEXT,
            "acted_at": TIME,
            "memory_id": TEXT,
            "metric": TEXT,
            "effect": FLOAT,
            "std_error": FLOAT,
            "p_right": FLOAT,
        },
    ),
    lake_table(
        "memory/insight_calibration",
        "source from",
        {
            "source": TEXT,
            "from": FLOAT,
            "to": FLOAT,
            "n": INT,
            "said": FLOAT,
            "was": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
        },
    ),
    lake_table(
        "memory/retrieval_quality",
        "method metric",
        {"method": TEXT, "metric": TEXT, "value": FLOAT, "low": FLOAT, "high": FLOAT, "n": INT},
    ),
]
