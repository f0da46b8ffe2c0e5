"""Opinion words: negation, strength and contrast in each language's way, and where labels do not belong to texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from liftos_pipelines.modules.sentiment.reading.label_audit import audit_labels
from liftos_pipelines.modules.sentiment.reading.lexicon import READINGS, SIGN_READINGS, Lexicon, Term, fold
from liftos_pipelines.modules.sentiment.reading.normalise import normalise
from liftos_pipelines.resources.labelled_texts import read_lexicon
from liftos_pipelines.resources.sentiment_model import LEXICON, packaged_lexicon


def said(text: str, language: str) -> dict[str, float]:
    lexicon = packaged_lexicon()
    row = lexicon.read([normalise(text)])[0]
    at = lexicon.languages.index(language) * len(READINGS)
    return dict(zip((*READINGS, *SIGN_READINGS), [*row[at : at + len(READINGS)], *row[-3:]], strict=True))


@pytest.mark.parametrize(
    ("language", "good", "turned"),
    [
        ("en", "the service is good", "the service is not good"),
        ("de", "das gefällt mir", "das gefällt mir nicht"),
        ("fr", "j'aime ce film", "j'aime pas ce film"),
        ("es", "me gusta el hotel", "no me gusta el hotel"),
        ("it", "mi piace la scelta", "non mi piace la scelta"),
        ("pt", "eu gosto do app", "eu não gosto do app"),
        ("hi", "yeh acha hai", "yeh acha nahi hai"),
        ("ar", "الخدمة جيدة و ممتازة", "الخدمة ليست ممتازة"),
    ],
)
def test_a_negator_turns_an_opinion_round(language: str, good: str, turned: str) -> None:
    assert said(good, language)["net"] > 0.2
    assert said(turned, language)["net"] < 0
    assert said(turned, language)["turned round"] > 0


def test_a_negator_ends_with_its_clause() -> None:
    assert said("no , great hotel", "en")["net"] > 0
    assert said("not today . great hotel", "en")["net"] > 0


def test_what_follows_a_contrast_is_the_last_word() -> None:
    reading = said("great room but the staff was rude", "en")
    assert reading["last clause"] < 0
    assert reading["positive"] > 0


def test_strengthening_and_weakening_words_change_the_strength() -> None:
    assert said("very slow app", "en")["negative"] > said("slow app", "en")["negative"]
    assert said("slightly slow app", "en")["negative"] < said("slow app", "en")["negative"]


def test_spellings_without_accents_and_with_an_article_are_found() -> None:
    assert fold("Größe") == "grosse"
    assert said("félicitations", "fr") == said("felicitations", "fr")
    assert said("والرائع", "ar")["positive"] > 0
    assert said("sooo gooood", "en")["positive"] > 0


def test_emoji_and_faces_count_in_every_language() -> None:
    assert said("😡", "en")["negative signs"] > 0
    assert said("ok :-D", "de")["positive signs"] > 0
    assert said("😡 ... 😍", "it")["last sign"] > 0


def test_hindi_borrows_english_words_and_others_do_not() -> None:
    assert said("ye phone amazing hai", "hi")["positive"] > 0
    assert said("das ist amazingly", "de")["negative"] == 0


def test_a_stored_lexicon_reads_the_same() -> None:
    lexicon = packaged_lexicon()
    again = Lexicon.from_rows(lexicon.rows())
    texts = [normalise(text) for text in ("not bad at all", "kein guter Tag", "😍", "")]
    np.testing.assert_array_equal(lexicon.read(texts), again.read(texts))
    assert lexicon == again


def test_every_list_rates_some_hundred_words_both_ways() -> None:
    for code in ("ar", "de", "en", "es", "fr", "hi", "it", "pt"):
        values = [term.value for term in packaged_lexicon().terms if term.language == code and term.kind == "polarity"]
        assert sum(value > 0 for value in values) > 150
        assert sum(value < 0 for value in values) > 150


def test_a_broken_list_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "xx.tsv").write_text("term\tkind\tvalue\ngood\tpolarity\tvery\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"xx\.tsv:2"):
        read_lexicon(tmp_path)
    with pytest.raises(ValueError, match=r"outside -2\.\.2"):
        Lexicon((Term(language="en", term="good", kind="polarity", value=9),))


def test_words_of_other_lists_carry_their_notice() -> None:
    for file in LEXICON.glob("AFINN*"):
        assert file.name in (LEXICON / "NOTICE.md").read_text(encoding="utf-8")


def labelled(n: int, wrong: slice, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Polarity that agrees with labels (as lexicon and tweets do), except in a stretch with labels drawn anew."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    polarity = np.where(rng.uniform(size=n) < 0.6, np.sign(labels - 1.0 + rng.normal(0, 0.9, n)), 0.0)
    polarity[wrong] = rng.permutation(polarity[wrong])
    return polarity, labels


def test_a_stretch_whose_labels_slipped_is_found_and_only_it_is_dropped() -> None:
    polarity, labels = labelled(1800, slice(0, 900), 1)
    audit = audit_labels(polarity, labels, seed=1, replicates=999)
    assert audit.changed_at == pytest.approx(900, abs=60)
    assert not audit.informative[:800].any()
    assert audit.informative[960:].all()
    # The last part can be the bad one too.
    assert audit_labels(polarity[::-1], labels[::-1], seed=1, replicates=999).informative[:800].all()


def test_a_file_without_such_a_stretch_keeps_every_row() -> None:
    for seed in range(12):
        polarity, labels = labelled(1800, slice(0, 0), seed)
        assert audit_labels(polarity, labels, seed=1, replicates=999).informative.all()


def test_labels_that_never_agree_are_kept_because_nothing_shows_which_are_wrong() -> None:
    polarity, labels = labelled(1800, slice(0, 1800), 2)
    assert audit_labels(polarity, labels, seed=1, replicates=999).informative.all()
    assert audit_labels(polarity[:50], labels[:50], seed=1).informative.all()
