"""From the lake's tables to two series: gaps, geos, drivers, holidays, shocks, other brands; and daily outcomes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from revenue_worlds import QUICK, START, alerts_of, ar1, controls_of, index_of, linked, media_of, outcome_of, world

from liftos_pipelines.modules.sentiment.revenue import climb, link_series, other_brands
from liftos_pipelines.modules.sentiment.revenue.words import sentence, verdict
from liftos_pipelines.tables import table

NO_MEDIA = table("sources/marketing_media").empty()
NO_CONTROLS = table("sources/marketing_controls").empty()
NO_ALERTS = table("sentiment/alerts").empty()


def test_a_weeks_sentiment_is_that_of_its_mentions() -> None:
    index = index_of(np.array([0.1, 0.2, 0.3]), error=0.07).with_columns(
        n=pl.when(pl.col("date") == START).then(100).otherwise(10),
        net_sentiment=pl.when(pl.col("date") == START).then(0.5).otherwise("net_sentiment"),
    )
    per_source = index.with_columns(source=pl.lit("x"), net_sentiment=pl.lit(-1.0))
    by_language = index.with_columns(language=pl.lit("en"), net_sentiment=pl.lit(-1.0))
    whole = pl.concat([index, per_source])
    found = link_series(pl.concat([whole, by_language]), outcome_of(np.array([5.0, 6.0, 7.0])), NO_MEDIA, NO_CONTROLS, NO_ALERTS)  # fmt: skip
    assert found.sentiment[0] == (100 * 0.5 + 60 * 0.1) / 160
    assert np.isclose(found.variance[1], 0.07**2 / 7)
    assert np.allclose(np.exp(found.outcome), [5, 6, 7])  # both geos together


def test_missing_weeks_are_bridged_and_the_link_is_still_found() -> None:
    whole = world(1)
    rng = np.random.default_rng(0)
    silent = sorted(rng.choice(np.arange(1, 103), 12, replace=False).tolist())
    index = index_of(whole.sentiment).filter(~((pl.col("date") - START).dt.total_days() // 7).is_in(silent))
    outcome = outcome_of(np.exp(whole.outcome)).filter(pl.col("date") != START + timedelta(weeks=50))
    series = link_series(index, outcome, NO_MEDIA, NO_CONTROLS, NO_ALERTS)
    assert len(series.dates) == 104
    assert series.n == 104 - len({*silent, 50})
    assert climb(series, QUICK).claims.leads == 2


def test_the_densest_stretch_is_used() -> None:
    """Sentiment was watched for a month in a year, and then all the time."""
    net = np.concatenate((ar1(np.random.default_rng(1), 60, 0.5, 0.1), ar1(np.random.default_rng(2), 60, 0.5, 0.1)))
    index = index_of(net).filter(
        ((pl.col("date") - START).dt.total_days() < 28) | ((pl.col("date") - START).dt.total_days() >= 420)
    )
    series = link_series(index, outcome_of(np.exp(net)), NO_MEDIA, NO_CONTROLS, NO_ALERTS)
    assert series.dates[0] == START + timedelta(weeks=60)
    assert series.n == 60


def test_a_geo_whose_data_come_late_does_not_halve_the_outcome() -> None:
    outcome = outcome_of(np.full(60, 100.0) + np.arange(60))
    late = outcome.filter((pl.col("geo") == "a") | (pl.col("date") < START + timedelta(weeks=57)))
    series = link_series(index_of(np.linspace(0, 1, 60)), late, NO_MEDIA, NO_CONTROLS, NO_ALERTS)
    assert series.n == 57
    assert np.exp(series.outcome).min() > 99
    new = outcome.filter((pl.col("geo") == "a") | (pl.col("date") >= START + timedelta(weeks=40)))
    series = link_series(index_of(np.linspace(0, 1, 60)), new, NO_MEDIA, NO_CONTROLS, NO_ALERTS)
    assert series.n == 60
    assert np.isclose(np.exp(series.outcome[-1]), 159 / 2)


def test_a_promotion_that_moves_both_is_taken_out() -> None:
    """The same world without the promotion's column is taken for a link: only what is known can be conditioned on."""
    rng = np.random.default_rng(2)
    promotion = (rng.random(104) < 0.2).astype(float)
    net = 0.2 + 0.15 * promotion + ar1(rng, 104, 0.5, 0.04)
    outcome = 1000 * np.exp(0.2 * promotion + ar1(rng, 104, 0.4, 0.04))
    known = linked(net, outcome, controls=controls_of(promotion=promotion))
    assert known.conditional_on == ("controls: promotion",)
    assert not climb(known, QUICK).claims.any_link
    assert "controls: promotion" in sentence(climb(known, QUICK))
    unknown = climb(linked(net, outcome), QUICK)
    assert unknown.claims.together
    assert "no spend, price or promotions known" in sentence(unknown)


