"""Tables as eval looks at them: derived tables joined to the source that knows when and where each row arose."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from liftos_pipelines.tables import TABLES, TIME

Frames = Mapping[str, pl.DataFrame]

INVENTORY = "sources/inventory"
"""Not stored: one row a source with `source`, `rows`, `quarantined`, `newest`; built by the asset."""

TIMES = {
    "sources/marketing_outcome": "date",
    "sources/marketing_media": "date",
    "sources/marketing_controls": "date",
    "sources/mentions": "published_at",
    "sources/answers": "asked_at",
    "sources/llm_calls": "called_at",
    "sources/agent_steps": "at",
    "sources/outcomes": "decided_at",
    "sources/notes": "at",
    "causal/panel": "date",
    "causal/monitor": "as_of",
    "sentiment/daily_index": "date",
    "sentiment/alerts": "detected_at",
    "surfacing/shifts": "detected_at",
    "agentic/proposals": "proposed_at",
    "memory/items": "recorded_at",
}
"""Which column of a table says when its row's subject happened."""

JOINS = {
    "sentiment/mention_scores": ("sources/mentions", ("mention_id",)),
    "llm/call_scores": ("sources/llm_calls", ("call_id",)),
    "surfacing/answer_mentions": ("sources/answers", ("answer_id",)),
    "agentic/policy_decisions": ("sources/agent_steps", ("run_id", "step")),
}
"""Scores per source row: the source they are joined to, and by which columns."""


def tables_for(name: str) -> tuple[str, ...]:
    """The stored tables that `view(_, name)` reads."""
    if name == INVENTORY:
        return ()
    return (name, JOINS[name][0]) if name in JOINS else (name,)


def view(frames: Frames, name: str) -> pl.DataFrame:
    """A table with `at` (UTC) where it is known when its rows arose, and its source's other columns.

    Absent tables are empty, never an error: what is missing becomes `unknown` downstream.
    """
    if name == INVENTORY:
        return frames.get(name, pl.DataFrame(schema={"source": pl.String, "rows": pl.Int64,
                                                     "quarantined": pl.Int64, "newest": TIME}))  # fmt: skip
    frame = frames[name] if name in frames else TABLES[name].empty()
    time = TIMES.get(name)
    if name in JOINS:
        source, keys = JOINS[name]
        other = frames[source] if source in frames else TABLES[source].empty()
        extra = [column for column in other.columns if column not in frame.columns or column in keys]
        frame = frame.join(other.select(extra), on=list(keys), how="left")
        time = TIMES[source]
    if time is None:
        return frame
    return frame.with_columns(pl.col(time).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("at")
                              if frame.schema[time] == pl.Date else pl.col(time).cast(TIME).alias("at"))  # fmt: skip


def newest(frame: pl.DataFrame) -> datetime | None:
    """The newest `at` of a view, if it has one."""
    if "at" not in frame.columns or frame.is_empty():
        return None
    latest = frame["at"].max()
    return latest if isinstance(latest, datetime) else None


def newest_data(frames: Frames) -> datetime | None:
    """The newest moment any of the sources speaks of."""
    moments = [newest(view(frames, name)) for name in frames if name in TIMES and name.startswith("sources/")]
    return max((moment for moment in moments if moment), default=None)
