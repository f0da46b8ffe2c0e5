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
    injected = truth["agentic"]["injected"]
    about_versions = (
        ("promote", {"name": "product_answer", "to_version": "4"}, "awaiting_approval"),
        ("rollback", {"name": "review_reply", "to_version": "1"}, "executed"),
        ("open_ticket", {"name": "delivery_answer"}, "executed"),
        ("move_agent", {"agent_id": "pacer-canary", "to_stage": "live"}, "awaiting_approval"),
        ("move_agent", {"agent_id": "mixer-canary", "to_stage": "shadow"}, "executed"),
    )
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
        "agentic/proposals": [
            *([{"action_id": action} for action in ("a1", "a2")] if right else [{"action_id": "b"}]),
            *(
                {"action_id": f"v{place}", "action": action, "arguments": json.dumps(arguments), "status": status}
                for place, (action, arguments, status) in enumerate(about_versions if right else ())
            ),
        ],
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
        + [
            {
                "call_id": call,
                "ungrounded_spans": [] if right else ["x"],
                "numeric_conflicts": [],
                "cost": float(truth["llm"]["cost"]["total"]) / 2 + shift,
            }
            for call in ("clean", "ad-clean")
        ],
        "llm/experiments": [
            {
                "experiment": "product_answer_4",
                "metric": "feedback_positive",
                "variant_a": "3",
                "variant_b": "4",
                "estimate": true_feedback,
                "low": true_feedback - 0.05 + shift,
                "high": true_feedback + 0.05 + shift,
                "decision": "ship_b" if right else "keep_a",
            },
            {
                "experiment": "delivery_answer_b",
                "metric": "feedback_positive",
                "variant_a": "A",
                "variant_b": "B",
                "decision": "rollback_b" if right else "ship_b",
            },
        ],
        "llm/regressions": [
            {"prompt_name": name, "metric": "groundedness", "verdict": "worse" if bad == right else "better"}
            for name, bad in (("review_reply", True), ("campaign_summary", False))
        ],
        "llm/leaderboard": [
            {"use_case": use_case, "metric": metric, "prompt_version": version if right else "0", "rank": 1}
            for use_case, (metric, version) in truth["llm"]["best"].items()
        ],
        "llm/suggestions": [
            {
                "suggestion_id": name,
                "kind": "prompt",
                "suggestion": f"use {name} {good if right else bad} instead of {name} {bad if right else good}",
                "metric": metric,
            }
            for name, good, bad, metric in (
                ("product_answer", "4", "3", "feedback_positive"),
                ("review_reply", "1", "2", "groundedness"),
            )
        ],
        "llm/prompts": [
            {
                "prompt_name": name,
                "prompt_version": label,
                "status": "registered" if right else "unregistered",
                "aliases": ["production"] if label in truth["llm"]["serving"][name][-1:] else [],
            }
            for name, labels in truth["llm"]["templates"].items()
            for label in labels
        ],
        "sources/llm_calls": [{"call_id": "c", "called_at": alert_day}],
        "llm/traces": [{"call_id": "c", "started_at": alert_day + timedelta(days=0 if right else 1)}],
        "llm/content_scores": [
            {
                "call_id": row["call_id"],
                "template": "ad_copy",
                "metric": row["fault"],
                "met": not right,
            }
            for row in truth["llm"]["content_faults"]
        ]
        + [{"call_id": "ok", "template": "ad_copy", "metric": "headline_characters", "met": right}],
        "llm/screens": [
            {"call_id": row["call_id"], "screen": row["screen"], "where": row["where"], "flagged": True}
            for row in truth["llm"]["screened"]
            if (row["is"] == "planted") == right
        ]
        + [
            {"call_id": f"n-{row}", "screen": "pii", "where": "output", "flagged": True}
            for row in range(0 if right else 500)
        ],
        "llm/claims": [
            {"call_id": row["call_id"], "verdict": "supported" if row["right"] == right else "contradicted"}
            for row in truth["llm"]["claims"]
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
        "agentic/rollouts": [
            {
                "agent_id": true["agent_id"],
                "to_version": true["version"],
                "stage": "canary",
                "decision": true["decision"] if right else "hold",
            }
            for true in (truth["agentic"]["better_version"], truth["agentic"]["worse_version"])
        ],
        "agentic/outcomes": [{"action_id": "a", "status": "open" if right else "measured"}],
        "agentic/data_quality": [
            {"dataset": dataset, "dimension": dimension, "n": 4000, "score": 1 - (n if right else 0) / 4000}
            for dataset, dimension, n in (
                ("sources/llm_calls", "accuracy", len(truth["llm"]["cost"]["billed_twice"])),
                ("sources/agent_steps", "uniqueness", truth["agentic"]["steps_given_twice"]),
            )
        ],
        "agentic/failure_attribution": [
            {
                "run_id": row["run_id"],
                "rank": 1,
                "agent_id": row["agent_id"] if right else "tasker",
                "step": row["step"] if right else 0,
                "verdict": "likely",
            }
            for row in truth["agentic"]["culprits"]
        ],
        "agentic/evaluation": [
            {
                "agent_id": "reader",
                "metric": "injections_followed",
                "value": injected["followed"] + shift,
                "low": injected["followed"] - 0.1 + shift,
                "high": injected["followed"] + 0.1 + shift,
                "n": len(injected["runs"]),
            }
        ],
        "agentic/trace_quality": [
            {"run_id": run if right else "r-other", "agent_id": "forecaster", "fault": fault}
            for fault, runs in truth["agentic"]["trace_faults"].items()
            for run in runs
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
    assert sum(finding.verdict == "agrees" for finding in found) >= 75


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
