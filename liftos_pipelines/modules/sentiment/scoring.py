"""Mentions scored: language, calibrated probabilities, emotions, irony, targets; a reason where there is no label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.sentiment.languages import UNKNOWN, Fallback, covered, identify, language_code
from liftos_pipelines.modules.sentiment.linear import softmax
from liftos_pipelines.modules.sentiment.model import EMOTIONS, LABELS, SentimentModel
from liftos_pipelines.modules.sentiment.normalise import emoji_only, strip_markup, unscorable
from liftos_pipelines.modules.sentiment.targets import windows
from liftos_pipelines.tables import table
from liftos_pipelines.text import NameFinder

Array = NDArray[np.float64]

NOT_COVERED = "language not covered"
EMOJI_ONLY = "emoji only"
LOW_CONFIDENCE = "low confidence"

BATCH = 5_000
_SCHEMA = {**table("sentiment/mention_scores").columns, "reason": pl.String()}


def score_mentions(
    mentions: pl.DataFrame, model: SentimentModel, finder: NameFinder, fallback: Fallback | None = None
) -> pl.DataFrame:
    """One row per mention, in the order given.

    Parameters
    ----------
    mentions : mention_id, text, language (null where the client does not say; a given language wins)
    finder : the names whose targets are scored
    fallback : a second language identifier, asked where the model's own is not sure

    Returns
    -------
    contract columns of `sentiment/mention_scores` and `reason`. A text that cannot be scored (empty, not text, no
    letters, emoji only, a language or script the model never saw) has label `unknown`, null probabilities and
    abstained true. A scored text under the confidence threshold keeps its most likely label, abstained true and
    reason `low confidence`. Emotions and irony are null outside the languages they were trained in.
    """
    parts = [
        _score_batch(mentions.slice(start, BATCH), model, finder, fallback)
        for start in range(0, mentions.height, BATCH)
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=_SCHEMA)


def _score_batch(
    mentions: pl.DataFrame, model: SentimentModel, finder: NameFinder, fallback: Fallback | None
) -> pl.DataFrame:
    raw = mentions["text"].to_list()
    reasons: list[str | None] = [unscorable(text) for text in raw]
    texts = [strip_markup(text) if reason is None else "" for text, reason in zip(raw, reasons, strict=True)]
    logits = model.logits(model.features(texts))
    given = [language_code(value) for value in mentions["language"].to_list()]
    languages = _languages(texts, given, reasons, softmax(logits["language"]), fallback)
    for i, (text, language) in enumerate(zip(texts, languages, strict=True)):
        if reasons[i] is None and emoji_only(text):
            reasons[i] = EMOJI_ONLY
        elif reasons[i] is None and not covered(language, text):
            reasons[i] = NOT_COVERED
    scored = np.asarray([reason is None for reason in reasons], dtype=bool)
    p = model.calibrated(logits["sentiment"], languages)
    confidence, best = p.max(axis=1), p.argmax(axis=1)
    unsure = scored & (confidence < model.abstain_below)
    tasks = scored & np.isin(np.asarray(languages, dtype=object), model.head_languages)
    emotion = softmax(logits["emotion"]) if "emotion" in logits else None
    irony = softmax(logits["irony"])[:, 1] if "irony" in logits else None
    return pl.DataFrame(
        {
            "mention_id": mentions["mention_id"].to_list(),
            "language": languages,
            **{f"p_{label}": _where(scored, p[:, k]) for k, label in enumerate(LABELS)},
            "label": [LABELS[best[i]] if scored[i] else UNKNOWN for i in range(len(raw))],
            "confidence": _where(scored, confidence),
            "abstained": ~scored | unsure,
            "emotions": [
                dict(zip(EMOTIONS, map(float, emotion[i]), strict=True))
                if emotion is not None and tasks[i]
                else dict.fromkeys(EMOTIONS)
                for i in range(len(raw))
            ],
            "irony": _where(tasks, irony) if irony is not None else [None] * len(raw),
            "targets": _targets(texts, languages, scored, p, model, finder),
            "reason": [
                reason if reason is not None else (LOW_CONFIDENCE if unsure[i] else None)
                for i, reason in enumerate(reasons)
            ],
        },
        schema=_SCHEMA,
    )


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


def _targets(
    texts: Sequence[str],
    languages: Sequence[str],
    scored: NDArray[np.bool_],
    whole: Array,
    model: SentimentModel,
    finder: NameFinder,
) -> list[list[dict[str, object]]]:
    found = [window for window in windows(texts, finder) if scored[window.row]]
    apart = [k for k, window in enumerate(found) if window.text != texts[window.row].strip()]
    p = whole[[window.row for window in found]] if found else np.empty((0, 3))
    if apart:
        p[apart] = model.probabilities([found[k].text for k in apart], [languages[found[k].row] for k in apart])
    by_name: list[dict[str, list[Array]]] = [{} for _ in texts]
    for window, row in zip(found, p, strict=True):
        by_name[window.row].setdefault(window.name, []).append(row)
    out: list[list[dict[str, object]]] = []
    for names in by_name:
        out.append([])
        for name, rows in names.items():
            mean = np.mean(rows, axis=0)
            sure = float(mean.max())
            label = LABELS[int(mean.argmax())] if sure >= model.abstain_below else UNKNOWN
            out[-1].append({"name": name, "label": label, "confidence": sure})
    return out


def _where(mask: NDArray[np.bool_], values: Array) -> list[float | None]:
    return [float(value) if keep else None for keep, value in zip(mask, values, strict=True)]
