"""Bi-temporal memory: world time (`valid_from`, `valid_to`) beside system time (`recorded_at`,
`superseded_at`).

A memory is never rewritten. When its source says something else, a new version is recorded and the old one
gets `superseded_at`; only the same memory is ever superseded: the same source row, or for facts the same subject
and predicate. So any past answer of the memory can be replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from liftos_pipelines.modules.memory.records.items import SCHEMA, typed

_KEY = "memory_id"


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What remembering changed: versions `added` and old versions `closed`, both complete item rows."""

    added: pl.DataFrame
    closed: pl.DataFrame

    @property
    def rows(self) -> pl.DataFrame:
        return pl.concat([self.added, self.closed])

    @property
    def count(self) -> int:
        return self.added.height + self.closed.height

    @property
    def recorded_at(self) -> datetime | None:
        """The moment of recording, None when nothing changed."""
        moment = self.added["recorded_at"].max() if self.added.height else self.closed["superseded_at"].max()
        return moment if isinstance(moment, datetime) else None


def remember(
    history: pl.DataFrame,
    items: pl.DataFrame,
    now: datetime,
    *,
    complete_kinds: Collection[str] = (),
    latest: datetime | None = None,
) -> Changes:
    """Versions to add and to close so that `items` are what is known now.

    Parameters
    ----------
    history : all versions known so far, or at least the current ones of `items` and of `complete_kinds`
    items : what the sources say, any number of rows a memory (the last wins)
    now : time of recording; moved forward if the history already holds that moment, so versions stay ordered
    complete_kinds : kinds of which `items` holds every memory; one that is missing was taken back by its
    source
        and is closed without a successor

    Returns
    -------
    Changes : empty when nothing new was said, so that remembering twice changes nothing
    """
    stamp = _stamp(history, now, latest)
    fresh = items.select(list(SCHEMA)).unique(subset=_KEY, keep="last", maintain_order=True)
    held = current(history)
    facts = history.filter(pl.col("kind") == "fact")
    same = pl.concat([held, facts]).select(_KEY, "content_hash").unique()
    added = fresh.join(same, on=[_KEY, "content_hash"], how="anti").with_columns(
        pl.lit(stamp).dt.cast_time_unit("us").alias("recorded_at"),
        pl.lit(None, dtype=SCHEMA["superseded_at"]).alias("superseded_at"),
        (pl.col(_KEY) + "@" + pl.lit(stamp.isoformat(timespec="microseconds"))).alias("version_id"),
    )
    late = _older_than_held(added, held)
    if late.height:
        # Told late, true earlier: it takes its place in world time and leaves what is known now alone.
        added = added.with_columns(
            pl.when(pl.col(_KEY).is_in(late[_KEY].implode()))
            .then(pl.col("recorded_at"))
            .otherwise(pl.col("superseded_at"))
            .alias("superseded_at")
        )
    successors = added.filter(pl.col("superseded_at").is_null())
    retracted = pl.col("kind").is_in(list(complete_kinds)) & ~pl.col(_KEY).is_in(fresh[_KEY].implode())
    closed = held.filter(pl.col(_KEY).is_in(successors[_KEY].implode()) | retracted).with_columns(
        pl.lit(stamp).dt.cast_time_unit("us").alias("superseded_at")
    )
    return Changes(added=typed(added), closed=typed(closed))


