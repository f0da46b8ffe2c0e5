"""Recorded calls: how fast they are read and become MLflow traces, and whether their costs reconcile to the cent."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl

from liftos_pipelines.bench.call_exports import EXPORTS, MODELS, calls
from liftos_pipelines.bench.figure import Figure
from liftos_pipelines.tables import table

READ, IMPORTED, ONE_BY_ONE, PRICED = 5_000, 2_000, 60, 20_000
BENCHMARK = "llm"
DOLLARS = {
    "gpt-4o-mini": (0.15, 0.6, 0.075),
    "gpt-4o": (2.5, 10.0, 1.25),
    "claude-3-5-haiku-20241022": (0.8, 4.0, 0.08),
}
"""Input, output and cached input per million tokens, stated here so that the sum by hand rests on nothing else."""


def measure(_: Path) -> Iterator[Figure]:
    """Figures of reading, pricing and importing; nothing but generated calls is needed."""
    yield from _reading()
    yield _reconciled()
    yield from _importing()


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    contract = table("sources/llm_calls")
    full = [{column: row.get(column) for column in contract.columns} for row in rows]
    return pl.DataFrame(full, schema=contract.columns, orient="row")


def _reading() -> Iterator[Figure]:
    from liftos_pipelines.clients import read_client_file
    from liftos_pipelines.resources.call_files import read_calls

    rows = calls(READ)
    speed: dict[str, float] = {}
    for name, write in EXPORTS.items():
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "calls.jsonl").write_text(write(rows), encoding="utf-8")
            file = Path(folder) / "client.yaml"
            file.write_text("client: bench\nsources:\n  llm_calls: {path: calls.jsonl}\n", encoding="utf-8")
            client = read_client_file(file)
            assert client.sources.llm_calls is not None
            began = time.perf_counter()
            found = read_calls(client, client.sources.llm_calls, lambda: None)
            speed[name] = READ / (time.perf_counter() - began)
        if found.files.rows.height != READ or found.files.unreadable.height:
            raise AssertionError(f"{name}: {found.files.rows.height} of {READ} calls were read")
        plain = "plain table, JSONL"
        yield Figure(
            benchmark=BENCHMARK, name=f"calls read a second, {name}", value=speed[name], unit="calls/s", n=READ,
            method="one file to rows of text, with retriever and root spans where the tool has them; one process",
            baseline=None if name == plain else plain, baseline_value=None if name == plain else speed[plain],
        )  # fmt: skip


def _reconciled() -> Figure:
    """The difference, in cents, between the costs of the tables and a sum by hand in whole fractions."""
    from liftos_pipelines.modules.llm.prices import Price, PriceTable, priced, total

    rows = calls(PRICED, seed=11)
    prices = {name: Price.of(given, came, cache_read=read) for name, (given, came, read) in DOLLARS.items()}
    listed = PriceTable(prices=prices, currency="USD", rate=Decimal("0.92"), source="bench")
    costs = priced(_frame(rows), listed)["cost"]
    exact = Fraction(0)
    for row in rows:
        given, came, read = (Fraction(str(price)) for price in DOLLARS[row["model"]])
        fresh = row["input_tokens"] - row["cache_read_tokens"]
        exact += fresh * given + row["cache_read_tokens"] * read + row["output_tokens"] * came
    by_hand = round(exact / 1_000_000 * Fraction("0.92") * 100)
    told = total(costs)
    assert told is not None
    each_rounded = sum(round(float(cost) * 100) for cost in costs)
    return Figure(
        benchmark=BENCHMARK,
        name="cost off by",
        value=float(abs(told * 100 - by_hand)),
        unit="cent",
        method=f"{PRICED:,} calls of {len(MODELS)} models with cached tokens and a rate, against exact fractions",
        n=PRICED,
        goal="0",
        baseline="each call rounded to the cent",
        baseline_value=float(abs(each_rounded - by_hand)),
    )


def _importing() -> Iterator[Figure]:
    from liftos_pipelines.modules.llm.prices import Price, PriceTable, priced
    from liftos_pipelines.modules.llm.traces import call_traces
    from liftos_pipelines.resources.mlflow_store import experiment_of, open_store
    from liftos_pipelines.resources.mlflow_traces import TraceStore

    prices = {name: Price.of(given, came, cache_read=read) for name, (given, came, read) in DOLLARS.items()}
    listed = PriceTable(prices=prices, currency="USD", rate=1, source="bench")
    rows = calls(IMPORTED)
    frame = _frame(rows)
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        mlflow = open_store(uri)
        experiment = mlflow.create_experiment("bench", artifact_location=Path(folder).as_uri())
        assert experiment_of(mlflow, "bench") == experiment
        single = _one_by_one(mlflow, experiment, rows[:ONE_BY_ONE])
        began = time.perf_counter()
        made = call_traces("bench", frame, priced(frame, listed), listed, {}, usd_rate=Decimal(1))
        store = TraceStore(uri, "bench")
        written = sum(store.write(made))
        taken = time.perf_counter() - began
        began = time.perf_counter()
        again = sum(store.write(made))
        unchanged = time.perf_counter() - began
        found = mlflow.search_traces(locations=[experiment], max_results=5, return_type="list")
    if written != IMPORTED or again or not all(trace.info.token_usage and trace.info.cost for trace in found):
        raise AssertionError(f"{written} of {IMPORTED} calls were written, then {again} again")
    common: dict[str, Any] = {
        "benchmark": BENCHMARK, "unit": "calls/s", "n": IMPORTED,
        "baseline": f"MLflow's documented API one by one ({ONE_BY_ONE} calls, same store)", "baseline_value": single,
    }  # fmt: skip
    yield Figure(
        name="calls imported as traces a second", value=IMPORTED / taken, **common,
        method="times, tokens, cost, content, tags and feedback into a new SQLite store, batches of 500",
    )  # fmt: skip
    yield Figure(
        name="calls a second when all are there already", value=IMPORTED / unchanged, **common,
        method="the same calls again, asked of the store and not of the table that would skip them",
    )  # fmt: skip


def _one_by_one(mlflow: Any, experiment: str, rows: list[dict[str, Any]]) -> float:
    """Calls a second by the documented calls: spans begun and ended, written out, feedback logged; the first call,
    which sets MLflow's tracing up, is not counted."""
    mlflow.set_experiment(experiment_id=experiment)
    _documented(mlflow, rows[:1])
    began = time.perf_counter()
    _documented(mlflow, rows[1:])
    return (len(rows) - 1) / (time.perf_counter() - began)


def _documented(mlflow: Any, rows: list[dict[str, Any]]) -> None:
    from mlflow.entities import AssessmentSource

    spans = []
    for row in rows:
        at = int(row["called_at"].timestamp() * 1e9)
        usage = {name: row[name] for name in ("input_tokens", "output_tokens")}
        span = mlflow.start_span_no_context(
            "answer",
            span_type="CHAT_MODEL",
            inputs={"messages": [{"role": "user", "content": row["input"]}]},
            attributes={
                "mlflow.llm.model": row["model"],
                "mlflow.chat.tokenUsage": usage | {"total_tokens": sum(usage.values())},
            },
            start_time_ns=at,
        )
        span.end(outputs=row["output"], end_time_ns=at + int(row["latency_ms"] * 1e6))
        spans.append(span)
    mlflow.flush_trace_async_logging()
    person = AssessmentSource(source_type="HUMAN", source_id="recorded")
    for row, span in zip(rows, spans, strict=True):
        mlflow.log_feedback(trace_id=span.trace_id, name="user_feedback", value=row["user_feedback"], source=person)
