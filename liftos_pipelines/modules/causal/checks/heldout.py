"""Whether the model foretells weeks it has not seen: accuracy, skill against two plain baselines, honest intervals.

Coverage and PIT are judged against what they would be if the model were right. Weeks of one fold share the error of
their trend, geos that of their week, so neither has a binomial law; but the predictions are joint draws, and each draw,
taken as if it had happened, gives one value of the statistic. Folds are put together at random: given what was known
when each began, their errors are independent if the model is right (Dawid 1984, Statistical theory: the prequential
approach).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from liftos_pipelines.modules.causal.checks.check import Check, judged, limits, unknown
from liftos_pipelines.modules.causal.checks.forecast import without_media
from liftos_pipelines.modules.causal.checks.gate import Gate
from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.design import YEAR_WEEKS, Design
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.stats import cluster_bootstrap, percentile_interval

if TYPE_CHECKING:
    import arviz as az

HELDOUT = ("heldout_accuracy", "holdout_skill", "media_skill", "interval_coverage", "pit_uniformity")
REPLICATES = 4000


@dataclass(frozen=True, kw_only=True)
class Heldout:
    """All folds, the oldest first. `predicted[f]` (n_samples, n_geos, n_ahead), `actual[f]` (n_geos, n_ahead),
    `begins[f]`: position of the fold's first week in the design."""

    predicted: tuple[FloatArray, ...]
    actual: tuple[FloatArray, ...]
    begins: tuple[int, ...]
    ahead: int

    @classmethod
    def of(cls, data: az.InferenceData, design: Design) -> Heldout:
        folds = data.predictions
        ahead = int(folds.sizes["ahead"])
        begins = tuple(design.weeks.index(date.fromisoformat(str(day))) for day in folds["first_week"].to_numpy()[::-1])
        return cls(
            predicted=tuple(folds["outcome"].to_numpy()[::-1]),
            actual=tuple(design.outcome[:, begin : begin + ahead] for begin in begins),
            begins=begins,
            ahead=ahead,
        )

    @property
    def places(self) -> np.ndarray:
        """Positions of all held-out weeks."""
        return np.concatenate([np.arange(begin, begin + self.ahead) for begin in self.begins])


def heldout_checks(data: az.InferenceData, design: Design, spec: ModelSpec) -> list[Check]:
    """Newest weeks as fits without them foresaw them, media and controls known."""
    gate = spec.gate
    if "predictions" not in data.groups():
        reason = "no back-test: causal.holdout_weeks or causal.folds is 0, or there are too few weeks"
        return [unknown(name, gate, reason) for name in HELDOUT]
    held = Heldout.of(data, design)
    return [*_accuracy_checks(held, design, spec), *_calibration_checks(held, gate, spec.seed)]


def _accuracy_checks(held: Heldout, design: Design, spec: ModelSpec) -> list[Check]:
    gate, places = spec.gate, held.places
    seen = np.concatenate([actual.sum(axis=0) for actual in held.actual])
    foreseen = np.concatenate([np.median(predicted.sum(axis=1), axis=0) for predicted in held.predicted])
    label = f"{len(places)} weeks in {len(held.begins)} back-test(s), all geos together"
    accuracy = _accuracy(seen, foreseen)
    low, high = percentile_interval(
        cluster_bootstrap(np.arange(len(places)), lambda rows: _accuracy(seen[rows], foreseen[rows]), seed=spec.seed)
    )
    checks = [judged("heldout_accuracy", accuracy, gate, f"1 - wMAPE; {label}", n=len(places), low=low, high=high)]
    total = design.outcome.sum(axis=0)
    year = round(YEAR_WEEKS)
    # Where there is no year before, the last week seen stands for it.
    before = np.where(places >= year, places - year, np.repeat([begin - 1 for begin in held.begins], held.ahead))
    weeks = len(design.weeks)
    plain = np.concatenate(
        [without_media(design, spec, weeks - begin).sum(axis=0)[begin : begin + held.ahead] for begin in held.begins]
    )
    year_before = "the same weeks a year before" if places.min() >= year else "a year before, or the last week seen"
    rivals = {"holdout_skill": (year_before, total[before]), "media_skill": ("the baseline without media", plain)}
    for name, (words, rival) in rivals.items():
        theirs = _accuracy(seen, rival)
        replicates = cluster_bootstrap(
            np.arange(len(places)),
            lambda rows, rival=rival: (  # type: ignore[misc]
                _accuracy(seen[rows], foreseen[rows]) - _accuracy(seen[rows], rival[rows])
            ),
            seed=spec.seed,
        )
        low, high = percentile_interval(replicates)
        detail = f"accuracy above that of {words} ({theirs:.3f}); {label}"
        checks.append(judged(name, accuracy - theirs, gate, detail, n=len(places), low=low, high=high))
    return checks


