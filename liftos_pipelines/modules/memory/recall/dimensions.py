"""Conceptual dimensions: where a text stands between two poles, such as urgent and "whenever there is time".

No language model judges. A dimension is given by phrases for its two poles; a text's place is its vector's on the line
between the poles' means, plus the poles' own words that it uses. Places are comparable only after standardising them on
a collection. Source of the projection: Grand, Blank, Pereira and Fedorenko (2022), Semantic projection recovers rich
human knowledge of multiple object features from word embeddings, Nature Human Behaviour 6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.recall.query import FloatArray, RecallQuery, Vectors
from liftos_pipelines.text import words

Encode = Callable[[Sequence[str]], NDArray[np.float32]]

WORD_STEP = 0.5
"""What one pole's word counts for, in units of half the way between the poles; several do not add up further."""
LONGEST_WORDS = 3
SMALLEST_COLLECTION = 30
"""Rows that the poles' own phrases weigh as much as, when places are standardised on few memories."""
WIDEST = 3.0
"""Standardised places are cut here: one outlying dimension must not decide alone."""
_FIELDS = ("high", "low", "high_words", "low_words")


class DimensionError(ValueError):
    """Dimensions as given cannot be used; the message names domain, dimension and field."""


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One dimension by its two poles: short phrases of each, and words that speak for one of them."""

    domain: str
    name: str
    high: tuple[str, ...]
    low: tuple[str, ...]
    high_words: tuple[str, ...] = ()
    low_words: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.domain}.{self.name}"


def dimensions_from(content: Mapping[str, Any]) -> list[Dimension]:
    """Dimensions of a domain from its data: `{domain, dimensions: {name: {high, low, high_words, low_words}}}`.

    Raises
    ------
    DimensionError : a pole without phrases, an unknown field, or a word at both poles
    """
    domain, given = content.get("domain"), content.get("dimensions")
    if not isinstance(domain, str) or not isinstance(given, Mapping) or not given:
        raise DimensionError("expected `domain: NAME` and `dimensions:` with a dimension or more")
    found = []
    for name, poles in given.items():
        where = f"{domain}.{name}"
        if not isinstance(poles, Mapping) or set(poles) - set(_FIELDS):
            raise DimensionError(f"{where}: fields are {', '.join(_FIELDS)}")
        lists = {field: poles.get(field, []) for field in _FIELDS}
        for field_name, texts in lists.items():
            if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
                raise DimensionError(f"{where}.{field_name}: expected a list of phrases")
        if not lists["high"] or not lists["low"]:
            raise DimensionError(
                f"{where}: each pole needs a phrase, {'high' if not lists['high'] else 'low'} has none"
            )
        both = {_spelling(word) for word in lists["high_words"]} & {_spelling(word) for word in lists["low_words"]}
        if both:
            raise DimensionError(f'{where}: "{" ".join(sorted(both)[0])}" stands at both poles')
        found.append(Dimension(domain=domain, name=str(name), **{key: tuple(texts) for key, texts in lists.items()}))
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Axes:
    """Dimensions as lines in the space of one model's vectors.

    Parameters
    ----------
    model_id : whose vectors may be placed on these lines
    keys : (k) `domain.name`
    directions : (d, k), scaled so that the poles' means lie two apart
    middles : (k,), half-way between the poles' means
    centre, spread : (k,), mean and deviation of the places of all poles' phrases
    words : spelling -> pairs of dimension and side (+1 high, -1 low)
    """

    model_id: str
    keys: tuple[str, ...]
    directions: NDArray[np.float32]
    middles: FloatArray
    centre: FloatArray
    spread: FloatArray
    words: Mapping[tuple[str, ...], tuple[tuple[int, int], ...]]

    def places(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> FloatArray:
        """(n, k): about -1 at the low pole, +1 at the high one, 0 half-way; NaN for texts without a vector."""
        placed = np.asarray(vectors, dtype=np.float32) @ self.directions - self.middles
        placed += WORD_STEP * self.spoken(texts)
        placed[~np.any(vectors, axis=1)] = np.nan
        return placed

    def spoken(self, texts: Sequence[str]) -> FloatArray:
        """(n, k) in -1..1: which pole's words a text uses, the more frequent side wins in proportion."""
        out = np.zeros((len(texts), len(self.keys)))
        for row, text in enumerate(texts):
            high, low = np.zeros(len(self.keys)), np.zeros(len(self.keys))
            for dimension, side in self._hits(text):
                (high if side > 0 else low)[dimension] += 1
            out[row] = (high - low) / np.maximum(high + low, 1)
        return out

    def _hits(self, text: str) -> Iterable[tuple[int, int]]:
        said = words(text)
        for start in range(len(said)):
            for size in range(1, min(LONGEST_WORDS, len(said) - start) + 1):
                yield from self.words.get(tuple(said[start : start + size]), ())


