"""The typed graph: memories reached from what a query names, over what they share, in one hop or two.

Items and nodes form a sparse two-sided graph. Evidence starts at the nodes that a query names, goes to their items, and
from the best of these over their other nodes to further items, losing strength at each step. A node that many items
share says little of any of them. Source of the spread with decay: Anderson (1983), A spreading activation theory of
memory; taking the best path instead of the sum keeps hubs from gathering strength.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.recall.entities import (
    SOUGHT_IN_TEXTS,
    SPELT,
    WEIGHTS,
    Edges,
    Entity,
    NameIndex,
    all_entities,
    item_nodes,
    node,
)
from liftos_pipelines.modules.memory.recall.query import FloatArray, RecallQuery, Vectors

Ints = NDArray[np.int64]

HOPS = 2
DECAY = 0.5
"""What is left of evidence after a further hop."""
FRONTIER = 256
"""Items that a further hop starts from, best first: bounds its cost."""
HUB = 2_000
"""Nodes with more items than this are not gone through in a further hop."""
NEARLY = 0.5
"""A misspelt name counts so much; looked for only where no name is exact."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Incidence:
    """Which items hold which nodes, in both directions, as compressed rows.

    Parameters
    ----------
    nodes : (m) names of the nodes
    item_start : (n + 1), item_node, item_weight : the nodes of item i lie at item_start[i]:item_start[i + 1]
    node_start : (m + 1), node_item, node_weight : the same by node
    special : (m) in 0..1, how little common a node is: log(1 + n / items of it) / log(1 + n)
    """

    nodes: tuple[str, ...]
    item_start: Ints
    item_node: Ints
    item_weight: FloatArray
    node_start: Ints
    node_item: Ints
    node_weight: FloatArray
    special: FloatArray

    @classmethod
    def of(cls, nodes: Sequence[str], edges: Sequence[Edges]) -> Incidence:
        """From each item's nodes with their weights; `nodes` names all of them, in a fixed order."""
        place = {one: number for number, one in enumerate(nodes)}
        sizes = np.array([len(one) for one in edges], dtype=np.int64)
        total = int(sizes.sum())
        item_node = np.fromiter((place[name] for one in edges for name in one), dtype=np.int64, count=total)
        item_weight = np.fromiter((weight for one in edges for weight in one.values()), dtype=np.float64, count=total)
        return cls.from_rows(nodes, sizes, item_node, item_weight)

    @classmethod
    def from_rows(cls, nodes: Sequence[str], sizes: Ints, item_node: Ints, item_weight: FloatArray) -> Incidence:
        """From the nodes of all items one after the other, `sizes` of them each."""
        n, order = len(sizes), np.argsort(item_node, kind="stable")
        items = np.repeat(np.arange(n), sizes)
        counts = np.bincount(item_node, minlength=len(nodes))
        return cls(
            nodes=tuple(nodes),
            item_start=np.concatenate([[0], np.cumsum(sizes)]),
            item_node=item_node,
            item_weight=item_weight,
            node_start=np.concatenate([[0], np.cumsum(counts)]),
            node_item=items[order],
            node_weight=item_weight[order],
            special=np.log1p(n / np.maximum(counts, 1)) / np.log1p(max(n, 1)),
        )

    @property
    def n(self) -> int:
        return len(self.item_start) - 1

    def of_item(self, row: int) -> Iterable[tuple[int, float]]:
        """Nodes of an item and their weights."""
        part = slice(self.item_start[row], self.item_start[row + 1])
        return zip(self.item_node[part].tolist(), self.item_weight[part].tolist(), strict=True)

    def to_items(self, nodes: Ints, strength: FloatArray, into: FloatArray, *, best: bool) -> None:
        """Carry nodes' strength to their items: the best of the paths, or their sum."""
        for one, given in zip(nodes.tolist(), strength.tolist(), strict=True):
            part = slice(self.node_start[one], self.node_start[one + 1])
            rows, carried = self.node_item[part], given * self.special[one] * self.node_weight[part]
            # A node holds an item once, so rows are distinct and fancy indexing loses nothing.
            into[rows] = np.maximum(into[rows], carried) if best else into[rows] + carried

    def to_nodes(self, rows: Ints, strength: FloatArray) -> FloatArray:
        """(m) the best strength that any of the items carries to each node."""
        out = np.zeros(len(self.nodes))
        sizes = self.item_start[rows + 1] - self.item_start[rows]
        at = np.repeat(self.item_start[rows] - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes)
        at += np.arange(int(sizes.sum()))
        nodes = self.item_node[at]
        np.maximum.at(out, nodes, np.repeat(strength, sizes) * self.item_weight[at])
        return out

    def degree(self) -> Ints:
        """(m) items of each node."""
        return np.diff(self.node_start)


