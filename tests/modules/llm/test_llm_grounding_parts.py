"""The parts of groundedness: where spans stand, what a fragment is, odd texts, and a judge as others plug one in."""

from __future__ import annotations

import json
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liftos_pipelines.modules.llm.groundedness import ground
from liftos_pipelines.modules.llm.grounding.align import fragments
from liftos_pipelines.modules.llm.grounding.builtin import BuiltInJudge
from liftos_pipelines.modules.llm.grounding.calibration import Calibration, CalibrationError, read_calibration
from liftos_pipelines.modules.llm.grounding.evidence import read_evidence
from liftos_pipelines.modules.llm.grounding.judge import Judge
from liftos_pipelines.modules.llm.grounding.parse import parse
from liftos_pipelines.resources.grounding_model import builtin_judge, packaged_calibration

ARTICLE = (
    "Mayor Anna Keller opened the new bridge in Lindau on Monday. The bridge cost 40 million euros and took six years. "
    "Engineer Paul Osei said the old bridge was not safe. Traffic fell by 12 percent in the first week. "
    "Keller thanked Osei and the workers. The opposition accepted the plan in 2019."
)


@pytest.mark.parametrize(
    ("output", "kind", "text"),
    [
        ("Mayor Anna Keller opened the new bridge in Bregenz on Monday.", "name", "Bregenz"),
        ("The bridge cost 45 million euros and took six years.", "number", "45 million euros"),
        ("The bridge cost 40 million euros and took seven years.", "number", "seven years"),
        ("Mayor Anna Keller opened the new bridge in Lindau on Friday.", "date", "Friday"),
        ("The opposition accepted the plan in 2018.", "date", "2018"),
        ("The opposition rejected the plan in 2019.", "opposite", "rejected"),
        ("Engineer Paul Osei said the old bridge was safe.", "negation", "was safe"),
        ("The bridge did not cost 40 million euros and took six years.", "negation", "not"),
        ("Traffic rose by 12 percent in the first week.", "direction", "Traffic rose by 12 percent in the first week"),
        ("Osei thanked Keller and the workers.", "roles", "Osei thanked Keller"),
    ],
)
def test_each_kind_of_error_is_named_where_it_stands(output: str, kind: str, text: str) -> None:
    spans = ground(output, ARTICLE).spans
    assert (kind, text) in [(span.kind, span.text) for span in spans], spans
    for span in spans:
        assert output[span.start : span.end] == span.text
        assert span.reason


@pytest.mark.parametrize(
    "output",
    [
        "Anna Keller opened the new bridge in Lindau.",
        "The bridge took six years and cost 40 million euros.",
        "Osei said the old bridge wasn't safe.",
        "Traffic declined 12% in the first week.",
        "anna keller opened the new bridge in lindau on monday .",
        "Mayor Anna Keller 's bridge cost 40 million euros .",
    ],
)
def test_the_same_in_other_words_names_nothing(output: str) -> None:
    assert ground(output, ARTICLE).spans == ()


def test_a_copied_sentence_is_more_probable_than_one_with_another_sentences_predicate() -> None:
    judge = builtin_judge()
    copied = judge.probability("Engineer Paul Osei said the old bridge was not safe.", ARTICLE)
    fused = judge.probability("Engineer Paul Osei accepted the plan in 2019.", ARTICLE)
    foreign = judge.probability("Penguins marched through Antarctica in protest.", ARTICLE)
    assert copied is not None
    assert fused is not None
    assert foreign is not None
    assert copied > 0.6 > 0.5 > max(fused, foreign)


def test_an_answer_from_a_fact_sheet_is_probable_unless_a_fact_is_wrong() -> None:
    sheet = (
        "Product: Tarn boots. Price: 219 EUR. Weight: 1,120 g. Sole: rubber. Sizes: 36 to 48. Delivery: 2 working days."
    )
    judge = builtin_judge()
    clean = "Thank you for asking: the weight of the Tarn boots is 1,120 g. Delivery takes 2 working days."
    assert ground(clean, sheet).spans == ()
    right, wrong = judge.probability(clean, sheet), judge.probability(clean.replace("1,120", "1,420"), sheet)
    assert right is not None
    assert wrong is not None
    assert right > 0.6 > 0.3 > wrong


