"""Predictions against outcomes: what every module said would happen, kept as it was said, beside what came.

A prediction is written down once, with the interval it was made with; what is said later of the same subject does not
change it. An outcome is what was measured for exactly that: the client's own outcome of that action, or the KPI of
those weeks. Without one a prediction is open until it is due, then overdue; it never counts as kept or broken.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
from scipy import stats

from liftos_pipelines.modules.eval.predicted import Prediction, midnight
from liftos_pipelines.tables import BOOL, FLOAT, TEXT, table

CONTRACT = table("eval/predictions")
SCHEMA: dict[str, pl.DataType] = CONTRACT.columns | {
    "hit": BOOL,
    "outcome_std_error": FLOAT,
    "measured_by": TEXT,
    "metric": TEXT,
    "unit": TEXT,
    "campaign_id": TEXT,
    "action": TEXT,
    "key": TEXT,
    "kind": TEXT,
}
OPEN, KNOWN, OVERDUE = "open", "known", "overdue"
OWN = "agentic/outcomes "
"""How an outcome's id begins that was measured here, not by the client."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What came of it, by which source row, with its standard error where known."""

    value: float
    at: datetime
    by: str
    std_error: float | None = None
    metric: str | None = None


def follow(
    earlier: pl.DataFrame,
    fresh: Iterable[Prediction],
    *,
    outcomes: pl.DataFrame,
    kpi: pl.DataFrame,
    direction: Callable[[str | None], int],
    now: datetime,
) -> pl.DataFrame:
    """The table `eval/predictions`: all that was ever predicted, each with its outcome as far as one is known.

    Parameters
    ----------
    earlier : the table as it was; its predictions stand as they were made
    outcomes : `sources/outcomes`; kpi : `sources/marketing_outcome`
    direction : metric -> +1 where more of it is better, -1 where less is
    """
    known = {row["prediction_id"]: row for row in _with_columns(earlier).iter_rows(named=True)}
    # One chance at a time of an action for a campaign: one outcome must not count for many.
    standing = {(row["campaign_id"], row["action"]) for row in known.values() if _is_open_chance(row)}
    for said in fresh:
        about = (said.campaign_id, said.action)
        if said.prediction_id in known or (said.kind == "success" and about in standing):
            continue
        if said.kind == "success":
            standing.add(about)
        values = {name: value for name, value in asdict(said).items() if name in SCHEMA}
        known[said.prediction_id] = dict.fromkeys(SCHEMA) | values | {"prediction_id": said.prediction_id}
    ledger = Outcomes.of(outcomes)
    weekly = _weekly(kpi)
    rows = [_judged(row, _measure(row, ledger, weekly), direction, now) for row in known.values()]
    return pl.DataFrame(rows, schema=SCHEMA).sort("made_at", "prediction_id")


_IDENTITY = re.compile(r"[0-9a-f]{32}")
"""An action's id, wherever an outcome names it."""


@dataclass(frozen=True)
class Outcomes:
    """The client's outcomes, oldest first: by the action's id that they name, and by campaign and action."""

    by_identity: dict[str, dict[str, Any]]
    by_action: dict[tuple[str, str], list[dict[str, Any]]]

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Outcomes:
        usable = frame.filter(pl.col("effect").is_finite()).sort("decided_at", "outcome_id")
        named: dict[str, dict[str, Any]] = {}
        groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in usable.iter_rows(named=True):
            for identity in _IDENTITY.findall(f"{row['outcome_id']} {row['context']} {row['action']}"):
                named.setdefault(identity, row)
            groups.setdefault((row["campaign_id"] or "", row["action"]), []).append(row)
        return cls(named, groups)

    def of_action(
        self, identity: str, campaign: str | None, action: str, start: datetime, end: datetime
    ) -> dict[str, Any] | None:
        """The outcome that names the action's id; else the first of the same campaign and action in the time after."""
        if identity in self.by_identity:
            return self.by_identity[identity]
        alike = self.by_action.get((campaign, action), []) if campaign else []
        return next((row for row in alike if start <= row["decided_at"] <= end), None)


def accuracy(predictions: pl.DataFrame) -> pl.DataFrame:
    """By module: predictions, known ones, hit rate of the direction and coverage of the intervals, each with its n and
    a 90 % interval (Jeffreys); null where nothing is known.

    Source: Brown, Cai and DasGupta (2001), Interval estimation for a binomial proportion.
    """
    rows = []
    for (module,), group in predictions.sort("module").group_by("module", maintain_order=True):
        row: dict[str, Any] = {"module": module, "predictions": group.height}
        row |= {status: group.filter(pl.col("status") == status).height for status in (OPEN, KNOWN, OVERDUE)}
        for name, column in (("hit_rate", "hit"), ("coverage", "inside")):
            values = group[column].drop_nulls()
            share, low, high = _share(int(values.sum()), values.len())
            row |= {name: share, f"{name}_low": low, f"{name}_high": high, f"{name}_n": values.len()}
        rows.append(row)
    whole = ("predictions", OPEN, KNOWN, OVERDUE, "hit_rate_n", "coverage_n")
    rates = [f"{name}{end}" for name in ("hit_rate", "coverage") for end in ("", "_low", "_high")]
    schema = {"module": TEXT} | dict.fromkeys(whole, pl.Int64()) | dict.fromkeys(rates, FLOAT)
    return pl.DataFrame(rows, schema=schema)


