"""With what probability each arm should be chosen next: as planned, or by Thompson sampling above a floor.

Thompson's share of an arm is the probability that it is the best on the primary metric, by the posterior of all calls
so far. A posterior needs no correction for shares that moved with the results; estimates do, see `adaptive`. The floor
keeps every arm's propensity away from zero, without which no estimate could be weighted.

Sources: Thompson (1933); Scott (2010), A modern Bayesian look at the multi-armed bandit; Zhan, Ren, Athey and Zhou
(2021) for the floor that inference after it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from liftos_pipelines.modules.llm.experiments.difference import design_effect
from liftos_pipelines.modules.llm.experiments.measured import METRICS, Metric, with_metrics
from liftos_pipelines.modules.llm.experiments.pairs import pairs
from liftos_pipelines.modules.llm.experiments.plan import Plan, all_plans
from liftos_pipelines.modules.llm.experiments.posterior import best_of_means, best_of_rates
from liftos_pipelines.modules.llm.experiments.units import Units, from_calls
from liftos_pipelines.stats import FloatArray
from liftos_pipelines.tables import table

FIRST_UNITS = 20
"""Units each arm needs before its posterior moves the shares."""
WITHDRAWN = ("rollback_b", "keep_a")


def with_floor(best: FloatArray, floor: float) -> FloatArray:
    """Shares that follow the chances of being best, none below the floor.

    Raises
    ------
    ValueError : a floor that the arms cannot all have
    """
    if floor * best.size > 1:
        raise ValueError(f"{best.size} arms cannot all have a share of {floor}; at most {1 / best.size:.3f}")
    return floor + (1 - floor * best.size) * best


def allocation(
    calls: pl.DataFrame,
    scores: pl.DataFrame,
    plans: Sequence[Plan] = (),
    decisions: Mapping[tuple[str, str], str] | None = None,
) -> pl.DataFrame:
    """The `llm/allocation` table: one row an experiment and arm, as of its newest call.

    Experiments by prompt version are not allocated: nobody chooses between versions call by call.

    Parameters
    ----------
    decisions : by (experiment, arm): an arm that was rolled back or not kept gets nothing more
    """
    frame = with_metrics(calls, scores)
    rows: list[dict[str, Any]] = []
    for plan in all_plans(frame, list(plans)):
        if plan.by == "variant":
            rows += _rows(frame, plan, decisions or {})
    return (
        table("llm/allocation").conform(pl.DataFrame(rows, infer_schema_length=None))
        if rows
        else (table("llm/allocation").empty())
    )


def _rows(frame: pl.DataFrame, plan: Plan, decisions: Mapping[tuple[str, str], str]) -> list[dict[str, Any]]:
    found = pairs(frame, plan)
    if not found or found[0].everything.is_empty():
        return []
    arms, everything = found[0].arms, found[0].everything
    metric = plan.primary_metric([metric for metric in METRICS if everything[metric.column].count()])
    planned = np.array(plan.share_of(arms) or [1 / len(arms)] * len(arms))
    open_arms = [arm for arm in arms if decisions.get((plan.experiment, arm)) not in WITHDRAWN]
    units = [] if metric is None else [_arm_units(everything, plan.by, arm, metric) for arm in arms]
    sizes = [one.counts[0] for one in units] if units else [0] * len(arms)
    best = None if metric is None or min(sizes) < FIRST_UNITS else _best(units, metric)
    shares, reason = planned, "the planned split"
    if plan.allocation == "thompson":
        if best is None:
            reason = f"the planned split, until every arm has {FIRST_UNITS} units with a value"
        else:
            floor = plan.floor(len(arms))
            shares, reason = with_floor(best, floor), f"the chance of being best, at least {floor:.0%}"
    kept = np.array([arm in open_arms for arm in arms], dtype=float)
    if kept.sum() < len(arms):
        shares = shares * kept / (shares * kept).sum()
        gone = ", ".join(arm for arm in arms if arm not in open_arms)
        reason += f"; nothing for {gone}, by decision"
    return [
        {
            "experiment": plan.experiment,
            "as_of": everything["called_at"].max(),
            "variant": arm,
            "probability": float(shares[k]),
            "n": sizes[k],
            "mode": plan.allocation,
            "metric": metric.name if metric else None,
            "mean": units[k].means[0] if units and sizes[k] else None,
            "p_best": None if best is None else float(best[k]),
            "planned_share": float(planned[k]),
            "reason": reason,
        }
        for k, arm in enumerate(arms)
    ]


def _arm_units(everything: pl.DataFrame, by: str, arm: str, metric: Metric) -> Units:
    own = everything.filter(pl.col(by) == arm).with_columns(_arm=pl.lit(0, pl.Int64))
    return from_calls(own, metric, None)


def _best(units: Sequence[Units], metric: Metric) -> FloatArray | None:
    """Chances of being best, calls of one unit counted for what they know; None where a mean has no spread."""
    effects = np.array([design_effect(one, 0) for one in units])
    sums = np.array([one.sums[:, 0].sum() for one in units])
    calls = np.array([one.calls[:, 0].sum() for one in units])
    if metric.kind == "rate":
        return best_of_rates(sums / effects, calls / effects, sign=metric.sign)
    means = sums / calls
    spread = np.array([one.squares[:, 0].sum() for one in units]) / calls - means**2
    errors = np.sqrt(np.maximum(spread, 0) / (calls / effects))
    return best_of_means(means, errors, sign=metric.sign) if errors.min() > 0 else None
