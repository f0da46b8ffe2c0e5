"""Typing: what can be read is read exactly, what cannot is set aside with its place, nothing becomes a zero."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liftos_pipelines.modules.sources.cells import read_cells
from liftos_pipelines.modules.sources.rows import ignored_columns, missing_columns, type_rows
from liftos_pipelines.tables import DATE, FLOAT, INT, TEXT, TEXTS, TIME, table


def read(texts: list[str | None], dtype: pl.DataType) -> tuple[list[object], list[bool]]:
    values, unreadable = read_cells(pl.Series("x", texts, dtype=pl.String), dtype)
    return values.to_list(), unreadable.to_list()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_numbers_written_out_come_back_exactly(numbers: list[float]) -> None:
    values, unreadable = read([repr(number) for number in numbers], FLOAT)
    assert values == numbers
    assert not any(unreadable)


@given(
    st.lists(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)), min_size=1, max_size=20), st.integers(-12, 14)
)
@settings(max_examples=50, deadline=None)
def test_times_written_out_come_back_in_utc(times: list[datetime], offset: int) -> None:
    zone = timezone(timedelta(hours=offset))
    naive, _ = read([time.isoformat() for time in times], TIME)
    assert naive == [time.replace(tzinfo=UTC) for time in times]
    zoned, _ = read([time.replace(tzinfo=zone).isoformat(" ") for time in times], TIME)
    assert zoned == [time.replace(tzinfo=zone).astimezone(UTC) for time in times]


@given(st.lists(st.text(min_size=1), max_size=5))
@settings(max_examples=50, deadline=None)
def test_lists_written_as_json_come_back(texts: list[str]) -> None:
    values, _ = read([json.dumps(texts)], TEXTS)
    assert values == [texts]


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("1,234.5", FLOAT), ("1,5", FLOAT), ("12 EUR", FLOAT), ("inf", FLOAT), ("1_000", FLOAT),
        ("12.5", INT), ("many", INT), ("1e30", INT),
        ("31/05/2024", DATE), ("2024-13-01", DATE), ("2024-02-30", DATE), ("May 2024", DATE), ("45413", DATE),
        ("1714558200", TIME), ("2024-05-01T25:00", TIME), ("yesterday", TIME),
        ("[1, 2", TEXTS),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_marked_and_not_guessed(text: str, dtype: pl.DataType) -> None:
    assert read([text], dtype) == ([None], [True])


@pytest.mark.parametrize("dtype", [FLOAT, INT, DATE, TIME, TEXTS])
def test_a_cell_that_says_nothing_is_null_and_never_zero(dtype: pl.DataType) -> None:
    assert read(["", " ", "NA", "null", "NaN", None], dtype) == ([None] * 6, [False] * 6)


def test_text_keeps_what_it_says_even_when_that_is_na() -> None:
    assert read(["NA", " spaced ", "  "], TEXT)[0] == ["NA", " spaced ", None]


def test_whole_numbers_from_tools_that_write_a_point_are_read() -> None:
    assert read(["12.0", "-3", "9007199254740993"], INT)[0] == [12, -3, 9007199254740993]


def test_a_date_with_a_time_is_the_day_as_written() -> None:
    assert read(["2024-05-01T23:30:00-05:00", "2024-05-02 00:00:00"], DATE)[0] == [date(2024, 5, 1), date(2024, 5, 2)]


def test_a_row_with_one_bad_cell_is_set_aside_whole_with_every_reason() -> None:
    raw = pl.DataFrame(
        {
            "outcome_id": ["o1", "o2"], "decided_at": ["2024-01-01", "soon"], "context": ["c", "c"], "action": ["a", ""],
            "metric": ["m", "m"], "effect": ["1", "2"], "std_error": ["1", "1"], "_file": ["f.csv"] * 2, "_row": [2, 3],
        }
    )  # fmt: skip
    typed = type_rows(raw, table("sources/outcomes"))
    assert typed.rows["outcome_id"].to_list() == ["o1"]
    assert typed.quarantine.select("file", "row", "column").rows() == [
        ("f.csv", 3, "decided_at"),
        ("f.csv", 3, "action"),
    ]
    assert json.loads(typed.quarantine["raw"][0])["decided_at"] == "soon"


def test_an_unmeasured_latency_is_unknown_and_keeps_its_row() -> None:
    raw = pl.DataFrame(
        {"call_id": ["c"], "called_at": ["2024-01-01"], "model": ["m"], "prompt_name": ["p"], "prompt_version": ["1"],
         "input": ["q"], "output": [""], "latency_ms": [None], "input_tokens": [""], "output_tokens": ["5"],
         "_file": ["f"], "_row": [1]},
        schema_overrides={"latency_ms": pl.String},
    )  # fmt: skip
    row = type_rows(raw, table("sources/llm_calls")).rows.to_dicts()[0]
    assert row["latency_ms"] is None
    assert row["input_tokens"] is None
    assert row["output_tokens"] == 5
    assert not math.isnan(row["output_tokens"])


def test_a_missing_column_is_named_with_the_closest_one() -> None:
    said = missing_columns(
        "clients/a/client.yaml: sources.mentions",
        table("sources/mentions"),
        {"m.csv": ["mention_id", "publishedat", "source", "text"]},
    )
    assert said == [
        'clients/a/client.yaml: sources.mentions: column "published_at" is not in m.csv (closest: "publishedat"). '
        "Fix the name or the file."
    ]


def test_an_unknown_column_close_to_an_optional_one_is_asked_about() -> None:
    said = ignored_columns(table("sources/mentions"), {"m.csv": ["mention_id", "langauge", "shoe_size"]})
    assert said == ['langauge (did you mean "language"?)', "shoe_size"]
