"""Means of a metric where calls of one day, days in a row, and calls of one asker or question resemble one another.

Source: Cameron, Gelbach and Miller (2011), Robust inference with multiway clustering.
"""

from __future__ import annotations

from collections.abc import Sequence
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


MOST_PERSISTENCE = 0.8


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean, its standard error and degrees of freedom, from `clusters` days or units (the fewer) and `n` values."""

    value: float
    std_error: float
    df: float
    clusters: int
    n: int


def prepared(calls: pl.DataFrame) -> pl.DataFrame:
    """Calls of `with_metrics` with their day, their use case (else the prompt's name) and ratios as logarithms."""
    logged = [pl.when(pl.col(name) > 0).then(pl.col(name).cast(pl.Float64).log()).alias(name) for name in LOGGED]
    return calls.with_columns(
        pl.col("called_at").dt.date().alias(DAY),
        pl.coalesce("use_case", "prompt_name").alias(USE_CASE),
        *logged,
    )


def mean_of(calls: pl.DataFrame, metric: str, persistence: float | None = None) -> Mean | None:
    """The metric's mean over the calls that have it; None where fewer than two days or two units do.

    Parameters
    ----------
    calls : of `prepared`; persistence : correlation of one day with the next (see `day_persistence`); None: of these
    """
    known = calls.select(pl.col(metric).cast(pl.Float64).alias("value"), DAY, UNIT).drop_nulls("value")
    if known.height < 2:
        return None
    values = known["value"].to_numpy()
    days, units = _codes(known[DAY]), _codes(known[UNIT])
    both = _codes(known.select(pl.struct(DAY, UNIT)).to_series())
    n_days, n_units = int(days.max()) + 1, int(units.max()) + 1
    fewest = min(n_days, n_units)
    if fewest < 2:
        return None
    lasting = day_persistence([calls], metric) if persistence is None else persistence
    worth = day_worth(lasting)
    residual = values - values.mean()
    by_day, by_unit = _clustered(residual, days) / worth, _clustered(residual, units)
    # The sum of the two counts what both share twice; the larger of them bounds it where the difference is unstable.
    variance = max(by_day, by_unit, by_day + by_unit - _clustered(residual, both))
    return Mean(
        value=float(values.mean()),
        std_error=float(np.sqrt(variance)) / values.size,
        df=max(1.0, min(n_days * worth, n_units) - 1),
        clusters=fewest,
        n=values.size,
    )


def day_persistence(parts: Sequence[pl.DataFrame], metric: str) -> float:
    """`persistence` of the days' effects on a metric, of calls in parts."""
    daily = []
    for part in parts:
        known = part.select(pl.col(metric).cast(pl.Float64).alias("value"), DAY).drop_nulls("value")
        daily.append(known.group_by(DAY).agg((pl.col("value") - known["value"].mean()).sum()))
    return persistence(daily)


def persistence(parts: Sequence[pl.DataFrame]) -> float:
    """Correlation of a day's value with the next day's, within parts, in [0, .8]; a bad day is seldom alone.

    Corrected for the bias that centring brings (Kendall, 1954, Note on bias in the estimation of autocorrelation).

    Parameters
    ----------
    parts : frames with the day and its `value`, one row a day; only days in a row are paired
    """
    products = squares = 0.0
    pairs = n_days = used = 0
    for part in parts:
        if part.height < 2:
            continue
        daily = part.sort(DAY)
        effect = daily["value"].to_numpy() - float(daily["value"].to_numpy().mean())
        follows = daily[DAY].diff().dt.total_days().to_numpy()[1:] == 1
        products += float(np.sum((effect[1:] * effect[:-1])[follows]))
        squares += float(np.sum(effect**2))
        pairs, n_days, used = pairs + int(follows.sum()), n_days + daily.height, used + 1
    if pairs < 2 or squares <= 0:
        return 0.0
    seen, lost = products / pairs / (squares / n_days), used / n_days
    return float(np.clip((seen + lost) / max(0.25, 1 - 3 * lost), 0.0, MOST_PERSISTENCE))


def day_worth(lasting: float) -> float:
    """How many independent days one day stands for, where days of this `persistence` resemble the days before."""
    return (1 - lasting) / (1 + lasting)


def _codes(column: pl.Series) -> NDArray[np.int64]:
    return column.rank("dense").to_numpy().astype(np.int64) - 1


def _clustered(residual: FloatArray, codes: NDArray[np.int64]) -> float:
    """Variance of the sum of residuals when whole clusters vary, with the small-sample factor."""
    groups = int(codes.max()) + 1
    sums = np.bincount(codes, weights=residual)
    return float(groups / (groups - 1) * np.sum(sums**2))
