"""From a client's files to rows that may be written: read, type, collapse, judge. Nothing here writes.

`assets/sources.py` turns what comes back into checks and tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, cast

import polars as pl

from liftos_pipelines.checks.expectations import (
    PANEL_QUARANTINE_LIMIT,
    ColumnNamer,
    Verdict,
    judge,
    judge_columns,
    judge_quarantine,
)
from liftos_pipelines.checks.suites import EARLIEST, rules_of
from liftos_pipelines.clients import CURRENCY, CallSource, ClientConfig, FileSource, MarketingSource
from liftos_pipelines.modules.llm.prices import PriceError
from liftos_pipelines.modules.llm.recorded.possible import only_possible
from liftos_pipelines.modules.sources import calendar
from liftos_pipelines.modules.sources.duplicates import Collapsed, collapse_duplicates
from liftos_pipelines.modules.sources.marketing import (
    Channel,
    MappingError,
    MarketingMapping,
    map_marketing,
    missing_marketing_columns,
)
from liftos_pipelines.modules.sources.observations import STREAMS, set_strange_aside
from liftos_pipelines.modules.sources.pages import with_urls
from liftos_pipelines.modules.sources.rows import (
    FILE,
    QUARANTINE,
    ROW,
    ignored_columns,
    missing_columns,
    type_rows,
)
from liftos_pipelines.resources.call_files import CallFiles, read_calls
from liftos_pipelines.resources.call_prices import dollar_rate
from liftos_pipelines.resources.client_files import ClientFileError, SourceFiles, read_pages, read_source
from liftos_pipelines.tables import table

MARKETING = ("sources/marketing_outcome", "sources/marketing_media", "sources/marketing_controls")


@dataclass(frozen=True, kw_only=True)
class Ingest:
    """What a source's files gave. `tables` is complete only where no blocking verdict failed."""

    source: str
    tables: dict[str, pl.DataFrame]
    verdicts: dict[str, list[Verdict]]
    quarantine: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=QUARANTINE))
    made_null: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=QUARANTINE))
    """Values that cannot be and were read as unknown, one line each; their rows are in the tables."""
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)

    def failures(self) -> list[str]:
        """Messages of the blocking checks that failed, in order."""
        return [
            verdict.message
            for verdicts in self.verdicts.values()
            for verdict in verdicts
            if verdict.blocking and not verdict.passed
        ]


def ingest_source(client: ClientConfig, source: str, configured: FileSource, now: datetime) -> Ingest:
    """Read, type and judge the files of one source that has one table."""
    name = f"sources/{source}"
    calls = None
    try:
        if isinstance(configured, CallSource):
            calls = read_calls(client, configured, lambda: dollar_rate(client))
            files = calls.files
        else:
            read = read_pages if source == "pages" else read_source
            files = read(client, f"sources.{source}.path", configured.path)
    except (ClientFileError, PriceError) as error:
        return _unreadable(source, name, error)
    if source == "pages":
        files = _with_urls(files)
    return _ingest_files(client, source, files, calls, now)


def _ingest_files(
    client: ClientConfig, source: str, files: SourceFiles, calls: CallFiles | None, now: datetime
) -> Ingest:
    name, where = f"sources/{source}", f"clients/{client.client}/client.yaml: sources.{source}"
    contract = table(name)
    columns = _judge_columns(
        name,
        files,
        [column for column in contract.columns if column not in contract.optional],
        missing_columns(where, contract, files.columns),
    )
    if not columns.passed:
        return Ingest(source=source, tables={}, verdicts={name: [_readable(files), columns]})
    typed = type_rows(files.rows, contract)
    set_aside = pl.concat([files.unreadable, typed.quarantine])
    if name in STREAMS:
        typed = set_strange_aside(typed.rows, contract, EARLIEST, now.replace(tzinfo=None))
        set_aside = pl.concat([set_aside, typed.quarantine])
    if source == "pages":
        set_aside = _explain_pages(set_aside)
    rows, made_null = (typed.rows, pl.DataFrame(schema=QUARANTINE)) if calls is None else _possible(typed.rows, calls)
    collapsed = collapse_duplicates(rows, contract.key)
    verdicts = [
        _readable(files),
        columns,
        judge_quarantine(rows.height, set_aside),
        *judge(name, collapsed.rows, rules_of(name, now)),
    ]
    ignored = ignored_columns(contract, files.columns)
    metadata = _describe(files, collapsed) | ({"columns_ignored": ", ".join(ignored)} if ignored else {})
    return Ingest(
        source=source,
        tables={name: collapsed.rows.drop(FILE, ROW)},
        verdicts={name: verdicts},
        quarantine=set_aside,
        made_null=made_null,
        metadata={name: metadata if calls is None else metadata | _describe_calls(calls, made_null)},
    )


