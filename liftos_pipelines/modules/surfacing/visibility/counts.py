"""Answers counted per prompt and brand: what every measure of visibility is a ratio of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.stats import FloatArray
from liftos_pipelines.tables import ALL

DEFINITIONS: Mapping[str, str] = {
    "mention_rate": "answers naming the brand / answers",
    "share_of_voice": "answers naming the brand / the same count summed over all tracked brands",
    "answer_share": "answers naming the brand / answers naming any tracked brand",
    "top1_rate": "answers ranking the brand first / answers",
    "top3_rate": "answers ranking the brand among the first three / answers",
    "win_rate": "answers ranking no tracked brand before it (ties shared) / answers naming any tracked brand",
    "citation_rate": "answers citing a page of the brand's domains / answers whose citations are recorded",
    "citation_share": "cited pages on the brand's domains / all cited pages",
    "prompt_coverage": "prompts with at least one answer naming the brand / prompts",
    "prompt_majority": "prompts with more than half of the answers naming the brand / prompts",
}
METRICS = tuple(DEFINITIONS)
"""More repeats raise `prompt_coverage` by themselves; `prompt_majority` they do not."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """One period and engine. `units[name]` is (n_prompts, n_brands); `own` marks the client's brand."""

    period: str
    engine: str
    prompts: tuple[str, ...]
    brands: tuple[str, ...]
    own: tuple[bool, ...]
    units: Mapping[str, FloatArray]

    def only(self, keep: NDArray[np.bool_]) -> Counts:
        """The prompts kept, (n_prompts,) of bool."""
        return Counts(
            period=self.period,
            engine=self.engine,
            prompts=tuple(prompt for prompt, kept in zip(self.prompts, keep, strict=True) if kept),
            brands=self.brands,
            own=self.own,
            units={name: unit[keep] for name, unit in self.units.items()},
        )

    def parts(self, metric: str) -> tuple[FloatArray, FloatArray]:
        """Numerator and denominator of a metric by prompt and brand, each (n_prompts, n_brands)."""
        units = self.units
        answers, mentioned = units["answers"], units["mentioned"]
        if metric == "share_of_voice":
            return mentioned, np.repeat(mentioned.sum(axis=1, keepdims=True), len(self.brands), axis=1)
        if metric == "prompt_coverage":
            return (mentioned > 0).astype(float), (answers > 0).astype(float)
        if metric == "prompt_majority":
            return (2 * mentioned > answers).astype(float), (answers > 0).astype(float)
        above, below = {
            "mention_rate": ("mentioned", "answers"),
            "answer_share": ("mentioned", "contested"),
            "top1_rate": ("first", "answers"),
            "top3_rate": ("three", "answers"),
            "win_rate": ("wins", "contested"),
            "citation_rate": ("citing", "citable"),
            "citation_share": ("own_pages", "pages"),
        }[metric]
        return units[above], units[below]


def readable(mentions: pl.DataFrame) -> pl.DataFrame:
    """Rows of answers that could be read and dated, with their `period` (month)."""
    known = mentions.filter(pl.col("mentioned").is_not_null() & pl.col("asked_at").is_not_null())
    return known.with_columns(period=pl.col("asked_at").dt.strftime("%Y-%m"))


def count_answers(mentions: pl.DataFrame) -> Iterator[list[Counts]]:
    """Per month, in order: the counts of each engine, and of `all` engines together last.

    Within a month every `Counts` has the same prompts and brands, in the same order; a prompt that an engine was not
    asked has no answers there. Brands are the same in every month.
    """
    known = readable(mentions)
    if known.is_empty():
        return
    best = pl.col("rank").min().over("answer_id")
    won = (pl.col("rank") == best).fill_null(False)
    known = known.with_columns(
        won=won.cast(pl.Float64) / won.sum().over("answer_id").clip(lower_bound=1),
        contested=pl.col("mentioned").any().over("answer_id"),
    )
    brands = known.group_by("brand", maintain_order=True).agg(pl.col("own").fill_null(False).first())
    names = tuple(brands["brand"].to_list())
    for (period,), month in sorted(known.group_by("period"), key=lambda pair: str(pair[0][0])):
        engines = sorted(month["engine"].unique().to_list())
        prompts = tuple(sorted(month["prompt_id"].unique().to_list()))
        shape = (len(engines), len(prompts), len(names))
        place = np.ravel_multi_index(
            (_codes(month["engine"], engines), _codes(month["prompt_id"], prompts), _codes(month["brand"], names)),
            shape,
        )
        tensors = {name: _total(month, expression, place, shape) for name, expression in _expressions().items()}
        yield [
            Counts(
                period=str(period),
                engine=engine,
                prompts=prompts,
                brands=names,
                own=tuple(brands["own"].to_list()),
                units={name: tensor.sum(axis=0) if e is None else tensor[e] for name, tensor in tensors.items()},
            )
            for e, engine in [*enumerate(engines), (None, ALL)]
        ]


def _codes(column: pl.Series, values: list[str] | tuple[str, ...]) -> NDArray[np.int64]:
    return column.cast(pl.Enum(list(values))).to_physical().to_numpy().astype(np.int64)


def _expressions() -> dict[str, pl.Expr]:
    owned = pl.col("brand_citations").is_not_null()
    return {
        "answers": pl.col("mentioned").is_not_null(),
        "mentioned": pl.col("mentioned"),
        "first": pl.col("rank") == 1,
        "three": pl.col("rank") <= 3,
        "wins": pl.col("won"),
        "contested": pl.col("contested"),
        "citable": pl.col("cited").is_not_null(),
        "citing": pl.col("cited"),
        "pages": pl.when(owned).then(pl.col("citations")),
        "own_pages": pl.col("brand_citations"),
    }


def _total(frame: pl.DataFrame, expression: pl.Expr, place: NDArray[np.int64], shape: tuple[int, ...]) -> FloatArray:
    values = frame.select(expression.cast(pl.Float64).fill_null(0.0)).to_series().to_numpy()
    totals = np.bincount(place, weights=values, minlength=int(np.prod(shape)))
    return np.asarray(totals, dtype=float).reshape(shape)
