"""Mentions scored by the packaged model: what it gets right, and what it must refuse to answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from target_sentences import COMPARISONS, CONTRASTS, TOGETHER

from liftos_pipelines.modules.sentiment.reading.encoder import PackagedReader
from liftos_pipelines.modules.sentiment.reading.languages import language_code
from liftos_pipelines.modules.sentiment.reading.model import LABELS, ModelError, SentimentModel
from liftos_pipelines.modules.sentiment.reading.scoring import Reading, Subjects, net_sentiment, score_mentions
from liftos_pipelines.modules.sentiment.reading.targets import clauses, windows
from liftos_pipelines.resources.sentiment_model import (
    PACKAGED,
    load_model,
    packaged_model,
    save_model,
    second_identifier,
    validate,
)
from liftos_pipelines.tables import table
from liftos_pipelines.text import Name, NameFinder

FINDER = NameFinder([Name(name="Acme"), Name(name="Globex"), Name(name="Münch Café")])
TOPICS = {"delivery": ["delivery", "parcel*", "lieferung*"], "price": ["price*", "preis*"]}
SUBJECTS = Subjects(finder=FINDER, kinds={"Acme": "brand", "Globex": "competitor"}, topics=TOPICS)


def reading() -> Reading:
    """The fast tier alone: what every machine has."""
    return Reading(packaged=PackagedReader(model=packaged_model()), fallback=second_identifier())


def scored(*texts: str | None, language: str | None = None) -> pl.DataFrame:
    mentions = pl.DataFrame(
        {"mention_id": [str(i) for i in range(len(texts))], "text": texts, "language": [language] * len(texts)},
        schema={"mention_id": pl.String, "text": pl.String, "language": pl.String},
    )
    return score_mentions(mentions, reading(), SUBJECTS)


def test_plain_opinions_get_their_label_in_every_language_but_the_hard_one() -> None:
    positive = ["I love this, it is wonderful", "ich liebe es, einfach super", "j'adore, c'est magnifique",
                "me encanta, es genial y feliz", "eu amo, muito lindo e feliz", "adoro, bellissimo e bravo", "جميل جدا احبك"]  # fmt: skip
    negative = ["I hate this, terrible and awful", "ich hasse das, so schlecht und traurig", "je déteste, c'est nul et triste",
                "odio esto, es una mierda y triste", "odeio isso, que triste e ruim", "odio questo, che schifo e vergogna",
                "سيء جدا وحزين"]  # fmt: skip
    found = scored(*positive, *negative)
    right = (found["label"] == ["positive"] * 7 + ["negative"] * 7).sum()
    assert right >= 12


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "empty"),
        ("", "empty"),
        ("<div></div>", "empty"),
        ("\x00\x01\x02\x03\x04\x05PK", "not text"),
        ("12345 !!!", "no letters"),
        ("😡😡😡", "emoji only"),
        ("Это совсем плохой магазин и очень долгая доставка", "language not covered"),
        ("この店は最悪でした、二度と買いません", "language not covered"),
        ("यह बहुत खराब सेवा है मुझे पसंद नहीं", "language not covered"),
        ("Dit is een heel slechte winkel en ik wil mijn geld gewoon terug hebben", "language not covered"),
    ],
)
def test_what_cannot_be_scored_is_unknown_with_a_reason_and_never_neutral(text: str | None, reason: str) -> None:
    row = scored(text).row(0, named=True)
    assert row["reason"] == reason
    assert row["label"] == "unknown"
    assert row["abstained"]
    assert row["p_negative"] is row["p_neutral"] is row["p_positive"] is row["confidence"] is row["irony"] is None
    assert row["targets"] == []


def test_strange_texts_are_scored_without_harm() -> None:
    found = scored(
        "bad " * 300_000,
        "\u202eterrible service\u202c",
        "<b>great</b> &amp; <script>x()</script> lovely day",
        "a" * 4_000,
    )
    assert found.height == 4
    assert set(table("sentiment/mention_scores").columns) - set(found.columns) == {"text_id", "scored_with"}
    sums = found.select(pl.sum_horizontal("p_negative", "p_neutral", "p_positive")).to_series().drop_nulls()
    np.testing.assert_allclose(sums.to_numpy(), 1.0, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(max_size=80) | st.binary(max_size=40).map(lambda raw: raw.decode("utf-8", "replace")), max_size=8)
)
def test_no_text_stops_the_batch_or_becomes_a_silent_neutral(texts: list[str]) -> None:
    found = scored(*texts)
    assert found.height == len(texts)
    without = found.filter(pl.col("p_neutral").is_null())
    assert without["reason"].null_count() == 0
    assert set(without["label"]) <= {"unknown"}
    sums = found.select(pl.sum_horizontal("p_negative", "p_neutral", "p_positive", ignore_nulls=False)).to_series()
    assert (sums.drop_nulls() - 1).abs().sum() < 1e-6


def test_no_mention_is_an_empty_table_of_the_same_columns() -> None:
    assert scored().is_empty()
    assert scored().schema == scored("good").schema


def test_the_language_a_client_gives_wins() -> None:
    assert scored("super genial", language="de-AT")["language"][0] == "de"
    assert scored("this is a fine day for all of us", language="Dutch please")["language"][0] == "en"
    assert [language_code(value) for value in ("English", "pt_BR", "", None, "und", "??")] == [
        "en",
        "pt",
        None,
        None,
        None,
        None,
    ]


def test_basic_emotions_are_given_where_they_were_trained_and_nothing_is_made_up_elsewhere() -> None:
    pairs = [
        ("I am so angry and furious, I hate this", "I am so happy, what a joy, I love it"),
        ("ich bin so wütend, ich hasse das", "ich bin so glücklich, was für eine Freude"),
        ("estoy furioso, odio esto", "estoy tan feliz, qué alegría"),
        ("je suis furieux, je déteste ça", "je suis si heureux, quelle joie"),
    ]
    for angry, happy in pairs:
        (one, other) = scored(angry, happy).iter_rows(named=True)
        assert one["emotions"]["anger"] > other["emotions"]["anger"]
        assert one["emotions"]["joy"] < other["emotions"]["joy"]
        assert one["irony"] is one["mood"] is None  # the fast tier alone does not read them
    hindi = scored("yeh bahut bekar hai bhai, gussa aa raha hai", language="hi").row(0, named=True)
    assert set(hindi["emotions"].values()) == {None}


def test_topics_and_mixed_languages_are_told() -> None:
    found = scored(
        "the parcel came late and the price is a joke",
        "Die Lieferung war gut und der Preis auch",
        "das ist so ein cooles Ding and I really love it because it is the best of all",
        "I really love it because it is the best of all",
        None,
    )
    assert found["topics"].to_list() == [["delivery", "price"], ["delivery", "price"], [], [], []]
    assert found["mixed"].to_list() == [False, False, True, False, None]


def test_each_name_is_judged_by_its_own_clause() -> None:
    row = scored("I love Acme, it is wonderful and amazing, but Globex is terrible and I hate it").row(0, named=True)
    labels = {target["name"]: target["label"] for target in row["targets"]}
    assert labels == {"Acme": "positive", "Globex": "negative"}


@pytest.mark.parametrize(
    ("rows", "least"),
    [(CONTRASTS, 0.75), (COMPARISONS, 0.9), (TOGETHER, 0.7)],
    ids=["contrasts", "comparisons", "both"],
)
def test_each_name_gets_its_own_side(rows: list[tuple[str, str, dict[str, str]]], least: float) -> None:
    texts, languages = [row[1] for row in rows], [row[0] for row in rows]
    frame = pl.DataFrame({"mention_id": texts, "text": texts, "language": languages})
    found = score_mentions(frame, reading(), SUBJECTS)
    right, whole, n = 0, 0, 0
    for (_, _, expected), row in zip(rows, found.iter_rows(named=True), strict=True):
        net = {target["name"]: target["net_sentiment"] for target in row["targets"]}
        for name, sign in expected.items():
            right += name in net and (net[name] > 0) == (sign == "+")
            whole += ((row["p_positive"] or 0) > (row["p_negative"] or 0)) == (sign == "+")  # one verdict for all names
            n += 1
    assert right / n >= least
    assert rows is TOGETHER or whole / n <= 0.65


def test_a_comparison_is_told_with_the_name() -> None:
    (targets,) = scored("Acme is worse than Globex")["targets"].to_list()
    assert {target["name"]: (target["compared"], target["kind"]) for target in targets} == {
        "Acme": ("worse", "brand"),
        "Globex": ("better", "competitor"),
    }


def test_the_quick_reading_agrees_with_the_full_one() -> None:
    texts = ["I love it", "ich hasse es", "", "c'est nul", "12345", "una maravilla"]
    quick = net_sentiment(texts, reading())
    full = scored(*texts).select((pl.col("p_positive") - pl.col("p_negative")).fill_null(float("nan"))).to_series()
    np.testing.assert_allclose(quick, full.to_numpy())


def test_windows_find_names_behind_accents_and_borrow_when_too_short() -> None:
    text = "Ｍünch Café war toll. ACME: furchtbar, nie wieder"
    found = {window.name: window.text for window in windows([text], FINDER)}
    assert found["Münch Café"] == "Ｍünch Café war toll."
    assert "furchtbar" in found["Acme"]
    assert "".join(text[a:b] for a, b in clauses(text)) == text
    assert clauses("") == [(0, 0)]


def test_a_saved_model_scores_the_same_and_a_broken_file_is_refused(tmp_path: Path) -> None:
    model = packaged_model()
    save_model(model, tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz")
    assert again.model_id == model.model_id
    texts = ["great", "no puedo más", "whatever"]
    np.testing.assert_allclose(
        again.probabilities(texts, ["en", "es", "fr"]), model.probabilities(texts, ["en", "es", "fr"]), atol=1e-6
    )
    (tmp_path / "broken.npz").write_bytes((tmp_path / "model.npz").read_bytes()[:1000])
    for path in (tmp_path / "broken.npz", tmp_path / "absent.npz"):
        with pytest.raises(ModelError, match=path.name):
            load_model(path)
    arrays = model.to_arrays()
    with pytest.raises(ModelError, match="sentiment_weights"):
        SentimentModel.from_arrays(arrays | {"sentiment_weights": arrays["sentiment_weights"][:, :8]})


def test_the_packaged_model_is_small() -> None:
    assert PACKAGED.stat().st_size < 2_000_000


def test_the_packaged_model_keeps_its_figures_on_the_public_validation_sets(shared_data: Path) -> None:
    figures = validate(packaged_model(), shared_data)
    overall = figures["validation"]["all"]
    majority = 1 / 6  # macro-F1 of always answering the same of three balanced classes
    assert figures["validation"]["mean_macro_f1"] > 0.54
    assert figures["validation"]["mean_macro_f1"] > 3 * majority
    assert overall["ece"] < 0.04
    assert overall["accuracy_when_kept"] > packaged_model().target_accuracy - 0.02
    assert overall["coverage"] > 0.35
    assert figures["language"]["accuracy"] > 0.95
    assert figures["emotion"]["macro_f1"] > 0.60
    assert figures["irony"]["f1_last_class"] > 0.58
    assert set(figures["validation"]["by_language"]) == {"ar", "en", "fr", "de", "hi", "it", "pt", "es"}


def test_open_set_languages_are_mostly_recognised_as_others() -> None:
    others = [
        "Jag tycker att den nya jackan är väldigt bra men leveransen tog alldeles för lång tid",
        "Kurtka jest bardzo dobra, ale dostawa trwała zdecydowanie za długo i nikt nie odpisał",
        "Ceket çok güzel ama teslimat çok uzun sürdü ve kimse bana cevap vermedi",
        "De jas is erg mooi maar de levering duurde veel te lang en niemand antwoordde mij",
        "Takki on todella hyvä mutta toimitus kesti aivan liian kauan eikä kukaan vastannut",
        "Jaketnya sangat bagus tetapi pengirimannya terlalu lama dan tidak ada yang menjawab saya",
        "A kabát nagyon jó, de a szállítás túl sokáig tartott és senki sem válaszolt nekem",
        "Bunda je velmi dobrá, ale doručení trvalo příliš dlouho a nikdo mi neodpověděl",
    ]
    found = scored(*others)
    assert (found["reason"] == "language not covered").sum() >= 7
    assert not set(found["label"]) & set(LABELS) or found.filter(pl.col("label") != "unknown").height <= 1
