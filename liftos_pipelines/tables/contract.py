"""What a contract says of one table, and how a frame is held to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

TEXT, INT, FLOAT, BOOL = pl.String(), pl.Int64(), pl.Float64(), pl.Boolean()
DATE, TIME = pl.Date(), pl.Datetime("us", "UTC")
TEXTS = pl.List(pl.String())
BASIC_EMOTIONS = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
"""Ekman's six, and none of them; several may hold at once."""

ALL = "all"
"""The value of a grouping column (geo, campaign_id, engine) in a row that stands for the total."""


class ContractError(ValueError):
    """A frame does not keep its table's contract; the message names the table, the column and the fix."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of the lake.

    `optional` columns may be absent from a source (they are then null), `key` identifies a row, and
    `write` is `snapshot` (each materialisation replaces the table) or `merge` (rows are upserted by key).
    """

    name: str
    columns: dict[str, pl.DataType]
    key: tuple[str, ...]
    write: Literal["snapshot", "merge"] = "snapshot"
    optional: frozenset[str] = frozenset()

    def empty(self) -> pl.DataFrame:
        """A frame with the contract's columns and no row."""
        return pl.DataFrame(schema=self.columns)

    def completed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with the optional columns that it lacks, null: a table written before the contract knew them."""
        absent = [name for name in self.columns if name in self.optional and name not in frame.columns]
        if not absent:
            return frame
        return frame.with_columns(pl.lit(None, dtype=self.columns[name]).alias(name) for name in absent)

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The same rows, contract columns first and typed; extra columns follow as they are. An absent optional column
        is null.

        Raises
        ------
        ContractError : a contract column is missing or cannot be cast, naming it
        """
        absent = [name for name in self.columns if name not in frame.columns]
        frame = frame.with_columns(pl.lit(None, dtype=self.columns[name]).alias(name) for name in absent)
        missing = [name for name in absent if name not in self.optional]
        if missing:
            raise ContractError(
                f"{self.name}: column(s) {', '.join(missing)} missing from the result; "
                f"it has {', '.join(name for name in frame.columns if name not in absent)}"
            )
        casts = []
        for name, dtype in self.columns.items():
            column = pl.col(name)
            if dtype == TIME and frame.schema[name] == pl.Datetime("us"):
                column = column.dt.replace_time_zone("UTC")
            casts.append(column.cast(dtype))
        try:
            typed = frame.select(*casts, pl.exclude(list(self.columns)))
        except (pl.exceptions.InvalidOperationError, pl.exceptions.SchemaError) as error:
            raise ContractError(f"{self.name}: a column does not have the contract's type: {error}") from error
        # Delta has no null type: an extra column without a single value carries no information yet.
        return typed.drop([name for name, dtype in typed.schema.items() if dtype == pl.Null])


def source(name: str, key: tuple[str, ...], columns: dict[str, pl.DataType], optional: str = "") -> Table:
    return Table(name=f"sources/{name}", columns=columns, key=key, write="merge", optional=frozenset(optional.split()))


def lake_table(
    name: str, key: str, columns: dict[str, pl.DataType], write: Literal["snapshot", "merge"] = "snapshot"
) -> Table:
    return Table(name=name, columns=columns, key=tuple(key.split()), write=write)
