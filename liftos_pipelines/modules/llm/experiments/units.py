"""Calls brought to the units that were randomised, and what was known of each unit before its variant was chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.llm.experiments.measured import UNIT, Metric
from liftos_pipelines.stats import FloatArray

MAX_USE_CASES = 5
LEAST_SHARE = 0.05
"""Of the units in a use case that is told apart, and of those with a past whose past is used."""
UNITS_PER_COVARIATE = 20


@dataclass(frozen=True, kw_only=True)
class Units:
    """One metric of two arms, summed by unit; a unit may have calls in both.

    Attributes
    ----------
    sums, squares, calls : (n_units, 2), control first: sum of the values, of their squares, and how many there were
    covariates : (n_units, k), known before the unit's variant was chosen, centred; k may be 0
    covariate_names : (k,)
    """

    sums: FloatArray
    squares: FloatArray
    calls: FloatArray
    covariates: FloatArray
    covariate_names: tuple[str, ...] = ()

    @property
    def in_arm(self) -> NDArray[np.bool_]:
        return self.calls > 0

    @property
    def counts(self) -> tuple[int, int]:
        """Units of each arm."""
        return (int(self.in_arm[:, 0].sum()), int(self.in_arm[:, 1].sum()))

    @property
    def n_calls(self) -> tuple[int, int]:
        return (int(self.calls[:, 0].sum()), int(self.calls[:, 1].sum()))

    @property
    def means(self) -> tuple[float, float]:
        with np.errstate(invalid="ignore", divide="ignore"):
            a, b = self.sums.sum(axis=0) / self.calls.sum(axis=0)
        return (float(a), float(b))


def from_arrays(
    a: FloatArray,
    b: FloatArray,
    clusters_a: NDArray[np.generic] | None = None,
    clusters_b: NDArray[np.generic] | None = None,
) -> Units:
    """Units of two arms' values, (n_a,) and (n_b,); without clusters each value is a unit."""
    values = np.concatenate([np.asarray(a, dtype=float), np.asarray(b, dtype=float)])
    arm = np.concatenate([np.zeros(len(a), dtype=np.int64), np.ones(len(b), dtype=np.int64)])
    if clusters_a is None or clusters_b is None:
        return _summed(values, arm, np.arange(values.size), np.empty((values.size, 0)), ())
    _, codes = np.unique(np.concatenate([clusters_a, clusters_b]).astype(str), return_inverse=True)
    return _summed(values, arm, codes, np.empty((int(codes.max(initial=-1)) + 1, 0)), ())


def from_calls(pair: pl.DataFrame, metric: Metric, past: pl.DataFrame | None) -> Units:
    """Units of one metric.

    Parameters
    ----------
    pair : calls of two arms in their order, with `_arm` 0 or 1, the unit and the metric's column
    past : calls of the prompt before the experiment; None: no covariates are wanted
    """
    known = pair.drop_nulls(metric.column)
    names = known.select(pl.col(UNIT).unique(maintain_order=True))
    coded = known.join(names.with_row_index("_code"), on=UNIT, how="left", maintain_order="left")
    covariates, told = _none(names.height)
    if past is not None and names.height >= UNITS_PER_COVARIATE:
        covariates, told = _covariates(pair, names, metric, past)
    return _summed(
        coded[metric.column].cast(pl.Float64).to_numpy(),
        coded["_arm"].cast(pl.Int64).to_numpy(),
        coded["_code"].cast(pl.Int64).to_numpy(),
        covariates,
        told,
    )


def _summed(
    values: FloatArray, arm: NDArray[np.int64], codes: NDArray[np.int64], covariates: FloatArray, names: tuple[str, ...]
) -> Units:
    n = covariates.shape[0]
    sums, squares, calls = np.zeros((n, 2)), np.zeros((n, 2)), np.zeros((n, 2))
    np.add.at(sums, (codes, arm), values)
    np.add.at(squares, (codes, arm), values**2)
    np.add.at(calls, (codes, arm), 1.0)
    return Units(sums=sums, squares=squares, calls=calls, covariates=covariates, covariate_names=names)


def _covariates(
    pair: pl.DataFrame, names: pl.DataFrame, metric: Metric, past: pl.DataFrame
) -> tuple[FloatArray, tuple[str, ...]]:
    """The unit's own past on the metric, and length and use case of its first input; none is touched by the variant."""
    first = pair.group_by(UNIT, maintain_order=True).agg(
        (pl.col("input").fill_null("").str.len_chars() + pl.col("context").fill_null("").str.len_chars())
        .first()
        .log1p()
        .alias("input_length"),
        pl.col("use_case").first().fill_null("unknown").alias("use_case"),
    )
    before = (
        past.drop_nulls([metric.column, "unit_id"])
        .group_by(UNIT)
        .agg(pl.col(metric.column).cast(pl.Float64).mean().alias("past"))
    )
    known = names.join(first, on=UNIT, how="left", maintain_order="left").join(
        before, on=UNIT, how="left", maintain_order="left"
    )
    columns: dict[str, FloatArray] = {}
    seen = known["past"].is_not_null()
    if known.height and seen.mean() >= LEAST_SHARE:  # type: ignore[operator]
        columns["past"] = known["past"].fill_null(known["past"].mean()).to_numpy()
        columns["has_past"] = seen.cast(pl.Float64).to_numpy()
    columns["input_length"] = known["input_length"].to_numpy()
    cases = known["use_case"].value_counts(sort=True).filter(pl.col("count") >= LEAST_SHARE * known.height)
    for case in cases["use_case"].to_list()[1 : MAX_USE_CASES + 1]:
        columns[f"use_case={case}"] = (known["use_case"] == case).cast(pl.Float64).to_numpy()
    room = names.height // UNITS_PER_COVARIATE
    kept = [name for name, values in columns.items() if np.ptp(values) > 0][:room]
    if not kept:
        return _none(names.height)
    return np.column_stack([columns[name] - columns[name].mean() for name in kept]), tuple(kept)


def _none(n_units: int) -> tuple[FloatArray, tuple[str, ...]]:
    return np.empty((n_units, 0)), ()
