"""Personal data planted at known places are found and removed; numbers that only look so are left alone."""

from __future__ import annotations

import pytest

from liftos_pipelines.modules.llm.screens import pii, redact
from liftos_pipelines.modules.llm.screens.checksums import CHECKS
from liftos_pipelines.modules.llm.screens.pii import find_pii
from liftos_pipelines.simulate.personal_data import personal_messages


def test_planted_data_are_found_and_decoys_are_not() -> None:
    found = missed = false = digits = 0
    for message in personal_messages(n=1500, seed=9):
        left = list(find_pii(message.text))
        for kind, value in message.planted:
            hit = next((one for one in left if one.kind == kind and (value in one.text or one.text in value)), None)
            if hit is None:
                missed += 1
            else:
                found += 1
                left.remove(hit)
        false += len(left)
        digits += sum(len(run) >= 5 for run in message.text.split() if run.isdigit()) > 0
    assert found / (found + missed) >= 0.97
    assert found / (found + false) >= 0.97
    assert digits > 200  # the decoys a screen for any long number would have flagged


@pytest.mark.parametrize(
    ("kind", "right"),
    [
        ("iban", "DE89 3704 0044 0532 0130 00"),
        ("card", "4111 1111 1111 1111"),
        ("german tax id", "86095742719"),
        ("spanish id", "12345678Z"),
        ("french insurance number", "2 55 08 14 168 025 38"),
        ("italian tax code", "RSSMRA85T10A562S"),
        ("dutch citizen number", "111222333"),
        ("polish id", "44051401359"),
        ("brazilian id", "529.982.247-25"),
    ],
)
def test_published_examples_pass_their_check_and_fail_it_with_one_sign_changed(kind: str, right: str) -> None:
    assert CHECKS[kind](right)
    last = (
        "A"
        if right[-1] != "A" and right[-1].isalpha()
        else str((int(right[-1]) + 1) % 10)
        if right[-1].isdigit()
        else "B"
    )
    assert not CHECKS[kind](right[:-1] + last)


def test_a_number_needs_the_word_that_says_what_it_is() -> None:
    assert pii("Steuer-ID: 86095742719").kind == "german tax id"
    assert pii("Order 86095742719 is late").flagged is False
    assert pii("BSN 111222333").flagged is True
    assert pii("born on 1980-02-03").kind == "birth date"
    assert pii("shipped on 1980-02-03").flagged is False


def test_redaction_leaves_the_rest_and_leaks_nothing_found() -> None:
    text = "Mrs Weber (anna.weber@example.com, +49 30 1234567) pays from DE89370400440532013000, order 4711."
    clean = redact(text)
    assert clean == "Mrs [person] ([email], [phone]) pays from [iban], order 4711."
    assert redact(clean) == clean


def test_no_text_is_not_measured() -> None:
    assert pii(None).flagged is None
    assert pii(" ").flagged is None
    assert pii("v1.2.3 of 255.255.255.0").flagged is False