def test_spend_enters_by_channel_while_there_is_room() -> None:
    rng = np.random.default_rng(3)
    net, outcome = ar1(rng, 104, 0.5, 0.1), np.exp(ar1(rng, 104, 0.5, 0.1))
    channels = [media_of(np.exp(rng.normal(size=104))).with_columns(channel=pl.lit(f"c{k}")) for k in range(12)]
    few, many = (linked(net, outcome, media=pl.concat(channels[:k])) for k in (3, 12))
    assert few.conditional_on == ("spend by channel",)
    assert many.conditional_on == ("total spend",)
    controls = controls_of(**{f"k{k}": rng.normal(size=104) for k in range(15)})
    assert linked(net, outcome, media=channels[0], controls=controls).drivers.shape[1] == 17  # a sixth of the weeks


def test_price_is_a_control_where_revenue_shows_it() -> None:
    rng = np.random.default_rng(4)
    units, price = np.exp(ar1(rng, 104, 0.5, 0.1)), 10 + ar1(rng, 104, 0.8, 1.0)
    outcome = outcome_of(units).sort("geo", "date").with_columns(revenue=pl.Series(np.tile(units / 2 * price, 2)))
    series = link_series(index_of(units), outcome, NO_MEDIA, NO_CONTROLS, NO_ALERTS)
    assert series.conditional_on == ("controls: price (revenue per outcome)",)


def test_alerts_become_dated_shocks_once() -> None:
    rng = np.random.default_rng(5)
    series = linked(ar1(rng, 104, 0.5, 0.1), np.exp(ar1(rng, 104, 0.5, 0.1)), alerts=alerts_of(60, 60, 75, 400))
    assert series.shocks == (60, 75)


def test_a_daily_outcome_is_read_by_the_day() -> None:
    ladder = climb(world(1, n=400, effect=0.5, lag=3, days_each=1), QUICK)
    assert ladder.series.step == 1
    assert ladder.claims.leads == 3
    assert "association at a lag of 3 days" in verdict(ladder)


def test_a_monthly_outcome_of_three_years_is_too_little() -> None:
    dates = [datetime(2020 + k // 12, k % 12 + 1, 1).date() for k in range(36)]
    outcome = outcome_of(np.arange(1.0, 37.0)).filter(pl.col("geo") == "a").with_columns(date=pl.Series(dates))
    index = index_of(np.random.default_rng(1).normal(size=157)).with_columns(date=pl.col("date") - timedelta(days=1096))
    series = link_series(index, outcome, NO_MEDIA, NO_CONTROLS, NO_ALERTS)
    assert series.n == 36
    assert verdict(climb(series)).startswith("not enough data: 36 periods")


def test_nothing_in_common_is_no_crash() -> None:
    net = np.random.default_rng(1).normal(size=60)
    apart = index_of(net).with_columns(date=pl.col("date") + timedelta(days=5000))
    series = link_series(apart, outcome_of(np.exp(net)), NO_MEDIA, NO_CONTROLS, NO_ALERTS)
    assert verdict(climb(series)).startswith("not enough data: 0 periods")
    one = link_series(index_of(net), outcome_of(np.ones(1)), NO_MEDIA, NO_CONTROLS, NO_ALERTS)
    assert verdict(climb(one)).startswith("not enough data: 0 periods")


def test_another_brands_sentiment_is_a_placebo() -> None:
    whole = world(1)
    rng = np.random.default_rng(6)
    rows = [
        {
            "mention_id": f"m{day}-{k}",
            "published_at": datetime(2023, 1, 2, 9, tzinfo=UTC) + timedelta(days=day),
            "targets": [
                {"name": "Globex", "net_sentiment": float(rng.normal(0.1, 0.3))},
                {"name": "Acme", "net_sentiment": -1.0},
            ],
        }
        for day in range(7 * 104)
        for k in range(2)
    ]
    frame = pl.DataFrame(rows)
    others = other_brands(
        frame.select("mention_id", "targets"), frame.select("mention_id", "published_at"), ["Globex", "Hooli"]
    )
    assert set(others) == {"Globex"}
    assert others["Globex"]["n"].to_list() == [2] * 728
    series = link_series(
        index_of(whole.sentiment), outcome_of(np.exp(whole.outcome)), NO_MEDIA, NO_CONTROLS, NO_ALERTS, others=others
    )
    ladder = climb(series, QUICK)
    assert ladder.forward is not None
    assert "sentiment about Globex" in ladder.forward.placebos
    assert ladder.claims.predicts == 2
    assert other_brands(table("sentiment/mention_scores").empty(), frame, ["Globex"]) == {}
