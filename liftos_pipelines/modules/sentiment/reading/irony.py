"""Irony as widened uncertainty: where a text sounds ironic, its sentiment is stated less surely, never turned round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Widening:
    """`(1 - strength * r) * p + strength * r * spread` with r the probability of irony.

    `strength` in [0, 1], 0 where no gain was shown: irony is then a flag and changes no probability. `spread` (3,) is
    how ironic-sounding texts are labelled on average, so the mixture keeps what is known of them.
    """

    strength: float
    spread: Array

    def apply(self, probabilities: Array, irony: Array) -> Array:
        """(n, 3) widened probabilities; rows whose irony is NaN stay as they are."""
        share = self.strength * np.nan_to_num(irony, nan=0.0)[:, None]
        return (1 - share) * probabilities + share * self.spread


NO_WIDENING = Widening(strength=0.0, spread=np.full(3, 1 / 3))


def fit_widening(probabilities: Array, irony: Array, labels: Ints, *, prior: float = 30.0) -> Widening:
    """The strength under which held-out labels are most likely.

    `prior` texts with an even distribution steady `spread`, which weighs each text by its probability of irony.
    """
    counts = np.zeros(3)
    np.add.at(counts, labels, irony)
    spread = (counts + prior / 3) / (counts.sum() + prior)

    def loss(strength: float) -> float:
        p = Widening(strength=strength, spread=spread).apply(probabilities, irony)
        return log_loss(p, labels)

    found = optimize.minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-3})
    strength = float(found.x) if found.fun < loss(0.0) else 0.0
    return Widening(strength=strength, spread=spread)


def checked_widening(
    probabilities: Array, irony: Array, labels: Ints, *, seed: int, folds: int = 5, above: float = 0.5
) -> tuple[Widening, dict[str, float]]:
    """A widening that is used only where it helps texts left out of its fit.

    Returns
    -------
    the widening fitted on all texts when log loss on left-out texts with irony above `above` falls and log loss on
    all texts does not rise, else `NO_WIDENING`; and the figures of both
    """
    fold = np.random.default_rng(seed).permutation(labels.size) % folds
    wider = probabilities.copy()
    for k in range(folds):
        rest, left = fold != k, fold == k
        wider[left] = fit_widening(probabilities[rest], irony[rest], labels[rest]).apply(
            probabilities[left], irony[left]
        )
    ironic = irony > above
    figures = {"n": float(labels.size), "n_ironic": float(ironic.sum())}
    for name, rows in (("all", np.ones(labels.size, dtype=bool)), ("ironic", ironic)):
        if rows.any():
            figures[f"log_loss_before_{name}"] = log_loss(probabilities[rows], labels[rows])
            figures[f"log_loss_after_{name}"] = log_loss(wider[rows], labels[rows])
            figures[f"accuracy_{name}"] = float((probabilities[rows].argmax(axis=1) == labels[rows]).mean())
            figures[f"confidence_before_{name}"] = float(probabilities[rows].max(axis=1).mean())
            figures[f"confidence_after_{name}"] = float(wider[rows].max(axis=1).mean())
    helps = bool(ironic.any()) and (
        figures["log_loss_after_ironic"] < figures["log_loss_before_ironic"]
        and figures["log_loss_after_all"] <= figures["log_loss_before_all"]
    )
    return (fit_widening(probabilities, irony, labels) if helps else NO_WIDENING), figures


def log_loss(probabilities: Array, labels: Ints) -> float:
    """Mean negative log probability of the true label."""
    return float(-np.log(np.clip(probabilities[np.arange(labels.size), labels], 1e-12, 1.0)).mean())
