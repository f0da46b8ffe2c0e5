"""Regressions, ranks and drift on calls whose truth is known, beside what a naive look would say."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))
import version_worlds as world

from liftos_pipelines.modules.llm.versions.arms import DAY, mean_of
from liftos_pipelines.modules.llm.versions.drift import _welch, drift
from liftos_pipelines.modules.llm.versions.leaderboard import leaderboard, rank_intervals
from liftos_pipelines.modules.llm.versions.regression import TOO_FEW, regressions, switches
from liftos_pipelines.modules.llm.versions.suggestions import Precedent, serving, suggestions
from liftos_pipelines.tables import table


def switched(seed: int, after_days: int = 14, **after: float) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    before = world.calls(rng, days=range(28), day_spread=0.1)
    new = world.calls(rng, days=range(28, 28 + after_days), version="2", day_spread=0.1, **after)  # type: ignore[arg-type]
    return world.measured(pl.concat([before, new]))


def verdicts(frame: pl.DataFrame) -> dict[str, str]:
    return dict(regressions(frame).select("metric", "verdict").iter_rows())


def test_a_switch_is_the_newest_deployment_against_the_one_it_took_over_from() -> None:
    (found,) = switches(switched(0))
    assert (found.before, found.after) == (("m", "1"), ("m", "2"))
    rng = np.random.default_rng(1)
    assert switches(world.measured(world.calls(rng, days=range(10)))) == []


@pytest.mark.parametrize(
    ("changed", "metric", "verdict"),
    [
        ({"feedback": 0.3}, "feedback_positive", "worse"),
        ({"feedback": 0.9}, "feedback_positive", "better"),
        ({"latency": 1300.0}, "latency_ms", "worse"),
        ({"latency": 500.0}, "latency_ms", "better"),
        ({"groundedness": 0.65}, "groundedness", "worse"),
    ],
)
def test_a_planted_change_is_found_in_its_metric_and_only_there(
    changed: dict[str, float], metric: str, verdict: str
) -> None:
    found = verdicts(switched(3, **changed))
    assert found.pop(metric) == verdict
    assert set(found.values()) <= {"no difference found", TOO_FEW}


def test_a_relative_change_is_told_as_one_with_an_interval_that_holds_it() -> None:
    row = regressions(switched(4, latency=1000.0)).filter(pl.col("metric") == "latency_ms").row(0, named=True)
    assert row["low"] < 0.25 < row["high"]
    assert row["before"] == pytest.approx(800, rel=0.1)


def coverage(lasting: float, worlds: int) -> tuple[float, float]:
    """How often a 90 % interval of a mean holds the truth where days last: as it is, and with days taken as new each."""
    rng = np.random.default_rng(41)
    held = alone = 0
    for _ in range(worlds):
        frame = world.latencies(rng, days=28, per_day=10, lasting=lasting)
        for taken, known in ((None, True), (0.0, False)):
            mean = mean_of(frame, "latency_ms", taken)
            assert mean is not None
            inside = abs(mean.value) <= stats.t.ppf(0.95, mean.df) * mean.std_error
            held, alone = held + (inside and known), alone + (inside and not known)
    return held / worlds, alone / worlds


def test_an_interval_holds_the_truth_though_a_bad_day_is_seldom_alone() -> None:
    held, alone = coverage(lasting=0.5, worlds=80)
    assert held >= 0.8
    assert alone < 0.75


@pytest.mark.slow
@pytest.mark.parametrize(("lasting", "least"), [(0.0, 0.88), (0.3, 0.86), (0.5, 0.84), (0.7, 0.76)])
def test_intervals_cover_about_as_often_as_stated_however_long_days_last(lasting: float, least: float) -> None:
    held, alone = coverage(lasting, worlds=400)
    assert least <= held <= 0.96
    assert lasting == 0 or alone < held


def test_few_calls_decide_nothing_and_say_so() -> None:
    rng = np.random.default_rng(5)
    frame = pl.concat(
        [world.calls(rng, days=range(28)), world.calls(rng, days=range(28, 29), version="2", feedback=0.0)]
    )
    assert set(verdicts(world.measured(frame)).values()) == {TOO_FEW}


def alarms_of_equal_versions(worlds: int, step: int) -> tuple[int, int]:
    """Worlds in which some look calls the new version worse, and in which some 90 % interval leaves zero out."""
    alarms = naive = 0
    for seed in range(worlds):
        frame = switched(100 + seed, after_days=21)
        looks = [
            frame.filter(pl.col("called_at") < world.START + pl.duration(days=28 + day)) for day in range(5, 22, step)
        ]
        told = [regressions(look) for look in looks]
        alarms += any("worse" in one["verdict"].to_list() for one in told)
        naive += any(
            row["low"] > 0 or row["high"] < 0 for one in told for row in one.drop_nulls("low").iter_rows(named=True)
        )
    return alarms, naive


def test_equal_versions_looked_at_often_are_seldom_called_worse_where_an_interval_often_says_so() -> None:
    alarms, naive = alarms_of_equal_versions(worlds=6, step=5)
    assert alarms <= 1
    assert naive >= 2


@pytest.mark.slow
def test_equal_versions_looked_at_daily_are_called_worse_less_often_than_stated() -> None:
    alarms, naive = alarms_of_equal_versions(worlds=60, step=1)
    assert alarms <= 0.05 * 60
    assert naive >= 0.4 * 60


def test_the_best_of_three_leads_and_a_tie_is_told_as_one() -> None:
    rng = np.random.default_rng(8)
    frame = pl.concat(
        [
            world.calls(rng, days=range(20), version="1", feedback=0.5),
            world.calls(rng, days=range(20), version="2", feedback=0.8),
            world.calls(rng, days=range(20), version="3", feedback=0.5),
        ]
    )
    ranked = leaderboard(world.measured(frame), seed=1).filter(pl.col("metric") == "feedback_positive")
    by_version = {row["prompt_version"]: row for row in ranked.iter_rows(named=True)}
    assert (by_version["2"]["rank"], by_version["2"]["rank_low"], by_version["2"]["rank_high"]) == (1, 1, 1)
    assert {(row["rank_low"], row["rank_high"]) for version, row in by_version.items() if version != "2"} == {(2, 3)}
    assert by_version["2"]["p_best"] > 0.99
    assert sum(row["p_best"] for row in by_version.values()) == pytest.approx(1)


def test_latency_is_ranked_from_fast_to_slow() -> None:
    rng = np.random.default_rng(9)
    frame = pl.concat(
        [
            world.calls(rng, days=range(20), version="1", latency=500.0),
            world.calls(rng, days=range(20), version="2", latency=900.0),
        ]
    )
    ranked = leaderboard(world.measured(frame), seed=1).filter(pl.col("metric") == "latency_ms")
    assert ranked.sort("rank")["prompt_version"].to_list() == ["1", "2"]


def test_rank_intervals_hold_the_true_rank_as_often_as_they_say_and_order_alone_does_not() -> None:
    rng = np.random.default_rng(11)
    truth, errors = np.array([0.0, 0.1, 0.2, 0.2, 0.5]), np.full(5, 0.1)
    lowest = np.array([5, 4, 2, 2, 1])
    highest = np.array([5, 4, 3, 3, 1])
    covered, naive, worlds = 0, 0, 300
    for _ in range(worlds):
        seen = truth + rng.normal(0, 0.1, 5)
        low, high = rank_intervals(seen, errors, np.full(5, 100.0), rng)
        # Tied arms may hold either rank: the set must reach into what the truth allows.
        covered += int(np.sum((low <= highest) & (high >= lowest)))
        order = 1 + np.array([np.sum(seen > value) for value in seen])
        naive += int(np.sum((order <= highest) & (order >= lowest)))
    assert covered >= 0.88 * 5 * worlds
    assert naive < 0.8 * 5 * worlds


def tied_arms(arms: int, clusters: int, worlds: int) -> tuple[float, float]:
    """How often a rank's interval holds all ranks of arms that tie: as it is, and by errors taken as known."""
    rng = np.random.default_rng(31)
    held = {"t": 0.0, "normal": 0.0}
    for _ in range(worlds):
        seen = rng.standard_normal((arms, clusters))
        errors = seen.std(axis=1, ddof=1) / np.sqrt(clusters)
        for name, df in (("t", clusters - 1.0), ("normal", 1e6)):
            low, high = rank_intervals(seen.mean(axis=1), errors, np.full(arms, df), rng)
            held[name] += float(np.mean((low == 1) & (high == arms))) / worlds
    return held["t"], held["normal"]


