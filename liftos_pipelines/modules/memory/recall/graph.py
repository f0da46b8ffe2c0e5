"""The typed graph: memories reached from what a query names, over what they share, in one hop or two.

Items and nodes form a sparse two-sided graph. Evidence starts at the nodes that a query names, goes to their items, and
from the best of these over their other nodes to further items, losing strength at each step. A node that many items
share says little of any of them. Source of the spread with decay: Anderson (1983), A spreading activation theory of
memory; taking the best path instead of the sum keeps hubs from gathering strength.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import polars as pl

from liftos_pipelines.modules.memory.recall.entities import WEIGHTS, Entity, node
from liftos_pipelines.modules.memory.recall.incidence import Incidence, Ints, Times
from liftos_pipelines.modules.memory.recall.linking import Linker
from liftos_pipelines.modules.memory.recall.query import FloatArray, RecallQuery, Vectors

HOPS = 2
DECAY = 0.5
"""What is left of evidence after a further hop."""
FRONTIER = 256
"""Items that a further hop starts from, best first: bounds its cost."""
HUB = 2_000
"""Nodes with more items than this are not gone through in a further hop."""
STRONG = 0.5
"""Evidence of other channels spreads from memories that have at least this share of the best score."""
NEARLY = 0.5
"""A misspelt name counts so much; looked for only where no name is exact."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GraphChannel:
    """Evidence of recall: memories linked to what the query names, directly or through memories that are."""

    incidence: Incidence
    times: Times
    linker: Linker
    hops: int = HOPS
    decay: float = DECAY
    name: str = field(default="graph", init=False)

    def scores(self, query: RecallQuery) -> FloatArray:
        """(n,): strength of the paths from the query's nodes to each memory; 0 where nothing leads."""
        seeds = self._seeds(query)
        total = np.zeros(self.incidence.items)
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
        out = np.zeros(self.incidence.items)
        # Less than half as good as the best is no place to start from, and most rows are.
        strong = np.where(scores >= STRONG * scores.max(initial=0.0), scores, 0.0)
        self._hop(strong, query, out, np.array([], dtype=np.int64), share)
        return out

    def explain_spread(self, scores: FloatArray, query: RecallQuery, row: int) -> str:
        """Over which node most of `spread` reaches a memory, such as `shares chain e1 with a better match`."""
        visible, best = self.times.visible(query.at, query.strict), (0.0, -1)
        for one, weight in self.incidence.of_item(row):
            others = self.incidence.of_node(one)
            if others.size <= HUB:
                others = others[visible[others] & (others != row)]
                reached = float(scores[others].max(initial=0.0)) * weight * float(self.incidence.special[one])
                best = max(best, (reached, one))
        return f"shares {self._readable(best[1])} with a better match" if best[1] >= 0 else ""

    def explain(self, query: RecallQuery, row: int) -> str:
        """What links query and memory: `both campaign spring`, or `event 302f89 shared with a memory of channel tv`."""
        seeds = self._seeds(query)
        held = dict(self.incidence.of_item(row))
        direct = [one for one in seeds if one in held]
        if direct:
            best = sorted(direct, key=lambda one: -seeds[one] * held[one] * self.incidence.special[one])
            return "both " + " and ".join(self._readable(one) for one in best[:2])
        total = np.zeros(self.incidence.items)
        if not seeds:
            return ""
        nodes = np.array(list(seeds))
        self.incidence.to_items(nodes, np.array(list(seeds.values())), total, best=False)
        visible, degree = self.times.visible(query.at, query.strict), self.incidence.degree()
        found: list[tuple[float, str]] = []
        for one, weight in held.items():
            if degree[one] > HUB:
                continue
            items = self.incidence.of_node(one)
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
        return tuple(self.linker.nodes[one] for one, _ in held)

    def extended(self, items: pl.DataFrame, vectors: Vectors) -> GraphChannel:
        """With further rows. Texts of earlier rows are not searched again for names that only these rows bring."""
        edges = self.linker.link(items, self.incidence)
        grown = self.incidence.grown(self.incidence.items + items.height, len(self.linker.nodes), edges)
        return replace(self, incidence=grown, times=self.times.joined(Times.of(items)))

    def closing(self, closed: Mapping[int, datetime]) -> GraphChannel:
        """With rows superseded: evidence of now no longer passes through them."""
        superseded = self.times.superseded.copy()
        for row, moment in closed.items():
            superseded[row] = int(moment.timestamp() * 1_000_000)
        return replace(self, times=replace(self.times, superseded=superseded))

    def _seeds(self, query: RecallQuery) -> dict[int, float]:
        names = self.linker.names
        exact = self._known({node(*one.partition(":")[::2]) for one in query.entities} | names.find(query.text))
        if exact:
            return dict.fromkeys(exact, 1.0)
        return dict.fromkeys(self._known(names.find_nearly(query.text)), NEARLY)

    def _known(self, nodes: Iterable[str]) -> list[int]:
        """Numbers of the nodes that this graph has; the linker may know more by now."""
        places = (self.linker.places.get(one, self.incidence.nodes) for one in nodes)
        return sorted(place for place in places if place < self.incidence.nodes)

    def _further(self, total: FloatArray, query: RecallQuery, passed: Ints) -> FloatArray:
        reached = total
        for _ in range(self.hops - 1):
            found = np.zeros(self.incidence.items)
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
            # Rows above the last place, then as many at it as there is room for, in order: no sorting of all rows.
            cut = np.partition(reached[starts], starts.size - FRONTIER)[starts.size - FRONTIER]
            above = starts[reached[starts] > cut]
            starts = np.concatenate([above, starts[reached[starts] == cut][: FRONTIER - above.size]])
        if not starts.size:
            return passed
        over = self.incidence.to_nodes(starts, reached[starts])
        over[passed] = 0
        over[self.incidence.degree() > HUB] = 0
        through = np.flatnonzero(over)
        self.incidence.to_items(through, share * over[through], out, best=True)
        return np.concatenate([passed, through])

    def _readable(self, place: int) -> str:
        kind, _, name = self.linker.nodes[place].partition(":")
        short = name[:12] if kind in ("event", "chain") else name
        return f"{kind.replace('_', ' ')} {self.linker.shown.get(self.linker.nodes[place], short)}"


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
    linker, nothing = Linker(known, weights), Incidence.empty()
    edges = linker.link(items, nothing)
    return GraphChannel(
        incidence=nothing.grown(items.height, len(linker.nodes), edges),
        times=Times.of(items),
        linker=linker,
        hops=hops,
        decay=decay,
    )
