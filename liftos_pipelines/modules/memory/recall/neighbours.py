"""Turns beside one another: an answer like "Yes, in May" is found by the question before it.

Only what is said within one conversation is adjacent: notes of the same subject, in order of time, with no long
silence between. Notes that name no subject are one stream, where a short silence already ends a conversation. Nothing
else has neighbours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.recall.moments import UNKNOWN, microseconds
from liftos_pipelines.modules.memory.recall.query import FloatArray

SILENCE_HOURS, SILENCE_HOURS_WITHOUT_SUBJECT = 6.0, 1.0
"""Turns further apart are of two conversations, even under one subject."""
_DIGITS = re.compile(r"(\d+)")
_TOLD = ("kind", "superseded_at", "subject", "source_key", "provenance")


@dataclass(frozen=True, eq=False)
class Neighbours:
    """(n) row before and row after each row, -1 where there is none."""

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    turns: dict[str, list[tuple[int, tuple[object, ...], int]]]
    """By subject: microseconds, natural order of the source's key, row; sorted."""

    @classmethod
    def of(cls, items: pl.DataFrame) -> Neighbours:
        empty = np.empty(0, dtype=np.int64)
        return cls(empty, empty, {}).extended(items, 0)

    def extended(self, items: pl.DataFrame, start: int, closed: Sequence[int] = ()) -> Neighbours:
        """With rows from `start` on; closed rows, superseded by another version, leave their conversation."""
        grown = np.full(items.height, -1, dtype=np.int64)
        before, after = np.concatenate([self.before, grown]), np.concatenate([self.after, grown])
        turns, changed = dict(self.turns), set()
        for subject, turn in _turns(items, start):
            if subject not in changed:
                turns[subject] = list(turns.get(subject, ()))
                changed.add(subject)
            turns[subject].append(turn)
        gone = set(closed)
        if gone:
            for subject, held in turns.items():
                if any(row in gone for _, _, row in held):
                    turns[subject] = [turn for turn in held if turn[2] not in gone]
                    changed.add(subject)
            before[list(gone)] = after[list(gone)] = -1
        for subject in changed:
            silence = int((SILENCE_HOURS if subject else SILENCE_HOURS_WITHOUT_SUBJECT) * 3600e6)
            held = turns[subject]
            held.sort()
            rows = np.array([row for _, _, row in held], dtype=np.int64)
            moments = np.array([moment for moment, _, _ in held], dtype=np.int64)
            before[rows] = after[rows] = -1
            near = np.flatnonzero(np.diff(moments) <= silence)
            before[rows[near + 1]] = rows[near]
            after[rows[near]] = rows[near + 1]
        return Neighbours(before, after, turns)

    def best(self, scores: FloatArray) -> FloatArray:
        """(n,) the higher score of the two rows beside each, 0 without one."""
        padded = np.append(scores, 0.0)
        # -1 wraps round to the 0 at the end; without a bounds check this is twice as fast.
        return np.maximum(padded.take(self.before, mode="wrap"), padded.take(self.after, mode="wrap"))

    def best_row(self, scores: FloatArray, row: int) -> int:
        """Which row beside this one has the higher score, the one before if equal; -1 without one."""
        before, after = int(self.before[row]), int(self.after[row])
        if before < 0 or (after >= 0 and scores[after] > scores[before]):
            return after
        return before

    def best_rows(self, scores: FloatArray) -> NDArray[np.int64]:
        """(n,) the row beside each with the higher score; -1 without one."""
        padded = np.append(scores, 0.0)
        return np.where(padded[self.after] > padded[self.before], self.after, self.before)


def _turns(items: pl.DataFrame, start: int) -> list[tuple[str, tuple[int, tuple[object, ...], int]]]:
    if "subject" not in items.columns:
        return []
    from_then = microseconds(items, "valid_from", UNKNOWN).tolist()
    columns = [items[name].to_list() if name in items.columns else [None] * items.height for name in _TOLD]
    return [
        (subject or "", (moment, _natural(key or _key(provenance)), row))
        for row, (moment, kind, ended, subject, key, provenance) in enumerate(
            zip(from_then, *columns, strict=True), start=start
        )
        if kind == "note" and ended is None and moment != UNKNOWN
    ]


def _key(provenance: str | None) -> str:
    return str(json.loads(provenance).get("key", "")) if provenance else ""


def _natural(key: str) -> tuple[object, ...]:
    """ "D1:9" before "D1:10": digits compare as numbers. Parts alternate text and number, so keys compare."""
    return tuple(int(part) if part.isdecimal() else part for part in _DIGITS.split(key))
