"""The typed graph: what a name reaches, what it must not reach, and what it costs."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.memory.recall.entities import Entity, NameIndex, known_names
from liftos_pipelines.modules.memory.recall.graph import HUB, graph_channel
from liftos_pipelines.modules.memory.recall.query import Channel, RecallQuery
from liftos_pipelines.modules.memory.records.items import SCHEMA
from liftos_pipelines.text import Name

DAY = datetime(2025, 3, 1, tzinfo=UTC)


def items(*rows: dict[str, object]) -> pl.DataFrame:
    filled = []
    for number, row in enumerate(rows):
        given = dict(row)
        events, attributes = given.pop("events", None), given.pop("attributes", None)
        filled.append(
            dict.fromkeys(SCHEMA)
            | {"memory_id": f"m{number}", "kind": "note", "text": "", "recorded_at": DAY, "valid_from": DAY}
            | {"provenance": json.dumps({"events": events or []}), "attributes": json.dumps(attributes or {})}
            | given
        )
    return pl.DataFrame(filled, schema=SCHEMA, orient="row")


CHAIN = items(
    {"kind": "campaign", "text": "Campaign Blue Lantern.", "campaign_id": "c1", "attributes": {"name": "Blue Lantern"}},
    {"kind": "alert", "text": "Complaints about zips", "campaign_id": "c1", "events": ["e1"]},
    {"kind": "impact", "text": "Effect on the outcome -410", "events": ["e1"]},
    {"kind": "proposal", "text": "Send a voucher", "events": ["e2"], "attributes": {"agent_id": "monitor"}},
    {"kind": "pattern", "text": "Voucher brought them back", "events": ["e2", "e1"]},
    {"kind": "note", "text": "Unrelated remark about the canteen"},
    {"kind": "note", "text": "We liked the lantern colour", "author": "Ann Lee"},
    {"kind": "note", "text": "BLUE-LANTERN did well in the north", "author": "Ann Lee"},
)


def test_a_named_campaign_reaches_its_memories_and_over_their_events_what_followed() -> None:
    graph = graph_channel(CHAIN)
    assert isinstance(graph, Channel)
    score = graph.scores(RecallQuery(text="What came of blue lantern?"))
    assert score[1] > score[2] > 0, "the alert holds the campaign; the impact only shares the alert's event"
    assert score[7] > 0, "a spelling with a hyphen in another case is the same name"
    assert score[5] == 0
    assert score[6] < score[7], "one word of the name is not the name; only the author links it"
    assert graph_channel(CHAIN, hops=1).scores(RecallQuery(text="blue lantern"))[2] == 0


def test_the_explanation_says_what_links() -> None:
    graph = graph_channel(CHAIN)
    query = RecallQuery(text="blue lantern")
    assert graph.explain(query, 1) == "both campaign Blue Lantern"
    assert graph.explain(query, 2) in {
        f"{link} e1 shared with a memory of campaign Blue Lantern" for link in ("event", "chain")
    }
    assert graph.explain(query, 5) == ""


def test_entities_given_with_the_query_count_as_named_and_unknown_ones_as_nothing() -> None:
    graph = graph_channel(CHAIN)
    given = graph.scores(RecallQuery(text="what happened?", entities=frozenset({"campaign:C1", "campaign:none"})))
    assert np.array_equal(given, graph.scores(RecallQuery(text="Blue Lantern")))
    assert not graph.scores(RecallQuery(text="what happened?", entities=frozenset({"campaign:none"}))).any()


def test_a_misspelt_name_counts_only_where_no_name_is_exact() -> None:
    graph = graph_channel(CHAIN)
    assert graph.scores(RecallQuery(text="blue lantren"))[1] == pytest.approx(
        0.5 * graph.scores(RecallQuery(text="blue lantern"))[1]
    )
    exact = graph.scores(RecallQuery(text="ann lee on blue lantren"))
    assert exact[1] == 0 or exact[1] < exact[6]


def test_a_node_that_everything_shares_says_less_than_one_that_two_share() -> None:
    many = items(
        *({"text": f"note {i}", "attributes": {"channel": "tv"}} for i in range(300)),
        {"text": "tv lift", "attributes": {"channel": "tv"}, "campaign_id": "spring"},
        {"text": "spring plan", "campaign_id": "spring"},
    )
    score = graph_channel(many).scores(RecallQuery(text="tv in spring"))
    assert score[300] > score[301] > score[0] > 0


def test_evidence_passes_only_through_what_was_known_then() -> None:
    later = items(
        {"kind": "campaign", "text": "Campaign Dune", "campaign_id": "c2", "attributes": {"name": "Dune"}},
        {"text": "alert", "campaign_id": "c2", "events": ["x1"], "recorded_at": DAY + timedelta(days=9),
         "valid_from": DAY + timedelta(days=9)},
        {"text": "impact", "events": ["x1"]},
    )  # fmt: skip
    graph = graph_channel(later)
    assert graph.scores(RecallQuery(text="Dune"))[2] > 0
    assert graph.scores(RecallQuery(text="Dune", at=DAY + timedelta(days=1)))[2] == 0
    assert graph.scores(RecallQuery(text="Dune", at=DAY + timedelta(days=10)))[2] > 0
    gone = graph.closing({1: DAY + timedelta(days=20)})
    assert gone.scores(RecallQuery(text="Dune"))[2] == 0
    assert gone.scores(RecallQuery(text="Dune", at=DAY + timedelta(days=10)))[2] > 0
    closed = later.with_columns(
        pl.when(pl.col("text") == "alert").then(pl.lit(DAY + timedelta(days=20))).alias("superseded_at")
    )
    assert graph_channel(closed).scores(RecallQuery(text="Dune"))[2] == 0


def test_a_forgotten_memory_takes_its_edges_and_its_names_with_it() -> None:
    without = graph_channel(CHAIN.filter(pl.col("kind") != "campaign"))
    assert not without.scores(RecallQuery(text="blue lantern")).any()
    alone = graph_channel(CHAIN.filter(pl.col("memory_id") != "m1"))
    assert alone.scores(RecallQuery(text="blue lantern"))[1] == 0, "the impact was linked through the alert alone"


def test_extended_reaches_what_is_reached_when_built_at_once() -> None:
    base = graph_channel(CHAIN.head(4)).extended(CHAIN.slice(4), {})
    whole = graph_channel(CHAIN)
    for text in ("blue lantern", "monitor", "ann lee"):
        query = RecallQuery(text=text)
        assert np.array_equal(base.scores(query) > 0, whole.scores(query) > 0)
        # A chain that a later memory joined to another remains as a node of its own, so strengths may differ a little.
        assert np.allclose(base.scores(query), whole.scores(query), atol=0.05)


def test_one_memory_more_costs_little_and_leaves_the_shorter_graph_as_it_was() -> None:
    base = graph_channel(CHAIN.head(4))
    before = base.scores(RecallQuery(text="blue lantern"))
    base.extended(items({"text": "Brisk Meadow", "campaign_id": "brisk meadow"}), {})
    assert np.array_equal(base.scores(RecallQuery(text="blue lantern")), before)
    assert not base.scores(RecallQuery(text="brisk meadow")).any()


def test_chains_join_when_a_later_memory_holds_events_of_both() -> None:
    graph = graph_channel(CHAIN.head(4), hops=2)
    query = RecallQuery(text="blue lantern")
    assert graph.scores(query)[3] == 0, "nothing links the action to the alert yet"
    assert graph.extended(CHAIN.slice(4, 1), {}).scores(query)[3] > 0


def test_spread_leads_from_what_words_found_to_what_it_caused() -> None:
    graph = graph_channel(CHAIN)
    found = np.array([0, 1.0, 0, 0, 0, 0, 0, 0])
    carried = graph.spread(found, RecallQuery(text="zips"))
    assert carried[2] > 0
    assert carried[5] == 0
    assert not graph.spread(np.zeros(8), RecallQuery(text="zips")).any()


def test_names_are_found_on_word_boundaries_the_longest_first() -> None:
    index = NameIndex(
        [
            *known_names([Name(name="Norvik", aliases=("Nor-Vik",), products=("Norvik Loft",))]),
            Entity(node="brand:小米"),
        ]
    )
    assert index.find("the norvik loft is warm") == {"product:norvik loft"}
    assert index.find("NOR VIK's tents and Norviks") == {"brand:norvik"}
    assert index.find("我喜欢小米手机") == {"brand:小米"}
    assert index.find("") == set()


def test_broken_columns_make_no_edges_and_no_error() -> None:
    broken = items({"text": "x"}).with_columns(provenance=pl.lit("{not json"), attributes=pl.lit("[1]"))
    graph = graph_channel(broken)
    assert not graph.scores(RecallQuery(text="x")).any()
    assert graph_channel(items()).scores(RecallQuery(text="x")).shape == (0,)


def test_a_question_costs_little_on_many_memories() -> None:
    rng = np.random.default_rng(5)
    n = 14_000
    campaigns, channels = rng.integers(0, 400, n), rng.integers(0, 6, n)
    frame = items({"text": "note"}).select(pl.all().repeat_by(n).explode()).with_columns(
        campaign_id=pl.Series([f"camp{i}" for i in campaigns]),
        attributes=pl.Series([json.dumps({"channel": f"channel{i}"}) for i in channels]),
    )  # fmt: skip
    graph = graph_channel(frame)
    assert graph.incidence.degree().max() > HUB
    query = RecallQuery(text="camp7 on channel3")
    graph.scores(query)
    began = time.perf_counter()
    for _ in range(20):
        graph.scores(query)
    assert (time.perf_counter() - began) / 20 < 0.02
