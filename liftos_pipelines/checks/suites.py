"""What each source's rows must keep: one suite of rules a table, in the words of Great Expectations.

A rule names its check, the expectation that judges it, and what to do when it fails. Blocking rules stop the
source: nothing is written, the last good table stays. The others warn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from liftos_pipelines.modules.sources.calendar import STEPS
from liftos_pipelines.tables import TIME, table

EARLIEST = datetime(1990, 1, 1)
FRESH_DAYS = {
    # Twice the rhythm in which each source usually arrives.
    "sources/marketing_outcome": 14,
    "sources/mentions": 2,
    "sources/answers": 14,
    "sources/llm_calls": 2,
    "sources/agent_steps": 2,
}
AGENT_STAGES = ("draft", "review", "shadow", "canary", "live", "suspended", "retired")
STEP_LABELS = ("message", "reasoning", "tool_call", "tool_result", "outcome")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One expectation of a suite: `type` and `arguments` in Great Expectations' words, `columns` it needs."""

    check: str
    type: str
    columns: tuple[str, ...]
    arguments: dict[str, Any] = field(default_factory=dict)
    problem: str
    fix: str
    blocking: bool = True


def rules_of(name: str, now: datetime, *, step: int | None = None) -> list[Rule]:
    """The suite of `sources/<table>`; `now` bounds times, `step` is a panel's days per row."""
    contract = table(name)
    key = contract.key
    rules = [
        Rule(
            check="keys_unique",
            type="expect_column_values_to_be_unique" if len(key) == 1 else "expect_compound_columns_to_be_unique",
            arguments={"column": key[0]} if len(key) == 1 else {"column_list": list(key)},
            columns=key,
            problem=f"the key ({', '.join(key)}) stands in several rows of one file with different contents",
            fix="Keep one row a key; a correction belongs in a later file of a glob, or replaces the row."
            + (" If there is one row per geo, name the geo column in the mapping." if "geo" in key else ""),
        )
    ]
    if name != "sources/marketing_controls":
        rules.append(
            Rule(
                check="not_empty",
                type="expect_table_row_count_to_be_between",
                arguments={"min_value": 1},
                columns=(),
                problem="there is no readable row",
                fix="Write rows below the header, or remove the source from client.yaml.",
            )
        )
    moments = [column for column, dtype in contract.columns.items() if dtype == TIME]
    rules += [_between(column, EARLIEST, _naive(now) + timedelta(days=1), "in_range") for column in moments]
    rules += _OWN.get(name, [])
    if name == "sources/marketing_outcome":
        rules.append(_continuous(step))
    if name in FRESH_DAYS:
        rules.append(_fresh(moments[0] if moments else "date", FRESH_DAYS[name], now))
    return rules


def _between(column: str, low: Any, high: Any, name: str, problem: str = "", fix: str = "", **more: Any) -> Rule:
    bounds = {"min_value": low, "max_value": high}
    return Rule(
        check=f"{column}_{name}",
        type="expect_column_values_to_be_between",
        arguments={"column": column} | {bound: value for bound, value in bounds.items() if value is not None} | more,
        columns=(column,),
        problem=problem or f"{column} lies outside {low:%Y-%m-%d} to {high:%Y-%m-%d}",
        fix=fix or "Mend the date in the file.",
    )


def _not_negative(column: str, fix: str = "Correct the number in the file.") -> Rule:
    return _between(column, 0, None, "not_negative", f"{column} is negative", fix)


def _positive(column: str) -> Rule:
    fix = "Correct the number in the file."
    return _between(column, 0, None, "positive", f"{column} is not above zero", fix, strict_min=True)


def _one_of(column: str, values: Sequence[Any]) -> Rule:
    allowed = ", ".join(str(value) for value in values)
    return Rule(
        check=f"{column}_known",
        type="expect_column_values_to_be_in_set",
        arguments={"column": column, "value_set": list(values)},
        columns=(column,),
        problem=f"{column} is none of: {allowed}",
        fix=f"Write one of: {allowed}.",
    )


def _in_order(first: str, second: str) -> Rule:
    return Rule(
        check=f"{second}_not_before_{first}",
        type="expect_column_pair_values_a_to_be_greater_than_b",
        arguments={
            "column_A": second,
            "column_B": first,
            "or_equal": True,
            "ignore_row_if": "either_value_is_missing",
        },
        columns=(first, second),
        problem=f"{second} lies before {first}",
        fix="Swap or mend the dates in the file.",
    )


def _fresh(column: str, days: int, now: datetime) -> Rule:
    return Rule(
        check="freshness",
        type="expect_column_max_to_be_between",
        arguments={"column": column, "min_value": _naive(now) - timedelta(days=days)},
        columns=(column,),
        problem=f"the newest {column} is more than {days} days old",
        fix="Deliver newer data; results below describe the past.",
        blocking=False,
    )


def _continuous(step: int | None) -> Rule:
    known = STEPS.get(step or 0)
    usual = f"the panel is {known}" if known else f"the usual step is {step} days; only daily and weekly panels fit"
    return Rule(
        check="dates_continuous",
        type="expect_column_values_to_be_in_set",
        arguments={
            "column": "days_since_previous",
            "value_set": [float(step)] if known and step else [1.0, 7.0],
        },
        columns=("days_since_previous", "previous_date"),
        problem=f"the dates are not continuous ({usual})",
        fix="Add the missing dates (a week without spend is a row with 0), or mend the date that is wrong.",
    )


_OWN: dict[str, list[Rule]] = {
    "sources/marketing_outcome": [
        _not_negative("outcome"),
        _not_negative("revenue"),
        _positive("population"),
        Rule(
            check="geos_complete",
            type="expect_column_values_to_be_between",
            arguments={"column": "dates_missing", "max_value": 0},
            columns=("dates_missing", "geo"),
            problem="a geo lacks dates that others have",
            fix="Add its dates if they exist.",
            blocking=False,
        ),
    ],
    "sources/marketing_media": [
        _not_negative("spend", "Write the amount spent; book refunds in the week that they correct."),
        _not_negative("exposure"),
        _one_of("kind", ["paid", "organic"]),
    ],
    "sources/experiments": [_positive("std_error"), _not_negative("spend"), _in_order("start", "end")],
    "sources/mentions": [_not_negative("engagement")],
    "sources/labelled_mentions": [_one_of("label", ["negative", "neutral", "positive"])],
    "sources/campaigns": [_not_negative("budget"), _in_order("start", "end")],
    "sources/pages": [
        Rule(
            check="url_absolute",
            type="expect_column_values_to_match_regex",
            arguments={"column": "url", "regex": r"^https?://[^/\s]+"},
            columns=("url",),
            problem="the page's address is not absolute",
            fix="Write https://... in the page's canonical link or in pages.csv.",
        )
    ],
    "sources/llm_calls": [
        *(_not_negative(column) for column in ("latency_ms", "input_tokens", "output_tokens", "cost")),
        _one_of("user_feedback", [-1, 0, 1]),
    ],
    "sources/agents": [_one_of("stage", AGENT_STAGES), _not_negative("budget")],
    "sources/agent_steps": [
        _one_of("kind", STEP_LABELS),
        _not_negative("step"),
        _not_negative("cost"),
        _between("confidence", 0, 1, "in_range", "confidence lies outside 0 to 1", "Write a probability."),
    ],
    "sources/outcomes": [_positive("std_error")],
}


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)
