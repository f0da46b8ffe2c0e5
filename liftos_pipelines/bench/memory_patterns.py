"""Pattern recognition: topics of Banking77, advice in simulated worlds, and insights against a planted causal truth.

Choices (readings, sharpness, shrinkage, features) were made on splits of Banking77's training file and on simulated
worlds 7 to 16; the test file and worlds 100 to 129 are only measured here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.bench.figure import Figure, NoData
from liftos_pipelines.modules.memory.learning.familiarity import auroc
from liftos_pipelines.modules.memory.learning.probes import OFF_TOPIC
from liftos_pipelines.modules.memory.learning.recogniser import Recogniser
from liftos_pipelines.modules.memory.learning.recognition_quality import expected_calibration_error, surest
from liftos_pipelines.stats import cluster_bootstrap, percentile_interval, wilson_interval

Array = NDArray[np.float64]
Words = NDArray[np.str_]
Encode = Callable[[list[str]], NDArray[np.float32]]

SEED, EACH, DRAWS, HIDDEN, REPLICATES = 7, 30, 3, 0.2, 500
HIDINGS = 5
WORLDS = range(100, 130)
INSIGHTS = 2_000
NAME = "memory"


def measure(data: Path) -> Iterator[Figure]:
    """Figures of pattern recognition, each beside what is simpler."""
    from liftos_pipelines.resources.embedder import open_embedder

    encode = open_embedder().encode
    yield from _insights()
    yield from _worlds(encode)
    folder = data / "memory" / "banking77"
    if not (folder / "test.csv").is_file():
        raise NoData(f"{folder} is absent; set LIFTOS_SHARED_DATA to the public data sets")
    train, test = (pl.read_csv(folder / f"{split}.csv") for split in ("train", "test"))
    yield from _recognition(train, test, encode)
    yield from _unknown(train, test, encode)


@dataclass(frozen=True, kw_only=True)
class Labelled:
    texts: list[str]
    vectors: NDArray[np.float32]
    labels: Words

    @classmethod
    def of(cls, frame: pl.DataFrame, encode: Encode) -> Labelled:
        texts = frame["text"].to_list()
        return cls(texts=texts, vectors=encode(texts), labels=frame["category"].to_numpy().astype(str))

    def only(self, kept: NDArray[np.bool_]) -> Labelled:
        texts = [text for text, keep in zip(self.texts, kept, strict=True) if keep]
        return Labelled(texts=texts, vectors=self.vectors[kept], labels=self.labels[kept])

    def learnt(self) -> Recogniser:
        return Recogniser.of(self.texts, self.vectors, self.labels.tolist())


def _drawn(train: pl.DataFrame, seed: int) -> pl.DataFrame:
    shuffled = train.sample(fraction=1.0, shuffle=True, seed=seed)
    return shuffled.group_by("category", maintain_order=True).head(EACH)


def _recognition(train: pl.DataFrame, test: pl.DataFrame, encode: Encode) -> Iterator[Figure]:
    asked = Labelled.of(test, encode)
    found: dict[str, list[Array]] = {name: [] for name in ("right", "sure", "knn", "knn_sure", "centroid")}
    for draw in range(DRAWS):
        known = Labelled.of(_drawn(train, SEED + draw), encode)
        said = known.learnt().recognise(asked.texts, asked.vectors)
        found["right"].append((said.best == asked.labels).astype(float))
        found["sure"].append(said.sure)
        guess, sure = _nearest(asked.vectors @ known.vectors.T, known.labels)
        found["knn"].append((guess == asked.labels).astype(float))
        found["knn_sure"].append(sure)
        found["centroid"].append((_centroid(asked.vectors, known) == asked.labels).astype(float))
    whole = {name: np.concatenate(values) for name, values in found.items()}
    question = np.tile(np.arange(len(asked.texts)), DRAWS)
    majority = float((test["category"] == test["category"].mode().sort()[0]).mean() or 0.0)
    about = f"Banking77 test, {EACH} examples of each of 77 intents, {DRAWS} draws of examples"
    rivals = f"centroid {whole['centroid'].mean():.3f}, majority {majority:.3f}"
    kept, kept_knn = _surest_of_each(found["sure"]), _surest_of_each(found["knn_sure"])
    for name, values, groups, goal, rival, beside in (
        ("topic accuracy", whole["right"], question, ">= 0.91", whole["knn"].mean(), rivals),
        (
            "topic accuracy at 80 % coverage",
            whole["right"][kept],
            question[kept],
            ">= 0.96",
            whole["knn"][kept_knn].mean(),
            "surest by its own probability; nearest by vote share times similarity",
        ),
    ):
        low, high = _interval(values, groups)
        yield Figure(
            benchmark=NAME, name=name, value=float(values.mean()), low=low, high=high, unit="", n=int(values.size),
            goal=goal, method=f"{about}; beside: {beside}", baseline="10 nearest vote", baseline_value=float(rival),
        )  # fmt: skip

    def error(rows: NDArray[np.int64]) -> float:
        return expected_calibration_error(whole["sure"][rows], whole["right"][rows], bins=15)

    low, high = percentile_interval(cluster_bootstrap(question, error, seed=SEED, replicates=REPLICATES))
    raw = expected_calibration_error(np.clip(whole["knn_sure"], 0, 1), whole["knn"], bins=15)
    yield Figure(
        benchmark=NAME, name="topic calibration error", value=error(np.arange(question.size)), low=low, high=high,
        unit="", n=question.size, goal="<= 0.05", method=f"expected calibration error, 15 equal bins; {about}",
        baseline="vote share times similarity", baseline_value=raw,
    )  # fmt: skip


def _surest_of_each(sure: list[Array]) -> NDArray[np.bool_]:
    return np.concatenate([surest(part, 0.8) for part in sure])


def _nearest(similar: NDArray[np.float32], labels: Words, k: int = 10) -> tuple[Words, Array]:
    """The label most of the k nearest agree on, and vote share times largest similarity."""
    guessed, sure = [], []
    for row in similar:
        nearest = np.argsort(-row, kind="stable")[:k]
        names, codes = np.unique(labels[nearest], return_inverse=True)
        votes = np.bincount(codes, weights=row[nearest])
        guessed.append(str(names[votes.argmax()]))
        sure.append(float(votes.max() / votes.sum() * row[nearest[0]]))
    return np.array(guessed), np.array(sure)


def _centroid(vectors: NDArray[np.float32], known: Labelled) -> Words:
    names = np.unique(known.labels)
    means = np.stack([known.vectors[known.labels == name].mean(axis=0) for name in names])
    return names[(vectors @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(axis=1)]


def _unknown(train: pl.DataFrame, test: pl.DataFrame, encode: Encode) -> Iterator[Figure]:
    whole, asked = Labelled.of(_drawn(train, SEED), encode), Labelled.of(test, encode)
    far = encode(list(OFF_TOPIC))
    names = np.unique(whole.labels)
    related = _by_relation(whole, names)
    for name, hidings, what in (
        ("unknown intents, AUROC", [_chance(names, draw) for draw in range(HIDINGS)], "intents drawn at random"),
        ("unknown subjects, AUROC", [related(draw) for draw in range(HIDINGS)], "groups of like intents"),
    ):
        ours, plain, wrongly, answered, right, off = [], [], [], [], [], []
        for hidden in hidings:
            known = whole.only(~np.isin(whole.labels, hidden))
            learnt = known.learnt()
            said = learnt.recognise(asked.texts, asked.vectors)
            inside = ~np.isin(asked.labels, hidden)
            similar = (asked.vectors @ known.vectors.T).max(axis=1).astype(float)
            ours.append(auroc(said.familiarity[inside], said.familiarity[~inside]))
            plain.append(auroc(similar[inside], similar[~inside]))
            wrongly.append(said.known[~inside].mean())
            answered.append(said.known[inside].mean())
            right.append((said.best == asked.labels)[inside & said.known].mean())
            elsewhere = learnt.recognise(list(OFF_TOPIC), far)
            off.append(auroc(said.familiarity[inside], elsewhere.familiarity))
        told = (
            f"Banking77, {what}, {HIDDEN:.0%} of 77 hidden, {HIDINGS} hidings; answered although unknown "
            f"{np.mean(wrongly):.3f} (promised .10; never abstain 1, always abstain 0), known answered "
            f"{np.mean(answered):.3f} of which right {np.mean(right):.3f}; AUROC against off-topic questions "
            f"{np.mean(off):.3f}"
        )
        spread = np.std(ours, ddof=1) / np.sqrt(HIDINGS) * 1.645
        yield Figure(
            benchmark=NAME, name=name, value=float(np.mean(ours)), low=float(np.mean(ours) - spread),
            high=float(np.mean(ours) + spread), unit="", n=len(asked.texts) * HIDINGS, goal=">= 0.94", method=told,
            baseline="largest similarity", baseline_value=float(np.mean(plain)),
        )  # fmt: skip


def _chance(names: Words, draw: int) -> Words:
    rng = np.random.default_rng(1000 + draw)
    return rng.permutation(names)[: round(HIDDEN * names.size)]


def _by_relation(whole: Labelled, names: Words) -> Callable[[int], Words]:
    """Hidings of related intents: an intent drawn at random and those nearest to it, by the examples' means."""
    means = np.stack([whole.vectors[whole.labels == name].mean(axis=0) for name in names])
    means /= np.linalg.norm(means, axis=1, keepdims=True)

    def hidden(draw: int) -> Words:
        first = np.random.default_rng(2000 + draw).integers(names.size)
        return names[np.argsort(-(means @ means[first]), kind="stable")[: round(HIDDEN * names.size)]]

    return hidden


