"""Do conceptual dimensions say what they should? Signs on phrases written apart from the poles, beside random lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from liftos_pipelines.bench.figure import Figure
from liftos_pipelines.modules.memory.recall.dimensions import axes_of
from liftos_pipelines.resources.dimension_data import Encoder, all_dimensions

PHRASES = Path(__file__).parent / "dimension_phrases.yaml"
RANDOM_LINES = 20
SEED = 11


@dataclass(frozen=True, kw_only=True)
class Signs:
    """Shares right: of signs, of pairs of a high and a low phrase in order, and of signs by random lines."""

    right: float
    ordered: float
    random: float
    n: int
    by_dimension: dict[str, float]


def measure(_: Path) -> Iterator[Figure]:
    """Accuracy of signs and orders for each encoder, with intervals clustered by dimension."""
    from liftos_pipelines.resources.embedder import open_embedder
    from liftos_pipelines.resources.static_embedder import packaged_static

    for name, encoder in (("MiniLM", open_embedder()), ("static", packaged_static())):
        found = signs(encoder)
        each = np.array(list(found.by_dimension.values()))
        draws = np.random.default_rng(SEED).choice(each, size=(2000, each.size)).mean(1)
        yield Figure(
            benchmark="memory",
            name=f"dimension signs right, {name}",
            value=found.right,
            low=float(np.quantile(draws, 0.05)),
            high=float(np.quantile(draws, 0.95)),
            unit="share",
            n=found.n,
            method="held phrases, three a pole of each of 50 dimensions; bootstrap over dimensions",
            baseline=f"random lines, mean of {RANDOM_LINES}",
            baseline_value=found.random,
        )
        yield Figure(
            benchmark="memory",
            name=f"dimension order right, {name}",
            value=found.ordered,
            unit="share",
            n=9 * len(found.by_dimension),
            method="pairs of a high and a low held phrase of one dimension, the high one higher",
            baseline="chance",
            baseline_value=0.5,
        )


def signs(encoder: Encoder) -> Signs:
    """Signs of held phrases about the middle between the poles, and of random lines about theirs."""
    held = yaml.safe_load(PHRASES.read_text(encoding="utf-8"))
    rng = np.random.default_rng(SEED)
    by_dimension, ordered, by_chance = {}, [], []
    for domain, dimensions in all_dimensions().items():
        axes = axes_of(dimensions, lambda texts: encoder.encode(list(texts)), encoder.model_id)
        for number, one in enumerate(dimensions):
            high, low = held[domain][one.name]["high"], held[domain][one.name]["low"]
            vectors = encoder.encode([*high, *low])
            places = axes.places([*high, *low], vectors)[:, number]
            wanted = np.repeat([1, -1], [len(high), len(low)])
            by_dimension[one.key] = float(np.mean(np.sign(places) == wanted))
            ordered.append(np.mean(places[: len(high), None] > places[None, len(high) :]))
            poles = encoder.encode([*one.high, *one.low])
            by_chance.append(_random_lines(rng, vectors, poles, wanted))
    return Signs(
        right=float(np.mean(list(by_dimension.values()))),
        ordered=float(np.mean(ordered)),
        random=float(np.mean(by_chance)),
        n=6 * len(by_dimension),
        by_dimension=by_dimension,
    )


def _random_lines(
    rng: np.random.Generator, vectors: NDArray[np.float32], poles: NDArray[np.float32], wanted: NDArray[np.int64]
) -> float:
    lines = rng.normal(size=(vectors.shape[1], RANDOM_LINES))
    places = vectors @ lines - (poles @ lines).mean(0)
    return float(np.mean(np.sign(places) == wanted[:, None]))
