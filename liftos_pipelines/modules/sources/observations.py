"""Streams of single observations (posts, answers, calls): one strange row is set aside alone, the others go on.

A date that cannot be, or an id that two rows of one file fill with different contents, says nothing about the rows
beside it. In a panel it would (a doubled week falsifies a fit); there the whole source stops instead.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from liftos_pipelines.modules.sources.rows import FILE, QUARANTINE, ROW, TypedRows
from liftos_pipelines.tables import TIME, Table

STREAMS = frozenset({"sources/mentions", "sources/answers", "sources/llm_calls"})
TOLERANCE = timedelta(days=1)
"""Clocks differ and offsets are forgotten: a time up to this far ahead is not called future."""


def set_strange_aside(rows: pl.DataFrame, contract: Table, earliest: datetime, now: datetime) -> TypedRows:
    """Split off rows whose time cannot be and rows that contradict each other under one key.

    Parameters
    ----------
    rows : typed rows with `_file` and `_row`
    earliest, now : times outside `earliest` to `now` plus a day cannot be; both without a time zone, in UTC
    """
    problems = []
    for column in (name for name, dtype in contract.columns.items() if dtype == TIME):
        at = pl.col(column).dt.replace_time_zone(None)
        future, ancient = at > now + TOLERANCE, at < earliest
        said = pl.col(column).dt.strftime("%Y-%m-%d %H:%M")
        reason = pl.when(future).then(pl.format("is {}, in the future", said)).otherwise(pl.format("is {}", said))
        wrong = rows.filter(future | ancient).with_columns(
            _reason=reason + pl.lit(f"; times from {earliest:%Y-%m-%d} to today are read. Mend the date in the file.")
        )
        problems.append(_described(wrong, column, contract))
    doubled = rows.group_by(FILE, *contract.key).agg(pl.col(ROW)).filter(pl.col(ROW).list.n_unique() > 1)
    if doubled.height:
        content = [name for name in contract.columns if name not in contract.key]
        suspects = rows.join(
            doubled.select(FILE, *contract.key), on=[FILE, *contract.key], how="semi", nulls_equal=True
        )
        kinds = suspects.with_columns(_content=pl.struct(content).struct.json_encode())
        clashing = (
            kinds.group_by(FILE, *contract.key)
            .agg(pl.col(ROW).sort(), kinds=pl.col("_content").n_unique())
            .filter(pl.col("kinds") > 1)
            .select(FILE, *contract.key, _rows=pl.col(ROW).cast(pl.List(pl.String)).list.head(5).list.join(", "))
        )
        wrong = suspects.join(clashing, on=[FILE, *contract.key], nulls_equal=True).with_columns(
            _reason=pl.format("stands in rows {} of this file with different contents. Keep one of them.", "_rows")
        )
        problems.append(_described(wrong, ", ".join(contract.key), contract))
    quarantine = pl.concat([pl.DataFrame(schema=QUARANTINE), *problems])
    bad = quarantine.select(pl.col("file").alias(FILE), pl.col("row").alias(ROW)).unique()
    return TypedRows(rows=rows.join(bad, on=[FILE, ROW], how="anti"), quarantine=quarantine)


def _described(wrong: pl.DataFrame, column: str, contract: Table) -> pl.DataFrame:
    return wrong.select(
        pl.col(FILE).alias("file"),
        pl.col(ROW).cast(pl.Int64).alias("row"),
        pl.lit(column).alias("column"),
        pl.col("_reason").alias("reason"),
        pl.struct(list(contract.columns)).struct.json_encode().alias("raw"),
    )
