"""The `llm/experiments` table: every experiment, every arm against the control, every metric, and what follows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from liftos_pipelines.modules.llm.experiments.compare import ALPHA
from liftos_pipelines.modules.llm.experiments.decide import decide_metric
from liftos_pipelines.modules.llm.experiments.judge import judge, split_of
from liftos_pipelines.modules.llm.experiments.measured import METRICS, UNIT, with_metrics
from liftos_pipelines.modules.llm.experiments.pairs import Pair, pairs
from liftos_pipelines.modules.llm.experiments.plan import Plan, all_plans
from liftos_pipelines.tables import BOOL, FLOAT, INT, TEXT, TIME, table

EXTRA: dict[str, pl.DataType] = {
    **dict.fromkeys(("role", "reason", "cs_method", "covariates", "guardrail", "prompt_name", "arm"), TEXT),
    **dict.fromkeys(("version_a", "version_b"), TEXT),
    **dict.fromkeys(("cs_low", "cs_high", "always_valid_p", "expected_loss_a", "expected_loss_b", "p_equal"), FLOAT),
    **dict.fromkeys(("mean_a", "mean_b", "variance_removed", "margin", "excess_low", "excess_high"), FLOAT),
    "srm_chi_square_p": FLOAT,
    **dict.fromkeys(("units_a", "units_b", "crossed_units"), INT),
    **dict.fromkeys(("planned", "adaptive"), BOOL),
    "looked_at": TIME,
    **dict.fromkeys(("data_mark", "notes"), TEXT),
}
"""Columns beyond the contract: what the decision rests on."""


def experiments(
    calls: pl.DataFrame, scores: pl.DataFrame, plans: Sequence[Plan] = (), *, alpha: float = ALPHA
) -> pl.DataFrame:
    """Every planned experiment, and every other prompt with at least two arms.

    Arms are the `variant` column; without variants, prompt versions, compared only while both were in use (their
    planned split is not known, so the ratio is not tested). With several arms the error is shared among them.

    Parameters
    ----------
    calls, scores : `sources/llm_calls`, `llm/call_scores`
    alpha : chance that an experiment without any difference is ever decided for B or against it
    """
    contract = table("llm/experiments")
    frame = with_metrics(calls, scores)
    rows: list[dict[str, Any]] = []
    for plan in all_plans(frame, list(plans)):
        for pair in pairs(frame, plan):
            rows += _rows(pair, alpha / (len(pair.arms) - 1))
    if not rows:
        return pl.DataFrame(schema=contract.columns | EXTRA)
    return contract.conform(pl.DataFrame(rows, schema=contract.columns | EXTRA))


def _rows(pair: Pair, alpha: float) -> list[dict[str, Any]]:
    decided, found = judge(pair, alpha)
    split = split_of(pair)
    newest = pair.everything["called_at"].max()
    mark = data_mark(pair)
    versions = {arm: _one_version(pair, arm) for arm in (pair.control, pair.other)}
    rows = []
    for finding in found:
        role, metric, comparison, guarded = finding.role, finding.metric, finding.comparison, finding.guarded
        own = decided if role == "primary" else decide_metric(comparison, guarded)
        if decided.decision == "invalid_srm":
            own = decided
        rows.append(
            {
                "experiment": pair.plan.experiment,
                "metric": metric.name,
                "variant_a": pair.control,
                "variant_b": pair.other,
                "estimate": known(comparison.estimate),
                "low": known(comparison.posterior.low),
                "high": known(comparison.posterior.high),
                "p_b_better": known(comparison.posterior.p_b_better),
                "decision": own.decision,
                "n_a": comparison.n_a,
                "n_b": comparison.n_b,
                "srm_p_value": None if split is None else known(split.p_value),
                "srm_chi_square_p": None if split is None else known(split.chi_square_p),
                "role": role,
                "reason": own.reason,
                "cs_low": known(comparison.cs_low),
                "cs_high": known(comparison.cs_high),
                "cs_method": comparison.method,
                "always_valid_p": known(comparison.p_value),
                "expected_loss_a": known(comparison.posterior.loss_a),
                "expected_loss_b": known(comparison.posterior.loss_b),
                "p_equal": known(comparison.posterior.equal),
                "mean_a": known(comparison.mean_a),
                "mean_b": known(comparison.mean_b),
                "units_a": comparison.units_a,
                "units_b": comparison.units_b,
                "variance_removed": comparison.variance_removed,
                "covariates": ", ".join(comparison.covariates) or None,
                "guardrail": guarded.status if guarded else None,
                "margin": metric.margin if guarded else None,
                "excess_low": known(guarded.excess_low) if guarded else None,
                "excess_high": known(guarded.excess_high) if guarded else None,
                "prompt_name": pair.plan.prompt,
                "arm": pair.plan.by,
                "version_a": versions[pair.control],
                "version_b": versions[pair.other],
                "planned": pair.plan.planned,
                "adaptive": pair.adaptive,
                "crossed_units": pair.crossed_units,
                "looked_at": newest,
                "data_mark": mark,
                "notes": "; ".join(pair.notes) or None,
            }
        )
    return rows


def _one_version(pair: Pair, arm: str) -> str | None:
    """The prompt version that an arm's calls used; None where they used several."""
    used = pair.everything.filter(pl.col(pair.plan.by) == arm)["prompt_version"].drop_nulls().unique()
    return str(used[0]) if used.len() == 1 else None


def data_mark(pair: Pair) -> str:
    """What a look saw, in sixteen letters: the plan, the calls, their arms and their metrics."""
    measured = (metric.column for metric in METRICS)
    columns = dict.fromkeys(["call_id", "called_at", pair.plan.by, UNIT, "propensity", *measured])
    text = pair.everything.select(list(columns)).write_csv()
    return hashlib.sha256(f"{pair.plan!r}\n{pair.other}\n{text}".encode()).hexdigest()[:16]


def known(value: float) -> float | None:
    """None for what could not be said."""
    return float(value) if np.isfinite(value) else None
