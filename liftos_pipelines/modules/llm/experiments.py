"""A/B comparison of one prompt's variants, safe to look at every day.

The reported interval is a 90 % fixed-sample one (Beta posterior for rates, Welch or cluster-robust for means); the
decision rests on an anytime-valid 95 % confidence sequence, so that looking daily does not raise false positives.

Sources: Waudby-Smith et al. (2021) asymptotic confidence sequences; Welch (1947); Liang and Zeger (1986) for
clusters; Fabijan et al. (2019) for the sample-ratio check.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from liftos_pipelines.stats import FloatArray, anytime_half_width
from liftos_pipelines.tables import table

Decision = Literal["ship_b", "keep_a", "keep_running", "invalid_srm", "insufficient_data"]

ALPHA = 0.05
"""Chance that a decision is ever taken where there is no difference, per comparison and metric."""
SRM_ALPHA = 0.001
MIN_UNITS = 50
"""Independent inputs an arm needs before the sequence's normal limit is trusted."""
MIN_EVENTS = 10
"""Events and non-events, over both arms, that a rate needs for the same reason."""
PLANNED_UNITS = 1000.0
CONTROL_NAMES = ("control", "a", "baseline", "production", "current", "old")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A column of the calls to compare. `margin` is how much worse B may be as a guardrail (see `relative`)."""

    name: str
    kind: Literal["rate", "mean"]
    higher_is_better: bool
    margin: float
    relative: bool = False


METRICS = (
    Metric(name="feedback_positive", kind="rate", higher_is_better=True, margin=0.02),
    Metric(name="groundedness", kind="mean", higher_is_better=True, margin=0.02),
    Metric(name="error", kind="rate", higher_is_better=False, margin=0.01),
    Metric(name="latency_ms", kind="mean", higher_is_better=False, margin=0.2, relative=True),
    Metric(name="cost", kind="mean", higher_is_better=False, margin=0.2, relative=True),
)
"""In order of precedence: the first that is measured is the experiment's primary metric, the rest guard it."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """B against A on one metric, in the metric's unit; NaN where it cannot be said."""

    estimate: float
    low: float
    high: float
    p_b_better: float
    cs_low: float
    cs_high: float
    units: int
    decision: Decision
    reason: str


def compare(
    a: FloatArray,
    b: FloatArray,
    metric: Metric,
    *,
    clusters_a: NDArray[np.generic] | None = None,
    clusters_b: NDArray[np.generic] | None = None,
    alpha: float = ALPHA,
    planned_units: float = PLANNED_UNITS,
) -> Comparison:
    """Compare two arms.

    Parameters
    ----------
    a, b : (n_a,), (n_b,), values of the metric; 0 or 1 for a rate
    clusters_a, clusters_b : the input each value belongs to; repeats of one input are not independent
    alpha : error of the anytime-valid decision
    """
    if a.size == 0 or b.size == 0:
        return _undecided(f"no value in {'arm a' if a.size == 0 else 'arm b'}")
    arm = np.concatenate([np.zeros(a.size, dtype=int), np.ones(b.size, dtype=int)])
    codes = _codes(a, b, clusters_a, clusters_b)
    units_a, units_b = np.unique(codes[arm == 0]).size, np.unique(codes[arm == 1]).size
    units = int(np.unique(codes).size)
    estimate = float(b.mean() - a.mean())
    error, freedom = _std_error(a, b, codes, arm)
    sign = 1.0 if metric.higher_is_better else -1.0
    if metric.kind == "rate":
        low, high, above = _beta_difference(a, b, codes, arm)
    elif error > 0:
        spread = float(stats.t.ppf(0.95, freedom)) * error
        low, high = estimate - spread, estimate + spread
        above = float(stats.t.cdf(estimate / error, freedom))
    else:
        low = high = above = float("nan")
    better = above if sign > 0 else 1 - above
    half = anytime_half_width(error, units, alpha=alpha, planned_units=planned_units) if error > 0 else float("nan")
    result = Comparison(
        estimate=estimate,
        low=low,
        high=high,
        p_b_better=better,
        cs_low=estimate - half,
        cs_high=estimate + half,
        units=units,
        decision="keep_running",
        reason="the confidence sequence still holds zero",
    )
    events = float(a.sum() + b.sum())
    if min(units_a, units_b) < MIN_UNITS:
        return replace(
            result, decision="insufficient_data", reason=f"{min(units_a, units_b)} inputs in an arm, {MIN_UNITS} needed"
        )
    if metric.kind == "rate" and min(events, a.size + b.size - events) < MIN_EVENTS:
        return replace(result, decision="insufficient_data", reason=f"fewer than {MIN_EVENTS} events or non-events")
    if not error > 0:
        return replace(result, decision="insufficient_data", reason="the metric does not vary")
    if sign * estimate - half > 0:
        return replace(result, decision="ship_b", reason="B is better at every look so far allowed for")
    if sign * estimate + half < 0:
        return replace(result, decision="keep_a", reason="B is worse at every look so far allowed for")
    return result


def sample_ratio_p(n_a: int, n_b: int, share_b: float = 0.5) -> float:
    """p-value of the chi-square test that arms were filled as planned."""
    total = n_a + n_b
    if total == 0:
        return float("nan")
    expected = np.array([total * (1 - share_b), total * share_b])
    return float(stats.chisquare([n_a, n_b], expected).pvalue)


def experiments(calls: pl.DataFrame, scores: pl.DataFrame, *, alpha: float = ALPHA) -> pl.DataFrame:
    """The `llm/experiments` table: every prompt with at least two arms, every metric, every arm against the control.

    Arms are the `variant` column; without variants, prompt versions, compared only while both were in use (their
    planned split is not known, so the ratio is not tested). Extra columns: `cs_low`, `cs_high` (95 %, anytime-valid),
    `role` (primary, guardrail), `arm` (variant, prompt_version), `reason`.
    """
    contract = table("llm/experiments")
    frame = _with_metrics(calls, scores)
    rows: list[dict[str, object]] = []
    for (experiment,), group in frame.group_by("prompt_name", maintain_order=True):
        column = next((c for c in ("variant", "prompt_version") if group[c].drop_nulls().n_unique() >= 2), None)
        if column is None:
            continue
        arms = _ordered_arms(group.drop_nulls(column), column)
        for other in arms[1:]:
            pair = group.filter(pl.col(column).is_in([arms[0], other]))
            measured = [metric for metric in METRICS if pair[metric.name].count()]
            if column == "prompt_version":
                pair = _while_both_ran(pair, column)
            rows += _rows(str(experiment), pair, measured, column, arms[0], other, alpha / (len(arms) - 1))
    if not rows:
        return contract.empty()
    return contract.conform(pl.DataFrame(rows, infer_schema_length=None))


def _rows(
    experiment: str,
    pair: pl.DataFrame,
    metrics: list[Metric],
    column: str,
    first: str,
    second: str,
    alpha: float,
) -> list[dict[str, object]]:
    arm_a, arm_b = pair.filter(pl.col(column) == first), pair.filter(pl.col(column) == second)
    srm = sample_ratio_p(arm_a.height, arm_b.height) if column == "variant" else float("nan")
    found: list[tuple[Metric, Comparison, int, int, float]] = []
    for metric in metrics:
        a, b = arm_a.drop_nulls(metric.name), arm_b.drop_nulls(metric.name)
        comparison = compare(
            a[metric.name].cast(pl.Float64).to_numpy(),
            b[metric.name].cast(pl.Float64).to_numpy(),
            metric,
            clusters_a=a["_asked"].to_numpy(),
            clusters_b=b["_asked"].to_numpy(),
            alpha=alpha,
        )
        if pair.is_empty():
            comparison = replace(comparison, reason="the versions never ran at the same time")
        if srm < SRM_ALPHA:
            comparison = replace(
                comparison, decision="invalid_srm", reason=f"{arm_a.height} to {arm_b.height} calls is no equal split"
            )
        base = float(a[metric.name].cast(pl.Float64).mean() or 0.0) if a.height else float("nan")  # type: ignore[arg-type]
        found.append((metric, comparison, a.height, b.height, metric.margin * (abs(base) if metric.relative else 1.0)))
    rows: list[dict[str, object]] = []
    for position, (metric, comparison, n_a, n_b, _) in enumerate(found):
        if position == 0 and comparison.decision == "ship_b":
            comparison = _guarded(comparison, found[1:])
        rows.append(
            {
                "experiment": experiment,
                "metric": metric.name,
                "variant_a": first,
                "variant_b": second,
                **{name: _known(getattr(comparison, name)) for name in ("estimate", "low", "high", "p_b_better")},
                "decision": comparison.decision,
                "n_a": n_a,
                "n_b": n_b,
                "srm_p_value": _known(srm),
                "cs_low": _known(comparison.cs_low),
                "cs_high": _known(comparison.cs_high),
                "role": "primary" if position == 0 else "guardrail",
                "arm": column,
                "reason": comparison.reason,
            }
        )
    return rows


def _guarded(primary: Comparison, guards: list[tuple[Metric, Comparison, int, int, float]]) -> Comparison:
    """The primary's decision, turned to keep_a where a guardrail is shown to be worse by more than its margin."""
    for metric, guard, _, _, margin in guards:
        worst_case_gain = guard.cs_high if metric.higher_is_better else -guard.cs_low
        if guard.decision == "keep_a" and worst_case_gain < -margin:
            return replace(primary, decision="keep_a", reason=f"B is better here but worse on {metric.name}")
    return primary