def test_ranks_of_ties_hold_though_errors_rest_on_few_clusters() -> None:
    held, naive = tied_arms(arms=8, clusters=5, worlds=60)
    assert held >= 0.87
    assert naive < 0.8


@pytest.mark.slow
@pytest.mark.parametrize(("arms", "clusters"), [(3, 5), (10, 5), (20, 5), (10, 30)])
def test_ranks_of_ties_are_covered_as_often_as_stated(arms: int, clusters: int) -> None:
    held, _ = tied_arms(arms, clusters, worlds=300)
    assert 0.88 <= held <= 0.96


def test_many_versions_are_ranked_in_little_room() -> None:
    low, high = rank_intervals(np.arange(120) / 10, np.full(120, 0.1), np.full(120, 9.0), np.random.default_rng(1))
    assert low[119] == 1 <= high[119] <= 12
    assert np.all(low <= high)


def test_a_quantity_that_never_varies_does_not_drift_by_rounding() -> None:
    frame = world.calls(np.random.default_rng(5), days=range(35), per_day=7).with_columns(
        pl.when(pl.col("call_id").str.ends_with("-1")).then(None).otherwise(0.1 + 0.2).alias("_grounded")
    )
    found = drift(world.measured(frame), seed=1).filter(pl.col("quantity") == "groundedness")
    assert found.select("statistic", "p_value_adjusted", "drifted").row(0) == (0.0, 1.0, False)


