"""Prompts as they are registered beside prompts as they were called: what serves, what is used, what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from liftos_pipelines.modules.llm.recorded.spans import UNKNOWN
from liftos_pipelines.tables import table

NAME = "llm/prompts"
REGISTERED, SUPERSEDED, UNREGISTERED = "registered", "superseded", "unregistered"


@dataclass(frozen=True, kw_only=True)
class Registered:
    """One version in the registry. `label` is the `prompt_version` of calls; None where nobody gave one."""

    name: str
    version: int
    label: str | None
    template: str
    template_hash: str
    aliases: tuple[str, ...]
    created: datetime | None


def prompt_report(calls: pl.DataFrame, versions: Sequence[Registered]) -> pl.DataFrame:
    """The `llm/prompts` table: a row a registered version, and a row a version that was called without a template.

    A label whose text was changed has several versions; its calls are told of the newest, the older ones are
    `superseded` and their own calls are not known. A version without a label goes by its number.
    """
    seen = (
        calls.filter(pl.col("prompt_name") != UNKNOWN)
        .group_by("prompt_name", "prompt_version")
        .agg(calls=pl.len(), first_called_at=pl.col("called_at").min(), last_called_at=pl.col("called_at").max())
    )
    used = {(row["prompt_name"], row["prompt_version"]): row for row in seen.iter_rows(named=True)}
    newest = newest_versions(versions)
    rows = []
    for each in versions:
        label = each.label or str(each.version)
        current = newest[(each.name, label)] == each.version
        called = used.get((each.name, label)) if current else None
        rows.append(
            {
                "prompt_name": each.name,
                "prompt_version": label,
                "version": each.version,
                "status": REGISTERED if current else SUPERSEDED,
                "aliases": list(each.aliases),
                "template": each.template,
                "template_hash": each.template_hash,
                "registered_at": each.created,
                "first_called_at": called["first_called_at"] if called else None,
                "last_called_at": called["last_called_at"] if called else None,
                "calls": (called["calls"] if called else 0) if current else None,
            }
        )
    for (name, label), called in used.items():
        if (name, label) not in newest:
            rows.append(
                {
                    "prompt_name": name,
                    "prompt_version": label,
                    "status": UNREGISTERED,
                    "aliases": [],
                    "calls": called["calls"],
                    "first_called_at": called["first_called_at"],
                    "last_called_at": called["last_called_at"],
                }
            )
    columns = table(NAME).columns
    full = [{column: row.get(column) for column in columns} for row in rows]
    return pl.DataFrame(full, schema=columns, orient="row").sort("prompt_name", "prompt_version", "version")


def newest_versions(versions: Sequence[Registered]) -> dict[tuple[str, str], int]:
    """(name, label) -> the newest version with that label."""
    newest: dict[tuple[str, str], int] = {}
    for each in versions:
        key = (each.name, each.label or str(each.version))
        newest[key] = max(each.version, newest.get(key, 0))
    return newest
