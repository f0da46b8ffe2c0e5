"""The named metrics that a promise may use. A new metric is a function here with its parameters declared.

Each takes the promise's view (already cut to its window), its parameters and a `Scope`, and returns a
`Measurement`. What cannot be measured is `unknown` with the reason, never a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from liftos_pipelines.modules.eval import measure
from liftos_pipelines.modules.eval.measure import Measurement, unknown
from liftos_pipelines.modules.eval.views import Frames, newest, view

CONDITIONS = ("equals", "not_equals", "at_least", "at_most", "is_null", "not_null")


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a metric may need besides its view: the other tables, the threshold, names such as `$brand`."""

    frames: Frames
    threshold: float
    direction: str
    names: Mapping[str, Any] = field(default_factory=dict)


Run = Callable[[pl.DataFrame, Mapping[str, Any], Scope], Measurement]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric's function and the parameters it understands; `where` and `cluster` are common to all."""

    run: Run
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    condition: bool = False

    def check(self, params: Mapping[str, Any]) -> None:
        """Raise ValueError naming the parameter that is missing or not understood."""
        allowed = self.required | self.optional | {"where", "cluster"}
        if self.condition:
            allowed |= set(CONDITIONS)
            given = [name for name in CONDITIONS if name in params]
            if len(given) != 1:
                raise ValueError(f"params needs exactly one of {', '.join(CONDITIONS)}; found {given or 'none'}")
        missing = sorted(self.required - set(params))
        if missing:
            raise ValueError(f"params.{missing[0]} is required by this metric")
        extra = sorted(set(params) - allowed)
        if extra:
            raise ValueError(f"params.{extra[0]} is not known to this metric; allowed: {', '.join(sorted(allowed))}")


def share(frame: pl.DataFrame, params: Mapping[str, Any], scope: Scope) -> Measurement:
    """Share of rows whose `column` keeps a condition; without a value a row does not count, unless nulls are asked."""
    lacking = _lacking(frame, params["column"])
    if lacking:
        return lacking
    if "is_null" not in params and "not_null" not in params:
        frame = frame.filter(pl.col(params["column"]).is_not_null())
    hits = frame.select(_condition(params).fill_null(False)).to_series().to_numpy()
    return measure.rate(hits, _clusters(frame, params), newest=newest(frame))


def mean(frame: pl.DataFrame, params: Mapping[str, Any], scope: Scope) -> Measurement:
    """Mean of `column` over the rows that have it, clustered by day (or by `cluster`)."""
    frame, lacking = _with_values(frame, params["column"])
    return lacking or measure.mean(_floats(frame, params["column"]), _clusters(frame, params), newest=newest(frame))


def quantile(frame: pl.DataFrame, params: Mapping[str, Any], scope: Scope) -> Measurement:
    """The `level` quantile of `column`."""
    frame, lacking = _with_values(frame, params["column"])
    return lacking or measure.quantile(
        _floats(frame, params["column"]), _clusters(frame, params), level=float(params["level"]),
        threshold=scope.threshold, newest=newest(frame),
    )  # fmt: skip


def value(frame: pl.DataFrame, params: Mapping[str, Any], scope: Scope) -> Measurement:
    """`column` of the one row that `where` selects; of several, the worst. Its own low/high give the spread."""
    frame, lacking = _with_values(frame, params["column"])
    if lacking:
        return lacking
    frame = frame.sort(params["column"], descending=scope.direction == "at_most")
    row = frame.row(0, named=True)
    n = int(row[params["n"]]) if params.get("n") in row and row[params["n"]] is not None else frame.height
    error = _error_of(row, params.get("low", "low"), params.get("high", "high"))
    if error is not None:
        return measure.estimate(float(row[params["column"]]), error, n=n, newest=newest(frame))
    if params.get("exact"):
        return measure.fact(float(row[params["column"]]), n=n, newest=newest(frame))
    return Measurement(
        kind="mean", value=float(row[params["column"]]), n=n, newest=newest(frame), reason="no interval in the table"
    )


def difference(frame: pl.DataFrame, params: Mapping[str, Any], scope: Scope) -> Measurement:
    """`column` of the row `where` selects, less that of the row `versus` selects.

    The two are measured on the same queries; without their pairing the errors are added as if independent,
    which makes the interval too wide and the verdict too cautious, never the other way.
    """
    other, lacking = _with_values(_where(frame, params["versus"], scope), params["column"])
    if lacking:
        return lacking
    own, lacking = _with_values(_where(frame, params["of"], scope), params["column"])
    if lacking:
        return lacking
    first, second = own.row(0, named=True), other.row(0, named=True)
    errors = (_error_of(first), _error_of(second))
    gap = float(first[params["column"]]) - float(second[params["column"]])
    counts = [row.get("n") for row in (first, second)]
    n = min((int(count) for count in counts if count is not None), default=1)
    if errors[0] is None or errors[1] is None:
        return Measurement(kind="mean", value=gap, n=n, newest=newest(frame), reason="no interval in the table")
    return measure.estimate(gap, float(np.hypot(errors[0], errors[1])), n=n, newest=newest(frame))


