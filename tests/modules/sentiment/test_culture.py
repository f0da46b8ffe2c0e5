"""Conventions by language: a known effect is found, one that is not there is not claimed."""

from __future__ import annotations

import numpy as np
import pytest

from liftos_pipelines.modules.sentiment.reading.culture import (
    class_priors,
    convention_rates,
    convention_table,
    conventions,
    language_profile,
)


@pytest.mark.parametrize(
    ("text", "language", "convention"),
    [
        ("jajaja qué día", "es", "laughter"),
        ("kkkkk adorei", "pt", "laughter"),
        ("ههههه", "ar", "laughter"),
        ("Sehr geehrte Frau Meier", "de", "honorific"),
        ("modi ji kab aaoge", "hi", "honorific"),
        ("Monsieur le maire", "fr", "honorific"),
        ("soooo late", "en", "elongation"),
        ("bello 😍", "it", "emoji"),
        ("fine :-)", "en", "emoji"),
    ],
)
def test_a_convention_is_seen_in_its_language(text: str, language: str, convention: str) -> None:
    flags = conventions([text, "plain words only"], [language, language])
    assert flags[convention].tolist() == [True, False]


def world(seed: int, effect: float, n: int = 1200) -> tuple[list[str], list[str], list[str]]:
    """Half of the texts laugh; those are positive more often by `effect` in Spanish and not at all in French."""
    rng = np.random.default_rng(seed)
    texts, labels, languages = [], [], []
    for code in ("es", "fr"):
        for _ in range(n):
            laughs = rng.uniform() < 0.5
            p = 0.4 + (effect if laughs and code == "es" else 0.0)
            texts.append("palabra jajaja" if laughs else "palabra")
            labels.append(str(rng.choice(["positive", "negative"], p=[p, 1 - p])))
            languages.append(code)
    return texts, labels, languages


def test_what_laughter_says_is_found_by_language_and_only_where_it_says_something() -> None:
    covered = claimed = 0
    for seed in range(40):
        table = convention_table(*world(seed, 0.3)).filter(convention="laughter")
        spanish, french = table.filter(language="es").row(0, named=True), table.filter(language="fr").row(0, named=True)
        covered += spanish["positive_low"] <= 0.15 <= spanish["positive_high"]  # .3 against a mean that half carry
        claimed += not french["positive_low"] <= 0 <= french["positive_high"]
    assert covered >= 32  # 90 % intervals, 40 worlds
    assert claimed <= 9
    pooled = convention_table(*[[*a] for a in world(1, 0.3)][:2], languages=["es"] * 2400).row(0, named=True)
    assert pooled["positive_lift"] < 0.12  # the dummy that does not tell languages apart misses half of it


def test_few_texts_claim_nothing_and_a_wrong_label_is_named() -> None:
    row = convention_table(["jajaja"] * 3 + ["no"] * 40, ["positive"] * 43, ["es"] * 43).row(0, named=True)
    assert row["with_convention"] == 3
    assert row["positive_lift"] is None
    with pytest.raises(ValueError, match="'fine' is not one of"):
        convention_table(["a"], ["fine"], ["en"])


def test_rates_hold_their_interval_and_unknown_languages_have_no_honorifics() -> None:
    rates = convention_rates(["jajaja"] * 30 + ["nada"] * 70 + ["w słowie"], ["es"] * 100 + ["pl"])
    laughter = rates.filter(language="es", convention="laughter").row(0, named=True)
    assert laughter["low"] < laughter["rate"] == 0.3 < laughter["high"]
    assert rates.filter(language="pl", convention="honorific")["rate"][0] is None
    assert convention_rates([], []).is_empty()


def test_priors_of_a_small_group_are_drawn_to_the_whole() -> None:
    labels = ["positive"] * 90 + ["negative"] * 10 + ["negative"]
    priors = class_priors(labels, {"source": ["a"] * 100 + ["b"]})
    assert priors.filter(source="a")["p_positive"][0] == pytest.approx(0.9, abs=0.01)
    assert 0.3 < priors.filter(source="b")["p_positive"][0] < 0.5


def test_the_profile_shows_what_the_model_measured_and_null_where_nothing_was() -> None:
    figures = {
        "out_of_fold": {"by_language": {"es": {"macro_f1": 0.6, "ece_debiased": 0.01, "net_sentiment_bias": 0.0}}}
    }
    profile = language_profile(["hola jajaja", "hei"], ["es", "no"], [False, None], figures)
    assert profile.filter(language="es")["model_macro_f1"][0] == 0.6
    assert profile.filter(language="no")["model_macro_f1"][0] is None
    assert profile.filter(language="no")["share_mixed"][0] is None
