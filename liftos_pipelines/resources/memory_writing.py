"""How a client's memory is written: decided under the lock, synced to the journal, then acknowledged."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from liftos_pipelines.modules.memory.records import history as versions
from liftos_pipelines.modules.memory.records.items import SCHEMA
from liftos_pipelines.modules.memory.records.sameness import Alias, aliases_among, split_aliases
from liftos_pipelines.resources.memory_access import Access, MemoryRefused
from liftos_pipelines.resources.memory_record import rows_record, write_record
from liftos_pipelines.resources.memory_snapshot import Snapshot
from liftos_pipelines.spine.metrics import counter, histogram
from liftos_pipelines.spine.tracing import span

FEW = 64
"""Rows of a write that are decided without a data frame."""
FLUSH_ROWS = 256
"""A batch this large is flushed at once."""


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """What a write changed: memories added or said anew, versions closed, known under another name, unchanged.

    `recorded_at` is the moment of recording, None when nothing changed.
    """

    added: int
    closed: int
    unchanged: int
    aliases: int
    recorded_at: datetime | None


class Writer:
    """Decides what a write changes. `flush` is called after a large one."""

    def __init__(self, access: Access, flush: Callable[[], int]) -> None:
        self._access, self._flush = access, flush

    def remember(
        self, items: pl.DataFrame, now: datetime | None = None, *, complete_kinds: Collection[str] = ()
    ) -> Remembered:
        """Acknowledge what is new in `items` as versions recorded `now`; what was said before is left as it is.

        Durable when this returns, and found by the next recall. Forgotten memories are not taken back.
        `complete_kinds` as in `history.remember`.

        Raises
        ------
        JournalError : the journal is locked or cannot be written; nothing was stored
        """
        done = Remembered(added=0, closed=0, unchanged=0, aliases=0, recorded_at=None)
        began = time.perf_counter()
        with span("memory write", attributes={"liftos.client": self._access.client, "liftos.rows": items.height}):
            for layer in versions.layers(items):
                few = layer.height <= FEW and not complete_kinds
                moment = now or datetime.now(UTC)
                said = self._remember_few(layer, moment) if few else self._remember(layer, moment, complete_kinds)
                done = _together(done, said)
        histogram("liftos.remember.duration").record(time.perf_counter() - began)
        counter("liftos.memories.written").add(done.added)
        if done.added + done.closed >= FLUSH_ROWS:
            self._flush()
        return done

    def _remember(self, items: pl.DataFrame, now: datetime, complete_kinds: Collection[str]) -> Remembered:
        with self._access.writing() as snapshot:
            allowed, aliases = self._allowed(snapshot, items.select(list(SCHEMA)))
            keys = allowed["memory_id"].to_list()
            if complete_kinds:
                keys = [*keys, *snapshot.ids(complete_kinds)]
            changes = versions.remember(
                snapshot.held(keys), allowed, now, complete_kinds=complete_kinds, latest=snapshot.latest
            )
            fresh = [alias for alias in aliases if snapshot.aliases.get(alias.alias_id) != alias.memory_id]
            if changes.count or fresh:
                self._access.write(snapshot, write_record(changes, fresh))
            return Remembered(
                added=changes.added.height,
                closed=changes.closed.height,
                unchanged=allowed["memory_id"].n_unique() - changes.added["memory_id"].n_unique(),
                aliases=len(aliases),
                recorded_at=changes.recorded_at,
            )

    def _remember_few(self, items: pl.DataFrame, now: datetime) -> Remembered:
        rows = items.select(list(SCHEMA)).rows(named=True)
        with self._access.writing() as snapshot:
            rows = [row for row in rows if not snapshot.is_forgotten(row)]
            drop, aliases = aliases_among(rows, snapshot.holder, snapshot.is_current)
            rows = [row for number, row in enumerate(rows) if number not in set(drop)]
            added, closed = versions.remember_few(rows, snapshot.row, snapshot.said_before, now, snapshot.latest)
            fresh = [alias for alias in aliases if snapshot.aliases.get(alias.alias_id) != alias.memory_id]
            if added or closed or fresh:
                self._access.write(snapshot, rows_record(added, closed, fresh))
            return Remembered(
                added=len(added),
                closed=len(closed),
                unchanged=len({row["memory_id"] for row in rows}) - len(added),
                aliases=len(aliases),
                recorded_at=added[0]["recorded_at"] if added else None,
            )

    def _allowed(self, snapshot: Snapshot, items: pl.DataFrame) -> tuple[pl.DataFrame, list[Alias]]:
        if snapshot.forgotten:
            items = items.filter([not snapshot.is_forgotten(row) for row in items.iter_rows(named=True)])
        return split_aliases(items, snapshot.holder, snapshot.is_current)

    def restore(self, history: pl.DataFrame) -> int:
        """Fill an empty store from the lake's `memory/items`, vectors computed anew; returns the rows taken in."""
        if history.is_empty() or len(self._access.read()):
            return 0
        missing = [name for name in SCHEMA if name not in history.columns]
        if missing:
            raise MemoryRefused(f"memory/items of {self._access.client} lacks column(s) {', '.join(missing)}")
        with self._access.writing() as snapshot:
            if len(snapshot):
                return 0
            kept = history.filter(~pl.col("memory_id").is_in(list(snapshot.forgotten))).select(list(SCHEMA))
            nothing = kept.clear()
            self._access.write(snapshot, write_record(versions.Changes(added=kept, closed=nothing)))
        self._flush()
        return kept.height


def _together(one: Remembered, other: Remembered) -> Remembered:
    return Remembered(
        added=one.added + other.added,
        closed=one.closed + other.closed,
        unchanged=one.unchanged + other.unchanged,
        aliases=one.aliases + other.aliases,
        recorded_at=other.recorded_at or one.recorded_at,
    )
