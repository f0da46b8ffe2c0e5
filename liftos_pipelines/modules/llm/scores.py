"""One row a recorded call: groundedness, screens, cost and latency."""

from __future__ import annotations

import polars as pl

from liftos_pipelines.modules.llm.groundedness import ground
from liftos_pipelines.modules.llm.prices import PriceTable, priced
from liftos_pipelines.modules.llm.screens import bias_flag, toxicity_flag
from liftos_pipelines.tables import table


def score_calls(calls: pl.DataFrame, prices: PriceTable) -> pl.DataFrame:
    """The `llm/call_scores` table; `unsupported` (bool, null without a context) says whether anything was found."""
    name = "llm/call_scores"
    rows = []
    for call_id, output, context, prompt, latency in calls.select(
        "call_id", "output", "context", "input", "latency_ms"
    ).iter_rows():
        grounding = ground(output, context, prompt)
        measured = grounding.score is not None
        rows.append(
            {
                "call_id": call_id,
                "groundedness": grounding.score,
                "ungrounded_spans": list(grounding.ungrounded_spans) if measured else None,
                "numeric_conflicts": list(grounding.numeric_conflicts) if measured else None,
                "bias_flag": bias_flag(output),
                "toxicity_flag": toxicity_flag(output),
                "latency_ms": latency if latency is not None and latency >= 0 else None,
                "unsupported": bool(grounding.ungrounded_spans or grounding.numeric_conflicts) if measured else None,
            }
        )
    schema = {key: dtype for key, dtype in table(name).columns.items() if key != "cost"}
    scores = pl.DataFrame(rows, schema={**schema, "unsupported": pl.Boolean()})
    joined = scores.join(priced(calls, prices), on="call_id", how="left", maintain_order="left")
    return table(name).conform(joined)
