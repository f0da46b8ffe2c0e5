"""Mentions scored: language, calibrated probabilities, emotions, topics, targets; a reason where there is no label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.sentiment.reading.calibration import SoftConfusion
from liftos_pipelines.modules.sentiment.reading.comparisons import comparisons
from liftos_pipelines.modules.sentiment.reading.emotions import BASIC, GROUPS, Emotions
from liftos_pipelines.modules.sentiment.reading.encoder import PackagedReader, SentimentReader
from liftos_pipelines.modules.sentiment.reading.languages import (
    UNKNOWN,
    Fallback,
    code_mixed,
    covered,
    identify,
    language_code,
)
from liftos_pipelines.modules.sentiment.reading.linear import softmax
from liftos_pipelines.modules.sentiment.reading.model import BASIC_EMOTIONS, LABELS, SentimentModel
from liftos_pipelines.modules.sentiment.reading.normalise import emoji_only, strip_markup, unscorable
from liftos_pipelines.modules.sentiment.reading.targets import Window, windows
from liftos_pipelines.modules.sentiment.reading.topics import topics_of
from liftos_pipelines.tables import table
from liftos_pipelines.text import NameFinder, fold

Array = NDArray[np.float64]
Kind = Literal["brand", "competitor", "product", "campaign"]

NOT_COVERED = "language not covered"
EMOJI_ONLY = "emoji only"
LOW_CONFIDENCE = "low confidence"

EMOTION_LANGUAGES = ("ar", "de", "en", "es", "fr", "it", "pt")
"""Where texts with known emotions were to be had for the n-gram head."""
BATCH = 5_000
_SCORED = {
    name: dtype
    for name, dtype in table("sentiment/mention_scores").columns.items()
    if name not in ("text_id", "scored_with")  # which say when to score again, and are the caller's
}


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """What mentions may speak of: names with their kind, and topics with their keywords."""

    finder: NameFinder = field(default_factory=lambda: NameFinder([]))
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    topics: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Who reads: the packaged tiers, another classifier instead of them, and a second identifier of languages.

    `classifier` answers for sentiment where it is given; languages, emotions and irony stay with the packaged tiers.
    """

    packaged: PackagedReader
    classifier: SentimentReader | None = None
    fallback: Fallback | None = None

    @property
    def model(self) -> SentimentModel:
        """The fast tier."""
        return self.packaged.model

    def thresholds(self, languages: Sequence[str]) -> Array:
        """(n,) confidence under which a text is left open; of another classifier none is known, so the fast tier's."""
        return self.packaged.thresholds(languages) if self.classifier is None else self.model.thresholds(languages)

    @property
    def soft_confusion(self) -> Mapping[str, SoftConfusion] | None:
        """What is said of each class on average; None where another classifier answers, of which it is not known."""
        return self.packaged.soft_confusion if self.classifier is None else None

    @property
    def origin(self) -> str:
        """Whose weights answer for sentiment."""
        return self.packaged.origin if self.classifier is None else self.classifier.origin

    @property
    def model_id(self) -> str:
        """Names every set of weights that a score depends on."""
        if self.classifier is None:
            return self.packaged.model_id
        return f"{self.classifier.model_id} beside {self.packaged.model_id}"


def score_mentions(mentions: pl.DataFrame, reading: Reading, subjects: Subjects | None = None) -> pl.DataFrame:
    """One row per mention, in the order given.

    Parameters
    ----------
    mentions : mention_id, text, language (null where the client does not say; a given language wins)

    Returns
    -------
    the columns of `sentiment/mention_scores` but `text_id` and `scored_with`. A text that cannot be scored (empty, not
    text, no letters, emoji only, a language or script the model never saw) has label `unknown`, null probabilities and
    abstained true. A scored text under the confidence threshold keeps its most likely label, abstained true and reason
    `low confidence`. Emotions and irony are null in languages in which nobody could be trained for them.
    """
    subjects = subjects or Subjects()
    parts = [
        _score_batch(mentions.slice(start, BATCH), reading, subjects) for start in range(0, mentions.height, BATCH)
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=_SCORED)


