"""Cells of text become values: numbers, ISO 8601 times and dates, lists. The unreadable is null and marked.

A cell that says nothing ("", and for other than text "NA", "null", "NaN", ...) is null, never zero.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from liftos_pipelines.tables import DATE, FLOAT, INT, TEXT, TEXTS, TIME

NOTHING = ("", "na", "n/a", "nan", "null", "none", "nat", "-")
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d|\d{8}")
_ISO_TIME = re.compile(r"(\d{4}-\d\d-\d\d|\d{8})([T ].+)?")

HINTS: dict[pl.DataType, str] = {
    FLOAT: "which is not a number (write 1234.5, no separators or units)",
    INT: "which is not a whole number",
    DATE: "which is not an ISO 8601 date such as 2024-05-31",
    TIME: "which is not an ISO 8601 time such as 2024-05-31T09:30:00Z",
    TEXTS: 'which is not a list (a;b;c or ["a", "b", "c"])',
}


def read_cells(cells: pl.Series, dtype: pl.DataType) -> tuple[pl.Series, pl.Series]:
    """Values of a column of text, and which cells say something that cannot be read.

    Parameters
    ----------
    cells : (n,) String; dtype : one of the contract's types (text, number, whole number, date, time, list)

    Returns
    -------
    (n,) values of `dtype`, null where empty or unreadable; (n,) Boolean, true where unreadable
    """
    if dtype == TEXT:
        values = cells.set(cells.str.strip_chars() == "", None)
        return values, pl.Series(cells.name, [False], dtype=pl.Boolean).new_from_index(0, len(cells))
    stripped = cells.str.strip_chars()
    said = stripped.set(stripped.str.to_lowercase().is_in(NOTHING), None)
    values = _READERS[dtype](said)
    return values, said.is_not_null() & values.is_null()


def _numbers(cells: pl.Series) -> pl.Series:
    values = cells.cast(pl.Float64, strict=False)
    return values.set(~values.is_finite(), None)


def _whole_numbers(cells: pl.Series) -> pl.Series:
    direct = cells.cast(pl.Int64, strict=False)
    floats = _numbers(cells)
    # 12.0 is how many tools write a whole number in a column that has gaps.
    whole = floats.set((floats != floats.round()) | (floats.abs() >= 2**53), None).cast(pl.Int64, strict=False)
    return direct.fill_null(whole)


def _one_by_one(reader: Callable[[str], Any], dtype: pl.DataType) -> Callable[[pl.Series], pl.Series]:
    def read(cells: pl.Series) -> pl.Series:
        known: dict[str | None, Any] = {None: None}
        for text in cells.unique().drop_nulls():
            try:
                known[text] = reader(text)
            except (ValueError, OverflowError, RecursionError):
                known[text] = None
        return pl.Series(cells.name, [known[text] for text in cells], dtype=dtype)

    return read


def read_time(text: str) -> datetime:
    """An ISO 8601 time; without an offset it is UTC.

    Raises
    ------
    ValueError : not such a time
    """
    if not _ISO_TIME.fullmatch(text):
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def read_date(text: str) -> date:
    """An ISO 8601 date; of a time, the day as written."""
    read_time(text)
    day = _ISO_DATE.match(text)
    if day is None:
        raise ValueError(text)
    return date.fromisoformat(day.group())


def read_texts(text: str) -> list[str]:
    """A list of texts from JSON or from `a;b;c`; one text alone is a list of one."""
    if text.startswith("["):
        return [item if isinstance(item, str) else json.dumps(item) for item in json.loads(text) if item is not None]
    return [part.strip() for part in text.split(";") if part.strip()]


_READERS: dict[pl.DataType, Callable[[pl.Series], pl.Series]] = {
    FLOAT: _numbers,
    INT: _whole_numbers,
    DATE: _one_by_one(read_date, DATE),
    TIME: _one_by_one(read_time, TIME),
    TEXTS: _one_by_one(read_texts, TEXTS),
}