def clean_units(frame: pl.DataFrame, params: Mapping[str, Any], scope: Scope) -> Measurement:
    """Share of units (`unit`, such as a run) without a single row that keeps the condition."""
    lacking = _lacking(frame, params["column"], params["unit"])
    if lacking:
        return lacking
    if "is_null" not in params and "not_null" not in params:
        frame = frame.filter(pl.col(params["column"]).is_not_null())
        if frame.is_empty():
            return unknown(f"{params['column']} was not measured on any row")
    moments = [pl.col("at").min()] if "at" in frame.columns else []
    units = frame.group_by(params["unit"], maintain_order=True).agg(
        (~_condition(params).fill_null(False).any()).alias("clean"), *moments
    )
    return measure.rate(units["clean"].to_numpy(), _clusters(units, params), newest=newest(frame))


def pooled_rate(frame: pl.DataFrame, params: Mapping[str, Any], scope: Scope) -> Measurement:
    """A rate that rows already hold (`column`) with its trials (`trials`), pooled over the rows."""
    frame, lacking = _with_values(frame, params["column"], params["trials"])
    if lacking:
        return lacking
    trials = frame[params["trials"]].cast(pl.Int64).to_numpy()
    hits = np.rint(_floats(frame, params["column"]) * trials).astype(int)
    outcomes = np.repeat(np.tile([True, False], len(trials)), np.column_stack([hits, trials - hits]).ravel())
    return measure.rate(outcomes, None, newest=newest(frame))


def widest_interval(frame: pl.DataFrame, params: Mapping[str, Any], scope: Scope) -> Measurement:
    """Half the width of the widest interval (`low` to `high`): how sharply the module can speak at all."""
    frame, lacking = _with_values(frame, "low", "high")
    if lacking:
        return lacking
    if params.get("latest"):
        frame = frame.filter(pl.col(params["latest"]) == pl.col(params["latest"]).max())
    half = frame.select(((pl.col("high") - pl.col("low")) / 2).max()).item()
    return measure.fact(float(half), n=int(frame[params["n"]].min() or 0) if params.get("n") else frame.height,
                        newest=newest(frame))  # fmt: skip


def lag_hours(frame: pl.DataFrame, params: Mapping[str, Any], scope: Scope) -> Measurement:
    """Hours by which this table's newest row trails the newest row of the table it is made `behind`."""
    own, other = newest(frame), newest(view(scope.frames, params["behind"]))
    if own is None or other is None:
        return unknown(f"no dated row in {'this table' if own is None else params['behind']}")
    return measure.fact(max(0.0, _hours(other, own)), n=frame.height, newest=own)


def stalest_source(frame: pl.DataFrame, params: Mapping[str, Any], scope: Scope) -> Measurement:
    """Hours by which the stalest source that is present trails the newest of them."""
    frame, lacking = _with_values(frame, "newest")
    if lacking:
        return lacking
    row = frame.sort("newest", "source").row(0, named=True)
    latest = frame["newest"].max()
    assert isinstance(latest, datetime)
    return measure.fact(
        _hours(latest, row["newest"]), n=frame.height, newest=latest, reason=f"stalest: {row['source']}"
    )


def quarantine_share(frame: pl.DataFrame, params: Mapping[str, Any], scope: Scope) -> Measurement:
    """Share of incoming rows that could not be read and stand in quarantine; the worst source is named."""
    frame = frame.filter(pl.col("rows") + pl.col("quarantined") > 0)
    if frame.is_empty():
        return unknown("no source")
    bad = int(frame["quarantined"].sum())
    total = int(frame["rows"].sum()) + bad
    worst = frame.sort(pl.col("quarantined") / (pl.col("rows") + pl.col("quarantined")), descending=True).row(
        0, named=True
    )
    latest = frame["newest"].max()
    return measure.fact(
        bad / total, n=total, newest=latest if isinstance(latest, datetime) else None,
        reason=f"most: {worst['source']}" if worst["quarantined"] else "",
    )  # fmt: skip


def polarity_agreement(frame: pl.DataFrame, params: Mapping[str, Any], scope: Scope) -> Measurement:
    """Share of rated mentions (1-2 or 4-5 stars) whose polarity agrees with the stars; abstentions left out."""
    frame = frame.filter(pl.col("rating").is_not_null() & ~pl.col("abstained").fill_null(True))
    if frame.is_empty():
        return unknown("no mention with a rating")
    if not frame["rating"].is_between(1, 5).all():
        return unknown("ratings are not on a scale of 1 to 5", n=frame.height)
    polar = frame.filter((pl.col("rating") <= 2) | (pl.col("rating") >= 4))
    agree = polar.select((pl.col("p_positive") > pl.col("p_negative")) == (pl.col("rating") >= 4)).to_series()
    return measure.rate(agree.fill_null(False).to_numpy(), _clusters(polar, params), newest=newest(polar))


