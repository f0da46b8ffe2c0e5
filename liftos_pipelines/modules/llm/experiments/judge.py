"""One arm beside the control: every metric measured, every guardrail held, and what follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import polars as pl

from liftos_pipelines.modules.llm.experiments.adaptive import Randomised, randomised
from liftos_pipelines.modules.llm.experiments.compare import PLANNED_UNITS, Comparison, compare_units
from liftos_pipelines.modules.llm.experiments.decide import Decided, decide
from liftos_pipelines.modules.llm.experiments.guard import Guarded, guard_mean, guard_quantile
from liftos_pipelines.modules.llm.experiments.measured import CALL_UNIT, METRICS, Metric
from liftos_pipelines.modules.llm.experiments.pairs import Pair
from liftos_pipelines.modules.llm.experiments.plan import Guard
from liftos_pipelines.modules.llm.experiments.split import SplitTest, adaptive_split_test, split_test
from liftos_pipelines.modules.llm.experiments.units import from_calls

Role = Literal["primary", "guardrail", "observed"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One metric of a pair; `guarded` where it is a guardrail."""

    role: Role
    metric: Metric
    comparison: Comparison
    guarded: Guarded | None


def judge(pair: Pair, alpha: float) -> tuple[Decided, list[Finding]]:
    """What a pair's calls say: the decision, and each metric with its role, the primary one first.

    Parameters
    ----------
    alpha : chance that a difference is found where there is none; the guardrails share as much among them
    """
    plan = pair.plan
    measured = measured_in(pair)
    primary = plan.primary_metric(measured)
    guards = [guard for guard in plan.guards(measured) if primary is None or guard.metric.name != primary.name]
    by_name = {guard.metric.name: guard for guard in guards}
    shown = [*([] if primary is None else [primary]), *(guard.metric for guard in guards)]
    shown += [metric for metric in measured if metric.name not in {one.name for one in shown}]
    found: list[Finding] = []
    for metric in shown:
        guard = by_name.get(metric.name)
        comparison, guarded = _measured(pair, metric, guard, alpha, alpha / max(len(guards), 1))
        role: Role = "primary" if metric is primary else "guardrail" if guard else "observed"
        found.append(Finding(role=role, metric=metric, comparison=comparison, guarded=guarded))
    first = found[0].comparison if primary is not None else Comparison(reason="no metric is measured")
    if pair.calls.is_empty() and plan.by == "prompt_version":
        first = replace(first, reason="the versions never ran at the same time")
    held = [(by_name[one.metric.name], one.guarded) for one in found if one.guarded is not None]
    return decide(first, held, split=split_of(pair), horizon=_horizon(pair)), found


def measured_in(pair: Pair) -> list[Metric]:
    """The metrics that have a value at all, in order of precedence."""
    return [metric for metric in METRICS if pair.everything[metric.column].count()]


def primary_alone(pair: Pair, metric: Metric, alpha: float) -> Comparison:
    """The metric that decides, without guardrails."""
    return _measured(pair, metric, None, alpha, alpha)[0]


def _measured(
    pair: Pair, metric: Metric, guard: Guard | None, alpha: float, guard_alpha: float
) -> tuple[Comparison, Guarded | None]:
    if metric.kind == "quantile":
        comparison, guarded = guard_quantile(pair.calls, metric, alpha=guard_alpha)
        return comparison, guarded if guard else None
    units = from_calls(pair.calls, metric, pair.past if pair.plan.covariates else None)
    adaptive: Randomised | None = None
    if pair.adaptive:
        adaptive = randomised(pair.everything, pair.plan.by, pair.arms, metric)
    planned = float(pair.plan.horizon_units or PLANNED_UNITS)
    comparison = compare_units(
        units,
        metric,
        alpha=alpha,
        planned_units=planned,
        region=pair.plan.minimal_effect,
        adaptive=adaptive,
        arms=pair.positions,
    )
    if guard is None:
        return comparison, None
    return comparison, guard_mean(
        units, metric, alpha=guard_alpha, planned_units=planned, adaptive=adaptive, arms=pair.positions
    )


def split_of(pair: Pair) -> SplitTest | None:
    """Whether units came as planned, each by the arm of its first call."""
    if pair.adaptive:
        units = randomised(pair.everything, pair.plan.by, pair.arms, None)
        return adaptive_split_test(units.arms, units.propensities, len(pair.arms))
    shares = pair.plan.share_of([pair.control, pair.other])
    if shares is None:
        return None
    first = pair.calls.unique(CALL_UNIT, keep="first", maintain_order=True)
    return split_test(first["_arm"].cast(pl.Int64).to_numpy(), shares)


def _horizon(pair: Pair) -> str | None:
    units = pair.everything[CALL_UNIT].n_unique()
    if pair.plan.horizon_units is not None and units >= pair.plan.horizon_units:
        return f"{pair.plan.horizon_units:,} units"
    first, last = pair.plan.start or pair.everything["called_at"].min(), pair.everything["called_at"].max()
    days = pair.plan.horizon_days
    if days is None or not isinstance(first, datetime) or not isinstance(last, datetime):
        return None
    return f"{days} days" if last - first >= timedelta(days=days) else None
