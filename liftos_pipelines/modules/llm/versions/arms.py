"""Means of a metric where calls of one day, and calls of one asker or question, resemble one another.

Source: Cameron, Gelbach and Miller (2011), Robust inference with multiway clustering.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.llm.experiments.measured import METRICS, UNIT, Metric
from liftos_pipelines.stats import FloatArray

DAY, USE_CASE = "_day", "_use_case"
COMPARED: tuple[Metric, ...] = tuple(metric for metric in METRICS if metric.kind != "quantile")
LOGGED = frozenset({"latency_ms", "cost", "output_tokens"})
"""Amounts that lie on a scale of ratios: compared by their logarithm, told as relative changes."""


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean, its standard error and the degrees of freedom that its fewest clusters leave; `n` values."""

    value: float
    std_error: float
    df: int
    n: int


def prepared(calls: pl.DataFrame) -> pl.DataFrame:
    """Calls of `with_metrics` with their day, their use case (else the prompt's name) and ratios as logarithms."""
    logged = [pl.when(pl.col(name) > 0).then(pl.col(name).cast(pl.Float64).log()).alias(name) for name in LOGGED]
    return calls.with_columns(
        pl.col("called_at").dt.date().alias(DAY),
        pl.coalesce("use_case", "prompt_name").alias(USE_CASE),
        *logged,
    )


def mean_of(calls: pl.DataFrame, metric: str) -> Mean | None:
    """The metric's mean over the calls that have it; None where fewer than two days or two units do."""
    known = calls.select(pl.col(metric).cast(pl.Float64).alias("value"), DAY, UNIT).drop_nulls("value")
    if known.height < 2:
        return None
    values = known["value"].to_numpy()
    days, units = _codes(known[DAY]), _codes(known[UNIT])
    both = _codes(known.select(pl.struct(DAY, UNIT)).to_series())
    fewest = min(int(days.max()), int(units.max())) + 1
    if fewest < 2:
        return None
    residual = values - values.mean()
    by_day, by_unit = _clustered(residual, days), _clustered(residual, units)
    # The sum of the two counts what both share twice; the larger of them bounds it where the difference is unstable.
    variance = max(by_day, by_unit, by_day + by_unit - _clustered(residual, both))
    return Mean(
        value=float(values.mean()), std_error=float(np.sqrt(variance)) / values.size, df=fewest - 1, n=values.size
    )


def _codes(column: pl.Series) -> NDArray[np.int64]:
    return column.rank("dense").to_numpy().astype(np.int64) - 1


def _clustered(residual: FloatArray, codes: NDArray[np.int64]) -> float:
    """Variance of the sum of residuals when whole clusters vary, with the small-sample factor."""
    groups = int(codes.max()) + 1
    sums = np.bincount(codes, weights=residual)
    return float(groups / (groups - 1) * np.sum(sums**2))
