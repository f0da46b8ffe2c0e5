"""Which vector a question is asked with: MiniLM's where it is known or wanted, else the static one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.resources.embedder import Embedder, WeightsMissing
from liftos_pipelines.resources.static_embedder import StaticEmbedder, StaticModelError

Choice = Literal["auto", "full", "static"]
CHOICES: tuple[Choice, ...] = ("auto", "full", "static")


@dataclass(frozen=True, kw_only=True)
class QueryVector:
    """A question's vector with the model it belongs to; `path` says how it was got, `warning` what is missing."""

    vector: NDArray[np.float32]
    model_id: str
    path: Literal["cached", "computed", "static"]
    warning: str | None = None


class QueryEncoder:
    """Chooses the vector of a question.

    auto : MiniLM's where the text was encoded before, else the static vector at once, and MiniLM's is noted to be
        computed in an idle moment (`Embedder.catch_up`), so that the next time it is known
    full : MiniLM's, computed now if need be (20 to 60 ms)
    static : the static vector

    Parameters
    ----------
    full : None where the weights are missing; then every question is asked with the static vector, and says so
    missing : why they are
    """

    def __init__(self, full: Embedder | None, static: StaticEmbedder | None, missing: str | None = None) -> None:
        if full is None and static is None:
            raise WeightsMissing(missing or "neither MiniLM's weights nor the static vectors are there")
        self.full, self.static, self.missing = full, static, missing

    @property
    def model_ids(self) -> tuple[str, ...]:
        """Models that questions may be asked with: an index should hold vectors of each."""
        return tuple(one.model_id for one in (self.full, self.static) if one is not None)

    def query(self, text: str, choice: Choice = "auto") -> QueryVector:
        """The vector of a question.

        Raises
        ------
        ValueError : the choice is not one of auto, full, static
        WeightsMissing : full was wanted and cannot be had
        """
        if choice not in CHOICES:
            raise ValueError(f"encoder {choice!r} is not one of {', '.join(CHOICES)}")
        if choice == "full" and self.full is None:
            raise WeightsMissing(self.missing or "MiniLM's weights are missing")
        if self.full is not None and choice != "static":
            held = self.full.known(text)
            if held is not None:
                return QueryVector(vector=held, model_id=self.full.model_id, path="cached")
            if choice == "full" or self.static is None:
                return QueryVector(vector=self.full.encode([text])[0], model_id=self.full.model_id, path="computed")
            self.full.ask_later(text)
        if self.static is None:
            raise StaticModelError("the static vectors are missing: reinstall LiftOS, or ask with encoder full")
        return QueryVector(
            vector=self.static.encode([text])[0],
            model_id=self.static.model_id,
            path="static",
            warning=self.missing if self.full is None else None,
        )

    def vectors(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Vectors of memories in every model that there is, (n, d) by model id."""
        return {one.model_id: one.encode(list(texts)) for one in (self.full, self.static) if one is not None}
