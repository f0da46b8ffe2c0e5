"""When a world counts as broken, who counts as having said so, and that figures carry their n and interval."""

import pytest

from liftos_pipelines.bench.causal_reading import ChannelReading, Reading
from liftos_pipelines.bench.causal_truth import family_figures, overall_figures


def channel(error: float, half_width: float, true: float = 100.0) -> ChannelReading:
    mean = true * (1 + error)
    return ChannelReading(name="tv", true=true, mean=mean, low=mean - half_width, high=mean + half_width)


def reading(
    channels: list[ChannelReading], *, total: float = 0.0, seed: int = 0, warns: tuple[str, ...] = ()
) -> Reading:
    return Reading(
        family="clean",
        seed=seed,
        channels=tuple(channels),
        total=channel(total, 5),
        statuses={"r_hat": "pass", **dict.fromkeys(warns, "warn")},
        values={},
        accuracy=0.95,
        naive=0.9,
        no_media=0.92,
        regret={"planned": 0.01, "current": 0.03, "equal split": 0.05, "by average ROI": 0.02},
        seconds=1.0,
    )


def test_one_miss_in_ten_breaks_nothing_and_two_large_ones_do() -> None:
    fine, wide = channel(0.1, 20), channel(0.5, 60)
    small_miss, large_miss = channel(0.1, 5), channel(0.5, 20)
    assert not reading([fine, wide, large_miss]).broken
    assert not reading([small_miss, small_miss, small_miss]).broken
    assert reading([fine, large_miss, large_miss]).broken
    assert reading([fine, wide, wide], total=0.4).broken


def test_a_broken_world_is_named_only_by_a_check_that_warns_or_fails() -> None:
    lost = [channel(0.6, 10), channel(0.6, 10)]
    good = [channel(0.05, 10), channel(0.05, 10)]
    readings = [reading(lost, seed=0), reading(lost, seed=1, warns=("baseline_break",)), reading(good, seed=2)]
    figures = {figure.name: figure for figure in overall_figures(readings)}
    named = figures["broken worlds that a check names"]
    assert (named.value, named.n) == (50.0, 2)
    assert named.low is not None
    assert named.high is not None
    assert named.low < 50 < named.high
    assert "clean 0" in named.method
    alarms = figures["clean worlds with any warning"]
    assert alarms.value == pytest.approx(100 / 3)
    assert "baseline_break" in alarms.method
    assert figures["broken worlds where the assumptions hold"].value == pytest.approx(200 / 3)
    assert figures["the same where the model's assumptions do not hold"].value is None


def test_without_a_broken_world_the_share_is_unknown_and_not_hundred() -> None:
    figures = {figure.name: figure for figure in overall_figures([reading([channel(0.05, 10)])])}
    assert figures["broken worlds that a check names"].value is None


def test_coverage_is_resampled_by_world() -> None:
    """Five channels that miss in one world are one event: the interval is as wide as two worlds make it."""
    readings = [reading([channel(0.5, 10)] * 5, seed=0), reading([channel(0.0, 10)] * 5, seed=1)]
    figures = {figure.name: figure for figure in family_figures("clean", readings)}
    coverage = figures["clean: coverage of 90 % intervals"]
    assert (coverage.value, coverage.n, coverage.low, coverage.high) == (50.0, 10, 0.0, 100.0)
    assert coverage.goal == "85 to 95 %"
