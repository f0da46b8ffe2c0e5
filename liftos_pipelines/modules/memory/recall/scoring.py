"""From a question's weighted evidence to one score a row: the same function for what is served and what is fitted.

Channels add up; then a turn gains from the better of the turns beside it; then, where a graph counts, a memory gains
from the best that it is linked to: an action says nothing of the complaint that it answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from liftos_pipelines.modules.memory.recall.fusion import SPREADING, Settings, over_max
from liftos_pipelines.modules.memory.recall.neighbours import Neighbours
from liftos_pipelines.modules.memory.recall.query import FloatArray

Carried = Callable[[FloatArray], FloatArray]
"""From scores (n,) to what the graph carries of them to each row (n,), 0 outside the filters."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """The fused scores of one query over all rows, and what they are made of."""

    total: FloatArray
    parts: Mapping[str, FloatArray]
    """By channel: weighted, normalised, 0 outside the filters."""
    spreading: FloatArray
    """What reaches the turns beside."""
    beside: FloatArray
    share: float
    """What a row's own evidence is multiplied by."""
    beside_share: float
    """What the better neighbour's is multiplied by."""
    linked: FloatArray | None = None
    """What the graph brings to each row from the best of the others, weighted; None without a graph."""
    fused: FloatArray | None = None
    """The scores that it was brought from."""


def scored(
    parts: Mapping[str, FloatArray], settings: Settings, neighbours: Neighbours, carried: Carried | None = None
) -> Scored:
    """One score a row, in 0..1.

    Parameters
    ----------
    parts : (n,) by channel: normalised, times its weight, 0 outside the filters; at least one
    carried : None without a graph
    """
    shape = next(iter(parts.values())).shape
    total, spreading = np.zeros(shape), np.zeros(shape)
    for name, part in parts.items():
        total += part
        if name in SPREADING:
            spreading += part
    beside = neighbours.best(spreading)
    share = 1 / (1 + settings.spread)
    found = Scored(
        total=share * (total + settings.spread * beside),
        parts=parts,
        spreading=spreading,
        beside=beside,
        share=share,
        beside_share=share * settings.spread,
    )
    if carried is None or not links_count(settings):
        return found
    kept = 1 / (1 + settings.linked)
    linked = (1 - kept) * found.total.max(initial=0.0) * over_max(carried(found.total))
    return replace(
        found,
        total=kept * found.total + linked,
        share=kept * found.share,
        beside_share=kept * found.beside_share,
        linked=linked,
        fused=found.total,
    )


def links_count(settings: Settings) -> bool:
    """Whether what memories are linked to counts at all."""
    return bool(settings.linked and settings.weights.get("graph"))
