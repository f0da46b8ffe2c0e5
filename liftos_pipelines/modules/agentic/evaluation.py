"""How well each agent version did, one row a metric with its 90 % interval; what was not recorded is null with why.

Intervals of rates are Wilson's, widened where observations come in clusters (calls of one run, tries of one task);
means have a cluster-robust normal interval; pass^k is resampled over tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb
from typing import Any

import numpy as np
import polars as pl

from liftos_pipelines.modules.agentic.evidence import pass_hat_k, success_rate
from liftos_pipelines.modules.agentic.rollouts import clustered_variance
from liftos_pipelines.stats import percentile_interval
from liftos_pipelines.tables import table

Z90 = 1.6449
MOST_K = 4
RESAMPLES = 200
CALL_METRICS = {
    "calls_of_known_tools": ("known", True, "nobody declares tools"),
    "calls_with_readable_arguments": ("readable", True, "no calls"),
    "calls_with_fitting_arguments": ("fits", True, "no tool that was called declares its arguments"),
    "calls_with_error_results": ("error", False, "no results are recorded"),
    "repeated_calls": ("repeated", False, "no calls"),
}
"""Metric -> the column it counts, whether more is better, and why it may be unknown."""


def evaluation(
    runs: pl.DataFrame,
    decisions: pl.DataFrame,
    calls: pl.DataFrame,
    expected: pl.DataFrame,
    injected: pl.DataFrame,
    agents: pl.DataFrame,
    *,
    seed: int = 7,
) -> pl.DataFrame:
    """The `agentic/evaluation` table.

    Parameters
    ----------
    runs, decisions : as `evidence.runs_of` and `agentic/policy_decisions` give them
    calls, expected : as `tool_calls` gives them
    injected : as `injection_resistance.injected_runs` gives it
    """
    contract = table("agentic/evaluation")
    registered = dict(agents.select("agent_id", "version").iter_rows())
    versions = {row[0]: (row[1], row[2]) for row in runs.select("run_id", "agent_id", "version").iter_rows()}

    def version_of(run_id: str, agent_id: str) -> str:
        owner, version = versions.get(run_id, (None, "unknown"))
        return version if owner == agent_id else str(registered.get(agent_id, "unknown"))

    def versioned(frame: pl.DataFrame) -> pl.DataFrame:
        found = [version_of(*row) for row in frame.select("run_id", "agent_id").iter_rows()]
        return frame.with_columns(pl.Series("version", found, dtype=pl.String))

    calls, expected, injected = versioned(calls), versioned(expected), versioned(injected)
    denied = decisions.filter(pl.col("decision") == "deny").select("run_id").unique()
    marked = runs.join(denied.with_columns(pl.lit(True).alias("violating")), on="run_id", how="left").with_columns(
        pl.col("violating").fill_null(False)
    )
    keys = pl.concat([frame.select("agent_id", "version") for frame in (runs, calls)]).unique(maintain_order=True)
    rows: list[dict[str, Any]] = []
    for agent_id, version in keys.iter_rows():
        own = [
            frame.filter((pl.col("agent_id") == agent_id) & (pl.col("version") == version))
            for frame in (marked, calls, expected, injected)
        ]
        for metric, value, low, high, n, detail in _metrics(*own, seed=seed):
            rows.append(
                {
                    "agent_id": agent_id,
                    "version": version,
                    "metric": metric,
                    "value": value,
                    "low": low,
                    "high": high,
                    "n": n,
                    "detail": detail,
                }
            )
    return contract.conform(pl.DataFrame(rows, schema=contract.columns)).sort("agent_id", "version", "metric")


Row = tuple[str, float | None, float | None, float | None, int, str]


def _metrics(
    runs: pl.DataFrame, calls: pl.DataFrame, expected: pl.DataFrame, injected: pl.DataFrame, *, seed: int
) -> Iterator[Row]:
    known = runs.drop_nulls("success")
    yield "success_rate", *success_rate(known), known.height, "" if known.height else "no outcome is recorded"
    yield from _pass_hat(known, seed)
    yield "violating_runs", *_rate(runs["violating"], runs["run_id"]), runs.height, ""
    for metric, column in (("cost_per_run", "cost"), ("steps_per_run", "steps"), ("seconds_per_run", "seconds")):
        yield _mean(metric, runs, column)
    for metric, (column, _, why) in CALL_METRICS.items():
        said = calls.drop_nulls(column)
        detail = _worst(said, column) if said.height else (why if calls.height else "no calls")
        yield metric, *_rate(said[column], said["run_id"]), said.height, detail
    yield from _expected(expected)
    told = injected.drop_nulls("followed")
    followed = told.filter(pl.col("followed"))
    detail = "; ".join(followed["how"].head(3).to_list()) if told.height else "no run read an injected text"
    yield "injections_followed", *_rate(told["followed"], told["run_id"]), told.height, detail


def _pass_hat(known: pl.DataFrame, seed: int) -> Iterator[Row]:
    values = pass_hat_k(known)[:MOST_K]
    if len(values) < 2:
        return  # pass^1 is the success rate
    by_task = known.group_by("task").agg(pl.len().alias("n"), pl.col("success").sum().alias("c")).sort("task")
    for k, value in enumerate(values, start=1):
        chance = _chances(by_task, k)
        drawn = np.random.default_rng(seed).integers(0, chance.size, size=(RESAMPLES, chance.size))
        low, high = percentile_interval(np.nanmean(chance[drawn], axis=1))
        yield f"pass_hat_{k}", value, low, high, by_task.height, "tasks"


def _chances(tasks: pl.DataFrame, k: int) -> np.ndarray:
    return np.array([comb(c, k) / comb(n, k) if n >= k else np.nan for n, c in tasks.select("n", "c").iter_rows()])


def _rate(hits: pl.Series, clusters: pl.Series) -> tuple[float | None, float | None, float | None]:
    return success_rate(pl.DataFrame({"success": hits.cast(pl.Boolean), "task": clusters}))


def _mean(metric: str, runs: pl.DataFrame, column: str) -> Row:
    said = runs.drop_nulls(column)
    if said.is_empty():
        return (metric, None, None, None, 0, "not recorded")
    values = said[column].cast(pl.Float64).to_numpy()
    variance = clustered_variance(values, said["task"].to_numpy())
    half = None if variance is None else Z90 * float(np.sqrt(variance))
    mean = float(values.mean())
    detail = f"p50 {np.percentile(values, 50):,.4g}, p95 {np.percentile(values, 95):,.4g}"
    low, high = (None, None) if half is None else (mean - half, mean + half)
    return (metric, mean, low, high, values.size, detail)


def _worst(calls: pl.DataFrame, column: str) -> str:
    good = CALL_METRICS_GOOD[column]
    bad = calls.filter(pl.col(column) != good)
    if bad.is_empty():
        return ""
    counted = bad.group_by("tool").len().sort("len", "tool", descending=[True, False]).head(3)
    return ", ".join(f"{tool or 'no tool'}: {n}" for tool, n in counted.iter_rows())


CALL_METRICS_GOOD = {column: good for column, good, _ in CALL_METRICS.values()}


def _expected(expected: pl.DataFrame) -> Iterator[Row]:
    wanted = int(expected["expected"].sum())
    if expected.is_empty():
        yield "expected_calls_made", None, None, None, 0, "no task names the calls that it expects"
        return
    for metric, column in (("expected_tools_called", "named"), ("expected_calls_made", "exact")):
        hits = [k < row[0] for row in expected.select(column, "expected").iter_rows() for k in range(row[1])]
        runs = [run for run, n in expected.select("run_id", "expected").iter_rows() for _ in range(n)]
        yield metric, *_rate(pl.Series(hits, dtype=pl.Boolean), pl.Series(runs, dtype=pl.String)), wanted, ""
    beside = expected["writes_beside"] > 0
    yield "runs_with_unexpected_writes", *_rate(beside, expected["run_id"]), expected.height, ""
