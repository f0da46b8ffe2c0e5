"""The graph earns its place where answers are linked and not said, and costs nothing where it cannot help."""

from __future__ import annotations

import numpy as np
import pytest

from liftos_pipelines.bench import memory_graph
from liftos_pipelines.resources.static_embedder import packaged_static
from liftos_pipelines.simulate.linked_memories import linked_world


def test_answers_that_only_links_give_are_found_with_the_graph_and_not_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_graph, "MEASURED_ON", (301,))
    monkeypatch.setattr(memory_graph, "DEVELOPED_ON", (401,))
    monkeypatch.setattr(memory_graph, "WEIGHTS", (0.4,))
    monkeypatch.setattr(memory_graph, "SPREADS", (0.5,))
    found, _ = memory_graph.compare(packaged_static())
    linked = found["graph"].links > 1
    without, graph, spread = (found[name].recall[linked] for name in ("no graph", "graph", "graph and spread"))
    assert without.mean() < 0.05, "the dummy: nothing in their words leads there"
    low, _ = memory_graph.paired_interval(graph - without, found["graph"].world[linked])
    assert low > 0.05
    low, _ = memory_graph.paired_interval(spread - graph, found["graph"].world[linked])
    assert low > 0.1
    direct = ~linked
    assert np.mean(found["graph"].recall[direct]) >= np.mean(found["no graph"].recall[direct])


def test_a_world_is_the_same_for_the_same_seed_and_its_answers_exist() -> None:
    one, other = linked_world(5, campaigns=4), linked_world(5, campaigns=4)
    assert one.items.equals(other.items)
    known = set(one.items["memory_id"])
    assert all(question.answers <= known for question in one.questions)
    assert {question.links for question in one.questions} == {1, 2, 3, 4}
