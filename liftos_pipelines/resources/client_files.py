"""A client's data files: found from `client.yaml`, guarded, and read as text exactly as they stand.

What belongs here: which files a path, glob or URI means, that they are this client's to read, and their
parsing into rows of text with file and row number. Not here: what the text means (see `modules/sources`).

Everything becomes text, whatever the format, so that one set of typing rules decides what can be read and a
CSV file and a Parquet file with the same content give the same table.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from liftos_pipelines import settings
from liftos_pipelines.clients import ClientConfig

FILE, ROW = "_file", "_row"
UNREADABLE = {
    "file": pl.String(),
    "row": pl.Int64(),
    "column": pl.String(),
    "reason": pl.String(),
    "raw": pl.String(),
}
PROTOCOLS = frozenset("s3 s3a gs gcs az abfs abfss adl http https hdfs sftp ftp memory file local".split())
FORMATS = ".csv, .tsv, .jsonl, .ndjson, .parquet, .yaml (each but Parquet also with .gz) or a Delta table's folder"


class ClientFileError(ValueError):
    """A source's files cannot be used; the message names the file, the place in client.yaml and the fix."""


@dataclass(frozen=True, kw_only=True)
class SourceFiles:
    """What the files of one source say, before any typing.

    `rows`: all columns text, with `_file` (as the operator knows it) and `_row` (line of the file, or number of
    the record, from 1). `columns`: each file's own columns. `unreadable`: what did not parse, one line each.
    """

    rows: pl.DataFrame
    columns: dict[str, list[str]]
    unreadable: pl.DataFrame


@dataclass(frozen=True, kw_only=True)
class _Found:
    name: str
    path: str
    read: Callable[[], bytes]


def read_source(client: ClientConfig, field: str, path: str) -> SourceFiles:
    """Every row of a source's files, as text.

    Parameters
    ----------
    field : place in client.yaml, for messages, such as `sources.mentions.path`
    path : relative path, glob, absolute path or URI, as written there

    Raises
    ------
    ClientFileError : nothing there, not this client's to read, empty, vanished meanwhile, or not decodable
    """
    where = f"clients/{client.client}/client.yaml: {field}"
    delta = _delta_uri(client, where, path)
    if delta is not None:
        return _combine([(path, *_read_delta(where, path, delta))])
    parts = []
    for found in _find(client, where, path):
        parser = _parser(where, found.name)
        parts.append((found.name, *parser(where, found.name, _bytes(where, found))))
    return _combine(parts)


def read_pages(client: ClientConfig, field: str, path: str) -> SourceFiles:
    """HTML files as rows of `path` and `html`, with `url` where a `pages.csv` (path,url) beside them says so."""
    where = f"clients/{client.client}/client.yaml: {field}"
    rows: list[dict[str, Any]] = []
    unreadable: list[dict[str, Any]] = []
    named: dict[str, dict[str, str]] = {}
    for found in _find(client, where, path):
        stem = found.name.removesuffix(".gz")
        if not stem.lower().endswith((".html", ".htm")):
            if stem.endswith("pages.csv"):
                continue
            raise ClientFileError(f"{where}: {found.name} is not an HTML file (.html, .htm, also with .gz)")
        html = _decode_html(_bytes(where, found))
        if html is None:
            unreadable.append(_bad(found.name, 1, "html", "neither UTF-8 nor the encoding that the page declares", ""))
            continue
        folder = found.path.rsplit("/", 1)[0]
        if folder not in named:
            named[folder] = _page_urls(where, folder)
        leaf = found.name.rsplit("/", 1)[-1]
        urls = named[folder]
        url = urls.get(leaf) or urls.get(found.name) or urls.get(leaf.removesuffix(".gz"))
        rows.append({"url": url, "path": found.name, "html": html, FILE: found.name, ROW: 1})
    schema = {"url": pl.String, "path": pl.String, "html": pl.String, FILE: pl.String, ROW: pl.Int64}
    return SourceFiles(
        rows=pl.DataFrame(rows, schema=schema),
        columns={row[FILE]: ["url", "path", "html"] for row in rows},
        unreadable=pl.DataFrame(unreadable, schema=UNREADABLE),
    )


