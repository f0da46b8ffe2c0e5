"""Scores, screens, prices and weekly performance: known values, and unknown where nothing was measured."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from llm_frames import NO_PRICES, calls

from liftos_pipelines.modules.llm.performance import performance, quantile_interval
from liftos_pipelines.modules.llm.prices import Price, PriceError, PriceTable, catalogue_prices, price_table, priced
from liftos_pipelines.modules.llm.scores import score_calls
from liftos_pipelines.modules.llm.screens import bias_flag, toxicity_flag
from liftos_pipelines.resources.grounding_model import packaged_calibration

TABLE = PriceTable(prices={"m": Price.of(2.0, 8.0)}, currency="EUR", rate=1.0, source="prices.yaml")


def test_costs_reconcile_to_the_cent_and_recorded_costs_win() -> None:
    frame = calls([{"input_tokens": 1_000_000, "output_tokens": 500_000}] * 3 + [{"cost": 0.25}])
    costs = priced(frame, TABLE)
    assert costs["cost"].to_list() == [6.0, 6.0, 6.0, 0.25]
    assert costs["cost_source"].to_list() == ["prices.yaml"] * 3 + ["recorded"]


@pytest.mark.parametrize("row", [{"model": "unlisted"}, {"input_tokens": -5}, {"output_tokens": None}, {"cost": -1.0}])
def test_an_unknown_price_or_impossible_count_gives_no_cost(row: dict) -> None:
    assert priced(calls([row]), TABLE)["cost"].to_list() == [None]


def test_a_dollar_price_is_not_silently_a_euro_cost() -> None:
    dollars = PriceTable(prices={"m": Price.of(2.0, 8.0)}, currency="USD", rate=None, source="list")
    assert priced(calls([{}]), dollars)["cost"].to_list() == [None]
    with_rate = price_table({"currency": "USD", "rate": 0.9}, file="prices.yaml", client_currency="EUR", base=dollars)
    assert with_rate.cost("maker/m", 1_000_000, 0) == Decimal("1.8")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([], "expected fields"),
        ({"modles": {}}, "modles"),
        ({"models": {"m": {"input_per_million": 1}}}, "models.m"),
        ({"models": {"m": {"input_per_million": -1, "output_per_million": 1}}}, "input_per_million"),
        ({"rate": "high"}, "rate"),
    ],
)
def test_a_wrong_price_table_names_file_and_field(content: object, named: str) -> None:
    with pytest.raises(PriceError, match=r"prices\.yaml") as error:
        price_table(content, file="prices.yaml", client_currency="EUR")
    assert named in str(error.value)


def test_a_catalogue_gives_chat_models_prices_only() -> None:
    catalogue = {
        "models": {
            "talks": {"mode": "chat", "pricing": {"input_per_million_tokens": 1, "output_per_million_tokens": 2}},
            "draws": {"mode": "image_generation", "pricing": {"input_per_million_tokens": 1}},
            "free": {"mode": "chat"},
        }
    }
    assert catalogue_prices(catalogue) == {"talks": Price.of(1.0, 2.0)}


def test_screens_flag_the_blatant_and_say_nothing_of_what_they_cannot_read() -> None:
    assert toxicity_flag("You are a complete idiot and I hate you.") is True
    assert toxicity_flag("The delivery was late and the box was damaged.") is False
    assert toxicity_flag("Das Paket war leider zu spät da.") is None
    assert toxicity_flag(None) is None
    assert bias_flag("Women are too emotional to lead a team.") is True
    assert bias_flag("In our survey women are the larger group of buyers.") is False
    assert bias_flag("Les femmes achètent plus de chaussures.") is None


def test_a_call_without_context_or_output_is_not_scored() -> None:
    frame = calls(
        [{"context": None}, {"context": "It was 5 km.", "output": "It was 9 km."}, {"context": "x y", "output": ""}]
    )
    scores = score_calls(frame, NO_PRICES, packaged_calibration())
    assert scores["groundedness_score"].to_list() == [None, 0.0, None]
    assert scores["groundedness"][1] < 0.5
    assert scores["unsupported_kinds"].to_list() == [None, ["sentence", "swap", "number"], None]
    assert scores["unsupported"].to_list() == [None, True, None]
    assert scores["numeric_conflicts"].to_list()[0] is None
    assert len(scores["numeric_conflicts"].to_list()[1]) == 1


def test_weekly_performance_counts_what_is_there() -> None:
    week_1 = [{"latency_ms": float(i), "cost": 0.01, "error": "" if i else "timeout"} for i in range(100)]
    week_2 = [{"called_at": datetime(2025, 1, 13, tzinfo=UTC), "latency_ms": -3.0, "error": ""}]
    frame = calls([*week_1, *week_2])
    first, second = performance(frame, score_calls(frame, NO_PRICES)).iter_rows(named=True)
    assert (first["period"], second["period"]) == ("2025-W02", "2025-W03")
    assert (first["calls"], first["error_rate"], first["cost"]) == (100, 0.01, pytest.approx(1.0))
    assert first["latency_p50"] == pytest.approx(49.5)
    assert first["error_rate_low"] < 0.01 < first["error_rate_high"]
    assert first["groundedness"] is None
    assert (second["latency_p50"], second["cost"]) == (None, None)


def test_performance_tells_use_cases_apart_and_leaves_those_that_are_not_named_unknown() -> None:
    frame = calls([{"use_case": "chat"}, {"use_case": "chat"}, {"use_case": "ads"}, {}])
    weekly = performance(frame, score_calls(frame, NO_PRICES))
    assert dict(weekly.select("use_case", "calls").iter_rows()) == {"chat": 2, "ads": 1, None: 1}


def test_the_error_rate_is_unknown_when_the_log_records_none() -> None:
    frame = calls([{}] * 5)
    assert performance(frame, score_calls(frame, NO_PRICES))["error_rate"].to_list() == [None]


def test_quantile_intervals_cover_the_quantile() -> None:
    rng = np.random.default_rng(1)
    hits = []
    for _ in range(500):
        low, high = quantile_interval(np.sort(rng.exponential(size=200)), 0.95)
        truth = -np.log(0.05)
        hits.append((low or 0) <= truth <= (high if high is not None else np.inf))
    assert np.mean(hits) >= 0.88
    assert quantile_interval(np.array([1.0, 2.0]), 0.95)[1] is None


def test_empty_calls_give_the_empty_contract() -> None:
    empty = calls([])
    scores = score_calls(empty, NO_PRICES)
    assert scores.is_empty()
    assert performance(empty, scores).is_empty()
    assert isinstance(scores.schema["ungrounded_spans"], pl.List)
