"""Calls, errors, latency, cost and groundedness per ISO week, model, prompt, version and use case, with intervals."""

from __future__ import annotations

from math import fsum

import numpy as np
import polars as pl
from scipy import stats

from liftos_pipelines.modules.llm.experiments import asked_same, errors_recorded
from liftos_pipelines.stats import FloatArray, wilson_interval
from liftos_pipelines.tables import table

GROUP = ("period", "model", "prompt_name", "prompt_version", "use_case")


def performance(calls: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """The `llm/performance` table. Periods are ISO weeks (`2025-W07`); `use_case` is null for calls that name none.

    `latency_*` is in milliseconds, `cost` in the client's currency, intervals are 90 %.
    `cost` is the sum over calls whose cost is known (null when none is; `priced_calls` says how many are);
    `error_rate` is null where the log records no errors at all. Extra columns: `_low`, `_high` of error_rate,
    latency_p50, latency_p95 and groundedness, `tokens`, `grounded_calls`.
    """
    contract = table("llm/performance")
    if calls.is_empty():
        return contract.empty()
    measured = scores.select("call_id", "groundedness", pl.col("cost").alias("_cost"))
    recorded = errors_recorded(calls)
    frame = calls.join(measured, on="call_id", how="left", maintain_order="left").with_columns(
        pl.col("called_at").dt.strftime("%G-W%V").alias("period"),
        (pl.col("error").fill_null("").str.len_chars() > 0).alias("_failed"),
    )
    rows = []
    for keys, group in frame.group_by(GROUP, maintain_order=True):
        latency = group["latency_ms"].drop_nulls().to_numpy()
        latency = np.sort(latency[latency >= 0])
        grounded = group["groundedness"].drop_nulls().to_numpy()
        costs = group["_cost"].drop_nulls()
        failures = int(group["_failed"].sum())
        error = wilson_interval(failures, group.height) if recorded else (None, None)
        row: dict[str, object] = dict(zip(GROUP, keys, strict=True))
        row |= {
            "calls": group.height,
            "error_rate": failures / group.height if recorded else None,
            "cost": fsum(costs) if costs.len() else None,
            "groundedness": float(grounded.mean()) if grounded.size else None,
            "error_rate_low": error[0],
            "error_rate_high": error[1],
            "priced_calls": costs.len(),
            "grounded_calls": int(grounded.size),
            "tokens": int(group.select(pl.sum_horizontal("input_tokens", "output_tokens")).to_series().sum()),
        }
        for name, level in (("latency_p50", 0.5), ("latency_p95", 0.95)):
            row[name] = float(np.quantile(latency, level)) if latency.size else None
            row[f"{name}_low"], row[f"{name}_high"] = quantile_interval(latency, level)
        row["groundedness_low"], row["groundedness_high"] = _mean_interval(grounded, group)
        rows.append(row)
    return contract.conform(pl.DataFrame(rows, infer_schema_length=None)).sort(GROUP)


def quantile_interval(ordered: FloatArray, level: float, coverage: float = 0.9) -> tuple[float | None, float | None]:
    """Distribution-free interval of a quantile from order statistics; None where the sample is too small for a bound.

    Source: David and Nagaraja (2003), Order statistics, section 7.1.
    """
    n, tail = ordered.size, (1 - coverage) / 2
    if n == 0:
        return (None, None)
    below = int(stats.binom.ppf(tail, n, level))
    above = int(stats.binom.ppf(1 - tail, n, level)) + 1
    low = float(ordered[below - 1]) if below >= 1 else None
    high = float(ordered[above - 1]) if above <= n else None
    return (low, high)


def _mean_interval(values: FloatArray, group: pl.DataFrame) -> tuple[float | None, float | None]:
    """Cluster-robust t interval of the mean, calls with one input and context being one cluster."""
    known = group.drop_nulls("groundedness")
    _, codes = np.unique(known.select(asked_same()).to_series().to_numpy(), return_inverse=True)
    groups = int(codes.max()) + 1 if codes.size else 0
    if groups < 2:
        return (None, None)
    sums = np.bincount(codes, weights=values - values.mean())
    error = float(np.sqrt(groups / (groups - 1) * np.sum(sums**2)) / values.size)
    half = float(stats.t.ppf(0.95, groups - 1)) * error
    mean = float(values.mean())
    return (max(0.0, mean - half), min(1.0, mean + half))
