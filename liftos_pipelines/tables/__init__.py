"""The contract: every table's columns, types, key and way of being written.

One entry a table, keyed `module/asset` as in Dagster, one file a module. The lake's IO manager casts what an asset
returns to these types and refuses a frame that lacks a contract column; more columns are welcome and pass through.
A reader who wants to know what a table holds looks here and nowhere else.
"""

from __future__ import annotations

from liftos_pipelines.tables import agentic, causal, evaluation, llm, memory, sentiment, sources, surfacing
from liftos_pipelines.tables.contract import (
    ALL,
    BASIC_EMOTIONS,
    BOOL,
    DATE,
    FLOAT,
    INT,
    TEXT,
    TEXTS,
    TIME,
    ContractError,
    Table,
)

__all__ = [
    "ALL",
    "BASIC_EMOTIONS",
    "BOOL",
    "DATE",
    "FLOAT",
    "INT",
    "SOURCES",
    "TABLES",
    "TEXT",
    "TEXTS",
    "TIME",
    "ContractError",
    "Table",
    "table",
]

_ROOMS = (sources, causal, sentiment, surfacing, llm, agentic, memory, evaluation)
TABLES: dict[str, Table] = {table.name: table for room in _ROOMS for table in room.TABLES}
SOURCES: tuple[str, ...] = tuple(name.split("/")[1] for name in TABLES if name.startswith("sources/"))


def table(name: str) -> Table:
    """The contract of `module/asset`.

    Raises
    ------
    KeyError : no such table, naming the closest ones
    """
    if name not in TABLES:
        import difflib

        close = difflib.get_close_matches(name, TABLES, n=3, cutoff=0.4)
        hint = f" Did you mean {', '.join(close)}?" if close else ""
        raise KeyError(f'there is no table "{name}".{hint} Tables: {", ".join(TABLES)}')
    return TABLES[name]
