"""Claims about marketing against the tables that know it: right ones pass, wrong ones are named, others are unknown."""

from __future__ import annotations

import polars as pl
import pytest

from liftos_pipelines.modules.llm.known_facts import claims, facts_of
from liftos_pipelines.tables import table


def channel(name: str, roi: float, spend: float, contribution: float) -> dict[str, object]:
    row: dict[str, object] = {"channel": name, "geo": "all", "spend": spend, "contribution": contribution}
    for measure, value in (("contribution", contribution), ("roi", roi), ("mroi", roi / 2)):
        row |= {measure: value, f"{measure}_low": 0.8 * value, f"{measure}_high": 1.2 * value}
    return row


def known(name: str, rows: list[dict[str, object]]) -> pl.DataFrame:
    columns = table(name).columns
    return pl.DataFrame([{key: row.get(key) for key in columns} for row in rows], schema=columns)


TABLES = {
    "causal/channel_results": known(
        "causal/channel_results",
        [
            channel("tv", 1.6, 900_000.0, 300_000.0),
            channel("paid_search", 4.0, 200_000.0, 120_000.0),
            channel("all", 2.0, 1_100_000.0, 420_000.0),
        ],
    ),
    "surfacing/visibility": known(
        "surfacing/visibility",
        [
            {"period": period, "engine": "all", "group": "all", "brand": "Acme", "metric": "share_of_voice", "value": value, "low": value - 0.03, "high": value + 0.03}
            for period, value in (("2025-05", 0.2), ("2025-06", 0.32))
        ],
    ),
    "sources/campaigns": known(
        "sources/campaigns", [{"campaign_id": "c1", "name": "Spring Trails", "budget": 50_000.0}]
    ),
}  # fmt: skip


def verdicts(output: str) -> list[tuple[str, str]]:
    calls = pl.DataFrame({"call_id": ["c"], "output": [output]})
    return list(claims(calls, facts_of(TABLES, "EUR")).select("kind", "verdict").iter_rows())


@pytest.mark.parametrize(
    ("output", "kind", "verdict"),
    [
        ("TV's ROI was 1.7.", "value", "supported"),
        ("TV's ROI was 2.9.", "value", "contradicted"),
        ("The ROI of paid search was 4.1.", "value", "supported"),
        ("Paid search had a higher ROI than TV.", "order", "supported"),
        ("TV had a higher ROI than paid search.", "order", "contradicted"),
        ("We spent more on TV than on paid search.", "order", "supported"),
        ("TV brought less contribution than paid search.", "order", "contradicted"),
        ("Acme's share of voice was 31 percent in June 2025.", "value", "supported"),
        ("Acme's share of voice was 31 percent in May 2025.", "value", "contradicted"),
        ("The budget of Spring Trails is 50,000 EUR.", "value", "supported"),
        ("The budget of Spring Trails is 80,000 EUR.", "value", "contradicted"),
    ],
)
def test_a_claim_fares_as_the_tables_know(output: str, kind: str, verdict: str) -> None:
    assert verdicts(output) == [(kind, verdict)]


def test_money_over_a_period_nobody_named_is_not_called_wrong() -> None:
    assert verdicts("TV spend was 12,000 EUR.") == [("value", "unknown")]
    assert verdicts("TV spend was 900,000 EUR.") == [("value", "supported")]


@pytest.mark.parametrize(
    "output",
    ["Radio's ROI was 3.0.", "The weather was fine.", "Orders of Spring Trails fell from 1,526 to 445.", "", None],
)
def test_what_no_table_knows_is_no_claim(output: str | None) -> None:
    calls = pl.DataFrame({"call_id": ["c"], "output": [output]}, schema={"call_id": pl.String, "output": pl.String})
    assert claims(calls, facts_of(TABLES, "EUR")).is_empty()


def test_without_tables_nothing_is_claimed_to_be_known() -> None:
    empty = {name: table(name).empty() for name in TABLES}
    assert facts_of(empty, "EUR") == []
    assert claims(pl.DataFrame({"call_id": ["c"], "output": ["TV's ROI was 9."]}), []).is_empty()
