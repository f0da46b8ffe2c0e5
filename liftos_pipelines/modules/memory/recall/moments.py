"""Which versions hold at a moment, as masks over the rows of an index: what `history.as_of` says, without a frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.recall.growing import Growing, Names

NEVER = np.iinfo(np.int64).max
UNKNOWN = np.iinfo(np.int64).min
Micros = NDArray[np.int64]
Mask = NDArray[np.bool_]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(moment: datetime) -> int:
    """Microseconds since 1970; a moment without a zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, eq=False)
class Moments:
    """(n) world and system time of each version, in microseconds; `superseded` is NEVER for current ones."""

    memories: Names
    recorded: Growing
    valid_from: Growing
    superseded: Micros

    @classmethod
    def of(cls, items: pl.DataFrame) -> Moments:
        return cls(
            memories=Names.of(items["memory_id"].to_list()),
            recorded=Growing(microseconds(items, "recorded_at", UNKNOWN)),
            valid_from=Growing(microseconds(items, "valid_from", UNKNOWN)),
            superseded=microseconds(items, "superseded_at", NEVER),
        )

    def extended(self, items: pl.DataFrame, closed: dict[int, int]) -> Moments:
        """With further versions; `closed` gives older rows the moment they were superseded."""
        superseded = np.concatenate([self.superseded, microseconds(items, "superseded_at", NEVER)])
        for row, moment in closed.items():
            superseded[row] = moment
        return replace(
            self,
            memories=self.memories.extended(items["memory_id"].to_list()),
            recorded=self.recorded.extended(microseconds(items, "recorded_at", UNKNOWN)),
            valid_from=self.valid_from.extended(microseconds(items, "valid_from", UNKNOWN)),
            superseded=superseded,
        )

    def current(self) -> Mask:
        held: Mask | None = self.__dict__.get("_current")
        if held is None:
            held = self.superseded == NEVER
            object.__setattr__(self, "_current", held)
        return held

    def as_of(self, moment: datetime, *, strict: bool = False) -> Mask:
        """(n,) the version of each memory that holds at a moment, at most one a memory; see `history.as_of`."""
        at, recorded = micros(moment), self.recorded.view
        known = recorded <= at
        holds = known & (self.superseded > at)
        if strict:
            return holds
        codes = self.memories.codes
        seen = np.zeros(len(self.memories.known), dtype=bool)
        seen[codes[known]] = True
        valid = self.valid_from.view
        later = np.flatnonzero(~seen[codes] & (valid <= at) & (valid != UNKNOWN) & ~self._taken_back())
        if later.size:
            order = later[np.lexsort((recorded[later], valid[later], codes[later]))]
            last = np.append(codes[order][1:] != codes[order][:-1], True)
            holds = holds.copy()
            holds[order[last]] = True
        return holds

    def _taken_back(self) -> Mask:
        """(n,) closed without a successor: it was never true."""
        held: Mask | None = self.__dict__.get("_without_successor")
        if held is None:
            closed = np.flatnonzero(self.superseded != NEVER)
            codes = self.memories.codes
            begun = set(zip(codes.tolist(), self.recorded.view.tolist(), strict=True)) if closed.size else set()
            held = np.zeros(codes.size, dtype=bool)
            ends = zip(codes[closed].tolist(), self.superseded[closed].tolist(), strict=True)
            held[closed] = [pair not in begun for pair in ends]
            object.__setattr__(self, "_without_successor", held)
        return held


def microseconds(items: pl.DataFrame, name: str, unknown: int) -> Micros:
    """(n) a column of moments, `unknown` where there is none; read without a query plan, which for one row costs a
    hundred times the reading.
    """
    stamps = np.array(items[name].to_numpy(), dtype="datetime64[us]").view(np.int64)
    stamps[stamps == UNKNOWN] = unknown
    return stamps


def moment_of(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
