"""Visibility: the metrics' definitions, and intervals that hold when answers to a prompt resemble each other."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from scipy import stats

from liftos_pipelines.modules.surfacing import METRICS
from liftos_pipelines.modules.surfacing.visibility.intervals import ratio_intervals
from liftos_pipelines.modules.surfacing.visibility.prompt_groups import prompt_groups
from liftos_pipelines.modules.surfacing.visibility.visibility import visibility
from liftos_pipelines.tables import table
from liftos_pipelines.text import Name

from .worlds import mention_frame

LEVEL, ICC = 0.9, 0.8


def rows(named: dict[str, dict[str, int | None]], engine: str = "e") -> list[dict[str, object]]:
    """Answers by id (`prompt:answer`) -> brand -> rank."""
    return [
        {
            "answer_id": answer, "engine": engine, "prompt_id": answer.split(":")[0], "brand": brand, "own": brand == "Acme",
            "mentioned": rank is not None, "rank": rank, "asked_at": datetime(2025, 2, 3, tzinfo=UTC),
            "citations": 4, "brand_citations": 1 if brand == "Acme" and rank == 1 else 0,
            "cited": brand == "Acme" and rank == 1,
        }
        for answer, ranks in named.items()
        for brand, rank in ranks.items()
    ]  # fmt: skip


def test_metrics_are_what_their_definitions_say() -> None:
    frame = mention_frame(
        rows({
            "p1:1": {"Acme": 1, "Globex": 2}, "p1:2": {"Acme": None, "Globex": 1}, "p1:3": {"Acme": None, "Globex": 2},
            "p2:1": {"Acme": 4, "Globex": 1}, "p2:2": {"Acme": None, "Globex": None},
        })
    )  # fmt: skip
    values = visibility(frame).filter((pl.col("engine") == "all") & (pl.col("brand") == "Acme"))
    assert dict(values.select("metric", "value").iter_rows()) == pytest.approx(
        {
            "mention_rate": 2 / 5,
            "share_of_voice": 2 / 6,
            "answer_share": 2 / 4,
            "top1_rate": 1 / 5,
            "top3_rate": 1 / 5,
            "win_rate": 1 / 4,
            "citation_rate": 1 / 5,
            "citation_share": 1 / 20,
            "prompt_coverage": 2 / 2,
            "prompt_majority": 0 / 2,
        }
    )
    assert set(values["n_prompts"]) == {2}
    assert set(values["n_answers"]) == {5}
    assert set(values["period"]) == {"2025-02"}
    wins = visibility(frame).filter((pl.col("engine") == "all") & (pl.col("metric") == "win_rate"))
    assert wins["value"].sum() == pytest.approx(1)  # an answer that names anybody has one win to give


def test_groups_of_prompts_come_from_the_panel_by_id_or_wording_and_from_the_brand_s_name() -> None:
    answers = pl.DataFrame(
        {
            "prompt_id": ["best-1", "x", "y", "z"],
            "prompt": ["any text", "What are the BEST boots?", "Is Acme good?", None],
        }
    )
    panel = [
        {"prompt_id": "best-1", "prompt": "other", "intent": "discovery", "stage": "awareness"},
        {"prompt_id": "best-2", "prompt": "What are the best boots", "intent": "comparison", "stage": "decision"},
    ]
    found = prompt_groups(answers, panel, Name(name="Acme"))
    assert set(found.select("prompt_id", "group").iter_rows()) == {
        ("best-1", "intent:discovery"), ("best-1", "stage:awareness"), ("best-1", "unbranded"),
        ("x", "intent:comparison"), ("x", "stage:decision"), ("x", "unbranded"), ("y", "branded"),
    }  # fmt: skip


def test_each_group_is_measured_on_its_own_prompts() -> None:
    frame = mention_frame(
        rows(
            {"p1:1": {"Acme": 1, "Globex": None}, "p2:1": {"Acme": None, "Globex": 1}, "p3:1": {"Acme": 1, "Globex": 1}}
        )
    )
    groups = pl.DataFrame({"prompt_id": ["p1", "p2"], "dimension": ["wording"] * 2, "group": ["branded", "unbranded"]})
    rates = visibility(frame, groups).filter(
        (pl.col("engine") == "e") & (pl.col("metric") == "mention_rate") & (pl.col("brand") == "Acme")
    )
    assert dict(rates.select("group", "value").iter_rows()) == pytest.approx(
        {"all": 2 / 3, "branded": 1.0, "unbranded": 0.0}
    )


def test_engines_are_reported_apart_and_together_and_intervals_hold_their_value() -> None:
    rng = np.random.default_rng(0)
    named = {f"p{p}:{i}": {"Acme": 1 if rng.random() < 0.4 else None, "Globex": 2} for p in range(30) for i in range(3)}
    frame = mention_frame(rows(named, "one") + rows({f"{k}b": v for k, v in named.items()}, "two"))
    result = visibility(frame)
    assert set(result["engine"]) == {"one", "two", "all"}
    assert result.height == 3 * 2 * len(METRICS)
    known = result.drop_nulls("value")
    assert ((known["low"] <= known["value"]) & (known["value"] <= known["high"])).all()
    assert table("surfacing/visibility").conform(result).height == result.height


def test_one_prompt_gives_no_interval_and_unmeasured_citations_no_value() -> None:
    frame = mention_frame(rows({"p1:1": {"Acme": 1}, "p1:2": {"Acme": 1}})).with_columns(
        brand_citations=pl.lit(None, dtype=pl.Int64)
    )
    result = visibility(frame)
    assert result["low"].null_count() == result.height
    assert result["icc"].null_count() == result.height
    assert result.filter(pl.col("metric") == "citation_share")["value"].null_count() == 2


def test_unreadable_answers_do_not_count_as_answers_without_the_brand() -> None:
    frame = mention_frame(rows({"p1:1": {"Acme": 1}, "p2:1": {"Acme": 1}}))
    broken = mention_frame(rows({"p3:1": {"Acme": None}})).with_columns(mentioned=pl.lit(None, dtype=pl.Boolean))
    result = visibility(pl.concat([frame, broken])).filter(pl.col("metric") == "mention_rate")
    assert set(result["value"]) == {1.0}
    assert set(result["n_answers"]) == {2}


def test_certainty_is_not_claimed_when_no_prompt_differs() -> None:
    everywhere = visibility(mention_frame(rows({f"p{p}:{i}": {"Acme": 1} for p in range(8) for i in range(50)})))
    low = everywhere.filter(pl.col("metric") == "mention_rate")["low"].min()
    assert isinstance(low, float)
    assert 0.5 < low < 0.9  # 400 answers, but only eight prompts


def test_the_leader_is_a_probability_and_ties_share_it() -> None:
    named = {f"p{p}:1": {"Acme": 1, "Globex": 1 if p % 4 else None, "Hooli": 1} for p in range(40)}
    leads = visibility(mention_frame(rows(named))).filter(
        (pl.col("metric") == "mention_rate") & (pl.col("engine") == "e")
    )
    chances = dict(leads.select("brand", "p_highest").iter_rows())
    assert chances["Acme"] == pytest.approx(0.5, abs=0.02)
    assert chances["Globex"] < 0.05
    assert sum(chances.values()) == pytest.approx(1)


def coverage(prompts: int, answers: int, rate: float, streams: int, seed: int) -> tuple[float, float]:
    """Share of 90 % intervals that hold the true rate: ours, and one that takes answers as independent.

    Rates vary by a quarter about `rate`: a count is discrete, so coverage at one exact rate swings by some points
    about its level, with any method (Brown, Cai and DasGupta 2001). Every stream stands alone in its panel, so
    nothing is borrowed from other brands.
    """
    rng = np.random.default_rng(seed)
    rates = rate * np.exp(rng.uniform(-0.25, 0.25, streams))
    a, b = rates * (1 - ICC) / ICC, (1 - rates) * (1 - ICC) / ICC
    named = rng.binomial(answers, rng.beta(a, b, (prompts, streams))).astype(float)
    asked = np.full_like(named, answers)
    found = [ratio_intervals(named[:, [s]], asked[:, [s]], LEVEL) for s in range(streams)]
    value, low, high = (np.array([one[part][0] for one in found]) for part in range(3))
    half = stats.norm.ppf(0.95) * np.sqrt(value * (1 - value) / (prompts * answers))
    return float(((low <= rates) & (rates <= high)).mean()), float((np.abs(value - rates) <= half).mean())


@pytest.mark.parametrize("prompts", [10, 33, 132])
@pytest.mark.parametrize("answers", [1, 3])
def test_intervals_cover_under_within_prompt_correlation_and_naive_ones_do_not(prompts: int, answers: int) -> None:
    ours, naive = coverage(prompts, answers, 0.3, 1000, seed=prompts)
    assert 0.87 <= ours <= 0.94
    assert answers == 1 or naive < 0.78


@pytest.mark.slow
@pytest.mark.parametrize("prompts", [10, 20, 33, 60, 132])
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("answers", [1, 2, 3])
def test_coverage_over_the_grid(prompts: int, rate: float, answers: int) -> None:
    ours, naive = coverage(prompts, answers, rate, 3000, seed=1)
    assert 0.865 <= ours <= 0.945
    assert answers == 1 or naive < 0.8