def net_sentiment(texts: Sequence[str], reading: Reading) -> Array:
    """(n,) probability of positive minus probability of negative by the fast tier; NaN where it cannot score a text."""
    net = np.full(len(texts), np.nan)
    for start in range(0, len(texts), BATCH):
        opened = _open(texts[start : start + BATCH], [None] * len(texts[start : start + BATCH]), reading)
        p = reading.model.calibrated(opened.logits["sentiment"], opened.languages)
        rows = np.flatnonzero(opened.scored)
        net[start + rows] = p[rows, 2] - p[rows, 0]
    return net


@dataclass(frozen=True, kw_only=True, eq=False)
class _Opened:
    """Texts without markup, what the fast tier says of them, their languages, and why some cannot be scored."""

    texts: list[str]
    logits: dict[str, Array]
    languages: list[str]
    reasons: list[str | None]

    @property
    def scored(self) -> NDArray[np.bool_]:
        return np.asarray([reason is None for reason in self.reasons], dtype=bool)


def _open(raw: Sequence[str | None], given: Sequence[str | None], reading: Reading) -> _Opened:
    model = reading.model
    reasons: list[str | None] = [unscorable(text) for text in raw]
    texts = [strip_markup(text or "") if reason is None else "" for text, reason in zip(raw, reasons, strict=True)]
    logits = model.logits(model.features(texts))
    codes = [language_code(value) for value in given]
    languages = _languages(texts, codes, reasons, softmax(logits["language"]), reading.fallback)
    for i, (text, language) in enumerate(zip(texts, languages, strict=True)):
        if reasons[i] is None and emoji_only(text):
            reasons[i] = EMOJI_ONLY
        elif reasons[i] is None and not _covered(reading, language, text):
            reasons[i] = NOT_COVERED
    return _Opened(texts=texts, logits=logits, languages=languages, reasons=reasons)


def _score_batch(mentions: pl.DataFrame, reading: Reading, subjects: Subjects) -> pl.DataFrame:
    model = reading.model
    opened = _open(mentions["text"].to_list(), mentions["language"].to_list(), reading)
    texts, logits, languages, scored = opened.texts, opened.logits, opened.languages, opened.scored
    fast = model.calibrated(logits["sentiment"], languages)
    read = reading.packaged.read(texts, languages, fast=fast, skip=~scored)
    p = read.probabilities
    if reading.classifier is not None:
        rows = np.flatnonzero(scored)
        p[rows] = reading.classifier.probabilities([texts[i] for i in rows], [languages[i] for i in rows])
    confidence, best = p.max(axis=1), p.argmax(axis=1)
    unsure = scored & (confidence < reading.thresholds(languages))
    return pl.DataFrame(
        {
            "mention_id": mentions["mention_id"].to_list(),
            "language": languages,
            "mixed": [bool(flag) if scored[i] else None for i, flag in enumerate(code_mixed(texts, model.lexicon))],
            **{f"p_{label}": _where(scored, p[:, k]) for k, label in enumerate(LABELS)},
            "label": [LABELS[best[i]] if scored[i] else UNKNOWN for i in range(len(texts))],
            "confidence": _where(scored, confidence),
            "abstained": ~scored | unsure,
            **_emotion_columns(read.emotions, model, logits, scored, languages),
            "topics": topics_of([text if scored[i] else None for i, text in enumerate(texts)], subjects.topics),
            "targets": _targets(texts, languages, scored, p, reading, subjects),
            "reason": [
                reason if reason is not None else (LOW_CONFIDENCE if unsure[i] else None)
                for i, reason in enumerate(opened.reasons)
            ],
            "model_id": [reading.model_id] * len(texts),
        },
        schema=_SCORED,
        strict=False,
    )


def _covered(reading: Reading, language: str, text: str) -> bool:
    """Whether whoever answers for sentiment was made for this language."""
    if reading.classifier is None:
        return covered(language, text)
    known = reading.classifier.languages
    return known is None or language in known