def _accuracy(actual: FloatArray, predicted: FloatArray) -> float:
    size = float(np.abs(actual).sum())
    return 1 - float(np.abs(actual - predicted).sum()) / size if size > 0 else float("nan")


def _calibration_checks(held: Heldout, gate: Gate, seed: int) -> list[Check]:
    """Share of geo-weeks inside their interval, and distance of their ranks from uniform, each with a p-value."""
    rng = np.random.default_rng([seed, 11])
    inside, inside_null, ranks, ranks_null = [], [], [], []
    for predicted, actual in zip(held.predicted, held.actual, strict=True):
        low, high = np.quantile(predicted, [0.05, 0.95], axis=0)
        rows = rng.integers(len(predicted), size=REPLICATES)
        inside.append((actual >= low) & (actual <= high))
        inside_null.append(((predicted >= low) & (predicted <= high)).mean(axis=(1, 2))[rows])
        ranks.append((predicted < actual).mean(axis=0).ravel())
        order = predicted.argsort(axis=0).argsort(axis=0) / len(predicted)
        ranks_null.append((order.reshape(len(order), -1), rows))
    coverage = float(np.mean(inside))
    null = np.mean(inside_null, axis=0)
    p = float((1 + (null <= coverage).sum()) / (1 + REPLICATES))
    level = limits("interval_coverage", gate).warn
    count = int(np.size(inside))
    seen = np.array(_misfit(np.concatenate(ranks)[None]))[:, 0]
    # In steps: with many geos all replicates at once would be gigabytes.
    alike = np.concatenate(
        [
            np.array(_misfit(np.concatenate([order[rows[i : i + 500]] for order, rows in ranks_null], axis=1)))
            for i in range(0, REPLICATES, 500)
        ],
        axis=1,
    )
    above = (1 + (alike >= seen[:, None]).sum(axis=1)) / (1 + REPLICATES)
    below = (1 + (alike <= seen[:, None]).sum(axis=1)) / (1 + REPLICATES)
    # Far from uniform in shape, or too close to the middle or the ends: two questions, the second with two sides.
    p_ranks = float(min(1.0, 2 * min(above[0], 2 * above[1], 2 * below[1])))
    middle = float(np.mean(np.concatenate(ranks)))
    return [
        judged(
            "interval_coverage",
            coverage,
            gate,
            f"share of {count} geo-weeks inside their 90 % interval; p-value {p:.3g} if the model is right",
            by=p,
            threshold=None if level is None else float(np.quantile(null, level)),
            n=count,
        ),
        judged(
            "pit_uniformity",
            p_ranks,
            gate,
            f"p-value of {count} ranks among their predictions being uniform; mean rank {middle:.2f}, 0.5 expected",
            n=count,
        ),
    ]


def _misfit(ranks: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(n, k) -> twice (n,): Cramer-von Mises distance from uniform, and mean distance from the middle."""
    k = ranks.shape[1]
    even = (np.arange(k) + 0.5) / k
    return ((np.sort(ranks, axis=1) - even) ** 2).mean(axis=1), np.abs(ranks - 0.5).mean(axis=1)
