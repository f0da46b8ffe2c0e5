"""What serves now against what served before: per prompt, the newest deployment and the one it took over from.

A deployment is a prompt version on a model. Calls before the switch and after it are compared: an observation, not an
experiment, so that what else changed in those weeks is in it too. The verdict may be looked at every day (always-valid
p-values, Holm over the metrics of a prompt).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from scipy import stats

from liftos_pipelines.modules.llm.experiments.measured import Metric
from liftos_pipelines.modules.llm.versions.arms import COMPARED, LOGGED, Mean, day_persistence, mean_of
from liftos_pipelines.stats import always_valid_p, holm
from liftos_pipelines.tables import table

SPAN = timedelta(days=28)
"""How far before and after a switch calls are compared."""
LEAST_CALLS, LEAST_CLUSTERS = 30, 5
ALPHA = 0.05
PLANNED_CALLS = 1000.0
"""Where the confidence sequence is narrowest; it holds everywhere."""
WORSE, BETTER, SAME, TOO_FEW = "worse", "better", "no difference found", "not enough calls"
DEPLOYMENT = ("model", "prompt_version")


@dataclass(frozen=True, kw_only=True)
class Switch:
    """One deployment took over from another at a time; each is (model, prompt version)."""

    prompt_name: str
    before: tuple[str, str]
    after: tuple[str, str]
    at: datetime


def switches(calls: pl.DataFrame) -> list[Switch]:
    """The newest switch of each prompt: its last deployment to appear, and the one with most calls in the weeks before.

    A prompt that ever had one deployment has no switch.
    """
    found = []
    for (name,), group in calls.group_by("prompt_name", maintain_order=True):
        seen = group.group_by(DEPLOYMENT).agg(pl.col("called_at").min().alias("at")).sort("at", *DEPLOYMENT)
        if seen.height < 2:
            continue
        newest = seen.row(-1, named=True)
        window = group.filter(pl.col("called_at").is_between(newest["at"] - SPAN, newest["at"], closed="left"))
        others = window.filter(
            (pl.col("model") != newest["model"]) | (pl.col("prompt_version") != newest["prompt_version"])
        )
        if others.is_empty():
            continue
        counted = others.group_by(DEPLOYMENT).len().sort("len", *DEPLOYMENT, descending=[True, False, False])
        before = counted.row(0, named=True)
        found.append(
            Switch(
                prompt_name=str(name),
                before=(before["model"], before["prompt_version"]),
                after=(newest["model"], newest["prompt_version"]),
                at=newest["at"],
            )
        )
    return found


def regressions(calls: pl.DataFrame) -> pl.DataFrame:
    """The `llm/regressions` table.

    `estimate` is after minus before; for latency, cost and output tokens the relative change (0.1 is ten percent more).
    `low`, `high`: 90 % t interval, robust to clusters of days and of units. `verdict` rests on the always-valid
    p-value.

    Parameters
    ----------
    calls : of `prepared(with_metrics(...))`
    """
    contract = table("llm/regressions")
    rows = []
    for switch in switches(calls):
        own = calls.filter(pl.col("prompt_name") == switch.prompt_name)
        before = _of(own, switch.before).filter(
            pl.col("called_at").is_between(switch.at - SPAN, switch.at, closed="left")
        )
        after = _of(own, switch.after).filter(pl.col("called_at") <= switch.at + SPAN)
        compared = [(metric, *_means(before, after, metric.name)) for metric in COMPARED if own[metric.name].count()]
        p_values = holm(np.array([_p_value(old, new) for _, old, new in compared]))
        for (metric, old, new), p_value in zip(compared, p_values, strict=True):
            rows.append(_row(switch, metric, old, new, float(p_value)))
    return contract.conform(pl.DataFrame(rows, schema=contract.columns))


@dataclass(frozen=True, kw_only=True)
class Change:
    """How a metric changed when a version took over; `estimate` and `std_error` on the scale it is compared on."""

    metric: str
    estimate: float
    std_error: float
    n_before: int
    n_after: int


def change_of(calls: pl.DataFrame, prompt_name: str, before: str, after: str, at: datetime) -> Change | str:
    """What a move from one prompt version to another at a time did to the first metric that is measured well enough.

    Parameters
    ----------
    calls : of `prepared(with_metrics(...))`; the four weeks before `at` of the one version, the four after of the other

    Returns
    -------
    Change, or in words why there is none
    """
    own = calls.filter(pl.col("prompt_name") == prompt_name)
    version, called = pl.col("prompt_version"), pl.col("called_at")
    old_calls = own.filter(version == before, called.is_between(at - SPAN, at, closed="left"))
    new_calls = own.filter(version == after, called.is_between(at, at + SPAN))
    for metric in COMPARED:
        old, new = _means(old_calls, new_calls, metric.name)
        if old is None or new is None or not (_enough(old) and _enough(new)):
            continue
        error = float(np.hypot(old.std_error, new.std_error))
        return Change(
            metric=f"{metric.name} log ratio" if metric.name in LOGGED else metric.name,
            estimate=new.value - old.value,
            std_error=error,
            n_before=old.n,
            n_after=new.n,
        )
    return f"{old_calls.height} calls of version {before} before and {new_calls.height} of {after} after: too few"


def _means(before: pl.DataFrame, after: pl.DataFrame, metric: str) -> tuple[Mean | None, Mean | None]:
    """Both sides' means; how long a bad day lasts is told from both together."""
    lasting = day_persistence([before, after], metric)
    return mean_of(before, metric, lasting), mean_of(after, metric, lasting)


