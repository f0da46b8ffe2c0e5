"""What an experiment may be judged by: the metrics of a call, and the unit that was randomised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from liftos_pipelines.tables import table

UNIT, CALL_UNIT = "_unit", "_call_unit"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A column of the calls to compare. `margin` is how much worse B may be as a guardrail (see `relative`).

    A `quantile` metric compares the `level` quantile of `column`; the others compare means.
    """

    name: str
    kind: Literal["rate", "mean", "quantile"]
    higher_is_better: bool
    margin: float
    relative: bool = False
    bounded: bool = False
    """Whether every value lies in [0, 1], so that small samples have exact bounds."""
    source: str | None = None
    level: float = 0.95

    @property
    def column(self) -> str:
        return self.source or self.name

    @property
    def sign(self) -> float:
        return 1.0 if self.higher_is_better else -1.0


METRICS = (
    Metric(name="feedback_positive", kind="rate", higher_is_better=True, margin=0.02, bounded=True),
    Metric(name="groundedness", kind="mean", higher_is_better=True, margin=0.02, bounded=True),
    Metric(name="error", kind="rate", higher_is_better=False, margin=0.01, bounded=True),
    Metric(name="latency_ms", kind="mean", higher_is_better=False, margin=0.2, relative=True),
    Metric(name="cost", kind="mean", higher_is_better=False, margin=0.2, relative=True),
    Metric(name="latency_p95", kind="quantile", higher_is_better=False, margin=0.2, relative=True, source="latency_ms"),
    Metric(name="output_tokens", kind="mean", higher_is_better=False, margin=0.5, relative=True),
)
"""In order of precedence: the first that is measured is an unplanned experiment's primary metric, the rest guard it."""
GUARDS_UNPLANNED = ("feedback_positive", "groundedness", "error", "latency_ms", "cost", "latency_p95")
"""What guards an experiment that nobody planned; length is shown, longer is not worse in itself."""


def with_metrics(calls: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """Calls in the order they were made, each once, with a column for every metric and the randomised unit.

    A value that cannot be (negative latency, cost or tokens) is null; so is the time of a call that failed.
    """
    measured = scores.select("call_id", "groundedness", pl.col("cost").alias("_cost"))
    # What was stored before a column was known lacks it: then it is not known.
    calls = table("sources/llm_calls").conform(calls)
    # A list of nothing but nulls would say that the log records no errors; with one entry, blanks are successes.
    errors = pl.col("error").fill_null("").str.len_chars() > 0 if errors_recorded(calls) else pl.lit(None, pl.Boolean)
    once = (
        calls.drop_nulls("called_at").sort("called_at", "call_id").unique("call_id", keep="first", maintain_order=True)
    )
    joined = once.join(measured, on="call_id", how="left", maintain_order="left").with_columns(errors.alias("error"))
    answered = ~pl.col("error").fill_null(False) & (pl.col("latency_ms") >= 0)
    own = pl.concat_str(pl.lit("call:"), pl.col("call_id"))
    unit = pl.concat_str(pl.lit("unit:"), pl.col("unit_id"))
    return joined.with_columns(
        (pl.col("user_feedback") > 0).alias("feedback_positive"),
        pl.when(pl.col("_cost") >= 0).then("_cost").alias("cost"),
        pl.when(pl.col("output_tokens") >= 0).then("output_tokens").alias("output_tokens"),
        # A time-out says how long the caller waits, not how fast the variant is; it counts as an error.
        pl.when(answered).then("latency_ms").alias("latency_ms"),
        # Without a unit each call was randomised for itself, but repeats of one input still resemble one another.
        pl.coalesce(unit, pl.concat_str(pl.lit("asked:"), asked_same().cast(pl.String))).alias(UNIT),
        pl.coalesce(unit, own).alias(CALL_UNIT),
        pl.when(pl.col("propensity").is_between(0, 1, closed="right")).then("propensity").alias("_propensity"),
    )


def asked_same() -> pl.Expr:
    """Calls with the same input and context are repeats of one another: one cluster."""
    return pl.concat_str(pl.col("input").fill_null(""), pl.col("context").fill_null(""), separator="\x1f").hash()


def errors_recorded(calls: pl.DataFrame) -> bool:
    """Whether the log records errors at all: without a single value the absence of errors is not known."""
    return calls["error"].drop_nulls().len() > 0
