"""Recall over links: what words find leads to what it caused, and every part of a score is told."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from liftos_pipelines.modules.memory.recall import fit
from liftos_pipelines.modules.memory.recall.fusion import Settings
from liftos_pipelines.modules.memory.recall.graph import graph_channel
from liftos_pipelines.modules.memory.recall.index import RecallIndex
from liftos_pipelines.modules.memory.recall.query import RecallQuery
from liftos_pipelines.resources.static_embedder import packaged_static
from liftos_pipelines.simulate.linked_memories import linked_world

WEIGHTS = {"words": 0.4, "meaning": 0.4, "graph": 0.4}


@pytest.fixture(scope="module")
def world_and_index():  # type: ignore[no-untyped-def]
    world, static = linked_world(9, campaigns=8, others=80), packaged_static()
    vectors = static.encode(world.items["text"].to_list())
    channels = (graph_channel(world.items),)
    return world, RecallIndex(
        world.items,
        vectors,
        model_id=static.model_id,
        channels=channels,
        settings=Settings(weights=WEIGHTS, linked=0.8),
    )


def test_linked_answers_come_up_and_only_with_the_links(world_and_index) -> None:  # type: ignore[no-untyped-def]
    world, index = world_and_index
    asked = [question for question in world.questions if question.links == 2]
    without = index.with_settings(Settings(weights=WEIGHTS, linked=0.0))

    def found(one: RecallIndex) -> float:
        static = packaged_static()
        hits = [
            {hit.memory_id for hit in one.search(question.text, static.encode([question.text])[0], 10)}
            for question in asked
        ]
        return float(np.mean([bool(question.answers & held) for question, held in zip(asked, hits, strict=True)]))

    assert found(index) > found(without) + 0.1
    assert found(index) > 0.6
    assert found(index.with_settings(Settings(weights={"words": 1.0}))) < 0.2, "the dummy: no graph, no links"


def test_the_parts_of_a_score_sum_to_it_and_the_link_is_named(world_and_index) -> None:  # type: ignore[no-untyped-def]
    world, index = world_and_index
    question = next(question for question in world.questions if question.links == 2)
    hits = index.search(question.text, packaged_static().encode([question.text])[0], 12)
    for hit in hits:
        assert hit.score == pytest.approx(sum(part.share for part in hit.evidence), abs=1e-9)
        assert 0 <= hit.score <= 1
    told = [part.detail for hit in hits for part in hit.evidence if part.channel == "linked"]
    assert any(detail.startswith("shares ") for detail in told)


def test_evidence_of_now_does_not_pass_through_a_closed_memory(world_and_index) -> None:  # type: ignore[no-untyped-def]
    world, index = world_and_index
    question = next(question for question in world.questions if question.links == 2)
    answer = next(iter(question.answers))
    closed = {
        name: datetime(2026, 1, 1, tzinfo=UTC) for name in world.items["version_id"] if name.startswith("m-alert")
    }
    dimensions = packaged_static().dimensions
    later = index.extended(world.items.clear(), np.empty((0, dimensions), np.float32), closed=closed)
    hits = later.search(question.text, packaged_static().encode([question.text])[0], len(world.items))
    parts = [part for hit in hits if hit.memory_id == answer for part in hit.evidence]
    assert all(part.channel != "graph" for part in parts), "only the alert led there"
    assert not any(hit.memory_id.startswith("m-alert") for hit in hits)


@pytest.mark.parametrize("linked", [0.0, 0.8])
def test_weights_are_fitted_on_the_very_scores_that_are_served(world_and_index, linked: float) -> None:  # type: ignore[no-untyped-def]
    world, index = world_and_index
    settings = Settings(weights=WEIGHTS | {"author": 0.2}, linked=linked)
    served = index.with_settings(settings)
    asked = [
        RecallQuery(text=one.text, vector=packaged_static().encode([one.text])[0], model_id=index.model_id)
        for one in world.questions[:8]
    ]
    labelled = [
        fit.Labelled(query=query, relevant=frozenset(one.answers), group="g")
        for query, one in zip(asked, world.questions, strict=False)
    ]
    names, examples = fit.examples(index, labelled)
    assert len(examples) == 8
    for query, example in zip(asked, examples, strict=True):
        scores = fit.fused(example, names, settings, index.neighbours)
        best = np.sort(scores[example.rows])[::-1][:15]
        assert [hit.score for hit in served.find(query, 15)] == pytest.approx(best.tolist(), abs=1e-6)
