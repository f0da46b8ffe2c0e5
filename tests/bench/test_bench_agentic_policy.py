"""The policy benchmark measures what it says: the engine and the naive baseline decide alike, the findings hold."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.bench.agentic_policy import (
    AGENT,
    NOW,
    decisions,
    findings,
    one_by_one,
    policy_of,
    success_difference,
)
from liftos_pipelines.modules.agentic.engine import AgentHistory, PolicyEngine, RunHistory


@pytest.mark.parametrize("sequences", [False, True])
def test_the_engine_decides_as_the_baseline_does(sequences: bool) -> None:
    engine = PolicyEngine(policy_of(100, sequences=sequences, seed=7))
    history, found = RunHistory(run_id="r", agents=AgentHistory()), []
    rng = np.random.default_rng(3)
    for step in range(60):
        arguments = {
            "campaign": f"none-{rng.integers(40)}",
            "amount": int(rng.integers(4990, 5100)),
            "note": f"secret-{rng.integers(9)}",
        }
        call = engine.call(AGENT, f"tool_{rng.integers(4)}", arguments, NOW + timedelta(seconds=step), 0.0)
        assert not isinstance(call, str)
        verdict = engine.judge(call, history)
        found.append(verdict.decision)
        assert verdict.decision == one_by_one(engine.policy, call, history)
        engine.record(call, verdict, history)
    assert {"allow", "deny"} <= set(found)


def test_a_late_decision_costs_no_more_than_an_early_one() -> None:
    """The baseline, which reads the run from its beginning, must grow beside it."""
    policy = policy_of(50, sequences=True, seed=7)

    def median(length: int, *, naive: bool) -> float:
        return float(np.median(decisions(policy, length, runs=2, seed=7, naive=naive)))

    assert median(200, naive=False) < 3 * median(10, naive=False)
    assert median(200, naive=True) > 3 * median(10, naive=True)


def test_a_difference_in_success_is_found_by_whole_tasks() -> None:
    marked = pl.DataFrame(
        {
            "task": [f"t{i // 4}" for i in range(80)],
            "violated": [i % 4 == 0 for i in range(80)],
            "reward": [i % 4 != 0 for i in range(80)],
        }
    )
    assert success_difference(marked, 7) == (-1.0, -1.0, -1.0)
    rng = np.random.default_rng(7)
    idle = marked.with_columns(pl.Series("reward", rng.random(80) < 0.5))
    value, low, high = success_difference(idle, 7)
    assert low < value < high
    assert low < 0 < high


def test_the_airline_agent_breaks_the_rules_it_was_given(shared_data: Path) -> None:
    figures = {figure.name: figure for figure in findings(shared_data)}
    assert figures["tau-bench violations: writes_need_the_customers_yes"].value == 47
    assert figures["tau-bench violations: basic_economy_keeps_its_flights"].value == 17
    harm = figures[
        "tau-bench success of runs that violate any rule about a reservation or payment, minus that of the others"
    ]
    assert harm.n == 200
    assert harm.high is not None
    assert harm.high < 0, "runs that break the rules fail more often"
