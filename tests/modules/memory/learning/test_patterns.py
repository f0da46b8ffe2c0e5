"""Patterns on collections whose topics and effects are known: what works, how sure, and when to stay silent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.memory.learning.evidence import direction, gather, situation, success_probability
from liftos_pipelines.modules.memory.learning.insights import find_insights
from liftos_pipelines.modules.memory.learning.patterns import Query, answered, find_patterns, topics_taught
from liftos_pipelines.modules.memory.learning.quality import (
    abstention_quality,
    pattern_quality,
    questions,
    rank_scores,
    replay,
    retrieval_quality,
)
from liftos_pipelines.modules.memory.learning.scope import ALPHA, calibrate, reach
from liftos_pipelines.modules.memory.learning.topics import clusters
from liftos_pipelines.modules.memory.learning.validation import conditions_of
from liftos_pipelines.modules.memory.recall.index import RecallIndex
from liftos_pipelines.modules.memory.records import from_sources, history, items
from liftos_pipelines.tables import table
from liftos_pipelines.text import Name, NameFinder

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOBODY = NameFinder([])
DIMENSIONS = 24
CAUSAL = ("budget_plan", "channel_results", "response_curves", "validation", "fit_history")


def encode(texts: list[str]) -> np.ndarray:
    """Texts `topic i` point along their topic with a little noise of their own: similarity with known truth."""
    vectors = np.zeros((len(texts), DIMENSIONS))
    for row, text in enumerate(texts):
        topic = text.split()[0]
        rng = np.random.default_rng(abs(hash_of(text)))
        axis = {"delivery": 0, "price": 1, "search": 2, "stock": 3}.get(topic)
        vectors[row] = rng.normal(size=DIMENSIONS) * 0.08
        if axis is None:
            vectors[row, 8:] += rng.normal(size=DIMENSIONS - 8)
        else:
            vectors[row, axis] += 1
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def hash_of(text: str) -> int:
    import zlib

    return zlib.crc32(text.encode())


TRUE_EFFECT = {
    "delivery": {"refund": 0.1, "ads": -0.1},
    "price": {"voucher": 0.1, "ads": -0.1},
    "search": {"markup": 0.1, "ads": 0.1},
}


def world(domains: bool = True, tries: int = 6) -> pl.DataFrame:
    rows, contract = [], table("sources/outcomes")
    for topic, actions in TRUE_EFFECT.items():
        for action, effect in actions.items():
            for i in range(tries):
                rows.append(
                    {
                        "outcome_id": f"{topic}-{action}-{i}", "decided_at": NOW - timedelta(days=200 - i),
                        "context": f"{topic} trouble number {i} {action}", "action": action, "metric": "orders",
                        "effect": effect, "std_error": 0.02, "campaign_id": f"c{i % 3}", "domain": topic if domains else None,
                    }
                )  # fmt: skip
    frame = pl.DataFrame(
        [{c: row.get(c) for c in contract.columns} for row in rows], schema=contract.columns, orient="row"
    )
    return history.remember(items.empty_items(), from_sources.outcomes(frame), NOW).added


def ask(context: str, held: pl.DataFrame | None = None, **fields: object) -> pl.DataFrame:
    evidence = gather(world() if held is None else held, encode, NOBODY)
    return find_patterns([Query(query_id="q", kind="alert", context=context, **fields)], evidence, encode, NOBODY)


@pytest.mark.parametrize("domains", [True, False])
def test_the_action_that_worked_in_this_kind_of_context_comes_out_and_the_one_that_harmed_is_avoided(
    domains: bool,
) -> None:
    found = {row["action"]: row for row in ask("delivery broke down", world(domains)).iter_rows(named=True)}
    assert found["refund"]["p_success"] > 0.8
    assert found["ads"]["p_success"] < 0.3  # it works in search, which is another matter
    for row in found.values():
        assert row["p_success_low"] <= row["p_success"] <= row["p_success_high"]
        assert row["confidence"] > 0.8
    assert found["refund"]["expected_low"] < 0.1 < found["refund"]["expected_high"]
    assert found["refund"]["metric"] == "orders"
    base_rate = 4 / 6
    assert abs(found["ads"]["p_success"] - base_rate) > 0.3  # the dummy would advise the ads


def test_memory_is_silent_about_what_it_has_never_seen() -> None:
    row = ask("a recipe for soup").row(0, named=True)
    assert row["abstained"]
    assert row["p_success"] is None
    assert row["confidence"] is None
    assert "similar enough" in row["reason"]


def test_memory_is_silent_when_it_cannot_know_its_own_scope() -> None:
    assert "scope unknown" in ask("delivery broke down", world().head(4))["reason"][0]
    assert "no past action" in ask("delivery broke down", items.empty_items())["reason"][0]


def test_nothing_of_the_future_or_of_the_query_itself_is_evidence() -> None:
    early = ask("delivery broke down", at=NOW - timedelta(days=300))
    assert early["abstained"].all()
    held = world()
    own = held.filter(pl.col("source_key") == "delivery-refund-0")
    found = ask(own["context"][0], held, memory_id=own["memory_id"][0])
    assert own["memory_id"][0] not in found["memory_ids"].explode().to_list()


def test_answers_about_unseen_topics_stay_below_the_promised_share() -> None:
    evidence = gather(world(tries=20), encode, NOBODY)
    unseen = [Query(query_id=str(i), kind="x", context=f"soup {i}") for i in range(200)]
    seen = [Query(query_id=str(i), kind="x", context=f"price worry {i}") for i in range(50)]
    answered = (
        ~find_patterns(unseen, evidence, encode, NOBODY)
        .group_by("query_id")
        .agg(pl.col("abstained").all())["abstained"]
    )
    assert answered.mean() <= ALPHA
    known = (
        ~find_patterns(seen, evidence, encode, NOBODY).group_by("query_id").agg(pl.col("abstained").all())["abstained"]
    )
    assert known.mean() > 0.9  # always abstaining would be no achievement


def test_what_was_answered_before_is_not_asked_again_unless_the_evidence_changed() -> None:
    held, encoded = world(), []

    def counting(texts: list[str]) -> np.ndarray:
        encoded.extend(texts)
        return encode(texts)

    evidence = gather(held, encode, NOBODY)
    asked = [Query(query_id=str(i), kind="alert", context=f"delivery trouble {i}") for i in range(3)]
    first = find_patterns(asked, evidence, counting, NOBODY)
    assert len(encoded) == 3
    more = [*asked, Query(query_id="new", kind="alert", context="price trouble")]
    again = find_patterns(more, evidence, counting, NOBODY, known=answered(first))
    assert encoded[3:] == ["price trouble"]
    assert again.head(first.height).equals(first)
    grown = gather(held.head(held.height - 1), encode, NOBODY)
    find_patterns(asked, grown, counting, NOBODY, known=answered(first))
    assert len(encoded) == 7


def test_the_topic_of_a_known_context_is_named_and_of_an_unknown_one_is_not() -> None:
    held = world(tries=12)
    evidence = gather(held, encode, NOBODY)
    taught = topics_taught(evidence, dict(held.select("memory_id", "context").iter_rows()), NOBODY)
    asked = [
        Query(query_id="1", kind="alert", context="delivery trouble today"),
        Query(query_id="2", kind="alert", context="soup is burnt"),
    ]
    found = find_patterns(asked, evidence, encode, NOBODY, recogniser=taught)
    by = {row["query_id"]: row for row in found.iter_rows(named=True)}
    assert by["1"]["topic"] == "delivery"
    assert by["1"]["topic_probability"] > 0.9
    assert by["2"]["topic"] is None
    assert topics_taught(gather(world(domains=False), encode, NOBODY), {}, NOBODY) is None


def test_names_do_not_make_contexts_alike() -> None:
    finder = NameFinder([Name(name="Spring Trails", aliases=("c24",))])
    assert situation("Spring Trails: parcels are late (c24)", finder) == "it: parcels are late (it)"


def test_a_noisy_measurement_counts_as_half_a_success() -> None:
    p = success_probability(
        np.array([0.1, 0.1, -0.1, 0.0, 0.2]), np.array([0.01, 10.0, 0.01, 0.0, 0.0]), np.ones(5, int)
    )
    assert np.allclose(p, [1.0, 0.504, 0.0, 0.5, 1.0], atol=0.001)
    assert direction("churn_rate") == -1
    assert direction("orders") == 1


def test_clusters_find_planted_topics_and_give_up_on_too_few() -> None:
    texts = [f"{topic} {i}" for topic in ("delivery", "price", "search", "stock") for i in range(8)]
    labels = clusters(encode(texts))
    assert len(set(labels)) == 4
    assert all(len(set(labels[i : i + 8])) == 1 for i in range(0, 32, 8))
    assert set(clusters(encode(texts[:4]))) == {""}


def test_reach_falls_when_neighbours_disagree() -> None:
    same = reach(np.array([[0.8, 0.8, 0.8, 0.8, 0.8]]), np.array(["a"] * 5))
    mixed = reach(np.array([[0.8, 0.8, 0.8, 0.8, 0.8]]), np.array(list("abcde")))
    assert np.allclose([same[0], mixed[0]], [0.8, 0.16])
    assert reach(np.full((1, 5), -np.inf), np.array(["a"] * 5))[0] == -np.inf


def test_scope_is_unknown_for_one_topic_only() -> None:
    one = gather(world().filter(pl.col("domain") == "price").head(5), encode, NOBODY)
    assert calibrate(one).threshold is None


def test_only_sure_patterns_become_insights() -> None:
    found = ask("delivery broke down")
    weak = found.with_columns(pl.lit(0.79).alias("confidence"))
    nowhere = conditions_of(**{name: table(f"causal/{name}").empty() for name in CAUSAL}, newest=None, now=NOW)
    campaigns = table("sources/campaigns").empty()
    assert find_insights(weak, campaigns, nowhere).is_empty()
    assert find_insights(ask("a recipe for soup"), campaigns, nowhere).is_empty()
    insights = find_insights(found, campaigns, nowhere)
    assert insights["validation_status"].unique().to_list() == ["unknown"]
    assert {"Do: refund", "Avoid: ads"} <= set(insights["recommendation"])
    assert insights["validated"].null_count() == insights.height


def test_rank_scores_can_reach_one() -> None:
    assert rank_scores(["a", "b", "c"], frozenset("ab")) == {"recall@5": 1.0, "recall@10": 1.0, "mrr": 1.0}
    assert rank_scores(["x", "a"], frozenset("ab"))["mrr"] == 0.5
    assert rank_scores(["x"], frozenset("ab"))["mrr"] == 0.0


def test_quality_tells_a_good_memory_from_a_random_one() -> None:
    held = world()
    good = RecallIndex(held, encode(held["context"].to_list()))
    asked = questions(held)
    assert len(asked) == held.height
    measured = retrieval_quality(good, asked, encode, seed=1, replicates=200)
    random = retrieval_quality(good, asked, lambda texts: encode([f"soup {t}" for t in texts]), seed=1, replicates=200)

    def value(frame: pl.DataFrame, method: str, metric: str = "recall@5") -> float:
        return frame.filter(pl.col("method") == method, pl.col("metric") == metric)["value"][0]

    assert value(measured, "vector") > 0.95
    assert value(random, "vector") < 0.6
    assert (measured["low"] <= measured["high"]).all()
    difference = value(measured, "hybrid") - value(measured, "bm25")
    assert np.isclose(value(measured, "hybrid-bm25"), difference)


def test_pattern_quality_beats_the_base_rate_where_context_matters() -> None:
    held = world(tries=12)
    evidence = gather(held, encode, NOBODY)
    contexts = dict(held.select("memory_id", "context").iter_rows())
    told = replay(evidence, contexts, encode, NOBODY)
    measured = pattern_quality(told, seed=1, replicates=200)
    by = {(row["method"], row["metric"]): row["value"] for row in measured.iter_rows(named=True)}
    assert by["pattern", "accuracy"] > by["base_rate", "accuracy"] + 0.1
    assert by["pattern", "brier"] < by["base_rate", "brier"]
    assert by["pattern", "coverage"] > 0.7
    silent = abstention_quality(evidence, encode, seed=1, replicates=200)
    assert silent.filter(pl.col("metric") == "abstention")["value"][0] >= 0.9
