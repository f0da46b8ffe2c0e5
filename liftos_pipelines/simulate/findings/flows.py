"""The flows to their end: insights held against Causal, suggested budgets, the new campaign, and each incident's chain.

What counts as true of a move of spend is what it would gain now by the world's own response, not what was measured of
it in the past: that is what an insight is acted on for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from scipy import special

from liftos_pipelines.simulate.findings.finding import (
    Finding,
    Read,
    Truth,
    coverage,
    finding,
    holds,
    not_found,
    number,
    with_interval,
)
from liftos_pipelines.simulate.outcomes import BETWEEN_OCCASIONS_SD

INSIGHTS, PATTERNS, ITEMS = "memory/insights", "memory/patterns", "memory/items"
OUTLOOK, SUGGESTIONS = "causal/campaign_outlook", "causal/budget_suggestions"
ALERTS, SHIFTS, IMPACT = "sentiment/alerts", "surfacing/shifts", "causal/impact"
PROPOSALS, PREDICTIONS = "agentic/proposals", "eval/predictions"
ROUNDING = 0.01
"""A chance of .995 is not told apart from a certainty."""

Seconds = Mapping[str, float]
"""From the id of an event to the seconds until its pattern was stored, where the reactor answered it."""


def compare(read: Read, truth: Truth, seconds: Seconds | None = None) -> list[Finding]:
    spend = truth["memory"]["spend"]
    return [
        *_validated(read(INSIGHTS), spend),
        *_chances(read(PATTERNS), truth),
        _suggested(read(SUGGESTIONS), truth["outlook"]),
        _outlook(read(OUTLOOK), truth["outlook"]),
        *_chains(read, truth, seconds or {}),
        *_followed(read(PREDICTIONS)),
    ]


# --- insights -------------------------------------------------------------------------------------------------


def _validated(insights: pl.DataFrame, spend: Truth) -> list[Finding]:
    """Insights that move spend; the same action for several campaigns is one judgement of Causal."""
    actions, whats = (
        spend["actions"],
        (
            "insights on spend that Causal validated",
            "insights on spend that Causal contradicted",
            "the platform's own claims",
        ),
    )
    beside = "a validated one would gain now by the true response, a contradicted one would lose"
    sure = insights.filter(pl.col("action").is_in(list(actions))) if "action" in insights.columns else insights.clear()
    claims = sorted({row["action"] for row in spend["decisions"].values() if row["measured_by"] != "geo test"})
    about_claims = f"believed by memory, and stopped: {', '.join(claims)} would lose"
    if sure.is_empty():
        about = (beside, beside, about_claims)
        silent = [not_found(INSIGHTS, what, true) for what, true in zip(whats, about, strict=True)]
        return [*silent, _foreseen([], actions)]
    rows = [
        row | {"right": (actions[row["action"]]["net_gain_now"] > 0) == (row["p_success"] > 0.5)}
        for row in sure.iter_rows(named=True)
    ]
    found = []
    for what, status, wanted in ((whats[0], "validated", True), (whats[1], "contradicted", False)):
        mine = [row for row in rows if row["validation_status"] == status]
        if not mine:
            unknown = sum(row["validation_status"] == "unknown" for row in rows)
            found.append(
                finding(
                    INSIGHTS, what, f"none; {len(rows)} sure enough, {unknown} of them unknown to Causal", beside, None
                )
            )
            continue
        judged = {(row["action"], row["p_success"] > 0.5): row["right"] == wanted for row in mine}
        said = ", ".join(sorted({f"{row['recommendation']}" for row in mine}))
        found.append(
            finding(
                INSIGHTS,
                what,
                f"{len(mine)} of {len(rows)} sure enough; {sum(judged.values())} of {len(judged)} moves rightly: {said}",
                beside,
                all(judged.values()),
            )
        )
    believed = [row for row in rows if row["action"] in claims and row["p_success"] > 0.5]
    stopped = sum(row["validation_status"] == "contradicted" for row in believed)
    let_through = sum(row["validation_status"] == "validated" for row in believed)
    told = f"{len(believed)} believed, {stopped} contradicted, {let_through} validated"
    verdict = let_through == 0 if stopped or let_through else None
    found.append(finding(INSIGHTS, whats[2], told, about_claims, verdict))
    return [*found, _foreseen(rows, actions)]


def _foreseen(rows: list[dict[str, Any]], actions: Truth) -> Finding:
    """What Causal expects each move to gain in a year of now, the money counted, beside the true gain."""
    expected = {
        row["action"]: (row["predicted_low"], row["predicted_high"])
        for row in rows
        if row.get("predicted_low") is not None and row.get("predicted_high") is not None
    }
    held = [low <= actions[action]["net_gain_now"] <= high for action, (low, high) in expected.items()]
    return coverage(INSIGHTS, "gain that Causal expects of each move of spend", held)


def _chances(patterns: pl.DataFrame, truth: Truth) -> list[Finding]:
    """Chances of success, each question and action once, beside how often the action truly helps."""
    memory, spend = truth["memory"], truth["memory"]["spend"]
    claimed = {row["action"] for row in spend["decisions"].values() if row["measured_by"] != "geo test"}
    other, moves, believed = [], [], 0
    seen: set[tuple[str, str, str]] = set()
    for row in patterns.filter(~pl.col("abstained"), pl.col("action").is_not_null()).iter_rows(named=True):
        kind = _kind_of(row, truth)
        true = _true_chance(row["action"], kind, memory)
        key = ("" if kind is None else kind, str(row.get("campaign_id")), row["action"])
        if true is None or key in seen or row["p_success"] is None:
            continue
        seen.add(key)
        held = row.get("p_success_low"), row.get("p_success_high"), row["p_success"], true
        if row["action"] in claimed:
            believed += 1
        elif row["action"] in spend["actions"]:
            moves.append(held)
        else:
            other.append(held)
    silent = 0
    asked = 0
    if "query_kind" in patterns.columns:
        by_query = patterns.group_by("query_kind", "query_id").agg(pl.col("abstained").all())
        silent, asked = int(by_query["abstained"].sum()), by_query.height
    note = f"; silent on {silent} of {asked} contexts" if asked else ""
    spared = f"; {believed} more rest on the platform's claims" if believed else ""
    return [
        _calibrated("chance of success, decisions in general", other, note),
        _calibrated("chance of success, moves of spend", moves, spared),
    ]


def _kind_of(row: dict[str, Any], truth: Truth) -> str | None:
    """The kind of situation that a pattern was looked up for, where it was planted."""
    if row.get("query_kind") == "campaign" and row.get("campaign_id") == truth["new_campaign"]:
        return str(truth["memory"]["new_campaign_kind"])
    if row.get("query_kind") in ("alert", "impact", "proposal"):
        about_incident = row.get("campaign_id") == truth["incident"]["campaign_id"]
        return str(truth["memory"]["incident_kind"]) if about_incident else None
    return None


def _true_chance(action: str, kind: str | None, memory: Truth) -> float | None:
    if action in memory["spend"]["actions"]:
        return float(memory["spend"]["actions"][action]["p_helps"])
    effect = memory["effects"].get(kind, {}).get(action) if kind else None
    return None if effect is None else float(special.ndtr(effect / BETWEEN_OCCASIONS_SD))


def _calibrated(what: str, said: list[tuple[Any, Any, float, float]], note: str) -> Finding:
    held = [low - ROUNDING <= true <= high + ROUNDING for low, high, _, true in said if low is not None]
    found = coverage(PATTERNS, what, held)
    if not held:
        return found
    mean, true = (float(np.mean([row[place] for row in said])) for place in (2, 3))
    return finding(
        PATTERNS,
        what,
        f"{found.found}; said {mean:.2f} on average{note}",
        f"{found.truth}; truly {true:.2f} on average",
        found.verdict == "agrees",
    )


# --- campaigns ------------------------------------------------------------------------------------------------


def _suggested(suggestions: pl.DataFrame, outlook: Truth) -> Finding:
    what = "budgets suggested for the new campaign"
    beside = "the money moved comes back with more by the true response"
    if suggestions.is_empty():
        return not_found(SUGGESTIONS, what, beside)
    right, held, told = [], [], []
    for row in suggestions.filter(pl.col("weeks") == outlook["weeks"]).iter_rows(named=True):
        true = _gain(outlook, row["channel"], row["amount"])
        if true is None:
            continue
        right.append(true > row["amount"])
        if (inside := holds(row["low"], row["high"], true)) is not None:
            held.append(inside)
        told.append(f"{row['channel']} {row['amount']:+,.0f} (true net {true - row['amount']:+,.0f})")
    if not right:
        return not_found(SUGGESTIONS, what, beside)
    said = f"{sum(right)} of {len(right)} rightly, {sum(held)} of {len(held)} intervals hold: {', '.join(told)}"
    return finding(SUGGESTIONS, what, said, beside, all(right))


def _gain(outlook: Truth, channel: str, amount: float | None) -> float | None:
    """True revenue of an amount on a channel in the campaign's weeks, where it lies within what was computed."""
    curve = outlook["gains"].get(channel)
    if curve is None or amount is None or not curve["amount"][0] <= amount <= curve["amount"][-1]:
        return None
    return float(np.interp(amount, curve["amount"], curve["revenue"]))


