"""Visibility: the metrics' definitions, and intervals that hold when answers to a prompt resemble each other."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from scipy import stats

from liftos_pipelines.modules.surfacing import METRICS, visibility
from liftos_pipelines.modules.surfacing.visibility import _prompt_weights, ratio_intervals
from liftos_pipelines.tables import table

from .worlds import mention_frame

LEVEL, ICC = 0.9, 0.8


def rows(named: dict[str, dict[str, int | None]], engine: str = "e") -> list[dict[str, object]]:
    """Answers by id (`prompt:answer`) -> brand -> rank."""
    return [
        {
            "answer_id": answer, "engine": engine, "prompt_id": answer.split(":")[0], "brand": brand, "own": brand == "Acme",
            "mentioned": rank is not None, "rank": rank, "asked_at": datetime(2025, 2, 3, tzinfo=UTC),
            "citations": 4, "brand_citations": 1 if brand == "Acme" and rank == 1 else 0,
        }
        for answer, ranks in named.items()
        for brand, rank in ranks.items()
    ]  # fmt: skip


def test_metrics_are_what_their_definitions_say() -> None:
    frame = mention_frame(
        rows({
            "p1:1": {"Acme": 1, "Globex": 2}, "p1:2": {"Acme": None, "Globex": 1},
            "p2:1": {"Acme": 4, "Globex": 1}, "p2:2": {"Acme": None, "Globex": None},
        })
    )  # fmt: skip
    values = visibility(frame).filter((pl.col("engine") == "all") & (pl.col("brand") == "Acme"))
    assert dict(values.select("metric", "value").iter_rows()) == pytest.approx(
        {
            "mention_rate": 2 / 4,
            "share_of_voice": 2 / 5,
            "top1_rate": 1 / 4,
            "top3_rate": 1 / 4,
            "citation_share": 1 / 16,
        }
    )
    assert set(values["n_prompts"]) == {2}
    assert set(values["n_answers"]) == {4}
    assert set(values["period"]) == {"2025-02"}


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
    assert set(result["interval"]) == {"unknown"}
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
    """Share of 90 % intervals that hold the true rate: ours, and one that takes answers as independent."""
    rng = np.random.default_rng(seed)
    a, b = rate * (1 - ICC) / ICC, (1 - rate) * (1 - ICC) / ICC
    named = rng.binomial(answers, rng.beta(a, b, (prompts, streams))).astype(float)
    value, low, high, _ = ratio_intervals(
        named, np.full_like(named, answers), _prompt_weights(prompts, 600, seed), LEVEL
    )
    half = stats.norm.ppf(0.95) * np.sqrt(value * (1 - value) / (prompts * answers))
    return float(((low <= rate) & (rate <= high)).mean()), float((np.abs(value - rate) <= half).mean())


@pytest.mark.parametrize("prompts", [20, 40, 120])
def test_intervals_cover_under_within_prompt_correlation_and_naive_ones_do_not(prompts: int) -> None:
    ours, naive = coverage(prompts, 6, 0.3, 600, seed=prompts)
    assert ours > 0.86
    assert naive < 0.65


@pytest.mark.slow
@pytest.mark.parametrize("prompts", [10, 20, 33, 60, 132])
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3, 0.5])
def test_coverage_over_the_grid(prompts: int, rate: float) -> None:
    ours, naive = coverage(prompts, 6, rate, 4000, seed=1)
    assert 0.85 <= ours <= 0.96
    assert naive < 0.65
