"""Groundedness on labelled rows of one's own, the made summaries, and the packaged weights on texts of others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from liftos_pipelines.bench.llm_groundedness import (
    LabelledError,
    auroc,
    balanced_accuracy,
    calibration_error,
    evaluate_labelled,
    read_labelled,
)
from liftos_pipelines.modules.llm.groundedness import ground
from liftos_pipelines.resources.grounding_model import packaged_calibration
from liftos_pipelines.simulate.grounded_texts import FAMILIES, plant, read_article, summaries

TEXT = (
    "The council of Oakham approved a budget of 42 million pounds on Tuesday. Leader Jane Fowler said the plan protects "
    "schools and libraries. The opposition led by Omar Haddad rejected the plan because taxes rise by 4 percent. "
    "Fowler told reporters that the council had not closed a library since 2016. The new budget starts in April and runs "
    "for two years. Haddad was elected in 2019 after a campaign about roads. Residents in Barrow are waiting for the "
    "repair of 12 bridges. Engineers from Leeds University were asked to inspect the bridges in June."
)


def test_labelled_rows_are_read_by_several_names_and_kinds_of_label() -> None:
    right, wrong = "Jane Fowler said the plan protects schools.", "Omar Haddad said the plan closes 90 schools."
    rows = [
        {"article": TEXT, "summary": right, "label": 1},
        {"source": TEXT, "output": wrong, "is_factual": "no"},
        {"context": [TEXT, "More."], "summary": [right], "supported": True},
        {"document": TEXT, "claim": wrong, "label": "hallucinated"},
        {"context": TEXT, "output": "...", "label": 0},
    ] * 3
    figures = {figure.name: figure for figure in evaluate_labelled(rows)}
    found = figures["AUROC, supported over unsupported"]
    assert (found.value, found.n) == (1.0, 12)
    assert "3 rows" in found.method
    assert found.baseline == "shorter is supported"
    assert figures["balanced accuracy at probability 0.5"].value == 1.0


def test_votes_on_sentences_become_one_label() -> None:
    def voted(*answers: tuple[str, list[str]]) -> list[dict]:
        return [{"sentence": text, "responses": [{"response": vote} for vote in votes]} for text, votes in answers]

    yes, no = ["yes", "yes", "no"], ["no", "yes", "no"]
    right = {"article": TEXT, "summary_sentences": voted(("Jane Fowler said the plan protects schools.", yes))}
    wrong = {"article": TEXT, "summary_sentences": voted(("Haddad was elected in 2019.", yes), ("He closed it.", no))}
    assert evaluate_labelled([right, wrong])[0].value == 1.0
    with pytest.raises(LabelledError, match="row 1"):
        evaluate_labelled([{"article": TEXT, "summary_sentences": [{"sentence": "x"}]}])


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"output": "x", "label": 1}, "context"),
        ({"context": "x", "label": 1}, "output"),
        ({"context": "x", "output": "y"}, "label"),
        ({"context": "x", "output": "y", "label": "maybe"}, "maybe"),
        ({"context": "x", "output": "y", "label": 7}, "7"),
        ({"context": 3, "output": "y", "label": 1}, "texts"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(row: dict, named: str) -> None:
    with pytest.raises(LabelledError, match="row 1") as error:
        evaluate_labelled([row])
    assert named in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabelledError, match="absent"):
        read_labelled(tmp_path / "absent.jsonl")
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"a": 1}\n{oops\n')
    with pytest.raises(LabelledError, match="line 2"):
        read_labelled(bad)
    bad.write_text("[1]\n")
    with pytest.raises(LabelledError, match="line 1"):
        read_labelled(bad)
    good = tmp_path / "good.jsonl"
    good.write_text(json.dumps({"a": "\u2028"}, ensure_ascii=False) + "\n\n")
    assert read_labelled(good) == [{"a": "\u2028"}]


def test_labels_of_one_kind_give_no_auroc() -> None:
    (figure,) = evaluate_labelled([{"context": TEXT, "output": "Fowler said so.", "label": 1}])
    assert figure.value is None


def test_the_measures_have_their_known_values() -> None:
    scores, truth = np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, True, False, True])
    assert auroc(scores, truth) == pytest.approx(0.875)
    assert balanced_accuracy(scores, truth, 0.5) == pytest.approx(0.75)
    rng = np.random.default_rng(1)
    honest = rng.uniform(size=4000)
    happened = rng.uniform(size=4000) < honest
    assert calibration_error(honest, happened) < 0.03
    assert calibration_error(np.ones(4000), happened) > 0.4


def test_every_kind_of_error_can_be_planted_and_changes_one_sentence() -> None:
    rng = np.random.default_rng(3)
    article, other = read_article(TEXT), read_article(TEXT.replace("Oakham", "Melton").replace("Haddad", "Brandt"))
    planted = {
        family
        for family in FAMILIES
        for sentence in article.sentences
        if (wrong := plant(sentence, family, article, other, rng)) is not None and wrong != sentence
    }
    assert planted >= set(FAMILIES) - {"pronoun", "noun", "roles", "insertion"}


def test_summaries_are_reproducible_balanced_and_their_truth_is_found() -> None:
    texts = [TEXT, TEXT.replace("Oakham", "Melton").replace("42", "77").replace("Haddad", "Brandt")]
    made = summaries(texts, "mine", seed=1, per_document=40)
    assert made == summaries(texts, "mine", seed=1, per_document=40)
    supported = np.array([row.supported for row in made])
    assert 0.45 < supported.mean() < 0.6
    calibration = packaged_calibration()
    scores = np.array([ground(row.output, row.context, None, calibration).probability for row in made], dtype=float)
    lengths = np.array([-len(row.output.split()) for row in made], dtype=float)
    assert auroc(scores, supported) > 0.8
    assert 0.35 < auroc(lengths, supported) < 0.65  # the dummy


@pytest.mark.slow
def test_left_out_sources_and_kinds_are_ordered_well_above_length(shared_data: Path) -> None:
    from liftos_pipelines.bench.llm_groundedness import measure

    figures = {figure.name: figure for figure in measure(shared_data)}
    for name, figure in figures.items():
        if name.startswith("AUROC, texts of"):
            assert (figure.low or 0) > 0.78 > (figure.baseline_value or 1), name
    for kind in ("number", "name", "date"):
        assert (figures[f"changed {kind} named"].value or 0) >= 0.9
    assert (figures["faithful summaries with anything named"].value or 1) <= 0.05
