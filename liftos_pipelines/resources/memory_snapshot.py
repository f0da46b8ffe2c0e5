"""The memory in the process: every version with its vector, kept current from the journal, serving recall.

Nothing here touches a file. A record of the journal is applied in well under a millisecond; the frame of all
versions and the search index are brought up to date when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.recall.index import RecallIndex
from liftos_pipelines.modules.memory.recall.query import Vectors, Windows
from liftos_pipelines.modules.memory.recall.texts import searchable
from liftos_pipelines.modules.memory.recall.windows import windows
from liftos_pipelines.modules.memory.records.items import NAMED_TWICE, SCHEMA, identity
from liftos_pipelines.resources.memory_record import moment_of, row_of


class Makes(Protocol):
    """What makes a search index and the vectors of further rows, see `memory_index.IndexMaker`."""

    def build(
        self, items: pl.DataFrame, vectors: NDArray[np.float32], windows: Sequence[NDArray[np.float32]] = ()
    ) -> RecallIndex: ...

    def spaces(self, items: pl.DataFrame, vectors: NDArray[np.float32]) -> Vectors: ...

    def windows(self, windows: Sequence[NDArray[np.float32]]) -> Windows: ...


Encode = Callable[[list[str]], NDArray[np.float32]] | None
"""None where the model's weights are missing: rows then wait for their vector, a row of zeros stands for it."""