def _is_open_chance(row: dict[str, Any]) -> bool:
    return row["kind"] == "success" and row["status"] == OPEN


def _measure(row: dict[str, Any], outcomes: Outcomes, weekly: dict[str, dict[date, float]]) -> Measured | None:
    kind, key = row["kind"], row["key"]
    if kind in ("effect", "success"):
        # What was decided before a prediction was made cannot be its outcome.
        start = row["made_at"] - (timedelta(days=1) if kind == "effect" else timedelta())
        identity = row["subject"] if kind == "effect" else ""
        found = outcomes.of_action(identity, row["campaign_id"], row["action"] or "", start, row["due_at"])
        if found is None:
            return None
        return Measured(
            value=found["effect"],
            at=found["decided_at"],
            by=found["outcome_id"]
            if found["outcome_id"].startswith(OWN)
            else f"sources/outcomes {found['outcome_id']}",
            std_error=found["std_error"],
            metric=found["metric"],
        )
    if kind == "kpi":
        since, until, geos = key.split("|")[:3]
        first, last = date.fromisoformat(since), date.fromisoformat(until)
        wanted = set(geos.split(";")) & set(weekly) or set(weekly)
        weeks = [first + timedelta(weeks=i) for i in range((last - first).days // 7 + 1)]
        if wanted and all(week in weekly[geo] for geo in wanted for week in weeks):
            total = sum(weekly[geo][week] for geo in wanted for week in weeks)
            return Measured(value=total, at=midnight(last + timedelta(weeks=1)), by="sources/marketing_outcome")
    return None


def _judged(
    row: dict[str, Any], measured: Measured | None, direction: Callable[[str | None], int], now: datetime
) -> dict[str, Any]:
    if row["status"] == KNOWN:
        return row  # an outcome that was known stays; the source may no longer hold it
    if measured is None:
        return row | {"status": OVERDUE if now > row["due_at"] else OPEN}
    kind, predicted = row["kind"], row["predicted"]
    value, inside, hit = measured.value, None, None
    if kind == "success":
        sign = direction(measured.metric)
        value = _chance(sign * measured.value, measured.std_error)
        hit = None if predicted is None or value == 0.5 else (predicted > 0.5) == (value > 0.5)
    else:
        if kind == "effect" and predicted is not None and predicted != 0 and value != 0:
            hit = math.copysign(1, predicted) == math.copysign(1, value)
        if row["low"] is not None and row["high"] is not None:
            inside = _inside(value, measured.std_error, row["low"], row["high"])
    return row | {
        "status": KNOWN,
        "outcome": value,
        "outcome_at": measured.at,
        "outcome_std_error": measured.std_error,
        "measured_by": measured.by,
        "metric": measured.metric,
        "inside": inside,
        "hit": hit,
    }


def _inside(value: float, std_error: float | None, low: float, high: float) -> bool:
    """Whether the outcome lies in the interval. One measured with error is compared with an interval as much wider, so
    that the error of the measurement is not held against the prediction."""
    if not std_error:
        return low <= value <= high
    z = float(stats.norm.ppf(0.95))
    middle, half = (low + high) / 2, (high - low) / 2
    return abs(value - middle) <= math.hypot(half, z * std_error)


def _chance(effect: float, std_error: float | None) -> float:
    """Probability that the true effect is good, flat prior; of an effect without an error its sign."""
    if std_error:
        return float(stats.norm.cdf(effect / std_error))
    return 0.5 if effect == 0 else float(effect > 0)


def _weekly(kpi: pl.DataFrame) -> dict[str, dict[date, float]]:
    """The KPI by geo and first day of its week; only whole weeks without a gap."""
    if kpi.is_empty():
        return {}
    gaps = kpi["date"].unique().sort().diff().drop_nulls().dt.total_days()
    step = int(str(gaps.min())) if gaps.len() else 7
    weeks = pl.col("date").dt.truncate("1w") if step < 7 else pl.col("date")
    summed = (
        kpi.group_by("geo", weeks.alias("week"))
        .agg(pl.col("outcome").sum(), pl.len().alias("n"), pl.col("outcome").null_count().alias("missing"))
        .filter(pl.col("n") >= (7 // step if step < 7 else 1), pl.col("missing") == 0)
    )
    found: dict[str, dict[date, float]] = {}
    for geo, week, outcome in summed.select("geo", "week", "outcome").iter_rows():
        found.setdefault(geo, {})[week] = outcome
    return found


def _share(hits: int, n: int) -> tuple[float | None, float | None, float | None]:
    if n == 0:
        return None, None, None
    a, b = hits + 0.5, n - hits + 0.5
    low = 0.0 if hits == 0 else float(stats.beta.ppf(0.05, a, b))
    high = 1.0 if hits == n else float(stats.beta.ppf(0.95, a, b))
    return hits / n, low, high


def _with_columns(frame: pl.DataFrame) -> pl.DataFrame:
    missing = [pl.lit(None, dtype=SCHEMA[name]).alias(name) for name in SCHEMA if name not in frame.columns]
    return frame.with_columns(missing).select(list(SCHEMA))
