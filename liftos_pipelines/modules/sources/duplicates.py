"""One row a key. Identical rows are one row; across files the later file (by name) restates the earlier one.

Within one file a key with different contents has no right answer: both rows stay, and the check `keys_unique`
names them and stops the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from liftos_pipelines.modules.sources.rows import FILE, ROW


@dataclass(frozen=True, kw_only=True)
class Collapsed:
    """`rows` after collapsing; `identical` were repeats, `restated` were replaced by a later file."""

    rows: pl.DataFrame
    identical: int
    restated: int


def collapse_duplicates(rows: pl.DataFrame, key: Sequence[str]) -> Collapsed:
    """Apply the rule above.

    Parameters
    ----------
    rows : typed rows with `_file` and `_row`; key : the table's key columns
    """
    doubled = rows.group_by(key).len().filter(pl.col("len") > 1)
    if doubled.is_empty():
        return Collapsed(rows=rows, identical=0, restated=0)
    # Only the few doubled rows are compared; a file of a million rows is not hashed for three repeats.
    numbered = rows.with_row_index("_position")
    suspects = numbered.join(doubled.select(key), on=key, how="semi", nulls_equal=True)
    content = [column for column in rows.columns if column not in (FILE, ROW)]
    suspects = suspects.with_columns(pl.struct(content).struct.json_encode().alias("_content"))
    latest = suspects.filter(pl.col(FILE) == pl.col(FILE).max().over(key))
    distinct = latest.unique([*key, "_content"], keep="first", maintain_order=True)
    dropped = suspects.filter(~pl.col("_position").is_in(distinct["_position"].to_list()))
    winners = distinct.select(*key, pl.col("_content").alias("_kept")).group_by(key).agg(pl.col("_kept"))
    compared = dropped.join(winners, on=key, how="left", nulls_equal=True)
    identical = compared.filter(pl.col("_content").is_in(pl.col("_kept"))).height
    kept = numbered.filter(~pl.col("_position").is_in(dropped["_position"].to_list())).drop("_position")
    return Collapsed(rows=kept, identical=identical, restated=dropped.height - identical)


def conflicting(rows: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Rows whose key still stands in more than one row."""
    return rows.filter(pl.struct(key).is_duplicated())
