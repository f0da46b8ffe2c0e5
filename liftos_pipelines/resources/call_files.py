"""Files of recorded calls: tables as the contract has them, or exports of OpenTelemetry, MLflow and Langfuse.

What belongs here: which files, their parsing, and which format each is in. What the formats mean stands in
`modules/llm/recorded`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import polars as pl

from liftos_pipelines.clients import CallSource, ClientConfig
from liftos_pipelines.modules.llm.recorded.formats import Format, format_of, read_records
from liftos_pipelines.modules.llm.recorded.spans import Problem, Record, Recorded
from liftos_pipelines.modules.sources.rows import FILE, QUARANTINE, ROW
from liftos_pipelines.resources.client_files import NamedParse, SourceFiles, combine, contents, delta_table, place
from liftos_pipelines.resources.file_formats import (
    PARSERS,
    ClientFileError,
    bad,
    decode,
    from_records,
    json_lines,
    parser,
)
from liftos_pipelines.tables import table
from liftos_pipelines.text import read_json

FIELD = "sources.llm_calls.path"
JSON_ENDINGS = (".json", ".jsonl", ".ndjson")
TABLE = "sources/llm_calls"


@dataclass(frozen=True, kw_only=True)
class CallFiles:
    """`files` as any source's. `exports`: the format of each file that is not a table of calls already.

    `made_null` : values that cannot be, read as unknown while their call stays; `counts` : spans by what they were;
    `unknown_names` : GenAI attributes that this version has no word for.
    """

    files: SourceFiles
    exports: dict[str, Format] = field(default_factory=dict)
    made_null: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=QUARANTINE))
    counts: dict[str, int] = field(default_factory=dict)
    unknown_names: tuple[str, ...] = ()


@dataclass(kw_only=True)
class _Objects:
    """What one JSON file holds: objects and the line or the number of each."""

    records: list[dict[str, Any]]
    rows: list[int]
    unreadable: list[dict[str, Any]]


def read_calls(client: ClientConfig, configured: CallSource, dollars: Callable[[], Decimal | None]) -> CallFiles:
    """Every call of a source's files.

    Parameters
    ----------
    dollars : gives the client's currency per dollar, asked only where an export may hold costs in dollars

    Raises
    ------
    ClientFileError : as `client_files.read_source`, or a file that is not in the stated format
    """
    found = delta_table(client, FIELD, configured.path)
    if found is not None:
        return CallFiles(files=combine([found]))
    where = place(client, FIELD)
    tables: list[NamedParse] = []
    exported: dict[Format, list[Record]] = {}
    exports: dict[str, Format] = {}
    broken: list[dict[str, Any]] = []
    for name, content in contents(client, FIELD, configured.path):
        objects, parsed = _parse(where, name, content)
        shapes = objects.records if objects else _objects(parsed[1], 50) if parsed else []
        told = configured.format or format_of(shapes)
        if told == "calls":
            if objects is not None:
                frame, columns = from_records(objects.records, name, objects.rows)
                parsed = (name, frame, columns, objects.unreadable)
            assert parsed is not None
            tables.append(parsed)
            continue
        if objects is None:
            assert parsed is not None
            objects = _Objects(records=_objects(parsed[1]), rows=parsed[1][ROW].to_list(), unreadable=parsed[3])
        exports[name] = told
        broken += objects.unreadable
        exported.setdefault(told, []).extend(
            Record(file=name, row=row, content=content)
            for row, content in zip(objects.rows, objects.records, strict=True)
        )
    rate = dollars() if exported else None
    read = [read_records(records, told, usd_rate=rate, unit=configured.unit) for told, records in exported.items()]
    parts = [*tables, *(_as_table(each, exports) for each in read if exports)]
    return _combined(parts, read, exports, broken)


def _parse(where: str, name: str, content: bytes) -> tuple[_Objects | None, NamedParse | None]:
    """JSON as objects; any other kind of file as a table of text."""
    ending = PurePosixPath(name.lower().removesuffix(".gz")).suffix
    if ending not in JSON_ENDINGS:
        if ending not in PARSERS:
            known = ", ".join(JSON_ENDINGS)
            raise ClientFileError(f'{where}: {name}: the ending "{ending}" is not known. Use {known}, .csv, .tsv or '
                                  ".parquet (each but Parquet also with .gz), or a Delta table's folder.")  # fmt: skip
        return None, (name, *parser(where, name)(where, name, content))
    text = decode(where, name, content)
    first = text.lstrip().split("\n", 1)[0].strip()
    if not _whole(first) or (ending == ".json" and first.startswith("[")):
        # A document over several lines, or a list of objects, rather than an object a line.
        try:
            document = read_json(text)
        except (json.JSONDecodeError, RecursionError) as error:
            if ending == ".json":
                raise ClientFileError(f"{where}: {name} is not readable as JSON: {error}") from error
        else:
            return _listed(name, document), None
    records, rows, unreadable = json_lines(name, text)
    return _Objects(records=records, rows=rows, unreadable=unreadable), None


def _whole(line: str) -> bool:
    try:
        json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        return False
    return True


def _listed(name: str, document: Any) -> _Objects:
    entries = document if isinstance(document, list) else [document]
    objects = _Objects(records=[], rows=[], unreadable=[])
    for number, entry in enumerate(entries, start=1):
        if isinstance(entry, dict):
            objects.records.append(entry)
            objects.rows.append(number)
        else:
            reason = f"expected a JSON object, found {type(entry).__name__}"
            objects.unreadable.append(bad(name, number, "", reason, json.dumps(entry)[:2000]))
    return objects


def _objects(frame: pl.DataFrame, limit: int | None = None) -> list[dict[str, Any]]:
    rows = frame.drop(FILE, ROW)
    return (rows if limit is None else rows.head(limit)).to_dicts()


def _as_table(read: Recorded, exports: dict[str, Format]) -> NamedParse:
    """Rows as text, like those of any file, so that one set of typing rules judges them."""
    columns = list(table(TABLE).columns)
    values = {column: [_text(row.get(column)) for row in read.rows] for column in columns}
    frame = pl.DataFrame(values, schema={column: pl.String for column in columns}).with_columns(
        pl.Series(FILE, [row[FILE] for row in read.rows], dtype=pl.String),
        pl.Series(ROW, [row[ROW] for row in read.rows], dtype=pl.Int64),
    )
    return next(iter(exports)), frame, columns, [_line(problem) for problem in read.set_aside()]


def _text(value: Any) -> str | None:
    return None if value is None else value if isinstance(value, str) else str(value)


def _line(problem: Problem) -> dict[str, Any]:
    named = f"span {problem.span}: {problem.reason}" if problem.span else problem.reason
    return bad(problem.file, problem.row, problem.field, named, problem.raw)


def _combined(
    parts: list[NamedParse], read: list[Recorded], exports: dict[str, Format], broken: list[dict[str, Any]]
) -> CallFiles:
    combined = combine(parts)
    contract = list(table(TABLE).columns)
    columns = {name: contract if name in exports else own for name, own in combined.columns.items()}
    columns |= {name: contract for name in exports}
    unreadable = pl.concat([combined.unreadable, pl.DataFrame(broken, schema=QUARANTINE)])
    counts: dict[str, int] = {}
    for each in read:
        for name, number in each.counts.items():
            counts[name] = counts.get(name, 0) + number
    return CallFiles(
        files=SourceFiles(rows=combined.rows, columns=columns, unreadable=unreadable),
        exports=exports,
        made_null=pl.DataFrame([_line(problem) for each in read for problem in each.made_null()], schema=QUARANTINE),
        counts=counts,
        unknown_names=tuple(sorted({name for each in read for name in each.unknown_names})),
    )
