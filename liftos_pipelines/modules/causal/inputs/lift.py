"""Lift tests as evidence about the model's own estimand: the outcome a channel added in a window, in some geos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.causal.engine.transforms import FloatArray, lag_tensor
from liftos_pipelines.modules.causal.inputs.design import WEEK_DAYS, Design

SPEND_TOLERANCE = 1.05


@dataclass(frozen=True, kw_only=True)
class LiftTests:
    """The experiments a model can use, as arrays padded to the longest of them.

    `lags`, `lags_without` (n_tests, n_rows, max_lag + 1): exposure (or frequency) as it was, and without what the test
    added; `people`, `people_without`: the same of the reach, 1 where a channel has none;
    `weight` (n_tests, n_rows): outcome of one unit of y, 0 in padding; `geo` (n_tests, n_rows); `channel` (n_tests,).
    """

    ids: tuple[str, ...]
    channel: NDArray[np.int64]
    geo: NDArray[np.int64]
    lags: FloatArray
    lags_without: FloatArray
    people: FloatArray
    people_without: FloatArray
    weight: FloatArray
    effect: FloatArray
    std_error: FloatArray
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


def prepare_lift_tests(experiments: pl.DataFrame, design: Design, max_lag: int, carry_out_weeks: int = 0) -> LiftTests:
    """Place each experiment on the panel; those that cannot be used are left out and named in `notes`.

    The test is read as: in its geos and window, this `spend` (all of it when not said) was added to what the
    channel would have spent, and `incremental_outcome` is what the outcome gained within the window and the
    `carry_out_weeks` after it, less than nothing if it fell.
    """
    kept: list[tuple[Any, ...]] = []
    notes: list[str] = []
    actual, reached = lag_tensor(design.x, max_lag), lag_tensor(design.multiplier, max_lag)
    for row in experiments.sort("experiment_id").iter_rows(named=True):
        reason = _unusable(row, design)
        if reason:
            notes.append(f"experiment {row['experiment_id']} not used: {reason}")
            continue
        channel = design.channels.index(row["channel"])
        geos = [design.geos.index(geo) for geo in row["geos"] or design.geos]
        weeks = _window(row, design)
        cells = np.ix_(geos, weeks)
        spent = float(design.spend[channel][cells].sum())
        added = 1.0 if row["spend"] is None else float(row["spend"]) / spent if spent > 0 else 0.0
        if added <= 0 or added > SPEND_TOLERANCE:
            notes.append(
                f"experiment {row['experiment_id']} not used: it says {row['spend']} was spent, "
                f"the panel has {spent:,.0f} on {row['channel']} in its window and geos"
            )
            continue
        read = np.ix_(geos, range(weeks[0], min(weeks[-1] + carry_out_weeks + 1, design.shape[2])))
        scale = np.ones(design.shape[1:])
        scale[cells] = 1 - min(added, 1.0)
        # Spend buys people where they are counted, and exposure elsewhere.
        counted = design.frequency[channel]
        lags_without = lag_tensor(design.x[channel] * (1.0 if counted else scale), max_lag)
        people_without = lag_tensor(design.multiplier[channel] * (scale if counted else 1.0), max_lag)
        rows = np.repeat(geos, read[1].size)
        kept.append(
            (
                str(row["experiment_id"]),
                channel,
                np.asarray(rows, dtype=np.int64),
                actual[channel][read].reshape(-1, max_lag + 1),
                lags_without[read].reshape(-1, max_lag + 1),
                reached[channel][read].reshape(-1, max_lag + 1),
                people_without[read].reshape(-1, max_lag + 1),
                np.broadcast_to(design.unit, design.shape[1:])[read].ravel(),
                float(row["incremental_outcome"]),
                float(row["std_error"]),
            )
        )
    longest = max((len(item[2]) for item in kept), default=0)

    def padded(position: int) -> FloatArray:
        arrays = [np.asarray(item[position], dtype=float) for item in kept]
        if not arrays:
            return np.zeros((0, 0, max_lag + 1) if 3 <= position <= 6 else (0, 0))
        return np.stack([np.pad(a, [(0, longest - len(a))] + [(0, 0)] * (a.ndim - 1)) for a in arrays])

    return LiftTests(
        ids=tuple(item[0] for item in kept),
        channel=np.array([item[1] for item in kept], dtype=np.int64),
        geo=padded(2).astype(np.int64),
        lags=padded(3),
        lags_without=padded(4),
        people=padded(5),
        people_without=padded(6),
        weight=padded(7),
        effect=np.array([item[8] for item in kept]),
        std_error=np.array([item[9] for item in kept]),
        notes=tuple(notes),
    )


def _window(row: dict[str, object], design: Design) -> list[int]:
    """Weeks that lie in the experiment by at least four of their seven days."""
    start, end = row["start"], row["end"]
    inside = []
    for position, week in enumerate(design.weeks):
        first, last = (week - start).days, (end - week).days  # type: ignore[operator]
        days = min(WEEK_DAYS - 1, last) - max(0, -first) + 1
        if days >= 4:
            inside.append(position)
    return inside


def _unusable(row: dict[str, object], design: Design) -> str | None:
    if row["channel"] not in design.channels[: design.paid]:
        return f"channel {row['channel']} is not in the model"
    geos: Sequence[str] = row["geos"] or ()  # type: ignore[assignment]
    absent = sorted(set(geos) - set(design.geos))
    if absent:
        return f"geo {', '.join(absent)} is not in the panel"
    error = row["std_error"]
    if error is None or not float(error) > 0 or row["incremental_outcome"] is None:  # type: ignore[arg-type]
        return "it has no incremental_outcome with a positive std_error"
    if not _window(row, design):
        return "its window lies outside the panel"
    return None
