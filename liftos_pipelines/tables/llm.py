"""Tables of Lift LLM."""

from __future__ import annotations

from liftos_pipelines.tables.contract import BOOL, FLOAT, INT, TEXT, TEXTS, lake_table

TABLES = [
    lake_table(
        "llm/call_scores",
        "call_id",
        {
            "call_id": TEXT,
            "groundedness": FLOAT,
            "ungrounded_spans": TEXTS,
            "numeric_conflicts": TEXTS,
            "bias_flag": BOOL,
            "toxicity_flag": BOOL,
            "cost": FLOAT,
            "latency_ms": FLOAT,
        },
    ),
    lake_table(
        "llm/experiments",
        "experiment metric variant_a variant_b",
        {
            "experiment": TEXT,
            "metric": TEXT,
            "variant_a": TEXT,
            "variant_b": TEXT,
            "estimate": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "p_b_better": FLOAT,
            "decision": TEXT,
            "n_a": INT,
            "n_b": INT,
            "srm_p_value": FLOAT,
        },
    ),
    lake_table(
        "llm/performance",
        "period model prompt_name prompt_version",
        {
            "period": TEXT,
            "model": TEXT,
            "prompt_name": TEXT,
            "prompt_version": TEXT,
            "calls": INT,
            "error_rate": FLOAT,
            "latency_p50": FLOAT,
            "latency_p95": FLOAT,
            "cost": FLOAT,
            "groundedness": FLOAT,
        },
    ),
    lake_table(
        "llm/bias_report",
        "test group",
        {
            "test": TEXT,
            "group": TEXT,
            "statistic": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "p_value_adjusted": FLOAT,
            "verdict": TEXT,
        },
    ),
    lake_table(
        "llm/content_scores",
        "call_id metric",
        {"call_id": TEXT, "template": TEXT, "metric": TEXT, "value": FLOAT, "goal": TEXT, "met": BOOL},
    ),
    lake_table(
        "llm/content_performance",
        "template prompt_name prompt_version model metric",
        {
            "template": TEXT,
            "prompt_name": TEXT,
            "prompt_version": TEXT,
            "model": TEXT,
            "metric": TEXT,
            "goal": TEXT,
            "value": FLOAT,
            "met_rate": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "n": INT,
        },
    ),
]
