"""Memories from what the other modules found, and from what agents did about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import polars as pl

from liftos_pipelines.modules.memory.records.items import (
    SAID,
    amount,
    as_items,
    as_said,
    campaign_words,
    effect_words,
    interval_words,
    labelled,
    one_campaign,
    placed,
    std_error_of,
    typed_subject,
)
from liftos_pipelines.tables import ALL

Said = Mapping[str, str]
"""What people said, by alert id and by event id."""

QUOTES = 8
RETURNS = ("roi", "roi_low", "roi_high", "mroi", "mroi_low", "mroi_high")
ADVISED = ("target", "expected_effect", "low", "high", "evidence_grade")
PROPOSED = ("agent_id", "decision", "status", "predicted_effect", "predicted_low", "predicted_high")
ACTED = ("agent_id", "action", "arguments", "decision", "status", "predicted_effect", "predicted_low", "predicted_high")
EMBEDDER_LANGUAGE = "en"
"""The embedding model was trained on English; other languages are compared by little more than shared words."""


def what_was_said(
    alerts: pl.DataFrame,
    mentions: pl.DataFrame | None,
    scores: pl.DataFrame | None,
    events: Sequence[Mapping[str, Any]],
    known: Said | None = None,
) -> dict[str, str]:
    """What people said, in their words, by the alert and by every event that an alert led to.

    The surest negative mentions of the alert's window and campaign, those in the embedder's language first; the
    alert's exemplars where it has no window.

    Parameters
    ----------
    alerts : `sentiment/alerts`; mentions : `sources/mentions`; scores : `sentiment/mention_scores`
    events : mappings with event_id, type, causation_id and payload
    known : by alert id, what was said about further alerts; those need no mentions
    """
    said: dict[str, str] = dict(known or {})
    if alerts.height and mentions is not None and scores is not None and mentions.height:
        detail = mentions.select("mention_id", "published_at", "campaign_id", "text").join(
            scores.select("mention_id", "language", "p_negative"), on="mention_id", how="left"
        )
        for row in alerts.iter_rows(named=True):
            quotes = _quotes(row, detail)
            if quotes:
                said[row["alert_id"]] = as_said(quotes)
    by_id = {event["event_id"]: event for event in events}
    for event in events:
        for cause in (event, *_chain(event, by_id)):
            alert = cause["payload"].get("alert_id")
            if alert in said:
                said[event["event_id"]] = said[alert]
                break
    return said


def _quotes(alert: Mapping[str, Any], detail: pl.DataFrame) -> list[str]:
    exemplar = pl.col("mention_id").is_in(alert["exemplars"] or [])
    chosen = detail.filter(exemplar)
    if alert.get("window_start") is not None and alert.get("window_end") is not None:
        day = pl.col("published_at").dt.date()
        within = detail.filter(day.is_between(alert["window_start"], alert["window_end"]), pl.col("p_negative") > 0.5)
        campaign = one_campaign(alert["campaign_id"])
        chosen = pl.concat([chosen, within if campaign is None else within.filter(pl.col("campaign_id") == campaign)])
    ordered = chosen.with_columns((pl.col("language") == EMBEDDER_LANGUAGE).fill_null(False).alias("_own")).sort(
        "_own", "p_negative", "mention_id", descending=[True, True, False], nulls_last=True
    )
    return ordered.unique("text", keep="first", maintain_order=True)["text"].head(QUOTES).to_list()


def alerts(
    frame: pl.DataFrame,
    names: Mapping[str, str] | None = None,
    said: Said | None = None,
    events: Sequence[Mapping[str, Any]] = (),
) -> pl.DataFrame:
    """Drops of sentiment, with what people said: that, not the statistics, is the context to compare.

    `events` : the log; the one that was raised for an alert is its provenance
    """
    rows = []
    raised = {event["payload"].get("alert_id"): event for event in events if event["type"] == "sentiment_drop_detected"}
    # One fall is one memory: an alert that is part of another one tells nothing new.
    leads = frame.filter(pl.col("part_of").is_null()) if "part_of" in frame.columns else frame
    for row in leads.iter_rows(named=True):
        where = campaign_words(row["campaign_id"], names)
        quotes = (said or {}).get(row["alert_id"])
        told = placed(row["explanation"] or "Sentiment dropped", where)
        rows.append(
            {
                "source_key": row["alert_id"],
                "text": labelled(("Alert", told), ("People say", quotes and quotes.removeprefix(SAID))),
                "domain": "sentiment",
                "valid_from": row["detected_at"],
                "outcome": effect_words("net sentiment", row["effect"], None),
                "effect": row["effect"],
                "context": quotes or told,
                "metric": "net sentiment",
                "campaign_id": one_campaign(row["campaign_id"]),
                "subject": typed_subject("campaign", one_campaign(row["campaign_id"])),
                "predicate": "sentiment drop",
                "attributes": {name: row.get(name) for name in ("severity", "n", "window_start", "window_end")},
                "events": [raised[row["alert_id"]]["event_id"]] if row["alert_id"] in raised else None,
            }
        )
    return as_items("alert", "sentiment/alerts", rows)


def impacts(
    frame: pl.DataFrame,
    triggers: Mapping[str, Mapping[str, Any]] | None = None,
    names: Mapping[str, str] | None = None,
    said: Said | None = None,
) -> pl.DataFrame:
    """Measured business impact of a triggering event; the standard error is read off the 90 % interval.

    `triggers` : payload of each triggering event by its id, for its campaign and what was explained of it
    """
    rows = []
    for row in frame.iter_rows(named=True):
        trigger = (triggers or {}).get(row["event_id"], {})
        quotes = (said or {}).get(row["event_id"])
        campaign = one_campaign(trigger.get("campaign_id"))
        measured = interval_words("effect", row["effect"], row["effect_low"], row["effect_high"])
        window = f"Impact on the outcome from {row['window_start']} to {row['window_end']}"
        explained = quotes or trigger.get("explanation") or window
        context = placed(explained, campaign_words(campaign, names))
        rows.append(
            {
                "source_key": row["event_id"],
                "text": labelled(
                    (window, measured), ("Context", context), ("Revenue at risk", amount(row["revenue_at_risk"]))
                ),
                "domain": "causal",
                "valid_from": row["window_start"],
                "valid_to": row["window_end"],
                "outcome": measured,
                "effect": row["effect"],
                "std_error": std_error_of(row["effect_low"], row["effect_high"]),
                "context": explained,
                "metric": "effect on outcome",
                "campaign_id": campaign,
                "subject": typed_subject("campaign", campaign),
                "predicate": "impact",
                "attributes": {name: row.get(name) for name in ("effect_low", "effect_high", "revenue_at_risk")},
                "events": [row["event_id"]],
            }
        )
    return as_items("impact", "causal/impact", rows)


def channel_results(frame: pl.DataFrame) -> pl.DataFrame:
    """What each channel returned in total, as the model last estimated it; geos stay in the lake."""
    rows = []
    for row in frame.filter(pl.col("geo") == ALL).iter_rows(named=True):
        measured = interval_words("ROI", row["roi"], row["roi_low"], row["roi_high"])
        marginal = interval_words("marginal ROI", row["mroi"], row["mroi_low"], row["mroi_high"])
        rows.append(
            {
                "source_key": row["channel"],
                "text": f"Channel {row['channel']}: {measured}; {marginal}.",
                "domain": "causal",
                "outcome": measured,
                "effect": row["roi"],
                "std_error": std_error_of(row["roi_low"], row["roi_high"]),
                "context": f"Channel {row['channel']}",
                "metric": "roi",
                "subject": typed_subject("channel", row["channel"]),
                "predicate": "return",
                "attributes": {"channel": row["channel"], **{name: row[name] for name in RETURNS}},
            }
        )
    return as_items("channel_result", "causal/channel_results", rows)


def causal_patterns(frame: pl.DataFrame) -> pl.DataFrame:
    """What recurred over fits of the marketing-mix model: a response that moved, an event that always cannibalises."""
    rows = []
    for row in frame.iter_rows(named=True):
        context = f"{row['channel']}: {row['kind'].replace('_', ' ')}"
        rows.append(
            {
                "source_key": row["pattern_id"],
                "text": f"{context} ({row['detail']}; p {row['p_value']:.2g}).",
                "domain": "causal",
                "valid_from": row["first_seen"],
                "outcome": f"{row['kind'].replace('_', ' ')}, strength {row['strength']:+.3g}",
                "effect": row["strength"],
                "context": context,
                "metric": row["kind"],
                "subject": typed_subject("channel", row["channel"]),
                "predicate": row["kind"],
                "attributes": {name: row[name] for name in ("channel", "strength", "p_value", "last_seen")},
            }
        )
    return as_items("causal_pattern", "causal/patterns", rows)


def shifts(frame: pl.DataFrame) -> pl.DataFrame:
    """Shifts of visibility in AI answers and changes of an engine's behaviour."""
    rows = []
    for row in frame.iter_rows(named=True):
        who = row["brand"] or "all brands"
        context = f"Visibility shift ({row['kind']}) on {row['engine']} for {who}"
        rows.append(
            {
                "source_key": "|".join(
                    (row["detected_at"].isoformat(), row["engine"], row["kind"], row["brand"] or "")
                ),
                "text": f"{context}: {effect_words('visibility', row['effect'], None)}.",
                "domain": "surfacing",
                "valid_from": row["detected_at"],
                "outcome": effect_words("visibility", row["effect"], None),
                "effect": row["effect"],
                "context": context,
                "metric": "visibility",
                "subject": typed_subject("brand", row["brand"]) or typed_subject("engine", row["engine"]),
                "predicate": row["kind"],
                "attributes": {name: row.get(name) for name in ("engine", "brand", "p_value")},
            }
        )
    return as_items("shift", "surfacing/shifts", rows)


