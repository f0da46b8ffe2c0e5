"""Values of calls that cannot be (tokens below 0, a probability of 3, a rating of 7) become unknown; the call stays."""

from __future__ import annotations

import json

import polars as pl

FILE, ROW = "_file", "_row"
AT_LEAST_ZERO = (
    "latency_ms",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cost",
)
VERDICTS = (-1, 0, 1)
SCHEMA = {"file": pl.String, "row": pl.Int64, "column": pl.String, "reason": pl.String, "raw": pl.String}


def only_possible(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows with impossible values null, and one line a value: file, row, column, reason, what the call said.

    Parameters
    ----------
    rows : typed rows of `sources/llm_calls` with `_file` and `_row`
    """
    wrong = {name: (pl.col(name) < 0, "is negative ({})") for name in AT_LEAST_ZERO}
    wrong["propensity"] = (
        ~((pl.col("propensity") > 0) & (pl.col("propensity") <= 1)),
        "is {}, not a probability above 0 and up to 1",
    )
    wrong["user_feedback"] = (~pl.col("user_feedback").is_in(VERDICTS), "is {}, not one of -1, 0, 1")
    notes = []
    for column, (condition, reason) in wrong.items():
        bad = rows.filter(condition.fill_null(False))
        for file, row, call_id, value in bad.select(FILE, ROW, "call_id", column).iter_rows():
            notes.append(
                {
                    "file": file,
                    "row": row,
                    "column": column,
                    "reason": f"{reason.format(value)}; read as unknown, the call stays",
                    "raw": json.dumps({"call_id": call_id, column: value}),
                }
            )
    possible = rows.with_columns(
        pl.when(condition.fill_null(False)).then(None).otherwise(pl.col(column)).alias(column)
        for column, (condition, _) in wrong.items()
    )
    return possible, pl.DataFrame(notes, schema=SCHEMA)
