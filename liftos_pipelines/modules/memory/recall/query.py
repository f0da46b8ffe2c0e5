"""What is asked of memory, and what a channel of evidence must offer to answer it.

A channel sees every row of the index, gives each its own evidence, and knows nothing of the other channels: filters,
normalisation, weights and neighbours are the index's business. So a channel can be added without touching another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Vectors = Mapping[str, NDArray[np.float32]]
"""Unit vectors by model id, each (n, d) in the order of the rows; a row of zeros has no vector of that model."""

Windows = Mapping[str, Sequence[NDArray[np.float32]]]
"""By model id, for each row the unit vectors of its windows, (w, d); none (0, d) where the text is one window."""


class UnknownFilter(ValueError):
    """A filter asks for something that cannot be: an empty period, or a value of the wrong type."""


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which memories may answer. None lets everything pass; a value that names nothing known lets nothing pass.

    `since` and `until` bound the world time `valid_from` (both included); a memory without one never passes a bound.
    """

    kinds: frozenset[str] | None = None
    domains: frozenset[str] | None = None
    campaigns: frozenset[str] | None = None
    subjects: frozenset[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    exclude: frozenset[str] = frozenset()
    """Memory ids to leave out."""

    def __post_init__(self) -> None:
        for name in ("kinds", "domains", "campaigns", "subjects", "exclude"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, frozenset):
                object.__setattr__(self, name, self.names(name, value))
        for name in ("since", "until"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, datetime):
                raise UnknownFilter(f"{name} is a moment, not {value!r}")
        if self.since is not None and self.until is not None and _utc(self.since) > _utc(self.until):
            raise UnknownFilter(
                f"since {self.since.isoformat()} is after until {self.until.isoformat()}: nothing passes"
            )

    @staticmethod
    def names(name: str, told: object) -> frozenset[str]:
        """Names from any collection of texts.

        Raises
        ------
        UnknownFilter : one text, or something else than texts
        """
        if isinstance(told, str):
            raise UnknownFilter(f"{name} are collections of names, not one text: write {{{told!r}}}")
        if not isinstance(told, Collection) or not all(isinstance(one, str) for one in told):
            raise UnknownFilter(f"{name} are collections of names, not {told!r}")
        return frozenset(told)


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class RecallQuery:
    """One question to the memory.

    `vector` is (d,), unit length, of the model `model_id`; it only meets vectors of that model. Without a vector the
    channel of meaning is silent. `entities` are ids of the typed graph ("campaign:spring") that the caller knows to be
    meant; the graph channel adds those it finds in the text. `at` is the moment as of which is asked, None for now.
    """

    text: str
    vector: NDArray[np.float32] | None = None
    model_id: str = ""
    entities: frozenset[str] = frozenset()
    at: datetime | None = None
    strict: bool = False
    """With `at`: only what was recorded by then, see `history.as_of`."""
    filters: Filters = field(default_factory=Filters)


@runtime_checkable
class Channel(Protocol):
    """One kind of evidence over all rows of an index. Frozen: `extended` returns a new one."""

    @property
    def name(self) -> str:
        """Short and stable: weights are stored under it ("words", "meaning", "dimensions", "graph")."""
        ...

    def scores(self, query: RecallQuery) -> FloatArray:
        """(n,), 0 without evidence, higher is better, never negative or NaN; not normalised."""
        ...

    def explain(self, query: RecallQuery, row: int) -> str:
        """The evidence of one row in a few words ("both campaign spring"); empty without evidence."""
        ...

    def extended(self, items: pl.DataFrame, vectors: Vectors) -> Channel:
        """The channel with these rows after its own, without computing its own anew."""
        ...
