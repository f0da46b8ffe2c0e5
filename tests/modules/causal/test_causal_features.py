"""Measures of other modules as weekly controls: weighed, aligned, and never filled without a word."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from modules.causal.causal_worlds import make_world

from liftos_pipelines.modules.causal.inputs.design import build_design
from liftos_pipelines.modules.causal.inputs.features import feature_controls
from liftos_pipelines.modules.causal.inputs.panel import build_panel, panel_weeks
from liftos_pipelines.modules.causal.spec import ModelSpec

WEEKS = [date(2023, 1, 2) + timedelta(weeks=i) for i in range(60)]


def index(days: int = 7 * 60, start: date = WEEKS[0]) -> pl.DataFrame:
    dates = [start + timedelta(days=i) for i in range(days)]
    value = [i / days for i in range(days)]
    mine = pl.DataFrame({"date": dates, "campaign_id": "all", "source": "all", "n": 10, "net_sentiment": value})
    noise = mine.with_columns(campaign_id=pl.lit("c1"), net_sentiment=pl.lit(-1.0))
    return pl.concat([mine, noise, noise.with_columns(campaign_id=pl.lit("all"), source=pl.lit("reviews"))])


def visible(months: list[str], values: list[float | None]) -> pl.DataFrame:
    own = pl.DataFrame(
        {"period": months, "engine": "all", "brand": "Acme", "metric": "share_of_voice", "value": values},
        schema_overrides={"value": pl.Float64},
    )
    return pl.concat(
        [
            own,
            own.with_columns(brand=pl.lit("Globex"), value=pl.lit(0.9)),
            own.with_columns(engine=pl.lit("one"), value=pl.lit(0.8)),
            own.with_columns(metric=pl.lit("mention_rate"), value=pl.lit(0.7)),
        ]
    )


def test_a_week_of_sentiment_weighs_days_by_their_mentions() -> None:
    days = index().with_columns(
        n=pl.when(pl.col("date") == WEEKS[3]).then(1000).otherwise(pl.col("n")),
        net_sentiment=pl.when((pl.col("date") == WEEKS[3]) & (pl.col("campaign_id") == "all"))
        .then(-0.5)
        .otherwise("net_sentiment"),
    )
    found = feature_controls({"sentiment_index": "confounder"}, WEEKS, sentiment=days)
    assert found.notes == ()
    assert found.rows["date"].to_list() == WEEKS
    assert found.rows["geo"].null_count() == 60
    values = found.rows["value"].to_list()
    week = [(7 * 3 + i) / 420 for i in range(1, 7)]
    assert values[3] == pytest.approx((1000 * -0.5 + 10 * sum(week)) / 1060)
    assert values[4] == pytest.approx(np.mean([(28 + i) / 420 for i in range(7)]))


def test_a_month_of_visibility_is_spread_over_its_days() -> None:
    weeks = [date(2023, 1, 23), date(2023, 1, 30), date(2023, 2, 6)]
    found = feature_controls(
        {"ai_visibility": "noise"}, weeks, visibility=visible(["2023-01", "2023-02"], [0.1, 0.8]), brand="Acme"
    )
    # 30 and 31 January, then five days of February.
    assert found.rows["value"].to_list() == pytest.approx([0.1, (2 * 0.1 + 5 * 0.8) / 7, 0.8])


def test_the_own_brand_is_known_by_its_mark_where_there_is_one() -> None:
    table = visible(["2023-01", "2023-02"], [0.1, 0.2]).with_columns(own=pl.col("brand") == "Globex")
    found = feature_controls({"ai_visibility": "noise"}, [date(2023, 1, 9)], visibility=table, brand="Acme")
    assert found.rows["value"].to_list() == pytest.approx([0.9])


def test_few_missing_weeks_are_drawn_between_their_neighbours_and_said() -> None:
    whole = index()
    hole = whole.filter(~pl.col("date").is_between(WEEKS[20], WEEKS[22] + timedelta(days=6)))
    found = feature_controls({"sentiment_index": "noise"}, WEEKS, sentiment=hole)
    assert "3 of 60 weeks" in found.notes[0]
    assert str(WEEKS[20]) in found.notes[0]
    complete = feature_controls({"sentiment_index": "noise"}, WEEKS, sentiment=whole).rows["value"].to_numpy()
    assert np.allclose(found.rows["value"].to_numpy(), complete), "the truth is a line, so the line must be found"


@pytest.mark.parametrize(
    ("sentiment", "said"),
    [
        (index(start=WEEKS[7]), "7 of 60 weeks"),
        (index().filter(pl.col("source") != "all"), "none of the 60 weeks"),
        (index().with_columns(n=pl.lit(0)), "none of the 60 weeks"),
        (index().head(0), "none of the 60 weeks"),
        (None, "none of the 60 weeks"),
    ],
)
def test_a_feature_missing_too_often_is_left_out_and_said(sentiment: pl.DataFrame | None, said: str) -> None:
    found = feature_controls({"sentiment_index": "confounder"}, WEEKS, sentiment=sentiment)
    assert found.rows.is_empty()
    assert "left out" in found.notes[0]
    assert said in found.notes[0]


def test_a_mediator_is_left_out_and_an_unknown_feature_refused() -> None:
    found = feature_controls({"sentiment_index": "mediator"}, WEEKS, sentiment=index())
    assert found.rows.is_empty()
    assert "mediator" in found.notes[0]
    with pytest.raises(ValueError, match="no feature weather"):
        feature_controls({"weather": "noise"}, WEEKS)


def test_a_feature_enters_every_geo_of_the_model_with_its_role() -> None:
    world = make_world(seed=3, geos=2, weeks=60)
    weeks = panel_weeks(world.outcome)
    assert weeks == world.weeks
    found = feature_controls({"sentiment_index": "noise"}, weeks, sentiment=index(start=weeks[0]))
    panel = build_panel(world.outcome, world.media, pl.concat([world.controls, found.rows]), channels=world.channels)
    assert panel.controls == ["price", "sentiment_index"]
    # Rough weeks get terms of their own elsewhere; here the columns of the feature are looked at.
    spec = ModelSpec(features={"sentiment_index": "noise"}, shock_z=None)
    design = build_design(panel.frame, spec)
    assert "control_sentiment_index" in design.columns
    assert "control_sentiment_index_within" not in design.columns
    column = design.baseline[:, design.columns.index("control_sentiment_index")]
    loose = build_design(panel.frame, ModelSpec(features={"sentiment_index": "confounder"}, shock_z=None))
    assert np.allclose(5 * column, loose.baseline[:, loose.columns.index("control_sentiment_index")])
