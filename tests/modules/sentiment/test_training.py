"""Calibration, and retraining on a client's labels: only what proves itself on kinds of text left out is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.sentiment.reading import calibration as cal
from liftos_pipelines.modules.sentiment.reading.basic_emotions import EmotionExamples
from liftos_pipelines.modules.sentiment.reading.client_training import clusters_of, retrain_for_client
from liftos_pipelines.modules.sentiment.reading.linear import fit_sigmoids, fit_softmax, softmax
from liftos_pipelines.modules.sentiment.reading.model import BASIC_EMOTIONS, LABELS
from liftos_pipelines.modules.sentiment.reading.training import Examples, fast_logits, groups_by_text, train
from liftos_pipelines.resources.sentiment_model import packaged_model, train_default


def test_calibration_restores_the_temperature_that_was_spoilt() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(20_000, 3)) * 1.5
    labels = np.array([rng.choice(3, p=row) for row in softmax(logits)])
    spoilt = logits * 3.0  # three times too sure
    found = cal.fit_calibration(spoilt, labels)
    assert found.temperature == pytest.approx(3.0, rel=0.06)

    def error(p: np.ndarray) -> float:
        return cal.expected_calibration_error(p.max(axis=1), p.argmax(axis=1) == labels)

    assert error(found.apply(spoilt)) < 0.015
    assert error(softmax(spoilt)) > 0.10


def test_the_abstention_threshold_gives_the_accuracy_it_states() -> None:
    rng = np.random.default_rng(2)
    confidence = rng.uniform(0.34, 1, 20_000)
    correct = rng.uniform(size=20_000) < confidence
    threshold = cal.abstention_threshold(confidence, correct, 0.8)
    assert threshold is not None
    assert correct[confidence >= threshold].mean() == pytest.approx(0.8, abs=0.01)
    assert threshold == pytest.approx(0.6, abs=0.03)  # uniform confidence above t is right (1 + t) / 2 of the time
    assert cal.abstention_threshold(confidence, np.zeros(20_000, dtype=bool), 0.8) is None


def test_the_debiased_error_does_not_blame_a_calibrated_model_for_a_small_sample() -> None:
    rng = np.random.default_rng(4)
    plain, debiased, wrong = [], [], []
    for _ in range(200):
        confidence = rng.uniform(0.34, 0.95, 324)
        correct = rng.uniform(size=324) < confidence
        plain.append(cal.expected_calibration_error(confidence, correct))
        debiased.append(cal.debiased_calibration_error(confidence, correct))
        wrong.append(cal.debiased_calibration_error(np.clip(confidence + 0.15, 0, 1), correct))
    assert np.mean(plain) > 0.05  # the plain one calls a perfect model wrong
    assert np.mean(debiased) < 0.025
    assert np.mean(wrong) == pytest.approx(0.15, abs=0.03)
    assert np.isnan(cal.debiased_calibration_error(np.array([0.5]), np.array([True])))


def test_coverage_is_the_largest_share_that_is_right_often_enough() -> None:
    confidence = np.linspace(1, 0, 100)
    correct = np.arange(100) < 60  # the 60 most confident are right
    assert cal.coverage_at(confidence, correct, 0.85) == pytest.approx(0.70, abs=0.01)
    assert cal.coverage_at(confidence, np.zeros(100, dtype=bool), 0.85) == 0.0


def test_the_soft_confusion_undoes_the_pull_to_the_middle() -> None:
    rng = np.random.default_rng(5)
    logits = np.eye(3)[np.repeat([0, 1, 2], 2000)] * 1.2 + rng.normal(size=(6000, 3))
    labels = np.repeat([0, 1, 2], 2000)
    found = cal.soft_confusion(softmax(logits), labels)
    np.testing.assert_allclose(found.matrix.sum(axis=1), 1)
    assert found.counts.tolist() == [2000, 2000, 2000]
    rows = rng.choice(6000, 4000, p=np.repeat([0.6, 0.1, 0.3], 2000) / 2000)
    mean = softmax(logits)[rows].mean(axis=0)
    truth = np.array([0.6, 0.1, 0.3])
    np.testing.assert_allclose(np.linalg.solve(found.matrix.T, mean), truth, atol=0.06)
    assert np.abs(mean - truth).max() > 0.08  # the average alone is pulled to a third each


def test_sigmoids_fit_labels_that_do_not_exclude_each_other() -> None:
    from scipy import sparse

    rng = np.random.default_rng(6)
    x = rng.normal(size=(4000, 4)).astype(np.float32)
    true = np.array([[1.0, 0], [0, -1.0], [0.5, 0.5], [0, 0]])
    labels = (rng.uniform(size=(4000, 2)) < 1 / (1 + np.exp(-(x @ true - 0.5)))).astype(float)
    weights, bias = fit_sigmoids(sparse.csr_matrix(x), labels, penalty=0.1)
    np.testing.assert_allclose(weights, true, atol=0.15)
    np.testing.assert_allclose(bias, -0.5, atol=0.15)


def test_macro_f1_of_the_majority_answer_is_a_third_of_its_f1() -> None:
    labels = np.repeat([0, 1, 2], 100)
    assert cal.macro_f1(labels, np.zeros(300, dtype=np.int64), 3) == pytest.approx(1 / 6)
    assert cal.macro_f1(labels, labels, 3) == 1.0


def test_an_offset_is_a_place_to_start_from_and_a_strong_pull_keeps_it() -> None:
    from scipy import sparse

    rng = np.random.default_rng(3)
    x = sparse.csr_matrix(rng.normal(size=(300, 5)).astype(np.float32))
    labels = rng.integers(0, 3, 300)
    offset = rng.normal(size=(300, 3))
    weights, _ = fit_softmax(x, labels, 3, penalty=1e9, offset=offset)
    assert np.abs(weights).max() < 1e-5
    with pytest.raises(ValueError, match="no labelled text"):
        fit_softmax(x[:0], labels[:0], 3, penalty=1.0)


def test_copies_of_a_text_share_a_group() -> None:
    groups = groups_by_text(["great tent !", "great tent 2", "bad tent", "👍", "👎"])
    assert groups[0] == groups[1]
    assert len(set(groups.tolist())) == 4


def _jargon(count: int, seed: int) -> list[str]:
    """Invented words: four syllables each."""
    rng = np.random.default_rng(seed)
    syllables = [a + b for a in "bcdfglmnprstvz" for b in "aeiou"]
    return ["".join(rng.choice(syllables, 4)) for _ in range(count)]


FILLER = _jargon(600, 1)
WORDS = {label: _jargon(12, 10 + k) for k, label in enumerate(LABELS)}


def client_labels(seed: int, per_class: int = 120, *, noise: bool = False) -> tuple[list[str], list[str]]:
    """Texts in a jargon that the default never saw: two words of seven tell the class (or none does)."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for label in LABELS:
        for _ in range(per_class):
            words = list(rng.choice(FILLER, 5)) + list(rng.choice(WORDS[label], 2))
            texts.append(" ".join(rng.permutation(words)))
            labels.append(str(rng.choice(LABELS)) if noise else label)
    return texts, labels


