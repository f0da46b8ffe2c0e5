"""Texts of public sets that stand in as articles, and RAGChecker's human preferences over answers.

Two of them may only be measured on, never fitted on: `MEASURED_ONLY`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liftos_pipelines.bench.figure import NoData

FITTED = ("ragchecker", "ragchecker answers", "halueval")
"""Apache-2.0, Apache-2.0 and MIT: weights fitted on them may ship."""
MEASURED_ONLY = ("news pages", "product answers")
PER_DOCUMENT = {"ragchecker": 6, "ragchecker answers": 6, "halueval": 2, "news pages": 24, "product answers": 3}
"""Faithful summaries made of each text, so that no source drowns another."""
_MOST = 400


@dataclass(frozen=True, kw_only=True)
class Preference:
    """Two answers to one question; `preferred` is positive where people found the second more correct."""

    query: str
    truth: str
    first: str
    second: str
    preferred: float


def article_texts(data: Path, names: tuple[str, ...] = FITTED + MEASURED_ONLY) -> dict[str, list[str]]:
    """Texts by source, longest sources cut to 400 texts.

    Raises
    ------
    NoData : a source's file is not there
    """
    readers = {
        "ragchecker": lambda: {row["gt_answer"] for row in _ragchecker(data)},
        "ragchecker answers": lambda: {row[m]["response"] for row in _ragchecker(data) for m in ("model1", "model2")},
        "halueval": lambda: {r["chatgpt_response"] for r in _lines(data / "llm" / "halueval" / "general_data.json")},
        "news pages": lambda: {
            str(page["articleBody"])
            for page in json.loads(_read(data / "surfacing" / "pages" / "ground-truth.json")).values()
        },
        "product answers": lambda: {
            row["response"]
            for file in sorted((data / "surfacing" / "ai_product_bench").rglob("run_1.jsonl"))
            for row in _lines(file)
        },
    }
    least = {"halueval": 85, "product answers": 150}
    return {
        name: sorted(text for text in readers[name]() if len(text.split()) >= least.get(name, 120))[:_MOST]
        for name in names
    }


def preferences(data: Path) -> list[Preference]:
    """RAGChecker's pairs on whose correctness neither annotator contradicts the other and at least one decides."""
    votes: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for row in _ragchecker(data):
        key = (row["query"], row["gt_answer"], row["model1"]["response"], row["model2"]["response"])
        votes[key].append(float(row["correctness_label"]))
    return [
        Preference(query=key[0], truth=key[1], first=key[2], second=key[3], preferred=sum(given) / len(given))
        for key, given in votes.items()
        if sum(given) and min(given) * max(given) >= 0
    ]


def unreferenced(data: Path) -> list[tuple[str, str, bool]]:
    """HaluEval's general questions and answers with people's verdict (hallucinated or not); no reference is given."""
    rows = _lines(data / "llm" / "halueval" / "general_data.json")
    return [(row["user_query"], row["chatgpt_response"], row["hallucination"] == "yes") for row in rows]


def _ragchecker(data: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(_read(data / "llm" / "ragchecker" / "human_labeled_data.json"))
    return rows


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _read(file).split("\n") if line.strip()]


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise NoData(f"{file} is not there") from error
