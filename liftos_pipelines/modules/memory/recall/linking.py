"""From items to edges: numbers for nodes, names found in texts, and events drawn together into chains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from liftos_pipelines.modules.memory.recall.entities import (
    SOUGHT_IN_TEXTS,
    SPELT,
    Edges,
    Entity,
    NameIndex,
    item_entities,
    item_nodes,
)
from liftos_pipelines.modules.memory.recall.incidence import Incidence

Edge = tuple[int, int, float]
"""Item, node, weight."""


class Linker:
    """Knows every node by number and name. It only grows, so that graphs of fewer items may share it: they look no
    further than their own number of nodes.

    Parameters
    ----------
    known : names beyond those that items bring
    weights : by kind of node; a kind left out or at 0 is no node
    """

    def __init__(self, known: Iterable[Entity], weights: Mapping[str, float]) -> None:
        self.weights = dict(weights)
        self.nodes: list[str] = []
        self.places: dict[str, int] = {}
        self.shown: dict[str, str] = {}
        self.names, self._sought = NameIndex(), NameIndex()
        self._parent: dict[str, str] = {}
        self._chain: dict[str, str] = {}
        self._name(known)

    def link(self, items: pl.DataFrame, graph: Incidence) -> list[Edge]:
        """Edges of further items, numbered after those of the graph, and of earlier ones whose chains they join."""
        edges = item_nodes(items, self.weights)
        joined = self._chains(edges) if self.weights.get("chain", 0) > 0 else []
        self._name([Entity(node=one) for item in edges for one in item if one not in self.places])
        self._name(item_entities(items))
        for row, text in enumerate(items["text"].to_list()):
            for one in sorted(self._sought.find(text or "")):
                weight = self.weights.get(one.partition(":")[0], 0.0)
                if weight > 0:
                    edges[row].setdefault(one, SPELT * weight)
        found = [
            (graph.items + row, self.places[one], weight)
            for row, item in enumerate(edges)
            for one, weight in item.items()
        ]
        return found + self._rejoined(joined, graph)

    def _name(self, entities: Iterable[Entity]) -> None:
        fresh = []
        for entity in entities:
            if entity.node not in self.places:
                self.places[entity.node] = len(self.nodes)
                self.nodes.append(entity.node)
            elif not entity.names:
                continue
            if entity.names:
                self.shown.setdefault(entity.node, entity.names[0])
            fresh.append(entity)
        self.names.add(fresh)
        self._sought.add(entity for entity in fresh if entity.kind in SOUGHT_IN_TEXTS)

    def _chains(self, edges: list[Edges]) -> list[tuple[str, str]]:
        """Give items whose events belong together one node more, their chain: from alert to outcome is then one step.

        Events belong together where one item holds both, directly or over others; a chain is called by an event of
        its. Returns the chains that these items joined: (the one that ends, the one that stays).
        """
        joined = []
        held = [[one for one in item if one.startswith("event:")] for item in edges]
        for events in held:
            for one in events[1:]:
                first, other = self._root(events[0]), self._root(one)
                if first == other:
                    continue
                if first not in self._chain:
                    first, other = other, first
                self._parent[other] = first
                ended = self._chain.pop(other, None)
                if ended is not None:
                    joined.append((ended, self._chain[first]))
        for item, events in zip(edges, held, strict=True):
            if events:
                root = self._root(events[0])
                item[self._chain.setdefault(root, "chain:" + root.partition(":")[2])] = self.weights["chain"]
        return joined

    def _root(self, event: str) -> str:
        while self._parent.setdefault(event, event) != event:
            self._parent[event] = self._parent[self._parent[event]]
            event = self._parent[event]
        return event

    def _rejoined(self, joined: list[tuple[str, str]], graph: Incidence) -> list[Edge]:
        """Edges that bring the items of ended chains into those that stay; a chain may end into one that ends too."""
        into = dict(joined)
        added: dict[tuple[int, int], float] = {}
        for ended in into:
            stays = into[ended]
            while stays in into:
                stays = into[stays]
            if self.places[ended] < graph.nodes:
                for row in graph.of_node(self.places[ended]).tolist():
                    if all(one != self.places[stays] for one, _ in graph.of_item(row)):
                        added[row, self.places[stays]] = self.weights["chain"]
        return [(row, node, weight) for (row, node), weight in added.items()]
