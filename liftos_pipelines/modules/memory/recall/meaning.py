"""Meaning: the cosine of a query's vector with each memory's, in one model's space at a time.

A long text has vectors of its windows beside its own; the nearest counts, so that what stands deep in a document is
found as well as its beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.recall.byte_vectors import WORTH_IT, ByteVectors
from liftos_pipelines.modules.memory.recall.growing import Growing
from liftos_pipelines.modules.memory.recall.query import FloatArray, RecallQuery, Vectors, Windows


@dataclass(frozen=True, eq=False)
class MeaningChannel:
    """One product over all vectors of the query's model. Vectors of other models are never met.

    Of many vectors the product goes over bytes, exact for the best (see `byte_vectors.py`); of few it is exact.
    """

    n: int
    spaces: Mapping[str, tuple[Growing, Growing]]
    """By model id: vectors (n, d), zero where a row has none, and whether a row has one (n,)."""
    small: Mapping[str, ByteVectors] = field(default_factory=dict)
    """By model id, of those models that have many vectors."""
    windows: Mapping[str, tuple[Growing, Growing]] = field(default_factory=dict)
    """By model id: vectors of windows (m, d), and the row of each (m,), ascending."""
    name: str = "meaning"

    @classmethod
    def of(cls, n: int, vectors: Vectors, windows: Windows | None = None) -> MeaningChannel:
        for model, rows in vectors.items():
            if len(rows) != n:
                raise ValueError(f"{n} items but {len(rows)} vectors" + (f" of {model}" if model else ""))
        spaces = {model: _space(rows) for model, rows in vectors.items()}
        small = {model: ByteVectors.of(rows) for model, rows in vectors.items() if n >= WORTH_IT}
        return cls(n, spaces, small, _windowed({}, windows or {}, 0))

    def vectors(self, model_id: str) -> NDArray[np.float32]:
        return self.spaces[model_id][0].view

    def scores(self, query: RecallQuery) -> FloatArray:
        """(n,) 1 + cosine, so that every row with a vector is above one without (0)."""
        held = self.spaces.get(query.model_id)
        if held is None or query.vector is None:
            return np.zeros(self.n)
        vectors, has = held
        if query.vector.shape != vectors.view.shape[1:]:
            raise ValueError(
                f"a query vector of shape {query.vector.shape} does not meet vectors of shape "
                f"{vectors.view.shape[1:]} of model {query.model_id!r}"
            )
        asked = np.asarray(query.vector, dtype=np.float32)
        small = self.small.get(query.model_id)
        cosine = small.cosines(asked, vectors.view) if small is not None else vectors.view @ asked
        deep = self.windows.get(query.model_id)
        if deep is not None:
            np.maximum.at(cosine, deep[1].view, deep[0].view @ asked)
        cosine += 1
        cosine *= has.view
        return np.maximum(cosine, 0, dtype=np.float64)

    def cosine(self, query: RecallQuery, row: int) -> float | None:
        """The cosine of one row; None where query or row has no vector of the model."""
        held = self.spaces.get(query.model_id)
        if held is None or query.vector is None or not held[1].view[row]:
            return None
        asked = np.asarray(query.vector, dtype=np.float32)
        own = float(held[0].view[row] @ asked)
        deep = self.windows.get(query.model_id)
        if deep is None:
            return own
        first, last = np.searchsorted(deep[1].view, [row, row + 1])
        return max(own, *(deep[0].view[first:last] @ asked).tolist()) if last > first else own

    def explain(self, query: RecallQuery, row: int) -> str:
        cosine = self.cosine(query, row)
        return "" if cosine is None else f"cosine {cosine:.2f}"

    def extended(self, items: pl.DataFrame, vectors: Vectors, windows: Windows | None = None) -> MeaningChannel:
        added, spaces, small = items.height, {}, {}
        for model in {**self.spaces, **vectors}:
            held = self.spaces.get(model)
            rows = vectors.get(model)
            if rows is not None and len(rows) != added:
                raise ValueError(f"{added} items but {len(rows)} vectors" + (f" of {model}" if model else ""))
            if held is None:
                assert rows is not None
                held = _space(np.zeros((self.n, rows.shape[1]), dtype=np.float32))
            if rows is None:
                rows = np.zeros((added, held[0].view.shape[1]), dtype=np.float32)
            held_vectors, held_has = held
            rows = np.asarray(rows, np.float32)
            spaces[model] = (held_vectors.extended(rows), held_has.extended(_has(rows)))
            if model in self.small:
                small[model] = self.small[model].extended(rows)
            elif self.n + added >= WORTH_IT:
                small[model] = ByteVectors.of(spaces[model][0].view)
        return MeaningChannel(self.n + added, spaces, small, _windowed(self.windows, windows or {}, self.n))


def _space(rows: NDArray[np.float32]) -> tuple[Growing, Growing]:
    return Growing(np.asarray(rows, dtype=np.float32)), Growing(_has(rows))


def _has(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(np.any(rows, axis=1), dtype=np.bool_)


def _windowed(
    held: Mapping[str, tuple[Growing, Growing]], windows: Windows, start: int
) -> Mapping[str, tuple[Growing, Growing]]:
    """With the windows of rows from `start` on."""
    grown = dict(held)
    for model, of_rows in windows.items():
        sizes = [len(one) for one in of_rows]
        if not sum(sizes):
            continue
        vectors = np.concatenate([one for one in of_rows if len(one)]).astype(np.float32)
        rows = np.repeat(np.arange(start, start + len(sizes)), sizes)
        if model in grown:
            grown[model] = (grown[model][0].extended(vectors), grown[model][1].extended(rows))
        else:
            grown[model] = (Growing(vectors), Growing(rows))
    return grown
