"""The model-ready weekly panel, from the three canonical marketing tables.

Columns: `date, geo, outcome, revenue_per_outcome, population`, then for each paid channel `spend__<channel>` and
`exposure__<channel>` (and `reach__<channel>` and `frequency__<channel>` where the client has them), for each organic
channel `organic__<channel>`, for each control `control__<control>`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import polars as pl

NATIONAL = "national"
SPEND, EXPOSURE, ORGANIC, CONTROL = "spend__", "exposure__", "organic__", "control__"
REACH, FREQUENCY = "reach__", "frequency__"
LEAST_FREQUENCY = 0.95
"""Reach is itself an estimate, so that impressions over reach may come out a little below 1: 5 of the 3,120 rows of
Meridian's published example lie between 0.978 and 1."""
REACH, FREQUENCY = "reach__", "frequency__"
LEAST_FREQUENCY = 0.95
"""Reach is itself an estimate, so that impressions over reach may come out a little below 1: 5 of the 3,120 rows of
Meridian's published example lie between 0.978 and 1."""
WEEK = 7


class PanelError(ValueError):
    """The marketing data cannot carry a model; the message names geo, date, column and the fix."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """`frame` is sorted by geo and date and complete: every geo has every week. `notes` say what was left out."""

    frame: pl.DataFrame
    notes: tuple[str, ...]

    @property
    def channels(self) -> list[str]:
        """Paid channels, in column order."""
        return names_of(self.frame, SPEND)

    @property
    def organic(self) -> list[str]:
        return names_of(self.frame, ORGANIC)

    @property
    def controls(self) -> list[str]:
        return names_of(self.frame, CONTROL)


def names_of(frame: pl.DataFrame, prefix: str) -> list[str]:
    """Names behind the columns that carry a prefix, in column order."""
    return [column.removeprefix(prefix) for column in frame.columns if column.startswith(prefix)]


def build_panel(
    outcome: pl.DataFrame,
    media: pl.DataFrame,
    controls: pl.DataFrame,
    *,
    channels: Sequence[str],
    organic: Sequence[str] = (),
    mediators: Sequence[str] = (),
    roles: Mapping[str, str] | None = None,
) -> Panel:
    """Aggregate to weeks, widen, check.

    Parameters
    ----------
    outcome, media, controls : the tables `sources/marketing_*`, daily or weekly; a control without geo holds for all
    channels, organic : what the client maps; other channels in the data are left out
    mediators : controls to leave out
    roles : causal roles of controls; only their names are checked here

    Raises
    ------
    PanelError : gaps, repeated rows, missing values, a negative outcome, spend or exposure, a role of a control that
        is not there, or no channel with variation
    """
    if outcome.is_empty():
        raise PanelError("marketing_outcome has no row: map sources.marketing in client.yaml")
    notes: list[str] = []
    geo = pl.col("geo").fill_null(NATIONAL)
    outcome, media = outcome.with_columns(geo), media.with_columns(geo)
    controls = _everywhere(controls, outcome["geo"].unique())
    for field, named in (("mediators", mediators), ("roles", roles or {})):
        unknown = sorted(set(named) - set(controls["control"].unique()))
        if unknown:
            raise PanelError(
                f"causal.{field} names {', '.join(unknown)}, which are not controls of the data: "
                f"{', '.join(sorted(controls['control'].unique())) or 'none'}"
            )
    controls = controls.filter(~pl.col("control").is_in(list(mediators)))
    notes += [f"control {name} left out: named as a mediator" for name in mediators]
    _check_values(outcome, media)
    _check_once(media, ["geo", "date", "channel", "kind"], "marketing_media")
    _check_once(controls, ["geo", "date", "control"], "marketing_controls")
    notes += _geos_without_outcome(outcome, media, "media") + _geos_without_outcome(outcome, controls, "controls")

    days = _cadence(outcome)
    if days == 1:
        _check_once(outcome, ["geo", "date"], "marketing_outcome")
        outcome, media, controls, dropped = _to_weeks(outcome, media, controls)
        notes += dropped
    elif days != WEEK:
        raise PanelError(
            f"the usual distance between dates is {days} days; the model needs daily or weekly rows: "
            "bring the data at that grain"
        )
    if 0 < outcome["revenue"].null_count() < outcome.height:
        notes.append("revenue is missing in part of the rows and was not used")
    frame = _base(outcome)
    weeks = _check_grid(frame)
    paid, free = media.filter(pl.col("kind") != "organic"), media.filter(pl.col("kind") == "organic")
    for name in channels:
        frame, note = _add_channel(frame, paid.filter(pl.col("channel") == name), name)
        notes += note
    for name in organic:
        frame, note = _add_organic(frame, free.filter(pl.col("channel") == name), name)
        notes += note
    for name in sorted(controls["control"].unique().to_list()):
        frame, note = _add_control(frame, controls.filter(pl.col("control") == name), name)
        notes += note
    panel = Panel(frame=frame.sort("geo", "date"), notes=tuple(notes))
    if not panel.channels:
        raise PanelError(
            f"none of the channels {', '.join(channels) or '(none mapped)'} has exposure that varies over {weeks} "
            "weeks; there is nothing to attribute"
        )
    return panel


def _check_values(outcome: pl.DataFrame, media: pl.DataFrame) -> None:
    for frame, column, label in (
        (outcome, "outcome", "outcome"),
        (outcome, "revenue", "revenue"),
        (media, "spend", "spend"),
        (media, "exposure", "exposure"),
    ):
        values = pl.col(column).cast(pl.Float64)
        required = column == "outcome"
        bad = frame.filter(
            (values < 0).fill_null(False)
            | values.is_nan().fill_null(False)
            | values.is_infinite().fill_null(False)
            | (values.is_null() if required else pl.lit(False))
        )
        if bad.height:
            row = bad.sort("date").row(0, named=True)
            what = f" of {row['channel']}" if "channel" in row else ""
            raise PanelError(
                f"{label}{what} is {row[column]} on {row['date']} in {row['geo']} ({bad.height} such row(s)); "
                "it must be a number of 0 or more: correct the source"
            )


def _check_once(frame: pl.DataFrame, key: list[str], name: str) -> None:
    doubled = frame.group_by(key).len().filter(pl.col("len") > 1).sort(key)
    if doubled.height:
        row = doubled.row(0, named=True)
        of = f" of {row.get('channel', row.get('control'))}" if len(key) > 2 else ""
        raise PanelError(
            f"{name} has {row['len']} rows{of} on {row['date']} in {row['geo']} ({doubled.height} such repeat(s)); "
            "keep one"
        )


def _everywhere(controls: pl.DataFrame, geos: pl.Series) -> pl.DataFrame:
    """Controls without geo, once for each geo of the outcome."""
    if not controls["geo"].null_count():
        return controls
    common = controls.filter(pl.col("geo").is_null()).drop("geo").join(geos.to_frame(), how="cross")
    return pl.concat([controls.filter(pl.col("geo").is_not_null()), common.select(controls.columns)])


def _geos_without_outcome(outcome: pl.DataFrame, frame: pl.DataFrame, what: str) -> list[str]:
    strange = sorted(set(frame["geo"].unique()) - set(outcome["geo"].unique()))
    return [f"{what} of {', '.join(strange)} left out: the outcome does not have these geos"] if strange else []


def _cadence(outcome: pl.DataFrame) -> int:
    dates = outcome["date"].unique().sort()
    if dates.len() < 2:
        raise PanelError(f"the outcome has {dates.len()} date(s); a model needs many weeks")
    steps = dates.diff().drop_nulls().dt.total_days()
    return int(steps.mode().sort()[0])


def _to_weeks(
    outcome: pl.DataFrame, media: pl.DataFrame, controls: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, list[str]]:
    """Sums by week beginning on Monday; a week that lacks days at either end is left out, a hole inside is an error."""
    week = pl.col("date").dt.truncate("1w").alias("date")
    first, last = outcome["date"].min(), outcome["date"].max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    per_geo = outcome.group_by("geo").agg(pl.col("date").n_unique().alias("n"))
    expected = (last - first).days + 1
    short = per_geo.filter(pl.col("n") < expected).sort("geo")
    if short.height:
        geo = short["geo"][0]
        present = set(outcome.filter(pl.col("geo") == geo)["date"])
        hole = next(first + timedelta(days=i) for i in range(expected) if first + timedelta(days=i) not in present)
        missing = expected - short["n"][0]
        raise PanelError(f"geo {geo} has no outcome on {hole} ({missing} day(s) missing); fill the gap")
    start = first + timedelta(days=(-first.weekday()) % WEEK)
    end = last - timedelta(days=(last.weekday() + 1) % WEEK)
    whole = pl.col("date").is_between(start, end)
    notes = []
    if start > first or end < last:
        notes.append(f"days outside whole weeks left out: before {start}, after {end}")

    def total(column: str) -> pl.Expr:
        # A week's sum is known only where each of its days is.
        known = (pl.col(column).null_count() == 0) & (pl.len() == WEEK)
        return pl.when(known).then(pl.col(column).sum()).alias(column)

    sums = [total("spend"), total("exposure")]
    if {"reach", "frequency"} <= set(media.columns):
        impressions = (pl.col("reach") * pl.col("frequency")).alias("impressions")
        media = media.with_columns(impressions)
        sums += [total("reach"), total("impressions")]
        for name in media.filter(pl.col("reach").is_not_null())["channel"].unique().sort():
            notes.append(
                f"reach of {name} is summed over the days of a week: whoever was reached on two days counts twice"
            )

    return (
        outcome.filter(whole)
        .group_by(week, "geo")
        .agg(pl.col("outcome").sum(), total("revenue"), pl.col("population").mean()),
        _frequency(media.filter(whole).group_by(week, "geo", "channel", "kind").agg(sums)),
        controls.filter(whole).group_by(week, "geo", "control").agg(pl.col("value").mean()),
        notes,
    )


def _frequency(frame: pl.DataFrame) -> pl.DataFrame:
    """Frequency from reach and impressions, 0 where nobody was reached."""
    if "impressions" not in frame.columns:
        return frame
    mean = pl.when(pl.col("reach") > 0).then(pl.col("impressions") / pl.col("reach")).otherwise(pl.col("reach"))
    return frame.with_columns(mean.alias("frequency")).drop("impressions")


def roll_up_reach(rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Reach and frequency of several rows together: reach adds up, frequency is impressions over reach.

    Right where the rows are different people, as geos are.

    Parameters
    ----------
    rows : columns of `by`, reach, frequency
    """
    counted = rows.with_columns((pl.col("reach") * pl.col("frequency")).alias("impressions"))
    return _frequency(counted.group_by(by).agg(pl.col("reach").sum(), pl.col("impressions").sum()).sort(by))