def _worlds(encode: Encode) -> Iterator[Figure]:
    from liftos_pipelines.bench.memory_worlds import Told, ask_worlds

    told: Told = ask_worlds(WORLDS, encode)
    about = f"simulated worlds {WORLDS.start} to {WORLDS.stop - 1}, contexts in words no stored one uses"

    def mean(name: str, values: Array, groups: NDArray[np.int64], beside: str, **more: object) -> Figure:
        low, high = _interval(values, groups)
        return Figure(
            benchmark=NAME, name=name, value=float(values.mean()), low=low, high=high, unit="", n=int(values.size),
            method=f"{about}; {beside}", **more,  # type: ignore[arg-type]
        )  # fmt: skip

    yield mean("contexts that patterns answer", told.answered, told.answered_world, "always abstain 0, never abstain 1")
    yield mean(
        "contexts of an unknown kind answered", told.unknown_answered, told.unknown_world,
        "each kind of situation in turn taken out of memory; never abstain 1, always abstain 0", goal="<= 0.10",
    )  # fmt: skip
    yield mean(
        "best action first", told.best, told.best_world, "of answered contexts", baseline="chance",
        baseline_value=told.chance,
    )  # fmt: skip
    yield mean(
        "sure directions that are right", told.sure_right, told.sure_world, "confidence above .8",
        baseline="base rate's direction", baseline_value=told.sure_base,
    )  # fmt: skip
    yield mean(
        "chance of success within its interval", told.covered, told.rate_world,
        "true rates within .005 of a bound count as inside", goal="0.90",
    )  # fmt: skip

    def error(rows: NDArray[np.int64]) -> float:
        return expected_calibration_error(told.said[rows], told.rate[rows])

    low, high = percentile_interval(cluster_bootstrap(told.rate_world, error, seed=SEED, replicates=REPLICATES))
    base = np.full(told.rate.size, told.base_rate)
    yield Figure(
        benchmark=NAME, name="calibration error of chances of success", value=error(np.arange(told.said.size)), low=low,
        high=high, unit="", n=int(told.said.size), goal="<= 0.05",
        method=f"{about}; ten equal bins, true success rate of the action in its kind of situation; calibration slope "
        f"{told.slope:.2f}; Brier score {_brier(told.said, told.rate):.3f}, base rate {_brier(base, told.rate):.3f}",
        baseline="counting successes (Beta)", baseline_value=expected_calibration_error(told.counted, told.rate),
    )  # fmt: skip