def _outlook(table: pl.DataFrame, outlook: Truth) -> Finding:
    what = "what the new campaign's budget gains"
    true = f"{number(outlook['expected'])} in {outlook['weeks']} weeks to come"
    if table.is_empty():
        return not_found(OUTLOOK, what, true)
    known = table.filter(pl.col("status") == "ok")
    rest = f"{known.height} of {table.height} campaigns modelled, the others have no week ahead or no modelled channel"
    own = known.filter(pl.col("campaign_id") == outlook["campaign_id"])
    if own.is_empty():
        return finding(OUTLOOK, what, rest, true, None)
    row = own.row(0, named=True)
    said = f"{with_interval(row['expected'], row['low'], row['high'])}; {rest}"
    return finding(OUTLOOK, what, said, true, holds(row["low"], row["high"], outlook["expected"]))


# --- the loop -------------------------------------------------------------------------------------------------


def _chains(read: Read, truth: Truth, seconds: Seconds) -> list[Finding]:
    incident, change = truth["incident"], truth["surfacing"]["algorithm_change"]
    began, over = date.fromisoformat(incident["start"]), date.fromisoformat(incident["end"])
    changed = date.fromisoformat(change["date"])
    alerts = read(ALERTS).filter(
        pl.col("campaign_id") == incident["campaign_id"],
        pl.col("detected_at").dt.date().is_between(began, over + timedelta(days=14)),
    )
    shifts = read(SHIFTS).filter(
        pl.col("engine") == change["engine"],
        pl.col("detected_at").dt.date().is_between(changed, changed + timedelta(days=30)),
    )
    impact = read(IMPACT)
    first, last = pl.col("window_start"), pl.col("window_end")
    dropped = impact.filter(first <= over, last >= began)
    shifted = impact.filter(first.is_between(changed, changed + timedelta(days=30)))
    if "trigger" in impact.columns:
        dropped = dropped.filter(pl.col("trigger") == "sentiment_drop_detected")
        shifted = shifted.filter(pl.col("trigger") != "sentiment_drop_detected")
    return [
        _chain("the incident, from mention to memory", alerts, dropped, read, seconds),
        _chain("the algorithm change, from answer to memory", shifts, shifted, read, seconds),
    ]


