"""The revenue ladder: what it says of a link that is there, of one that only seems to be, and of too little data."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from revenue_worlds import QUICK, ar1, linked, world

from liftos_pipelines.modules.sentiment.revenue import Ladder, climb, ladder_picture, link_table
from liftos_pipelines.modules.sentiment.revenue.describe import smallest_visible
from liftos_pipelines.modules.sentiment.revenue.words import FOLLOWS, FORBIDDEN, MOVED, PREDICTS, verdict


def head(ladder: Ladder) -> dict[str, object]:
    return link_table(ladder).row(0, named=True)


def test_a_delayed_link_climbs_to_prediction_at_its_lag() -> None:
    for seed in range(4):
        ladder = climb(world(seed), QUICK)
        assert (ladder.claims.leads, ladder.claims.predicts) == (2, 2)
        row = head(ladder)
        assert (row["lag_days"], row["estimate"]) == (14, 2.0)
        assert PREDICTS in str(row["verdict"])
        assert "association at a lag of 14 days" in str(row["verdict"])
        slope = link_table(ladder).filter(
            (pl.col("statistic") == "outcome per 0.1 net sentiment") & (pl.col("lag_days") == 14)
        )
        assert 0.03 < slope["estimate"].item() < 0.07  # .5 log points per 1 of net sentiment: .05 per .1


def test_sentiment_that_follows_the_outcome_is_not_sold_as_leading_it() -> None:
    rng = np.random.default_rng(3)
    moves = ar1(rng, 104, 0.5, 0.1)
    net = 0.2 + 0.8 * np.concatenate(([0, 0], moves[:-2])) + ar1(rng, 104, 0.3, 0.03)
    ladder = climb(linked(net, 1000 * np.exp(moves)), QUICK)
    assert ladder.claims.follows == -2
    assert not ladder.claims.any_link
    assert verdict(ladder) == FOLLOWS
    assert "14 days later" in str(head(ladder)["words"])
    assert ladder.forward is not None
    assert ladder.reverse is not None
    assert ladder.reverse.gain.max() > 0.2 > ladder.forward.gain.max()


def test_a_common_season_is_no_link() -> None:
    """Plain correlation takes a shared season for a link of nine tenths."""
    rng = np.random.default_rng(8)
    year = np.sin(2 * np.pi * np.arange(104) / 52.18)
    net, outcome = 0.2 + 0.2 * year + ar1(rng, 104, 0.3, 0.03), 0.3 * year + ar1(rng, 104, 0.3, 0.05)
    assert np.corrcoef(net, outcome)[0, 1] > 0.9
    assert not climb(linked(net, 1000 * np.exp(outcome)), QUICK).claims.any_link


def test_one_episode_makes_no_link_week_by_week() -> None:
    """An outage of three weeks that everybody complains of: one observation, however deep."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        net, outcome = 0.2 + ar1(rng, 104, 0.4, 0.05), ar1(rng, 104, 0.4, 0.03)
        net[60:63] -= 0.5
        outcome[60:63] -= 0.4
        ladder = climb(linked(net, 1000 * np.exp(outcome)), QUICK)
        assert np.corrcoef(np.diff(net), np.diff(outcome))[0, 1] > 0.6
        assert ladder.claims.rung == 0


def test_two_series_that_merely_drift_are_not_linked() -> None:
    claims = naive = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        net, outcome = 0.2 + ar1(rng, 104, 0.9, 0.1), ar1(rng, 104, 0.9, 0.1)
        claims += climb(linked(net, 1000 * np.exp(outcome)), QUICK, full=False).claims.any_link
        naive += abs(np.corrcoef(net, outcome)[0, 1]) > 1.96 / np.sqrt(104)
    assert claims <= 5  # 5 % of 40 is 2; six or more has probability below 2 %
    assert naive >= 12  # the plain correlation claims a link in a third of these worlds and more


def test_the_reverse_direction_is_read_on_the_same_scale() -> None:
    """Swapping the series swaps the answer."""
    rng = np.random.default_rng(5)
    first = ar1(rng, 104, 0.5, 0.1)
    second = 0.8 * np.concatenate(([0], first[:-1])) + ar1(rng, 104, 0.3, 0.03)
    ahead = climb(linked(0.2 + first, 1000 * np.exp(second)), QUICK)
    behind = climb(linked(0.2 + second, 1000 * np.exp(first)), QUICK)
    assert ahead.claims.leads == 1
    assert behind.claims.follows == -1


def test_words_never_say_more_than_the_rungs_reached() -> None:
    for ladder in (climb(world(1), QUICK), climb(world(2, effect=0.0), QUICK), climb(world(3, n=20), QUICK)):
        for text in link_table(ladder)["words"]:
            assert not re.search(FORBIDDEN, text, re.IGNORECASE), text
        assert MOVED not in verdict(ladder)


def test_no_link_comes_with_what_would_have_been_missed() -> None:
    ladder = climb(world(12, effect=0.0), QUICK)
    row = head(ladder)
    assert row["verdict"] == "no association found"
    assert ladder.power is not None
    assert 0.3 < ladder.power.formula < 0.5
    assert 0.3 < ladder.power.simulated < 0.75
    assert f"{ladder.power.formula:.2f}" in str(row["words"])
    assert row["smallest_visible_per_tenth"] == ladder.power.per_tenth


def test_too_little_data_says_what_cannot_be_seen() -> None:
    link = link_table(climb(world(1, n=20), QUICK))
    assert link["p_value"].to_list() == [None]
    assert link["estimate"].to_list() == [None]
    assert link["verdict"][0].startswith("not enough data: 20 periods")
    assert "would be missed" in link["words"][0]
    assert ladder_picture(climb(world(1, n=20), QUICK), "none") is None
    barely = climb(world(4, n=44, effect=0.0), QUICK)
    assert verdict(barely).startswith("not enough data: correlations below")


def test_series_that_do_not_vary_say_so() -> None:
    rng = np.random.default_rng(0)
    moving, still = ar1(rng, 104, 0.5, 0.1), np.zeros(104)
    assert verdict(climb(linked(0.2 + still, 1000 * np.exp(moving)), QUICK)) == (
        "not enough data: sentiment does not vary"
    )
    assert verdict(climb(linked(0.2 + moving, 1000 + still), QUICK)) == "not enough data: the outcome does not vary"


def test_the_visible_correlation_is_that_of_the_textbook() -> None:
    # One comparison, n = 104: r = .27 at 80 % power, 5 % two-sided (Fisher's z).
    assert smallest_visible(104, 1) == pytest.approx(0.272, abs=0.003)
    assert smallest_visible(3, 1) == 1.0


def test_the_same_data_give_the_same_table() -> None:
    series = world(7)
    assert link_table(climb(series, QUICK)).equals(link_table(climb(series, QUICK)))
    shuffled = climb(series, replace(QUICK, seed=99))
    assert shuffled.claims.leads == climb(series, QUICK).claims.leads


def test_every_row_has_its_own_key_and_the_picture_a_panel_a_rung() -> None:
    ladder = climb(replace(world(1), shocks=(60, 80)), QUICK)
    link = link_table(ladder)
    assert not link.select("rung", "statistic", "lag_days").is_duplicated().any()
    assert set(link["rung"]) == {0, 1, 2, 3}
    picture = ladder_picture(ladder, "acme")
    assert picture is not None
    assert picture.startswith("![acme](data:image/png;base64,")