def recommendations(frame: pl.DataFrame) -> pl.DataFrame:
    """What surfacing advised, with the effect it expected; an expectation is not an outcome."""
    rows = []
    for row in frame.iter_rows(named=True):
        expected = interval_words("expected effect", row["expected_effect"], row["low"], row["high"])
        rows.append(
            {
                "source_key": row["recommendation_id"],
                "text": f"Recommendation for {row['target']}: {row['action']} ({expected}; "
                f"evidence: {row['evidence_grade'] or 'unknown'}).",
                "domain": "surfacing",
                "context": f"Visibility of {row['target']} in AI answers",
                "action": row["action"],
                "metric": "visibility",
                "subject": typed_subject("page", row["target"]),
                "predicate": "advice",
                "attributes": {
                    name: row[name] for name in ("target", "expected_effect", "low", "high", "evidence_grade")
                },
            }
        )
    return as_items("recommendation", "surfacing/recommendations", rows)


def proposals(
    frame: pl.DataFrame, triggers: Mapping[str, Mapping[str, Any]] | None = None, said: Said | None = None
) -> pl.DataFrame:
    """Actions agents proposed and what policy decided; a prediction is told in words, it is not an effect."""
    rows = []
    for row in frame.iter_rows(named=True):
        predicted = interval_words(
            "predicted effect", row["predicted_effect"], row["predicted_low"], row["predicted_high"]
        )
        quotes = (said or {}).get(row["event_id"] or "")
        campaign = one_campaign((triggers or {}).get(row["event_id"] or "", {}).get("campaign_id"))
        decision = f"{row['decision']} ({row['reason'] or 'no reason given'}), {row['status']}"
        rows.append(
            {
                "source_key": row["action_id"],
                "text": labelled(
                    ("Context", row["context"]),
                    ("People say", quotes and quotes.removeprefix(SAID)),
                    ("Proposed action", row["action"]),
                    ("Decision", decision),
                    ("Prediction", predicted),
                ),
                "domain": "agentic",
                "valid_from": row["proposed_at"],
                "context": quotes or row["context"],
                "action": row["action"],
                "campaign_id": campaign,
                "subject": typed_subject("campaign", campaign) or typed_subject("agent", row["agent_id"]),
                "predicate": "proposal",
                "attributes": {name: row.get(name) for name in PROPOSED},
                "events": [row["event_id"]] if row["event_id"] else None,
            }
        )
    return as_items("proposal", "agentic/proposals", rows)


