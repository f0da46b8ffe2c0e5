"""A wide marketing table, mapped to the canonical panel: outcome, media and controls, each long.

A cell that says nothing is not a zero: a week without spend must say 0. Such a row is set aside with the
reason, and the gap it leaves is found by the check on continuous dates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from liftos_pipelines.modules.sources.cells import HINTS, NOTHING, read_cells
from liftos_pipelines.modules.sources.rows import FILE, QUARANTINE, ROW, _problems, missing_column
from liftos_pipelines.tables import DATE, FLOAT, TEXT

NATIONAL = "national"
LEAST_FREQUENCY = 0.95
"""A frequency below 1 cannot be, but reach is estimated: quotients a little below 1 are in published data too."""
MOST_EVENTS = 20
"""A text-valued control with more different texts than this is not a control but a label."""


class MappingError(ValueError):
    """The mapping does not fit the table; the message names the place in client.yaml and the fix."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """Columns of one channel; without `exposure`, reach x frequency stands for it, or else spend. An organic one has
    no spend."""

    name: str
    spend: str | None
    exposure: str | None
    reach: str | None = None
    frequency: str | None = None

    @property
    def kind(self) -> str:
        return "organic" if self.spend is None else "paid"


@dataclass(frozen=True, kw_only=True)
class MarketingMapping:
    """Which column is what; `revenue_per_outcome` and `population` are a column or a number. `currencies`: place in
    client.yaml -> column that names a currency, to be `currency` in each row."""

    date: str
    outcome: str
    channels: tuple[Channel, ...]
    geo: str | None = None
    revenue_per_outcome: str | float | None = None
    population: str | float | None = None
    controls: tuple[str, ...] = ()
    currencies: Mapping[str, str] = field(default_factory=dict)
    currency: str | None = None

    def columns(self) -> dict[str, str]:
        """Place in client.yaml (below `sources.marketing.`) -> column it names."""
        named: dict[str, str | float | None] = {
            "date": self.date,
            "geo": self.geo,
            "outcome": self.outcome,
            "revenue_per_outcome": self.revenue_per_outcome,
            "population": self.population,
        }
        for channel in self.channels:
            group = "organic" if channel.kind == "organic" else "channels"
            named[f"{group}.{channel.name}.spend"] = channel.spend
            named[f"{group}.{channel.name}.exposure"] = channel.exposure
            named[f"{group}.{channel.name}.reach"] = channel.reach
            named[f"{group}.{channel.name}.frequency"] = channel.frequency
        named |= {f"controls[{index}]": control for index, control in enumerate(self.controls)} | dict(self.currencies)
        return {place: column for place, column in named.items() if isinstance(column, str)}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Three long tables, each with `_file` and `_row` of its wide row; what was set aside; notes."""

    outcome: pl.DataFrame
    media: pl.DataFrame
    controls: pl.DataFrame
    quarantine: pl.DataFrame
    notes: tuple[str, ...] = ()


def missing_marketing_columns(where: str, mapping: MarketingMapping, columns: Mapping[str, Sequence[str]]) -> list[str]:
    """One sentence for each mapped column that a file lacks. `where` ends in `sources.marketing`."""
    return [
        missing_column(f"{where}.{place}", column, file, present)
        for file, present in columns.items()
        for place, column in mapping.columns().items()
        if column not in present
    ]


def map_marketing(raw: pl.DataFrame, mapping: MarketingMapping) -> Panel:
    """Type the wide rows and lay them out as the three tables of the contract.

    Parameters
    ----------
    raw : text columns with `_file` and `_row`, holding every column that the mapping names

    Raises
    ------
    MappingError : a channel is mapped twice, a control is neither numbers nor a few events, or money is in another
        currency than the client's
    """
    names = [channel.name for channel in mapping.channels]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise MappingError(f'channel "{doubled[0]}" is both in channels and in organic; give one another name')
    _require_currency(raw, mapping)
    events, numeric, notes = _split_controls(raw, mapping.controls)
    wide, keep, quarantine = _type_wide(raw, mapping, numeric)
    wide, kept_events = wide.filter(keep), [event.filter(keep) for event in events]
    ids = wide.select("date", "geo", FILE, ROW)
    return Panel(
        outcome=_outcome(wide, mapping),
        media=_media(wide, ids, mapping.channels),
        controls=_controls(wide, ids, numeric, kept_events),
        quarantine=quarantine,
        notes=tuple(notes),
    )


def _type_wide(
    raw: pl.DataFrame, mapping: MarketingMapping, numeric_controls: Sequence[str]
) -> tuple[pl.DataFrame, pl.Series, pl.DataFrame]:
    """Every needed column once, typed; which rows to keep; what was set aside."""
    optional = {column for column in (mapping.revenue_per_outcome, mapping.population) if isinstance(column, str)}
    measures = [
        mapping.outcome,
        *(
            column
            for channel in mapping.channels
            for column in (channel.spend, channel.exposure, channel.reach, channel.frequency)
            if column
        ),
        *numeric_controls,
    ]
    typed: dict[str, tuple[str, pl.DataType]] = {"date": (mapping.date, DATE)}
    if mapping.geo:
        typed["geo"] = (mapping.geo, TEXT)
    typed |= {f"#{column}": (column, FLOAT) for column in dict.fromkeys([*measures, *optional])}
    values, bad = [], []
    keep = pl.Series([True] * raw.height, dtype=pl.Boolean)
    for name, (column, dtype) in typed.items():
        series, unreadable = read_cells(raw[column], dtype)
        bad.append(_problems(raw, column, unreadable, "says {}, " + HINTS.get(dtype, ""), raw[column]))
        keep &= ~unreadable
        if column not in optional or column in measures:
            empty = series.is_null() & ~unreadable
            bad.append(_problems(raw, column, empty, "is empty; write 0 where nothing was spent or counted", None))
            keep &= ~empty
        values.append(series.alias(name))
    wide = pl.DataFrame([*values, raw[FILE], raw[ROW]])
    for channel in mapping.channels:
        for column, reason, wrong in _reach_problems(wide, channel):
            bad.append(_problems(raw, column, wrong & keep, reason, raw[column]))
            keep &= ~wrong
    if not mapping.geo:
        wide = wide.with_columns(pl.lit(NATIONAL).alias("geo"))
    return wide, keep, pl.concat(bad) if bad else pl.DataFrame(schema=QUARANTINE)


