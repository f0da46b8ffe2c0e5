"""Lift tests as evidence about the model's own estimand: the outcome a channel added in a window, in some geos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.causal.design import WEEK_DAYS, Design
from liftos_pipelines.modules.causal.transforms import FloatArray, lag_tensor

SPEND_TOLERANCE = 1.05


@dataclass(frozen=True, kw_only=True)
class LiftTests:
    """The experiments a model can use, as arrays padded to the longest of them.

    `lags`, `lags_without` (n_tests, n_rows, max_lag + 1): exposure as it was, and without what the test added;
    `weight` (n_tests, n_rows): outcome of one unit of y, 0 in padding; `geo` (n_tests, n_rows); `channel` (n_tests,).
    """

    ids: tuple[str, ...]
    channel: NDArray[np.int64]
    geo: NDArray[np.int64]
    lags: FloatArray
    lags_without: FloatArray
    weight: FloatArray
    effect: FloatArray
    std_error: FloatArray
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


def prepare_lift_tests(experiments: pl.DataFrame, design: Design, max_lag: int) -> LiftTests:
    """Place each experiment on the panel; those that cannot be used are left out and named in `notes`.

    The test is read as: in its geos and window, this `spend` (all of it when not said) was added to what the
    channel would have spent, and `incremental_outcome` is what the outcome gained within the window.
    """
    kept: list[tuple[str, int, NDArray[np.int64], FloatArray, FloatArray, FloatArray, float, float]] = []
    notes: list[str] = []
    actual = lag_tensor(design.x, max_lag)
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
        without = design.x[channel].copy()
        without[cells] *= 1 - min(added, 1.0)
        lags_without = lag_tensor(without, max_lag)
        rows = np.repeat(geos, len(weeks))
        kept.append(
            (
                str(row["experiment_id"]),
                channel,
                np.asarray(rows, dtype=np.int64),
                actual[channel][cells].reshape(-1, max_lag + 1),
                lags_without[cells].reshape(-1, max_lag + 1),
                np.repeat(design.unit[geos, 0], len(weeks)),
                float(row["incremental_outcome"]),
                float(row["std_error"]),
            )
        )
    longest = max((len(item[2]) for item in kept), default=0)

    def padded(position: int) -> FloatArray:
        arrays = [np.asarray(item[position], dtype=float) for item in kept]
        if not arrays:
            return np.zeros((0, 0, max_lag + 1) if position in (3, 4) else (0, 0))
        return np.stack([np.pad(a, [(0, longest - len(a))] + [(0, 0)] * (a.ndim - 1)) for a in arrays])

    return LiftTests(
        ids=tuple(item[0] for item in kept),
        channel=np.array([item[1] for item in kept], dtype=np.int64),
        geo=padded(2).astype(np.int64),
        lags=padded(3),
        lags_without=padded(4),
        weight=padded(5),
        effect=np.array([item[6] for item in kept]),
        std_error=np.array([item[7] for item in kept]),
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
