"""Planted facts are found, faithful answers are left alone, and the numbers in the docs are measured here."""

from __future__ import annotations

import time

import numpy as np
import pytest
from llm_written import cases

from liftos_pipelines.modules.llm.groundedness import ground

CONTEXT = (
    "Acme Corp spent €12,000 on TV in March 2024. Conversions rose from 2,000 to 2,400 while search spend fell by 8 %. "
    "The return on TV was 1.849 and three campaigns ran."
)


def flagged(answer: str, context: str = CONTEXT, prompt: str | None = None) -> bool:
    found = ground(answer, context, prompt)
    return bool(found.ungrounded_spans or found.numeric_conflicts)


@pytest.mark.parametrize(
    "answer",
    [
        "Acme spent 12k euros on TV in March 2024.",
        "In 2024 Acme spent 12,000 EUR on TV.",
        "Conversions increased to 2,400.",
        "Conversions rose 20 %, from 2,000 to 2,400.",
        "Conversions rose by 400.",
        "Search spend declined 8 percent.",
        "The return on TV was 1.85.",
        "3 campaigns ran.",
    ],
)
def test_the_same_fact_written_otherwise_is_supported(answer: str) -> None:
    assert not flagged(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "Acme spent €15,000 on TV in March 2024.",
        "Acme spent $12,000 on TV.",
        "Acme spent €12,000 on TV in April 2024.",
        "Acme spent €12,000 on TV in March 2023.",
        "Conversions fell from 2,000 to 2,400.",
        "Conversions rose by 25 %.",
        "Search spend rose by 8 %.",
        "Search spend fell by 8 points.",
        "The return on TV was 1.9.",
        "Four campaigns ran.",
        "Globex spent €12,000 on TV in March 2024.",
        "Acme spent €12,000 on TV, advised by Globex Partners.",
        "The moon is made of cheese, as every sailor knows.",
    ],
)
def test_a_changed_fact_is_found(answer: str) -> None:
    assert flagged(answer)


def test_without_a_context_nothing_is_claimed() -> None:
    for context in (None, "", "   "):
        assert ground("Conversions rose by 25 %.", context).score is None
    assert ground(None, CONTEXT).score is None
    assert ground("", CONTEXT).score is None


def test_periods_and_names_may_be_repeated_from_the_question_but_quantities_may_not() -> None:
    asked = "What did Initech see in the last 7 days, was it 9,999 visits?"
    assert not flagged("In the last 7 days Acme Corp spent €12,000 on TV.", prompt=asked)
    assert flagged("Conversions rose to 9,999.", prompt=asked)


def test_a_copied_context_scores_one_and_an_unrelated_text_near_zero() -> None:
    assert ground(CONTEXT, CONTEXT).score == pytest.approx(1.0)
    unrelated = ground("Whales sing beneath arctic ice during winter nights.", CONTEXT).score
    assert unrelated is not None
    assert unrelated < 0.1


def test_planted_facts_are_found_in_at_least_95_percent_and_clean_answers_flagged_in_at_most_5() -> None:
    made = cases(600, seed=11)
    hits = {kind: [] for kind in {case.kind for case in made}}
    for case in made:
        hits[case.kind].append(flagged(case.changed, case.context))
    recall = np.mean([hit for values in hits.values() for hit in values])
    false_alarms = np.mean([flagged(case.clean, case.context) for case in made])
    by_kind = {kind: (round(float(np.mean(values)), 3), len(values)) for kind, values in hits.items()}
    print(f"recall {recall:.3f}, false alarms {false_alarms:.3f}, by kind {by_kind}")
    assert recall >= 0.95
    assert false_alarms <= 0.05


def test_length_alone_does_not_find_what_is_planted() -> None:
    """The dummy that must fail: changed answers are as long as clean ones."""
    made = cases(600, seed=12)
    clean = np.array([len(case.clean.split()) for case in made])
    changed = np.array([len(case.changed.split()) for case in made])
    auroc = np.mean(changed[:, None] > clean[None, :]) + np.mean(changed[:, None] == clean[None, :]) / 2
    scores = np.array([[ground(c.changed, c.context).score, ground(c.clean, c.context).score] for c in made[:200]])
    ours = np.mean(scores[:, 0][:, None] < scores[:, 1][None, :])
    assert abs(auroc - 0.5) < 0.05
    assert ours > 0.95


def test_a_response_of_200_words_is_scored_in_a_few_milliseconds() -> None:
    made = cases(60, seed=13)
    texts = [
        (" ".join(c.clean for c in made[i : i + 14]), " ".join(c.context for c in made[i : i + 14])) for i in range(30)
    ]
    assert min(len(text.split()) for text, _ in texts) > 200
    cold, warm = [], []
    for times in (cold, warm):  # the second time the context is known, as for the calls that share it
        for text, context in texts:
            start = time.process_time()
            ground(text, context)
            times.append(time.process_time() - start)
    print(f"CPU ms p50, p95: new context {_ms(cold)}, known context {_ms(warm)}")
    assert np.median(warm) < 0.01  # measured 4 ms; a loaded machine is given room


def _ms(times: list[float]) -> str:
    return f"{np.median(times) * 1e3:.2f}, {np.quantile(times, 0.95) * 1e3:.2f}"
