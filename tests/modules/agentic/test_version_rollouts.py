"""When a version is moved: by success, violations and cost, at its stage, by the runs since it came there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from agentic_frames import START, agents, moves_of, steps

from liftos_pipelines.modules.agentic.evidence import runs_of
from liftos_pipelines.modules.agentic.rollouts import Record, clustered_variance, decide, rollouts
from liftos_pipelines.tables import table

GOOD = Record(
    successes=270, outcomes=300, violating=2, runs=300, cost_mean=1.0, cost_variance=0.0004, costs=300,
)  # fmt: skip


def test_a_version_goes_on_when_nothing_is_worse_and_only_one_stage_at_a_time() -> None:
    better = replace(GOOD, successes=290)
    assert (decide(GOOD, better, "shadow").decision, decide(GOOD, better, "shadow").to_stage) == ("promote", "canary")
    assert decide(GOOD, better, "canary").to_stage == "live"
    assert decide(GOOD, better, "live").decision == "hold"
    for stage in ("draft", "suspended", "retired"):
        assert decide(GOOD, better, stage).decision == "hold"


@pytest.mark.parametrize(
    ("change", "stage", "why"),
    [
        ({"successes": 200}, "shadow", "success fell"),
        ({"violating": 60}, "suspended", "violations rose"),
        ({"cost_mean": 1.6}, "shadow", "cost rose by more than 25%"),
    ],
)
def test_each_of_the_three_takes_a_version_back_alone(change: dict[str, float], stage: str, why: str) -> None:
    worse = replace(GOOD, **change)  # type: ignore[arg-type]
    found = decide(GOOD, worse, "canary")
    assert (found.decision, found.to_stage) == ("rollback", stage)
    assert why in found.evidence
    in_shadow = decide(GOOD, worse, "shadow")
    assert (in_shadow.decision, in_shadow.to_stage) == ("hold", None)


def test_a_cost_that_is_not_known_holds_a_version_back_and_none_at_all_is_said() -> None:
    unknown = replace(GOOD, successes=295, cost_mean=None, cost_variance=None, costs=0)
    held = decide(GOOD, unknown, "canary")
    assert held.decision == "hold"
    assert "what the new version costs" in held.evidence
    neither = decide(replace(unknown, successes=250), unknown, "canary")
    assert neither.decision == "promote"
    assert "cost unknown" in neither.evidence


def test_tries_of_one_task_count_for_less() -> None:
    values = np.repeat([1.0, 0.0] * 5, 10)
    clustered = clustered_variance(values, np.repeat(np.arange(10), 10))
    assert clustered is not None
    assert clustered > 5 * values.var() / values.size


def test_a_moved_version_is_judged_by_its_runs_since_then() -> None:
    known = agents(
        {"agent_id": "old", "version": "1"},
        {"agent_id": "new", "version": "2", "stage": "shadow", "rollback_to": "1"},
    )
    frames = [
        steps({"kind": "outcome", "reward": float(i % 10 < p)}, run_id=f"{name}{i}", agent_id=name, at=START)
        for name, p in (("old", 5), ("new", 10))
        for i in range(150)
    ]
    runs, none = runs_of(pl.concat(frames), known), table("agentic/policy_decisions").empty()
    first = rollouts(known, runs, none).row(0, named=True)
    assert (first["decision"], first["stage"], first["to_stage"], first["number"]) == ("promote", "shadow", "canary", 0)
    body = {"agent_id": "new", "version": "2", "from": "shadow", "to": "canary", "by": "eve", "reason": "r"}
    moves = moves_of((body, START + timedelta(days=1)))
    then = rollouts(known, runs, none, moves).row(0, named=True)
    assert (then["decision"], then["stage"], then["number"], then["runs"]) == ("insufficient_evidence", "canary", 1, 0)


@pytest.mark.slow
def test_wrong_moves_are_rare_and_real_changes_are_found_in_simulated_worlds() -> None:
    from liftos_pipelines.bench.agentic_evaluation import _rollouts

    figures = {figure.name: figure for figure in _rollouts()}
    for name, figure in figures.items():
        assert figure.value is not None
        if name.startswith("wrong"):
            assert figure.value <= 0.05, name
    naive = figures["wrong rollback of an equal version"].baseline_value
    assert naive is not None
    assert naive > 0.15  # the dummy that must fail
    assert (figures["rollback of a version with 15-point drop of success"].value or 0) > 0.9
