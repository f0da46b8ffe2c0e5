"""Which model and prompt version does best in a use case, and how sure the order is.

A rank's interval counts the versions that are better, or worse, beyond what chance explains in all pairs at once.
Source: Mogstad, Romano, Shaikh and Wilhelm (2024), Inference for ranks with applications to mobility across
neighbourhoods and academic achievement across countries (confidence sets from simultaneous pairwise intervals).
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
from scipy import stats

from liftos_pipelines.modules.llm.experiments.measured import Metric
from liftos_pipelines.modules.llm.versions.arms import COMPARED, LOGGED, USE_CASE, Mean, mean_of
from liftos_pipelines.stats import FloatArray
from liftos_pipelines.tables import table

SPAN = timedelta(days=90)
LEAST_CALLS, LEAST_CLUSTERS = 30, 5
LEVEL = 0.9
DRAWS = 4000
ARM = ("prompt_name", "prompt_version", "model")


def leaderboard(calls: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The `llm/leaderboard` table: per use case and metric, versions with their rank, its interval and P(best).

    The newest ninety days count. Versions served at different times and askers: an order of what was observed. A
    version with too few calls is listed without a rank. `value` and its 90 % interval are in the metric's unit (for
    latency, cost and tokens the geometric mean).

    Parameters
    ----------
    calls : of `prepared(with_metrics(...))`; seed : of the draws that ranks rest on
    """
    contract = table("llm/leaderboard")
    newest = calls["called_at"].max()
    if not isinstance(newest, datetime):
        return contract.empty()
    recent = calls.filter(pl.col("called_at") >= newest - SPAN)
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for (use_case,), group in recent.group_by(USE_CASE, maintain_order=True):
        arms = {keys: arm for keys, arm in group.group_by(ARM, maintain_order=True)}
        for metric in COMPARED:
            means = {keys: mean for keys, arm in arms.items() if (mean := mean_of(arm, metric.name)) is not None}
            if means:
                rows += _ranked(str(use_case), metric, means, rng)
    return contract.conform(pl.DataFrame(rows, schema=contract.columns)).sort("use_case", "metric", "rank", *ARM)


def rank_intervals(
    values: FloatArray, errors: FloatArray, df: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest rank (1 is the largest value) that each of k arms may have, with 90 % confidence for each.

    Parameters
    ----------
    values, errors : (k,), estimates and their standard errors, independent between arms
    df : (k,), degrees of freedom of the standard errors; few make the set wider
    """
    k = values.size
    if k == 1:
        return np.ones(1), np.ones(1)
    pair = np.sqrt(errors[:, None] ** 2 + errors[None, :] ** 2)
    np.fill_diagonal(pair, np.inf)
    pair = np.where(pair > 0, pair, np.finfo(float).tiny)
    noise = rng.standard_normal((DRAWS, k)) * errors
    # A standard error from few clusters is itself uncertain, in every draw anew.
    variance = errors**2 * rng.chisquare(df, (DRAWS, k)) / df
    critical = np.empty(k)
    for arm in range(k):
        # For one arm's set only the pairs that it is in count, in both directions.
        gap, spread = np.abs(noise - noise[:, [arm]]), np.sqrt(variance + variance[:, [arm]])
        widest = np.divide(gap, spread, out=np.zeros_like(gap), where=spread > 0).max(axis=1)
        critical[arm] = np.quantile(widest, LEVEL)
    difference = (values[None, :] - values[:, None]) / pair
    np.fill_diagonal(difference, 0.0)
    low = 1 + np.sum(difference > critical[:, None], axis=1)
    high = k - np.sum(difference < -critical[:, None], axis=1)
    return low.astype(float), high.astype(float)


def _ranked(
    use_case: str, metric: Metric, means: dict[tuple[object, ...], Mean], rng: np.random.Generator
) -> list[dict[str, object]]:
    able = [keys for keys, mean in means.items() if mean.n >= LEAST_CALLS and mean.clusters >= LEAST_CLUSTERS]
    values = np.array([metric.sign * means[keys].value for keys in able])
    errors = np.array([means[keys].std_error for keys in able])
    df = np.array([means[keys].df for keys in able])
    order, low, high, best = {}, {}, {}, {}
    if able:
        lows, highs = rank_intervals(values, errors, df, rng)
        wins = np.argmax(values + rng.standard_t(df, (DRAWS, len(able))) * errors, axis=1)
        for position, place in enumerate(np.argsort(-values, kind="stable")):
            keys = able[place]
            order[keys], low[keys], high[keys] = position + 1, int(lows[place]), int(highs[place])
            best[keys] = float(np.mean(wins == place))
    rows = []
    for keys, mean in means.items():
        half = float(stats.t.ppf(0.95, mean.df)) * mean.std_error
        told = [mean.value, mean.value - half, mean.value + half]
        if metric.name in LOGGED:
            told = [float(np.exp(value)) for value in told]
        rows.append(
            {"use_case": use_case, "metric": metric.name}
            | dict(zip(ARM, keys, strict=True))
            | {
                "value": told[0],
                "low": told[1],
                "high": told[2],
                "rank": order.get(keys),
                "rank_low": low.get(keys),
                "rank_high": high.get(keys),
                "p_best": best.get(keys),
                "n": mean.n,
            }
        )
    return rows