def _with_metrics(calls: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    measured = scores.select("call_id", "groundedness", pl.col("cost").alias("_cost"))
    errors = pl.col("error").fill_null("").str.len_chars() > 0 if errors_recorded(calls) else pl.lit(None, pl.Boolean)
    joined = calls.join(measured, on="call_id", how="left", maintain_order="left").with_columns(errors.alias("error"))
    answered = ~pl.col("error").fill_null(False) & (pl.col("latency_ms") >= 0)
    return joined.with_columns(
        (pl.col("user_feedback") > 0).alias("feedback_positive"),
        pl.col("_cost").alias("cost"),
        # A time-out says how long the caller waits, not how fast the variant is; it counts as an error.
        pl.when(answered).then("latency_ms").alias("latency_ms"),
        asked_same().alias("_asked"),
    )


def asked_same() -> pl.Expr:
    """Calls with the same input and context are repeats of one another: one cluster."""
    return pl.concat_str(pl.col("input").fill_null(""), pl.col("context").fill_null(""), separator="\x1f").hash()


def errors_recorded(calls: pl.DataFrame) -> bool:
    """Whether the log records errors at all: without a single value the absence of errors is not known."""
    return calls["error"].drop_nulls().len() > 0


def _ordered_arms(group: pl.DataFrame, column: str) -> list[str]:
    """Arms, control first: by a usual name, else the one that was called first."""
    seen = group.sort("called_at").get_column(column).unique(maintain_order=True).to_list()
    if column == "variant":
        seen = sorted(seen)
    control = next((arm for name in CONTROL_NAMES for arm in seen if arm.lower() == name), seen[0])
    return [control, *(arm for arm in seen if arm != control)]


def _while_both_ran(pair: pl.DataFrame, column: str) -> pl.DataFrame:
    spans = pair.group_by(column).agg(pl.col("called_at").min().alias("first"), pl.col("called_at").max().alias("last"))
    start, end = spans["first"].max(), spans["last"].min()
    return pair.filter(pl.col("called_at").is_between(start, end))  # type: ignore[arg-type]


def _codes(
    a: FloatArray, b: FloatArray, clusters_a: NDArray[np.generic] | None, clusters_b: NDArray[np.generic] | None
) -> NDArray[np.int64]:
    if clusters_a is None or clusters_b is None:
        return np.arange(a.size + b.size)
    _, codes = np.unique(np.concatenate([clusters_a, clusters_b]).astype(str), return_inverse=True)
    return codes.astype(np.int64)


def _std_error(a: FloatArray, b: FloatArray, codes: NDArray[np.int64], arm: NDArray[np.int64]) -> tuple[float, float]:
    """Standard error of the difference in means and its degrees of freedom, robust to repeated inputs."""
    if min(a.size, b.size) < 2:
        return (float("nan"), float("nan"))
    units = np.unique(codes).size
    if units == a.size + b.size:
        part_a, part_b = a.var(ddof=1) / a.size, b.var(ddof=1) / b.size
        if part_a + part_b == 0:
            return (0.0, float("nan"))
        freedom = (part_a + part_b) ** 2 / (part_a**2 / (a.size - 1) + part_b**2 / (b.size - 1))
        return (float(np.sqrt(part_a + part_b)), float(freedom))
    if units < 3:
        return (float("nan"), float("nan"))
    residual = np.concatenate([-(a - a.mean()) / a.size, (b - b.mean()) / b.size])
    sums = np.bincount(codes, weights=residual)
    return (float(np.sqrt(units / (units - 1) * np.sum(sums**2))), float(units - 2))


def _beta_difference(
    a: FloatArray, b: FloatArray, codes: NDArray[np.int64], arm: NDArray[np.int64]
) -> tuple[float, float, float]:
    """90 % interval of the difference of two rates and P(B > A), Jeffreys priors.

    Repeated inputs shrink the counts by the design effect: n correlated calls know less than n independent ones.
    """
    levels = (np.arange(2000) + 0.5) / 2000
    quantiles, posteriors = [], []
    for values, member in ((a, codes[arm == 0]), (b, codes[arm == 1])):
        effect = _design_effect(values, member)
        hits, misses = values.sum() / effect, (values.size - values.sum()) / effect
        posterior = stats.beta(0.5 + hits, 0.5 + misses)
        posteriors.append(posterior)
        quantiles.append(posterior.ppf(levels))
    above = float(posteriors[0].cdf(quantiles[1]).mean())
    grid = np.sort((quantiles[1][::10, None] - quantiles[0][None, ::10]).ravel())
    low, high = np.quantile(grid, [0.05, 0.95])
    return (float(low), float(high), above)


def _design_effect(values: FloatArray, member: NDArray[np.int64]) -> float:
    rate = float(values.mean())
    _, codes = np.unique(member, return_inverse=True)
    groups = int(codes.max()) + 1
    if groups == values.size or groups < 2 or rate in (0.0, 1.0):
        return 1.0
    sums = np.bincount(codes, weights=values - rate)
    clustered = groups / (groups - 1) * np.sum(sums**2) / values.size**2
    return float(max(1.0, clustered / (rate * (1 - rate) / values.size)))


def _undecided(reason: str) -> Comparison:
    nan = float("nan")
    return Comparison(
        estimate=nan, low=nan, high=nan, p_b_better=nan, cs_low=nan, cs_high=nan, units=0,
        decision="insufficient_data", reason=reason,
    )  # fmt: skip


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
