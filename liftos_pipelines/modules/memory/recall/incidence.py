"""The graph's two sides as compressed rows: which memories hold which nodes, and when each memory counts.

Both grow at their end and by single edges without being sorted anew: one memory more costs a copy, not a rebuild.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.recall.moments import microseconds
from liftos_pipelines.modules.memory.recall.query import FloatArray

Ints = NDArray[np.int64]
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, kw_only=True, eq=False)
class Incidence:
    """Which items hold which nodes, in both directions.

    Parameters
    ----------
    item_start : (n + 1), item_node, item_weight : the nodes of item i lie at item_start[i]:item_start[i + 1]
    node_start : (m + 1), node_item, node_weight : the same by node
    special : (m) in 0..1, how little common a node is: log(1 + n / items of it) / log(1 + n)
    """

    item_start: Ints
    item_node: Ints
    item_weight: FloatArray
    node_start: Ints
    node_item: Ints
    node_weight: FloatArray
    special: FloatArray

    @classmethod
    def empty(cls) -> Incidence:
        """No items and no nodes."""
        start, none, weight = np.zeros(1, np.int64), np.empty(0, np.int64), np.empty(0)
        return cls(
            item_start=start,
            item_node=none,
            item_weight=weight,
            node_start=start,
            node_item=none,
            node_weight=weight,
            special=weight,
        )

    @property
    def items(self) -> int:
        return len(self.item_start) - 1

    @property
    def nodes(self) -> int:
        return len(self.node_start) - 1

    def grown(self, items: int, nodes: int, edges: Sequence[tuple[int, int, float]]) -> Incidence:
        """With so many items and nodes in all, and further edges (item, node, weight), none of them there before."""
        item = np.array([one[0] for one in edges], dtype=np.int64)
        node = np.array([one[1] for one in edges], dtype=np.int64)
        weight = np.array([one[2] for one in edges], dtype=np.float64)
        item_start, item_node, item_weight = _inserted(self.item_start, items, item, self.item_node, node,
                                                       self.item_weight, weight)  # fmt: skip
        node_start, node_item, node_weight = _inserted(self.node_start, nodes, node, self.node_item, item,
                                                       self.node_weight, weight)  # fmt: skip
        degree = np.diff(node_start)
        return replace(
            self,
            item_start=item_start,
            item_node=item_node,
            item_weight=item_weight,
            node_start=node_start,
            node_item=node_item,
            node_weight=node_weight,
            special=np.log1p(items / np.maximum(degree, 1)) / np.log1p(max(items, 1)),
        )

    def of_item(self, row: int) -> Iterable[tuple[int, float]]:
        """Nodes of an item and their weights."""
        part = slice(self.item_start[row], self.item_start[row + 1])
        return zip(self.item_node[part].tolist(), self.item_weight[part].tolist(), strict=True)

    def of_node(self, node: int) -> Ints:
        """Items of a node."""
        return self.node_item[self.node_start[node] : self.node_start[node + 1]]

    def to_items(self, nodes: Ints, strength: FloatArray, into: FloatArray, *, best: bool) -> None:
        """Carry nodes' strength to their items: the best of the paths, or their sum."""
        at, sizes = _ranges(self.node_start, nodes)
        carried = np.repeat(strength * self.special[nodes], sizes) * self.node_weight[at]
        (np.maximum if best else np.add).at(into, self.node_item[at], carried)

    def to_nodes(self, rows: Ints, strength: FloatArray) -> FloatArray:
        """(m) the best strength that any of the items carries to each node."""
        out = np.zeros(self.nodes)
        at, sizes = _ranges(self.item_start, rows)
        np.maximum.at(out, self.item_node[at], np.repeat(strength, sizes) * self.item_weight[at])
        return out

    def degree(self) -> Ints:
        """(m) items of each node."""
        return np.diff(self.node_start)


def _ranges(start: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Places of all entries of some compressed rows, one row after the other, and how many each has."""
    sizes = start[rows + 1] - start[rows]
    first = np.repeat(start[rows] - np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64), sizes)
    return first + np.arange(int(sizes.sum())), sizes


def _inserted(
    start: Ints, total: int, row: Ints, held: Ints, added: Ints, held_weight: FloatArray, added_weight: FloatArray
) -> tuple[Ints, Ints, FloatArray]:
    """Compressed rows with further entries at the end of their rows, and with rows at the end."""
    longer = np.concatenate([start, np.full(total + 1 - len(start), start[-1])])
    order = np.argsort(row, kind="stable")
    at = longer[row[order] + 1]
    counts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=total))])
    return (
        longer + counts,
        np.insert(held, at, added[order]),
        np.insert(held_weight, at, added_weight[order]),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Times:
    """When rows were true and known, in microseconds; the largest number where it never ended."""

    valid_from: Ints
    recorded: Ints
    superseded: Ints

    @classmethod
    def of(cls, items: pl.DataFrame) -> Times:
        def micros(name: str, absent: int) -> Ints:
            known = name in items.columns and items[name].dtype != pl.Null
            return microseconds(items, name, absent) if known else np.full(items.height, absent)

        return cls(
            valid_from=micros("valid_from", _NEVER),
            recorded=micros("recorded_at", np.iinfo(np.int64).min),
            superseded=micros("superseded_at", _NEVER),
        )

    def joined(self, other: Times) -> Times:
        return Times(
            valid_from=np.concatenate([self.valid_from, other.valid_from]),
            recorded=np.concatenate([self.recorded, other.recorded]),
            superseded=np.concatenate([self.superseded, other.superseded]),
        )

    def visible(self, at: datetime | None, strict: bool) -> NDArray[np.bool_]:
        """(n) rows that evidence may pass through at a moment, as in `history.as_of`; now: those not superseded."""
        if at is None:
            return self.superseded == _NEVER
        moment = int(at.timestamp() * 1_000_000)
        replayed = (self.recorded <= moment) & (self.superseded > moment)
        if strict:
            return replayed
        return replayed | ((self.recorded > moment) & (self.valid_from <= moment) & (self.superseded == _NEVER))
