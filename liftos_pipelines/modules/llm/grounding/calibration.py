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
CONFLICTS = frozenset(
    (
        "strange_names", "wrong_numbers", "directions", "swaps", "polarity", "roles", "strange_kinds", "denied",
        "sweeping",
    )
)  # fmt: skip
"""Something said against the context weighs more, beforehand, than something said in other words."""
SHRINKAGE = 0.02
"""Strength of the pull towards the common weight, per output."""
NOVELTY = frozenset(("unknown_words", "new_pairs", "new_fours", "scattered", "broken", "jumps"))
"""How far an output is from the context's wording, true or not."""
FEATURES = CONFLICTS | NOVELTY | frozenset(("inserted_words", "grafts", "loose_names", "loose_numbers", "opened"))
"""Everything that `features.output_features` measures."""
BEND, SLOPE = 0.7, 0.07
"""Weighted novelty up to which it counts in full, and the share of what goes beyond that counts."""


class CalibrationError(ValueError):
    """A calibration file that is not one, or of other features."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Weights of the features for "not supported", the intercept, and where novelty bends.

    Texts in other words look less supported than copied ones whatever their truth. Beyond `bend`, novelty therefore
    counts by `slope` only, so that between rewritten outputs the typed conflicts decide; more novelty never counts
    for an output.
    """

    version: str
    weights: Mapping[str, float]
    intercept: float
    bend: float
    slope: float

    def logit(self, values: Mapping[str, float]) -> float:
        """Log odds that the output is supported."""
        new = conflicts = 0.0
        for name, weight in self.weights.items():
            if name in NOVELTY:
                new += weight * values[name]
            else:
                conflicts += weight * values[name]
        return -(self.intercept + conflicts + min(new, self.bend) + self.slope * max(0.0, new - self.bend))

    def probability(self, values: Mapping[str, float]) -> float:
        """Probability that the output is supported."""
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, self.logit(values)))))


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
            bend=float(content["bend"]),
            slope=float(content["slope"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CalibrationError(f"{file}: not a groundedness calibration: {error!r}") from error
    strange = sorted(weights.keys() - FEATURES)
    if strange:
        raise CalibrationError(f"{file}: no such feature: {', '.join(strange)}")
    numbers = [*weights.values(), made.intercept, made.bend, made.slope]
    if not weights or not all(math.isfinite(value) for value in numbers) or min(*weights.values(), made.slope) < 0:
        raise CalibrationError(f"{file}: weights and slope must be finite and not negative")
    return made


def fit_calibration(
    values: NDArray[np.float64],
    unsupported: NDArray[np.bool_],
    names: list[str],
    *,
    version: str,
    weights: NDArray[np.float64] | None = None,
) -> Calibration:
    """Weights by penalised likelihood; the intercept again once novelty is bent.

    Parameters
    ----------
    values : (n, k) features in [0, 1], larger where support is weaker
    unsupported : (n,) truth
    weights : (n,) weight of each row; equal where not given
    """
    from scipy.optimize import brentq, minimize

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
    against = values * best[:-1]
    is_new = np.array([name in NOVELTY for name in names])
    new = against[:, is_new].sum(axis=1)
    bent = against[:, ~is_new].sum(axis=1) + np.minimum(new, BEND) + SLOPE * np.maximum(0.0, new - BEND)
    intercept = brentq(lambda b: float(share @ (1 / (1 + np.exp(-bent - b)) - truth)), -20.0, 20.0)
    return Calibration(
        version=version,
        weights={name: round(float(w), 4) for name, w in zip(names, best[:-1], strict=True)},
        intercept=round(float(intercept), 4),
        bend=BEND,
        slope=SLOPE,
    )
