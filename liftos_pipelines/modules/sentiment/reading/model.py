"""The scoring model: hashed n-grams and opinion words, linear heads, a calibration per language. Data only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from liftos_pipelines.modules.sentiment.reading.calibration import POOLED, Calibration, SoftConfusion
from liftos_pipelines.modules.sentiment.reading.features import beside, gated, hashed_counts, weighted
from liftos_pipelines.modules.sentiment.reading.lexicon import READINGS, SIGN_READINGS, Lexicon
from liftos_pipelines.modules.sentiment.reading.linear import sigmoid, softmax
from liftos_pipelines.modules.sentiment.reading.normalise import normalise

Array = NDArray[np.float64]

LABELS = ("negative", "neutral", "positive")
EMOTIONS = ("anger", "joy", "optimism", "sadness")
BASIC_EMOTIONS = ("anger", "disgust", "fear", "joy", "sadness", "surprise")
"""Ekman's six, each with a probability of its own: a text may show several, or none."""
LANGUAGES = ("ar", "en", "fr", "de", "hi", "it", "pt", "es")
FORMAT = 3
# Weights are stored as whole numbers up to this size times one scale a class.
_LEVELS = 63


LEXICON_COLUMNS = (len(READINGS) + len(SIGN_READINGS)) * (len(LANGUAGES) + 1) + len(LANGUAGES)


class ModelError(ValueError):
    """A stored model cannot be used; the message says what is wrong with it."""


def lexicon_columns(lexicon: Lexicon, normalised: Sequence[str], likely: Array) -> NDArray[np.float32]:
    """(n, LEXICON_COLUMNS) what the lists say of normalised texts; `likely` (n, 8) in the order of `LANGUAGES`."""
    width = len(READINGS)
    said = lexicon.read(normalised)
    readings = np.zeros((len(normalised), len(LANGUAGES) * width + len(SIGN_READINGS)), dtype=np.float32)
    for place, code in enumerate(LANGUAGES):
        if code in lexicon.languages:
            at = lexicon.languages.index(code) * width
            readings[:, place * width : (place + 1) * width] = said[:, at : at + width]
    readings[:, -len(SIGN_READINGS) :] = said[:, -len(SIGN_READINGS) :]
    return gated(readings, len(LANGUAGES), likely)


