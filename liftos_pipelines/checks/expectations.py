"""Judges a source's rows with Great Expectations before anything is written, and says what to mend."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines import helper
from liftos_pipelines.checks.evaluation import Answer, evaluate
from liftos_pipelines.checks.suites import Rule, rules_of
from liftos_pipelines.modules.sources.rows import FILE, ROW
from liftos_pipelines.tables import table

EXAMPLES = 5
QUARANTINE_LIMIT = 0.2
"""Above this share of rows set aside the file, not the rows, is wrong."""
PANEL_QUARANTINE_LIMIT = 0.0
"""A panel that lacks a row is wrong at once: marketing is all or nothing."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How one rule was judged; `message` is empty when it passed."""

    check: str
    passed: bool
    blocking: bool
    message: str
    metadata: dict[str, Any]


ColumnNamer = Callable[[str, dict[str, Any]], str]
"""From a table's column and a row of its key to the column's name in the client's files."""


def judge(
    name: str, rows: pl.DataFrame, rules: Sequence[Rule], named: ColumnNamer = lambda column, _: column
) -> list[Verdict]:
    """Judge rows by a suite of Great Expectations.

    Parameters
    ----------
    rows : typed rows with `_file` and `_row`
    named : how a table's column is called in the client's files, for messages

    Returns
    -------
    one verdict a rule, in their order; a failed one names file, row, column, value and the fix
    """
    key = table(name).key
    needed = dict.fromkeys([*(column for rule in rules for column in rule.columns), *key, FILE, ROW])
    frame = rows.select(column for column in needed if column in rows.columns)
    index = [column for column in (FILE, ROW, *key, "previous_date") if column in frame.columns]
    answers = helper.call(evaluate, name, frame, list(rules), index, EXAMPLES)
    return [_verdict(rule, answer, named) for rule, answer in zip(rules, answers, strict=True)]


def judge_columns(name: str, required: Sequence[str], present: Sequence[str], sentences: Sequence[str]) -> Verdict:
    """The check `columns`: what the files' headers must hold. `sentences` explain what is missing."""
    rule = Rule(
        check="columns",
        type="expect_table_columns_to_match_set",
        arguments={"column_set": list(dict.fromkeys(required)), "exact_match": False},
        columns=tuple(present),
        problem="a column is missing",
        fix="",
    )
    frame = pl.DataFrame(schema={column: pl.String() for column in (*present, FILE)} | {ROW: pl.Int64()})
    verdict = judge(name, frame, [rule])[0]
    if verdict.passed:
        return verdict
    return Verdict(
        check="columns", passed=False, blocking=True, message="\n".join(sentences), metadata=verdict.metadata
    )


def judge_quarantine(rows: int, set_aside: pl.DataFrame, limit: float = QUARANTINE_LIMIT) -> Verdict:
    """The check `quarantine`: how many rows could not be read. Above the limit it blocks, below it warns."""
    bad = set_aside.select("file", "row").unique().height
    share = bad / (rows + bad) if rows + bad else 0.0
    examples = [
        f"{file} row {row}" + (f': column "{column}" {reason}' if column else f": {reason}")
        for file, row, column, reason in set_aside.select("file", "row", "column", "reason").head(EXAMPLES).iter_rows()
    ]
    stops = f" (more than {limit:.0%} stops the source)" if share > limit else ""
    message = ""
    if bad:
        message = f"{bad} of {rows + bad} rows cannot be read and are in quarantine{stops}: " + "; ".join(examples)
    return Verdict(
        check="quarantine",
        passed=bad == 0,
        blocking=share > limit,
        message=message,
        metadata={
            "rows_set_aside": float(bad),
            "share": share,
            "limit": limit,
            "examples": "\n".join(examples) or "none",
        },
    )


def check_results(name: str, verdicts: Sequence[Verdict]) -> list[dg.AssetCheckResult]:
    """The verdicts as Dagster sees them."""
    return [
        dg.AssetCheckResult(
            asset_key=name.split("/"),
            check_name=verdict.check,
            passed=verdict.passed,
            severity=dg.AssetCheckSeverity.ERROR if verdict.blocking else dg.AssetCheckSeverity.WARN,
            description=verdict.message or None,
            metadata=verdict.metadata,
        )
        for verdict in verdicts
    ]


def check_specs(name: str, *, of_files: bool = True) -> list[dg.AssetCheckSpec]:
    """All checks of a source's table; `of_files` adds those that judge the files themselves."""
    files = [
        ("readable", True, "The files are there, complete and decodable."),
        ("columns", True, "The files hold every column that is needed."),
        (
            "quarantine",
            True,
            "Rows that cannot be read are few; above the limit the source stops.",
        ),
    ]
    rules = [(rule.check, rule.blocking, f"Not so: {rule.problem}.") for rule in rules_of(name, datetime(2000, 1, 1))]
    return [
        dg.AssetCheckSpec(name=check, asset=name.split("/"), blocking=blocking, description=description)
        for check, blocking, description in [*(files if of_files else []), *rules]
    ]


def _verdict(rule: Rule, answer: Answer, named: ColumnNamer) -> Verdict:
    if answer["error"] is not None:
        raise RuntimeError(f"check {rule.check}: {answer['error']}")
    found = answer["result"]
    metadata: dict[str, Any] = {"expectation": rule.type}
    for label, name in (("rows", "element_count"), ("unexpected", "unexpected_count")):
        if found.get(name) is not None:
            metadata[label] = float(found[name])
    if found.get("observed_value") is not None:
        metadata["observed"] = str(found["observed_value"])
    passed = bool(answer["success"])
    if rule.check == "freshness" and str(found.get("observed_value")) in ("None", "NaT"):
        passed = True  # no row at all: `not_empty` says so
    if passed:
        return Verdict(check=rule.check, passed=True, blocking=rule.blocking, message="", metadata=metadata)
    places = [_place(rule, example, named) for example in found.get("partial_unexpected_index_list") or []]
    more = int(found.get("unexpected_count") or 0) - len(places)
    if more > 0 and places:
        places.append(f"and {more} more")
    where = "; ".join(places) or (f"found {metadata['observed']}" if "observed" in metadata else "")
    message = f"{rule.problem}: {where}. {rule.fix}" if where else f"{rule.problem}. {rule.fix}"
    metadata["examples"] = where or "none"
    return Verdict(check=rule.check, passed=False, blocking=rule.blocking, message=message, metadata=metadata)


def _place(rule: Rule, example: dict[str, Any], named: ColumnNamer) -> str:
    """One failing row, as a person finds it: file, row, column, value, and the rest of its key."""
    judged = {str(value) for argument, value in rule.arguments.items() if argument.lower().startswith("column")}
    judged |= set(rule.arguments.get("column_list", []))
    values = [f'column "{named(name, example)}" is {_said(value)}' for name, value in example.items() if name in judged]
    beside = [
        f"{name.replace('_', ' ')} {_said(value)}"
        for name, value in example.items()
        if name not in (FILE, ROW) and name not in judged
    ]
    place = f"{example.get(FILE)} row {example.get(ROW)}: {', '.join(values)}"
    return f"{place} ({', '.join(beside)})" if beside else place


def _said(value: Any) -> str:
    text = str(value.item() if hasattr(value, "item") else value)
    text = re.sub(r" 00:00:00(\.0+)?$", "", text)
    return text if len(text) <= 80 else text[:77] + "..."
