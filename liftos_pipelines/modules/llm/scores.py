"""One row a recorded call: groundedness, screens, cost and latency."""

from __future__ import annotations

import polars as pl

from liftos_pipelines.modules.llm.groundedness import ground
from liftos_pipelines.modules.llm.grounding.calibration import Calibration
from liftos_pipelines.modules.llm.prices import PriceTable, priced
from liftos_pipelines.modules.llm.screens import bias_flag, toxicity_flag
from liftos_pipelines.tables import table

_EXTRA = {
    "unsupported": pl.Boolean(),
    "groundedness_score": pl.Float64(),
    "unsupported_kinds": pl.List(pl.String()),
}


def score_calls(calls: pl.DataFrame, prices: PriceTable, calibration: Calibration | None = None) -> pl.DataFrame:
    """The `llm/call_scores` table; all of groundedness is null without a context.

    `groundedness` is the calibrated probability that every claim of the output is supported, `groundedness_score` the
    plain share of it that is covered, `unsupported` (bool) whether anything unsupported was named, and
    `unsupported_kinds` what kinds that is of. Without a calibration `groundedness` is null: a score is not a
    probability.
    """
    name = "llm/call_scores"
    rows = []
    for call_id, output, context, prompt, latency in calls.select(
        "call_id", "output", "context", "input", "latency_ms"
    ).iter_rows():
        grounding = ground(output, context, prompt, calibration)
        measured = grounding.score is not None
        rows.append(
            {
                "call_id": call_id,
                "groundedness": grounding.probability,
                "ungrounded_spans": list(grounding.ungrounded_spans) if measured else None,
                "numeric_conflicts": list(grounding.numeric_conflicts) if measured else None,
                "bias_flag": bias_flag(output),
                "toxicity_flag": toxicity_flag(output),
                "latency_ms": latency if latency is not None and latency >= 0 else None,
                "unsupported": bool(grounding.spans) if measured else None,
                "groundedness_score": grounding.score,
                "unsupported_kinds": list(grounding.kinds) if measured else None,
            }
        )
    schema = {key: dtype for key, dtype in table(name).columns.items() if key != "cost"}
    scores = pl.DataFrame(rows, schema={**schema, **_EXTRA})
    joined = scores.join(priced(calls, prices), on="call_id", how="left", maintain_order="left")
    return table(name).conform(joined)
