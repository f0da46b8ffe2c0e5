"""The benchmark: changes on the same prompts, slopes, stability against chance, and gaps that add up."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.surfacing.visibility.benchmark import benchmark, paired_change
from liftos_pipelines.modules.surfacing.visibility.decomposition import gap_decomposition
from liftos_pipelines.modules.surfacing.visibility.stability import stability

from .worlds import mention_frame

NAMES = ("Acme", "Globex", "Hooli")
ICC = 0.8


def world(
    seed: int,
    rates: list[list[float]],
    *,
    prompts: int = 30,
    runs: int = 2,
    engines: tuple[str, ...] = ("one",),
    mix: list[int] | None = None,
) -> pl.DataFrame:
    """Months of answers; `rates[month]` are the brands' mean rates, prompts keep their leanings from month to month.

    Brands that are named stand in random order; a page of a brand is cited half the time, named or not. `mix[month]`
    asks odd prompts that many times as often.
    """
    rng = np.random.default_rng(seed)
    shared = rng.random((prompts, len(NAMES)))
    rows: list[dict[str, object]] = []
    from scipy import stats

    for month, means in enumerate(rates):
        mean = np.array(means)
        k = 1 / ICC - 1
        leaning = stats.beta.ppf(shared, mean * k, (1 - mean) * k)
        for engine in engines:
            for p in range(prompts):
                for run in range(runs * (mix[month] if mix and p % 2 else 1)):
                    named = rng.random(len(NAMES)) < leaning[p]
                    order = rng.permutation(np.flatnonzero(named)).tolist()
                    cited = rng.random(len(NAMES)) < 0.5
                    rows += [
                        {"answer_id": f"{month}-{engine}-{p}-{run}", "engine": engine, "prompt_id": f"p{p}", "brand": brand,
                         "own": b == 0, "mentioned": bool(named[b]), "rank": 3 * order.index(b) + 1 if named[b] else None,
                         "asked_at": datetime(2025, 1 + month, 3, tzinfo=UTC), "cited": bool(cited[b]), "citations": 4,
                         "brand_citations": int(cited[b])}
                        for b, brand in enumerate(NAMES)
                    ]  # fmt: skip
    return mention_frame(rows)


def of(frame: pl.DataFrame, **wanted: object) -> dict[str, object]:
    (row,) = frame.filter([pl.col(name) == value for name, value in wanted.items()]).iter_rows(named=True)
    return row


def test_level_change_and_slope_stand_side_by_side_and_absent_history_is_null() -> None:
    steady = [0.5, 0.4, 0.2]
    rates = [[0.2 + 0.05 * month, 0.4, 0.2] for month in range(6)]
    rising = of(benchmark(world(0, rates, prompts=80)), engine="one", brand="Acme", metric="mention_rate")
    assert rising["compared_with"] == "2025-05"
    assert rising["paired_prompts"] == 80
    assert rising["slope_low"] < 0.05 < rising["slope_high"]  # type: ignore[operator]
    assert rising["slope_low"] > 0  # type: ignore[operator]
    assert rising["quarter_change_low"] < 0.15 < rising["quarter_change_high"]  # type: ignore[operator]
    first = of(benchmark(world(0, [steady])), engine="all", brand="Acme", metric="mention_rate")
    assert first["change"] is None
    assert first["slope"] is None
    assert first["compared_with"] is None
    assert first["low"] < first["value"] < first["high"]  # type: ignore[operator]


def test_changes_on_the_same_prompts_cover_and_are_sharper_than_levels_compared() -> None:
    rng, held, unpaired, widths = np.random.default_rng(1), [], [], []
    k, size, repeats = 1 / ICC - 1, 40, 3
    for _ in range(400):
        old, new = 0.4, 0.3
        shared = rng.random((size, 1))
        moved = np.where(rng.random((size, 1)) < 0.2, rng.random((size, 1)), shared)  # a fifth of prompts drawn anew
        from scipy import stats

        before = rng.binomial(repeats, stats.beta.ppf(shared, old * k, (1 - old) * k)).astype(float)
        after = rng.binomial(repeats, stats.beta.ppf(moved, new * k, (1 - new) * k)).astype(float)
        asked = np.full((size, 1), float(repeats))
        names = [f"p{p}" for p in range(size)]
        found = paired_change(names, (after, asked), names, (before, asked))
        assert found is not None
        _, low, high, _ = found
        held.append(low[0] <= new - old <= high[0])
        widths.append(high[0] - low[0])
        errors = [(part / repeats).std(ddof=1) / np.sqrt(size) for part in (before, after)]
        unpaired.append(2 * 1.68 * np.hypot(*errors))
    assert 0.86 <= np.mean(held) <= 0.96
    assert np.mean(widths) < 0.75 * np.mean(unpaired)


def test_other_prompts_are_no_change() -> None:
    old, new = world(2, [[0.6, 0.3, 0.2]]), world(3, [[0.2, 0.3, 0.2]])
    new = new.with_columns(
        asked_at=pl.lit(datetime(2025, 2, 3, tzinfo=UTC)),
        answer_id="n" + pl.col("answer_id"),
        prompt_id="n" + pl.col("prompt_id"),
    )
    row = of(benchmark(pl.concat([old, new])), engine="one", brand="Acme", metric="mention_rate")
    assert row["change"] is None
    assert row["paired_prompts"] == 0


def test_ranks_that_moved_lie_below_chance_and_ranks_that_did_not_do_not() -> None:
    still = stability(world(4, [[0.7, 0.4, 0.1]] * 2, prompts=60, runs=4))
    moved = stability(world(4, [[0.7, 0.4, 0.1], [0.1, 0.4, 0.7]], prompts=60, runs=4))
    for found, wanted in ((still, 1.0), (moved, -1.0)):
        assert of(found, engine="one", scope="period_to_period", measure="kendall")["value"] == pytest.approx(wanted)
        assert of(found, engine="one", scope="split_runs", measure="kendall")["value"] > 0.9  # type: ignore[operator]
    sets = of(moved, engine="one", scope="period_to_period", measure="jaccard")
    runs = of(moved, engine="one", scope="run_to_run", measure="jaccard")
    assert sets["high"] < runs["low"]  # type: ignore[operator]
    one_month = stability(world(4, [[0.7, 0.4, 0.1]], runs=1))
    assert of(one_month, engine="one", scope="period_to_period", measure="kendall")["value"] is None
    assert of(one_month, engine="one", scope="run_to_run", measure="jaccard")["value"] is None


GROUPS = pl.DataFrame(
    [(f"p{p}", "intent", f"intent:{'odd' if p % 2 else 'even'}") for p in range(24)],
    schema=["prompt_id", "dimension", "group"],
    orient="row",
)


def test_every_decomposition_adds_up_to_its_gap_exactly() -> None:
    frame = world(5, [[0.3, 0.6, 0.2], [0.4, 0.5, 0.2]], engines=("one", "two"), mix=[1, 3])
    found = gap_decomposition(frame, GROUPS)
    assert set(found["dimension"]) == {"engine", "intent", "answer"}
    by = ["engine", "metric", "dimension"]
    for kinds in (["level"], ["mix", "rate"]):
        sums = (
            found.filter(pl.col("component").is_in(kinds))
            .group_by(by)
            .agg(pl.col("value").sum(), pl.col("total").first())
        )
        assert sums["value"].to_list() == pytest.approx(sums["total"].to_list(), abs=1e-12)
    newest = frame.filter(pl.col("asked_at").dt.month() == 2)
    rates = dict(newest.group_by("brand").agg(pl.col("mentioned").mean()).iter_rows())
    row = found.filter(
        (pl.col("engine") == "all") & (pl.col("metric") == "mention_rate") & (pl.col("component") == "level")
    )
    assert set(row["competitor"]) == {"Globex"}
    assert row["total"].to_list() == pytest.approx([rates["Acme"] - rates["Globex"]] * row.height)
    known = found.drop_nulls("low")
    assert ((known["low"] <= known["value"] + 1e-12) & (known["value"] <= known["high"] + 1e-12)).mean() > 0.95


def test_a_gap_that_lies_in_one_group_is_found_there_and_a_changed_mix_is_not_taken_for_a_change() -> None:
    rows = []
    for month in (1, 2):
        for p in range(24):
            for run in range(2 * (3 if month == 2 and p % 2 else 1)):
                for brand in ("Acme", "Globex"):
                    named = brand == "Globex" or p % 2 == 0  # the brand is missing where prompts are odd, always
                    rows.append(
                        {"answer_id": f"{month}-{p}-{run}", "engine": "one", "prompt_id": f"p{p}", "brand": brand,
                         "own": brand == "Acme", "mentioned": named, "rank": 1 if named else None,
                         "asked_at": datetime(2025, month, 3, tzinfo=UTC), "cited": p % 4 == 1, "citations": 1, "brand_citations": 0}
                    )  # fmt: skip
    found = gap_decomposition(mention_frame(rows), GROUPS).filter(
        (pl.col("engine") == "one") & (pl.col("metric") == "mention_rate")
    )
    level = {
        row["part"]: row["value"]
        for row in found.filter((pl.col("dimension") == "intent") & (pl.col("component") == "level")).iter_rows(
            named=True
        )
    }
    assert level == pytest.approx({"intent:even": 0.0, "intent:odd": -0.75})
    change = found.filter((pl.col("dimension") == "intent") & (pl.col("component") != "level"))
    assert change.filter(pl.col("component") == "rate")["value"].to_list() == pytest.approx([0, 0])
    assert change.filter(pl.col("component") == "mix")["value"].sum() == pytest.approx(-0.25)
    ends = {row["part"]: row["value"] for row in found.filter(pl.col("dimension") == "answer").iter_rows(named=True)}
    assert ends == pytest.approx({"cited, not named": -0.375, "neither named nor cited": -0.375})


def test_without_a_competitor_or_a_brand_there_is_no_gap() -> None:
    frame = world(6, [[0.5, 0.4, 0.2]])
    assert gap_decomposition(frame.filter("own")).is_empty()
    assert gap_decomposition(frame.with_columns(own=pl.lit(False))).is_empty()
    assert benchmark(frame.clear()).is_empty()
    assert stability(frame.clear()).is_empty()
