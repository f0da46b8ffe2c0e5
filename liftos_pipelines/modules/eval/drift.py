"""Drift of the client's main tables: which columns are watched, which windows are compared, what is called drift."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.eval.drift_tests import FLOORS, DriftTest, categorical_tests, numeric_tests
from liftos_pipelines.modules.eval.views import Frames, view
from liftos_pipelines.stats import benjamini_hochberg, cluster_bootstrap, percentile_interval
from liftos_pipelines.tables import DATE, FLOAT, INT, TABLES, TEXT

ALPHA = 0.05
WEEK = 7

SCHEMA: dict[str, Any] = TABLES["eval/drift"].columns | {
    "as_of": DATE, "n": INT, "n_reference": INT, "p_value": FLOAT, "effect_floor": FLOAT, "method": TEXT,
    "current_from": DATE, "reference_from": DATE, "loss_low": FLOAT, "loss_high": FLOAT, "reason": TEXT,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Watched:
    """Columns of one dataset to watch. `frame` has `at`; rows of one `block_days` period hang together."""

    dataset: str
    frame: pl.DataFrame
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    block_days: int = 1


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The newest rows, and the older ones they are compared with."""

    reference: pl.DataFrame
    current: pl.DataFrame
    reference_from: date
    current_from: date
    as_of: date


def watched(frames: Frames) -> list[Watched]:
    """The main tables' columns that models and readers lean on."""
    mentions, scores = view(frames, "sources/mentions"), view(frames, "sentiment/mention_scores")
    answers, brands = view(frames, "sources/answers"), view(frames, "surfacing/answer_mentions")
    calls, call_scores = view(frames, "sources/llm_calls"), view(frames, "llm/call_scores")
    steps = view(frames, "sources/agent_steps")
    length = pl.col("text").str.len_chars().cast(pl.Float64).alias("text_length")
    per_answer = brands.group_by("answer_id", maintain_order=True).agg(
        pl.col("at").first(), pl.col("mentioned").cast(pl.Float64).sum().alias("brands_mentioned")
    )
    per_run = steps.group_by("run_id", maintain_order=True).agg(
        pl.col("at").min(), pl.len().cast(pl.Float64).alias("steps"), pl.col("cost").sum().alias("cost")
    )
    return [
        Watched(dataset="sources/mentions", frame=mentions.with_columns(length), numeric=("text_length",),
                categorical=("source",)),
        Watched(dataset="sentiment/mention_scores", frame=scores,
                numeric=("p_negative", "p_neutral", "p_positive", "confidence"), categorical=("language",)),
        Watched(dataset="sources/answers", frame=answers.with_columns(length), numeric=("text_length",),
                categorical=("engine",)),
        Watched(dataset="surfacing/answer_mentions", frame=per_answer, numeric=("brands_mentioned",)),
        Watched(dataset="sources/llm_calls", frame=calls, numeric=("latency_ms", "input_tokens", "output_tokens"),
                categorical=("model", "prompt_version")),
        Watched(dataset="llm/call_scores", frame=call_scores, numeric=("groundedness",)),
        Watched(dataset="sources/agent_steps", frame=steps, categorical=("kind", "tool")),
        Watched(dataset="agentic/runs", frame=per_run, numeric=("steps", "cost")),
        # Sales have seasons and memory: compared with the same week a year before, in blocks of four weeks.
        Watched(dataset="sources/marketing_outcome", block_days=4 * WEEK, numeric=("outcome",),
                frame=against_last_year(view(frames, "sources/marketing_outcome"), "outcome", ("geo",))),
        Watched(dataset="sources/marketing_media", block_days=4 * WEEK, numeric=("spend",),
                frame=against_last_year(view(frames, "sources/marketing_media"), "spend", ("geo", "channel"))),
    ]  # fmt: skip


def against_last_year(frame: pl.DataFrame, column: str, by: tuple[str, ...]) -> pl.DataFrame:
    """`column` as the logarithm of its ratio to 52 weeks before, per group; rows without that week are left out."""
    positive = frame.filter(pl.col(column) > 0).select("date", "at", *by, column)
    before = positive.select((pl.col("date") + timedelta(weeks=52)).alias("date"), *by, pl.col(column).alias("_before"))
    joined = positive.join(before, on=["date", *by], how="inner")
    return joined.with_columns((pl.col(column) / pl.col("_before")).log().alias(column)).drop("_before")


