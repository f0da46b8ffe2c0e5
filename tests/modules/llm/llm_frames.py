"""Frames of `sources/llm_calls` from a few fields."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from liftos_pipelines.modules.llm.prices import PriceTable
from liftos_pipelines.tables import table

NO_PRICES = PriceTable(prices={}, currency="EUR", rate=1.0, source="none")


def calls(rows: list[dict[str, Any]]) -> pl.DataFrame:
    contract = table("sources/llm_calls")
    base = {
        "called_at": datetime(2025, 1, 6, tzinfo=UTC), "model": "m", "prompt_name": "p", "prompt_version": "1",
        "input": None, "output": "Fine, that is the answer.", "latency_ms": 100.0, "input_tokens": 10, "output_tokens": 5,
    }  # fmt: skip
    full = []
    for i, row in enumerate(rows):
        one = {"call_id": f"c{i}", **base, "input": f"question {i}", **row}
        one["called_at"] = one["called_at"] + timedelta(minutes=i)
        full.append({name: one.get(name) for name in contract.columns})
    return pl.DataFrame(full, schema=contract.columns, orient="row")
