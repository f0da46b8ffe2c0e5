"""The link to the outcome: found with its delay where there is one, silent where two series merely drift."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.sentiment.revenue import LinkSettings, revenue_link, smallest_visible

START = date(2023, 1, 2)
QUICK = LinkSettings(surrogates=199, replicates=100)


def ar1(rng: np.random.Generator, n: int, rho: float, sd: float) -> np.ndarray:
    series = np.zeros(n)
    for t in range(1, n):
        series[t] = rho * series[t - 1] + rng.normal() * sd * np.sqrt(1 - rho**2)
    return series


def frames(net: np.ndarray, outcome: np.ndarray) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A weekly outcome and a daily index whose every day of a week has the week's net sentiment."""
    days = [START + timedelta(days=day) for day in range(7 * net.size)]
    index = pl.DataFrame(
        {"date": days, "campaign_id": "all", "source": "all", "n": 50, "net_sentiment": np.repeat(net, 7)}
    )
    weeks = [START + timedelta(weeks=week) for week in range(outcome.size)]
    halves = [pl.DataFrame({"date": weeks, "geo": geo, "outcome": outcome / 2}) for geo in "ab"]
    return index, pl.concat(halves)


def world(seed: int, weeks: int, effect: float, lag: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    rng = np.random.default_rng(seed)
    net = 0.2 + ar1(rng, weeks, 0.5, 0.1)
    moved = np.concatenate((np.zeros(lag), (net - 0.2)[: weeks - lag])) if lag else net - 0.2
    season = 0.2 * np.sin(2 * np.pi * np.arange(weeks) / 52.18)
    return frames(net, 1000 * np.exp(season + 0.003 * np.arange(weeks) + effect * moved + ar1(rng, weeks, 0.4, 0.05)))


def test_a_delayed_effect_is_found_at_its_lag() -> None:
    for seed in range(5):
        link = revenue_link(*world(seed, 104, effect=0.5, lag=2), QUICK)
        best = link.sort("p_value", pl.col("estimate").abs(), descending=[False, True]).row(0, named=True)
        assert best["lag_days"] == 14
        assert best["low"] < best["estimate"] < best["high"]
        assert best["verdict"].startswith("association (not a cause)")
        assert "sentiment first" in best["verdict"]


def test_sentiment_that_follows_the_outcome_is_not_sold_as_leading_it() -> None:
    rng = np.random.default_rng(3)
    outcome = ar1(rng, 104, 0.5, 0.1)
    net = 0.2 + 0.8 * np.concatenate(([0, 0], outcome[:-2])) + ar1(rng, 104, 0.3, 0.03)
    link = revenue_link(*frames(net, 1000 * np.exp(outcome)), QUICK)
    best = link.sort("p_value", pl.col("estimate").abs(), descending=[False, True]).row(0, named=True)
    assert best["lag_days"] == -14
    assert "outcome first" in best["verdict"]


def null_claims(seeds: range) -> tuple[int, int]:
    """False claims of the link, and of a plain correlation, where two persistent series have nothing in common."""
    claims = naive = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        net, outcome = 0.2 + ar1(rng, 104, 0.9, 0.1), ar1(rng, 104, 0.9, 0.1)
        link = revenue_link(*frames(net, 1000 * np.exp(outcome)), QUICK)
        claims += bool((link["p_value"] <= 0.05).any())
        naive += abs(np.corrcoef(net, outcome)[0, 1]) > 1.96 / np.sqrt(104)
    return claims, naive


def test_two_series_that_merely_drift_are_not_linked() -> None:
    claims, naive = null_claims(range(40))
    assert claims <= 5  # 5 % of 40 is 2; six or more has probability below 2 %
    assert naive >= 12  # the plain correlation claims a link in a third of these worlds and more


@pytest.mark.slow
def test_false_claims_stay_at_five_per_cent() -> None:
    claims, _ = null_claims(range(1000, 1400))
    assert claims / 400 <= 0.075  # 5 % and two and a half standard errors


def test_too_little_data_says_what_cannot_be_seen() -> None:
    link = revenue_link(*world(1, 20, effect=0.5, lag=1), QUICK)
    assert link["p_value"].to_list() == [None]
    assert link["estimate"].to_list() == [None]
    assert link["verdict"][0].startswith("not enough data: 20 periods")
    silent = revenue_link(*world(2, 104, effect=0.0, lag=0), QUICK)
    assert (silent["verdict"].str.contains("cannot be seen") | (silent["p_value"] <= 0.05)).all()


def test_the_visible_correlation_is_that_of_the_textbook() -> None:
    # One comparison, n = 104: r = .27 at 80 % power, 5 % two-sided (Fisher's z).
    assert smallest_visible(104, 1) == pytest.approx(0.272, abs=0.003)
    assert smallest_visible(3, 1) == 1.0