def axes_of(dimensions: Sequence[Dimension], encode: Encode, model_id: str) -> Axes:
    """The lines of dimensions in a model's space, from the vectors of their poles' phrases and words.

    `encode` gives unit vectors (n, d) of texts. Same phrases and model, same lines.

    Raises
    ------
    DimensionError : no dimension, or poles that the model cannot tell apart
    """
    if not dimensions:
        raise DimensionError("no dimensions given")
    poles = [((*one.high, *one.high_words), (*one.low, *one.low_words)) for one in dimensions]
    phrases = [phrase for high, low in poles for phrase in (*high, *low)]
    vectors = np.asarray(encode(phrases), dtype=np.float64)
    directions, middles, at = [], [], 0
    for one, (above, below) in zip(dimensions, poles, strict=True):
        high = vectors[at : at + len(above)].mean(0)
        low = vectors[at + len(above) : at + len(above) + len(below)].mean(0)
        at += len(above) + len(below)
        apart = high - low
        squared = float(apart @ apart)
        if squared < 1e-12:
            raise DimensionError(f"{one.key}: both poles have the same vector in {model_id}: word them differently")
        directions.append(2 * apart / squared)
        middles.append(float((high + low) @ apart) / squared)
    stacked, offset = np.stack(directions, axis=1), np.array(middles)
    placed = vectors @ stacked - offset
    return Axes(
        model_id=model_id,
        keys=tuple(one.key for one in dimensions),
        directions=stacked.astype(np.float32),
        middles=offset,
        centre=placed.mean(0),
        spread=placed.std(0),
        words=_words_of(dimensions),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Scale:
    """Mean and deviation that places are standardised by; each (k,)."""

    mean: FloatArray
    deviation: FloatArray

    @classmethod
    def of(cls, places: FloatArray, axes: Axes) -> Scale:
        """The collection's own, drawn towards the poles' phrases while it is small; rows of NaN do not count."""
        seen = places[~np.isnan(places).any(axis=1)]
        n = len(seen)
        share = n / (n + SMALLEST_COLLECTION)
        mean, variance = (seen.mean(0), seen.var(0)) if n else (axes.centre, axes.spread**2)
        blended = share * variance + (1 - share) * axes.spread**2 + share * (1 - share) * (mean - axes.centre) ** 2
        return cls(mean=share * mean + (1 - share) * axes.centre, deviation=np.sqrt(np.maximum(blended, 1e-12)))

    def standardised(self, places: FloatArray) -> FloatArray:
        """Places in deviations from the mean, cut at three; 0 where unknown."""
        return np.clip(np.nan_to_num((places - self.mean) / self.deviation), -WIDEST, WIDEST)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Placed:
    """All rows in one model's space: their standardised places and those at unit length."""

    axes: Axes
    scale: Scale
    weights: FloatArray
    standard: NDArray[np.float32]
    unit: NDArray[np.float32]

    @classmethod
    def of(cls, axes: Axes, scale: Scale, weights: FloatArray, standard: NDArray[np.float32]) -> _Placed:
        weighted = standard * np.sqrt(weights, dtype=np.float32)
        size = np.linalg.norm(weighted, axis=1, keepdims=True)
        unit = weighted / np.where(size > 0, size, 1)
        return cls(axes=axes, scale=scale, weights=weights, standard=standard, unit=unit.astype(np.float32))


@dataclass(frozen=True, kw_only=True, eq=False)
class DimensionChannel:
    """Evidence of recall: memories that lean the same way as the query, on the dimensions where it leans at all.

    The score is the cosine of standardised places, weighted by dimension; leaning the other way is no evidence.
    """

    placed: Mapping[str, _Placed]
    """By model id."""
    n: int
    name: str = field(default="dimensions", init=False)

    def scores(self, query: RecallQuery) -> FloatArray:
        """(n,) in 0..1; all 0 without a vector of a model that the dimensions are known in."""
        held = self.placed.get(query.model_id)
        if held is None or query.vector is None:
            return np.zeros(self.n)
        asked = _asked(held, query) * np.sqrt(held.weights)
        size = float(np.linalg.norm(asked))
        if size == 0:
            return np.zeros(self.n)
        return np.maximum(held.unit @ (asked / size).astype(np.float32), 0).astype(np.float64)

    def explain(self, query: RecallQuery, row: int) -> str:
        """The two dimensions that query and memory share most, such as `both high in marketing timing relevance`."""
        held = self.placed.get(query.model_id)
        if held is None or query.vector is None:
            return ""
        asked, has = _asked(held, query), held.standard[row]
        shared = held.weights * asked * has
        best = [i for i in np.argsort(-shared)[:2] if shared[i] > 0]
        sides = [f"{'high' if asked[i] > 0 else 'low'} in {_readable(held.axes.keys[i])}" for i in best]
        return f"both {' and '.join(sides)}" if sides else ""

    def extended(self, items: pl.DataFrame, vectors: Vectors) -> DimensionChannel:
        """With further rows, placed and standardised as the first ones were."""
        texts = items["text"].to_list()
        grown = {}
        for model_id, held in self.placed.items():
            if model_id in vectors:
                added = held.scale.standardised(held.axes.places(texts, vectors[model_id])).astype(np.float32)
            else:
                added = np.zeros((len(texts), len(held.axes.keys)), dtype=np.float32)
            grown[model_id] = _Placed.of(held.axes, held.scale, held.weights, np.concatenate([held.standard, added]))
        return DimensionChannel(placed=grown, n=self.n + len(texts))


def dimension_channel(
    items: pl.DataFrame, vectors: Vectors, axes: Iterable[Axes], weights: Mapping[str, float] | None = None
) -> DimensionChannel:
    """The channel over all rows of an index; memories are placed and standardised here, once.

    Parameters
    ----------
    items : (n) item rows, of which `text` is read
    axes : the dimensions in each model's space; a model without vectors of these rows is left out
    weights : by `domain.name`, 1 where not given; 0 switches a dimension off

    Raises
    ------
    DimensionError : a weight is negative or names no dimension
    """
    texts, placed = items["text"].to_list(), {}
    for one in axes:
        if one.model_id not in vectors:
            continue
        given = np.array([float((weights or {}).get(key, 1.0)) for key in one.keys])
        unknown = set(weights or {}) - set(one.keys)
        if unknown or (given < 0).any():
            wrong = sorted(unknown) or [one.keys[i] for i in np.flatnonzero(given < 0)]
            raise DimensionError(f"weights: {wrong[0]} is not a known dimension with a weight of 0 or more")
        places = one.places(texts, vectors[one.model_id])
        scale = Scale.of(places, one)
        placed[one.model_id] = _Placed.of(one, scale, given, scale.standardised(places).astype(np.float32))
    return DimensionChannel(placed=placed, n=items.height)


def _asked(held: _Placed, query: RecallQuery) -> FloatArray:
    assert query.vector is not None
    return held.scale.standardised(held.axes.places([query.text], query.vector[None, :]))[0]


def _readable(key: str) -> str:
    return key.replace(".", " ").replace("_", " ")


def _spelling(word: str) -> tuple[str, ...]:
    return tuple(words(word))


def _words_of(dimensions: Sequence[Dimension]) -> dict[tuple[str, ...], tuple[tuple[int, int], ...]]:
    found: dict[tuple[str, ...], tuple[tuple[int, int], ...]] = {}
    for place, one in enumerate(dimensions):
        for side, spoken in ((1, one.high_words), (-1, one.low_words)):
            for word in spoken:
                found[_spelling(word)] = (*found.get(_spelling(word), ()), (place, side))
    return found
