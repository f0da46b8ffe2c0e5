"""From features to the probability that an output is supported: one logistic function with signs that are known.

Weights are bounded below by zero (every feature grows as support weakens) and shrunk towards one common weight, which
transfers to other texts better than weights free to fit the texts at hand (Dawes 1979, improper linear models).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PRIOR_WEIGHT = 1.0
CONFLICT_PRIOR = 3.0
CONFLICTS = frozenset(("strange_names", "wrong_numbers", "directions", "swaps", "polarity", "roles"))
"""Something said against the context weighs more, beforehand, than something said in other words."""
SHRINKAGE = 0.02
"""Strength of the pull towards the common weight, per output."""
FEATURES = CONFLICTS | frozenset(
    (
        "unknown_words",
        "new_pairs",
        "new_fours",
        "scattered",
        "broken",
        "jumps",
        "grafts",
        "loose_names",
        "loose_numbers",
    )
)
"""Everything that `features.output_features` measures."""
REWRITTEN = 0.6
"""Share of new word pairs from which an output counts as rewritten altogether."""


class CalibrationError(ValueError):
    """A calibration file that is not one, or of other features."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Weights of the features for "not supported", an intercept, and what a rewritten output is given on top.

    Texts in other words look less supported than copied ones whatever their truth: `rewritten` is the difference of
    the two regimes' intercepts, since their base rates and their usual novelty differ.
    """

    version: str
    weights: Mapping[str, float]
    intercept: float
    rewritten: float

    def logit(self, values: Mapping[str, float], rewriting: float) -> float:
        """Log odds that the output is supported."""
        against = sum(weight * values[name] for name, weight in self.weights.items())
        return -(self.intercept + against - self.rewritten * rewritten_share(rewriting))

    def probability(self, values: Mapping[str, float], rewriting: float) -> float:
        """Probability that the output is supported."""
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, self.logit(values, rewriting)))))


def rewritten_share(rewriting: float) -> float:
    """How far an output counts as rewritten, in [0, 1], by its share of word pairs the context has nowhere."""
    return min(1.0, rewriting / REWRITTEN)


def read_calibration(content: Any, *, file: str) -> Calibration:
    """A calibration from its JSON.

    Raises
    ------
    CalibrationError : naming the file and what is wrong
    """
    try:
        weights = {str(name): float(value) for name, value in content["weights"].items()}
        made = Calibration(
            version=str(content["version"]),
            weights=weights,
            intercept=float(content["intercept"]),
            rewritten=float(content["rewritten"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CalibrationError(f"{file}: not a groundedness calibration: {error!r}") from error
    strange = sorted(weights.keys() - FEATURES)
    if strange:
        raise CalibrationError(f"{file}: no such feature: {', '.join(strange)}")
    numbers = [*weights.values(), made.intercept, made.rewritten]
    if not weights or not all(math.isfinite(value) for value in numbers) or min(weights.values()) < 0:
        raise CalibrationError(f"{file}: weights must be finite and not negative")
    return made


def fit_calibration(
    values: NDArray[np.float64],
    unsupported: NDArray[np.bool_],
    names: list[str],
    *,
    version: str,
    weights: NDArray[np.float64] | None = None,
) -> Calibration:
    """Weights and intercept by penalised likelihood; the regimes' difference is left at 0 (`centred` sets it).

    Parameters
    ----------
    values : (n, k) features in [0, 1], larger where support is weaker
    unsupported : (n,) truth
    weights : (n,) weight of each row; equal where not given
    """
    from scipy.optimize import minimize

    n, k = values.shape
    share = np.full(n, 1 / n) if weights is None else weights / weights.sum()
    truth = unsupported.astype(float)
    prior = np.array([CONFLICT_PRIOR if name in CONFLICTS else PRIOR_WEIGHT for name in names])

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logit = values @ parameters[:-1] + parameters[-1]
        off = parameters[:-1] - prior
        miss = share * (1 / (1 + np.exp(-logit)) - truth)
        value = float(share @ (np.logaddexp(0, logit) - truth * logit)) + SHRINKAGE * float(off @ off) / 2
        return value, np.append(values.T @ miss + SHRINKAGE * off, miss.sum())

    start = np.append(prior, -1.0)
    bounds = [(0.0, None)] * k + [(None, None)]
    best = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    return Calibration(
        version=version,
        weights={name: round(float(w), 4) for name, w in zip(names, best[:-1], strict=True)},
        intercept=round(float(best[-1]), 4),
        rewritten=0.0,
    )