def panel_weeks(outcome: pl.DataFrame) -> list[date]:
    """First days of the weeks that a panel of this outcome has, daily or weekly; ascending."""
    days = outcome["date"].unique().sort().to_list()
    if len(days) < 2 or _cadence(outcome) != 1:
        return days
    first = days[0] + timedelta(days=(-days[0].weekday()) % WEEK)
    return [day for day in days if day >= first and day.weekday() == 0 and day + timedelta(days=WEEK - 1) <= days[-1]]


def _base(outcome: pl.DataFrame) -> pl.DataFrame:
    ratio = pl.col("revenue").sum() / pl.col("outcome").sum()
    known = outcome["revenue"].null_count() == 0 and outcome["outcome"].sum() > 0
    overall = outcome.select(ratio).item() if known else None
    price = pl.when(pl.col("outcome") > 0).then(pl.col("revenue") / pl.col("outcome")).otherwise(overall)
    return outcome.select(
        "date",
        "geo",
        "outcome",
        (price if known else pl.lit(None, dtype=pl.Float64)).cast(pl.Float64).alias("revenue_per_outcome"),
        "population",
    ).sort("geo", "date")


def _check_grid(frame: pl.DataFrame) -> int:
    dates = frame["date"].unique().sort().to_list()
    for before, after in pairwise(dates):
        if (after - before).days != WEEK:
            raise PanelError(
                f"weeks jump from {before} to {after} ({(after - before).days} days): fill the gap or align the weeks"
            )
    doubled = frame.group_by("geo", "date").len().filter(pl.col("len") > 1)
    if doubled.height:
        row = doubled.sort("geo", "date").row(0, named=True)
        raise PanelError(f"geo {row['geo']} has {row['len']} outcome rows for the week of {row['date']}; keep one")
    counts = frame.group_by("geo").len().filter(pl.col("len") < len(dates)).sort("geo")
    if counts.height:
        geo = counts["geo"][0]
        present = set(frame.filter(pl.col("geo") == geo)["date"])
        hole = next(day for day in dates if day not in present)
        raise PanelError(f"geo {geo} has no outcome in the week of {hole} ({len(dates) - counts['len'][0]} missing)")
    flat = frame.group_by("geo").agg(pl.col("outcome").n_unique().alias("n")).filter(pl.col("n") < 2)
    if flat.height:
        raise PanelError(f"the outcome of geo {flat.sort('geo')['geo'][0]} never changes; leave the geo out")
    return len(dates)


