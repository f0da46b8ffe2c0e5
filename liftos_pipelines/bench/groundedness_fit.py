"""Fits the packaged calibration of groundedness: on made summaries of the texts that may be fitted on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.bench.grounded_sources import FITTED, PER_DOCUMENT, article_texts
from liftos_pipelines.modules.llm.grounding.builtin import measure_output
from liftos_pipelines.modules.llm.grounding.calibration import Calibration, fit_calibration
from liftos_pipelines.simulate.grounded_texts import Summary, summaries

VERSION = "2"
SEED = 6


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Summaries with their features: values (n, k), truth (n,), what each came from."""

    names: list[str]
    values: NDArray[np.float64]
    unsupported: NDArray[np.bool_]
    rows: list[Summary]

    def where(self, kept: NDArray[np.bool_]) -> Measured:
        """The rows that are kept."""
        rows = [row for row, keep in zip(self.rows, kept, strict=True) if keep]
        return Measured(
            names=self.names,
            values=self.values[kept],
            unsupported=self.unsupported[kept],
            rows=rows,
        )

    @property
    def sources(self) -> NDArray[np.str_]:
        return np.array([row.source for row in self.rows])

    @property
    def families(self) -> NDArray[np.str_]:
        return np.array([row.family for row in self.rows])

    @property
    def styles(self) -> NDArray[np.str_]:
        return np.array([row.style for row in self.rows])


def made_summaries(data: Path, sources: tuple[str, ...], seed: int = SEED) -> list[Summary]:
    """Faithful and wrong summaries of every source."""
    texts = article_texts(data, sources)
    return [
        summary for name in sources for summary in summaries(texts[name], name, seed, per_document=PER_DOCUMENT[name])
    ]


def measured(rows: list[Summary]) -> Measured:
    """Features of summaries; those in which nothing can be checked are left out."""
    kept, found = [], []
    for row in rows:
        features = measure_output(row.output, row.context)
        if features is not None:
            kept.append(row)
            found.append(features)
    names = list(found[0].values)
    return Measured(
        names=names,
        values=np.array([[features.values[name] for name in names] for features in found]),
        unsupported=np.array([not row.supported for row in kept]),
        rows=kept,
    )


def fit(made: Measured, version: str = VERSION) -> Calibration:
    """Weights with each source counting alike."""
    sources = made.sources
    sizes = {name: int((sources == name).sum()) for name in set(sources.tolist())}
    weights = np.array([1 / sizes[name] for name in sources.tolist()])
    return fit_calibration(made.values, made.unsupported, made.names, version=version, weights=weights)


def train_groundedness(data: Path, out: Path) -> dict[str, Any]:
    """Fit, write the JSON, return what it was fitted on and its weights."""
    made = measured(made_summaries(data, FITTED))
    calibration = fit(made)
    out.parent.mkdir(parents=True, exist_ok=True)
    content = {**asdict(calibration), "fitted_on": list(FITTED), "summaries": len(made.rows), "seed": SEED}
    out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return {"summaries": len(made.rows), "intercept": calibration.intercept, **calibration.weights}