def _of(calls: pl.DataFrame, deployment: tuple[str, str]) -> pl.DataFrame:
    return calls.filter((pl.col("model") == deployment[0]) & (pl.col("prompt_version") == deployment[1]))


def _enough(mean: Mean | None) -> bool:
    return mean is not None and mean.n >= LEAST_CALLS and mean.clusters >= LEAST_CLUSTERS


def _p_value(old: Mean | None, new: Mean | None) -> float:
    if old is None or new is None or not (_enough(old) and _enough(new)):
        return float("nan")
    error = float(np.hypot(old.std_error, new.std_error))
    difference = new.value - old.value
    if error == 0:
        return 1.0 if difference == 0 else float("nan")
    # Few clusters: the t statistic is taken back to the normal scale on which the sequence is stated.
    z = float(stats.norm.isf(stats.t.sf(abs(difference / error), _df(old, new))))
    # The calls before are all there at the first look: what grows is the precision of the difference, counted in calls
    # of two equal sides. Against that clock the difference is the random walk that the sequence is stated for.
    clock = 4 * old.n * new.n / (old.n + new.n)
    return always_valid_p(z, clock, alpha=ALPHA, planned_units=PLANNED_CALLS)


def _df(old: Mean, new: Mean) -> float:
    """Welch and Satterthwaite's degrees of freedom."""
    parts = (old.std_error**2, new.std_error**2)
    below = parts[0] ** 2 / old.df + parts[1] ** 2 / new.df
    return sum(parts) ** 2 / below if below > 0 else float(min(old.df, new.df))


def _row(switch: Switch, metric: Metric, old: Mean | None, new: Mean | None, p_value: float) -> dict[str, object]:
    row: dict[str, object] = {
        "prompt_name": switch.prompt_name,
        "metric": metric.name,
        "model": switch.after[0],
        "prompt_version": switch.after[1],
        "previous_model": switch.before[0],
        "previous_version": switch.before[1],
        "switched_at": switch.at,
        "n_before": old.n if old else 0,
        "n_after": new.n if new else 0,
    }
    nothing = {name: None for name in ("before", "after", "estimate", "low", "high", "p_value_adjusted")}
    if old is None or new is None:
        return row | nothing | {"verdict": TOO_FEW}
    difference = new.value - old.value
    half = float(stats.t.ppf(0.95, _df(old, new))) * float(np.hypot(old.std_error, new.std_error))
    told = [difference, difference - half, difference + half]
    levels = [old.value, new.value]
    if metric.name in LOGGED:
        told, levels = [float(np.expm1(value)) for value in told], [float(np.exp(value)) for value in levels]
    known = p_value == p_value
    if not known:
        verdict = TOO_FEW
    elif p_value >= ALPHA:
        verdict = SAME
    else:
        verdict = BETTER if difference * metric.sign > 0 else WORSE
    return row | {
        "before": levels[0],
        "after": levels[1],
        "estimate": told[0],
        "low": told[1],
        "high": told[2],
        "p_value_adjusted": p_value if known else None,
        "verdict": verdict,
    }
