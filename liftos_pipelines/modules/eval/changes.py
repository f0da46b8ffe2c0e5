"""What changed before a promise broke: inputs that drifted, and prompts, models, agents or policies that were replaced.

These are candidates by their time, not measured causes: how much of the incident is theirs is unknown and stays so,
unless a segment of the same version was found to carry a part of the change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl

from liftos_pipelines.modules.eval.root_causes import MADE_FROM, SCHEMA
from liftos_pipelines.tables import TEXT

LOOK_BACK = timedelta(days=28)
"""A replacement longer ago than this, seen from the newest data of the incident, is not named."""
CAUSES: dict[str, Any] = SCHEMA | dict.fromkeys(("subject_kind", "subject", "version", "earlier_version"), TEXT)
OWN = {
    "sentiment": ("sentiment/mention_scores",),
    "surfacing": ("surfacing/answer_mentions",),
    "llm": ("llm/call_scores",),
    "agentic": ("agentic/runs",),
    "causal": ("causal/mmm_posterior",),
}
VERSIONED = (
    # module, table, time, what it is a version of, who carries it, the version
    ("llm", "sources/llm_calls", "called_at", "prompt", "prompt_name", "prompt_version"),
    ("llm", "sources/llm_calls", "called_at", "model", "prompt_name", "model"),
    ("agentic", "sources/agent_steps", "at", "agent", "agent_id", "agent_version"),
    ("surfacing", "sources/answers", "asked_at", "engine", "engine", "model"),
    ("sentiment", "sentiment/mention_scores", "published_at", "model", None, "model_id"),
)
DIMENSIONS = {"prompt_version": "prompt", "model": "model", "agent_id": "agent", "variant": "prompt"}
ORDER = {"contract": 0, "new": 1, "level": 1, "mix": 1, "drift": 2, "change": 3, "none": 4, "rest": 5}


@dataclass(frozen=True, kw_only=True)
class Change:
    """One replacement or drift: `kind` change or drift; versions are None where there are none."""

    module: str
    kind: str
    cause: str
    at: datetime | None
    subject_kind: str
    subject: str
    version: str | None = None
    earlier_version: str | None = None
    evidence: str = ""


def replaced(frames: Mapping[str, pl.DataFrame]) -> list[Change]:
    """Versions that came into use after another one had been, by first use in the data; newest first."""
    found = []
    for module, name, time, kind, carrier, column in VERSIONED:
        frame = frames.get(name)
        if frame is None or frame.is_empty() or not {time, column} <= set(frame.columns):
            continue
        by = [carrier] if carrier else []
        first = (
            frame.filter(pl.col(column).is_not_null(), pl.col(time).is_not_null())
            .group_by(*by, column)
            .agg(pl.col(time).min().alias("_first"), pl.len().alias("_rows"))
            .sort("_first", column)
        )
        groups = first.partition_by(by, maintain_order=True) if by else [first]
        for group in groups:
            rows = group.to_dicts()
            for before, row in pairwise(rows):
                subject = str(row[carrier]) if carrier else name
                found.append(
                    Change(
                        module=module,
                        kind="change",
                        cause=f"{kind} {subject}: version {row[column]}",
                        at=row["_first"],
                        subject_kind=kind,
                        subject=subject,
                        version=str(row[column]),
                        earlier_version=str(before[column]),
                        evidence=f"first used on {row['_first']:%Y-%m-%d}, before it {before[column]}; "
                        f"{row['_rows']} rows since",
                    )
                )
    return sorted(found, key=lambda change: change.at or datetime.min.replace(tzinfo=UTC), reverse=True)


def policies(decisions: Iterable[tuple[datetime, str]]) -> list[Change]:
    """Policy versions that came into use, from (time, policy version) of the ledger's decisions, oldest first."""
    found: list[Change] = []
    seen: list[str] = []
    for at, version in decisions:
        if version in seen:
            continue
        if seen:
            found.append(
                Change(
                    module="agentic",
                    kind="change",
                    cause=f"policy version {version[:12]}",
                    at=at,
                    subject_kind="policy",
                    subject="policy",
                    version=version,
                    earlier_version=seen[-1],
                    evidence=f"first decided by on {at:%Y-%m-%d}, before it {seen[-1][:12]}",
                )
            )
        seen.append(version)
    return found[::-1]