# --- finding -------------------------------------------------------------------------------------------------


def _find(client: ClientConfig, where: str, path: str) -> list[_Found]:
    """The files that a path means, by name; a glob may mean many."""
    if "://" in path or "::" in path:
        return _find_remote(client, where, path)
    root = _local_pattern(client, where, path)
    matches = sorted(_glob(root)) if has_magic(str(root)) else [root]
    files = [match for match in matches if not match.is_dir()]
    if not has_magic(str(root)) and root.is_dir():
        raise ClientFileError(f"{where}: {path} is a folder, not a file. Name its files, for example {path}/*.csv")
    if not files or not all(file.exists() for file in files):
        raise ClientFileError(f"{where}: no file at {path}{_closest_file(root)}. Add the file or mend the path.")
    found = []
    for file in files:
        _guard(client, where, path, file)
        name = _shown(client, file)
        found.append(_Found(name=name, path=file.as_posix(), read=file.read_bytes))
    return found


def _local_pattern(client: ClientConfig, where: str, path: str) -> Path:
    """The absolute path or pattern. Relative paths stay in the client's folder: `..` is refused."""
    written = Path(path).expanduser()
    if ".." in written.parts:
        raise ClientFileError(
            f'{where}: "{path}" leaves the client\'s folder by "..". Use a path below it, an absolute path or a URI.'
        )
    return written if written.is_absolute() else client.folder.resolve() / written


def _glob(pattern: Path) -> Iterator[Path]:
    parts = pattern.parts
    fixed = next(index for index, part in enumerate(parts) if has_magic(part))
    return Path(*parts[:fixed]).glob("/".join(parts[fixed:]))


def _guard(client: ClientConfig, where: str, path: str, file: Path) -> None:
    """Refuse what lies in LiftOS's own home but not in this client's folder, also through a symbolic link."""
    real, own = file.resolve(), client.folder.resolve()
    homes = (settings.home(), settings.clients_folder().resolve(), own.parent)
    if not real.is_relative_to(own) and any(real.is_relative_to(home) for home in homes):
        raise ClientFileError(
            f'{where}: "{path}" leads to {real}, outside this client\'s folder. '
            "A client cannot read another client's files; copy the data into its own folder."
        )


def _find_remote(client: ClientConfig, where: str, path: str) -> list[_Found]:
    protocol = path.split("://", 1)[0]
    if "::" in path or protocol not in PROTOCOLS:
        raise ClientFileError(
            f'{where}: "{path}": this kind of URI is not allowed. Allowed: {", ".join(sorted(PROTOCOLS))}'
        )
    if protocol in ("file", "local"):
        return _find(client, where, path.split("://", 1)[1])
    import fsspec

    try:
        filesystem, bare = fsspec.core.url_to_fs(path)
        matches = sorted(filesystem.glob(bare)) if has_magic(bare) else [bare]
        if not matches or not filesystem.exists(matches[0]):
            raise ClientFileError(f"{where}: no file at {path}. Add the file or mend the URI.")
    except ImportError as error:
        raise ClientFileError(f"{where}: {path}: {error}. Install the file system's package.") from error
    except OSError as error:
        raise ClientFileError(f"{where}: {path} cannot be listed: {error}") from error
    return [
        _Found(
            name=str(filesystem.unstrip_protocol(match)),
            path=str(filesystem.unstrip_protocol(match)),
            read=lambda match=match: filesystem.cat_file(match),  # type: ignore[misc]
        )
        for match in matches
    ]


