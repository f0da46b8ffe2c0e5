"""Memories from what the client brings: outcomes, notes, campaigns, lift tests; and facts told one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from liftos_pipelines.modules.memory.records.items import (
    as_items,
    campaign_words,
    effect_words,
    labelled,
    normalised,
    one_campaign,
    placed,
    typed_subject,
)


def outcomes(frame: pl.DataFrame, names: Mapping[str, str] | None = None) -> pl.DataFrame:
    """Decisions with their measured effect: context, action, metric, effect and its standard error."""
    rows = []
    for row in frame.iter_rows(named=True):
        measured = effect_words(row["metric"], row["effect"], row["std_error"])
        where = campaign_words(row["campaign_id"], names)
        rows.append(
            {
                "source_key": row["outcome_id"],
                "text": labelled(
                    ("Context", placed(row["context"], where)),
                    ("Action", row["action"]),
                    ("Result", measured),
                ),
                "domain": row["domain"],
                "valid_from": row["decided_at"],
                "outcome": measured,
                "effect": row["effect"],
                "std_error": row["std_error"],
                "context": row["context"],
                "action": row["action"],
                "metric": row["metric"],
                "campaign_id": row["campaign_id"],
                "subject": typed_subject("campaign", one_campaign(row["campaign_id"])),
                "predicate": "outcome",
            }
        )
    return as_items("outcome", "sources/outcomes", rows)


def notes(frame: pl.DataFrame) -> pl.DataFrame:
    """What people wrote down: post-mortems, briefs, conversations."""
    rows = [
        {
            "source_key": row["note_id"],
            "text": ": ".join(part for part in (row["subject"], row["text"]) if part)
            + (f" (tags: {', '.join(row['tags'])})" if row["tags"] else ""),
            "valid_from": row["at"],
            "context": row["text"],
            "subject": row["subject"],
            "predicate": "said",
            "author": row["author"],
            "attributes": {"tags": sorted(row["tags"]) if row["tags"] else None},
        }
        for row in frame.iter_rows(named=True)
    ]
    return as_items("note", "sources/notes", rows)


def facts(rows: Iterable[Mapping[str, Any]], source: str = "told") -> pl.DataFrame:
    """What is told of a subject, at most one truth a predicate at a time: a newer fact supersedes the older one of
    the same subject and predicate, and nothing else.

    Parameters
    ----------
    rows : mappings with subject, predicate, text; optional valid_from, valid_to, domain, author, attributes,
        campaign_id, outcome, effect, std_error, metric

    Raises
    ------
    ValueError : a row lacks subject, predicate or text, saying which row
    """
    finished = []
    for number, row in enumerate(rows):
        missing = [name for name in ("subject", "predicate", "text") if not row.get(name)]
        if missing:
            raise ValueError(f"fact {number} lacks {', '.join(missing)}; a fact says something of a subject")
        key = f"{normalised(row['subject'])}|{normalised(row['predicate'])}"
        finished.append({"context": row["text"], **row, "source_key": key})
    return as_items("fact", source, finished)


def campaigns(frame: pl.DataFrame) -> pl.DataFrame:
    """Campaigns with channel, dates, budget and objective."""
    rows = []
    for row in frame.iter_rows(named=True):
        context = campaign_context(row)
        rows.append(
            {
                "source_key": row["campaign_id"],
                "text": context,
                "domain": "marketing",
                "valid_from": row["start"],
                "valid_to": row["end"],
                "context": context,
                "campaign_id": row["campaign_id"],
                "subject": typed_subject("campaign", row["campaign_id"]),
                "predicate": "campaign",
                "attributes": {name: row[name] for name in ("name", "channel", "budget", "objective")},
            }
        )
    return as_items("campaign", "sources/campaigns", rows)


def campaign_context(row: Mapping[str, Any]) -> str:
    """A campaign in one sentence; parts that are unknown are left out."""
    parts = [f"Campaign {row['name']}"]
    if row.get("channel"):
        parts.append(f"on channel {row['channel']}")
    if row.get("budget") is not None:
        parts.append(f"with a budget of {row['budget']:,.0f}")
    if row.get("objective"):
        parts.append(f"to {row['objective']}" if " " in row["objective"] else f"for {row['objective']}")
    return " ".join(parts) + "."


def experiments(frame: pl.DataFrame) -> pl.DataFrame:
    """Lift tests: a channel's measured incremental outcome."""
    rows = []
    for row in frame.iter_rows(named=True):
        geos = ", ".join(row["geos"]) if row["geos"] else "all geos"
        measured = effect_words("incremental outcome", row["incremental_outcome"], row["std_error"])
        context = f"Lift test of channel {row['channel']} in {geos}"
        rows.append(
            {
                "source_key": row["experiment_id"],
                "text": f"{context}. Result: {measured}.",
                "domain": "marketing",
                "valid_from": row["start"],
                "valid_to": row["end"],
                "outcome": measured,
                "effect": row["incremental_outcome"],
                "std_error": row["std_error"],
                "context": context,
                "action": f"advertise on channel {row['channel']}",
                "metric": "incremental outcome",
                "subject": typed_subject("channel", row["channel"]),
                "predicate": "lift test",
                "attributes": {name: row[name] for name in ("channel", "geos", "spend")},
            }
        )
    return as_items("experiment", "sources/experiments", rows)
