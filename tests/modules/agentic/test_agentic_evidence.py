"""Evidence of agents: tau-bench's published pass^k, intervals that cover, promotions that are rarely wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from agentic_frames import AIRLINE, START, agents, airline_steps, call, default_policy, policy, steps

from liftos_pipelines.modules.agentic.evidence import pass_hat_k, performance, readiness, runs_of, success_rate
from liftos_pipelines.modules.agentic.registry import RESPONDER, registry, with_responder
from liftos_pipelines.modules.agentic.replay import replay
from liftos_pipelines.modules.agentic.rollouts import Record, decide, rollouts
from liftos_pipelines.tables import table

WRITES = {
    "book_reservation", "cancel_reservation", "update_reservation_flights", "update_reservation_baggages",
    "update_reservation_passengers", "send_certificate",
}  # fmt: skip


@pytest.fixture(scope="module")
def airline(shared_data: Path) -> pl.DataFrame:
    return airline_steps(shared_data / "agentic" / "tau_bench" / "gpt-4o-airline.json")


def test_tau_bench_pass_hat_k_is_as_published(airline: pl.DataFrame) -> None:
    known = agents({"agent_id": "airline"})
    runs = runs_of(airline, known)
    found = performance(runs, table("agentic/policy_decisions").empty()).filter(pl.col("period") == "all")
    row = found.row(0, named=True)
    assert (row["runs"], row["outcomes"]) == (200, 200)
    assert [round(value, 3) for value in row["pass_hat_k"]] == [0.42, 0.273, 0.22, 0.2]
    assert row["success_rate"] == pytest.approx(0.42)
    assert row["low"] < 0.42 < row["high"]


def test_every_write_call_of_tau_bench_has_a_decision_record(airline: pl.DataFrame) -> None:
    known = agents({"agent_id": "airline"})
    found = replay(airline, known, policy(yaml.safe_load(AIRLINE.read_text())))
    calls = airline.filter(pl.col("kind") == "tool_call")
    assert found.decisions.height == calls.height == 1164
    writes = calls.filter(pl.col("tool").is_in(list(WRITES))).select("run_id", "step")
    assert writes.join(found.decisions, on=["run_id", "step"], how="anti").is_empty()
    count = dict(found.decisions["decision"].value_counts().iter_rows())
    by_policy = dict(found.decisions.filter(pl.col("decision") == "deny")["policy"].value_counts().iter_rows())
    print(f"tau-bench: {count}, denied by {by_policy}, {writes.height} writes")
    certificates = calls.filter(pl.col("tool") == "send_certificate").select("run_id", "step")
    given = certificates.join(found.decisions, on=["run_id", "step"])["decision"].to_list()
    assert (len(given), "allow" in given) == (8, False)
    assert "malformed_call" not in by_policy
    # Under the packaged policy none of these tools is declared, so all of them are denied.
    assert set(replay(airline, known, default_policy()).decisions["decision"]) == {"deny"}


def test_a_run_succeeds_by_its_last_reward_else_by_its_outcome_else_it_is_unknown() -> None:
    def outcome(**fields: object) -> pl.DataFrame:
        return steps({"kind": "message"}, {"kind": "outcome", **fields}, run_id=str(fields))

    frames = [
        outcome(reward=1.0),
        outcome(reward=0.0),
        outcome(content="accepted"),
        outcome(content="rejected by the reviewer"),
    ]
    frames += [outcome(content="not accepted"), outcome(content="hm"), outcome(reward=float("nan"))]
    runs = pl.concat([runs_of(frame, agents({"agent_id": "a"})) for frame in frames])
    assert runs["success"].to_list() == [True, False, True, False, False, None, None]


def test_repeated_tries_of_one_task_widen_the_interval() -> None:
    once = pl.DataFrame({"task": [f"t{i}" for i in range(100)], "success": [True] * 60 + [False] * 40})
    often = pl.DataFrame({"task": [f"t{i // 10}" for i in range(100)], "success": [True] * 60 + [False] * 40})
    assert np.diff(success_rate(often)[1:])[0] > 2 * np.diff(success_rate(once)[1:])[0]
    assert pass_hat_k(often)[9 - 2] == pytest.approx(0.6)
    assert len(pass_hat_k(once)) == 1
    assert success_rate(once.clear()) == (None, None, None)


def test_an_agent_that_never_ran_is_not_ready_and_not_scored() -> None:
    assert readiness(0, 0) is None
    known = with_responder(agents({"agent_id": "a"}, {"agent_id": "idle"}), "0.1.0")
    runs = runs_of(steps({"kind": "outcome", "reward": 1.0}), known)
    found = {row["agent_id"]: row for row in registry(known, runs).iter_rows(named=True)}
    assert found["idle"]["readiness"] is None
    assert found[RESPONDER]["readiness"] is None
    assert found["a"]["evidence_n"] == 1
    assert 0.1 < found["a"]["readiness"] < 0.3


def test_readiness_is_exceeded_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    truth = rng.uniform(0.3, 0.95, 3000)
    hits = rng.binomial(40, truth)
    assert np.mean([readiness(int(h), 40) <= t for h, t in zip(hits, truth, strict=True)]) >= 0.93


def test_an_unregistered_agent_that_ran_is_listed_as_such() -> None:
    found = registry(agents({"agent_id": "a"}), runs_of(steps({"kind": "message"}, agent_id="ghost"), agents()))
    row = found.filter(pl.col("agent_id") == "ghost").row(0, named=True)
    assert (row["registered"], row["version"], row["readiness"]) == (False, "unknown", None)


def test_a_canary_is_compared_with_its_live_twin_and_promoted_when_it_is_better() -> None:
    known = agents(
        {"agent_id": "live", "version": "1.0"},
        {"agent_id": "canary", "version": "2.0", "stage": "canary", "rollback_to": "1.0"},
    )
    rng = np.random.default_rng(2)
    frames = [
        steps({"kind": "outcome", "reward": float(rng.random() < p)}, run_id=f"{name}{i}", agent_id=name)
        for name, p in (("live", 0.5), ("canary", 0.9))
        for i in range(100)
    ]
    runs = runs_of(pl.concat(frames), known)
    found = rollouts(known, runs, table("agentic/policy_decisions").empty()).row(0, named=True)
    assert (found["agent_id"], found["from_version"], found["to_version"], found["decision"]) == (
        "canary",
        "1.0",
        "2.0",
        "promote",
    )


def test_versions_in_the_steps_tell_runs_of_one_agent_apart() -> None:
    known = agents({"agent_id": "a", "version": "2", "rollback_to": "1"})
    old = [steps({"kind": "outcome", "reward": 1.0, "agent_version": "1"}, run_id=f"o{i}") for i in range(60)]
    new = [steps({"kind": "outcome", "reward": 0.0, "agent_version": "2"}, run_id=f"n{i}") for i in range(60)]
    runs = runs_of(pl.concat([*old, *new]), known)
    assert sorted(runs["version"].unique()) == ["1", "2"]
    assert rollouts(known, runs, table("agentic/policy_decisions").empty())["decision"].to_list() == ["rollback"]


def test_little_evidence_decides_nothing_and_violations_alone_roll_back() -> None:
    few = Record(successes=9, outcomes=10, violating=0, runs=10)
    assert decide(few, few).decision == "insufficient_evidence"
    old = Record(successes=80, outcomes=100, violating=0, runs=100)
    new = Record(successes=82, outcomes=100, violating=30, runs=100)
    assert decide(old, new).decision == "rollback"
    assert decide(old, Record(successes=82, outcomes=100, violating=0, runs=100)).decision == "hold"


def test_looking_after_every_run_rarely_takes_back_an_equal_version_and_finds_a_real_drop() -> None:
    rng = np.random.default_rng(9)

    def first_decision(p_new: float, most: int) -> tuple[str, int]:
        old, new = rng.random(most) < 0.8, rng.random(most) < p_new
        for n in range(20, most + 1, 5):
            seen = Record(successes=int(old[:n].sum()), outcomes=n, violating=0, runs=n)
            now = Record(successes=int(new[:n].sum()), outcomes=n, violating=0, runs=n)
            found = decide(seen, now).decision
            if found in ("promote", "rollback"):
                return found, n
        return "none", most

    equal = [first_decision(0.8, 200)[0] for _ in range(300)]
    needed = [n for found, n in (first_decision(0.65, 400) for _ in range(100)) if found == "rollback"]
    margin = [first_decision(0.75, 400)[0] for _ in range(200)]
    wrong, too_low = (
        np.mean([found == "rollback" for found in equal]),
        np.mean([found == "promote" for found in margin]),
    )
    print(
        f"equal versions taken back {wrong:.3f}; promoted at the margin {too_low:.3f}; "
        f"15-point drop found {len(needed)} %, median {np.median(needed):.0f} runs each"
    )
    assert wrong <= 0.05
    assert too_low <= 0.05
    assert len(needed) >= 80


def test_costs_and_violations_are_summed_by_month_and_over_all_time() -> None:
    frames = [
        steps(
            call("frobnicate", cost=2.0),
            {"kind": "outcome", "reward": 1.0},
            run_id=f"r{i}",
            at=START + timedelta(days=31 * i),
        )
        for i in range(3)
    ]
    log, known = pl.concat(frames), agents({"agent_id": "a"})
    found = performance(runs_of(log, known), replay(log, known, default_policy()).decisions)
    assert found["period"].to_list() == ["2025-03", "2025-04", "2025-05", "all"]
    assert found.filter(pl.col("period") == "all").select("cost", "violations", "runs").row(0) == (6.0, 3, 3)
    assert performance(runs_of(log.clear(), known), table("agentic/policy_decisions").empty()).is_empty()