def _attach(frame: pl.DataFrame, rows: pl.DataFrame, columns: dict[str, str]) -> pl.DataFrame:
    renamed = rows.select("date", "geo", *(pl.col(old).alias(new) for old, new in columns.items()))
    return frame.join(renamed, on=["date", "geo"], how="left")


def _require_complete(frame: pl.DataFrame, column: str, label: str) -> None:
    values = frame[column].cast(pl.Float64)
    holes = frame.filter(values.is_null() | values.is_nan())
    if holes.height:
        row = holes.sort("geo", "date").row(0, named=True)
        raise PanelError(
            f"{label} has no value in the week of {row['date']} in {row['geo']} ({holes.height} such week(s)); "
            "write 0 where nothing ran, or fill the gap"
        )


def _add_channel(frame: pl.DataFrame, rows: pl.DataFrame, name: str) -> tuple[pl.DataFrame, list[str]]:
    if rows.is_empty():
        raise PanelError(f"channel {name} is mapped in client.yaml but has no row in marketing_media")
    # Spend stands for exposure where none is mapped; the ingestion may leave that to us.
    exposure = "spend" if rows["exposure"].null_count() == rows.height else "exposure"
    wide = _attach(frame, rows, {"spend": SPEND + name, exposure: EXPOSURE + name})
    _require_complete(wide, SPEND + name, f"spend of {name}")
    _require_complete(wide, EXPOSURE + name, f"exposure of {name}")
    values = wide[EXPOSURE + name].to_numpy()
    if not np.any(values > 0):
        return frame, [f"channel {name} left out: its exposure is zero throughout"]
    if wide[SPEND + name].sum() <= 0:
        return frame, [f"channel {name} left out: exposure without any spend; map it as organic if it is free"]
    if np.ptp(values) <= 1e-9 * np.max(values):
        return frame, [f"channel {name} left out: its exposure never changes, so it cannot be told from the baseline"]
    if "reach" in rows.columns and rows["reach"].null_count() < rows.height:
        wide = _attach(wide, rows, {"reach": REACH + name, "frequency": FREQUENCY + name})
        _require_complete(wide, REACH + name, f"reach of {name}")
        _require_complete(wide, FREQUENCY + name, f"frequency of {name}")
        return wide, _check_reach(wide, name)
    return wide, []


