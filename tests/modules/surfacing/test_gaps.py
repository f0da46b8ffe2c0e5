"""Prompt gaps and source gaps: found where they are, silent where the brand is named, never without a comparison."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from liftos_pipelines.modules.surfacing.visibility.gaps import prompt_gaps, source_gaps
from liftos_pipelines.tables import table
from liftos_pipelines.text import Name

from .worlds import mention_frame

BRANDS = [Name(name="Acme", domains=("acme.example",)), Name(name="Globex", domains=("globex.example",))]


def world() -> tuple[pl.DataFrame, pl.DataFrame]:
    """20 prompts x 2 runs: even prompts name Globex alone and cite gap.example, odd ones name both and cite fair.example."""
    mentions, answers = [], []
    for p in range(20):
        for run in range(2):
            gap = p % 2 == 0
            answer_id, moment = f"p{p}:{run}", datetime(2025, 2, 3, tzinfo=UTC)
            for brand in ("Acme", "Globex"):
                named = brand == "Globex" or not gap
                mentions.append(
                    {"answer_id": answer_id, "engine": "one", "prompt_id": f"p{p}", "brand": brand, "own": brand == "Acme",
                     "mentioned": named, "rank": 1 if named else None, "asked_at": moment}
                )  # fmt: skip
            host = "gap.example" if gap else "fair.example"
            answers.append(
                {"answer_id": answer_id, "asked_at": moment, "engine": "one", "prompt_id": f"p{p}", "prompt": f"question {p}",
                 "run": str(run), "text": "x", "citations": [f"https://{host}/a", "https://both.example/b", "https://globex.example/c"]}
            )  # fmt: skip
    return mention_frame(mentions), table("sources/answers").conform(pl.DataFrame(answers))


def test_prompts_that_name_a_competitor_and_not_the_brand_are_listed_with_their_wording() -> None:
    gaps = prompt_gaps(*world()).filter(pl.col("engine") == "all")
    assert set(gaps["prompt_id"]) == {f"p{p}" for p in range(0, 20, 2)}
    assert set(gaps["competitor"]) == {"Globex"}
    assert set(gaps["brand_rate"]) == {0.0}
    assert gaps["never"].all()
    assert gaps["high"].min() > 0.3  # type: ignore[operator]  # two runs without the brand prove little
    assert "question 0" in set(gaps["prompt"])


def test_sources_of_gap_answers_are_told_from_sources_of_all_answers() -> None:
    gaps = source_gaps(*world(), BRANDS).filter(pl.col("engine") == "all")
    by_domain = {row["domain"]: row for row in gaps.iter_rows(named=True)}
    assert set(by_domain) == {"gap.example", "both.example", "globex.example"}
    assert by_domain["gap.example"]["share"] == pytest.approx(1)
    assert by_domain["gap.example"]["lift"] is None  # never cited where the brand is named
    assert by_domain["both.example"]["lift"] == pytest.approx(1)
    assert by_domain["globex.example"]["owner"] == "Globex"
    assert by_domain["both.example"]["gap_answers"] == 20
    assert by_domain["both.example"]["prompts"] == 10
    assert 0.7 < by_domain["gap.example"]["low"] < 1  # ten prompts, whatever the number of runs


def test_nothing_named_or_no_brand_is_no_gap() -> None:
    mentions, answers = world()
    silent = mentions.with_columns(mentioned=pl.lit(False), rank=pl.lit(None, dtype=pl.Int64))
    assert prompt_gaps(silent, answers).is_empty()
    assert source_gaps(silent, answers, BRANDS).is_empty()
    assert prompt_gaps(mentions.clear(), answers.clear()).is_empty()
    assert source_gaps(mentions, answers, []).is_empty()