METRICS: dict[str, Metric] = {
    "share": Metric(run=share, required=frozenset({"column"}), condition=True),
    "mean": Metric(run=mean, required=frozenset({"column"})),
    "quantile": Metric(run=quantile, required=frozenset({"column", "level"})),
    "value": Metric(run=value, required=frozenset({"column"}), optional=frozenset({"n", "exact", "low", "high"})),
    "difference": Metric(run=difference, required=frozenset({"column", "of", "versus"})),
    "clean_units": Metric(run=clean_units, required=frozenset({"column", "unit"}), condition=True),
    "pooled_rate": Metric(run=pooled_rate, required=frozenset({"column", "trials"})),
    "widest_interval": Metric(run=widest_interval, optional=frozenset({"latest", "n"})),
    "lag_hours": Metric(run=lag_hours, required=frozenset({"behind"})),
    "stalest_source": Metric(run=stalest_source),
    "quarantine_share": Metric(run=quarantine_share),
    "polarity_agreement": Metric(run=polarity_agreement),
}


def apply(metric: str, frame: pl.DataFrame, params: Mapping[str, Any], scope: Scope) -> Measurement:
    """Run a metric on a view after its `where`; a column that is not there is a reason, not a crash."""
    absent = [column for column in params.get("where", {}) if column not in frame.columns]
    if absent:
        return unknown(f'no column "{absent[0]}" in the table')
    return METRICS[metric].run(_where(frame, params.get("where", {}), scope), params, scope)


def _where(frame: pl.DataFrame, where: Mapping[str, Any], scope: Scope) -> pl.DataFrame:
    for column, wanted in where.items():
        if isinstance(wanted, str) and wanted.startswith("$"):
            wanted = scope.names.get(wanted[1:])
        options = wanted if isinstance(wanted, list) else [wanted]
        frame = frame.filter(pl.col(column).is_in(options))
    return frame


def _condition(params: Mapping[str, Any]) -> pl.Expr:
    column = pl.col(params["column"])
    tests: dict[str, Callable[[Any], pl.Expr]] = {
        "equals": lambda wanted: column == wanted,
        "not_equals": lambda wanted: column != wanted,
        "at_least": lambda wanted: column >= wanted,
        "at_most": lambda wanted: column <= wanted,
        "is_null": lambda _: column.is_null(),
        "not_null": lambda _: column.is_not_null(),
    }
    name = next(name for name in CONDITIONS if name in params)
    return tests[name](params[name])


def _lacking(frame: pl.DataFrame, *columns: str) -> Measurement | None:
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        return unknown(f'no column "{absent[0]}" in the table')
    return None if frame.height else unknown("no row in the table's window")


def _with_values(frame: pl.DataFrame, *columns: str) -> tuple[pl.DataFrame, Measurement | None]:
    lacking = _lacking(frame, *columns)
    if lacking:
        return frame, lacking
    known = frame.drop_nulls(list(columns))
    floats = [column for column in columns if known.schema[column].is_float()]
    known = known.filter(pl.all_horizontal(pl.col(floats).is_finite())) if floats else known
    return known, None if known.height else unknown(f"{columns[0]} was not measured on any of {frame.height} rows")


def _floats(frame: pl.DataFrame, column: str) -> NDArray[np.float64]:
    return frame[column].cast(pl.Float64).to_numpy()


def _clusters(frame: pl.DataFrame, params: Mapping[str, Any]) -> NDArray[np.generic] | None:
    """Rows of one day hang together unless the promise names another cluster."""
    column = params.get("cluster")
    if column:
        return frame[column].cast(pl.String).fill_null("").to_numpy() if column in frame.columns else None
    return frame["at"].dt.date().cast(pl.String).fill_null("").to_numpy() if "at" in frame.columns else None


def _error_of(row: Mapping[str, Any], low_name: str = "low", high_name: str = "high") -> float | None:
    """Standard error of a stored estimate: its own, or from its 90 % interval."""
    if row.get("std_error") is not None:
        return float(row["std_error"]) or None
    low, high = row.get(low_name), row.get(high_name)
    if low is None or high is None or not np.isfinite(high - low) or high <= low:
        return None
    return float((high - low) / (2 * stats.norm.ppf(0.5 + measure.LEVEL / 2)))


def _hours(later: datetime, earlier: datetime) -> float:
    return (later - earlier).total_seconds() / 3600
