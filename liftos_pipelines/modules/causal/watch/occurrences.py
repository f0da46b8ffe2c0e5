"""What each occurrence of an event or treatment did, pull-forward included, against windows without it.

An occurrence's net effect is outcome less media and baseline over its weeks and the weeks after it, where the baseline
is estimated without any occurrence's weeks and without that window. The same is done for windows of the same length
that hold no occurrence: together they say how far such a number strays by chance, autocorrelation included. Three
effects of one sign out of three have probability 1/4 by chance, so signs alone are no evidence; the mean against that
of as many random windows is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.baseline import WITHIN

LEAST = 3
AFTER = 4
"""Weeks after an occurrence in which what was only brought forward is missing."""
LEAST_WINDOWS = 12
PERMUTATIONS = 20_000
ON = 0.5
"""A treatment is on where it is at least half as far from its usual value as at its farthest."""


@dataclass(frozen=True, kw_only=True)
class Recurring:
    """`effects` (n,), each occurrence's net effect as a share of the outcome expected without it; `p_value`: as many
    random windows have effects of one sign and a mean as far from zero; `sign_flip` the two-sided p of signs alone."""

    name: str
    effects: FloatArray
    p_value: float
    sign_flip: float
    first: date
    last: date
    after: int

    @property
    def mean(self) -> float:
        return float(self.effects.mean())

    @property
    def same_sign(self) -> bool:
        return bool(np.all(self.effects > 0) or np.all(self.effects < 0))


def recurring_effects(fitted: Fitted, seed: int = 0) -> list[Recurring]:
    """All treatments and events of a model with `LEAST` occurrences and enough weeks without them."""
    found = []
    for name, columns, on in _terms(fitted):
        one = net_effects(fitted, name, columns, on, seed)
        if one is not None:
            found.append(one)
    return found


def net_effects(
    fitted: Fitted, name: str, columns: list[int], on: NDArray[np.bool_], seed: int = 0
) -> Recurring | None:
    """Effects of one term's occurrences; None with fewer than `LEAST`, or too few weeks to compare with.

    Parameters
    ----------
    columns : of the baseline, which the term has; on : (n_weeks,), weeks in which it takes place
    """
    design = fitted.design
    _, geos, weeks = design.shape
    runs = _runs(on)
    spans = [(start, min(stop + AFTER, weeks, *(s for s, _ in runs if s >= stop))) for start, stop in runs]
    # An occurrence whose weeks after are still to come has not been seen to its end.
    spans = [span for span, (_, stop) in zip(spans, runs, strict=True) if stop + AFTER <= weeks]
    if len(spans) < LEAST:
        return None
    taken = np.zeros(weeks, dtype=bool)
    for start, stop in runs:
        taken[start : min(stop + AFTER, weeks)] = True
    length = round(float(np.mean([stop - start for start, stop in spans])))
    free = [s for s in range(weeks - length + 1) if not taken[s : s + length].any()]
    if len(free) < LEAST_WINDOWS or weeks - taken.sum() < 2 * length:
        return None
    mean = fitted.media.residual(fitted.draws.thin(200)).mean(axis=(0, 1))
    kept = [i for i in range(design.baseline.shape[1]) if i not in columns]
    terms = design.baseline.reshape(geos, weeks, -1).mean(axis=0)[:, kept]
    variance = float(np.mean(fitted.draws.sigma**2) / geos + np.mean(fitted.draws.week_sigma**2))
    expected = _expected(fitted, mean, terms, variance, taken)

    def effect(start: int, stop: int) -> float:
        used = ~taken
        used[start:stop] = False
        foreseen = terms[start:stop] @ _ridge(terms[used], mean[used], variance)
        gained = (mean[start:stop] - foreseen) * design.scales.spread
        if design.log:
            return float(np.expm1(gained).mean())
        return float(gained.sum() / expected[start:stop].sum())

    effects = np.array([effect(start, stop) for start, stop in spans])
    chance = np.array([effect(start, start + length) for start in free])
    rng = np.random.default_rng([seed, len(free)])
    picked = rng.random((PERMUTATIONS, len(free))).argpartition(len(spans), axis=1)[:, : len(spans)]
    drawn = chance[picked]
    one_sign = np.all(drawn > 0, axis=1) | np.all(drawn < 0, axis=1)
    as_far = np.abs(drawn.mean(axis=1)) >= abs(effects.mean())
    return Recurring(
        name=name,
        effects=effects,
        p_value=float(((one_sign & as_far).sum() + 1) / (PERMUTATIONS + 1)),
        sign_flip=float(min(1.0, 2.0 ** (1 - len(effects)))),
        first=design.weeks[spans[0][0]],
        last=design.weeks[spans[-1][1] - 1],
        after=AFTER,
    )


def _terms(fitted: Fitted) -> list[tuple[str, list[int], NDArray[np.bool_]]]:
    """Events and treatments: name, columns, and the weeks in which they take place in any geo."""
    design = fitted.design
    _, geos, weeks = design.shape
    out = []
    named = [name.removesuffix(WITHIN) for name in design.columns]
    for name in dict.fromkeys(n for n in named if n.startswith("event_")):
        mine = [i for i, own in enumerate(named) if own == name]
        size = np.abs(design.baseline[:, mine]).max(axis=1).reshape(geos, weeks).max(axis=0)
        out.append((name.removeprefix("event_"), mine, size > 0))
    for treatment in design.treatments:
        size = np.abs(treatment.change).max(axis=1).reshape(geos, weeks).max(axis=0)
        out.append((treatment.name, list(treatment.columns), size > ON * max(float(size.max()), 1e-300)))
    return out


def _runs(on: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First week and the week after the last of each unbroken run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(int), [0]])))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _ridge(terms: FloatArray, y: FloatArray, variance: float) -> FloatArray:
    """Posterior mean of coefficients with Normal(0, 1) priors."""
    return np.asarray(np.linalg.solve(terms.T @ terms + variance * np.eye(terms.shape[1]), terms.T @ y))


def _expected(
    fitted: Fitted, mean: FloatArray, terms: FloatArray, variance: float, taken: NDArray[np.bool_]
) -> FloatArray:
    """(n_weeks,), outcome per head expected without the term, media included; never below a tenth of its median."""
    design = fitted.design
    level = terms @ _ridge(terms[~taken], mean[~taken], variance) + (design.y.mean(axis=0) - mean)
    per_head = float(design.scales.centre.mean()) + level * design.scales.spread
    return np.asarray(np.maximum(per_head, 0.1 * np.median(np.abs(per_head))))