class Snapshot:
    """One client's memory as of a place in the journal. Not for several threads at once; the index it gives is.

    Parameters
    ----------
    frame : (n) item rows
    vectors : (n, d) float32, unit length; `known` (n) tells which of them are of the present model
    forgotten, identities : memory ids and identities that must not come back
    aliases : memory id by alias id
    windows : by version id, of long texts, the vectors of their windows (w, d), of the present model
    """

    def __init__(
        self,
        frame: pl.DataFrame,
        vectors: NDArray[np.float32],
        known: NDArray[np.bool_],
        *,
        forgotten: Iterable[str] = (),
        identities: Iterable[str] = (),
        aliases: Mapping[str, str] | None = None,
        windows: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> None:
        self._base = frame.select(list(SCHEMA))
        self._tail: list[dict[str, Any]] = []
        self._closings: dict[int, datetime] = {}
        self._vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._unknown = [int(row) for row in np.flatnonzero(~known)]
        self._windows = dict(windows or {})
        self._index: RecallIndex | None = None
        self._closed_since: dict[str, datetime] = {}
        self._facts: dict[str, list[int]] = {}
        self.forgotten, self.forgotten_identities = set(forgotten), set(identities)
        self.aliases = dict(aliases or {})
        self.latest: datetime | None = frame["recorded_at"].max() if frame.height else None  # type: ignore[assignment]
        closed = frame["superseded_at"].max() if frame.height else None
        if isinstance(closed, datetime) and self.latest is not None:
            self.latest = max(self.latest, closed)
        self._place_of: dict[str, int] = {name: row for row, name in enumerate(self._base["version_id"].to_list())}
        self._current: dict[str, int] = {}
        self._hashes: dict[str, str] = {}
        self._of_kind: dict[str, set[str]] = {}
        self._said: dict[str, str] | None = None
        facts = self._base.with_row_index("_row").filter(pl.col("kind") == "fact").select("_row", "memory_id")
        for row, memory_id in facts.iter_rows():
            self._facts.setdefault(memory_id, []).append(row)
        held = self._base.with_row_index("_row").filter(pl.col("superseded_at").is_null())
        for row, memory_id, kind, content in held.select("_row", "memory_id", "kind", "content_hash").iter_rows():
            self._hold(memory_id, kind, content, row)

    def __len__(self) -> int:
        return self._base.height + len(self._tail)

    @property
    def memories(self) -> int:
        """Memories that are current."""
        return len(self._current)

    @property
    def unembedded(self) -> int:
        """Versions that have no vector of the present model yet."""
        return len(self._unknown)

    def texts_unembedded(self) -> list[str]:
        """What is to be embedded: texts, and the windows of long ones."""
        texts = searchable(self._rows(self._unknown))
        return [*texts, *(part for text in texts for part in parts_of(text))]

    # --- what the next write is decided on ---------------------------------------------------------------
    def held(self, memory_ids: Collection[str]) -> pl.DataFrame:
        """The current versions of these memories, of facts every version, as complete rows."""
        places = {self._current[name] for name in memory_ids if name in self._current}
        places |= {place for name in memory_ids for place in self._facts.get(name, ())}
        return self._rows(sorted(places))

    def row(self, memory_id: str) -> dict[str, Any] | None:
        """The current version of a memory."""
        place = self._current.get(memory_id)
        return None if place is None else self._row_at(place)

    def said_before(self, memory_id: str, content_hash: str) -> bool:
        """Whether a fact ever said this."""
        return any(self._row_at(place)["content_hash"] == content_hash for place in self._facts.get(memory_id, ()))

    def _row_at(self, place: int) -> dict[str, Any]:
        if place >= self._base.height:
            return self._tail[place - self._base.height]
        return self._base.row(place, named=True)

    def ids(self, kinds: Collection[str]) -> set[str]:
        """Current memories of these kinds."""
        return set().union(*(self._of_kind.get(kind, set()) for kind in kinds))

    def same(self, memory_id: str, content_hash: str) -> bool:
        """Whether this memory already says this."""
        return self._hashes.get(memory_id) == content_hash

    def is_forgotten(self, row: Mapping[str, Any]) -> bool:
        """Whether this was erased, under this id or as what it says."""
        if not self.forgotten:
            return False
        return row["memory_id"] in self.forgotten or identity(row) in self.forgotten_identities

    def is_current(self, memory_id: str) -> bool:
        return memory_id in self._current

    def holder(self, said: str) -> str | None:
        """The current memory that has an identity, see `items.identity`."""
        if self._said is None:
            named = self._rows([self._current[name] for name in self.ids(NAMED_TWICE)])
            self._said = {str(identity(row)): row["memory_id"] for row in named.iter_rows(named=True)}
        return self._said.get(said)

    # --- the journal's records ---------------------------------------------------------------------------
    def apply(self, record: Mapping[str, Any]) -> None:
        """Take in one record; a version that is known already is not taken twice."""
        if record["what"] == "forget":
            self.forgotten.update(record["ids"])
            self.forgotten_identities.update(record["identities"])
            self._erase(set(record["ids"]))
            return
        for version, at in record["closed"].items():
            self._close(version, moment_of(at))
        for told in record["rows"]:
            self._add(row_of(told))
        for alias in record["aliases"]:
            self.aliases[alias["alias_id"]] = alias["memory_id"]

    def _add(self, row: dict[str, Any]) -> None:
        if row["version_id"] in self._place_of or row["memory_id"] in self.forgotten:
            return
        place = len(self)
        self._tail.append(row)
        self._unknown.append(place)
        if row["kind"] == "fact":
            self._facts.setdefault(row["memory_id"], []).append(place)
        self._place_of[row["version_id"]] = place
        self.latest = row["recorded_at"] if self.latest is None else max(self.latest, row["recorded_at"])
        if row["superseded_at"] is None:
            self._hold(row["memory_id"], row["kind"], row["content_hash"], place)
            said = identity(row) if self._said is not None else None
            if said is not None and self._said is not None:
                self._said[said] = row["memory_id"]

    def _close(self, version: str, at: datetime) -> None:
        place = self._place_of.get(version)
        if place is None:
            return
        if place >= self._base.height:
            self._tail[place - self._base.height]["superseded_at"] = at
        self._closings[place] = at
        self._closed_since[version] = at
        self.latest = at if self.latest is None else max(self.latest, at)
        memory_id = version.rsplit("@", 1)[0]
        if self._current.get(memory_id) == place:
            del self._current[memory_id], self._hashes[memory_id]
            for held in self._of_kind.values():
                held.discard(memory_id)
            if self._said is not None:
                gone = identity(self._rows([place]).row(0, named=True))
                if gone is not None and self._said.get(gone) == memory_id:
                    del self._said[gone]

    def _hold(self, memory_id: str, kind: str, content: str, place: int) -> None:
        self._current[memory_id] = place
        self._hashes[memory_id] = content
        self._of_kind.setdefault(kind, set()).add(memory_id)

    def _erase(self, memory_ids: set[str]) -> None:
        frame = self.history_as_stored()
        kept = ~frame["memory_id"].is_in(list(memory_ids)).to_numpy()
        known = np.ones(len(self), dtype=bool)
        known[self._unknown] = False
        latest = self.latest
        self.__init__(  # type: ignore[misc]
            frame.filter(kept),
            self._all_vectors()[kept],
            known[kept],
            forgotten=self.forgotten,
            identities=self.forgotten_identities,
            aliases={name: held for name, held in self.aliases.items() if held not in memory_ids},
            windows={name: held for name, held in self._windows.items() if name.rsplit("@", 1)[0] not in memory_ids},
        )
        self.latest = latest

    # --- what is served ----------------------------------------------------------------------------------
    def history_as_stored(self) -> pl.DataFrame:
        """Every version, in the order of the vectors."""
        if self._tail:
            self._base = pl.concat([self._base, _framed(self._tail)]).rechunk()
            self._tail = []
        if self._closings:
            places = list(self._closings)
            closed = self._base["superseded_at"].clone()
            closed = closed.scatter(places, pl.Series([self._closings[place] for place in places], dtype=closed.dtype))
            self._base = self._base.with_columns(closed)
            self._closings = {}
        return self._base

    def index(self, encode: Encode, maker: Makes) -> RecallIndex:
        """The search index of all versions; the vectors that are missing are computed now.

        Parameters
        ----------
        maker : makes the index of all rows; what is written afterwards is added at its end
        """
        self.embed(encode)
        if self._index is None:
            frame = self.history_as_stored()
            self._index = maker.build(frame, self._vectors[: frame.height], self._windows_in(frame))
        elif len(self._index) != len(self) or self._closed_since:
            start = len(self._index)
            added = self._rows(range(start, len(self)))
            spaces = maker.spaces(added, self._vectors[start : len(self)])
            parts = maker.windows(self._windows_in(added))
            self._index = self._index.extended(added, spaces, closed=self._closed_since, windows=parts)
        # A new one: the index may hold on to the one it was given.
        self._closed_since = {}
        return self._index

    def embed(self, encode: Encode) -> int:
        """Compute the vectors that are missing; returns how many."""
        if not self._unknown:
            return 0
        self._reserve(len(self))
        if encode is None:
            return 0
        frame = self._rows(self._unknown)
        texts = searchable(frame)
        self._vectors[self._unknown] = encode(texts)
        self._embed_windows(frame["version_id"].to_list(), texts, encode)
        done = len(self._unknown)
        if self._index is not None and self._unknown[0] < len(self._index):
            self._index = None
        self._unknown = []
        return done

    def _embed_windows(self, versions: Sequence[str], texts: Sequence[str], encode: Callable[..., Any]) -> None:
        parts = {name: held for name, text in zip(versions, texts, strict=True) if (held := parts_of(text))}
        if parts:
            vectors = encode([part for held in parts.values() for part in held])
            ends = np.cumsum([len(held) for held in parts.values()])[:-1]
            self._windows.update(zip(parts, np.split(vectors, ends), strict=True))

    def _windows_in(self, frame: pl.DataFrame) -> list[NDArray[np.float32]]:
        """For each row the vectors of its windows; empty where no row is long."""
        if not self._windows:
            return []
        none = np.empty((0, self._vectors.shape[1]), np.float32)
        return [self._windows.get(name, none) for name in frame["version_id"].to_list()]

    def windows_of(self, versions: Iterable[str]) -> dict[str, NDArray[np.float32]]:
        """Of the long texts among these versions, the vectors of their windows."""
        return {name: self._windows[name] for name in versions if name in self._windows}

    def windows_again(self, encode: Encode) -> dict[str, NDArray[np.float32]]:
        """Compute the windows of long texts that have none, of stores from before there were windows; returns them."""
        frame = self.history_as_stored()
        known = np.ones(frame.height, dtype=bool)
        known[self._unknown] = False
        lacking = [
            (name, text)
            for name, text, embedded in zip(frame["version_id"].to_list(), searchable(frame), known, strict=True)
            if embedded and name not in self._windows and parts_of(text)
        ]
        if encode is None or not lacking:
            return {}
        names = [name for name, _ in lacking]
        self._embed_windows(names, [text for _, text in lacking], encode)
        self._index = None
        return self.windows_of(names)

    def rows_of(self, versions: Sequence[str], encode: Encode) -> tuple[pl.DataFrame, NDArray[np.float32]]:
        """Complete rows and vectors of these versions, for the table; versions erased since are left out."""
        self.embed(encode)
        places = sorted(self._place_of[name] for name in versions if name in self._place_of)
        return self._rows(places), self._vectors[places].copy()

    def stale(self) -> list[str]:
        """Versions whose stored vector is of another model."""
        return self._rows([row for row in self._unknown if row < self._base.height])["version_id"].to_list()

    def _rows(self, places: Sequence[int]) -> pl.DataFrame:
        """Rows at places, closings applied, in ascending order of place where they span base and tail."""
        base = [place for place in places if place < self._base.height]
        tail = [self._tail[place - self._base.height] for place in places if place >= self._base.height]
        frames = []
        if base:
            taken = self._base[base]
            if any(place in self._closings for place in base):
                moments = taken["superseded_at"].to_list()
                moments = [self._closings.get(place, held) for place, held in zip(base, moments, strict=True)]
                taken = taken.with_columns(pl.Series("superseded_at", moments, dtype=SCHEMA["superseded_at"]))
            frames.append(taken)
        if tail:
            frames.append(_framed(tail))
        return pl.concat(frames) if frames else pl.DataFrame(schema=SCHEMA)

    def _all_vectors(self) -> NDArray[np.float32]:
        self._reserve(len(self))
        return self._vectors[: len(self)]

    def _reserve(self, rows: int) -> None:
        """Room for the vectors of so many rows; it doubles, so that one memory more costs no copy of all."""
        if rows > len(self._vectors):
            grown = np.zeros((max(rows, 2 * len(self._vectors), 64), self._vectors.shape[1]), np.float32)
            grown[: len(self._vectors)] = self._vectors
            self._vectors = grown


def _framed(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=SCHEMA, orient="row")


def parts_of(text: str) -> list[str]:
    """The windows of a long text; none of one that is whole as it is."""
    found = windows(text)
    return found if len(found) > 1 else []
