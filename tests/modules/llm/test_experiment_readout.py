"""From calls to a decision: plans, guardrails, horizons, adaptive shares, and what calls may do wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from llm_frames import NO_PRICES, calls

from liftos_pipelines.bench.experiment_worlds import adapted, thompson
from liftos_pipelines.modules.llm.experiments.allocation import allocation, with_floor
from liftos_pipelines.modules.llm.experiments.looks import fresh, looks
from liftos_pipelines.modules.llm.experiments.plan import Plan, PlanError
from liftos_pipelines.modules.llm.experiments.readout import experiments
from liftos_pipelines.modules.llm.experiments.trajectory import by_day
from liftos_pipelines.modules.llm.scores import score_calls

START = datetime(2025, 1, 6, tzinfo=UTC)


def world(n: int, seed: int, good: dict[str, float], **fields: Any) -> list[dict[str, Any]]:
    """Calls that fall evenly on the arms; `good` is each arm's rate of liked answers."""
    rng = np.random.default_rng(seed)
    names = list(good)
    rows = []
    for _ in range(n):
        arm = str(rng.choice(names))
        rows.append({"variant": arm, "user_feedback": 1 if rng.random() < good[arm] else -1, **fields})
    return rows


def read(rows: list[dict[str, Any]], *plans: Plan) -> pl.DataFrame:
    frame = calls(rows)
    return experiments(frame, score_calls(frame, NO_PRICES), plans)


def primary(rows: list[dict[str, Any]], *plans: Plan) -> dict[str, Any]:
    return read(rows, *plans).filter(pl.col("role") == "primary").row(0, named=True)


def plan(**fields: Any) -> Plan:
    return Plan(**({"experiment": "tone", "prompt": "p"} | fields))


def test_a_planned_experiment_is_read_by_its_plan() -> None:
    rows = world(1500, 1, {"new": 0.65, "base": 0.5})
    found = primary(rows, plan(shares={"base": 1.0, "new": 1.0}, minimal_effect=0.05))
    assert (found["experiment"], found["variant_a"], found["variant_b"]) == ("tone", "base", "new")
    assert found["decision"] == "ship_b"
    assert found["expected_loss_b"] < 0.001 < found["expected_loss_a"]
    assert found["p_equal"] < 0.05
    assert found["cs_low"] < 0.15 < found["cs_high"]
    assert found["cs_low"] < found["low"] < found["estimate"] < found["high"] < found["cs_high"]


def test_a_planned_split_is_what_units_are_held_against() -> None:
    rng = np.random.default_rng(2)
    rows = [{"variant": "B" if rng.random() < 0.1 else "A", "user_feedback": 1} for _ in range(3000)]
    assert primary(rows)["decision"] == "invalid_srm"
    assert primary(rows, plan(shares={"A": 0.9, "B": 0.1}))["decision"] != "invalid_srm"


def test_a_unit_counts_once_in_the_split() -> None:
    """Two of a hundred users call a thousand times: their calls are no lost assignments."""
    rng = np.random.default_rng(3)
    rows = [{"variant": "AB"[i % 2], "unit_id": f"u{i}", "user_feedback": 1} for i in range(100)]
    rows += [{"variant": "A", "unit_id": "u0", "user_feedback": int(rng.choice([-1, 1]))} for _ in range(1000)]
    assert primary(rows)["srm_p_value"] > 0.05


def test_a_broken_guardrail_rolls_back_however_liked_the_variant_is() -> None:
    rows = world(1500, 4, {"A": 0.5, "B": 0.7})
    rng = np.random.default_rng(4)
    for row in rows:
        row["error"] = "timeout" if rng.random() < (0.15 if row["variant"] == "B" else 0.02) else ""
    found = read(rows)
    assert found.filter(pl.col("role") == "primary")["decision"].to_list() == ["rollback_b"]
    error = found.filter(pl.col("metric") == "error").row(0, named=True)
    assert (error["guardrail"], error["decision"]) == ("broken", "rollback_b")
    assert error["excess_low"] > 0


