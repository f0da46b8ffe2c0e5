"""A promise broke: the decisions that rest on the module are traced, and its likeliest cause is told, once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl

from liftos_pipelines.modules.eval.changes import Change, drifted, first_cause, policies, replaced
from liftos_pipelines.modules.eval.root_causes import MADE_FROM, NONE_FOUND
from liftos_pipelines.spine.accountability import decision_chain, decisions
from liftos_pipelines.spine.database import Event, LedgerNote, Spine, SpineError
from liftos_pipelines.spine.decisions import Input, accountable
from liftos_pipelines.spine.outbox import Tells
from liftos_pipelines.spine.payloads import RootCauseIdentified, TrustDegraded

REACTION, KIND = "eval/root_causes", "root_cause"
ACTOR = "liftos.eval"
MOST_CITED = 20
"""Ledger entries that a root cause cites; the chain itself holds all of them."""


def changes_known(frames: Mapping[str, pl.DataFrame], drift: pl.DataFrame, spine: Spine, client: str) -> list[Change]:
    """Everything that changed: inputs, versions in use, the policy that decides."""
    decided = [
        (each.decided_at, each.policy_version)
        for each in decisions(spine, client)
        if each.decided_at is not None and each.policy_version
    ]
    return [*drifted(drift), *replaced(frames), *policies(decided)]


def windows_of(trust: pl.DataFrame) -> dict[str, tuple[str, datetime | None]]:
    """The incidents of broken promises (rows of `trust_scores`): module and newest moment of the data."""
    return {
        f"{row['module']}.{row['slo']}@{row['newest'].date() if row['newest'] else 'undated'}": (
            row["module"],
            row["newest"],
        )
        for row in trust.iter_rows(named=True)
    }


def tell_causes(
    told: Tells,
    spine: Spine,
    client: str,
    causes: pl.DataFrame,
    scores: pl.DataFrame,
    versions: Mapping[str, int | None],
    *,
    run_id: str | None = None,
) -> tuple[int, list[str]]:
    """Answer every `trust_degraded` that was not answered: trace, name the cause, write both down, tell it on.

    What was once written stands: asked again, the same event gets the same answer. An event that cannot be answered
    holds up no other: its attempt is counted. Returns how many were answered, and why the others were not.
    """
    news = spine.unhandled(REACTION, [TrustDegraded.type], limit=100_000, client=client)
    written = (
        {entry.content["event_id"]: entry.content["told"] for entry in spine.ledger(client, kinds=[KIND])}
        if news
        else {}
    )
    failed = []
    for event in news:
        try:
            payload = written.get(event.event_id) or _traced(spine, event, causes, scores)
            identified = RootCauseIdentified(**payload)
        except SpineError:
            raise
        except Exception as error:
            why = f"{event.type} {event.event_id[:12]}: {type(error).__name__}: {error}"[:2000]
            failed.append(why)
            spine.note_failure([event.event_id], REACTION, why, now=datetime.now(UTC), run_id=run_id, in_passing=True)
            continue
        if event.event_id not in written:
            _write(spine, event, payload, causes, versions)
        told.raise_event(
            client,
            identified,
            occurred_at=event.recorded_at,
            causation_id=event.event_id,
            correlation_id=event.correlation_id,
        )
        told.mark_handled(event.event_id, REACTION)
    return len(news) - len(failed), failed


def _traced(spine: Spine, event: Event, causes: pl.DataFrame, scores: pl.DataFrame) -> dict[str, Any]:
    """What is said of a broken promise: its likeliest cause, and the decisions that rest on the module."""
    concerning = decision_chain(spine, event.event_id).concerning[-MOST_CITED:]
    said = {"trigger_event_id": event.event_id, "decisions": [each.ledger_key for each in concerning]}
    return said | _cause(event, causes, scores)


def _cause(event: Event, causes: pl.DataFrame, scores: pl.DataFrame) -> dict[str, Any]:
    said = event.payload
    assert isinstance(said, TrustDegraded)
    about = {"module": said.module, "slo": said.slo}
    mine = causes.filter(pl.col("incident_id").str.starts_with(f"{said.module}.{said.slo}@"))
    incident = mine["incident_id"][0] if mine.height else f"{said.module}.{said.slo}@{said.as_of}"
    found = first_cause(causes, incident)
    broken = scores.filter((pl.col("module") == said.module) & (pl.col("slo") == said.slo))
    source = _named_source(broken) if said.module == "sources" else None
    if source is not None:
        return about | {
            "incident_id": incident,
            "cause_found": f"data contract: {said.slo} of source {source}",
            "kind": "contract",
            "subject_kind": "source",
            "subject": source,
            "evidence": str(broken["reason"][0]),
        }
    if found is None:
        return about | {
            "incident_id": incident,
            "cause_found": NONE_FOUND,
            "kind": "none",
            "evidence": f"{said.slo} is not broken in the newest scores; it was {said.value} as of {said.as_of}.",
        }
    names = ("kind", "subject_kind", "subject", "version", "earlier_version", "contribution", "low", "high", "evidence")
    return about | {"incident_id": incident, "cause_found": found["cause"]} | {name: found[name] for name in names}


def _named_source(broken: pl.DataFrame) -> str | None:
    """The source that a promise of the sources names as the worst."""
    if broken.is_empty() or not broken["reason"][0]:
        return None
    source = str(broken["reason"][0]).rpartition(": ")[2].strip(" .")
    return source if source in {one for made in MADE_FROM.values() for one in made} else None


def _write(
    spine: Spine, event: Event, payload: dict[str, Any], causes: pl.DataFrame, versions: Mapping[str, int | None]
) -> None:
    mine = causes.filter(pl.col("incident_id") == payload["incident_id"]).sort("rank")
    beside = mine.select("cause", "kind", "contribution", "low", "high").to_dicts()
    body = {"event_id": event.event_id, "incident_id": payload["incident_id"], "told": payload} | accountable(
        inputs=[Input(table=name, version=version) for name, version in sorted(versions.items())],
        reasoning="broken data contracts first, then segments whose part was measured, then inputs that drifted, then "
        "what was replaced in time; an unmeasured share stays unknown",
        evidence={"causes": beside, "trust": event.payload.model_dump(mode="json")},
        correlation_id=event.correlation_id,
    )
    spine.append_ledger_many(event.client, [LedgerNote(KIND, ACTOR, body, f"{KIND}:{event.event_id}")])
