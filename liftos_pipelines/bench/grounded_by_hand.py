"""Groundedness on articles with summaries written by hand (`grounded_by_hand.yaml`): three styles, true and false."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from liftos_pipelines.bench.figure import Figure
from liftos_pipelines.modules.llm.grounding.judge import Judge

FILE = Path(__file__).with_name("grounded_by_hand.yaml")
STYLES = {
    "extractive": "two or three sentences copied or compressed",
    "abstractive": "one sentence in new words",
    "modern": "a fluent paragraph in new words",
}
SPLITS = ("development", "held")
"""Checks may be mended on the first; of the second only the figures are looked at."""
DRAWS = 300


@dataclass(frozen=True, kw_only=True)
class HandWritten:
    """A summary of an article, whether it is true to it, and if not what is wrong."""

    article: str
    context: str
    split: str
    style: str
    output: str
    supported: bool
    error: str = ""


def hand_written() -> list[HandWritten]:
    """All summaries: of each article and style one true and one false."""
    return [
        HandWritten(
            article=entry["id"],
            context=entry["article"],
            split=entry["split"],
            style=style,
            output=entry[style][kind],
            supported=kind == "faithful",
            error="" if kind == "faithful" else entry[style]["error"],
        )
        for entry in yaml.safe_load(FILE.read_text(encoding="utf-8"))
        for style in STYLES
        if style in entry
        for kind in ("faithful", "unfaithful")
    ]


def by_hand(judge: Judge, auroc: Callable[[NDArray[np.float64], NDArray[np.bool_]], float]) -> Iterator[Figure]:
    """AUROC and balanced accuracy at 0.5 of each split and style, the length beside; intervals over articles."""
    rows = hand_written()
    for split in SPLITS:
        for style, written in STYLES.items():
            here = [row for row in rows if row.split == split and row.style == style]
            scores = np.array([judge.probability(row.output, row.context) for row in here], dtype=float)
            truth = np.array([row.supported for row in here])
            lengths = -np.array([float(len(row.output.split())) for row in here])
            names = np.array([row.article for row in here])
            for measure, of, nothing in (
                ("AUROC", auroc, auroc(lengths, truth)),
                ("balanced accuracy", _balanced, 0.5),
            ):
                low, high = _interval(of, scores, truth, names)
                yield Figure(
                    benchmark="llm",
                    name=f"{measure}, written by hand, {style} ({split})",
                    value=of(scores, truth),
                    unit="",
                    method=f"{written}; {len(here) // 2} articles; interval over articles",
                    n=len(here),
                    low=low,
                    high=high,
                    baseline="shorter is supported" if measure == "AUROC" else "one answer for all",
                    baseline_value=nothing,
                )


def _balanced(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    return float(((scores >= 0.5)[truth].mean() + (scores < 0.5)[~truth].mean()) / 2)


def _interval(
    of: Callable[[NDArray[np.float64], NDArray[np.bool_]], float],
    scores: NDArray[np.float64],
    truth: NDArray[np.bool_],
    articles: NDArray[np.str_],
) -> tuple[float, float]:
    """90 % interval over resampled articles; each has one true and one false text of a style."""
    rng = np.random.default_rng(7)
    members = [np.flatnonzero(articles == name) for name in np.unique(articles)]
    draws = []
    for _ in range(DRAWS):
        rows = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        draws.append(of(scores[rows], truth[rows]))
    low, high = np.percentile(draws, [5, 95])
    return float(low), float(high)
