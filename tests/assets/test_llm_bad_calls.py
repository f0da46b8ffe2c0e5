"""Calls as they come from the wild, through the whole of Lift LLM: what cannot be is named, nothing else stops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from rich.console import Console

from liftos_pipelines.resources.lake import Lake, LakeResource
from liftos_pipelines.running import RunReport, run_client

ASSETS = (
    *("sources/llm_calls", "llm/call_scores", "llm/performance", "llm/screens", "llm/bias_report", "llm/judgements"),
    *("llm/content_scores", "llm/content_performance", "llm/regressions", "llm/leaderboard", "llm/drift", "llm/claims"),
    *("llm/judge_agreement", "llm/experiments", "llm/experiment_looks", "llm/allocation", "llm/suggestions"),
)
GOOD = [
    {
        "call_id": f"good{i}", "called_at": f"2025-03-{1 + i % 28:02d}T10:00:00Z", "model": "m", "prompt_name": "ad_copy",
        "prompt_version": "1", "variant": "AB"[i % 2], "input": "Write an ad", "context": "It costs 42 EUR.",
        "output": "Headline: Boots\nBuy now for 42 EUR.", "latency_ms": 500.0, "input_tokens": 100, "output_tokens": 20,
    }
    for i in range(70)
]  # fmt: skip
STRANGE: dict[str, dict[str, Any]] = {
    "negative tokens": {"input_tokens": -5},
    "negative latency": {"latency_ms": -3},
    "a probability of two": {"propensity": 2},
    "a rating of seven": {"user_feedback": 7},
    "no zone": {"called_at": "2025-03-03T10:00:00"},
    "no output": {"output": None},
    "half a character": {"output": "cut in the emoji \ud83d", "input": "\udc00?"},
    "a null byte": {"output": "a\x00b"},
    "a structure": {"output": ["a", {"b": 1}], "context": {"price": 42}},
    "an object that never ends": {"output": '{"a":' * 5_000},
    "spaces": {"output": "Headline" + " " * 10_000 + "x"},
    "a table": {"context": "17 4 " * 1_000, "output": "It is 123 EUR, 5 % more."},
    "a large text": {"output": "The boots cost 42 EUR. " * 1_000},
}
UNREADABLE: dict[str, dict[str, Any]] = {
    "a time that is none": {"called_at": "yesterday"},
    "a time to come": {"called_at": "2999-01-01T00:00:00Z"},
    "latency in words": {"latency_ms": "1,234"},
    "no model": {"model": None},
}


def run(home: Path, instance: dg.DagsterInstance, rows: list[dict[str, Any]], select: str) -> tuple[RunReport, Lake]:
    from liftos_pipelines.definitions import defs

    folder = home / "clients" / "acme"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "client.yaml").write_text(
        "client: acme\nbrand: {name: Norvik}\nsources: {llm_calls: {path: calls.jsonl}}\n"
    )
    (folder / "calls.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    report = run_client("acme", select, defs=defs, instance=instance, console=Console(quiet=True))
    return report, LakeResource().get()


@pytest.fixture
def strange() -> list[dict[str, Any]]:
    many = {**STRANGE, **UNREADABLE}.items()
    return [GOOD[0] | {"call_id": name, "input": f"about {name}"} | said for name, said in many]


def test_strange_calls_stop_no_asset_of_a_client_without_anything_else(
    home: Path, instance: dg.DagsterInstance, strange: list[dict[str, Any]]
) -> None:
    report, lake = run(home, instance, [*GOOD, *strange], ",".join(ASSETS))
    assert {outcome.asset: outcome.message for outcome in report.assets if outcome.status == "failed"} == {}
    assert {outcome.asset for outcome in report.assets} == set(ASSETS)
    calls = {row["call_id"]: row for row in lake.read("acme", "sources/llm_calls").iter_rows(named=True)}
    assert set(calls) == {row["call_id"] for row in GOOD} | set(STRANGE)
    assert calls["half a character"]["output"] == "cut in the emoji \ufffd"
    assert (calls["negative tokens"]["input_tokens"], calls["negative latency"]["latency_ms"]) == (None, None)
    assert calls["a probability of two"]["propensity"] is None
    assert calls["a rating of seven"]["user_feedback"] is None
    assert calls["a structure"]["output"] == '["a", {"b": 1}]'
    aside = pl.read_delta(str(home / "lake" / "acme" / "quarantine" / "llm_calls"))
    named = dict(aside.select("row", "column").iter_rows())
    first = len(GOOD) + len(STRANGE) + 1
    assert {named[first + i] for i in range(len(UNREADABLE))} == {"called_at", "latency_ms", "model"}
    assert set(aside["file"]) == {"calls.jsonl"}


def test_a_crash_that_was_tried_again_is_told_by_what_it_was(
    home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from liftos_pipelines.assets import ingestion

    def broken(*_: object) -> None:
        raise ArithmeticError("seven is not eight")

    monkeypatch.setattr(ingestion, "set_strange_aside", broken)
    report, _ = run(home, instance, GOOD, "sources/llm_calls")
    (outcome,) = report.assets
    assert outcome.status == "failed"
    assert "seven is not eight" in outcome.message