def test_a_client_with_its_own_jargon_gets_its_own_model() -> None:
    texts, labels = client_labels(1)
    trained = retrain_for_client(packaged_model(), texts, labels, ["en"] * len(texts))
    assert trained.promoted
    assert trained.model.origin == "client"
    assert trained.client_macro_f1 > trained.default_macro_f1 + 0.2
    fresh, truth = client_labels(2)
    p = trained.model.probabilities(fresh, ["en"] * len(fresh))
    right = np.mean(np.array(LABELS)[p.argmax(axis=1)] == truth)
    assert right > 0.8
    assert trained.model.heads["irony"] is not None
    again = retrain_for_client(packaged_model(), texts, labels, ["en"] * len(texts))
    assert again.model.model_id == trained.model.model_id


def test_labels_without_meaning_do_not_replace_the_default() -> None:
    texts, labels = client_labels(3, noise=True)
    trained = retrain_for_client(packaged_model(), texts, labels, [None] * len(texts))
    if trained.promoted:  # a flat answer beats a wrong one by log loss; it must then claim nothing
        p = trained.model.probabilities(texts, ["en"] * len(texts))
        assert (p.max(axis=1) >= trained.model.abstain_below).mean() < 0.02
    assert trained.client_macro_f1 < 0.45


def test_copies_with_another_product_in_them_are_one_kind_and_cannot_judge() -> None:
    products = [f"{a} {b}" for a in FILLER for b in FILLER[:8]]
    texts = [f"the parcel with my {p} came a whole week too late again" for p in products[:40]]
    texts += [f"they open on monday and carry the {p} in three sizes" for p in products[40:80]]
    texts += [f"best thing i ever bought was surely this {p} here" for p in products[80:120]]
    labels = ["negative"] * 40 + ["neutral"] * 40 + ["positive"] * 40
    assert clusters_of(packaged_model().features(texts)).max() + 1 <= 6
    trained = retrain_for_client(packaged_model(), texts, labels, ["en"] * 120)
    assert not trained.promoted
    assert "kinds only" in trained.reason


