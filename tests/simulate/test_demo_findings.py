"""A module that found the truth agrees, one that did not misses, one that said nothing is unknown."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from liftos_pipelines.simulate.findings import Finding, findings, print_findings
from liftos_pipelines.simulate.mentions import CLASSES
from liftos_pipelines.tables import table

Demo = tuple[Path, dict[str, Any]]


def reader(frames: dict[str, list[dict[str, Any]]]) -> Callable[[str], pl.DataFrame]:
    """Tables by name, contract columns that a row leaves out null; all others empty."""

    def read(name: str) -> pl.DataFrame:
        contract = table(name)
        rows = [dict.fromkeys(contract.columns) | row for row in frames.get(name, [])]
        return (
            pl.DataFrame(rows, schema_overrides=contract.columns, infer_schema_length=None)
            if rows
            else contract.empty()
        )

    return read


def verdicts(found: list[Finding]) -> dict[str, str]:
    return {finding.what: finding.verdict for finding in found}


def told(truth: dict[str, Any], *, right: bool) -> dict[str, list[dict[str, Any]]]:
    """Tables as a perfect module would write them, or as one that is wrong about everything."""
    shift = 0.0 if right else 100.0
    channels = truth["marketing"]["channels"]
    incident, change = truth["incident"], truth["surfacing"]["algorithm_change"]
    lost = -incident["conversions_lost"] + (0 if right else 1e6)
    digits = truth["sentiment"]["class_digits"]
    planted = [row["call_id"] for row in truth["llm"]["planted"]]
    violating = [run for runs in truth["agentic"]["violations"].values() for run in runs]
    best = truth["marketing"]["best_split"]["scale"]
    worst = {name: 2 - scale for name, scale in best.items()}
    alert_day = datetime(2025, 9, 12 if right else 1, tzinfo=UTC)
    true_feedback = truth["llm"]["experiment"]["feedback_positive_difference"]
    moves, outlook = truth["memory"]["spend"]["actions"], truth["outlook"]
    changed = datetime.fromisoformat(change["date"]).date()
    amount = -100_000.0 if right else 100_000.0  # on display, which loses money
    display = outlook["gains"]["display"]
    gained = float(np.interp(amount, display["amount"], display["revenue"])) + shift * 1e6
    return {
        "causal/channel_results": [
            {"channel": name, "geo": "all"}
            | {key: true["roi"] + shift for key in ("roi", "roi_low", "roi_high")}
            | {key: true["mroi"] + shift for key in ("mroi", "mroi_low", "mroi_high")}
            for name, true in channels.items()
        ],
        "causal/budget_plan": [
            {
                "channel": name,
                "spend_current": true["spend"],
                "spend_planned": true["spend"] * (best if right else worst)[name],
                "response_current": 1.0,
                "response_planned": 1.05,
            }
            for name, true in channels.items()
        ],
        "causal/impact": [
            {
                "event_id": "e",
                "window_start": datetime.fromisoformat(incident["start"]).date(),
                "window_end": datetime.fromisoformat(incident["end"]).date(),
                "effect": lost,
                "effect_low": lost - 1,
                "effect_high": lost + 1,
                "trigger": "sentiment_drop_detected",
            },
            {
                "event_id": "shift",
                "window_start": changed,
                "window_end": changed,
                "trigger": "algorithm_change_detected",
            },
        ],
        "causal/campaign_outlook": [
            {"campaign_id": truth["new_campaign"], "status": "ok"}
            | {key: outlook["expected"] + shift * 1e6 for key in ("expected", "low", "high")},
            {"campaign_id": "c24-club", "status": "unknown: the campaign names no budget"},
        ],
        "causal/budget_suggestions": [
            {"channel": "display", "amount": amount, "weeks": outlook["weeks"]}
            | {key: gained for key in ("expected", "low", "high")}
        ],
        "memory/insights": [
            {
                "insight_id": action,
                "action": action,
                "recommendation": f"Do: {action}",
                "p_success": 0.9,
                "validation_status": "validated" if (true["net_gain_now"] > 0) == right else "contradicted",
                "predicted_low": true["net_gain_now"] - 1 + shift * 1e6,
                "predicted_high": true["net_gain_now"] + 1 + shift * 1e6,
            }
            for action, true in moves.items()
        ],
        "agentic/proposals": [{"action_id": action} for action in ("a1", "a2")] if right else [{"action_id": "b"}],
        "eval/predictions": [
            {"prediction_id": f"{row}", "status": "known", "inside": right or row < 3} for row in range(10)
        ],
        "sentiment/mention_scores": [
            {"mention_id": f"m-{row:06d}", "label": CLASSES[said], "abstained": False}
            | {f"p_{name}": float(name == CLASSES[said]) for name in CLASSES}
            for row, digit in enumerate(digits)
            for said in [int(digit) if right else (int(digit) + 1) % 3]
        ],
        "sentiment/daily_index": [
            {
                "date": datetime.fromisoformat(days["start"]).date() + timedelta(days=day),
                "campaign_id": campaign,
                "source": "all",
                "language": "all",
                "topic": "all",
                "net_sentiment": net + shift,
                "low": net + shift - 0.01,
                "high": net + shift + 0.01,
            }
            for campaign, days in truth["sentiment"]["net_by_day"].items()
            for day, net in enumerate(days["net"])
        ],
        "sentiment/alerts": [{"alert_id": "a", "detected_at": alert_day, "campaign_id": incident["campaign_id"]}],
        "surfacing/visibility": [
            {
                "period": "2025-10",
                "engine": engine,
                "group": "all",
                "brand": brand,
                "metric": "mention_rate",
                "value": true["mention_rate"] + shift,
                "low": true["mention_rate"] + shift - 0.01,
                "high": true["mention_rate"] + shift + 0.01,
            }
            for engine, periods in truth["surfacing"]["rates"].items()
            for brand, true in periods["before"].items()
        ],
        "surfacing/shifts": [
            {
                "detected_at": datetime.fromisoformat(change["date"]).replace(tzinfo=UTC)
                + timedelta(days=4 if right else -30),
                "engine": change["engine"],
                "kind": "engine",
                "brand": "all",
            }
        ],
        "llm/call_scores": [
            {"call_id": call, "ungrounded_spans": ["x"] if right else [], "numeric_conflicts": []} for call in planted
        ]
        + [{"call_id": "clean", "ungrounded_spans": [] if right else ["x"], "numeric_conflicts": []}],
        "llm/experiments": [
            {
                "experiment": "product_answer",
                "metric": "feedback_positive",
                "variant_a": "A",
                "variant_b": "B",
                "estimate": true_feedback,
                "low": true_feedback - 0.05 + shift,
                "high": true_feedback + 0.05 + shift,
                "decision": "ship_b" if right else "keep_a",
            }
        ],
        "agentic/policy_decisions": [
            {"run_id": run, "step": 1, "decision": "deny" if right else "allow"} for run in violating
        ]
        + [{"run_id": "clean", "step": 1, "decision": "allow" if right else "deny"}],
        "agentic/performance": [
            {
                "agent_id": agent,
                "runs": 50,
                "success_rate": true["true_rate"] if right else 1 - true["true_rate"],
                "low": true["true_rate"] - 0.1 + shift,
                "high": true["true_rate"] + 0.1 + shift,
            }
            for agent, true in truth["agentic"]["success"].items()
        ],
        "agentic/ledger_audit": [
            {"verified": right, "entries": 3, "root_hash": "00", "first_bad_entry": None if right else 2}
        ],
        "memory/items": [
            {"memory_id": name, "kind": "outcome", "source_key": None}
            for name in list(truth["memory"]["kind_of_outcome"])[: None if right else 5]
        ]
        + [
            {"memory_id": action, "kind": "pattern", "source_key": action}
            | {"provenance": json.dumps({"events": [action, event if right else "another"]})}
            for action, event in (("a1", "e"), ("a2", "shift"))
        ],
        "memory/patterns": [
            {
                "pattern_id": query,
                "query_id": query,
                "query_kind": kind,
                "campaign_id": campaign,
                "abstained": False,
                "p_success": 0.9,
                "p_success_low": 0.8 + shift,
                "p_success_high": 1.0 + shift,
                "action": action if right else "raise_bid" if kind == "campaign" else "rotate_creative",
            }
            for query, kind, campaign, action in (
                ("alert-1", "alert", incident["campaign_id"], "notify"),
                (truth["new_campaign"], "campaign", truth["new_campaign"], "start_test"),
            )
        ]
        + [
            {
                "pattern_id": action,
                "query_id": "c25-winter",
                "query_kind": "campaign",
                "campaign_id": "c25-winter",
                "abstained": False,
                "action": action,
            }
            | {key: true["p_helps"] + shift for key in ("p_success", "p_success_low", "p_success_high")}
            for action, true in moves.items()
        ],
        "eval/root_causes": [
            {
                "incident_id": "i",
                "cause": f"campaign {incident['campaign_id']}" if right else "weather",
                "contribution": -0.3,
            }
        ],
    }


def test_tables_that_say_nothing_are_unknown_and_never_a_number(demo: Demo) -> None:
    found = findings(reader({}), demo[1])
    assert {finding.verdict for finding in found} == {"unknown"}
    assert {finding.found for finding in found} == {"unknown"}
    assert {finding.module for finding in found} == set(
        ["causal", "sentiment", "surfacing", "llm", "agentic", "memory", "eval"]
    )


def test_a_module_that_found_the_truth_agrees(demo: Demo) -> None:
    found = findings(reader(told(demo[1], right=True)), demo[1])
    assert "misses" not in verdicts(found).values(), [f for f in found if f.verdict == "misses"]
    assert sum(finding.verdict == "agrees" for finding in found) >= 38


def test_a_module_that_is_wrong_misses(demo: Demo) -> None:
    right = verdicts(findings(reader(told(demo[1], right=True)), demo[1]))
    wrong = verdicts(findings(reader(told(demo[1], right=False)), demo[1]))
    judged = {what for what, verdict in right.items() if verdict == "agrees"}
    assert {what for what in judged if wrong[what] == "agrees"} == set()


def test_nothing_detected_is_a_miss_where_something_was_watched(demo: Demo) -> None:
    frames = told(demo[1], right=True)
    frames["sentiment/alerts"], frames["surfacing/shifts"] = [], []
    found = verdicts(findings(reader(frames), demo[1]))
    assert found["alert on the incident"] == "misses"
    assert found["algorithm change"] == "misses"


def test_wrong_insights_let_through_are_a_miss_and_unsure_ones_are_unknown(demo: Demo) -> None:
    frames = told(demo[1], right=True)
    for row in frames["memory/insights"]:
        row["validation_status"] = "validated"
    found = verdicts(findings(reader(frames), demo[1]))
    assert found["insights on spend that Causal validated"] == "misses"
    assert found["the platform's own claims"] == "misses"
    for row in frames["memory/insights"]:
        row["validation_status"] = "unknown"
    found = verdicts(findings(reader(frames), demo[1]))
    assert found["insights on spend that Causal validated"] == "unknown"
    assert found["insights on spend that Causal contradicted"] == "unknown"


def test_an_incidents_chain_is_broken_where_one_link_is_missing(demo: Demo) -> None:
    what = "the incident, from mention to memory"
    frames = told(demo[1], right=True)
    assert verdicts(findings(reader(frames), demo[1]))[what] == "agrees"
    (timed,) = [f for f in findings(reader(frames), demo[1], {"e": 0.8}) if f.what == what]
    assert "0.80 s by the reactor" in timed.found
    for name in ("sentiment/alerts", "causal/impact", "agentic/proposals"):
        found = verdicts(findings(reader(frames | {name: []}), demo[1]))
        assert found[what] == "misses", name


@pytest.mark.parametrize("width", [80, 160])
def test_every_finding_is_printed_with_its_interval(demo: Demo, width: int) -> None:
    out = StringIO()
    print_findings(findings(reader(told(demo[1], right=True)), demo[1]), Console(file=out, width=width))
    printed = out.getvalue()
    assert "[3.2," in printed
    assert "agree with the truth" in printed
