"""Records of the journal: what a write or an erasure was decided to be, as JSON, and rows read back from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from liftos_pipelines.modules.memory.records.history import Changes
from liftos_pipelines.modules.memory.records.items import SCHEMA
from liftos_pipelines.modules.memory.records.sameness import Alias

_MOMENTS = tuple(name for name, dtype in SCHEMA.items() if isinstance(dtype, pl.Datetime))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def write_record(changes: Changes, aliases: Sequence[Alias] = ()) -> dict[str, Any]:
    """A decided write as the journal holds it: new versions whole, closings by version, moments in microseconds."""
    closed = dict(changes.closed.select("version_id", "superseded_at").iter_rows())
    return rows_record(changes.added.iter_rows(named=True), closed, aliases)


def rows_record(
    added: Iterable[Mapping[str, Any]], closed: Mapping[str, datetime], aliases: Sequence[Alias] = ()
) -> dict[str, Any]:
    """The same from rows."""
    return {
        "what": "write",
        "rows": [
            {name: _microseconds(told) if name in _MOMENTS else told for name, told in row.items() if told is not None}
            for row in added
        ],
        "closed": {version: _microseconds(at) for version, at in closed.items()},
        "aliases": [dict(alias.__dict__) for alias in aliases],
    }


def forget_record(ids: Collection[str], identities: Collection[str], at: datetime) -> dict[str, Any]:
    return {"what": "forget", "ids": sorted(ids), "identities": sorted(identities), "at": _microseconds(at)}


def versions_in(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Versions that records added or closed, each once."""
    touched: dict[str, None] = {}
    for record in records:
        if record["what"] == "write":
            touched |= dict.fromkeys([*(row["version_id"] for row in record["rows"]), *record["closed"]])
    return list(touched)


def row_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """An item row as a record tells it."""
    row: dict[str, Any] = {name: told.get(name) for name in SCHEMA}
    for name in _MOMENTS:
        if row[name] is not None:
            row[name] = moment_of(row[name])
    return row


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def moment_of(microseconds: int) -> datetime:
    """A moment as a record tells it."""
    return _EPOCH + microseconds * _MICROSECOND
