"""Rows of text become rows of a source's table; rows that cannot be read are set aside with the reason."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from liftos_pipelines.modules.sources.cells import HINTS, read_cells
from liftos_pipelines.tables import TEXTS, Table

FILE, ROW = "_file", "_row"
QUARANTINE = {
    "file": pl.String(),
    "row": pl.Int64(),
    "column": pl.String(),
    "reason": pl.String(),
    "raw": pl.String(),
}

MAY_BE_EMPTY: dict[str, frozenset[str]] = {
    # The column must be there; a cell may say nothing, and then the value is unknown.
    "sources/llm_calls": frozenset({"input", "output", "latency_ms", "input_tokens", "output_tokens"}),
    "sources/agents": frozenset({"owner", "purpose", "capabilities"}),
    "sources/answers": frozenset({"text"}),
}
EMPTY_MEANS: dict[str, dict[str, object]] = {
    # Where saying nothing has a meaning of its own.
    "sources/experiments": {"geos": []},
    "sources/answers": {"text": ""},
    "sources/agents": {"capabilities": []},
}
LOWER_CASE = frozenset({"label", "kind", "stage"})


@dataclass(frozen=True, kw_only=True)
class TypedRows:
    """`rows`: the contract's columns and `_file`, `_row`; `quarantine`: what was set aside and why."""

    rows: pl.DataFrame
    quarantine: pl.DataFrame


def missing_column(where: str, column: str, file: str, columns: Sequence[str]) -> str:
    """The sentence that says a column is not in a file, what is closest to it, and what to do."""
    close = difflib.get_close_matches(column, columns, n=1, cutoff=0.5)
    hint = f' (closest: "{close[0]}")' if close else f" (it has {', '.join(columns) or 'no column'})"
    return f'{where}: column "{column}" is not in {file}{hint}. Fix the name or the file.'


def missing_columns(where: str, table: Table, columns: Mapping[str, Sequence[str]]) -> list[str]:
    """One sentence for each required column that a file lacks; `columns` are each file's own."""
    return [
        missing_column(where, column, file, present)
        for file, present in columns.items()
        for column in table.columns
        if column not in present and column not in table.optional
    ]


def type_rows(raw: pl.DataFrame, table: Table) -> TypedRows:
    """Type every cell by the contract.

    Parameters
    ----------
    raw : text columns with `_file` and `_row`; a required column that is absent counts as empty

    Returns
    -------
    TypedRows : a row with one unreadable or missing value is set aside whole, with every reason
    """
    optional = table.optional | MAY_BE_EMPTY.get(table.name, frozenset())
    values: list[pl.Series] = []
    bad: list[pl.DataFrame] = []
    keep = pl.Series([True]).new_from_index(0, raw.height) if raw.height else pl.Series([], dtype=pl.Boolean)
    for column, dtype in table.columns.items():
        cells = raw[column] if column in raw.columns else pl.Series(column, [None] * raw.height, dtype=pl.String)
        series, unreadable = read_cells(cells, dtype)
        if column in LOWER_CASE:
            series = series.str.strip_chars().str.to_lowercase()
        bad.append(_problems(raw, column, unreadable, "says {}, " + HINTS.get(dtype, ""), cells))
        keep &= ~unreadable
        if column not in optional:
            empty = series.is_null() & ~unreadable
            bad.append(_problems(raw, column, empty, "is empty; this column needs a value in every row", None))
            keep &= ~empty
        default = EMPTY_MEANS.get(table.name, {}).get(column)
        if default is not None:
            series = _fill(series, default, dtype)
        values.append(series.alias(column))
    typed = pl.DataFrame([*values, raw[FILE], raw[ROW]]).filter(keep)
    return TypedRows(rows=typed, quarantine=pl.concat(bad))


def _fill(series: pl.Series, default: object, dtype: pl.DataType) -> pl.Series:
    if dtype == TEXTS:
        return pl.Series(series.name, [[] if value is None else value for value in series.to_list()], dtype=TEXTS)
    return series.fill_null(default)


def _problems(raw: pl.DataFrame, column: str, where: pl.Series, reason: str, cells: pl.Series | None) -> pl.DataFrame:
    rows = raw.filter(where)
    if rows.is_empty():
        return pl.DataFrame(schema=QUARANTINE)
    said = cells.filter(where).to_list() if cells is not None else [None] * rows.height
    content = rows.drop(FILE, ROW).to_dicts()
    return pl.DataFrame(
        {
            "file": rows[FILE],
            "row": rows[ROW],
            "column": [column] * rows.height,
            "reason": [reason.replace("{}", json.dumps(text, ensure_ascii=False)) for text in said],
            "raw": [json.dumps(record, ensure_ascii=False, default=str) for record in content],
        },
        schema=QUARANTINE,
    )


def ignored_columns(table: Table, columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Columns that the contract does not know, with the optional column that was perhaps meant."""
    said = []
    for column in sorted({name for present in columns.values() for name in present} - set(table.columns)):
        absent = [name for name in table.optional if all(name not in present for present in columns.values())]
        close = difflib.get_close_matches(column, absent, n=1, cutoff=0.75)
        said.append(f'{column} (did you mean "{close[0]}"?)' if close else column)
    return said