@dataclass(frozen=True, kw_only=True, eq=False)
class Times:
    """When rows were true and known, in microseconds; the largest number where it never ended."""

    valid_from: Ints
    recorded: Ints
    superseded: Ints

    @classmethod
    def of(cls, items: pl.DataFrame) -> Times:
        never = np.iinfo(np.int64).max

        def micros(name: str, absent: int) -> Ints:
            if name not in items.columns:
                return np.full(items.height, absent)
            stamps = items[name].cast(pl.Datetime("us", "UTC")).dt.timestamp("us")
            return stamps.fill_null(absent).to_numpy().astype(np.int64)

        return cls(
            valid_from=micros("valid_from", never),
            recorded=micros("recorded_at", np.iinfo(np.int64).min),
            superseded=micros("superseded_at", never),
        )

    def joined(self, other: Times) -> Times:
        return Times(
            valid_from=np.concatenate([self.valid_from, other.valid_from]),
            recorded=np.concatenate([self.recorded, other.recorded]),
            superseded=np.concatenate([self.superseded, other.superseded]),
        )

    def visible(self, at: datetime | None, strict: bool) -> NDArray[np.bool_]:
        """(n) rows that evidence may pass through at a moment, as in `history.as_of`; now: those not superseded."""
        never = np.iinfo(np.int64).max
        if at is None:
            return self.superseded == never
        moment = int(at.timestamp() * 1_000_000)
        replayed = (self.recorded <= moment) & (self.superseded > moment)
        if strict:
            return replayed
        return replayed | ((self.recorded > moment) & (self.valid_from <= moment) & (self.superseded == never))


@dataclass(frozen=True, kw_only=True, eq=False)
class GraphChannel:
    """Evidence of recall: memories linked to what the query names, directly or through memories that are."""

    incidence: Incidence
    times: Times
    entities: Mapping[str, Entity]
    names: NameIndex
    hops: int = HOPS
    decay: float = DECAY
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    name: str = field(default="graph", init=False)

    def scores(self, query: RecallQuery) -> FloatArray:
        """(n,): strength of the paths from the query's nodes to each memory; 0 where nothing leads."""
        seeds = self._seeds(query)
        total = np.zeros(self.incidence.n)
        if not seeds:
            return total
        nodes, strength = np.array(list(seeds)), np.array(list(seeds.values()))
        # What links to two of the names is better evidence than what links to one: seeds add up.
        self.incidence.to_items(nodes, strength, total, best=False)
        return self._further(total, query, passed=nodes)

    def spread(self, scores: FloatArray, query: RecallQuery, share: float = DECAY) -> FloatArray:
        """(n,): evidence of other channels carried over one hop, from the best memories to what they are linked to.

        For a query that names nothing: what is found by words or meaning leads to what it caused.
        """
        out = np.zeros(self.incidence.n)
        self._hop(np.asarray(scores, dtype=np.float64), query, out, np.array([], dtype=np.int64), share)
        return out

    def explain(self, query: RecallQuery, row: int) -> str:
        """What links query and memory: `both campaign spring`, or `event 302f89 shared with a memory of channel tv`."""
        seeds = self._seeds(query)
        held = dict(self.incidence.of_item(row))
        direct = [one for one in seeds if one in held]
        if direct:
            best = sorted(direct, key=lambda one: -seeds[one] * held[one] * self.incidence.special[one])
            return "both " + " and ".join(self._readable(one) for one in best[:2])
        total = np.zeros(self.incidence.n)
        if not seeds:
            return ""
        nodes = np.array(list(seeds))
        self.incidence.to_items(nodes, np.array(list(seeds.values())), total, best=False)
        visible, degree = self.times.visible(query.at, query.strict), self.incidence.degree()
        found: list[tuple[float, str]] = []
        for one, weight in held.items():
            if degree[one] > HUB:
                continue
            items = self.incidence.node_item[self.incidence.node_start[one] : self.incidence.node_start[one + 1]]
            over = items[(total[items] > 0) & visible[items] & (items != row)]
            if over.size:
                through = int(over[np.argmax(total[over])])
                seed = next(node for node, _ in self.incidence.of_item(through) if node in seeds)
                told = f"{self._readable(one)} shared with a memory of {self._readable(seed)}"
                found.append((float(total[through] * weight * self.incidence.special[one]), told))
        return max(found)[1] if found else ("linked over several memories" if self.scores(query)[row] > 0 else "")

    def nodes_of(self, row: int) -> tuple[str, ...]:
        """The nodes that a memory is linked to, the least common first."""
        held = sorted(self.incidence.of_item(row), key=lambda pair: (-self.incidence.special[pair[0]], pair[0]))
        return tuple(self.incidence.nodes[one] for one, _ in held)

    def extended(self, items: pl.DataFrame, vectors: Vectors) -> GraphChannel:
        """With further rows. Texts of earlier rows are not searched again for names that only these rows bring."""
        known = list(self.entities.values())
        edges, entities = _edges(items, known, self.weights)
        place = {one: number for number, one in enumerate(self.incidence.nodes)}
        fresh = [entity.node for entity in entities if entity.node not in place]
        nodes = [*self.incidence.nodes, *fresh]
        place |= {one: len(self.incidence.nodes) + number for number, one in enumerate(fresh)}
        sizes = np.concatenate([np.diff(self.incidence.item_start), [len(one) for one in edges]]).astype(np.int64)
        added = np.array([place[name] for one in edges for name in one], dtype=np.int64)
        weight = np.array([weight for one in edges for weight in one.values()], dtype=np.float64)
        grown = Incidence.from_rows(
            nodes,
            sizes,
            np.concatenate([self.incidence.item_node, added]),
            np.concatenate([self.incidence.item_weight, weight]),
        )
        times = self.times.joined(Times.of(items))
        named = {entity.node: entity for entity in entities}
        if {node: entity.names for node, entity in named.items()} == {n: e.names for n, e in self.entities.items()}:
            return replace(self, incidence=grown, times=times)
        return replace(self, incidence=grown, times=times, entities=named, names=NameIndex(entities))

    def closing(self, closed: Mapping[int, datetime]) -> GraphChannel:
        """With rows superseded: evidence of now no longer passes through them."""
        superseded = self.times.superseded.copy()
        for row, moment in closed.items():
            superseded[row] = int(moment.timestamp() * 1_000_000)
        return replace(self, times=replace(self.times, superseded=superseded))

    def _seeds(self, query: RecallQuery) -> dict[int, float]:
        place = self._places
        asked = (node(*one.partition(":")[::2]) for one in query.entities)
        named = {place[one] for one in asked if one in place}
        exact = named | {place[one] for one in self.names.find(query.text) if one in place}
        if exact:
            return dict.fromkeys(sorted(exact), 1.0)
        near = {place[one] for one in self.names.find_nearly(query.text) if one in place}
        return dict.fromkeys(sorted(near), NEARLY)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {one: number for number, one in enumerate(self.incidence.nodes)}

    def _further(self, total: FloatArray, query: RecallQuery, passed: Ints) -> FloatArray:
        reached = total
        for _ in range(self.hops - 1):
            found = np.zeros(self.incidence.n)
            passed = self._hop(reached, query, found, passed, self.decay)
            if not found.any():
                break
            total = np.maximum(total, found)
            reached = found
        return total

    def _hop(self, reached: FloatArray, query: RecallQuery, out: FloatArray, passed: Ints, share: float) -> Ints:
        """One hop from the best of the reached items to their other nodes and on; returns the nodes gone through."""
        starts = np.flatnonzero(reached > 0)
        starts = starts[self.times.visible(query.at, query.strict)[starts]]
        if starts.size > FRONTIER:
            order = np.lexsort((starts, -reached[starts]))
            starts = starts[order[:FRONTIER]]
        if not starts.size:
            return passed
        over = self.incidence.to_nodes(starts, reached[starts])
        over[passed] = 0
        over[self.incidence.degree() > HUB] = 0
        through = np.flatnonzero(over)
        self.incidence.to_items(through, share * over[through], out, best=True)
        return np.concatenate([passed, through])

    def _readable(self, place: int) -> str:
        kind, _, name = self.incidence.nodes[place].partition(":")
        entity = self.entities.get(self.incidence.nodes[place])
        shown = entity.names[0] if entity is not None and entity.names else name[:12] if kind == "event" else name
        return f"{kind.replace('_', ' ')} {shown}"


