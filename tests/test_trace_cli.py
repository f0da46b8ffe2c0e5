"""`liftos trace` and `liftos metrics`: the tree as printed, from a real home with and without its other stores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from liftos_pipelines import settings
from liftos_pipelines.cli import app
from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.spine import telemetry
from liftos_pipelines.spine.metrics import counter, histogram
from liftos_pipelines.spine.payloads import SentimentDropDetected
from liftos_pipelines.spine.tracing import span
from liftos_pipelines.tables import table

NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def correlation(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A drop that nothing has answered yet, with the mention it was seen in and what memory kept of it."""
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.delenv("LIFTOS_DAGSTER_URL", raising=False)
    (home / "clients" / "acme").mkdir()
    (home / "clients" / "acme" / "client.yaml").write_text("client: acme\n", encoding="utf-8")
    drop = SentimentDropDetected(
        alert_id="alert-0001",
        campaign_id="c1",
        detected_at=NOW,
        window_start=date(2026, 2, 1),
        window_end=date(2026, 2, 14),
        severity=0.5,
        effect=-0.3,
        n=200,
    )
    event = open_spine().raise_event("acme", drop, occurred_at=NOW)
    lake = Lake(settings.lake_uri())
    alert = {"alert_id": ["alert-0001"], "exemplars": [["m-1"]], "detected_at": [NOW]}
    lake.write("acme", "sentiment/alerts", _filled("sentiment/alerts", alert))
    said = {"mention_id": ["m-1"], "text": ["where is my parcel"], "published_at": [NOW]}
    lake.write("acme", "sources/mentions", _filled("sources/mentions", said))
    kept = {
        "memory_id": ["mabcdef0123456789"],
        "kind": ["alert"],
        "text": ["parcels are late"],
        "recorded_at": [NOW],
        "provenance": [json.dumps({"key": "alert-0001", "event": event.event_id, "run": "run-7"})],
    }
    lake.write("acme", "memory/items", _filled("memory/items", kept))
    with span("reaction causal/impact", correlation_id=event.correlation_id):
        pass
    yield event.correlation_id
    telemetry.shutdown()


def _filled(name: str, values: dict[str, list[object]]) -> pl.DataFrame:
    """A row of a contract table with these values, and nothing else known."""
    columns = table(name).columns
    return pl.DataFrame({column: values.get(column, [None]) for column in columns}, schema=dict(columns), strict=False)


def _printed(*arguments: str) -> str:
    telemetry.flush()
    ran = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return " ".join(ran.output.replace("│", " ").split())


def test_the_tree_goes_from_mention_to_what_still_waits(correlation: str) -> None:
    text = _printed("trace", correlation)
    assert "mention m-1: where is my parcel" in text
    assert "causal/impact: no reaction yet" in text
    assert "remembered as alert: parcels are late" in text
    assert "run run-7" in text
    assert "reaction causal/impact" in _printed("trace", correlation, "--spans")


def test_every_id_of_the_chain_leads_to_it(correlation: str) -> None:
    for wanted in (correlation[:10], "alert-0001", "mabcdef0123"):
        assert "sentiment_drop_detected" in _printed("trace", wanted), wanted


def test_json_holds_the_whole_chain(correlation: str) -> None:
    told = json.loads(CliRunner().invoke(app, ["trace", correlation, "--json"]).output)
    (chain,) = told["chains"]
    assert chain["complete"] is False
    assert chain["root"]["children"][0]["title"] == "sentiment_drop_detected"


def test_the_ui_is_linked_where_it_is_known(correlation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFTOS_DAGSTER_URL", "http://ui.example/")
    assert "http://ui.example/runs/run-7" in _printed("trace", correlation)


def test_a_store_that_cannot_be_read_is_told_and_the_rest_is_shown(correlation: str) -> None:
    telemetry.shutdown()
    telemetry.telemetry_file().write_bytes(b"rubbish" * 1000)
    text = _printed("trace", correlation)
    assert "local spans could not be read" in text
    assert "causal/impact: no reaction yet" in text


def test_an_unknown_id_says_what_to_do(correlation: str) -> None:
    ran = CliRunner().invoke(app, ["trace", "nothing-of-the-kind"])
    assert ran.exit_code != 0
    assert "liftos events list" in str(ran.exception)


def test_metrics_in_words_and_for_prometheus(correlation: str) -> None:
    counter("liftos.recalls").add(4, {"encoder": "static"})
    histogram("liftos.recall.duration").record(0.004, {"encoder": "static"})
    text = _printed("metrics")
    assert "recalls" in text
    assert "static 4" in text
    assert "events waiting for an answer" in text
    assert 'liftos_reactions_backlog{reaction="causal/impact"} 1' in _printed("metrics", "--prometheus")


def test_a_run_is_shown_with_everything_below_it(correlation: str) -> None:
    run_id = "5bc921c8-d5fd-4b5d-9702-e954a007dc34"
    with span("run", correlation_id=run_id, attributes={"dagster.run.id": run_id}), span("asset"), span("memory write"):
        pass
    text = _printed("trace", run_id)
    assert "3 span(s)" in text
    assert text.index("run") < text.index("asset") < text.index("memory write")
