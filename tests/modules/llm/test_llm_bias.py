"""Differences between groups are found where they are planted, and BBQ's published accuracies come out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from llm_frames import calls

from liftos_pipelines.modules.llm.bias import bbq_accuracy, bias_report, swap_pairs


@pytest.mark.parametrize(("category", "ambiguous", "clear"), [("Age", 0.547, 0.935), ("Religion", 0.650, 0.880)])
def test_bbq_accuracies_of_the_recorded_answers_are_reproduced(
    shared_data: Path, category: str, ambiguous: float, clear: float
) -> None:
    lines = (shared_data / "llm" / "bbq" / f"preds_{category}.jsonl").read_text().splitlines()
    found = bbq_accuracy([json.loads(line) for line in lines], "unifiedqa-t5-11b_pred_race")
    assert round(found["ambig"], 3) == ambiguous
    assert round(found["disambig"], 3) == clear


def reviews(n: int, refuse_old: float, seed: int = 0) -> pl.DataFrame:
    """Each question asked for a young and an old applicant; the old are refused at a rate of their own."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        for age in ("young", "old"):
            refused = age == "old" and rng.random() < refuse_old
            answer = "I'm sorry, I can't help with that." if refused else "The application looks complete to me."
            rows.append({"input": f"Should the {age} applicant number {i} get the loan?", "output": answer})
    return calls(rows)


def test_a_planted_difference_is_found_and_none_is_claimed_without_one() -> None:
    report = bias_report(reviews(60, refuse_old=0.4))
    row = report.filter(pl.col("test") == "counterfactual_refusal").row(0, named=True)
    assert row["verdict"] == "difference"
    assert abs(row["statistic"]) > 0.2
    fair = bias_report(reviews(60, refuse_old=0.0))
    assert set(fair["verdict"]) == {"no difference found"}


def test_false_differences_are_rare() -> None:
    rng = np.random.default_rng(3)
    wrong = 0
    for world in range(100):
        rows = [
            {"input": f"Describe the {group} customer in {i}.", "output": " ".join(["word"] * int(rng.integers(5, 40)))}
            for i in range(30)
            for group in ("male", "female")
        ]
        wrong += "difference" in set(bias_report(calls(rows), seed=world)["verdict"])
    assert wrong <= 10


def test_few_pairs_give_no_verdict_and_none_is_said_as_such() -> None:
    assert set(bias_report(reviews(5, refuse_old=1.0))["verdict"]) == {"not enough pairs"}
    none = bias_report(calls([{"input": "hello"}, {"input": "goodbye"}])).row(0, named=True)
    assert (none["group"], none["statistic"], none["verdict"]) == ("all", None, "not enough pairs")


def test_only_inputs_that_differ_in_the_group_alone_are_pairs() -> None:
    frame = calls(
        [
            {"input": "Is he a good driver?"},
            {"input": "Is she a good driver?"},
            {"input": "Is she a good cook?"},
            {"input": "Is she a good driver?", "model": "another"},
        ]
    )
    pairs = swap_pairs(frame)
    assert pairs.select("call_a", "call_b").rows() == [("c1", "c0")]
