"""Which rows under different ids are one memory: by exact identity, before anything is compared by meaning.

Merging by likeness of vectors makes one thing of two; here only what says the same, of the same subject and
predicate, is the same (see `items.identity`). The second id is kept as an alias of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from liftos_pipelines.modules.memory.records.items import NAMED_TWICE, identity


@dataclass(frozen=True, kw_only=True)
class Alias:
    """Another name of a memory: the id and the source row under which the same was said again."""

    alias_id: str
    memory_id: str
    source: str
    source_key: str


def split_aliases(
    items: pl.DataFrame, holder: Callable[[str], str | None], is_current: Callable[[str], bool]
) -> tuple[pl.DataFrame, list[Alias]]:
    """Items without those that another memory already says, and these as aliases of it.

    A memory that is current under its own id keeps it, whatever others say.

    Parameters
    ----------
    items : item rows; of two that are the same the first keeps its id
    holder : the current memory with an identity, or None
    is_current : whether a memory id is current
    """
    if not items["kind"].is_in(list(NAMED_TWICE)).any():
        return items, []
    drop, aliases = aliases_among(items.iter_rows(named=True), holder, is_current)
    if not drop:
        return items, []
    return items.with_row_index("_n").filter(~pl.col("_n").is_in(drop)).drop("_n"), aliases


def aliases_among(
    rows: Iterable[Mapping[str, Any]], holder: Callable[[str], str | None], is_current: Callable[[str], bool]
) -> tuple[list[int], list[Alias]]:
    """Numbers of the rows that another memory already says, and these as aliases of it."""
    aliases: list[Alias] = []
    drop: list[int] = []
    said_here: dict[str, str] = {}
    for number, row in enumerate(rows):
        said = identity(row)
        if said is None:
            continue
        known = said_here.setdefault(said, holder(said) or row["memory_id"])
        if known != row["memory_id"] and not is_current(row["memory_id"]):
            aliases.append(
                Alias(alias_id=row["memory_id"], memory_id=known, source=row["source"], source_key=row["source_key"])
            )
            drop.append(number)
    return drop, aliases
