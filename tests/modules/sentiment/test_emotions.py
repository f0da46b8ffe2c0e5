"""Emotions: the published grouping, probabilities that mean what they say, thresholds for rare labels."""

from __future__ import annotations

import numpy as np

from liftos_pipelines.modules.sentiment.reading.emotions import (
    BASIC,
    BASIC_OF,
    FINE,
    GROUP_OF,
    GROUPS,
    best_threshold,
    fit_scale,
    fit_scales,
    group_labels,
    label_f1,
    nothing_read,
    read_emotions,
    together,
)


def _world(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, 28) labels that are rare or frequent, and logits that are shifted and three times too steep."""
    rng = np.random.default_rng(seed)
    base = np.linspace(-4.0, 0.0, len(FINE))
    true_logits = base + 1.5 * rng.normal(size=(n, len(FINE)))
    truth = rng.random(true_logits.shape) < 1 / (1 + np.exp(-true_logits))
    return 3 * (true_logits + 1.0), truth


def test_every_label_has_one_group_and_one_basic_emotion() -> None:
    assert len(FINE) == 28
    assert set(GROUP_OF) == set(BASIC_OF) == set(FINE)
    assert [sum(GROUP_OF[name] == group for name in FINE) for group in GROUPS] == [12, 11, 4, 1]
    assert set(BASIC_OF.values()) == set(BASIC)


def test_fitted_probabilities_match_how_often_labels_hold_and_raw_ones_do_not() -> None:
    logits, truth = _world(4000, seed=1)
    held, held_truth = _world(4000, seed=2)
    scales = fit_scales(logits, truth)
    p = scales.fine.probabilities(held)
    raw = 1 / (1 + np.exp(-held))
    assert np.abs(p.mean(axis=0) - held_truth.mean(axis=0)).max() < 0.03
    assert np.abs(raw.mean(axis=0) - held_truth.mean(axis=0)).max() > 0.2
    for of, names, scale in ((BASIC_OF, BASIC, scales.basic), (GROUP_OF, GROUPS, scales.groups)):
        grouped = scale.probabilities(together(p, of, names))
        assert np.abs(grouped.mean(axis=0) - group_labels(held_truth, of, names).mean(axis=0)).max() < 0.04


def test_thresholds_for_f1_find_rare_labels_that_one_half_misses() -> None:
    logits, truth = _world(4000, seed=3)
    held, held_truth = _world(4000, seed=4)
    scale = fit_scale(logits, truth)
    p = scale.probabilities(held)
    tuned, half = label_f1(scale.given(p), held_truth), label_f1(p >= 0.5, held_truth)
    assert tuned.mean() > half.mean() + 0.03
    assert tuned[0] > half[0]
    assert best_threshold(np.array([0.2, 0.9]), np.array([False, False])) == 0.5


def test_rows_that_were_not_encoded_hold_nothing() -> None:
    logits, truth = _world(500, seed=5)
    scales = fit_scales(logits, truth)
    rows = np.array([1, 3])
    read = read_emotions(logits[:2], np.zeros((2, 4)), np.array([0.2, 0.9]), scales, rows, 5)
    assert np.isnan(read.basic[[0, 2, 4]]).all()
    assert np.isfinite(read.groups[rows]).all()
    assert read.mood[0] is None
    assert read.irony[3] == 0.9
    named = read.fine[1]
    assert [p for _, p in named] == sorted((p for _, p in named), reverse=True)
    assert nothing_read(0).n == 0
    empty = read_emotions(np.empty((0, 28)), np.empty((0, 4)), np.empty(0), scales, np.empty(0, dtype=np.int64), 2)
    assert empty.fine == [[], []]