def test_a_slow_tail_breaks_the_quantile_guardrail_where_the_mean_hardly_moves() -> None:
    rng = np.random.default_rng(5)
    rows = world(4000, 5, {"A": 0.5, "B": 0.5})
    for row in rows:
        slow = row["variant"] == "B" and rng.random() < 0.07
        row["latency_ms"] = float(rng.normal(100, 10) + (100 if slow else 0))
    guards = {row["metric"]: row["guardrail"] for row in read(rows).iter_rows(named=True)}
    assert guards["latency_p95"] == "broken"
    assert guards["latency_ms"] == "cleared"


def test_a_planned_guardrail_must_be_cleared_before_anything_ships() -> None:
    rows = world(700, 6, {"A": 0.4, "B": 0.7})
    rng = np.random.default_rng(6)
    for row in rows:
        row["error"] = "timeout" if rng.random() < 0.05 else ""
    assert primary(rows)["decision"] == "ship_b"
    strict = plan(guardrails={"error": (0.01, None)})
    assert primary(rows, strict)["decision"] == "keep_running"
    assert "error may still be worse" in primary(rows, strict)["reason"]


def test_what_is_inconclusive_at_the_horizon_keeps_the_control() -> None:
    rows = world(1000, 7, {"A": 0.5, "B": 0.5})
    assert primary(rows, plan(horizon_units=2000))["decision"] == "keep_running"
    ended = primary(rows, plan(horizon_units=900))
    assert ended["decision"] == "keep_a"
    assert "900 units" in ended["reason"]
    # Calls are a minute apart: a thousand of them are less than a day.
    assert primary(rows, plan(horizon_days=1))["decision"] == "keep_running"


def test_three_arms_share_the_error_and_each_is_held_against_the_control() -> None:
    rows = world(3000, 8, {"A": 0.5, "B": 0.5, "C": 0.68})
    found = read(rows).filter(pl.col("role") == "primary")
    assert dict(found.select("variant_b", "decision").iter_rows()) == {"B": "keep_running", "C": "ship_b"}
    two = primary([row for row in rows if row["variant"] != "C"])
    width = found.filter(pl.col("variant_b") == "B").select(pl.col("cs_high") - pl.col("cs_low")).item()
    assert width > two["cs_high"] - two["cs_low"]


def test_a_units_own_past_narrows_the_sequence() -> None:
    rng = np.random.default_rng(9)
    users = {f"u{i}": float(rng.normal(100, 30)) for i in range(400)}
    before = [{"unit_id": user, "latency_ms": level + float(rng.normal(0, 5))} for user, level in users.items()]
    rows = [
        {"unit_id": user, "variant": str(rng.choice(["A", "B"])), "latency_ms": level + float(rng.normal(0, 5))}
        for user, level in users.items()
    ]
    found = primary(before + rows, plan(primary="latency_ms"))
    assert found["variance_removed"] > 0.9
    assert "past" in found["covariates"]
    plain = primary(before + rows, plan(primary="latency_ms", covariates=False))
    assert plain["variance_removed"] is None
    assert found["cs_high"] - found["cs_low"] < 0.5 * (plain["cs_high"] - plain["cs_low"])


def test_a_past_that_the_variant_has_touched_is_not_used() -> None:
    """Calls of the experiment itself are no past, however early."""
    rng = np.random.default_rng(10)
    users = [f"u{i}" for i in range(300)]
    arms = {user: str(rng.choice(["A", "B"])) for user in users}
    rows = [{"unit_id": user, "variant": arms[user], "latency_ms": 100.0 + i} for i, user in enumerate(users)]
    found = primary(rows + rows, plan(primary="latency_ms"))
    assert "past" not in (found["covariates"] or "")


def test_an_arm_that_vanishes_is_compared_while_it_ran() -> None:
    rows = world(1500, 11, {"A": 0.5, "B": 0.5}) + world(2000, 12, {"A": 0.5})
    found = primary(rows)
    assert found["decision"] != "invalid_srm"
    assert found["n_a"] + found["n_b"] <= 1500
    assert "arm B had no call after" in found["notes"]


def adaptive_rows(seed: int, rates: tuple[float, float]) -> list[dict[str, Any]]:
    units = thompson(rates, seed, batches=20)
    return [
        {"variant": "AB"[arm], "propensity": float(p), "user_feedback": 1 if y else -1}
        for arm, p, y in zip(units.arms, units.propensities, units.outcomes, strict=True)
    ]


