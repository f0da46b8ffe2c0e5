"""Does the graph earn its place? Recall of linked answers with and without it, on worlds whose links are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.bench.figure import Figure
from liftos_pipelines.modules.memory.recall.fusion import PRIOR_WEIGHTS, Settings, over_max
from liftos_pipelines.modules.memory.recall.graph import GraphChannel, graph_channel
from liftos_pipelines.modules.memory.recall.index import RecallIndex
from liftos_pipelines.modules.memory.recall.query import RecallQuery
from liftos_pipelines.resources.dimension_data import Encoder
from liftos_pipelines.simulate.linked_memories import linked_world

DEVELOPED_ON, MEASURED_ON = (101, 102), (201, 202, 203, 204)
WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.4)
SPREADS = (0.0, 0.2, 0.5)
K = 10


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """Recall at ten and reciprocal rank of each question, (n,), with its links and world."""

    recall: NDArray[np.float64]
    reciprocal: NDArray[np.float64]
    links: NDArray[np.int64]
    world: NDArray[np.int64]


def measure(_: Path) -> Iterator[Figure]:
    """Recall at ten by links, graph beside none; the graph's weights are chosen on other worlds."""
    from liftos_pipelines.resources.embedder import open_embedder

    found, chosen = compare(open_embedder())
    for links in (None, 1, 2, 3, 4):
        for name, baseline in (("graph", "no graph"), ("graph and spread", "no graph"), ("no graph", "words")):
            picked = slice(None) if links is None else found[name].links == links
            value, base = found[name].recall[picked], found[baseline].recall[picked]
            low, high = paired_interval(value - base, found[name].world[picked])
            yield Figure(
                benchmark="memory",
                name=f"recall@{K} of answers {'any number of' if links is None else links} links away, {name}",
                value=float(value.mean()),
                unit="share",
                n=value.size,
                method=f"{len(MEASURED_ON)} simulated worlds, {chosen[name]} chosen on {len(DEVELOPED_ON)} others; "
                f"gain {np.mean(value - base):+.3f} (90 % paired bootstrap {low:+.3f} to {high:+.3f}); "
                f"MRR {found[name].reciprocal[picked].mean():.3f}",
                baseline=baseline,
                baseline_value=float(base.mean()),
            )


def compare(encoder: Encoder) -> tuple[dict[str, Ranked], dict[str, str]]:
    """Each method on the measured worlds, and what was chosen for it on the others."""
    grids: dict[str, list[tuple[float | None, float]]] = {
        "words": [(None, 0.0)],
        "no graph": [(0.0, 0.0)],
        "graph": [(weight, 0.0) for weight in WEIGHTS],
        "graph and spread": [(weight, spread) for weight in WEIGHTS for spread in SPREADS],
    }
    developed = [_Opened.of(seed, encoder) for seed in DEVELOPED_ON]
    measured = [_Opened.of(seed, encoder) for seed in MEASURED_ON]
    found, chosen = {}, {}
    for name, grid in grids.items():
        scores = [np.mean([one.ranked(*pair).recall.mean() for one in developed]) for pair in grid]
        best = grid[int(np.argmax(scores))]
        ranked = [one.ranked(*best) for one in measured]
        found[name] = Ranked(
            recall=np.concatenate([one.recall for one in ranked]),
            reciprocal=np.concatenate([one.reciprocal for one in ranked]),
            links=np.concatenate([one.links for one in ranked]),
            world=np.concatenate([one.world for one in ranked]),
        )
        chosen[name] = "BM25" if best[0] is None else f"graph {best[0]:g}, spread {best[1]:g}"
    return found, chosen


def paired_interval(gain: NDArray[np.float64], world: NDArray[np.int64]) -> tuple[float, float]:
    """90 % interval of a mean gain: questions drawn anew within each world."""
    rng = np.random.default_rng(17)
    groups = [gain[world == one] for one in np.unique(world)]
    draws = np.concatenate([rng.choice(group, size=(2000, group.size)) for group in groups], axis=1).mean(1)
    return float(np.quantile(draws, 0.05)), float(np.quantile(draws, 0.95))


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """A world with each question's evidence, computed once."""

    seed: int
    links: NDArray[np.int64]
    answers: list[NDArray[np.int64]]
    queries: list[RecallQuery]
    parts: list[Mapping[str, NDArray[np.float64]]]
    graph: GraphChannel

    @classmethod
    def of(cls, seed: int, encoder: Encoder) -> _Opened:
        world = linked_world(seed)
        graph = graph_channel(world.items)
        vectors = encoder.encode(world.items["text"].to_list())
        index = RecallIndex(world.items, vectors, model_id=encoder.model_id, channels=(graph,), settings=Settings())
        place = {name: row for row, name in enumerate(world.items["memory_id"].to_list())}
        asked = encoder.encode([question.text for question in world.questions])
        queries = [
            RecallQuery(text=question.text, vector=vector, model_id=encoder.model_id)
            for question, vector in zip(world.questions, asked, strict=True)
        ]
        return cls(
            seed=seed,
            links=np.array([question.links for question in world.questions]),
            answers=[np.array([place[name] for name in question.answers]) for question in world.questions],
            queries=queries,
            parts=[index.evidence(query)[1] for query in queries],
            graph=graph,
        )

    def ranked(self, weight: float | None, spread: float) -> Ranked:
        recall, reciprocal = [], []
        for query, parts, answers in zip(self.queries, self.parts, self.answers, strict=True):
            if weight is None:
                score = parts["words"]
            else:
                others = sum(
                    share * parts[name] for name, share in PRIOR_WEIGHTS.items() if name in parts and name != "graph"
                )
                score = (1 - weight) * others + weight * parts["graph"]
                if spread:
                    score = score + spread * over_max(self.graph.spread(score, query)) * score.max(initial=0.0)
            order = np.argsort(-score, kind="stable")
            rank = np.empty(order.size, dtype=np.int64)
            rank[order] = np.arange(1, order.size + 1)
            recall.append(np.mean(rank[answers] <= K))
            reciprocal.append(1 / rank[answers].min())
        return Ranked(
            recall=np.array(recall),
            reciprocal=np.array(reciprocal),
            links=self.links,
            world=np.full(len(recall), self.seed),
        )