def _check_reach(frame: pl.DataFrame, name: str) -> list[str]:
    reach, frequency = pl.col(REACH + name), pl.col(FREQUENCY + name)
    impossible = (reach > 0) & (frequency < LEAST_FREQUENCY)
    wrong = frame.filter((reach < 0) | impossible | ((reach == 0) & (frequency != 0)))
    if wrong.height:
        row = wrong.sort("geo", "date").row(0, named=True)
        raise PanelError(
            f"reach of {name} is {row[REACH + name]:g} and its frequency {row[FREQUENCY + name]:g} in the week of "
            f"{row['date']} in {row['geo']} ({wrong.height} such week(s)); frequency is 1 or more, "
            "or 0 where reach is 0"
        )
    # Sums of quotients: a frequency of 1 may come back a rounding error below it.
    low = frame.filter((reach > 0) & (frequency < 1 - 1e-9))[FREQUENCY + name]
    if low.is_empty():
        return []
    return [f"frequency of {name} is below 1 in {low.len()} week(s), least {low.to_numpy().min():.3f}: used as it is"]


def _add_organic(frame: pl.DataFrame, rows: pl.DataFrame, name: str) -> tuple[pl.DataFrame, list[str]]:
    if rows.is_empty():
        raise PanelError(f"organic channel {name} is mapped in client.yaml but has no row in marketing_media")
    wide = _attach(frame, rows, {"exposure": ORGANIC + name})
    _require_complete(wide, ORGANIC + name, f"exposure of organic {name}")
    values = wide[ORGANIC + name].to_numpy()
    if np.ptp(values) <= 1e-9 * max(np.max(values), 1e-300):
        return frame, [f"organic channel {name} left out: its exposure never changes"]
    return wide, []


def _add_control(frame: pl.DataFrame, rows: pl.DataFrame, name: str) -> tuple[pl.DataFrame, list[str]]:
    wide = _attach(frame, rows, {"value": CONTROL + name})
    _require_complete(wide, CONTROL + name, f"control {name}")
    values = wide[CONTROL + name].to_numpy()
    if np.ptp(values) <= 1e-9 * max(np.max(np.abs(values)), 1e-300):
        return frame, [f"control {name} left out: it never changes"]
    return wide, []