def _delta_uri(client: ClientConfig, where: str, path: str) -> str | None:
    """Where a Delta table stands, if the path means one."""
    if has_magic(path) or path.lower().removesuffix(".gz").endswith(tuple(_PARSERS)):
        return None
    if "://" in path and not path.startswith(("file://", "local://")):
        protocol = path.split("://", 1)[0]
        if protocol not in PROTOCOLS or "::" in path:
            _find_remote(client, where, path)
        return path
    local = _local_pattern(client, where, path.removeprefix("file://").removeprefix("local://"))
    if not (local / "_delta_log").is_dir():
        return None
    _guard(client, where, path, local)
    return str(local)


def _shown(client: ClientConfig, file: Path) -> str:
    folder = client.folder.resolve()
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.as_posix()


def _closest_file(root: Path) -> str:
    import difflib

    if has_magic(str(root)) or not root.parent.is_dir():
        return ""
    close = difflib.get_close_matches(root.name, [entry.name for entry in root.parent.iterdir()], n=1)
    return f' (closest: "{close[0]}")' if close else ""


def _bytes(where: str, found: _Found) -> bytes:
    try:
        content = found.read()
        if found.name.lower().endswith(".gz"):
            content = gzip.decompress(content)
    except FileNotFoundError as error:
        raise ClientFileError(
            f"{where}: {found.name} was there when the files were listed and is gone now. "
            "Nothing was changed; run again when the file is complete."
        ) from error
    except (OSError, EOFError) as error:
        raise ClientFileError(f"{where}: {found.name} cannot be read: {error}") from error
    if not content.strip():
        raise ClientFileError(f"{where}: {found.name} is empty. Write its header and rows, or remove the source.")
    return content


# --- parsing -------------------------------------------------------------------------------------------------

_Parsed = tuple[pl.DataFrame, list[str], list[dict[str, Any]]]


def _parser(where: str, name: str) -> Callable[[str, str, bytes], _Parsed]:
    ending = Path(name.lower().removesuffix(".gz")).suffix
    if ending not in _PARSERS:
        raise ClientFileError(f'{where}: {name}: the ending "{ending}" is not known. Use {FORMATS}.')
    return _PARSERS[ending]


def _text(where: str, name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        hint = " (it looks like UTF-16)" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise ClientFileError(f"{where}: {name} line {line} is not UTF-8{hint}. Save the file as UTF-8.") from error


def _read_csv(where: str, name: str, content: bytes) -> _Parsed:
    text = _text(where, name, content)
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
                    f'{where}: {name} line {line}: a quote (") opens here and never closes, so the rest of the '
                    "file cannot be told apart. Close or double it."
                ) from error
            unreadable.append(_bad(name, line, "", f"not CSV: {error}", text.split("\n")[line - 1]))
        else:
            if len(row) == len(header):
                records.append(row)
                lines.append(line)
            elif row:
                reason = f"{len(row)} fields where the header has {len(header)}"
                unreadable.append(_bad(name, line, "", reason, json.dumps(row, ensure_ascii=False)))
        line = reader.line_num + 1
    columns = {header[index]: [row[index] for row in records] for index in kept}
    return _frame(columns, name, lines), [header[index] for index in kept], unreadable