def test_fragments_are_the_longest_copied_runs_and_end_with_the_sentence() -> None:
    doc = parse("The bridge cost 40 million euros. Engineer Paul Osei thanked the workers.")
    evidence = read_evidence(ARTICLE)
    first = fragments(doc, *doc.sentences[0], evidence)
    assert [f.size for f in first] == [6]
    second = fragments(doc, *doc.sentences[1], evidence)
    assert second[0].size == 3


def test_german_texts_and_number_formats() -> None:
    context = "Der Umsatz stieg im Juni 2025 auf 1.234.567,50 Euro. Die Rendite betrug 2,4 und der Anteil 12,5 Prozent."
    assert ground("Der Umsatz stieg auf 1.234.567,50 Euro.", context).spans == ()
    assert ground("Der Anteil betrug 12,5 %.", context).spans == ()
    kinds = {span.kind for span in ground("Der Anteil betrug 21,5 Prozent und die Rendite war gut.", context).spans}
    assert "number" in kinds
    assert "direction" in ground("Der Umsatz sank im Juni 2025 auf 1.234.567,50 Euro.", context).kinds


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_read_and_every_span_lies_within_it(output: str, context: str) -> None:
    found = ground(output, context, None, packaged_calibration())
    assert all(output[span.start : span.end].strip() for span in found.spans)
    assert found.probability is None or 0 < found.probability < 1


@pytest.mark.parametrize("output", ["...", "42", "!!!\n\n---", "\u0000", "a", "🙂 🙂", "é" * 50, "e\u0301t\u00e9 " * 9])
def test_odd_outputs_are_unknown_or_scored_but_never_fail(output: str) -> None:
    ground(output, ARTICLE, None, packaged_calibration())
    ground(ARTICLE, output, output, packaged_calibration())


def test_the_built_in_is_a_judge_and_says_nothing_where_nothing_can_be_said() -> None:
    judge = builtin_judge()
    assert isinstance(judge, Judge)
    assert judge.name.startswith("liftos-lexical@")
    assert judge.probability("Something.", "") is None
    assert judge.probability("", ARTICLE) is None
    assert judge.probability("...", ARTICLE) is None


def test_without_a_calibration_there_is_a_score_but_no_probability() -> None:
    found = ground("Keller thanked Osei.", ARTICLE)
    assert found.score is not None
    assert found.probability is None


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"weights": {}, "version": "1", "intercept": 0, "bend": 1, "slope": 0.2},
        {"weights": {"jumps": -1}, "version": "1", "intercept": 0, "bend": 1, "slope": 0.2},
        {"weights": {"jumps": "x"}, "version": "1", "intercept": 0, "bend": 1, "slope": 0.2},
        {"weights": {"jumps": float("nan")}, "version": "1", "intercept": 0, "bend": 1, "slope": 0.2},
        {"weights": {"no_such_feature": 1}, "version": "1", "intercept": 0, "bend": 1, "slope": 0.2},
    ],
)
def test_a_broken_calibration_is_named(content: object) -> None:
    with pytest.raises(CalibrationError, match=r"weights\.json"):
        read_calibration(content, file="weights.json")


def test_a_missing_calibration_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"absent\.json"):
        packaged_calibration(tmp_path / "absent.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(CalibrationError, match=r"bad\.json"):
        packaged_calibration(tmp_path / "bad.json")


def test_every_weight_of_the_packaged_calibration_counts_against_support() -> None:
    calibration = packaged_calibration()
    values = dict.fromkeys(calibration.weights, 0.0)
    base = calibration.probability(values)
    for name, weight in calibration.weights.items():
        assert weight > 0, name
        assert calibration.probability(values | {name: 1.0}) < base
    assert isinstance(BuiltInJudge(Calibration(**{**calibration.__dict__})), Judge)
    assert json.dumps(dict(calibration.weights))


def test_a_pasted_table_of_thousands_of_numbers_does_not_hold_a_call_up() -> None:
    began = process_time()
    found = ground("The price is 3 EUR. Search rose by 5 % in May.", "+49 " * 5_000, None, packaged_calibration())
    assert found is not None
    assert process_time() - began < 5