def _possible(rows: pl.DataFrame, calls: CallFiles) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Calls without values that cannot be, and what was taken out; an export says that a call did not fail."""
    possible, notes = only_possible(rows)
    recorded = pl.col(FILE).is_in(list(calls.exports))
    error = pl.when(recorded).then(pl.col("error").fill_null("")).otherwise(pl.col("error"))
    return possible.with_columns(error.alias("error")), pl.concat([calls.made_null, notes])


def _describe_calls(calls: CallFiles, made_null: pl.DataFrame) -> dict[str, Any]:
    said: dict[str, Any] = dict(calls.counts)
    if calls.exports:
        said["formats"] = ", ".join(sorted(set(calls.exports.values())))
    if calls.unknown_names:
        said["attributes_unknown"] = ", ".join(calls.unknown_names)
    if made_null.height:
        examples = [f"{file} row {row}: {column} {reason}" for file, row, column, reason, _ in made_null.head(5).rows()]
        said |= {"values_unknown": made_null.height, "values_unknown_examples": "\n".join(examples)}
    return said


def ingest_marketing(client: ClientConfig, configured: MarketingSource, now: datetime) -> Ingest:
    """Read the wide marketing table once, map it, and judge its three tables."""
    where = f"clients/{client.client}/client.yaml: sources.marketing"
    outcome, media, controls = MARKETING
    mapping = mapping_of(configured, client.currency)
    try:
        files = read_source(client, "sources.marketing.path", configured.path)
    except ClientFileError as error:
        return _unreadable("marketing", outcome, error)
    required = list(mapping.columns().values())
    columns = _judge_columns(outcome, files, required, missing_marketing_columns(where, mapping, files.columns))
    if not columns.passed:
        return Ingest(source="marketing", tables={}, verdicts={outcome: [_readable(files), columns]})
    try:
        panel = map_marketing(files.rows, mapping)
    except MappingError as error:
        failed = Verdict(check="columns", passed=False, blocking=True, message=f"{where}: {error}", metadata={})
        return Ingest(source="marketing", tables={}, verdicts={outcome: [_readable(files), failed]})
    set_aside = pl.concat([files.unreadable, panel.quarantine])
    step = calendar.usual_step(panel.outcome["date"])
    collapsed = {
        name: collapse_duplicates(frame, table(name).key)
        for name, frame in ((outcome, panel.outcome), (media, panel.media), (controls, panel.controls))
    }
    named = _namer(mapping)
    verdicts = {
        outcome: [
            _readable(files),
            columns,
            judge_quarantine(panel.outcome.height, set_aside, PANEL_QUARANTINE_LIMIT),
            *judge(outcome, _with_calendar(collapsed[outcome].rows), rules_of(outcome, now, step=step), named),
        ],
        media: judge(media, collapsed[media].rows, rules_of(media, now), named),
        controls: judge(controls, collapsed[controls].rows, rules_of(controls, now), named),
    }
    metadata = {name: _describe(files, found) for name, found in collapsed.items()}
    metadata[outcome]["step"] = calendar.STEPS.get(step or 0, "unknown")
    if panel.notes:
        metadata[controls]["notes"] = "; ".join(panel.notes)
    return Ingest(
        source="marketing",
        tables={name: found.rows.drop(FILE, ROW) for name, found in collapsed.items()},
        verdicts=verdicts,
        quarantine=set_aside,
        metadata=metadata,
    )


def mapping_of(source: MarketingSource, currency: str) -> MarketingMapping:
    """The mapping of client.yaml as the module takes it; `currency` is the client's."""
    paid = [
        Channel(name=name, spend=spec.spend, exposure=spec.exposure, reach=spec.reach, frequency=spec.frequency)
        for name, spec in source.channels.items()
    ]
    said = {"currency": source.currency} | {
        f"channels.{name}.currency": spec.currency for name, spec in source.channels.items()
    }
    organic = [Channel(name=name, spend=None, exposure=spec.exposure) for name, spec in source.organic.items()]
    return MarketingMapping(
        date=source.date,
        geo=source.geo,
        outcome=source.outcome,
        revenue_per_outcome=source.revenue_per_outcome,
        population=source.population,
        channels=(*paid, *organic),
        controls=tuple(source.controls),
        # A code was compared with the client's when client.yaml was read; a column has to be looked at.
        currencies={place: named for place, named in said.items() if named and not CURRENCY.fullmatch(named)},
        currency=currency,
    )