def _chain(what: str, noticed: pl.DataFrame, impact: pl.DataFrame, read: Read, seconds: Seconds) -> Finding:
    """Every link is looked up by the ids of its events, so a pattern of another incident does not count."""
    beside = "alert, impact, decision and pattern, each caused by the one before"
    decided, items = read(PROPOSALS), read(ITEMS)
    if noticed.is_empty() and items.is_empty() and decided.is_empty():
        return not_found(ITEMS, what, beside)
    triggers = set(impact["event_id"])
    stored = []
    if "provenance" in items.columns:
        for row in items.filter(pl.col("kind") == "pattern").iter_rows(named=True):
            if triggers & set(_events_of(row["provenance"])):
                stored.append(row)
    actions = {row.get("source_key") for row in stored}
    links = {
        "alert": not noticed.is_empty(),
        "impact": bool(triggers),
        "decision": not decided.filter(pl.col("action_id").is_in([a for a in actions if a])).is_empty(),
        "pattern": bool(stored),
    }
    took = [seconds[event] for event in triggers if event in seconds]
    speed = f"{max(took):.2f} s by the reactor" if took else "seconds unknown: no reactor ran"
    said = ", ".join(f"{link} {'yes' if there else 'no'}" for link, there in links.items())
    return finding(ITEMS, what, f"{said}; {speed}", beside, all(links.values()))


def _events_of(provenance: str | None) -> list[str]:
    try:
        return [str(event) for event in json.loads(provenance or "{}").get("events", [])]
    except (ValueError, AttributeError):
        return []


def _followed(predictions: pl.DataFrame) -> list[Finding]:
    what, beside = "predictions followed", "an outcome within its interval nine times in ten"
    if predictions.is_empty():
        return [not_found(PREDICTIONS, what, beside)]
    counts = dict(predictions["status"].value_counts().iter_rows())
    said = ", ".join(f"{counts.get(status, 0)} {status}" for status in ("known", "open", "overdue"))
    held = predictions.filter(pl.col("inside").is_not_null())["inside"].to_list()
    if not held:
        return [finding(PREDICTIONS, what, f"{said}; coverage unknown", beside, None)]
    covered = coverage(PREDICTIONS, what, held)
    return [finding(PREDICTIONS, what, f"{said}; {covered.found}", beside, covered.verdict == "agrees")]