def _languages(
    texts: Sequence[str],
    given: Sequence[str | None],
    reasons: Sequence[str | None],
    own: Array,
    fallback: Fallback | None,
) -> list[str]:
    ask = [i for i, (code, reason) in enumerate(zip(given, reasons, strict=True)) if code is None and reason is None]
    answers = dict(zip(ask, identify([texts[i] for i in ask], own[ask], fallback), strict=True))
    return [given[i] or answers.get(i, UNKNOWN) for i in range(len(texts))]


def _emotion_columns(
    read: Emotions, model: SentimentModel, logits: Mapping[str, Array], scored: NDArray[np.bool_], languages: list[str]
) -> dict[str, list[object]]:
    """The encoder's reading where it read, else the six basic emotions from n-grams, and nothing of the rest."""
    basic = read.basic.copy()
    if "emotion6" in logits:
        rows = scored & np.isnan(basic[:, 0]) & np.isin(np.asarray(languages, dtype=object), EMOTION_LANGUAGES)
        columns = np.asarray([BASIC.index(name) for name in BASIC_EMOTIONS])
        basic[np.ix_(np.flatnonzero(rows), columns)] = model.basic_emotions(logits["emotion6"][rows])
    return {
        "emotions": _structs(BASIC, basic),
        "emotion_groups": _structs(GROUPS, read.groups),
        "emotions_fine": [
            [{"name": name, "probability": probability} for name, probability in named] for named in read.fine
        ],
        "mood": list(read.mood),
        "mood_probability": [_known(value) for value in read.mood_probability],
        "irony": [_known(value) for value in read.irony],
    }


def _targets(
    texts: Sequence[str],
    languages: Sequence[str],
    scored: NDArray[np.bool_],
    whole: Array,
    reading: Reading,
    subjects: Subjects,
) -> list[list[dict[str, object]]]:
    found = [window for window in windows(texts, subjects.finder) if scored[window.row]]
    p = _window_probabilities(found, texts, languages, whole, reading)
    by_name: list[dict[str, list[Array]]] = [{} for _ in texts]
    for window, row in zip(found, p, strict=True):
        by_name[window.row].setdefault(window.name, []).append(row)
    out: list[list[dict[str, object]]] = []
    for i, names in enumerate(by_name):
        said = comparisons(fold(texts[i]), subjects.finder.find(texts[i])) if len(names) > 1 else {}
        sure = reading.model.thresholds([languages[i]])[0]
        out.append([])
        for name, rows in names.items():
            mean, relation = np.mean(rows, axis=0), said.get(name)
            if relation is not None:
                # Whom the sentence praises and whom it blames is stated; how strongly is what the classifier reads.
                least, most = sorted((mean[0], mean[2]))
                mean = np.array([least, mean[1], most] if relation == "better" else [most, mean[1], least])
            best = float(mean.max())
            label = LABELS[int(mean.argmax())] if best >= sure else UNKNOWN
            out[-1].append(
                {
                    "name": name,
                    "label": label,
                    "confidence": best,
                    "kind": subjects.kinds.get(name),
                    "net_sentiment": float(mean[2] - mean[0]),
                    "compared": relation,
                }
            )
    return out


def _window_probabilities(
    found: Sequence[Window], texts: Sequence[str], languages: Sequence[str], whole: Array, reading: Reading
) -> Array:
    """(windows, 3): the text's own where the window is the whole text, else the window read by itself.

    Clauses are short and many, so they are read by n-grams and lexicon, or by the client's own classifier.
    """
    p = whole[[window.row for window in found]] if found else np.empty((0, len(LABELS)))
    apart = [k for k, window in enumerate(found) if window.text != texts[window.row].strip()]
    if apart:
        reader = reading.classifier or reading.model
        p[apart] = reader.probabilities([found[k].text for k in apart], [languages[found[k].row] for k in apart])
    return p


def _structs(names: Sequence[str], values: Array) -> list[object]:
    return [{name: _known(value) for name, value in zip(names, row, strict=True)} for row in values]


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _where(mask: NDArray[np.bool_], values: Array) -> list[float | None]:
    return [float(value) if keep else None for keep, value in zip(mask, values, strict=True)]