def graph_channel(
    items: pl.DataFrame,
    known: Iterable[Entity] = (),
    *,
    weights: Mapping[str, float] = WEIGHTS,
    hops: int = HOPS,
    decay: float = DECAY,
) -> GraphChannel:
    """The graph over all rows of an index, versions superseded included: its edges are its rows'.

    Parameters
    ----------
    items : (n) item rows
    known : names beyond those that items bring, such as the client's brand and its competitors with their aliases
    weights : by kind of node; a kind left out or at 0 is no node
    """
    if hops < 1 or not 0 <= decay <= 1:
        raise ValueError(f"a graph needs 1 hop or more and a decay in 0..1, not {hops} and {decay}")
    edges, entities = _edges(items, list(known), weights)
    return GraphChannel(
        incidence=Incidence.of([entity.node for entity in entities], edges),
        times=Times.of(items),
        entities={entity.node: entity for entity in entities},
        names=NameIndex(entities),
        hops=hops,
        decay=decay,
        weights=dict(weights),
    )


def _edges(
    items: pl.DataFrame, known: Sequence[Entity], weights: Mapping[str, float]
) -> tuple[list[Edges], list[Entity]]:
    """Each item's nodes, from its columns and from names in its text, and every entity met or known."""
    edges = item_nodes(items, weights)
    entities = all_entities(edges, items, known)
    sought = NameIndex(entity for entity in entities if entity.kind in SOUGHT_IN_TEXTS)
    for row, text in enumerate(items["text"].to_list()):
        for one in sorted(sought.find(text or "")):
            weight = weights.get(one.partition(":")[0], 0.0)
            if weight > 0:
                edges[row].setdefault(one, SPELT * weight)
    return edges, entities