def test_too_few_labels_or_a_wrong_one_say_so() -> None:
    texts, labels = client_labels(4, per_class=20)
    trained = retrain_for_client(packaged_model(), texts, labels, [None] * len(texts))
    assert not trained.promoted
    assert "30 of each class are needed" in trained.reason
    with pytest.raises(ValueError, match="'good' is not one of"):
        retrain_for_client(packaged_model(), texts, ["good", *labels[1:]], [None] * len(texts))


def test_training_from_texts_is_reproducible_and_learns() -> None:
    texts, labels = client_labels(5, per_class=80)
    examples = Examples(
        texts=texts, labels=[LABELS.index(label) for label in labels], languages=["en", "de"] * 120, weights=[1.0] * 240
    )
    one, two = train(examples, bits=14), train(examples, bits=14)
    assert one.model_id == two.model_id
    assert replace(one, figures={}).model_id == one.model_id
    assert one.figures["out_of_fold"]["all"]["macro_f1"] > 0.8


def test_labels_of_weight_zero_teach_nothing_but_the_language() -> None:
    texts, labels = client_labels(7, per_class=80)
    wrong, _ = client_labels(8, per_class=80)
    examples = Examples(
        texts=texts + wrong,
        labels=[LABELS.index(label) for label in labels] + [0] * 240,
        languages=["en"] * 240 + ["de"] * 240,
        weights=[1.0] * 240 + [0.0] * 240,
    )
    model = train(examples, bits=14)
    assert model.figures["labels_not_used"] == 240
    assert model.figures["out_of_fold"]["all"]["n"] == 240
    assert "de" not in model.soft_confusion
    assert model.soft_confusion["pooled"].counts.sum() == 240
    left_out = fast_logits(examples, texts[:5], bits=14)
    assert left_out.out_of_fold.shape == (480, 3)
    assert left_out.informative.sum() == 240
    # In the sample a model knows its texts better than one that never saw them.
    truth = np.asarray(examples.labels[:5])
    np.testing.assert_allclose(left_out.held, model.logits(model.features(texts[:5]))["sentiment"], atol=1e-5)
    assert (left_out.held.argmax(axis=1) == truth).all()


def test_basic_emotions_are_learnt_each_by_itself() -> None:
    texts, labels = client_labels(9, per_class=150)
    rng = np.random.default_rng(9)
    words = dict(zip(BASIC_EMOTIONS, _jargon(6, 77), strict=True))
    shown = (rng.uniform(size=(900, 6)) < 0.25).astype(float)
    said = [
        " ".join([*rng.choice(FILLER, 4), *(words[e] for e, there in zip(BASIC_EMOTIONS, row, strict=True) if there)])
        for row in shown
    ]
    emotional = EmotionExamples(texts=said, labels=shown, languages=["en"] * 900, weights=np.ones(900))
    model = train(
        Examples(
            texts=texts, labels=[LABELS.index(one) for one in labels], languages=["en"] * 450, weights=[1.0] * 450
        ),
        basic_emotions=emotional,
        bits=14,
    )
    figures = model.figures["basic_emotions"]["all"]
    assert figures["macro_f1"] > figures["always"] + 0.3
    p = model.basic_emotions(model.logits(model.features([f"{words['joy']} {words['fear']}"]))["emotion6"])[0]
    assert p[BASIC_EMOTIONS.index("joy")] > 0.5 < p[BASIC_EMOTIONS.index("fear")]
    assert p[BASIC_EMOTIONS.index("anger")] < 0.4


def test_the_training_command_works_on_a_clients_csv_alone(tmp_path) -> None:  # type: ignore[no-untyped-def]
    texts, labels = client_labels(6, per_class=60)
    (tmp_path / "labelled").mkdir()
    pl.DataFrame({"text": texts, "label": labels, "language": "en"}).write_csv(tmp_path / "labelled" / "own.csv")
    figures = train_default(tmp_path, tmp_path / "out" / "model.npz")
    assert figures["trained_texts"] == 180
    assert (tmp_path / "out" / "model.npz").is_file()
    with pytest.raises(FileNotFoundError, match="no labelled texts"):
        train_default(tmp_path / "labelled", tmp_path / "none.npz")
