"""231 real answers labelled by hand: precision and recall of brands, ranks, and the labels' own soundness."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from liftos_pipelines.bench import surfacing_answers as bench

Labels = dict[str, Any]


@pytest.fixture(scope="module")
def labels() -> Labels:
    return json.loads(bench.LABELS.read_text(encoding="utf-8"))


def test_the_labels_are_sound(labels: Labels) -> None:
    answers, topics = labels["answers"], labels["topics"]
    assert len(answers) >= 200
    assert len({(a["engine"], a["run"], a["query_id"]) for a in answers}) == len(answers)
    assert set(Counter(a["topic"] for a in answers).values()) == {7}
    assert len(topics) == 33
    assert {topic["half"] for topic in topics.values()} == set(bench.HALVES)
    for answer in answers:
        tracked = {brand["name"] for brand in topics[answer["topic"]]["brands"]}
        assert set(answer["mentioned"]) <= tracked
        assert set(answer.get("rank", {})) <= set(answer["mentioned"])
    assert sum("rank" in answer for answer in answers) >= 80
    assert max(len(str(answer)) for answer in answers) < 1500  # names and notes, no texts


@pytest.mark.parametrize("half", list(bench.HALVES))
def test_brands_are_read_as_a_person_reads_them(labels: Labels, shared_data: Path, half: str) -> None:
    recorded, _ = bench.recorded_answers(shared_data / "surfacing" / "ai_product_bench" / "responses")
    topics = {name: topic for name, topic in labels["topics"].items() if topic["half"] == half}
    truth = bench._truth(labels["answers"], topics)
    found, ranks = bench._extracted(labels["answers"], topics, recorded)
    plain = bench._searched(labels["answers"], topics, recorded, bench.BASELINES["word search"])
    assert bench._precision_or_recall("precision", truth, found)[0] >= 0.98
    assert bench._precision_or_recall("recall", truth, found)[0] >= 0.97
    assert bench._precision_or_recall("precision", truth, plain)[0] < 0.98  # what a word search reaches
    exact = [ranks[answer, brand] == rank for answer, each in truth.ranks.items() for brand, rank in each.items()]
    assert sum(exact) / len(exact) > 0.95