def _outcome(wide: pl.DataFrame, mapping: MarketingMapping) -> pl.DataFrame:
    outcome = pl.col(f"#{mapping.outcome}")
    return wide.select(
        "date",
        "geo",
        outcome.alias("outcome"),
        (outcome * _number(mapping.revenue_per_outcome)).alias("revenue"),
        _number(mapping.population).alias("population"),
        FILE,
        ROW,
    )


def _number(column: str | float | None) -> pl.Expr:
    return pl.col(f"#{column}") if isinstance(column, str) else pl.lit(column, dtype=pl.Float64)


def _media(wide: pl.DataFrame, ids: pl.DataFrame, channels: Sequence[Channel]) -> pl.DataFrame:
    nothing = pl.lit(None, dtype=pl.Float64)
    parts = [
        wide.select(
            *ids.columns[:2],
            pl.lit(channel.name).alias("channel"),
            (pl.col(f"#{channel.spend}") if channel.spend else nothing).alias("spend"),
            _exposure(channel).alias("exposure"),
            pl.lit(channel.kind).alias("kind"),
            (pl.col(f"#{channel.reach}") if channel.reach else nothing).alias("reach"),
            (pl.col(f"#{channel.frequency}") if channel.frequency else nothing).alias("frequency"),
            FILE,
            ROW,
        )
        for channel in channels
    ]
    return pl.concat(parts)


def _exposure(channel: Channel) -> pl.Expr:
    if channel.exposure is None and channel.reach and channel.frequency:
        return pl.col(f"#{channel.reach}") * pl.col(f"#{channel.frequency}")
    return pl.col(f"#{channel.exposure or channel.spend}")


def _reach_problems(wide: pl.DataFrame, channel: Channel) -> list[tuple[str, str, pl.Series]]:
    """Column, reason and rows where reach and frequency cannot be what they are called."""
    if channel.reach is None or channel.frequency is None:
        return []
    reach, frequency = wide[f"#{channel.reach}"], wide[f"#{channel.frequency}"]
    never = "says {}, but "
    found = [
        (channel.reach, never + "people reached cannot be fewer than 0", reach < 0),
        (
            channel.frequency,
            never + f"whoever is reached is reached at least once: 1 or more where {channel.reach} is above 0",
            (reach > 0) & (frequency < LEAST_FREQUENCY),
        ),
        (
            channel.frequency,
            never + f"nobody was reached in this row: write 0 where {channel.reach} is 0",
            (reach == 0) & (frequency != 0),
        ),
    ]
    return [(column, reason, wrong.fill_null(False)) for column, reason, wrong in found]


def _require_currency(raw: pl.DataFrame, mapping: MarketingMapping) -> None:
    for place, column in mapping.currencies.items():
        said = raw[column].str.strip_chars().str.to_uppercase()
        strange = raw.filter(said.ne_missing(pl.lit(mapping.currency))) if mapping.currency else raw.head(0)
        if strange.height:
            row = strange.row(0, named=True)
            raise MappingError(
                f'{place}: column "{column}" says {row[column] or "nothing"} in row {row[ROW]} of {row[FILE]} '
                f"({strange.height} such row(s)), but the client's currency is {mapping.currency}. Bring all money in "
                "one currency"
            )


def _controls(
    wide: pl.DataFrame, ids: pl.DataFrame, numeric: Sequence[str], events: Sequence[pl.Series]
) -> pl.DataFrame:
    values = [*(wide[f"#{control}"].alias(control) for control in numeric), *events]
    parts = [
        ids.select("date", "geo", pl.lit(value.name).alias("control"), value.alias("value"), FILE, ROW)
        for value in values
    ]
    empty = {"date": DATE, "geo": TEXT, "control": TEXT, "value": FLOAT, FILE: TEXT, ROW: pl.Int64()}
    return pl.concat(parts) if parts else pl.DataFrame(schema=empty)


def _split_controls(raw: pl.DataFrame, controls: Sequence[str]) -> tuple[list[pl.Series], list[str], list[str]]:
    """Text-valued controls as one 0/1 series an event, the names of the numeric ones, and notes.

    A control holds events when most of what it says is not a number; one odd text among numbers is an
    unreadable cell, not an event.
    """
    events: list[pl.Series] = []
    numeric: list[str] = []
    notes: list[str] = []
    for control in controls:
        cells = raw[control].str.strip_chars()
        said = cells.filter(~cells.str.to_lowercase().is_in(NOTHING)).drop_nulls()
        if said.is_empty():
            notes.append(f"control {control} says nothing in any row and is left out")
            continue
        words = said.filter(said.cast(pl.Float64, strict=False).is_null())
        if 2 * len(words) <= len(said):
            numeric.append(control)
            continue
        texts = sorted(words.unique())
        if len(texts) > MOST_EVENTS:
            raise MappingError(
                f'controls: column "{control}" holds {len(texts)} different texts; a control is '
                f"numbers or at most {MOST_EVENTS} events. Leave it out or turn it into numbers."
            )
        events += [(cells == text).fill_null(False).cast(pl.Float64).alias(f"{control}_{text}") for text in texts]
    return events, numeric, notes