def test_shares_that_moved_are_weighted_by_their_propensities() -> None:
    rows = adaptive_rows(13, (0.4, 0.55))
    found = primary(rows)
    assert found["adaptive"]
    assert found["cs_method"] == "inverse propensity"
    assert found["decision"] == "ship_b"
    assert found["cs_low"] < 0.15 < found["cs_high"]
    # The shares are far from equal, yet as logged; held against equal shares they would look broken.
    assert found["srm_p_value"] > 0.01
    assert primary([row | {"propensity": None} for row in rows])["decision"] == "invalid_srm"


def test_adaptive_sequences_hold_the_truth_and_thompson_loses_less_than_an_even_split() -> None:
    worlds = [adapted((0.5, 0.55), seed) for seed in range(40)]
    assert np.mean([one.missed for one in worlds]) <= 0.1  # 5 % and three standard errors of 40 worlds
    assert np.mean([one.regret for one in worlds]) < 0.6 * 0.025 * 3000


@pytest.mark.slow
def test_adaptive_coverage_over_many_worlds() -> None:
    for rates in ((0.5, 0.5), (0.5, 0.55), (0.1, 0.1), (0.1, 0.15), (0.5, 0.5, 0.6)):
        worlds = [adapted(rates, seed) for seed in range(500)]
        assert np.mean([one.missed for one in worlds]) <= 0.05
        assert 0.86 <= np.mean([one.held for one in worlds]) <= 0.96


