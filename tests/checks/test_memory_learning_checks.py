"""The gates of what memory learned, on tables that are known to be good, bad, or too small to tell."""

from __future__ import annotations

from typing import Any

import dagster as dg
import polars as pl
import pytest

from liftos_pipelines.checks import memory_learning as checks
from liftos_pipelines.modules.memory.learning.patterns import SCHEMA
from liftos_pipelines.tables import table


def quality(**changed: tuple[float, float, float, int]) -> pl.DataFrame:
    good = {
        "hybrid-bm25|mrr": (0.02, 0.01, 0.03, 100), "hybrid-bm25|recall@10": (0.01, -0.01, 0.03, 100),
        "pattern|coverage": (0.5, 0.4, 0.6, 100), "pattern|accuracy": (0.9, 0.85, 0.95, 50),
        "pattern|brier": (0.1, 0.08, 0.12, 50), "base_rate|brier": (0.2, 0.18, 0.22, 50),
        "pattern|ece": (0.08, 0.06, 0.15, 50), "pattern|ece_if_calibrated": (0.1, 0.05, 0.15, 50),
        "pattern|abstention_new_topic": (0.92, 0.85, 0.97, 100), "recogniser|oos_auroc": (0.95, 0.9, 1.0, 100),
    }  # fmt: skip
    rows = [
        dict(zip(("method", "metric"), name.split("|"), strict=True)) | _numbers(v)
        for name, v in (good | changed).items()
    ]
    return pl.DataFrame(rows, schema=table("memory/retrieval_quality").columns, orient="row")


def _numbers(values: tuple[float, float, float, int]) -> dict[str, float]:
    return dict(zip(("value", "low", "high", "n"), values, strict=True))


def judge(check: Any, frame: pl.DataFrame) -> dg.AssetCheckResult:
    found = check(dg.build_asset_check_context(), frame)
    assert isinstance(found, dg.AssetCheckResult)
    assert all(isinstance(value.value, float | str) for value in found.metadata.values())
    return found


GATES = {
    checks.fusion_not_below_words_alone: {"hybrid-bm25|mrr": (-0.05, -0.08, -0.01, 100)},
    checks.patterns_not_below_the_base_rate: {"pattern|brier": (0.3, 0.25, 0.35, 50)},
    checks.chances_are_calibrated: {"pattern|ece": (0.3, 0.25, 0.35, 50)},
    checks.unknown_topics_are_noticed: {"pattern|abstention_new_topic": (0.5, 0.4, 0.6, 100)},
}


@pytest.mark.parametrize(("check", "harm"), GATES.items(), ids=lambda part: getattr(part, "__name__", ""))
def test_a_gate_passes_the_good_warns_of_the_bad_and_does_not_know_the_small(check: Any, harm: dict[str, Any]) -> None:
    assert judge(check, quality()).passed
    bad = judge(check, quality(**harm))
    assert not bad.passed
    assert bad.severity is dg.AssetCheckSeverity.WARN
    small = judge(check, quality(**harm).with_columns(n=pl.lit(8, dtype=pl.Int64)))
    assert small.passed
    assert "unknown" in str(small.metadata["status"].value)
    assert judge(check, quality().clear()).passed


def test_fusion_is_gated_in_recall_too() -> None:
    harmed = quality(**{"hybrid-bm25|recall@10": (-0.05, -0.08, -0.01, 100)})
    assert "recall@10" in str(judge(checks.fusion_not_below_words_alone, harmed).metadata["reason"].value)


def pattern(**changed: Any) -> pl.DataFrame:
    row = dict.fromkeys(SCHEMA) | {
        "abstained": False, "p_success": 0.8, "p_success_low": 0.6, "p_success_high": 0.9, "confidence": 0.95,
        "memory_ids": ["m1"],
    }  # fmt: skip
    return pl.DataFrame([row | changed], schema=SCHEMA, orient="row")


@pytest.mark.parametrize(
    ("changed", "fine"),
    [
        ({}, True),
        ({"p_success": 0.95}, False),
        ({"memory_ids": []}, False),
        ({"confidence": 1.2}, False),
        ({"abstained": True}, False),
        ({"abstained": True, "p_success": None, "reason": "no past context is similar enough"}, True),
        ({"abstained": True, "p_success": None, "reason": None}, False),
    ],
)
def test_a_pattern_that_contradicts_itself_stops_the_insights(changed: dict[str, Any], fine: bool) -> None:
    assert judge(checks.patterns_say_what_they_know, pattern(**changed)).passed is fine
