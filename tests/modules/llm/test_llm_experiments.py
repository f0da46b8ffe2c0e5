"""Decisions hold at any look, better variants ship, broken splits are named."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from llm_frames import NO_PRICES, calls

from liftos_pipelines.modules.llm.experiments.compare import compare
from liftos_pipelines.modules.llm.experiments.measured import METRICS
from liftos_pipelines.modules.llm.experiments.readout import experiments
from liftos_pipelines.modules.llm.scores import score_calls
from liftos_pipelines.stats import anytime_half_width

RATE = METRICS[0]
MEAN = METRICS[1]


def table_of(rows: list[dict]) -> pl.DataFrame:
    frame = calls(rows)
    return experiments(frame, score_calls(frame, NO_PRICES))


def peeked_errors(worlds: int, looks: int, per_look: int, rate: float, seed: int) -> tuple[float, float]:
    """Share of A/A worlds in which (the sequence, a z-test at each look) ever finds a difference."""
    rng = np.random.default_rng(seed)
    n = np.arange(1, looks + 1) * per_look
    a = rng.binomial(per_look, rate, (worlds, looks)).cumsum(axis=1) / n
    b = rng.binomial(per_look, rate, (worlds, looks)).cumsum(axis=1) / n
    error = np.sqrt(a * (1 - a) / (n - 1) + b * (1 - b) / (n - 1))
    half = np.array([anytime_half_width(1.0, 2 * size) for size in n])
    seen = n >= 50
    ours = (np.abs(b - a) > half * error)[:, seen].any(axis=1).mean()
    naive = (np.abs(b - a) > 1.96 * error)[:, seen].any(axis=1).mean()
    return float(ours), float(naive)


def test_looking_every_day_keeps_false_positives_below_5_percent_where_a_z_test_does_not() -> None:
    ours, naive = peeked_errors(2000, looks=30, per_look=60, rate=0.5, seed=5)
    print(f"A/A, 2,000 worlds, 30 looks: sequence {ours:.4f}, z-test {naive:.4f}")
    assert ours <= 0.05
    assert naive >= 0.20


def test_a_planned_difference_is_found_with_power_80() -> None:
    rng = np.random.default_rng(6)
    found = 0
    for _ in range(200):
        a, b = rng.binomial(1, 0.5, 600).astype(float), rng.binomial(1, 0.62, 600).astype(float)
        found += compare(a, b, RATE).verdict == "better"
    print(f"power at +0.12 with 600 an arm: {found / 200:.2f}")
    assert found / 200 >= 0.80


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    hits = []
    for _ in range(400):
        a, b = rng.binomial(1, 0.3, 300).astype(float), rng.binomial(1, 0.4, 300).astype(float)
        result = compare(a, b, RATE)
        hits.append(result.posterior.low <= 0.1 <= result.posterior.high)
    assert 0.86 <= np.mean(hits) <= 0.94


def test_repeated_inputs_are_not_counted_as_independent() -> None:
    """Twenty repeats of each of sixty inputs: the naive standard error finds differences that are not there."""
    rng = np.random.default_rng(8)
    clustered, naive = [], []
    for _ in range(150):
        level = rng.normal(0, 1, 120)
        inputs = np.repeat(np.arange(120), 20)
        values = level[inputs] + rng.normal(0, 0.3, inputs.size)
        a, b = values[: 60 * 20], values[60 * 20 :]
        at = compare(a, b, MEAN, clusters_a=inputs[: 60 * 20], clusters_b=inputs[60 * 20 :])
        clustered.append(not at.posterior.low <= 0 <= at.posterior.high)
        plain = compare(a, b, MEAN)
        naive.append(not plain.posterior.low <= 0 <= plain.posterior.high)
    assert np.mean(clustered) <= 0.16
    assert np.mean(naive) > 0.5


def test_p_b_better_follows_the_metrics_direction() -> None:
    rng = np.random.default_rng(9)
    slow, fast = rng.normal(200, 20, 100), rng.normal(150, 20, 100)
    latency = next(m for m in METRICS if m.name == "latency_ms")
    result = compare(slow, fast, latency)
    assert result.estimate < 0
    assert result.posterior.p_b_better > 0.99
    assert result.verdict == "better"


def variant_rows(n: int, good_b: float, seed: int, share_b: float = 0.5, **b_fields: object) -> list[dict]:
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        b = rng.random() < share_b
        liked = int(rng.random() < (good_b if b else 0.5))
        rows.append({"variant": "B" if b else "A", "user_feedback": liked or -1, **(b_fields if b else {})})
    return rows


def test_the_better_variant_ships_and_equal_ones_keep_running() -> None:
    better = table_of(variant_rows(2000, 0.65, seed=1)).filter(pl.col("role") == "primary").row(0, named=True)
    assert (better["metric"], better["variant_a"], better["variant_b"]) == ("feedback_positive", "A", "B")
    assert better["decision"] == "ship_b"
    assert better["low"] < 0.15 < better["high"]
    equal = table_of(variant_rows(2000, 0.5, seed=2)).filter(pl.col("role") == "primary").row(0, named=True)
    assert equal["decision"] == "keep_running"


def test_a_liked_but_much_slower_variant_is_not_shipped() -> None:
    rows = variant_rows(2000, 0.65, seed=1)
    rng = np.random.default_rng(3)
    for row in rows:
        row["latency_ms"] = float(rng.normal(400 if row["variant"] == "B" else 100, 10))
    primary = table_of(rows).filter(pl.col("role") == "primary").row(0, named=True)
    assert primary["decision"] == "rollback_b"
    assert "latency" in primary["reason"]


def test_a_broken_split_makes_the_experiment_invalid() -> None:
    found = table_of(variant_rows(3000, 0.65, seed=4, share_b=0.4))
    assert set(found["decision"]) == {"invalid_srm"}


def test_few_calls_decide_nothing() -> None:
    found = table_of(variant_rows(40, 0.9, seed=5))
    assert set(found["decision"]) == {"insufficient_data"}


def test_prompt_versions_are_compared_only_while_both_ran() -> None:
    one_after_the_other = [{"prompt_version": "1", "user_feedback": 1}] * 200 + [
        {"prompt_version": "2", "user_feedback": -1}
    ] * 200
    found = table_of(one_after_the_other)
    assert set(found["decision"]) == {"insufficient_data"}
    assert found["srm_p_value"].null_count() == found.height


def test_a_log_without_errors_recorded_claims_no_error_rate() -> None:
    assert "error" not in set(table_of(variant_rows(300, 0.5, seed=6))["metric"])
    rows = variant_rows(300, 0.5, seed=6)
    rows[0]["error"] = "timeout"
    assert "error" in set(table_of(rows)["metric"])


def test_one_arm_or_no_call_gives_an_empty_table() -> None:
    assert table_of([{"variant": "A"}] * 5).is_empty()
    empty = calls([])
    assert experiments(empty, score_calls(empty, NO_PRICES)).is_empty()


@pytest.mark.parametrize("values", [np.zeros(0), np.ones(1)])
def test_an_empty_or_single_arm_is_insufficient(values: np.ndarray) -> None:
    assert compare(values, np.ones(100), RATE).verdict == "unknown"
