"""Costs: decimal from price to sum, cached tokens at their own price, and a reason where there is none."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from llm_frames import calls

from liftos_pipelines.modules.llm.prices import (
    Price,
    PriceError,
    PriceTable,
    Tokens,
    Unpriced,
    price_table,
    priced,
    total,
    unpriced_by_model,
)

TABLE = PriceTable(
    prices={"m": Price.of(0.15, 0.6, cache_read=0.075), "n": Price.of(3, 15, cache_read=0.3, cache_write=3.75)},
    currency="USD",
    rate=Decimal("0.9137"),
    source="prices.yaml",
)


def test_ten_thousand_calls_reconcile_to_the_cent_with_fractions_and_rounding_each_does_not() -> None:
    rng = np.random.default_rng(5)
    rows = []
    for _ in range(10_000):
        given = int(rng.integers(1, 5000))
        read = int(given * rng.random() / 2)
        rows.append({"model": str(rng.choice(["m", "n"])), "input_tokens": given, "output_tokens": int(rng.integers(900)),
                     "cache_read_tokens": read, "cache_write_tokens": int((given - read) * rng.random())})  # fmt: skip
    costs = priced(calls(rows), TABLE)
    prices = {"m": ("0.15", "0.6", "0.075", "0.15"), "n": ("3", "15", "0.3", "3.75")}
    by_hand = Fraction(0)
    for row in rows:
        given, came, read, written = map(Fraction, prices[row["model"]])
        fresh = row["input_tokens"] - row["cache_read_tokens"] - row["cache_write_tokens"]
        by_hand += fresh * given + row["output_tokens"] * came
        by_hand += row["cache_read_tokens"] * read + row["cache_write_tokens"] * written
    cents = round(by_hand / 1_000_000 * Fraction("0.9137") * 100)
    assert total(costs["cost"]) == Decimal(cents) / 100
    assert abs(sum(round(cost * 100) for cost in costs["cost"]) - cents) > 100  # what the careless sum is off by


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"model": "house"}, "no price for the model house"),
        ({"input_tokens": None}, "input_tokens not recorded"),
        ({"output_tokens": None}, "output_tokens not recorded"),
        ({"input_tokens": -5}, "input_tokens is negative (-5)"),
        ({"input_tokens": 10, "cache_read_tokens": 11}, "cached tokens (11) exceed the input's 10"),
        ({"cost": -1.0}, "the recorded cost is -1"),
    ],
)
def test_a_call_without_a_cost_says_why(row: dict, reason: str) -> None:
    found = priced(calls([row]), TABLE).row(0, named=True)
    assert (found["cost"], found["cost_source"]) == (None, f"unknown: {reason}")


def test_a_missing_rate_is_named_and_a_missing_cache_price_is_the_inputs() -> None:
    without = PriceTable(prices=TABLE.prices, currency="USD", rate=None, source="list")
    assert "prices are in USD and no rate is stated" in priced(calls([{}]), without)["cost_source"][0]
    one = Tokens(input=1_000_000, output=0, cache_write=1_000_000)
    euros = PriceTable(prices=TABLE.prices, currency="EUR", rate=1, source="list")
    assert euros.charge("m", one) == Decimal("0.15")
    assert euros.parts("provider/n", one) == (Decimal("3.75"), 0)
    with pytest.raises(Unpriced, match="no model recorded"):
        euros.charge(None, one)


def test_the_share_without_a_cost_is_told_by_model_with_its_commonest_reason() -> None:
    rows = [{"model": "house"}] * 3 + [{"model": "m"}] * 2 + [{"model": "m", "input_tokens": None}, {"model": "n"}]
    frame = calls(rows)
    told = unpriced_by_model(frame, priced(frame, TABLE))
    assert told.rows() == [
        ("house", 3, 3, 1.0, "no price for the model house"),
        ("m", 3, 1, pytest.approx(1 / 3), "input_tokens not recorded"),
    ]


def test_a_clients_table_may_price_cached_tokens_and_nothing_unknown() -> None:
    models = {"own": {"input_per_million": 0.4, "output_per_million": 1.6, "cache_read_per_million": 0.1}}
    own = price_table({"models": models}, file="prices.yaml", client_currency="EUR")
    assert own.prices["own"] == Price.of(0.4, 1.6, cache_read=0.1)
    models["own"]["cached"] = 1
    with pytest.raises(PriceError, match=r"models\.own: give input_per_million"):
        price_table({"models": models}, file="prices.yaml", client_currency="EUR")
    for rate in (float("inf"), 0, -1):
        with pytest.raises(PriceError, match="rate"):
            price_table({"rate": rate}, file="prices.yaml", client_currency="EUR")


def test_nothing_known_sums_to_unknown_and_not_to_zero() -> None:
    assert total([None, None]) is None
    assert total(pl.Series([0.1] * 3)) == Decimal("0.30")
