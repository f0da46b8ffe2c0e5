"""Recorded calls as traces: what each says, a name that is the same at every import, and whether it has changed.

Nothing here knows MLflow; `resources/mlflow_traces.py` writes what this makes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from liftos_pipelines.modules.llm.prices import PriceTable, Tokens, Unpriced
from liftos_pipelines.modules.llm.recorded.spans import UNKNOWN

TAGGED = ("variant", "use_case", "unit_id")


@dataclass(frozen=True, kw_only=True)
class CallTrace:
    """One call, ready to be written. Costs are dollars, in which MLflow counts; empty where they are not known.

    `failed` : None where the log does not say; `ended_at` : None where the latency is not known; `prompt` : name and
    version in the registry, None where the version is not registered; `content_hash` : of everything here.
    """

    call_id: str
    trace_id: str
    span_id: str
    name: str
    started_at: datetime
    ended_at: datetime | None
    model: str
    input: str | None
    context: str | None
    output: str | None
    error: str | None
    failed: bool | None
    tokens: Mapping[str, int] = field(default_factory=dict)
    dollars: Mapping[str, float] = field(default_factory=dict)
    session_id: str | None = None
    feedback: int | None = None
    reference: str | None = None
    prompt: tuple[str, int] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    content_hash: str = ""

    @property
    def status(self) -> str:
        return "unknown" if self.failed is None else "error" if self.failed else "ok"


def trace_id(client: str, call_id: str) -> str:
    """The trace of a call: the same at every import, and no other client's."""
    return f"tr-{_digest(client, call_id)[:32]}"


def call_traces(
    client: str,
    calls: pl.DataFrame,
    costs: pl.DataFrame,
    prices: PriceTable,
    versions: Mapping[tuple[str, str], tuple[str, int]],
    *,
    usd_rate: Decimal | None,
) -> list[CallTrace]:
    """One trace a call, oldest first.

    Parameters
    ----------
    calls : rows of `sources/llm_calls`
    costs : `call_id, cost, cost_source` in the client's currency
    versions : (prompt_name, prompt_version) -> name and number in the prompt registry
    usd_rate : client's currency per dollar; None leaves the dollars empty
    """
    known = {call_id: (cost, source) for call_id, cost, source in costs.select("call_id", "cost", "cost_source").rows()}
    # An empty text says that a call did not fail; a log without any value does not say.
    errors_told = calls["error"].drop_nulls().len() > 0
    made = []
    for row in calls.sort("called_at", "call_id").iter_rows(named=True):
        cost, source = known.get(row["call_id"], (None, None))
        digest = _digest(client, row["call_id"])
        latency = row["latency_ms"]
        ended = None if latency is None or latency < 0 else row["called_at"] + timedelta(milliseconds=latency)
        prompt = versions.get((row["prompt_name"], row["prompt_version"]))
        tags = {
            "liftos.call_id": row["call_id"],
            "liftos.trace_id": row["trace_id"],
            "prompt_name": row["prompt_name"] if row["prompt_name"] != UNKNOWN else None,
            "prompt_version": row["prompt_version"] if row["prompt_version"] != UNKNOWN else None,
        } | {name: row[name] for name in TAGGED}
        trace = CallTrace(
            call_id=row["call_id"],
            trace_id=f"tr-{digest[:32]}",
            span_id=digest[32:48],
            name=row["use_case"] or (row["prompt_name"] if row["prompt_name"] != UNKNOWN else row["model"]),
            started_at=row["called_at"],
            ended_at=ended,
            model=row["model"],
            input=row["input"],
            context=row["context"],
            output=row["output"],
            error=row["error"] or None,
            failed=bool(row["error"]) if errors_told else None,
            tokens=_tokens(row),
            dollars=_dollars(row, cost, source, prices, usd_rate),
            session_id=row["session_id"],
            feedback=row["user_feedback"],
            reference=row["reference"],
            prompt=prompt,
            tags={name: str(value) for name, value in tags.items() if value not in (None, "")},
        )
        made.append(CallTrace(**{**vars(trace), "content_hash": _content(trace)}))
    return made


def _tokens(row: Mapping[str, Any]) -> dict[str, int]:
    """Token counts by MLflow's names; the total only where both parts are known."""
    named = {
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
        "cache_read_input_tokens": row["cache_read_tokens"],
        "cache_creation_input_tokens": row["cache_write_tokens"],
    }
    if row["input_tokens"] is not None and row["output_tokens"] is not None:
        named["total_tokens"] = row["input_tokens"] + row["output_tokens"]
    return {name: count for name, count in named.items() if count is not None and count >= 0}


def _dollars(
    row: Mapping[str, Any], cost: float | None, source: str | None, prices: PriceTable, usd_rate: Decimal | None
) -> dict[str, float]:
    if cost is None or usd_rate is None or usd_rate == 0:
        return {}
    spent = {"total_cost": float(Decimal(str(cost)) / usd_rate)}
    if source == prices.source:
        tokens = Tokens(
            input=row["input_tokens"], output=row["output_tokens"],
            cache_read=row["cache_read_tokens"], cache_write=row["cache_write_tokens"],
        )  # fmt: skip
        try:
            given, came = prices.parts(row["model"], tokens)
        except Unpriced:
            return spent
        spent |= {"input_cost": float(given / usd_rate), "output_cost": float(came / usd_rate)}
    return spent


def _digest(client: str, call_id: str) -> str:
    return hashlib.sha256(f"{client}\0{call_id}".encode()).hexdigest()


def _content(trace: CallTrace) -> str:
    told = json.dumps(asdict(trace), sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(told.encode()).hexdigest()[:32]