def windows(frame: pl.DataFrame, block_days: int = 1) -> Windows | None:
    """The newest four weeks against up to half a year before; a quarter against two years where data are sparse.

    Sparse: fewer than five distinct periods (days, blocks) in the newest four weeks. The choice looks at when
    rows arose only, never at their values. None without a dated row.
    """
    dated = frame.filter(pl.col("at").is_not_null())
    if dated.is_empty():
        return None
    dated = dated.with_columns(pl.col("at").dt.date().alias("_day"))
    last = dated["_day"].max()
    assert isinstance(last, date)
    recent = dated.filter(pl.col("_day") > last - timedelta(days=28))
    sparse = block_days > 1 or recent["_day"].n_unique() < 5
    # With blocks, five of them must fit into the newest window.
    span, history = (max(84, 5 * block_days), 728) if sparse else (28, 182)
    start = last - timedelta(days=span)
    # Blocks are counted back from the newest day, so that the two windows never share one.
    dated = dated.with_columns(((last - pl.col("_day")).dt.total_days() // block_days).alias("_unit"))
    reference = dated.filter((pl.col("_day") <= start) & (pl.col("_day") > start - timedelta(days=history)))
    first = reference["_day"].min()
    return Windows(
        reference=reference,
        current=dated.filter(pl.col("_day") > start),
        reference_from=first if isinstance(first, date) else start,
        current_from=start + timedelta(days=1),
        as_of=last,
    )


def drift(frames: Frames, *, alpha: float = ALPHA, seed: int = 0) -> pl.DataFrame:
    """Every watched column's tests, adjusted together (Benjamini and Hochberg 1995); one row a test.

    `drifted` needs both an adjusted p-value up to `alpha` and an effect above its floor; it is null where
    there was not enough data to test. Drift is a diagnostic: only `estimated_performance_loss`, known for the
    sentiment model's confidence, speaks of harm.
    """
    rows: list[dict[str, Any]] = []
    for item in watched(frames):
        if item.frame.is_empty():
            continue
        pair = windows(item.frame, item.block_days)
        if pair is None:
            continue
        kinds: list[tuple[str, Literal["numeric", "categorical"]]] = [
            *((column, "numeric") for column in item.numeric),  # type: ignore[list-item]
            *((column, "categorical") for column in item.categorical),  # type: ignore[list-item]
        ]
        for column, kind in kinds:
            rows.extend(_column_rows(item.dataset, column, kind, pair, alpha, seed))
    frame = pl.DataFrame(rows, schema=SCHEMA)
    if frame.is_empty():
        return frame
    adjusted = benjamini_hochberg(frame["p_value"].cast(pl.Float64).fill_null(float("nan")).to_numpy())
    return frame.with_columns(pl.Series("p_value_adjusted", adjusted).fill_nan(None)).with_columns(
        ((pl.col("p_value_adjusted") <= alpha) & (pl.col("statistic") >= pl.col("effect_floor"))).alias("drifted")
    )


def _column_rows(
    dataset: str, column: str, kind: Literal["numeric", "categorical"], pair: Windows, alpha: float, seed: int
) -> list[dict[str, Any]]:
    reference, current = (_known(frame, column, kind) for frame in (pair.reference, pair.current))
    if reference.is_empty() and current.is_empty():
        return []
    units = (reference["_unit"].to_numpy(), current["_unit"].to_numpy())
    if kind == "numeric":
        tests = numeric_tests(
            _numbers(reference, column), _numbers(current, column), units=units, alpha=alpha, seed=seed
        )
    else:
        tests = categorical_tests(
            reference[column].to_numpy(), current[column].to_numpy(), units=units, alpha=alpha, seed=seed
        )
    loss: tuple[float | None, float | None, float | None] = (None, None, None)
    if (dataset, column) == ("sentiment/mention_scores", "confidence"):
        loss = expected_accuracy_loss(reference, current, seed=seed)
    return [_row(dataset, column, test, pair, reference.height, current.height, loss) for test in tests]


def _known(frame: pl.DataFrame, column: str, kind: str) -> pl.DataFrame:
    frame = frame.drop_nulls(column)
    return frame.filter(pl.col(column).cast(pl.Float64).is_finite()) if kind == "numeric" else frame


def _numbers(frame: pl.DataFrame, column: str) -> NDArray[np.float64]:
    return frame[column].cast(pl.Float64).to_numpy()


def expected_accuracy_loss(
    reference: pl.DataFrame, current: pl.DataFrame, *, seed: int
) -> tuple[float | None, float | None, float | None]:
    """Loss of accuracy that falling confidence implies, with a 90 % interval by day; None below 50 rows.

    Confidence-based performance estimation: the mean of calibrated top probabilities is the expected accuracy.
    Valid while the probabilities are calibrated; a change of what words *mean* (concept drift) is invisible to
    it until labels arrive. Abstentions do not count.

    Source: NannyML's CBPE (2021); Guillory et al. (2021), Predicting with confidence on unseen distributions.
    """
    sides = [frame.filter(~pl.col("abstained").fill_null(True)) for frame in (reference, current)]
    if min(side.height for side in sides) < 50:
        return (None, None, None)
    values = np.concatenate([_numbers(side, "confidence") for side in sides])
    is_current = np.repeat([False, True], [side.height for side in sides])
    clusters = np.concatenate([side["_unit"].to_numpy() for side in sides])

    def loss(rows: NDArray[np.int64]) -> float:
        now, value = is_current[rows], values[rows]
        return float(value[~now].mean() - value[now].mean()) if now.any() and not now.all() else float("nan")

    low, high = percentile_interval(cluster_bootstrap(clusters, loss, seed=seed, replicates=300))
    return (loss(np.arange(values.size)), low, high)


def _row(
    dataset: str,
    column: str,
    test: DriftTest,
    pair: Windows,
    n_reference: int,
    n_current: int,
    loss: tuple[float | None, float | None, float | None],
) -> dict[str, Any]:
    return {
        "dataset": dataset, "column": column, "test": test.test, "statistic": test.statistic,
        "threshold": test.threshold, "p_value_adjusted": None, "drifted": None,
        "estimated_performance_loss": loss[0], "as_of": pair.as_of, "n": n_current, "n_reference": n_reference,
        "p_value": test.p_value, "effect_floor": FLOORS[test.test], "method": test.method,
        "current_from": pair.current_from, "reference_from": pair.reference_from, "loss_low": loss[1],
        "loss_high": loss[2], "reason": test.reason,
    }  # fmt: skip


def drifted_columns(drift_rows: pl.DataFrame) -> pl.DataFrame:
    """One row a drifted column, its surest test; each becomes a `drift_detected` event."""
    return (
        drift_rows.filter(pl.col("drifted").fill_null(False))
        .sort("p_value_adjusted", pl.col("statistic") / pl.col("effect_floor"), descending=[False, True])
        .unique(["dataset", "column"], keep="first", maintain_order=True)
    )