def remember_few(
    rows: Sequence[dict[str, Any]],
    held: Callable[[str], Mapping[str, Any] | None],
    said_before: Callable[[str, str], bool],
    now: datetime,
    latest: datetime | None,
) -> tuple[list[dict[str, Any]], dict[str, datetime]]:
    """What `remember` decides, for a few rows and without a data frame, which costs more than the decision.

    Parameters
    ----------
    rows : item rows; of two of one memory the last wins
    held : the current version of a memory id; said_before : whether a memory ever had a content hash

    Returns
    -------
    Rows to add, complete, and by version id the moment at which old versions are closed
    """
    stamp = now if latest is None else max(now, latest + timedelta(microseconds=1))
    added: list[dict[str, Any]] = []
    closed: dict[str, datetime] = {}
    for name, row in {row[_KEY]: row for row in rows}.items():
        before = held(name)
        if before is not None and before["content_hash"] == row["content_hash"]:
            continue
        fact = row["kind"] == "fact"
        if fact and said_before(name, row["content_hash"]):
            continue
        since, held_since = row["valid_from"], before["valid_from"] if before is not None else None
        late = fact and since is not None and held_since is not None and since < held_since
        version = f"{name}@{stamp.isoformat(timespec='microseconds')}"
        added.append(row | {"recorded_at": stamp, "superseded_at": stamp if late else None, "version_id": version})
        if before is not None and not late:
            closed[before["version_id"]] = stamp
    return added, closed


def layers(items: pl.DataFrame) -> list[pl.DataFrame]:
    """Items in rounds, each with at most one row of a fact, in order of world time: each truth has its turn."""
    if not (items["kind"] == "fact").any():
        return [items]
    ordered = items.sort("valid_from", nulls_last=False, maintain_order=True)
    turn = pl.when(pl.col("kind") == "fact").then(pl.int_range(pl.len()).over(_KEY)).otherwise(0).alias("_turn")
    return [group.drop("_turn") for group in ordered.with_columns(turn).partition_by("_turn", maintain_order=True)]


def _stamp(history: pl.DataFrame, now: datetime, latest: datetime | None) -> datetime:
    """The moment of recording: now, or just after the last one where the clock says otherwise."""
    written = [history["recorded_at"].max(), history["superseded_at"].max()] if history.height else []
    known = [moment for moment in (*written, latest) if isinstance(moment, datetime)]
    return max([now, *(moment + timedelta(microseconds=1) for moment in known)])


def _older_than_held(added: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """New versions of facts that were true before the one that is held."""
    facts = added.filter(pl.col("kind") == "fact")
    if facts.is_empty():
        return facts
    present = held.select(_KEY, pl.col("valid_from").alias("_since"))
    return facts.join(present, on=_KEY).filter(pl.col("valid_from") < pl.col("_since"))


def apply(history: pl.DataFrame, changes: Changes) -> pl.DataFrame:
    """The history with changes in it, in order of recording."""
    kept = history.select(list(SCHEMA)).join(changes.closed.select("version_id"), on="version_id", how="anti")
    return pl.concat([kept, changes.rows]).sort("recorded_at", _KEY)


def current(history: pl.DataFrame) -> pl.DataFrame:
    """Versions that nothing has superseded."""
    return history.filter(pl.col("superseded_at").is_null())


def as_of(history: pl.DataFrame, moment: datetime, *, strict: bool = False) -> pl.DataFrame:
    """The version of each memory that holds at a moment, at most one a memory.

    A memory recorded by then appears as it was recorded then (system time): exactly the journal's replay. A
    memory that was loaded later, such as last year's decisions imported today, appears by its own date (world
    time), in the version that was valid then; `strict` leaves those out, for an audit of what could have been
    known.
    """
    known = history.filter(pl.col("recorded_at") <= moment)
    replayed = known.filter(pl.col("superseded_at").is_null() | (pl.col("superseded_at") > moment))
    if strict:
        return replayed
    later = (
        history.join(known.select(_KEY).unique(), on=_KEY, how="anti")
        .filter(pl.col("valid_from") <= moment)
        # A version closed without a successor was taken back: it was never true.
        .filter(
            pl.col("superseded_at").is_null()
            | pl.struct(_KEY, "superseded_at").is_in(
                history.select(pl.struct(_KEY, pl.col("recorded_at").alias("superseded_at"))).to_series().implode()
            )
        )
        .sort("valid_from", "recorded_at")
        .unique(subset=_KEY, keep="last", maintain_order=True)
    )
    return pl.concat([replayed, later])
