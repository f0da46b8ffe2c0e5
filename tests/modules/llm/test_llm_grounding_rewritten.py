"""Outputs in words of their own: what is changed counts, not that the words are others."""

import pytest

from liftos_pipelines.modules.llm.groundedness import ground
from liftos_pipelines.modules.llm.grounding.builtin import measure_output
from liftos_pipelines.resources.grounding_model import packaged_calibration

ARTICLE = (
    "The harbour board dismissed its treasurer, Ida Lund, on Monday. The jury was not unanimous. "
    "The firm has offered to repay the loan. About 7,800 of the tickets were sold. "
    "An inspection lasted 28 days."
)


@pytest.mark.parametrize(
    ("feature", "true", "false"),
    [
        ("strange_kinds", "Its treasurer was sacked.", "Its treasurer resigned."),
        ("denied", "The jury was not unanimous.", "The jury was unanimous."),
        ("opened", "The firm offered to repay the loan.", "The firm has repaid; the loan is repaying itself."),
        ("sweeping", "Tickets were sold.", "All tickets were sold."),
        ("wrong_numbers", "Fewer than 8,000 tickets were sold.", "Fewer than 6,000 tickets were sold."),
        ("wrong_numbers", "It took four weeks to inspect.", "It took seven weeks to inspect."),
    ],
)
def test_a_change_is_counted_and_other_words_for_the_same_are_not(feature: str, true: str, false: str) -> None:
    kept, changed = measure_output(true, ARTICLE), measure_output(false, ARTICLE)
    assert kept is not None
    assert changed is not None
    assert kept.values[feature] == 0.0
    assert changed.values[feature] > 0.0


def test_an_invented_event_makes_a_rewritten_output_doubtful() -> None:
    calibration = packaged_calibration()
    kept = ground("The port's treasurer lost her job after being sacked.", ARTICLE, None, calibration).probability
    invented = ground("The port's treasurer lost her job after being arrested.", ARTICLE, None, calibration).probability
    assert kept is not None
    assert invented is not None
    assert kept > 0.5 > invented


def test_a_label_is_not_a_name() -> None:
    assert not ground("Subject: the jury was not unanimous", ARTICLE).spans
