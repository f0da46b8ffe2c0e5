"""The packaged sentiment model on public validation texts that took no part in its training, and its throughput."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from liftos_pipelines.bench.figure import Figure, NoData

PUBLISHED_NGRAMS = 0.563
"""Mean macro-F1 of a comparable n-gram model on UMSAB's test split, recorded before this project."""
REPLICATES = 400


def measure(data: Path) -> Iterator[Figure]:
    """Macro-F1 over eight languages, calibration, language identification, emotion, irony, texts a second."""
    from liftos_pipelines.resources.sentiment_model import labelled_validation, packaged_model, validate

    if not (data / "sentiment" / "umsab").is_dir():
        raise NoData(f"{data / 'sentiment' / 'umsab'} is absent; set LIFTOS_SHARED_DATA to the public data sets")
    model = packaged_model()
    held = labelled_validation(data)
    began = time.perf_counter()
    p = model.probabilities(held.texts, held.languages)
    rate = len(held.texts) / (time.perf_counter() - began)
    labels, languages = np.asarray(held.labels), np.asarray(held.languages)
    low, high = _interval(p.argmax(axis=1), labels, languages)
    figures = validate(model, data)
    sentiment = figures["validation"]
    per_language = {name: part["macro_f1"] for name, part in sentiment["by_language"].items()}
    worst = min(per_language, key=lambda name: per_language[name])
    yield Figure(
        benchmark="sentiment",
        name="macro-F1, mean of 8 languages",
        value=float(np.mean(list(per_language.values()))),
        low=low,
        high=high,
        unit="",
        n=len(held.texts),
        goal=">= .58",
        method="UMSAB validation split; bootstrap over texts within language",
        baseline="n-gram model, test split, as recorded",
        baseline_value=PUBLISHED_NGRAMS,
    )
    yield Figure(
        benchmark="sentiment",
        name=f"macro-F1, worst language ({worst})",
        value=per_language[worst],
        unit="",
        n=int((languages == worst).sum()),
        method="the same texts",
    )
    yield Figure(
        benchmark="sentiment",
        name="calibration error",
        value=sentiment["all"]["ece"],
        unit="",
        n=len(held.texts),
        goal="<= .03",
        method="expected calibration error over all languages",
    )
    yield Figure(
        benchmark="sentiment",
        name="language identification",
        value=figures["language"]["accuracy"],
        unit="",
        n=len(held.texts),
        goal=">= .97",
        method="the same texts, romanised Hindi among them",
    )
    for name in ("emotion", "irony"):
        if name in figures:
            score = "macro_f1" if name == "emotion" else "f1_last_class"
            yield Figure(
                benchmark="sentiment",
                name=f"{name} F1",
                value=figures[name][score],
                unit="",
                n=int(figures[name]["n"]),
                method="TweetEval validation split",
            )
    yield Figure(
        benchmark="sentiment",
        name="throughput",
        value=rate,
        unit="texts/s",
        n=len(held.texts),
        goal=">= 2,000 on one core",
        method="class probabilities of the same texts, one pass, one process",
    )


def _interval(found: np.ndarray, labels: np.ndarray, languages: np.ndarray) -> tuple[float, float]:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(7)
    means = []
    for _ in range(REPLICATES):
        scores = []
        for language in np.unique(languages):
            rows = rng.choice(np.flatnonzero(languages == language), size=(languages == language).sum())
            scores.append(f1_score(labels[rows], found[rows], average="macro"))
        means.append(np.mean(scores))
    low, high = np.percentile(means, [5, 95])
    return float(low), float(high)
