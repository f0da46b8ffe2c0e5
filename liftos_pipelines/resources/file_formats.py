"""File formats: CSV, JSON lines, YAML, Parquet and Delta, each parsed into rows of text with their place.

Everything becomes text, whatever the format, so that one set of typing rules decides what can be read and a
CSV file and a Parquet file with the same content give the same table.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import polars as pl
import yaml

from liftos_pipelines.modules.sources.rows import FILE, ROW
from liftos_pipelines.text import read_json

FORMATS = ".csv, .tsv, .jsonl, .ndjson, .parquet, .yaml (each but Parquet also with .gz) or a Delta table's folder"


class ClientFileError(ValueError):
    """A source's files cannot be used; the message names the file, the place in client.yaml and the fix."""


Parsed = tuple[pl.DataFrame, list[str], list[dict[str, Any]]]


def parser(where: str, name: str) -> Callable[[str, str, bytes], Parsed]:
    ending = PurePosixPath(name.lower().removesuffix(".gz")).suffix
    if ending not in PARSERS:
        raise ClientFileError(f'{where}: {name}: the ending "{ending}" is not known. Use {FORMATS}.')
    return PARSERS[ending]


def decode(where: str, name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        hint = " (it looks like UTF-16)" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise ClientFileError(f"{where}: {name} line {line} is not UTF-8{hint}. Save the file as UTF-8.") from error


def read_csv(where: str, name: str, content: bytes) -> Parsed:
    text = decode(where, name, content)
    csv.field_size_limit(2**31 - 1)
    header_line = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(",;\t", key=header_line.count) if header_line.count(",") == 0 else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header = [column.strip() for column in next((row for row in reader if row), [])]
    kept = [index for index, column in enumerate(header) if column]
    doubled = sorted({header[index] for index in kept if header.count(header[index]) > 1})
    if doubled:
        raise ClientFileError(f"{where}: {name} has the column {doubled[0]!r} twice. Rename one.")
    records: list[list[str]] = []
    lines: list[int] = []
    unreadable: list[dict[str, Any]] = []
    line = reader.line_num + 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise ClientFileError(
                    f'{where}: {name} line {line}: a quote (") opens here and never closes, so the rest '
                    "of the file cannot be told apart. Close or double it."
                ) from error
            unreadable.append(bad(name, line, "", f"not CSV: {error}", text.split("\n")[line - 1]))
        else:
            if len(row) == len(header):
                records.append(row)
                lines.append(line)
            elif row:
                reason = f"{len(row)} fields where the header has {len(header)}"
                unreadable.append(bad(name, line, "", reason, json.dumps(row, ensure_ascii=False)))
        line = reader.line_num + 1
    columns = {header[index]: [row[index] for row in records] for index in kept}
    return _frame(columns, name, lines), [header[index] for index in kept], unreadable


def _read_jsonl(where: str, name: str, content: bytes) -> Parsed:
    records, lines, unreadable = json_lines(name, decode(where, name, content))
    frame, columns = from_records(records, name, lines)
    return frame, columns, unreadable


def json_lines(name: str, text: str) -> tuple[list[dict[str, Any]], list[int], list[dict[str, Any]]]:
    """The objects of a text with one JSON object a line, their lines, and what is not one."""
    records, lines, unreadable = [], [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = read_json(line)
        except (json.JSONDecodeError, RecursionError) as error:
            unreadable.append(bad(name, number, "", f"not JSON: {error}", line))
            continue
        if isinstance(record, dict):
            records.append(record)
            lines.append(number)
        else:
            reason = f"expected a JSON object on the line, found {type(record).__name__}"
            unreadable.append(bad(name, number, "", reason, line))
    return records, lines, unreadable


def _read_yaml(where: str, name: str, content: bytes) -> Parsed:
    try:
        loaded = yaml.safe_load(decode(where, name, content))
    except yaml.YAMLError as error:
        raise ClientFileError(f"{where}: {name} is not readable as YAML: {error}") from error
    if isinstance(loaded, dict) and len(loaded) == 1:
        loaded = next(iter(loaded.values()))
    if not isinstance(loaded, list):
        raise ClientFileError(f"{where}: {name}: expected a list (lines beginning with `- `)")
    records, lines, unreadable = [], [], []
    for number, record in enumerate(loaded, start=1):
        if isinstance(record, dict):
            records.append({str(key): value for key, value in record.items()})
            lines.append(number)
        else:
            unreadable.append(bad(name, number, "", "expected fields such as `agent_id: ...`", str(record)))
    frame, columns = from_records(records, name, lines)
    return frame, columns, unreadable


def _read_parquet(where: str, name: str, content: bytes) -> Parsed:
    try:
        frame = pl.read_parquet(io.BytesIO(content))
    except Exception as error:  # polars raises its own kinds for a broken file
        raise ClientFileError(f"{where}: {name} is not readable as Parquet: {error}") from error
    return _from_typed(frame, name)


def read_delta(where: str, name: str, uri: str) -> Parsed:
    try:
        frame = pl.read_delta(uri)
    except Exception as error:  # deltalake and object stores raise many kinds
        raise ClientFileError(f"{where}: {name} is not readable as a Delta table: {error}. Use {FORMATS}.") from error
    return _from_typed(frame, name)


PARSERS: dict[str, Callable[[str, str, bytes], Parsed]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".parquet": _read_parquet,
}


def from_records(records: list[dict[str, Any]], name: str, lines: list[int]) -> tuple[pl.DataFrame, list[str]]:
    """Rows of text from parsed objects, and their columns in the order in which they first stand."""
    columns = list(dict.fromkeys(key for record in records for key in record if key))
    values = {column: [_astext(record.get(column)) for record in records] for column in columns}
    return _frame(values, name, lines), columns


def _from_typed(frame: pl.DataFrame, name: str) -> Parsed:
    columns = [column for column in frame.columns if column]
    values = [_column_astext(frame[column]) for column in columns]
    rows = pl.DataFrame(values).with_columns(
        pl.lit(name).alias(FILE), pl.int_range(1, frame.height + 1, dtype=pl.Int64).alias(ROW)
    )
    return rows, columns, []


def _column_astext(column: pl.Series) -> pl.Series:
    if column.dtype in (pl.String, pl.Categorical) or isinstance(column.dtype, pl.Enum):
        return column.cast(pl.String)
    if isinstance(column.dtype, pl.Datetime):
        zoned = column.dt.convert_time_zone("UTC") if column.dtype.time_zone else column.dt.replace_time_zone("UTC")
        return zoned.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    if column.dtype.is_numeric() or column.dtype in (pl.Date, pl.Boolean, pl.Null):
        return column.cast(pl.String)
    return pl.Series(column.name, [_astext(value) for value in column.to_list()], dtype=pl.String)


def _astext(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


def _frame(columns: dict[str, list[Any]], name: str, lines: list[int]) -> pl.DataFrame:
    frame = pl.DataFrame(columns, schema={column: pl.String for column in columns})
    return frame.with_columns(pl.Series(FILE, [name] * len(lines), dtype=pl.String), pl.Series(ROW, lines, pl.Int64))


def bad(file: str, row: int, column: str, reason: str, raw: str) -> dict[str, Any]:
    return {"file": file, "row": row, "column": column, "reason": reason, "raw": raw}
