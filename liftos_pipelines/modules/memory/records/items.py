"""One memory a row: how each table of the lake becomes items, in words and with its measured outcome.

A builder a kind. An item's memory id is made of its kind and the key of the row it came from, so building twice
gives the same ids; its content hash decides whether a later build says something new. No builder invents an
outcome: what was not measured is null.

What an item is about stands in `subject`: of a note its conversation or thread as the client named it (turns of
one conversation share it; `valid_from` is their order, `author` who spoke), of a fact the thing it is said of, of
everything else a typed name such as `campaign:c9`, `channel:tv`, `engine:x` or `brand:b`. `predicate` is what is
said of the subject. `attributes` is a JSON object of typed values (numbers are numbers, dates ISO text), keys
sorted, unknown values left out.
"""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
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
    "subject": pl.String(),
    "predicate": pl.String(),
    "author": pl.String(),
    "attributes": pl.String(),
}
SCHEMA: dict[str, pl.DataType] = ITEMS.columns | EXTRA
"""Columns of an item: the contract's, then what it was about, and its identity; a lake written before some of
them existed is read through `with_extra`.
"""

_CONTENT = (
    *("text", "domain", "valid_from", "valid_to", "outcome", "effect", "std_error"),
    *("context", "action", "metric", "campaign_id", "subject", "predicate", "author", "attributes"),
)
DECIDED = ("proposal", "pattern")
"""Kinds whose source key is the id of an action that the ledger holds a decision on."""
NAMED_TWICE = ("note", "fact")
"""Kinds that people tell and export again under new ids: the same said again is the same memory."""


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


def normalised(text: str | None) -> str:
    """A text without what does not change what it says: compatible characters, case, spaces, edge punctuation."""
    if text is None:
        return ""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(" .!;,")


def identity(row: Mapping[str, Any]) -> str | None:
    """What makes two rows under different keys the same memory, or None where the key alone decides.

    A fact is the same when subject, predicate and text are the same; a note when also its author and its moment
    are, because people say "yes" more than once in one conversation.
    """
    if row["kind"] not in NAMED_TWICE or not row["text"]:
        return None
    parts = [row["kind"], *(normalised(row[name]) for name in ("text", "subject", "predicate"))]
    if row["kind"] == "note":
        moment = row["valid_from"]
        parts += [normalised(row["author"]), moment.isoformat() if moment is not None else ""]
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:24]


def as_attributes(values: Mapping[str, Any]) -> str | None:
    """Typed values as JSON: keys sorted, unknown values left out, numbers to six digits, dates as ISO text."""
    kept = {name: _plain(value) for name, value in values.items()}
    told = {name: value for name, value in kept.items() if value is not None}
    return json.dumps(told, sort_keys=True, ensure_ascii=False, allow_nan=False) if told else None


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value]


def typed_subject(kind: str, name: str | None) -> str | None:
    """`campaign:c9`; None where there is nothing to name."""
    return f"{kind}:{name}" if name else None


def with_extra(history: pl.DataFrame) -> pl.DataFrame:
    """A history read from the lake with the columns that it drops when they hold no value, or never knew."""
    missing = [name for name in EXTRA if name not in history.columns]
    return history.with_columns(pl.lit(None, dtype=EXTRA[name]).alias(name) for name in missing)


def combine(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """All items in one frame, one row a memory: of two builds of the same memory the later wins."""
    kept = [frame for frame in frames if frame.height]
    if not kept:
        return empty_items()
    return pl.concat(kept).unique(subset="memory_id", keep="last", maintain_order=True)


def with_provenance(
    items: pl.DataFrame,
    versions: Mapping[str, int | None],
    *,
    run_id: str | None = None,
    ledger: Mapping[str, Mapping[str, Any]] | None = None,
) -> pl.DataFrame:
    """Add to each provenance what it was read from and by whom, so that it can be read again.

    Parameters
    ----------
    versions : Delta version of each lake table that was read
    run_id : the run that remembers
    ledger : position and hash of the ledger's entries (`entry`, `hash`) by the id of the action they decided
    """

    def told(row: dict[str, Any]) -> str:
        body = json.loads(row["provenance"])
        if versions.get(row["source"]) is not None:
            body["lake_version"] = versions[row["source"]]
        if run_id is not None:
            body["run"] = run_id
        if ledger and row["kind"] in DECIDED and row["source_key"] in ledger:
            body["ledger"] = dict(ledger[row["source_key"]])
        return json.dumps(body, sort_keys=True)

    if items.is_empty():
        return items
    named = items.select("kind", "source", "source_key", "provenance")
    provenance = [told(row) for row in named.iter_rows(named=True)]
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
        if not source.startswith(("spine/", "sources/")):
            origin["asset"] = source
        if row.get("events"):
            origin |= {"event": row["events"][0], "events": row["events"]}
        if row.get("correlation"):
            origin["correlation"] = row["correlation"]
        full: dict[str, Any] = dict.fromkeys(SCHEMA) | {name: value for name, value in row.items() if name in SCHEMA}
        full |= {
            "memory_id": memory_id(kind, row["source_key"]),
            "kind": kind,
            "source": source,
            "valid_from": _moment(row.get("valid_from")),
            "valid_to": _moment(row.get("valid_to")),
            "effect": _finite(row.get("effect")),
            "std_error": _finite(row.get("std_error")),
            "attributes": as_attributes(row.get("attributes") or {}),
            "provenance": json.dumps(origin, sort_keys=True),
        }
        full["content_hash"] = _content_hash(full)
        finished.append(full)
    return pl.DataFrame(finished, schema=SCHEMA, orient="row")
