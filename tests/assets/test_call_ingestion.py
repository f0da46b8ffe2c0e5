"""Files of recorded calls through ingestion: formats told apart, bad rows named, nothing dropped silently."""

from __future__ import annotations

import gzip
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "modules" / "llm"))

from recorded_exports import chat, langfuse_generation, mlflow_trace, otel_world, otlp, otlp_span

from liftos_pipelines.assets.ingestion import Ingest, ingest_source
from liftos_pipelines.clients import ClientError, read_client_file

NAME = "sources/llm_calls"
NOW = datetime(2025, 2, 20, tzinfo=UTC)
FLAT = {"call_id": "c1", "called_at": "2025-02-19T10:00:00Z", "model": "m", "prompt_name": "p", "prompt_version": "1",
        "input": "q", "output": "a", "latency_ms": 12, "input_tokens": 5, "output_tokens": 1}  # fmt: skip


def ingest(folder: Path, path: str, extra: str = "", files: dict[str, str | bytes] | None = None) -> Ingest:
    (folder / "data").mkdir(exist_ok=True)
    for name, content in (files or {}).items():
        (folder / "data" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "client.yaml").write_text(f"client: acme\nsources:\n  llm_calls: {{path: '{path}'{extra}}}\n")
    client = read_client_file(folder / "client.yaml")
    assert client.sources.llm_calls is not None
    return ingest_source(client, "llm_calls", client.sources.llm_calls, NOW)


def lines(*contents: Any) -> str:
    return "\n".join(json.dumps(each) for each in contents) + "\n"


def test_a_folder_of_four_formats_becomes_one_table(tmp_path: Path) -> None:
    read = ingest(
        tmp_path, "data/*",
        files={
            "a.jsonl": lines(FLAT),
            "b.json": json.dumps(otel_world(), indent=1),
            "c.json": json.dumps({"traces": [mlflow_trace()]}, indent=1),
            "d.json.gz": gzip.compress(json.dumps([langfuse_generation()]).encode()),
            "e.csv": "id,traceId,type,startTime,endTime,model\ng2,t2,GENERATION,2025-02-19 10:00:00,2025-02-19 10:00:01,m\n",
        },
    )  # fmt: skip
    assert not read.failures()
    table = read.tables[NAME].sort("call_id")
    assert table.height == 5
    assert read.metadata[NAME]["formats"] == "langfuse, mlflow, otel"
    assert read.quarantine.is_empty()
    # The dollar is not this client's currency and no rate is stated: costs are unknown, and counted.
    assert table["cost"].null_count() == 5
    assert read.metadata[NAME]["costs_in_dollars_without_a_rate"] == 2
    # An export says of each call whether it failed; a plain table without the column does not.
    assert table.filter(call_id="c1")["error"].to_list() == [None]
    assert table.filter(pl.col("call_id") != "c1")["error"].to_list() == [""] * 4


def test_a_rate_in_prices_yaml_turns_recorded_dollars_into_the_clients_money(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text("currency: USD\nrate: 0.5\n")
    files: dict[str, str | bytes] = {"c.jsonl": lines(mlflow_trace())}
    assert ingest(tmp_path, "data/c.jsonl", files=files).tables[NAME]["cost"].to_list() == pytest.approx([0.000015])
    (tmp_path / "prices.yaml").write_text("rate: high\n")
    assert "prices.yaml: rate" in ingest(tmp_path, "data/c.jsonl").failures()[0]


def test_what_could_not_be_used_stands_in_quarantine_with_file_row_span_and_reason(tmp_path: Path) -> None:
    spans = [otlp_span(f"{n:016x}", chat(), trace=f"{n:032x}") for n in range(1, 9)]
    half = otlp_span("00000000000000ff", chat(), end=None)
    negative = otlp_span("00000000000000fe", chat(**{"gen_ai.usage.output_tokens": -3}))
    read = ingest(tmp_path, "data/o.jsonl", files={"o.jsonl": lines(otlp(*spans, half), otlp(negative)) + "{oops\n"})
    assert not read.failures()
    assert read.tables[NAME].height == 9
    aside = {(row, column): reason for _, row, column, reason, _ in read.quarantine.rows()}
    assert set(aside) == {(9, "end"), (3, "")}
    assert "span 0af7651916cd43dd8448eb211c80319c/00000000000000ff" in aside[(9, "end")]
    assert read.made_null.rows()[0][:3] == ("data/o.jsonl", 10, "output_tokens")
    assert read.metadata[NAME]["values_unknown"] == 1


def test_many_half_traces_stop_the_source(tmp_path: Path) -> None:
    spans = [otlp_span(f"{n:016x}", chat(), end=250 if n < 5 else None) for n in range(1, 9)]
    failed = ingest(tmp_path, "data/o.json", files={"o.json": json.dumps(otlp(*spans))}).failures()
    assert "4 of 8 rows cannot be read" in failed[0]


def test_a_negative_count_in_a_plain_table_is_unknown_and_named_and_a_strange_time_is_set_aside(tmp_path: Path) -> None:
    rows = [FLAT | {"call_id": f"c{n}"} for n in range(20)]
    rows[3] |= {"input_tokens": -5, "propensity": 2}
    rows[4] |= {"called_at": "2031-01-01T00:00:00Z"}
    read = ingest(tmp_path, "data/a.jsonl", files={"a.jsonl": lines(*rows)})
    assert not read.failures()
    assert read.tables[NAME].height == 19
    assert read.tables[NAME].filter(call_id="c3").select("input_tokens", "propensity").rows() == [(None, None)]
    assert sorted(read.made_null["column"]) == ["input_tokens", "propensity"]
    assert "in the future" in read.quarantine["reason"][0]


def test_a_stated_format_is_taken_at_its_word_and_a_wrong_one_says_what_it_expected(tmp_path: Path) -> None:
    read = ingest(tmp_path, "data/a.jsonl", ", format: otel", files={"a.jsonl": lines(FLAT)})
    assert "neither a span nor an OTLP export" in read.quarantine["reason"][0]
    assert read.failures()


@pytest.mark.parametrize(
    ("source", "fields", "said"),
    [
        ("llm_calls", "format: phoenix", "sources.llm_calls.format"),
        ("mentions", "format: otel", "sources.mentions.format: this field is not known"),
        ("llm_calls", "unit: device", "sources.llm_calls.unit"),
    ],
)
def test_a_format_is_for_calls_only_and_one_of_four(tmp_path: Path, source: str, fields: str, said: str) -> None:
    file = tmp_path / "client.yaml"
    file.write_text(f"client: acme\nsources:\n  {source}: {{path: x.json, {fields}}}\n")
    with pytest.raises(ClientError) as error:
        read_client_file(file)
    assert said in str(error.value)


def test_a_broken_document_and_an_unknown_ending_name_the_file(tmp_path: Path) -> None:
    broken = ingest(tmp_path, "data/b.json", files={"b.json": '{"resourceSpans": [\n'})
    assert "data/b.json is not readable as JSON" in broken.failures()[0]
    unknown = ingest(tmp_path, "data/b.txt", files={"b.txt": "x"})
    assert 'the ending ".txt" is not known' in unknown.failures()[0]
