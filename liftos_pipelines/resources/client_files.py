"""A client's data files: found from `client.yaml`, guarded, and read as text exactly as they stand.

What belongs here: which files a path, glob or URI means, that they are this client's to read, and their
parsing into rows of text with file and row number. Not here: how a format is parsed
(`file_formats.py`), what the text means (`modules/sources`).
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import Any

import polars as pl

from liftos_pipelines import settings
from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.sources.rows import FILE, QUARANTINE, ROW
from liftos_pipelines.resources.file_formats import (
    PARSERS,
    ClientFileError,
    bad,
    parser,
    read_csv,
    read_delta,
)

SITE_FILES = ("robots.txt", "llms.txt", "sitemap.xml")
PROTOCOLS = frozenset(
    [
        "s3",
        "s3a",
        "gs",
        "gcs",
        "az",
        "abfs",
        "abfss",
        "adl",
        "http",
        "https",
        "hdfs",
        "sftp",
        "ftp",
        "memory",
        "file",
        "local",
    ]
)


NamedParse = tuple[str, pl.DataFrame, list[str], list[dict[str, Any]]]
"""A file's name, its rows as text, its own columns, and what did not parse."""


@dataclass(frozen=True, kw_only=True)
class SourceFiles:
    """What the files of one source say, before any typing.

    `rows`: all columns text, with `_file` (as the operator knows it) and `_row` (line of the file, or
    number of the record, from 1). `columns`: each file's own columns.
    `unreadable`: what did not parse, one line each.
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
    where = place(client, field)
    table = delta_table(client, field, path)
    if table is not None:
        return combine([table])
    parts = []
    for name, content in contents(client, field, path):
        parts.append((name, *parser(where, name)(where, name, content)))
    return combine(parts)


def place(client: ClientConfig, field: str) -> str:
    """A field of client.yaml as messages name it."""
    return f"clients/{client.client}/client.yaml: {field}"


def contents(client: ClientConfig, field: str, path: str) -> Iterator[tuple[str, bytes]]:
    """Name and content, unpacked, of each file that a path means.

    Raises
    ------
    ClientFileError : as `read_source`
    """
    where = place(client, field)
    for found in _find(client, where, path):
        yield found.name, _bytes(where, found)


def delta_table(client: ClientConfig, field: str, path: str) -> NamedParse | None:
    """A Delta table's rows, if the path means one.

    Raises
    ------
    ClientFileError : the table is not this client's to read, or cannot be read
    """
    where = place(client, field)
    uri = _delta_uri(client, where, path)
    return None if uri is None else (path, *read_delta(where, path, uri))


def read_pages(client: ClientConfig, field: str, path: str) -> SourceFiles:
    """HTML files as rows of `path` and `html`, with `url` where `pages.csv` (path,url) beside them has it.

    A `robots.txt`, `llms.txt` or `sitemap.xml` that `pages.csv` names comes as a row too.
    """
    where = f"clients/{client.client}/client.yaml: {field}"
    rows: list[dict[str, Any]] = []
    unreadable: list[dict[str, Any]] = []
    named: dict[str, dict[str, str]] = {}
    for found in _find(client, where, path):
        stem = found.name.removesuffix(".gz")
        if not stem.lower().endswith((".html", ".htm")):
            if stem.rsplit("/", 1)[-1] in ("pages.csv", *SITE_FILES):
                continue
            raise ClientFileError(f"{where}: {found.name} is not an HTML file (.html, .htm, also with .gz)")
        html = _decode_html(_bytes(where, found))
        if html is None:
            unreadable.append(bad(found.name, 1, "html", "neither UTF-8 nor the encoding that the page declares", ""))
            continue
        folder = found.path.rsplit("/", 1)[0]
        if folder not in named:
            named[folder] = _page_urls(where, folder)
        leaf = found.name.rsplit("/", 1)[-1]
        urls = named[folder]
        url = urls.get(leaf) or urls.get(found.name) or urls.get(leaf.removesuffix(".gz"))
        rows.append({"url": url, "path": found.name, "html": html, FILE: found.name, ROW: 1})
    for folder, urls in named.items():
        rows += _site_files(folder, urls)
    schema = {"url": pl.String, "path": pl.String, "html": pl.String, FILE: pl.String, ROW: pl.Int64}
    return SourceFiles(
        rows=pl.DataFrame(rows, schema=schema),
        columns={row[FILE]: ["url", "path", "html"] for row in rows},
        unreadable=pl.DataFrame(unreadable, schema=QUARANTINE),
    )


# --- finding ---


def _find(client: ClientConfig, where: str, path: str) -> list[_Found]:
    """The files that a path means, by name; a glob may mean many."""
    if "://" in path or "::" in path:
        return _find_remote(client, where, path)
    return [
        _Found(name=_shown(client, file), path=file.as_posix(), read=file.read_bytes)
        for file in local_files(client, where, path)
    ]


def local_files(client: ClientConfig, where: str, path: str) -> list[Path]:
    """The files on this machine that a path or glob means, sorted, each of them this client's to read.

    Raises
    ------
    ClientFileError : none, a folder, or a file outside what the client may read
    """
    root = _local_pattern(client, where, path)
    matches = sorted(_glob(root)) if has_magic(str(root)) else [root]
    files = [match for match in matches if not match.is_dir()]
    if not has_magic(str(root)) and root.is_dir():
        raise ClientFileError(f"{where}: {path} is a folder, not a file. Name its files, for example {path}/*.csv")
    if not files or not all(file.exists() for file in files):
        raise ClientFileError(f"{where}: no file at {path}{_closest_file(root)}. Add the file or mend the path.")
    for file in files:
        _guard(client, where, path, file)
    return files


def stamps(client: ClientConfig, where: str, path: str) -> list[tuple[str, int, int]]:
    """Name, size and time of change of what a path means on this machine: files, or a Delta table's commits.

    Raises
    ------
    ClientFileError : as `local_files`
    """
    table = _delta_uri(client, where, path)
    files = sorted(Path(table, "_delta_log").glob("*.json"))[-1:] if table else local_files(client, where, path)
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


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
    if has_magic(path) or path.lower().removesuffix(".gz").endswith(tuple(PARSERS)):
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


def combine(parts: list[NamedParse]) -> SourceFiles:
    """What several files of one source say, as one."""
    return SourceFiles(
        rows=pl.concat([frame for _, frame, _, _ in parts], how="diagonal"),
        columns={name: columns for name, _, columns, _ in parts},
        unreadable=pl.DataFrame([bad for _, _, _, bads in parts for bad in bads], schema=QUARANTINE),
    )


# --- pages ---


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


def _site_files(folder: str, urls: dict[str, str]) -> list[dict[str, Any]]:
    """`robots.txt`, `llms.txt` and `sitemap.xml` beside the pages, where `pages.csv` says whose they are."""
    import fsspec

    rows = []
    for leaf in SITE_FILES:
        if leaf not in urls:
            continue
        filesystem, bare = fsspec.core.url_to_fs(f"{folder}/{leaf}")
        if filesystem.exists(bare):
            text = filesystem.cat_file(bare).decode("utf-8", errors="replace")
            rows.append({"url": urls[leaf], "path": leaf, "html": text, FILE: leaf, ROW: 1})
    return rows


def _page_urls(where: str, folder: str) -> dict[str, str]:
    """`pages.csv` beside the pages: path -> url; empty when there is none."""
    import fsspec

    location = f"{folder}/pages.csv"
    filesystem, bare = fsspec.core.url_to_fs(location)
    if not filesystem.exists(bare):
        return {}
    rows, columns, _ = read_csv(where, "pages.csv", filesystem.cat_file(bare))
    if not {"path", "url"} <= set(columns):
        raise ClientFileError(f"{where}: {location}: expected the columns path,url; found {', '.join(columns)}")
    return dict(rows.select("path", "url").iter_rows())
