"""What recorded runs say of agents: one row a run, and success with its uncertainty per agent, version and month.

Sources: Wilson (1927); Chen et al. (2021) for the unbiased estimator behind pass^k (Yao et al., 2024, tau-bench).
"""

from __future__ import annotations

import re
from datetime import datetime
from math import comb

import numpy as np
import polars as pl
from scipy import stats

from liftos_pipelines.stats import wilson_interval
from liftos_pipelines.tables import ALL, table

SUCCESS_REWARD = 0.5
"""A run whose last reward reaches this succeeded."""
MAX_K = 8
_TRIAL = re.compile(r"(?P<task>.+)[#:/](?P<trial>\d+)")
_SUCCEEDED = re.compile(r"\s*(?:success\w*|succeeded|accepted|approved|done|completed|solved|true|pass(?:ed)?)\b", re.I)
_FAILED = re.compile(r"\s*(?:fail\w*|rejected|denied|error|aborted|timed? ?out|false|unsolved|not )", re.I)
UNKNOWN_VERSION = "unknown"

RUNS = {
    "run_id": pl.String(),
    "agent_id": pl.String(),
    "version": pl.String(),
    "started": pl.Datetime("us", "UTC"),
    "success": pl.Boolean(),
    "cost": pl.Float64(),
    "steps": pl.Int64(),
    "task": pl.String(),
    "seconds": pl.Float64(),
    "agents": pl.Int64(),
}


def runs_of(steps: pl.DataFrame, agents: pl.DataFrame) -> pl.DataFrame:
    """One row a run: run_id, agent_id (of its first step), version, started, success (null when not recorded), cost,
    steps, task, seconds from first to last step, agents that took part.

    Identical repeats of a step are one step. Where a step stands twice with different contents, the run's success is
    unknown; where a cost is negative or not a number, its cost is.
        The version is the steps' `agent_version` column where the client brings one, else the registered one. The task
    is the steps' `task_id` column, else what precedes the trial number in a run id such as `refund-12#3`, else the
    run itself.
    """
    if steps.is_empty():
        return pl.DataFrame(schema=RUNS)
    extra = {name: name in steps.columns for name in ("agent_version", "task_id")}
    registered = dict(agents.select("agent_id", "version").iter_rows())
    rows = []
    ordered = steps.sort("run_id", "step", maintain_order=True).unique(maintain_order=True)
    for (run_id,), run in ordered.group_by("run_id", maintain_order=True):
        contradicts = run["step"].n_unique() < run.height
        agent_id = run["agent_id"][0]
        version = run["agent_version"].drop_nulls().first() if extra["agent_version"] else None
        task = run["task_id"].drop_nulls().first() if extra["task_id"] else None
        trial = _TRIAL.fullmatch(str(run_id))
        costs = run["cost"].drop_nulls()
        rows.append(
            {
                "run_id": run_id,
                "agent_id": agent_id,
                "version": str(version or registered.get(agent_id) or UNKNOWN_VERSION),
                "started": run["at"].min(),
                "success": None if contradicts else _succeeded(run),
                "cost": float(costs.sum()) if costs.len() and bool((costs >= 0).all()) else None,
                "steps": run["step"].n_unique(),
                "task": str(task) if task is not None else (trial["task"] if trial else str(run_id)),
                "seconds": _seconds(run),
                "agents": run["agent_id"].n_unique(),
            }
        )
    return pl.DataFrame(rows, schema=RUNS)


