"""Calls with known tokens and costs, as other tools would export them: what reading them back is measured on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

START = datetime(2025, 3, 3, tzinfo=UTC)
MODELS = ("gpt-4o-mini", "gpt-4o", "claude-3-5-haiku-20241022")
TEXT = "the price of this product is shown on its page with delivery time stock and terms of return"
WORDS = TEXT.split()


def calls(n: int, seed: int = 7) -> list[dict[str, Any]]:
    """Calls as rows of `llm_calls`, a minute apart; cached tokens are a part of the input's."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(n):
        tokens = int(rng.integers(20, 4000))
        made.append(
            {
                "call_id": f"c{number}",
                "called_at": START + timedelta(minutes=number),
                "model": MODELS[int(rng.integers(len(MODELS)))],
                "prompt_name": "answer",
                "prompt_version": str(1 + int(rng.integers(3))),
                "input": " ".join(rng.choice(WORDS, 40)),
                "context": " ".join(rng.choice(WORDS, 200)),
                "output": " ".join(rng.choice(WORDS, 60)),
                "latency_ms": float(np.round(rng.gamma(4, 100), 3)),
                "input_tokens": tokens,
                "output_tokens": int(rng.integers(5, 900)),
                "cache_read_tokens": int(tokens * rng.random() * 0.8),
                "user_feedback": int(rng.choice((-1, 0, 1))),
                "error": "",
            }
        )
    return made


def as_lines(rows: list[dict[str, Any]]) -> str:
    return "\n".join(json.dumps(row, default=lambda value: value.isoformat()) for row in rows) + "\n"


def as_otel(rows: list[dict[str, Any]]) -> str:
    """Batches of 100 calls a line, as a collector writes them, each call below a root with a retriever beside it."""

    def attributes(own: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
            for key, value in own.items()
        ]

    def spans(number: int, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        trace, began = f"{number + 1:032x}", _nanoseconds(row["called_at"])
        ended = began + int(row["latency_ms"] * 1e6)
        common = {"traceId": trace, "startTimeUnixNano": str(began), "endTimeUnixNano": str(ended), "status": {}}
        yield common | {
            "spanId": f"{number + 1:015x}a",
            "name": "root",
            "attributes": attributes({"liftos.variant": "A"}),
        }
        yield common | {
            "spanId": f"{number + 1:015x}b", "parentSpanId": f"{number + 1:015x}a", "name": "search",
            "endTimeUnixNano": str(began),
            "attributes": attributes({
                "gen_ai.operation.name": "retrieval",
                "gen_ai.retrieval.documents": json.dumps([{"content": row["context"]}]),
            }),
        }  # fmt: skip
        said = {"role": "assistant", "parts": [{"type": "text", "content": row["output"]}]}
        asked = {"role": "user", "parts": [{"type": "text", "content": row["input"]}]}
        yield common | {
            "spanId": f"{number + 1:015x}c", "parentSpanId": f"{number + 1:015x}a", "name": "chat",
            "attributes": attributes({
                "gen_ai.operation.name": "chat", "gen_ai.response.model": row["model"],
                "gen_ai.prompt.name": row["prompt_name"], "gen_ai.prompt.version": row["prompt_version"],
                "gen_ai.usage.input_tokens": row["input_tokens"], "gen_ai.usage.output_tokens": row["output_tokens"],
                "gen_ai.usage.cache_read.input_tokens": row["cache_read_tokens"],
                "gen_ai.input.messages": json.dumps([asked]), "gen_ai.output.messages": json.dumps([said]),
            }),
        }  # fmt: skip

    lines = []
    for start in range(0, len(rows), 100):
        batch = [span for n, row in enumerate(rows[start : start + 100], start) for span in spans(n, row)]
        lines.append(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": batch}]}]}))
    return "\n".join(lines) + "\n"


def as_mlflow(rows: list[dict[str, Any]]) -> str:
    """One trace a line, as `Trace.to_dict()` gives it."""
    lines = []
    for number, row in enumerate(rows):
        usage = {"input_tokens": row["input_tokens"], "output_tokens": row["output_tokens"]}
        own = {
            "mlflow.spanType": "CHAT_MODEL",
            "mlflow.llm.model": row["model"],
            "mlflow.chat.tokenUsage": usage | {"cache_read_input_tokens": row["cache_read_tokens"]},
            "mlflow.spanInputs": {"messages": [{"role": "user", "content": row["input"]}]},
            "mlflow.spanOutputs": {"choices": [{"message": {"role": "assistant", "content": row["output"]}}]},
            "liftos.context": row["context"],
        }
        began = _nanoseconds(row["called_at"])
        span = {
            "span_id": f"{number + 1:016x}", "parent_span_id": None, "name": "chat", "start_time_unix_nano": began,
            "end_time_unix_nano": began + int(row["latency_ms"] * 1e6), "status": {"code": "STATUS_CODE_OK"},
            "attributes": {key: json.dumps(value) for key, value in own.items()},
        }  # fmt: skip
        tags = {"prompt_name": row["prompt_name"], "prompt_version": row["prompt_version"]}
        lines.append(json.dumps({"info": {"trace_id": f"tr-{number}", "tags": tags}, "data": {"spans": [span]}}))
    return "\n".join(lines) + "\n"


def as_langfuse(rows: list[dict[str, Any]]) -> str:
    """One generation a line."""
    lines = []
    for row in rows:
        fresh = row["input_tokens"] - row["cache_read_tokens"]
        ended = row["called_at"] + timedelta(milliseconds=row["latency_ms"])
        lines.append(
            json.dumps(
                {
                    "id": row["call_id"], "traceId": f"t-{row['call_id']}", "type": "GENERATION",
                    "startTime": row["called_at"].isoformat(), "endTime": ended.isoformat(), "model": row["model"],
                    "input": [{"role": "user", "content": row["input"]}],
                    "output": {"role": "assistant", "content": row["output"]},
                    "usageDetails": {"input": fresh, "input_cached_tokens": row["cache_read_tokens"],
                                     "output": row["output_tokens"]},
                    "promptName": row["prompt_name"], "promptVersion": row["prompt_version"], "level": "DEFAULT",
                    "metadata": {"context": row["context"]},
                }
            )
        )  # fmt: skip
    return "\n".join(lines) + "\n"


EXPORTS: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "plain table, JSONL": as_lines,
    "OpenTelemetry": as_otel,
    "MLflow": as_mlflow,
    "Langfuse": as_langfuse,
}


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000_000