def _brier(said: Array, rate: Array) -> float:
    return float((rate * (1 - said) ** 2 + (1 - rate) * said**2).mean())


def _interval(values: Array, groups: NDArray[np.int64]) -> tuple[float, float]:
    def statistic(rows: NDArray[np.int64]) -> float:
        return float(values[rows].mean())

    return percentile_interval(cluster_bootstrap(groups, statistic, seed=SEED, replicates=REPLICATES))


def _insights() -> Iterator[Figure]:
    """A tenth more or less money on a channel whose true marginal return is known, by a model that knows it to 12 %."""
    from liftos_pipelines.modules.memory.learning.validation import Conditions, Curve, validate

    rng, spend, error = np.random.default_rng(SEED), 1e6, 0.12
    grid = np.linspace(0, 2 * spend, 41)
    stopped, wrong, through, right, inside, known = 0, 0, 0, 0, 0, 0
    for _ in range(INSIGHTS):
        slope = float(np.exp(rng.normal(0, 0.7)))
        believed, more = slope * float(np.exp(rng.normal(0, error))), bool(rng.random() < 0.5)
        factor = np.exp(1.645 * error)
        response = 2 * believed * spend * np.sqrt(grid / spend)
        curve = Curve(
            spend=grid, response=response, low=response / factor, high=response * factor, observed=2 * spend,
            current=spend, unit="revenue",
        )  # fmt: skip
        now = Conditions(
            channels=("tv",), margins={"tv": (believed / factor, believed * factor)}, planned={}, curves={"tv": curve},
            problem=None,
        )  # fmt: skip
        found = validate(f"{'increase' if more else 'cut'} tv by 10 %", True, None, now)
        share = 1.1 if more else 0.9
        gain = 2 * slope * spend * (np.sqrt(share) - 1) - (share - 1) * spend
        if found.low is not None and found.high is not None:
            known, inside = known + 1, inside + (found.low <= gain <= found.high)
        if gain > 0:
            right, through = right + 1, through + (found.status == "validated")
        else:
            wrong, stopped = wrong + 1, stopped + (found.status != "validated")
    about = f"{INSIGHTS:,} simulated channels, marginal return known to 12 %, money moved by a tenth"
    for name, count, of, rival, beside in (
        ("wrong insights stopped", stopped, wrong, "validate all", "validate none 1"),
        ("right insights let through", through, right, "validate none", "validate all 1"),
        ("predicted gain within its interval", inside, known, None, "promised .90"),
    ):
        low, high = wilson_interval(count, of)
        yield Figure(
            benchmark=NAME, name=name, value=count / of, low=low, high=high, unit="", n=of, method=f"{about}; {beside}",
            baseline=rival, baseline_value=0.0 if rival else None,
        )  # fmt: skip
