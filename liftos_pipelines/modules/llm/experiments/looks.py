"""Looks at experiments: one row each time there was something new to see, and the first decision that was final.

A look at data that were seen before is not a look. What was decided stays recorded: later looks go on saying what the
data say, beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from liftos_pipelines.modules.llm.experiments.decide import FINAL
from liftos_pipelines.tables import table

KEY = ("experiment", "variant_a", "variant_b")
SHOWN = (
    *("looked_at", "data_mark", "prompt_name", "metric", "n_a", "n_b", "units_a", "units_b", "estimate", "cs_low"),
    *("cs_high", "p_b_better", "expected_loss_a", "expected_loss_b", "variance_removed", "srm_p_value", "decision"),
    *("reason",),
)
AFTER_FINAL = {"ship_b": ("rollback_b", "invalid_srm")}
"""What is still worth telling once B was shipped: that it does harm after all, or that the split was broken."""


def looks(experiments: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """The `llm/experiment_looks` table: what was there before, and a row for each pair whose data are new.

    Columns besides the look's own: `look` counts a pair's looks from 1, `final_decision` and `final_at` say what was
    decided first and when, `guardrails` holds status and reason of each guardrail as JSON, `news` whether the look
    brought a decision that had not been told.

    Parameters
    ----------
    experiments : `llm/experiments` as of now
    before : the looks so far
    """
    contract = table("llm/experiment_looks")
    history = before.to_dicts()
    rows = list(history)
    for row in _newest(experiments):
        same = [each for each in rows if all(each[name] == row[name] for name in KEY)]
        if any(each["data_mark"] == row["data_mark"] for each in same):
            continue
        first = next((each for each in sorted(same, key=lambda each: each["look"]) if each["final_decision"]), None)
        final = row["decision"] in FINAL
        told = {each["decision"] for each in same if each["news"]}
        allowed = final and (first is None or row["decision"] in AFTER_FINAL.get(first["final_decision"], ()))
        rows.append(
            row
            | {
                "look": 1 + max((each["look"] for each in same), default=0),
                "final_decision": first["final_decision"] if first else row["decision"] if final else None,
                "final_at": first["final_at"] if first else row["looked_at"] if final else None,
                "news": allowed and row["decision"] not in told,
            }
        )
    if not rows:
        return contract.empty()
    names = list(contract.columns)
    frame = pl.DataFrame([{name: row.get(name) for name in names} for row in rows], schema=contract.columns)
    return frame.sort(*KEY, "look")


def fresh(found: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """The looks that were not there before."""
    if before.is_empty():
        return found
    return found.join(before.select(*KEY, "data_mark"), on=[*KEY, "data_mark"], how="anti")


def alternatives(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What else could have followed from a look, and why it did not; (decision, reason)."""
    reasons = {
        "ship_b": "B is not shown to be better, or a planned guardrail is not cleared",
        "rollback_b": "no guardrail is shown to be broken",
        "keep_a": "B is not shown to be worse, and the horizon is not reached",
        "keep_running": "there is an answer already",
    }
    if row["decision"] == "invalid_srm":
        reasons = dict.fromkeys(reasons, "the split is broken, so that the arms cannot be compared")
    elif row["decision"] == "rollback_b":
        reasons = dict.fromkeys(reasons, "a guardrail is broken, whatever the primary metric says")
    elif row["decision"] == "insufficient_data":
        reasons["keep_running"] = "the same, but nothing can be said yet"
    return [(name, reason) for name, reason in reasons.items() if name != row["decision"]]


def _newest(experiments: pl.DataFrame) -> list[dict[str, Any]]:
    if experiments.is_empty() or "data_mark" not in experiments.columns:
        return []
    found = []
    for _, pair in experiments.group_by(*KEY, maintain_order=True):
        primary = pair.filter(pl.col("role") == "primary")
        row = (primary if primary.height else pair).row(0, named=True)
        guards = pair.filter(pl.col("role") == "guardrail")
        words = {
            each["metric"]: {"status": each.get("guardrail"), "reason": each["reason"]}
            for each in guards.iter_rows(named=True)
        }
        found.append({name: row.get(name) for name in (*KEY, *SHOWN)} | {"guardrails": json.dumps(words)})
    return [row for row in found if isinstance(row["looked_at"], datetime)]