def test_drift_finds_longer_and_other_questions_and_little_else() -> None:
    rng = np.random.default_rng(12)
    still = world.calls(rng, days=range(28), day_spread=0.1)
    moved = world.calls(
        rng, days=range(28, 35), day_spread=0.1, topic="about the closing of the old warehouse in spring"
    )
    found = drift(world.measured(pl.concat([still, moved])), seed=1)
    drifted = set(found.filter("drifted")["quantity"])
    assert {"input length", "input wording"} <= drifted
    assert not drifted & {"output wording", "latency", "output length"}


def test_without_drift_few_tests_alarm_though_days_differ() -> None:
    tests = alarms = naive = 0
    for seed in range(12):
        rng = np.random.default_rng(200 + seed)
        calm = world.measured(world.calls(rng, days=range(35), per_day=12, day_spread=0.3))
        found = drift(calm, seed=1)
        tests, alarms = tests + found.height, alarms + int(found["drifted"].sum())
        new = pl.col("called_at") >= world.START + pl.duration(days=28)
        sides = [calm.filter(side)["latency_ms"].to_numpy() for side in (new, ~new)]
        error = np.sqrt(sum(side.var() / side.size for side in sides))
        naive += abs(sides[0].mean() - sides[1].mean()) > 1.96 * error
    assert tests >= 12 * 8
    assert alarms <= 0.03 * tests
    assert naive >= 3, "calls taken as independent alarm because days differ"


def alarms_without_drift(lasting: float, worlds: int) -> tuple[float, float]:
    """Share of worlds whose latency is said to have drifted at .05, and that by days taken as new each (Welch)."""
    rng, found, naive = np.random.default_rng(43), 0, 0
    for _ in range(worlds):
        effect = world.lasting_days(rng, 35, lasting, 1.0)
        daily = pl.DataFrame({DAY: pl.Series(range(35)).cast(pl.Int32).cast(pl.Date), "value": effect})
        p_value = _welch(daily[28:], daily[:28])[1]
        assert p_value is not None
        found += p_value < 0.05
        naive += stats.ttest_ind(effect[28:], effect[:28], equal_var=False).pvalue < 0.05
    return found / worlds, naive / worlds


@pytest.mark.parametrize("lasting", [0.0, 0.5])
def test_days_that_last_are_no_drift(lasting: float) -> None:
    found, naive = alarms_without_drift(lasting, worlds=300)
    assert found <= 0.08
    assert lasting == 0 or naive >= 0.15


@pytest.mark.slow
@pytest.mark.parametrize("lasting", [0.0, 0.3, 0.5, 0.7])
def test_drift_without_drift_is_as_rare_as_stated(lasting: float) -> None:
    assert alarms_without_drift(lasting, worlds=1000)[0] <= 0.07


def test_too_few_days_are_unknown() -> None:
    rng = np.random.default_rng(13)
    found = drift(world.measured(world.calls(rng, days=range(6))), seed=1)
    assert found["p_value_adjusted"].null_count() == found.height
    assert found["drifted"].null_count() == found.height


def test_no_calls_give_empty_tables() -> None:
    empty = world.measured(world.calls(np.random.default_rng(0), days=range(1)).clear())
    assert regressions(empty).is_empty()
    assert leaderboard(empty, seed=1).is_empty()
    assert drift(empty, seed=1).is_empty()


def test_suggestions_come_from_what_was_measured_and_say_how_sure_that_is() -> None:
    rng = np.random.default_rng(21)
    frame = world.measured(
        pl.concat(
            [
                world.calls(rng, days=range(20), version="1", feedback=0.85),
                world.calls(rng, days=range(20, 40), version="2", feedback=0.5),
            ]
        )
    )
    now = serving(frame)
    assert now == {"answer": ("answer", "2", "m")}
    precedents = [
        Precedent(
            use_case="answer",
            memory_id=name,
            action=f"use {name}",
            metric=metric,
            effect=effect,
            std_error=0.02,
            likeness=0.5,
        )
        for name, metric, effect in (
            ("helped", "feedback_positive", 0.1),
            ("hurt", "feedback_positive", -0.1),
            ("unclear", "feedback_positive", 0.01),
            ("faster", "latency_ms", -90.0),
            ("slower", "latency_ms", 90.0),
        )
    ]
    found = suggestions(now, leaderboard(frame, seed=1), table("llm/experiments").empty(), precedents)
    told = dict(found.select("suggestion", "evidence_grade").iter_rows())
    assert told == {"use answer 1 instead of answer 2": "observed", "use helped": "memory", "use faster": "memory"}
    row = found.row(0, named=True)
    assert row["low"] < 0.35 < row["high"]
    assert suggestions(now, leaderboard(frame.clear(), seed=1), table("llm/experiments").empty()).is_empty()


def test_what_already_serves_and_is_best_is_not_suggested() -> None:
    rng = np.random.default_rng(22)
    frame = world.measured(
        pl.concat(
            [
                world.calls(rng, days=range(20), version="1", feedback=0.5),
                world.calls(rng, days=range(20, 40), version="2", feedback=0.85),
            ]
        )
    )
    found = suggestions(serving(frame), leaderboard(frame, seed=1), table("llm/experiments").empty())
    assert found.filter(pl.col("metric") == "feedback_positive").is_empty()
