"""Irony widens a stated probability only where left-out texts show that it should, and never turns it round."""

from __future__ import annotations

import numpy as np

from liftos_pipelines.modules.sentiment.reading.irony import (
    NO_WIDENING,
    Widening,
    checked_widening,
    fit_widening,
    log_loss,
)


def _world(n: int, seed: int, misled: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A calibrated reader, and texts that sound ironic; in a share `misled` of those the label is any of the three."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet((0.6, 0.6, 0.6), size=n)
    labels = np.array([rng.choice(3, p=row) for row in p])
    irony = np.where(rng.random(n) < 0.3, 0.9, 0.05)
    turned = (rng.random(n) < misled) & (irony > 0.5)
    labels[turned] = rng.integers(0, 3, size=int(turned.sum()))
    return p, irony, labels


def test_widening_lowers_the_loss_of_ironic_texts_where_irony_misleads() -> None:
    p, irony, labels = _world(1500, seed=1, misled=0.6)
    widening, figures = checked_widening(p, irony, labels, seed=0)
    assert 0.3 < widening.strength <= 1.0
    assert figures["log_loss_after_ironic"] < figures["log_loss_before_ironic"]
    held, sounds, truth = _world(3000, seed=2, misled=0.6)
    wide = widening.apply(held, sounds)
    rows = sounds > 0.5
    assert log_loss(wide[rows], truth[rows]) < log_loss(held[rows], truth[rows]) - 0.1
    assert wide[rows].max(axis=1).mean() < held[rows].max(axis=1).mean()


def test_where_irony_does_not_mislead_it_stays_a_flag() -> None:
    kept = [checked_widening(*_world(600, seed=10 + k, misled=0.0), seed=0)[0].strength for k in range(10)]
    assert max(kept) < 0.15
    assert sum(strength == 0.0 for strength in kept) >= 5


def test_a_text_whose_irony_is_unknown_is_left_alone_and_no_label_is_turned_round() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]])
    wide = Widening(strength=0.8, spread=np.full(3, 1 / 3)).apply(p, np.array([np.nan, 0.95]))
    assert np.allclose(wide[0], p[0])
    assert wide[1].argmax() == 0
    assert 0.33 < wide[1].max() < 0.7
    assert np.allclose(NO_WIDENING.apply(p, np.array([1.0, 1.0])), p)
    assert fit_widening(p, np.zeros(2), np.array([0, 0])).strength >= 0.0
