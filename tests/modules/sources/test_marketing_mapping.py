"""The wide table becomes the canonical panel; what a mapping means is decided here, not in the models."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from liftos_pipelines.modules.sources import calendar
from liftos_pipelines.modules.sources.duplicates import collapse_duplicates, conflicting
from liftos_pipelines.modules.sources.marketing import (
    Channel,
    MappingError,
    MarketingMapping,
    map_marketing,
    missing_marketing_columns,
)
from liftos_pipelines.modules.sources.pages import canonical_url


def raw(**columns: list[str]) -> pl.DataFrame:
    rows = len(next(iter(columns.values())))
    return pl.DataFrame(columns | {"_file": ["m.csv"] * rows, "_row": list(range(2, rows + 2))})


TV = Channel(name="tv", spend="tv", exposure=None)
WEEKS = ["2024-01-01", "2024-01-08", "2024-01-15"]


def test_money_people_and_kinds_are_laid_out() -> None:
    panel = map_marketing(
        raw(week=WEEKS, area=["n", "n", "n"], sales=["10", "20", "30"], price=["2", "2", "3"], tv=["1", "2", "3"], seen=["7", "8", "9"], mail=["4", "5", "6"]),
        MarketingMapping(
            date="week", geo="area", outcome="sales", revenue_per_outcome="price", population=1000.0,
            channels=(Channel(name="tv", spend="tv", exposure="seen"), Channel(name="mail", spend=None, exposure="mail")),
        ),
    )  # fmt: skip
    assert panel.outcome["revenue"].to_list() == [20, 40, 90]
    assert panel.outcome["population"].to_list() == [1000.0] * 3
    paid = panel.media.filter(pl.col("kind") == "paid")
    assert paid.select("spend", "exposure").rows() == [(1, 7), (2, 8), (3, 9)]
    organic = panel.media.filter(pl.col("kind") == "organic")
    assert organic.select("spend", "exposure").rows() == [(None, 4), (None, 5), (None, 6)]
    assert panel.controls.is_empty()


def test_without_geo_and_prices_the_panel_is_national_and_its_revenue_unknown() -> None:
    panel = map_marketing(
        raw(week=WEEKS, sales=["1", "2", "3"], tv=["1", "2", "3"]),
        MarketingMapping(date="week", outcome="sales", channels=(TV,)),
    )
    assert panel.outcome["geo"].unique().to_list() == ["national"]
    assert panel.outcome["revenue"].null_count() == 3
    assert panel.media["exposure"].to_list() == panel.media["spend"].to_list()


def test_a_control_of_texts_becomes_one_column_an_event() -> None:
    panel = map_marketing(
        raw(week=WEEKS, sales=["1", "2", "3"], tv=["1", "2", "3"], events=["na", "sale", "fair"]),
        MarketingMapping(date="week", outcome="sales", channels=(TV,), controls=("events",)),
    )
    values = {
        name: panel.controls.filter(pl.col("control") == name)["value"].to_list()
        for name in panel.controls["control"].unique()
    }
    assert values == {"events_sale": [0, 1, 0], "events_fair": [0, 0, 1]}


def test_one_odd_text_among_numbers_is_unreadable_and_not_an_event() -> None:
    panel = map_marketing(
        raw(week=WEEKS, sales=["1", "2", "3"], tv=["1", "2", "3"], price=["1.5", "cheap", "2.5"]),
        MarketingMapping(date="week", outcome="sales", channels=(TV,), controls=("price",)),
    )
    assert panel.controls["control"].unique().to_list() == ["price"]
    assert panel.quarantine.select("row", "column").rows() == [(3, "price")]
    assert panel.outcome.height == 2


def test_an_empty_spend_is_not_zero() -> None:
    panel = map_marketing(
        raw(week=WEEKS, sales=["1", "2", "3"], tv=["1", "", "3"]),
        MarketingMapping(date="week", outcome="sales", channels=(TV,)),
    )
    assert panel.media["spend"].to_list() == [1, 3]
    assert "write 0" in panel.quarantine["reason"][0]


def test_a_label_is_not_a_control() -> None:
    many = [f"text {n}" for n in range(30)]
    table = raw(
        week=[date.fromordinal(738886 + 7 * n).isoformat() for n in range(30)],
        sales=["1"] * 30,
        tv=["1"] * 30,
        note=many,
    )
    with pytest.raises(MappingError, match='column "note" holds 30 different texts'):
        map_marketing(table, MarketingMapping(date="week", outcome="sales", channels=(TV,), controls=("note",)))


def test_a_channel_cannot_be_paid_and_organic_by_one_name() -> None:
    with pytest.raises(MappingError, match='"tv" is both'):
        map_marketing(
            raw(week=WEEKS, sales=WEEKS, tv=WEEKS),
            MarketingMapping(
                date="week", outcome="sales", channels=(TV, Channel(name="tv", spend=None, exposure="tv"))
            ),
        )


def test_a_missing_column_names_its_place_in_the_mapping() -> None:
    mapping = MarketingMapping(
        date="week", outcome="sales", channels=(Channel(name="tv", spend="tv_spnd", exposure=None),)
    )
    said = missing_marketing_columns(
        "clients/acme/client.yaml: sources.marketing", mapping, {"data/media.csv": ["week", "sales", "tv_spend"]}
    )
    assert said == [
        'clients/acme/client.yaml: sources.marketing.channels.tv.spend: column "tv_spnd" is not in data/media.csv '
        '(closest: "tv_spend"). Fix the name or the file.'
    ]


def test_the_step_of_a_panel_is_its_most_frequent_one() -> None:
    weeks = [date(2024, 1, 1), date(2024, 1, 8), date(2024, 1, 15), date(2024, 2, 12)]
    assert calendar.usual_step(pl.Series(weeks * 3)) == 7
    assert calendar.usual_step(pl.Series([date(2024, 1, day) for day in range(1, 9)])) == 1
    assert calendar.usual_step(pl.Series(weeks[:1])) is None


def test_gaps_are_found_inside_a_geo_and_not_between_geos() -> None:
    rows = pl.DataFrame(
        {"geo": ["a", "a", "b", "b"], "date": [date(2024, 1, 1), date(2024, 1, 8), date(2024, 1, 8), date(2024, 1, 22)]}
    )
    assert calendar.with_steps(rows)["days_since_previous"].to_list() == [None, 7, None, 14]


def test_repeats_collapse_later_files_win_and_conflicts_in_one_file_stay() -> None:
    rows = pl.DataFrame(
        {
            "id": ["same", "same", "moved", "moved", "torn", "torn", "lone"],
            "value": [1, 1, 2, 3, 4, 5, 6],
            "_file": ["a", "a", "a", "b", "a", "a", "a"],
            "_row": [2, 3, 4, 2, 5, 6, 7],
        }
    )
    collapsed = collapse_duplicates(rows, ["id"])
    assert sorted(collapsed.rows.select("id", "value").rows()) == [
        ("lone", 6),
        ("moved", 3),
        ("same", 1),
        ("torn", 4),
        ("torn", 5),
    ]
    assert (collapsed.identical, collapsed.restated) == (1, 1)
    assert conflicting(collapsed.rows, ["id"])["_row"].to_list() == [5, 6]


@pytest.mark.parametrize(
    ("html", "url"),
    [
        ('<link href="https://a.example/x#part" rel="canonical">', "https://a.example/x"),
        ('<meta property="og:url" content="https://a.example/y">', "https://a.example/y"),
        ('<link rel="canonical" href="/relative">', None),
        ("<p>nothing", None),
        ('<link rel="canonical" href="javascript:alert(1)">', None),
    ],
)
def test_a_page_says_its_own_address(html: str, url: str | None) -> None:
    assert canonical_url(html) == url


VIDEO = Channel(name="video", spend="cost", exposure=None, reach="people", frequency="times")


def test_reach_times_frequency_is_the_exposure_where_none_is_named() -> None:
    table = raw(
        week=WEEKS, sales=["1", "2", "3"], cost=["5", "6", "0"], people=["10", "20", "0"], times=["1", "2.5", "0"]
    )
    media = map_marketing(table, MarketingMapping(date="week", outcome="sales", channels=(VIDEO,))).media
    assert media.select("spend", "exposure", "reach", "frequency").rows() == [
        (5, 10, 10, 1),
        (6, 50, 20, 2.5),
        (0, 0, 0, 0),
    ]
    plain = raw(week=WEEKS, sales=["1", "2", "3"], tv=["1", "2", "3"])
    without = map_marketing(plain, MarketingMapping(date="week", outcome="sales", channels=(TV,))).media
    assert without["reach"].null_count() == without["frequency"].null_count() == 3


@pytest.mark.parametrize(
    ("people", "times", "column", "said"),
    [
        ("-1", "1", "people", "fewer than 0"),
        ("10", "0.4", "times", "1 or more where people is above 0"),
        ("0", "3", "times", "write 0 where people is 0"),
        ("10", "", "times", "is empty"),
    ],
)
def test_reach_and_frequency_that_cannot_be_are_set_aside_by_row(
    people: str, times: str, column: str, said: str
) -> None:
    table = raw(
        week=WEEKS, sales=["1", "2", "3"], cost=["5", "6", "7"], people=["10", people, "30"], times=["1", times, "2"]
    )
    panel = map_marketing(table, MarketingMapping(date="week", outcome="sales", channels=(VIDEO,)))
    assert panel.quarantine.select("row", "column").rows() == [(3, column)]
    assert said in panel.quarantine["reason"][0]
    assert panel.media["reach"].to_list() == [10, 30]


def test_money_of_another_currency_names_column_row_and_both_currencies() -> None:
    table = raw(week=WEEKS, sales=["1", "2", "3"], tv=["1", "2", "3"], money=["EUR", "usd", "EUR"])
    mapping = MarketingMapping(
        date="week", outcome="sales", channels=(TV,), currencies={"channels.tv.currency": "money"}, currency="EUR"
    )
    with pytest.raises(MappingError, match=r'channels\.tv\.currency: column "money" says usd in row 3 of m\.csv .*EUR'):
        map_marketing(table, mapping)
    same = raw(week=WEEKS, sales=["1", "2", "3"], tv=["1", "2", "3"], money=["EUR", " eur", "EUR"])
    assert map_marketing(same, mapping).media.height == 3
    empty = raw(week=WEEKS, sales=["1", "2", "3"], tv=["1", "2", "3"], money=["EUR", "", "EUR"])
    with pytest.raises(MappingError, match="says nothing in row 3"):
        map_marketing(empty, mapping)


def test_a_currency_column_that_is_not_there_is_named() -> None:
    mapping = MarketingMapping(
        date="week", outcome="sales", channels=(TV,), currencies={"currency": "curency"}, currency="EUR"
    )
    columns = {"data/media.csv": ["week", "sales", "tv", "currency"]}
    (said,) = missing_marketing_columns("c: sources.marketing", mapping, columns)
    assert said.startswith(
        'c: sources.marketing.currency: column "curency" is not in data/media.csv (closest: "currency")'
    )
