"""Claims about known subjects against typed facts: what the interval allows is supported, the rest is not."""

from __future__ import annotations

import pytest

from liftos_pipelines.modules.llm.grounding.claim_report import check_claims
from liftos_pipelines.modules.llm.grounding.facts import Fact

FACTS = (
    Fact(subject="TV", measure="roi", value=1.6, low=1.2, high=2.0, source="causal/channel_results", aliases=("television",)),
    Fact(subject="radio", measure="roi", value=0.7, low=0.5, high=0.9, source="causal/channel_results"),
    Fact(subject="paid_search", measure="roi", value=1.7, low=1.3, high=2.2, aliases=("search",)),
    Fact(subject="TV", measure="contribution", value=120_000, low=90_000, high=150_000, unit="EUR"),
    Fact(subject="paid_search", measure="contribution", value=310_000, low=260_000, high=360_000, unit="EUR", aliases=("search",)),
    Fact(subject="TV", measure="spend", value=75_000, unit="EUR", as_of="2025-05"),
    Fact(subject="TV", measure="spend", value=60_000, unit="EUR", as_of="2025-06"),
    Fact(subject="newsletter", measure="share", value=0.12, unit=None),
)  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "outcome"),
    [
        ("TV's ROI was 2.4.", "contradicted"),
        ("TV's ROI was 1.6.", "supported"),
        ("The return on TV was about 1.8.", "supported"),
        ("Television returned 1.9 per euro.", "supported"),
        ("TV had a ROI of over 2.5.", "contradicted"),
        ("TV had a ROI of more than 1.", "supported"),
        ("TV had a ROI of at least 1.5.", "unknown"),
        ("Search brought more than TV.", "supported"),
        ("TV contributed more than search.", "contradicted"),
        ("TV brought less than search.", "supported"),
        ("TV had a higher ROI than radio.", "supported"),
        ("TV had a higher ROI than search.", "unknown"),
        ("Radio had the highest ROI.", "contradicted"),
        ("Radio had the lowest ROI.", "supported"),
        ("Search had the best ROI.", "unknown"),
        ("TV spend fell.", "supported"),
        ("TV spend rose.", "contradicted"),
        ("TV spend did not rise.", "supported"),
        ("TV spend was €60,000 in June 2025.", "supported"),
        ("TV spend was €60,000 in May 2025.", "contradicted"),
        ("TV spend was €60,000 in March 2025.", "unknown"),
        ("TV spend was $60,000.", "contradicted"),
        ("TV spend was 60k euros.", "supported"),
        ("The newsletter's share was 12 %.", "supported"),
        ("The newsletter's share was 21 %.", "contradicted"),
        ("Radio spend was €10,000.", "unknown"),
        ("TV reached 2.4.", "unknown"),
        ("ROI of TV rose.", "unknown"),
        ("Der ROI von TV war 2,4.", "contradicted"),
        ("Der ROI von TV war 1,6.", "supported"),
    ],
)
def test_a_claim_is_judged_by_the_fact_and_its_interval(claim: str, outcome: str) -> None:
    checked = check_claims(claim, facts=FACTS)
    assert [found.outcome for found in checked] == [outcome], checked
    assert checked[0].reason


def test_other_subjects_and_plain_talk_are_no_claims() -> None:
    assert check_claims("Billboards returned 9.9.", facts=FACTS) == ()
    assert check_claims("Let us talk about TV next week.", facts=FACTS) == ()
    assert check_claims("", facts=FACTS) == ()
    assert check_claims(None, facts=FACTS) == ()
    assert check_claims("TV's ROI was 2.4.") == ()


def test_each_subject_of_a_sentence_is_checked_by_itself_and_named_by_its_place() -> None:
    text = "TV's ROI was 1.6, and radio's ROI was 1.4."
    first, second = check_claims(text, facts=FACTS)
    assert (first.outcome, first.subjects) == ("supported", ("TV",))
    assert (second.outcome, second.subjects) == ("contradicted", ("radio",))
    assert "1.4" in text[second.start : second.end]
    assert second.sources == ("causal/channel_results",)


def test_what_a_fact_supports_is_not_held_against_the_text_for_want_of_context() -> None:
    context = "The team looked at TV in June 2025 and was content with what it saw."
    assert all(c.outcome == "supported" for c in check_claims("TV's ROI was 1.6.", context, facts=FACTS))
    outcomes = {c.kind: c.outcome for c in check_claims("The team spent 9 weeks on TV.", context, facts=FACTS)}
    assert outcomes.get("number") == "contradicted"


def test_an_unknown_value_is_unknown() -> None:
    (claim,) = check_claims("Video's ROI was 2.", facts=[Fact(subject="video", measure="roi", value=None)])
    assert claim.outcome == "unknown"
