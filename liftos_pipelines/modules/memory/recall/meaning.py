"""Meaning: the cosine of a query's vector with each memory's, in one model's space at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.recall.growing import Growing
from liftos_pipelines.modules.memory.recall.query import FloatArray, RecallQuery, Vectors


@dataclass(frozen=True, eq=False)
class MeaningChannel:
    """One exact float32 product over all vectors of the query's model. Vectors of other models are never met."""

    n: int
    spaces: Mapping[str, tuple[Growing, Growing]]
    """By model id: vectors (n, d), zero where a row has none, and whether a row has one (n,)."""
    name: str = "meaning"

    @classmethod
    def of(cls, n: int, vectors: Vectors) -> MeaningChannel:
        for model, rows in vectors.items():
            if len(rows) != n:
                raise ValueError(f"{n} items but {len(rows)} vectors" + (f" of {model}" if model else ""))
        return cls(n, {model: _space(rows) for model, rows in vectors.items()})

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
        cosine = vectors.view @ np.asarray(query.vector, dtype=np.float32)
        cosine += 1
        cosine *= has.view
        return np.maximum(cosine, 0, dtype=np.float64)

    def cosine(self, query: RecallQuery, row: int) -> float | None:
        """The cosine of one row; None where query or row has no vector of the model."""
        held = self.spaces.get(query.model_id)
        if held is None or query.vector is None or not held[1].view[row]:
            return None
        return float(held[0].view[row] @ np.asarray(query.vector, dtype=np.float32))

    def explain(self, query: RecallQuery, row: int) -> str:
        cosine = self.cosine(query, row)
        return "" if cosine is None else f"cosine {cosine:.2f}"

    def extended(self, items: pl.DataFrame, vectors: Vectors) -> MeaningChannel:
        added, spaces = items.height, {}
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
            spaces[model] = (held_vectors.extended(np.asarray(rows, np.float32)), held_has.extended(_has(rows)))
        return MeaningChannel(self.n + added, spaces)


def _space(rows: NDArray[np.float32]) -> tuple[Growing, Growing]:
    return Growing(np.asarray(rows, dtype=np.float32)), Growing(_has(rows))


def _has(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(np.any(rows, axis=1), dtype=np.bool_)
