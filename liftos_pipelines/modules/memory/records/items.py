"""One memory a row: how each table of the lake becomes items, in words and with its measured outcome.

A builder a kind. An item's identity is its kind and the key of the row it came from, so building twice gives
the same ids; its content hash decides whether a later build says something new. No builder invents an
outcome: what was not measured is null.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

import polars as pl

from liftos_pipelines.tables import table

Z90 = 1.6448536269514722
"""Half-width of a central 90 % normal interval in standard errors."""

ITEMS = table("memory/items")
EXTRA: dict[str, pl.DataType] = {
    "version_id": pl.String(),
    "source_key": pl.String(),
    "context": pl.String(),
    "action": pl.String(),
    "metric": pl.String(),
    "campaign_id": pl.String(),
    "content_hash": pl.String(),
}
SCHEMA: dict[str, pl.DataType] = ITEMS.columns | EXTRA
"""Columns of an item: the contract's, then `context`, `action`, `metric`, `campaign_id` and its identity."""

_CONTENT = (
    *("text", "domain", "valid_from", "valid_to", "outcome", "effect", "std_error"),
    *("context", "action", "metric", "campaign_id"),
)


SAID, SAID_BREAK, SAID_LENGTH = "Customers complain: ", " / ", 160


def as_said(quotes: Sequence[str]) -> str:
    """What several people said, as one context that `parts_of` takes apart again."""
    single = [" ".join(quote.split()).replace(SAID_BREAK, " ")[:SAID_LENGTH] for quote in quotes]
    return SAID + SAID_BREAK.join(single)


def parts_of(context: str) -> list[str]:
    """The texts of a context: each quote by itself, or the whole where nobody is quoted."""
    if not context.startswith(SAID):
        return [context]
    return [SAID + quote for quote in context.removeprefix(SAID).split(SAID_BREAK)]


def empty_items() -> pl.DataFrame:
    """A frame of no items, typed."""
    return pl.DataFrame(schema=SCHEMA)


def typed(frame: pl.DataFrame) -> pl.DataFrame:
    """Item rows with exactly the columns of `SCHEMA`, in their order and types."""
    return frame.select([pl.col(name).cast(dtype) for name, dtype in SCHEMA.items()])


def memory_id(kind: str, source_key: str) -> str:
    """The identity of a memory: the same kind and source row give the same id, whatever it says now."""
    return "m" + hashlib.sha256(f"{kind}\x1f{source_key}".encode()).hexdigest()[:23]


def combine(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """All items in one frame, one row a memory: of two builds of the same memory the later wins."""
    kept = [frame for frame in frames if frame.height]
    if not kept:
        return empty_items()
    return pl.concat(kept).unique(subset="memory_id", keep="last", maintain_order=True)


def with_provenance(items: pl.DataFrame, versions: Mapping[str, int | None]) -> pl.DataFrame:
    """Add to each provenance the version of the lake table it was read from, so that it can be read again."""

    def told(row: dict[str, Any]) -> str:
        body = json.loads(row["provenance"])
        if versions.get(row["source"]) is not None:
            body["lake_version"] = versions[row["source"]]
        return json.dumps(body, sort_keys=True)

    if items.is_empty():
        return items
    provenance = [told(row) for row in items.select("source", "provenance").iter_rows(named=True)]
    return items.with_columns(pl.Series("provenance", provenance, dtype=pl.String))


def std_error_of(low: float | None, high: float | None) -> float | None:
    """Standard error of a normal estimate from its 90 % interval; null when a bound is unknown."""
    if low is None or high is None or not high >= low:
        return None
    return (high - low) / (2 * Z90)


def interval_words(name: str, value: float | None, low: float | None, high: float | None) -> str:
    """`ROI +1.4 (90 % interval +0.9 to +2)`, or `ROI unknown`."""
    if value is None:
        return f"{name} unknown"
    if low is None or high is None:
        return f"{name} {value:+.3g}"
    return f"{name} {value:+.3g} (90 % interval {low:+.3g} to {high:+.3g})"


def effect_words(name: str | None, value: float | None, std_error: float | None) -> str:
    label = name or "effect"
    if value is None:
        return f"{label} unknown"
    return f"{label} {value:+.3g}" + (f" (standard error {std_error:.2g})" if std_error is not None else "")


def amount(value: float | None) -> str | None:
    """A sum of money in words, or None when it is unknown."""
    return None if value is None else f"{value:,.0f}"


def campaign_words(campaign: str | None, names: Mapping[str, str] | None) -> str:
    if one_campaign(campaign) is None:
        return ""
    name = (names or {}).get(str(campaign))
    return f"campaign {name} ({campaign})" if name and name != campaign else f"campaign {campaign}"


def one_campaign(campaign: str | None) -> str | None:
    """The campaign itself; the row that stands for all of them belongs to none."""
    return None if campaign in (None, "", "all") else campaign


def placed(text: str, where: str) -> str:
    stripped = text.rstrip(" .")
    return f"{stripped} [{where}]" if where else stripped


def labelled(*parts: tuple[str, str | None]) -> str:
    return " ".join(f"{label}: {body.rstrip(' .')}." for label, body in parts if body)


def _moment(value: date | datetime | None) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.combine(value, time(), tzinfo=UTC)


def _content_hash(row: Mapping[str, Any]) -> str:
    # Six digits: a number that was only read back from another format says nothing new.
    said = [f"{row[name]:.6g}" if isinstance(row[name], float) else str(row[name]) for name in _CONTENT]
    return hashlib.sha256("\x1f".join(said).encode()).hexdigest()[:24]


def _finite(value: float | None) -> float | None:
    return None if value is None or value != value else float(value)


def as_items(kind: str, source: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows of one kind as typed items; `recorded_at` and `version_id` are given when they are remembered."""
    finished = []
    for row in rows:
        origin: dict[str, Any] = {"table": source, "key": row["source_key"]}
        if "events" in row:
            origin["events"] = row["events"]
        full: dict[str, Any] = dict.fromkeys(SCHEMA) | {name: value for name, value in row.items() if name in SCHEMA}
        full |= {
            "memory_id": memory_id(kind, row["source_key"]),
            "kind": kind,
            "source": source,
            "valid_from": _moment(row.get("valid_from")),
            "valid_to": _moment(row.get("valid_to")),
            "effect": _finite(row.get("effect")),
            "std_error": _finite(row.get("std_error")),
            "provenance": json.dumps(origin, sort_keys=True),
        }
        full["content_hash"] = _content_hash(full)
        finished.append(full)
    return pl.DataFrame(finished, schema=SCHEMA, orient="row")