@dataclass(frozen=True, kw_only=True)
class Head:
    """One linear classifier: `features @ weights + bias`; weights (columns, classes) float32, n-grams first.

    `several`: classes do not exclude each other, so each has a sigmoid of its own and, in `thresholds`, the probability
    from which on it is called present.
    """

    classes: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: Array
    several: bool = False
    thresholds: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SentimentModel:
    """Everything needed to score a text.

    `calibrations` by language code, with `pooled` for the rest; `abstain_below` is the confidence under which the
    label is not to be relied on, chosen for `target_accuracy` over all languages, `abstain_by_language` the same for
    one language; `head_languages` names the languages in which the mood and irony heads were trained;
    `soft_confusion`, by language and `pooled`, is measured on texts left out of the fit; `lexicon` holds the opinion
    words; `figures` what was measured when the model was made.
    """

    bits: int
    idf: NDArray[np.float32]
    heads: Mapping[str, Head]
    calibrations: Mapping[str, Calibration]
    abstain_below: float
    target_accuracy: float
    head_languages: tuple[str, ...] = ("en",)
    origin: str = "packaged"
    figures: Mapping[str, Any] = field(default_factory=dict)
    soft_confusion: Mapping[str, SoftConfusion] = field(default_factory=dict)
    abstain_by_language: Mapping[str, float] = field(default_factory=dict)
    lexicon: Lexicon = field(default_factory=lambda: Lexicon(()))

    @property
    def n_grams(self) -> int:
        """How many of the columns of `features` are n-grams; those after them come from the lexicon."""
        return 1 << self.bits

    def features(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """(n, columns) features of raw texts: n-grams, rows of unit length, then what the lexicon says."""
        normalised = [normalise(text) for text in texts]
        n_grams = weighted(hashed_counts(normalised, bits=self.bits), self.idf)
        head = self.heads["language"]
        likely = softmax(np.asarray(n_grams @ head.weights[: self.n_grams], dtype=float) + head.bias)
        return beside(n_grams, lexicon_columns(self.lexicon, normalised, likely))

    def logits(self, features: sparse.csr_matrix) -> dict[str, Array]:
        """Raw outputs of every head, each (n, classes), in one pass over the features."""
        table = np.concatenate([head.weights for head in self.heads.values()], axis=1)
        together = np.asarray(features @ table, dtype=float)
        out, at = {}, 0
        for name, head in self.heads.items():
            out[name] = together[:, at : at + len(head.classes)] + head.bias
            at += len(head.classes)
        return out

    def calibrated(self, logits: Array, languages: Sequence[str]) -> Array:
        """(n, 3) sentiment probabilities, each row by its language's calibration."""
        probabilities = np.empty_like(logits)
        codes = np.asarray([code if code in self.calibrations else POOLED for code in languages], dtype=object)
        for code in dict.fromkeys(codes.tolist()):
            rows = np.flatnonzero(codes == code)
            probabilities[rows] = self.calibrations[code].apply(logits[rows])
        return probabilities

    def probabilities(self, texts: Sequence[str], languages: Sequence[str]) -> Array:
        """(n, 3) calibrated probabilities of negative, neutral, positive."""
        return self.calibrated(self.logits(self.features(texts))["sentiment"], languages)

    def language_probabilities(self, texts: Sequence[str]) -> Array:
        """(n, 8) in the order of the language head's classes."""
        return softmax(self.logits(self.features(texts))["language"])

    def basic_emotions(self, logits: Array) -> Array:
        """(n, 6) calibrated probabilities of `BASIC_EMOTIONS` from that head's logits; rows need not sum to one."""
        return sigmoid(logits)

    def thresholds(self, languages: Sequence[str]) -> Array:
        """(n,) confidence under which a text in each language is to be left open."""
        return np.asarray([self.abstain_by_language.get(code, self.abstain_below) for code in languages], dtype=float)

    @property
    def model_id(self) -> str:
        """Twelve hexadecimal digits that name the exact weights, calibration and threshold."""
        digest = hashlib.sha256()
        for name, array in sorted(self.to_arrays().items()):
            if name != "facts":
                digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        digest.update(json.dumps(self._facts() | {"figures": None, "origin": None}, sort_keys=True).encode())
        return digest.hexdigest()[:12]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The model as plain arrays (no objects): what an .npz file holds."""
        arrays: dict[str, NDArray[Any]] = {"idf": self.idf.astype(np.float16)}
        for name, head in self.heads.items():
            table = head.weights[: self.n_grams]
            scale = np.abs(table).max(axis=0) / _LEVELS
            scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
            arrays[f"{name}_weights"] = np.rint(table / scale).astype(np.int8).T.copy()
            arrays[f"{name}_scale"] = scale
            arrays[f"{name}_lexicon"] = head.weights[self.n_grams :].astype(np.float32).T.copy()
            arrays[f"{name}_bias"] = np.asarray(head.bias, dtype=np.float64)
        words = json.dumps(self.lexicon.rows(), ensure_ascii=False, separators=(",", ":"))
        arrays["lexicon"] = np.frombuffer(words.encode(), dtype=np.uint8)
        arrays["facts"] = np.frombuffer(json.dumps(self._facts(), sort_keys=True).encode(), dtype=np.uint8)
        return arrays

    def _facts(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "bits": self.bits,
            "classes": {name: list(head.classes) for name, head in self.heads.items()},
            "calibrations": {
                code: {"temperature": one.temperature, "offsets": list(one.offsets)}
                for code, one in self.calibrations.items()
            },
            "several": {name: list(head.thresholds) for name, head in self.heads.items() if head.several},
            "abstain_below": self.abstain_below,
            "abstain_by_language": dict(self.abstain_by_language),
            "target_accuracy": self.target_accuracy,
            "head_languages": list(self.head_languages),
            "soft_confusion": {
                code: {"matrix": one.matrix.tolist(), "counts": one.counts.tolist()}
                for code, one in self.soft_confusion.items()
            },
            "origin": self.origin,
            "figures": dict(self.figures),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> SentimentModel:
        """The model that `to_arrays` described.

        Raises
        ------
        ModelError : an array is missing, or has another format or shape than the facts say
        """
        try:
            facts = json.loads(np.asarray(arrays["facts"], dtype=np.uint8).tobytes().decode())
            if facts["format"] != FORMAT:
                raise ModelError(f"model format {facts['format']} is not {FORMAT}: train it again with this version")
            size = 1 << int(facts["bits"])
            heads = {}
            for name, classes in facts["classes"].items():
                stored = arrays[f"{name}_weights"]
                if stored.shape != (len(classes), size):
                    raise ModelError(f"{name}_weights has shape {stored.shape}, expected {(len(classes), size)}")
                weights = np.concatenate(
                    [stored.astype(np.float32).T * arrays[f"{name}_scale"], arrays[f"{name}_lexicon"].T]
                )
                if weights.shape[0] != size + LEXICON_COLUMNS:
                    raise ModelError(f"{name}_lexicon has {weights.shape[0] - size} columns, not {LEXICON_COLUMNS}")
                heads[name] = Head(
                    classes=tuple(classes),
                    weights=weights,
                    bias=arrays[f"{name}_bias"],
                    several=name in facts["several"],
                    thresholds=tuple(facts["several"].get(name, ())),
                )
            return cls(
                bits=int(facts["bits"]),
                idf=arrays["idf"].astype(np.float32),
                heads=heads,
                calibrations={
                    code: Calibration(temperature=one["temperature"], offsets=tuple(one["offsets"]))
                    for code, one in facts["calibrations"].items()
                },
                abstain_below=float(facts["abstain_below"]),
                target_accuracy=float(facts["target_accuracy"]),
                head_languages=tuple(facts["head_languages"]),
                origin=str(facts["origin"]),
                figures=facts["figures"],
                abstain_by_language=facts["abstain_by_language"],
                lexicon=Lexicon.from_rows(json.loads(np.asarray(arrays["lexicon"], dtype=np.uint8).tobytes().decode())),
                soft_confusion={
                    code: SoftConfusion(matrix=np.asarray(one["matrix"]), counts=np.asarray(one["counts"]))
                    for code, one in facts["soft_confusion"].items()
                },
            )
        except (KeyError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ModelError(f"not a sentiment model: {error!r}") from error