def drifted(drift: pl.DataFrame) -> list[Change]:
    """Inputs that drifted, the surest column of each dataset."""
    if drift.is_empty() or "drifted" not in drift.columns:
        return []
    rows = drift.filter(pl.col("drifted").fill_null(False)).sort("p_value_adjusted", "dataset", "column")
    found = []
    for row in rows.unique("dataset", keep="first", maintain_order=True).iter_rows(named=True):
        for module in {*(m for m, made in MADE_FROM.items() if row["dataset"] in [f"sources/{n}" for n in made])} | {
            m for m, own in OWN.items() if row["dataset"] in own
        }:
            found.append(
                Change(
                    module=module,
                    kind="drift",
                    cause=f"drift of {row['dataset']}.{row['column']}",
                    at=None,
                    subject_kind="dataset",
                    subject=row["dataset"],
                    evidence=f"{row['test']} {row['statistic']:.3g} against {row['threshold']:.3g}, adjusted p "
                    f"{row['p_value_adjusted']:.2g}",
                )
            )
    return found


def with_changes(
    causes: pl.DataFrame, changes: Sequence[Change], windows: Mapping[str, tuple[str, datetime | None]]
) -> pl.DataFrame:
    """The causes of `explain` with the candidates by time, ranked anew.

    Parameters
    ----------
    causes : rows of `eval/root_causes`
    windows : incident -> its module and the newest moment of its data; only these get candidates

    Order: broken data contracts; segments whose part was measured; inputs that drifted; what was replaced; the rest.
    """
    rows = [_named(row, changes, windows) for row in causes.iter_rows(named=True)]
    measured = {(row["incident_id"], row["subject_kind"], row["version"]) for row in rows if row["version"]}
    metrics = {row["incident_id"]: row["metric"] for row in rows}
    for incident, (module, newest) in windows.items():
        for change in changes:
            if change.module != module or (incident, change.subject_kind, change.version) in measured:
                continue
            if change.at is not None and newest is not None and not newest - LOOK_BACK <= change.at <= newest:
                continue
            rows.append(
                dict.fromkeys(CAUSES)
                | {
                    "incident_id": incident,
                    "module": module,
                    "cause": change.cause,
                    "kind": change.kind,
                    "metric": metrics.get(incident),
                    "subject_kind": change.subject_kind,
                    "subject": change.subject,
                    "version": change.version,
                    "earlier_version": change.earlier_version,
                    "evidence": f"{change.evidence}. A candidate by its time: its share is unknown.",
                }
            )
    frame = pl.DataFrame(rows, schema=CAUSES)
    order = pl.col("kind").replace_strict(ORDER, default=4, return_dtype=pl.Int64).alias("_order")
    places = {incident: place for place, incident in enumerate(dict.fromkeys(frame["incident_id"].to_list()))}
    return (
        frame.with_columns(
            pl.col("incident_id").replace_strict(places, return_dtype=pl.Int64).alias("_incident"),
            order.alias("_order"),
        )
        .sort("_incident", "_order", pl.col("rank").fill_null(10**6), maintain_order=True)
        .with_columns(pl.int_range(1, pl.len() + 1).over("incident_id").alias("rank"))
        .drop("_incident", "_order")
    )


def _named(
    row: dict[str, Any], changes: Sequence[Change], windows: Mapping[str, tuple[str, datetime | None]]
) -> dict[str, Any]:
    """A cause with what it is about: the source of a broken contract, or the version that its segment names."""
    full = dict.fromkeys(CAUSES) | row
    if row["kind"] == "contract":
        _, named, source = (row["evidence"] or "").rstrip(". ").rpartition(": ")
        if named and source in {one for made in MADE_FROM.values() for one in made}:
            full |= {"subject_kind": "source", "subject": source}
        elif row["cause"] == "data volume" and row["module"] in MADE_FROM:
            full |= {"subject_kind": "source", "subject": MADE_FROM[row["module"]][0]}
    dimension, is_segment, value = row["cause"].partition(" = ")
    if is_segment and dimension in DIMENSIONS:
        version = value.removesuffix(" (new)")
        change = next(
            (c for c in changes if c.subject_kind == DIMENSIONS[dimension] and version in (c.version, c.subject)), None
        )
        if change is not None:
            full |= {
                "subject_kind": change.subject_kind,
                "subject": change.subject,
                "version": change.version,
                "earlier_version": change.earlier_version,
            }
    return full


def first_cause(causes: pl.DataFrame, incident_id: str) -> dict[str, Any] | None:
    """The highest ranked cause of an incident; of a segment that names a replaced version the kind is `change`."""
    mine = causes.filter(pl.col("incident_id") == incident_id).sort("rank")
    if mine.is_empty():
        return None
    row = mine.row(0, named=True)
    return row | {"kind": "change"} if row["kind"] in ("new", "level") and row["version"] else row