def test_thompson_follows_the_better_arm_above_a_floor() -> None:
    rows = world(600, 14, {"A": 0.4, "B": 0.7})
    frame = calls(rows)
    scores = score_calls(frame, NO_PRICES)
    shares = dict(allocation(frame, scores, [plan(allocation="thompson")]).select("variant", "probability").iter_rows())
    assert shares["A"] == pytest.approx(0.1, abs=0.01)
    assert sum(shares.values()) == pytest.approx(1.0)
    fixed = allocation(frame, scores, [plan(shares={"A": 0.8, "B": 0.2})])
    assert fixed["probability"].to_list() == pytest.approx([0.8, 0.2])
    gone = allocation(frame, scores, [plan(allocation="thompson")], {("tone", "B"): "rollback_b"})
    assert gone["probability"].to_list() == pytest.approx([1.0, 0.0])
    few = allocation(frame.head(20), scores, [plan(allocation="thompson")])
    assert few["probability"].to_list() == pytest.approx([0.5, 0.5])
    with pytest.raises(ValueError, match="cannot all have"):
        with_floor(np.full(3, 1 / 3), 0.4)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"primary": "groundednes"}, r'llm\.experiments\.tone\.primary: .* \(closest: "groundedness"\)'),
        ({"primary": "latency_p95"}, "can only guard"),
        ({"guardrails": {"speed": (0.1, None)}}, r"tone\.guardrails: there is no metric"),
        ({"guardrails": {"cost": (0.0, None)}}, r"cost\.margin"),
        ({"shares": {"A": 1.0}}, "one arm"),
        ({"shares": {"A": 1.0, "B": 0.0}}, r"split\.B"),
        ({"shares": {"A": 0.9, "B": 0.5}}, r"split: the shares sum to 1\.4"),
        ({"shares": {"A": 1, "B": 1, "C": 1}, "exploration_floor": 0.4}, "cannot all have"),
    ],
)
def test_a_plan_that_cannot_be_followed_names_field_and_fix(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        plan(**fields)


def test_bad_calls_are_unknown_and_said_so() -> None:
    rows = world(800, 15, {"A": 0.5, "B": 0.5})
    base = primary(rows)
    for row in rows[::7]:
        row["latency_ms"] = -5.0
    rows[3]["propensity"], rows[5]["propensity"] = 0.0, 1.7
    found = read(rows)
    latency = found.filter(pl.col("metric") == "latency_ms").row(0, named=True)
    assert latency["n_a"] + latency["n_b"] == 800 - len(rows[::7])
    assert "2 calls with a propensity outside" in found["notes"][0]
    first = found.filter(pl.col("role") == "primary").row(0, named=True)
    assert not first["adaptive"]
    assert first["estimate"] == base["estimate"]


def test_order_and_duplicates_change_nothing() -> None:
    frame = calls(world(600, 16, {"A": 0.5, "B": 0.6}))
    scores = score_calls(frame, NO_PRICES)
    mixed = pl.concat([frame, frame.head(50)]).sample(fraction=1.0, shuffle=True, seed=1)
    one, other = experiments(frame, scores), experiments(mixed, scores)
    assert one.drop("data_mark").equals(other.drop("data_mark"))
    assert one["data_mark"].to_list() == other["data_mark"].to_list()


def test_an_empty_arm_and_a_metric_without_values_are_unknown() -> None:
    rows = world(300, 17, {"A": 0.5})
    absent = primary(rows, plan(shares={"A": 0.999, "B": 0.001}))
    assert absent["decision"] == "insufficient_data"
    assert "arm b" in absent["reason"]
    nothing = primary(world(300, 18, {"A": 0.5, "B": 0.5}), plan(primary="groundedness"))
    assert (nothing["decision"], nothing["estimate"]) == ("insufficient_data", None)


def test_arms_that_nobody_planned_are_left_out_and_named() -> None:
    rows = world(900, 19, {"A": 0.5, "B": 0.5, "Z": 0.5})
    found = read(rows, plan(shares={"A": 1.0, "B": 1.0}))
    assert set(found["variant_b"]) == {"B"}
    assert "not planned" in found["notes"][0]
    assert "(Z)" in found["notes"][0]


def test_a_small_sample_of_a_bounded_metric_has_exact_bounds() -> None:
    rows = world(60, 20, {"A": 0.02, "B": 0.98})
    found = primary(rows)
    assert found["cs_method"] == "betting"
    assert found["decision"] == "ship_b"


def test_looks_are_kept_once_each_and_the_first_decision_stands() -> None:
    early, late = world(200, 21, {"A": 0.5, "B": 0.5}), world(1500, 22, {"A": 0.4, "B": 0.7})
    turned = world(6000, 23, {"A": 0.7, "B": 0.3})
    first = looks(read(early), looks(pl.DataFrame(), pl.DataFrame()))
    assert first["decision"].to_list() == ["keep_running"]
    assert looks(read(early), first).equals(first)
    second = looks(read(early + late), first)
    assert second["decision"].to_list() == ["keep_running", "ship_b"]
    assert second["news"].to_list() == [False, True]
    third = looks(read(early + late + turned), second)
    assert third["decision"].to_list()[-1] == "keep_a"
    assert third["final_decision"].to_list() == [None, "ship_b", "ship_b"]
    assert third["news"].to_list() == [False, True, False]
    assert fresh(third, second).height == 1


def test_harm_that_shows_after_shipping_is_told_too() -> None:
    shipped = world(1500, 24, {"A": 0.4, "B": 0.7})
    harmed = world(1500, 25, {"A": 0.4, "B": 0.7})
    for row in harmed:
        row["latency_ms"] = 900.0 if row["variant"] == "B" else 100.0
    before = looks(read(shipped), looks(pl.DataFrame(), pl.DataFrame()))
    after = looks(read(shipped + harmed), before)
    assert after["decision"].to_list() == ["ship_b", "rollback_b"]
    assert after["news"].to_list() == [True, True]
    assert after["final_decision"].to_list() == ["ship_b", "ship_b"]


def test_each_days_look_is_what_was_known_by_then() -> None:
    rows = world(400, 26, {"A": 0.5, "B": 0.6})
    frame = calls(rows).with_columns(
        called_at=pl.Series([START + timedelta(hours=6 * i) for i in range(400)]).cast(pl.Datetime("us", "UTC"))
    )
    days = by_day(frame, score_calls(frame, NO_PRICES))
    assert days.height <= 41
    assert days["looked_at"].is_sorted()
    half = frame.filter(pl.col("called_at").dt.date() <= days["looked_at"][20])
    alone = experiments(half, score_calls(half, NO_PRICES)).filter(pl.col("role") == "primary")
    assert days["estimate"][20] == pytest.approx(alone["estimate"][0])
