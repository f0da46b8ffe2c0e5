"""Insights held against a causal truth that is planted: agreed, contradicted, or unknown for a reason that is told."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.memory.learning.realised import insight_outcomes
from liftos_pipelines.modules.memory.learning.validation import (
    Conditions,
    change_named,
    conditions_of,
    direction_of,
    gain_of,
    validate,
)
from liftos_pipelines.modules.memory.records import from_sources, history, items
from liftos_pipelines.tables import table

NOW = datetime(2026, 1, 10, tzinfo=UTC)
SPEND = 1_000_000.0


def frame(name: str, rows: list[dict[str, Any]], **extra: pl.DataType) -> pl.DataFrame:
    schema = table(name).columns | extra
    return pl.DataFrame([{c: row.get(c) for c in schema} for row in rows], schema=schema, orient="row")


def truth(slope: float, error: float = 0.1) -> dict[str, Any]:
    """A channel whose response at `SPEND` grows by `slope` for each unit of money, known to a tenth or so."""
    spend = np.linspace(0, 2 * SPEND, 41)
    response = 2 * slope * SPEND * np.sqrt(spend / SPEND)
    return {"spend": spend, "response": response, "slope": slope, "error": error}


def conditions(channels: dict[str, dict[str, Any]], **changed: Any) -> Conditions:
    results, curves, plan = [], [], []
    for name, told in channels.items():
        wide = 1.645 * told["error"]
        low, high = told["slope"] * (1 - wide), told["slope"] * (1 + wide)
        results.append({"channel": name, "geo": "all", "mroi": told["slope"], "mroi_low": low, "mroi_high": high})
        plan.append({"channel": name, "spend_current": SPEND, "spend_planned": SPEND})
        curves += [
            {
                "channel": name, "spend": s, "response": r, "response_low": r * (1 - wide), "response_high": r * (1 + wide),
                "unit": "revenue", "beyond_observed": s > 1.5 * SPEND,
            }
            for s, r in zip(told["spend"], told["response"], strict=True)
        ]  # fmt: skip
    given = {
        "channel_results": frame("causal/channel_results", results),
        "budget_plan": frame("causal/budget_plan", plan),
        "response_curves": frame("causal/response_curves", curves, unit=pl.String(), beyond_observed=pl.Boolean()),
        "validation": frame("causal/validation", [{"check": "r_hat", "status": "pass"}]),
        "fit_history": frame(
            "causal/fit_history", [{"fitted_at": NOW - timedelta(days=3), "last_week": date(2025, 12, 29)}]
        ),
        "newest": date(2026, 1, 9),
        "now": NOW,
    }
    return conditions_of(**(given | changed))


NOW_KNOWN = {"search": truth(1.8), "display": truth(0.4), "tv": truth(1.02)}


@pytest.mark.parametrize(
    ("action", "works", "status"),
    [
        ("Increase spend on search", True, "validated"),
        ("Cut search", True, "contradicted"),
        ("Cut search", False, "validated"),
        ("Increase display spend by 10 %", True, "contradicted"),
        ("reduce the display budget by 20 percent", True, "validated"),
        ("Increase search by 50,000", True, "validated"),
        ("increase tv spend", True, "unknown"),
        ("increase tv by 5%", True, "unknown"),
        ("double search", True, "unknown"),
        ("shift budget from display to search", True, "validated"),
        ("shift budget from search to display", True, "contradicted"),
        ("write to customers", True, "unknown"),
        ("raise_bid", True, "unknown"),
        ("increase radio spend", True, "unknown"),
    ],
)
def test_an_insight_is_held_against_saturation_and_gain(action: str, works: bool, status: str) -> None:
    found = validate(action, works, None, conditions(NOW_KNOWN))
    assert found.status == status, found.reason
    assert found.reason


def test_the_named_amount_gets_its_gain_with_an_interval() -> None:
    found = validate("Increase search by 10 %", True, None, conditions(NOW_KNOWN))
    true_gain = 2 * 1.8 * SPEND * (np.sqrt(1.1) - 1) - 0.1 * SPEND
    assert found.low < true_gain < found.high
    assert found.predicted == pytest.approx(true_gain, rel=0.05)
    assert found.unit == "revenue"
    # A large change is known no better than the margin is: its interval is not narrower, relative to its response.
    curve, margin = conditions(NOW_KNOWN).curves["search"], conditions(NOW_KNOWN).margins["search"]
    gain, low, high = gain_of(curve, -0.5 * curve.current, margin)
    response = gain - 0.5 * curve.current
    assert (high - low) / abs(response) >= (margin[1] - margin[0]) / ((margin[0] + margin[1]) / 2) - 1e-9
    beyond = validate("increase search by 90 %", True, None, conditions(NOW_KNOWN))
    assert beyond.status == "unknown"
    assert "outside what was observed" in beyond.reason


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (
            {"validation": frame("causal/validation", [{"check": "r_hat", "status": "fail"}])},
            r"failed its gate \(r_hat\)",
        ),
        ({"validation": table("causal/validation").empty()}, "not validated itself"),
        ({"newest": date(2026, 3, 30)}, "before the newest data"),
        ({"now": NOW + timedelta(days=60)}, "fitted 63 days ago"),
        ({"channel_results": table("causal/channel_results").empty()}, "no causal model"),
        ({"fit_history": table("causal/fit_history").empty()}, "which weeks"),
    ],
)
def test_a_model_that_does_not_stand_for_now_validates_nothing(changed: dict[str, Any], reason: str) -> None:
    found = validate("Increase spend on search", True, "search", conditions(NOW_KNOWN, **changed))
    assert found.validated is None
    assert re.search(reason, found.reason)


def test_a_plan_that_contradicts_the_margin_is_no_direction() -> None:
    plan = frame(
        "causal/budget_plan",
        [
            {
                "channel": "display",
                "spend_current": SPEND,
                "spend_planned": 2 * SPEND,
                "uplift_low": 1.0,
                "uplift_high": 2.0,
            }
        ],
    )
    found = validate("increase display", True, None, conditions(NOW_KNOWN, budget_plan=plan))
    assert found.status == "unknown"
    assert "the budget plan says more" in found.reason


def test_words_and_amounts_are_read() -> None:
    assert direction_of("raise and cut") is None
    assert direction_of("increase ad spend") == "more"
    assert direction_of("pause_ad") is None
    curve = conditions(NOW_KNOWN).curves["search"]
    assert change_named("cut by 25%", curve, "less") == -0.25 * SPEND
    assert change_named("increase by 50k", curve, "more") == 50_000
    assert change_named("halve it", curve, "less") == -0.5 * SPEND
    assert change_named("increase", curve, "more") is None
    assert gain_of(curve, 0.0, None) == (0.0, 0.0, 0.0)


def test_validation_stops_wrong_insights_and_lets_right_ones_through() -> None:
    """Beside the two dummies: validate all stops nothing, validate none lets nothing through."""
    rng = np.random.default_rng(11)
    stopped, through, wrong, right = 0, 0, 0, 0
    for _ in range(120):
        slope = float(np.exp(rng.normal(0, 0.7)))
        measured = slope * float(np.exp(rng.normal(0, 0.12)))
        known = conditions({"search": truth(measured, error=0.12)})
        more = bool(rng.random() < 0.5)
        found = validate(f"{'increase' if more else 'cut'} search by 10 %", True, None, known)
        gain = 2 * slope * SPEND * (np.sqrt(1.1 if more else 0.9) - 1) - (0.1 if more else -0.1) * SPEND
        if gain > 0:
            right += 1
            through += found.status == "validated"
        else:
            wrong += 1
            stopped += found.status != "validated"
    assert stopped / wrong > 0.95
    assert through / right > 0.6


def outcome(name: str, days: int, action: str, effect: float) -> dict[str, Any]:
    return {
        "outcome_id": name, "decided_at": NOW + timedelta(days=days), "context": "late parcels", "action": action,
        "metric": "orders", "effect": effect, "std_error": 0.01, "campaign_id": "c1", "domain": "delivery",
    }  # fmt: skip


def test_what_came_of_an_insight_is_written_back() -> None:
    held = history.remember(
        items.empty_items(),
        from_sources.outcomes(
            frame(
                "sources/outcomes",
                [
                    outcome("before", -5, "Refund", 0.5),
                    outcome("after", 10, "refund.", 0.2),
                    outcome("late", 200, "refund", -0.3),
                    outcome("other", 10, "ads", -0.2),
                ],
            )
        ),
        NOW,
    ).added
    said = pl.DataFrame(
        {
            "insight_id": ["i1", "i2", "i3"], "recommendation": ["Do: refund", "Avoid: ads", "Do: call"],
            "campaign_id": ["c1", "c1", "c1"], "action": ["refund", "ads", "call"], "at": [NOW, NOW, NOW],
            "confidence": [0.9, 0.95, 0.9], "p_success": [0.85, 0.1, 0.9], "query_id": ["a", "b", "act"],
            "validation_status": ["unknown"] * 3,
        }
    )  # fmt: skip
    proposals = frame(
        "agentic/proposals",
        [{"action_id": "act", "event_id": "e", "action": "call", "status": "executed", "proposed_at": NOW}],
    )
    found = {row["insight_id"]: row for row in insight_outcomes(said, proposals, held).iter_rows(named=True)}
    assert found["i1"]["effect"] == 0.2
    assert found["i1"]["p_right"] > 0.99
    assert found["i2"]["p_right"] > 0.99  # avoiding it was right: it did harm
    assert found["i3"]["acted_on"]
    assert found["i3"]["action_id"] == "act"
    assert found["i3"]["p_right"] is None  # nothing was measured yet
    assert insight_outcomes(said.clear(), proposals, held).is_empty()