def performance(runs: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """The `agentic/performance` table: per agent, version and month (`2025-09`), and over all time (`all`).

    `success_rate` is over runs whose outcome is known (extra column `outcomes`), with a 90 % Wilson interval, or one
    clustered by task where tasks were tried more than once. `violations` counts denied calls; extra columns
    `needs_approval` and `violating_runs`. `pass_hat_k` lists pass^1, pass^2, ...: the chance that k tries all succeed.
    """
    contract = table("agentic/performance")
    if runs.is_empty():
        return contract.empty()
    dated = runs.with_columns(pl.col("started").dt.strftime("%Y-%m").alias("period"))
    both = pl.concat([dated.with_columns(pl.lit(ALL).alias("period")), dated])
    judged = decisions.select("run_id", "decision").join(runs.select("run_id"), on="run_id", how="inner")
    per_run = judged.group_by("run_id").agg(
        (pl.col("decision") == "deny").sum().alias("denied"),
        (pl.col("decision") == "needs_approval").sum().alias("unapproved"),
    )
    both = both.join(per_run, on="run_id", how="left", maintain_order="left").with_columns(
        pl.col("denied", "unapproved").fill_null(0)
    )
    rows = []
    for (agent_id, version, period), group in both.group_by("agent_id", "version", "period", maintain_order=True):
        known = group.drop_nulls("success")
        rate, low, high = success_rate(known)
        costs = group["cost"].drop_nulls()
        rows.append(
            {
                "agent_id": agent_id,
                "version": version,
                "period": period,
                "runs": group.height,
                "success_rate": rate,
                "low": low,
                "high": high,
                "cost": float(costs.sum()) if costs.len() else None,
                "violations": int(group["denied"].sum()),
                "pass_hat_k": pass_hat_k(known),
                "outcomes": known.height,
                "needs_approval": int(group["unapproved"].sum()),
                "violating_runs": int((group["denied"] > 0).sum()),
            }
        )
    frame = pl.DataFrame(rows, schema_overrides=contract.columns, infer_schema_length=None)
    return contract.conform(frame).sort("agent_id", "version", "period")


def success_rate(known: pl.DataFrame) -> tuple[float | None, float | None, float | None]:
    """Share of successes with its 90 % interval; tries of one task are not independent of each other."""
    n, hits = known.height, int(known["success"].sum())
    if n == 0:
        return (None, None, None)
    rate = hits / n
    tasks = known["task"].n_unique()
    effective = float(n)
    if 1 < tasks < n and 0 < rate < 1:
        sums = known.group_by("task").agg((pl.col("success").cast(pl.Float64) - rate).sum())["success"].to_numpy()
        clustered = tasks / (tasks - 1) * float(np.sum(sums**2)) / n**2
        effective = n / max(1.0, clustered / (rate * (1 - rate) / n))
    low, high = wilson_interval(rate * effective, effective)
    return (rate, low, high)


def pass_hat_k(known: pl.DataFrame) -> list[float]:
    """pass^k for k = 1, 2, ... as far as nine tasks in ten were tried k times (at most 8).

    A task with c successes in n tries contributes C(c, k) / C(n, k).
    """
    if known.is_empty():
        return []
    tasks = known.group_by("task").agg(pl.len().alias("n"), pl.col("success").sum().alias("c"))
    values = []
    for k in range(1, MAX_K + 1):
        tried = tasks.filter(pl.col("n") >= k)
        if tried.height < 0.9 * tasks.height:
            break
        values.append(float(np.mean([comb(c, k) / comb(n, k) for n, c in tried.select("n", "c").iter_rows()])))
    return values


def readiness(successes: int, trials: int) -> float | None:
    """The success rate that an agent exceeds with probability 0.95; None for one that never ran.

    5 % quantile of a Beta posterior with Jeffreys' prior (Brown, Cai and DasGupta, 2001).
    """
    if trials == 0:
        return None
    return float(stats.beta.ppf(0.05, successes + 0.5, trials - successes + 0.5))


def _seconds(run: pl.DataFrame) -> float | None:
    first, last = run["at"].min(), run["at"].max()
    if run.height < 2 or not isinstance(first, datetime) or not isinstance(last, datetime):
        return None
    return (last - first).total_seconds()


def _succeeded(run: pl.DataFrame) -> bool | None:
    rewards = run["reward"].drop_nulls()
    if rewards.len():
        last = float(rewards[-1])
        return None if last != last else last >= SUCCESS_REWARD
    outcome = run.filter(pl.col("kind") == "outcome")["content"].drop_nulls()
    if not outcome.len():
        return None
    said = str(outcome[-1])
    if _FAILED.match(said):
        return False
    return True if _SUCCEEDED.match(said) else None