def _read_jsonl(where: str, name: str, content: bytes) -> _Parsed:
    records, lines, unreadable = [], [], []
    for number, line in enumerate(_text(where, name, content).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            unreadable.append(_bad(name, number, "", f"not JSON: {error}", line))
            continue
        if isinstance(record, dict):
            records.append(record)
            lines.append(number)
        else:
            reason = f"expected a JSON object on the line, found {type(record).__name__}"
            unreadable.append(_bad(name, number, "", reason, line))
    frame, columns = _from_records(records, name, lines)
    return frame, columns, unreadable


def _read_yaml(where: str, name: str, content: bytes) -> _Parsed:
    try:
        loaded = yaml.safe_load(_text(where, name, content))
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
            unreadable.append(_bad(name, number, "", "expected fields such as `agent_id: ...`", str(record)))
    frame, columns = _from_records(records, name, lines)
    return frame, columns, unreadable


def _read_parquet(where: str, name: str, content: bytes) -> _Parsed:
    try:
        frame = pl.read_parquet(io.BytesIO(content))
    except Exception as error:  # polars raises its own kinds for a broken file
        raise ClientFileError(f"{where}: {name} is not readable as Parquet: {error}") from error
    return _from_typed(frame, name)


def _read_delta(where: str, name: str, uri: str) -> _Parsed:
    try:
        frame = pl.read_delta(uri)
    except Exception as error:  # deltalake and object stores raise many kinds
        raise ClientFileError(f"{where}: {name} is not readable as a Delta table: {error}. Use {FORMATS}.") from error
    return _from_typed(frame, name)


_PARSERS: dict[str, Callable[[str, str, bytes], _Parsed]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".parquet": _read_parquet,
}


def _from_records(records: list[dict[str, Any]], name: str, lines: list[int]) -> tuple[pl.DataFrame, list[str]]:
    columns = list(dict.fromkeys(key for record in records for key in record if key))
    values = {column: [_as_text(record.get(column)) for record in records] for column in columns}
    return _frame(values, name, lines), columns


def _from_typed(frame: pl.DataFrame, name: str) -> _Parsed:
    columns = [column for column in frame.columns if column]
    values = [_column_as_text(frame[column]) for column in columns]
    rows = pl.DataFrame(values).with_columns(
        pl.lit(name).alias(FILE), pl.int_range(1, frame.height + 1, dtype=pl.Int64).alias(ROW)
    )
    return rows, columns, []


def _column_as_text(column: pl.Series) -> pl.Series:
    if column.dtype in (pl.String, pl.Categorical) or isinstance(column.dtype, pl.Enum):
        return column.cast(pl.String)
    if isinstance(column.dtype, pl.Datetime):
        zoned = column.dt.convert_time_zone("UTC") if column.dtype.time_zone else column.dt.replace_time_zone("UTC")
        return zoned.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    if column.dtype.is_numeric() or column.dtype in (pl.Date, pl.Boolean, pl.Null):
        return column.cast(pl.String)
    return pl.Series(column.name, [_as_text(value) for value in column.to_list()], dtype=pl.String)


def _as_text(value: Any) -> str | None:
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


def _bad(file: str, row: int, column: str, reason: str, raw: str) -> dict[str, Any]:
    return {"file": file, "row": row, "column": column, "reason": reason, "raw": raw}


def _combine(parts: list[tuple[str, pl.DataFrame, list[str], list[dict[str, Any]]]]) -> SourceFiles:
    return SourceFiles(
        rows=pl.concat([frame for _, frame, _, _ in parts], how="diagonal"),
        columns={name: columns for name, _, columns, _ in parts},
        unreadable=pl.DataFrame([bad for _, _, _, bads in parts for bad in bads], schema=UNREADABLE),
    )


# --- pages ---------------------------------------------------------------------------------------------------


def _decode_html(content: bytes) -> str | None:
    """The page's text: UTF-8, or the encoding that the page declares in its first 2 KB."""
    import re

    declared = re.search(rb"charset\s*=\s*[\"']?\s*([\w-]+)", content[:2048], re.IGNORECASE)
    for encoding in ("utf-8-sig", declared.group(1).decode("ascii") if declared else None):
        if encoding:
            try:
                return content.decode(encoding)
            except (UnicodeDecodeError, LookupError):
                continue
    return None


def _page_urls(where: str, folder: str) -> dict[str, str]:
    """`pages.csv` beside the pages: path -> url; empty when there is none."""
    import fsspec

    location = f"{folder}/pages.csv"
    filesystem, bare = fsspec.core.url_to_fs(location)
    if not filesystem.exists(bare):
        return {}
    rows, columns, _ = _read_csv(where, "pages.csv", filesystem.cat_file(bare))
    if not {"path", "url"} <= set(columns):
        raise ClientFileError(f"{where}: {location}: expected the columns path,url; found {', '.join(columns)}")
    return dict(rows.select("path", "url").iter_rows())
