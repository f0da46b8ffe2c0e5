"""A prediction stands as it was made; only an outcome of exactly that judges it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.eval.predicted import Prediction, of_insights
from liftos_pipelines.modules.eval.predictions import SCHEMA, accuracy, follow
from liftos_pipelines.tables import table

NOW = datetime(2025, 6, 1, tzinfo=UTC)
EMPTY = pl.DataFrame(schema=SCHEMA)


def said(**fields: Any) -> Prediction:
    return Prediction(
        **{
            "module": "agentic", "kind": "effect", "subject": "0" * 32, "what": "w", "key": "k", "made_at": NOW,
            "due_at": NOW + timedelta(days=28), "campaign_id": "c1", "action": "notify",
        } | fields
    )  # fmt: skip


def outcome(at: datetime = NOW + timedelta(days=3), **fields: Any) -> pl.DataFrame:
    row = {
        "outcome_id": "o", "decided_at": at, "context": "x", "action": "notify", "metric": "orders", "effect": 0.5,
        "std_error": 0.1, "campaign_id": "c1", "domain": "d",
    }  # fmt: skip
    return pl.DataFrame([row | fields], schema=table("sources/outcomes").columns)


def watched(predictions: list[Prediction], outcomes: pl.DataFrame | None = None, **more: Any) -> dict[str, Any]:
    return follow(
        more.get("earlier", EMPTY),
        predictions,
        outcomes=table("sources/outcomes").empty() if outcomes is None else outcomes,
        kpi=more.get("kpi", table("sources/marketing_outcome").empty()),
        direction=lambda metric: -1 if metric == "complaints" else 1,
        now=more.get("now", NOW),
    ).row(0, named=True)


def test_without_an_outcome_it_is_open_then_overdue_and_never_kept_or_broken() -> None:
    assert (row := watched([said()]))["status"] == "open"
    late = watched([said()], now=NOW + timedelta(days=29))
    assert late["status"] == "overdue"
    assert row["inside"] is late["hit"] is late["outcome"] is None


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ({}, True),
        ({"campaign_id": "c2"}, False),
        ({"action": "pause_ad"}, False),
        ({"at": NOW - timedelta(days=9)}, False),
        ({"at": NOW + timedelta(days=40)}, False),
        ({"campaign_id": "c2", "action": "other", "context": "came of " + "0" * 32}, True),
    ],
)
def test_only_the_outcome_of_that_action_counts(fields: dict[str, Any], known: bool) -> None:
    assert (watched([said()], outcome(**fields))["status"] == "known") is known


def test_what_was_predicted_is_not_changed_by_what_is_said_later() -> None:
    first = follow(EMPTY, [said(predicted=1.0)], outcomes=outcome().clear(), kpi=KPI, direction=lambda _: 1, now=NOW)
    again = watched([said(predicted=9.0)], outcome(), earlier=first)
    assert (again["predicted"], again["outcome"], again["status"]) == (1.0, 0.5, "known")


KPI = table("sources/marketing_outcome").empty()


def test_a_measurement_with_error_is_not_held_against_a_narrow_interval() -> None:
    narrow = said(predicted=0.4, low=0.39, high=0.41)
    assert watched([narrow], outcome(std_error=0.1))["inside"] is True
    assert watched([narrow], outcome(std_error=0.001))["inside"] is False


def test_a_chance_of_success_is_a_hit_when_the_good_direction_was_the_likelier() -> None:
    chance = said(module="memory", kind="success", predicted=0.8, low=0.6, high=0.9)
    assert watched([chance], outcome())["hit"] is True
    assert watched([chance], outcome(metric="complaints"))["hit"] is False
    assert watched([chance], outcome())["inside"] is None


def test_the_kpi_of_weeks_is_known_when_all_weeks_of_its_geos_are() -> None:
    weeks = [date(2025, 6, 2), date(2025, 6, 9)]

    def kpi(days: list[date], geos: tuple[str, ...]) -> pl.DataFrame:
        rows = [{"date": day, "geo": geo, "outcome": 10.0} for day in days for geo in geos]
        return pl.DataFrame([dict.fromkeys(KPI.columns) | row for row in rows], schema=KPI.schema)

    two = said(module="causal", kind="kpi", key="2025-06-02|2025-06-09|a;b|campaign|c", predicted=41, low=38, high=44)
    assert watched([two], kpi=kpi(weeks[:1], ("a", "b")))["status"] == "open"
    row = watched([two], kpi=kpi(weeks, ("a", "b", "elsewhere")))
    assert (row["outcome"], row["inside"]) == (40.0, True)
    daily = [weeks[0] + timedelta(days=i) for i in range(14)]
    assert watched([two], kpi=kpi(daily, ("a", "b")))["outcome"] == 280.0
    assert watched([two], kpi=kpi(daily[:-1], ("a", "b")))["status"] == "open"


def test_honest_intervals_cover_nine_in_ten_and_overconfident_ones_show() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(0, 1, 400)

    def coverage(half: float) -> tuple[float, float]:
        guesses = truth + rng.normal(0, 1, truth.size)
        frame = pl.concat(
            follow(
                EMPTY,
                [said(key=str(i), subject=f"{i:032x}", predicted=g, low=g - half, high=g + half)],
                outcomes=outcome(effect=t, std_error=None), kpi=KPI, direction=lambda _: 1, now=NOW,
            )
            for i, (t, g) in enumerate(zip(truth.tolist(), guesses.tolist(), strict=True))
        )  # fmt: skip
        row = accuracy(frame).row(0, named=True)
        assert row["known"] == row["coverage_n"] == truth.size
        return row["coverage_low"], row["coverage_high"]

    low, high = coverage(1.645)
    assert low < 0.9 < high
    assert coverage(0.8)[1] < 0.7


def test_nothing_known_gives_no_rate() -> None:
    frame = follow(EMPTY, [said()], outcomes=outcome().clear(), kpi=KPI, direction=lambda _: 1, now=NOW)
    (row,) = accuracy(frame).to_dicts()
    assert (row["hit_rate"], row["coverage"], row["hit_rate_n"], row["open"]) == (None, None, 0, 1)


def test_one_action_of_a_campaign_is_predicted_once_however_many_contexts_bring_it_and_none_that_is_over() -> None:
    insight = {"action": "offer_voucher", "p_success": 0.8, "p_success_low": 0.5, "p_success_high": 0.95}
    insights = pl.DataFrame(
        [insight | {"insight_id": f"i{n}", "campaign_id": name} for n, name in enumerate(["c1", "c1", "c1", "over"])]
    )
    columns = table("sources/campaigns").columns
    runs = {"campaign_id": "c1", "end": date(2025, 7, 1)}, {"campaign_id": "over", "end": date(2025, 5, 1)}
    campaigns = pl.DataFrame([dict.fromkeys(columns) | row for row in runs], schema=columns)

    def asked(earlier: pl.DataFrame, now: datetime, outcomes: pl.DataFrame) -> pl.DataFrame:
        said = of_insights(insights, campaigns, NOW.date(), now)
        return follow(earlier, said, outcomes=outcomes, kpi=KPI, direction=lambda _: 1, now=now)

    nothing = outcome().clear()
    first = asked(EMPTY, NOW, nothing)
    assert first.select("campaign_id", "made_at").rows() == [("c1", NOW)]
    assert asked(first, NOW + timedelta(days=2), nothing).equals(first)
    # Settled, it may be said anew.
    came = outcome(action="offer_voucher")
    known = asked(first, NOW + timedelta(days=4), came)
    assert known["status"].to_list() == ["known"]
    assert asked(known, NOW + timedelta(days=5), came)["status"].to_list() == ["known", "open"]