RESTATED_WHOLE = frozenset({"experiments", "labelled_mentions", "campaigns", "pages", "agents"})
"""Sources whose files say all there is: a row gone from them is gone. The others are logs and only grow."""


def removes_where(name: str, frame: pl.DataFrame, current: pl.DataFrame) -> str | None:
    """Which rows of a table the files no longer say, as a predicate over `target`; None when there are none.

    Marketing files say all there is about the dates that they cover (a renamed channel must not count twice),
    and nothing about earlier or later ones.
    """
    gone = current.join(frame, on=table(name).key, how="anti", nulls_equal=True)
    if name in MARKETING and frame.height:
        first, last = cast(date, frame["date"].min()), cast(date, frame["date"].max())
        gone = gone.filter(pl.col("date").is_between(first, last))
        predicate = f"target.date >= DATE '{first}' AND target.date <= DATE '{last}'"
    elif name.split("/")[1] in RESTATED_WHOLE and frame.height:
        predicate = "true"
    else:
        return None
    return predicate if gone.height else None


def _readable(files: SourceFiles) -> Verdict:
    metadata = {"files": float(len(files.columns)), "names": ", ".join(list(files.columns)[:20])}
    return Verdict(check="readable", passed=True, blocking=True, message="", metadata=metadata)


def _unreadable(source: str, name: str, error: Exception) -> Ingest:
    verdict = Verdict(check="readable", passed=False, blocking=True, message=str(error), metadata={})
    return Ingest(source=source, tables={}, verdicts={name: [verdict]})


def _judge_columns(name: str, files: SourceFiles, required: Sequence[str], sentences: Sequence[str]) -> Verdict:
    in_all = [column for column in files.rows.columns if all(column in own for own in files.columns.values())]
    return judge_columns(name, required, in_all, sentences)


def _describe(files: SourceFiles, collapsed: Collapsed) -> dict[str, Any]:
    return {
        "files": ", ".join(list(files.columns)[:20]),
        "rows_identical": collapsed.identical,
        "rows_restated_by_a_later_file": collapsed.restated,
    }


def _with_calendar(outcome: pl.DataFrame) -> pl.DataFrame:
    """Outcome rows with the derived columns that the suite judges; a repeated date is no gap."""
    steps = calendar.with_steps(outcome.unique(["geo", "date"], keep="first", maintain_order=True))
    derived = steps.select("geo", "date", "days_since_previous", "previous_date")
    joined = outcome.join(derived, on=["geo", "date"], how="left", maintain_order="left")
    return calendar.with_dates_per_geo(joined)


def _namer(mapping: MarketingMapping) -> ColumnNamer:
    """Names the client's own column behind a table's, knowing the channel from the row's key."""
    outcome = {
        "date": mapping.date,
        "geo": mapping.geo,
        "outcome": mapping.outcome,
        "population": mapping.population,
    }
    channels = {channel.name: channel for channel in mapping.channels}

    def name(column: str, row: Mapping[str, Any]) -> str:
        channel = channels.get(str(row.get("channel")))
        if channel is not None and column == "spend":
            return channel.spend or column
        if channel is not None and column == "exposure":
            return channel.exposure or channel.reach or channel.spend or column
        own = outcome.get(column)
        return own if isinstance(own, str) else column

    return name


def _with_urls(files: SourceFiles) -> SourceFiles:
    return SourceFiles(rows=with_urls(files.rows), columns=files.columns, unreadable=files.unreadable)


def _explain_pages(set_aside: pl.DataFrame) -> pl.DataFrame:
    # The raw row of a page is the page itself, which stays in its file.
    reason = pl.when(pl.col("column") == "url").then(
        pl.lit('no <link rel="canonical"> with an absolute address; add path,url to pages.csv beside the page')
    )
    return set_aside.with_columns(reason.otherwise("reason").alias("reason"), pl.col("file").alias("raw"))