def llm_experiments(frame: pl.DataFrame) -> pl.DataFrame:
    """A/B comparisons of prompts or models with their estimated difference."""
    rows = []
    for row in frame.iter_rows(named=True):
        measured = interval_words(row["metric"], row["estimate"], row["low"], row["high"])
        context = f"LLM experiment {row['experiment']} comparing {row['variant_a']} with {row['variant_b']}"
        rows.append(
            {
                "source_key": "|".join(row[name] for name in ("experiment", "metric", "variant_a", "variant_b")),
                "text": f"{context}: difference in {measured}; decision: {row['decision'] or 'unknown'}.",
                "domain": "llm",
                "outcome": f"difference in {measured}",
                "effect": row["estimate"],
                "std_error": std_error_of(row["low"], row["high"]),
                "context": context,
                "action": f"use {row['variant_b']} instead of {row['variant_a']}",
                "metric": row["metric"],
                "subject": typed_subject("llm_experiment", row["experiment"]),
                "predicate": row["metric"],
                "attributes": {name: row[name] for name in ("variant_a", "variant_b", "low", "high", "decision")},
            }
        )
    return as_items("llm_experiment", "llm/experiments", rows)


def patterns(
    events: Sequence[Mapping[str, Any]],
    said: Said | None = None,
    fresh: Collection[str] | None = None,
    outcomes: Mapping[str, Mapping[str, Any]] | None = None,
) -> pl.DataFrame:
    """What an agent did about what happened: context, impact and action of each `agent_action_initiated`.

    Parameters
    ----------
    events : mappings with event_id, type, occurred_at, causation_id and payload (a mapping); causes that are
        among them are followed to the impact and the drop that led to the action
    fresh : ids of the events to build patterns of, beside those whose outcome is known; all where None
    outcomes : by action id, what was measured of it: effect, std_error and metric
    """
    by_id = {event["event_id"]: event for event in events}
    rows, known = [], outcomes or {}
    for event in events:
        if event["type"] != "agent_action_initiated":
            continue
        came = known.get(event["payload"]["action_id"])
        if fresh is not None and came is None and event["event_id"] not in fresh:
            continue
        payload, chain = event["payload"], _chain(event, by_id)
        measured = None if came is None else effect_words(came["metric"], came["effect"], came["std_error"])
        impact = next((cause for cause in chain if cause["type"] == "causal_impact_identified"), None)
        campaign = next((c["payload"]["campaign_id"] for c in chain if c["payload"].get("campaign_id")), None)
        quotes, effect = (said or {}).get(event["event_id"]), None
        if impact:
            body = impact["payload"]
            effect = interval_words("effect", body["effect"], body["effect_low"], body["effect_high"])
        rows.append(
            {
                "source_key": payload["action_id"],
                "text": labelled(
                    ("Context", payload["context"]),
                    ("People say", quotes and quotes.removeprefix(SAID)),
                    ("Impact", effect),
                    ("Action", f"{payload['action']} by {payload['agent_id']}"),
                    ("Status", f"{payload['decision']}, {payload['status']}"),
                    ("Outcome", measured),
                ),
                "domain": "agentic",
                "valid_from": event["occurred_at"],
                "outcome": measured,
                **(came or {}),
                "context": quotes or payload["context"],
                "action": payload["action"],
                "campaign_id": one_campaign(campaign),
                "subject": typed_subject("campaign", one_campaign(campaign))
                or typed_subject("agent", payload["agent_id"]),
                "predicate": "action",
                "attributes": {name: payload.get(name) for name in ACTED},
                "events": [event["event_id"], *(cause["event_id"] for cause in chain)],
                "correlation": event.get("correlation_id"),
            }
        )
    return as_items("pattern", "spine/agent_action_initiated", rows)


def _chain(event: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Causes of an event, nearest first; a loop ends it."""
    chain: list[Mapping[str, Any]] = []
    seen = {event["event_id"]}
    cause = by_id.get(event["causation_id"] or "")
    while cause is not None and cause["event_id"] not in seen:
        chain.append(cause)
        seen.add(cause["event_id"])
        cause = by_id.get(cause["causation_id"] or "")
    return chain
