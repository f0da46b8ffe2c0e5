"""Outcome by geo and week as arrays, and a dated test placed on it; what cannot be read out is refused here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
WEEK_DAYS = 7
MAX_PRE_WEEKS = 52
MIN_PRE_WEEKS = 4
"""Fewer weeks before a test say next to nothing about what the geos would have done."""
SPEND = "spend__"


class ExperimentError(ValueError):
    """A test cannot be read out or designed on these data; the message names the value and the way out."""


@dataclass(frozen=True, kw_only=True)
class GeoPanel:
    """`outcome` and, where a channel was named, its `spend`: (n_geos, n_weeks), weeks by their first day."""

    geos: tuple[str, ...]
    weeks: tuple[date, ...]
    outcome: FloatArray
    spend: FloatArray | None = None

    def without(self, geos: Collection[str]) -> GeoPanel:
        """The panel less some geos."""
        keep = [row for row, geo in enumerate(self.geos) if geo not in geos]
        return GeoPanel(
            geos=tuple(self.geos[row] for row in keep),
            weeks=self.weeks,
            outcome=self.outcome[keep],
            spend=None if self.spend is None else self.spend[keep],
        )


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A test on the panel, cut to the weeks that are compared.

    `outcome` (n_geos, n_pre + n_window): weeks before, then the test's weeks. `treated` (n_geos,).
    `base` (n_geos,): mean outcome of a week before the test. `spend` as `outcome`, or None.
    """

    geos: tuple[str, ...]
    outcome: FloatArray
    treated: BoolArray
    n_pre: int
    spend: FloatArray | None = None

    @property
    def n_window(self) -> int:
        return int(self.outcome.shape[1] - self.n_pre)

    @property
    def base(self) -> FloatArray:
        return np.asarray(self.outcome[:, : self.n_pre].mean(axis=1))

    @property
    def scaled(self) -> FloatArray:
        """Outcome as a multiple of the geo's own level before: shocks common to all geos become alike in size."""
        return np.asarray(self.outcome / self.base[:, None])


def geo_panel(frame: pl.DataFrame, channel: str | None = None) -> GeoPanel:
    """Arrays from `causal/panel`; `channel` adds its spend where the panel has it.

    Raises
    ------
    ExperimentError : no row, a geo that lacks a week, an outcome that is not a number, naming geo and week
    """
    if frame.is_empty():
        raise ExperimentError("the panel is empty: map sources.marketing in client.yaml and run causal/panel")
    frame = frame.sort("geo", "date")
    geos, weeks = frame["geo"].unique().sort().to_list(), frame["date"].unique().sort().to_list()
    per_geo = frame.group_by("geo").len().filter(pl.col("len") != len(weeks)).sort("geo")
    if per_geo.height:
        geo, count = per_geo.row(0)
        raise ExperimentError(f"geo {geo} has {count} rows for {len(weeks)} weeks: fill the gap or leave it out")
    unread = frame.filter(pl.col("outcome").is_null() | ~pl.col("outcome").is_finite())
    if unread.height:
        row = unread.row(0, named=True)
        raise ExperimentError(f"the outcome of {row['geo']} in the week of {row['date']} is {row['outcome']}")
    shape = (len(geos), len(weeks))
    column = f"{SPEND}{channel}"
    spend = None
    if channel is not None and column in frame.columns and not frame[column].null_count():
        spend = frame[column].to_numpy().astype(float).reshape(shape)
    outcome = frame["outcome"].to_numpy().astype(float).reshape(shape)
    return GeoPanel(geos=tuple(geos), weeks=tuple(weeks), outcome=outcome, spend=spend)


def place(panel: GeoPanel, treated: Sequence[str], start: date, end: date, *, pre_weeks: int = MAX_PRE_WEEKS) -> Placed:
    """The test's weeks (those that lie in it by four days or more) and up to `pre_weeks` before them.

    Raises
    ------
    ExperimentError : one geo only, a treated geo that is unknown, none or all treated, a window that is not
        within the panel, fewer than four weeks before it, a geo without outcome before it
    """
    if len(panel.geos) < 2:
        raise ExperimentError(
            f"the data have one geo ({panel.geos[0]}): a geo test needs untreated geos to compare with; "
            "an on/off (switchback) test is the way on national data"
        )
    unknown = sorted(set(treated) - set(panel.geos))
    if unknown:
        raise ExperimentError(f"treated geo {', '.join(unknown)} is not in the panel ({', '.join(panel.geos)})")
    mask = np.array([geo in set(treated) for geo in panel.geos])
    if not mask.any():
        raise ExperimentError("no treated geo is named")
    if mask.all():
        raise ExperimentError("all geos are treated: no geo is left to compare with")
    first, last = panel.weeks[0], panel.weeks[-1]
    if end < start:
        raise ExperimentError(f"the test ends {end}, before its start {start}")
    reach = (last.toordinal() + WEEK_DAYS - 1) - end.toordinal()
    window = [position for position, week in enumerate(panel.weeks) if _days_inside(week, start, end) >= 4]
    if start < first or reach < 0 or not window:
        covered = f"{first} to {date.fromordinal(last.toordinal() + WEEK_DAYS - 1)}"
        raise ExperimentError(f"the window {start} to {end} is not within the panel, which covers {covered}")
    n_pre = min(window[0], pre_weeks)
    if n_pre < MIN_PRE_WEEKS:
        raise ExperimentError(
            f"{n_pre} week(s) before the test are to be compared with; at least {MIN_PRE_WEEKS} are needed: "
            "bring earlier data"
        )
    span = slice(window[0] - n_pre, window[-1] + 1)
    placed = Placed(
        geos=panel.geos,
        outcome=panel.outcome[:, span],
        treated=mask,
        n_pre=n_pre,
        spend=None if panel.spend is None else panel.spend[:, span],
    )
    silent = [geo for geo, level in zip(panel.geos, placed.base, strict=True) if not level > 0]
    if silent:
        raise ExperimentError(f"geo {', '.join(silent)} has no outcome before the test: leave it out of the panel")
    return placed


def _days_inside(week: date, start: date, end: date) -> int:
    first = max(week.toordinal(), start.toordinal())
    last = min(week.toordinal() + WEEK_DAYS - 1, end.toordinal())
    return last - first + 1
