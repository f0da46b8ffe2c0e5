"""The scoring model: hashed features, four linear heads, a calibration per language. Data only, no training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from liftos_pipelines.modules.sentiment.calibration import POOLED, Calibration, SoftConfusion
from liftos_pipelines.modules.sentiment.features import hashed_counts, weighted
from liftos_pipelines.modules.sentiment.linear import softmax
from liftos_pipelines.modules.sentiment.normalise import normalise

Array = NDArray[np.float64]

LABELS = ("negative", "neutral", "positive")
EMOTIONS = ("anger", "joy", "optimism", "sadness")
LANGUAGES = ("ar", "en", "fr", "de", "hi", "it", "pt", "es")
FORMAT = 2
# Weights are stored as whole numbers up to this size times one scale a class.
_LEVELS = 63


class ModelError(ValueError):
    """A stored model cannot be used; the message says what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """One linear classifier: `features @ weights + bias`; weights (2**bits, classes) float32."""

    classes: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: Array


@dataclass(frozen=True, kw_only=True)
class SentimentModel:
    """Everything needed to score a text.

    `calibrations` by language code, with `pooled` for the rest; `abstain_below` is the confidence under which the
    label is not to be relied on, chosen for `target_accuracy`; `head_languages` names the languages in which the
    emotion and irony heads were trained; `figures` holds what was measured when the model was made; `soft_confusion`, by
    language and `pooled`, is measured on texts left out of the fit.
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

    def features(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """(n, 2**bits) weighted features of raw texts."""
        return weighted(hashed_counts([normalise(text) for text in texts], bits=self.bits), self.idf)

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
            scale = np.abs(head.weights).max(axis=0) / _LEVELS
            scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
            arrays[f"{name}_weights"] = np.rint(head.weights / scale).astype(np.int8).T.copy()
            arrays[f"{name}_scale"] = scale
            arrays[f"{name}_bias"] = np.asarray(head.bias, dtype=np.float64)
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
            "abstain_below": self.abstain_below,
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
                weights = stored.astype(np.float32).T * arrays[f"{name}_scale"]
                heads[name] = Head(classes=tuple(classes), weights=weights, bias=arrays[f"{name}_bias"])
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
                soft_confusion={
                    code: SoftConfusion(matrix=np.asarray(one["matrix"]), counts=np.asarray(one["counts"]))
                    for code, one in facts["soft_confusion"].items()
                },
            )
        except (KeyError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ModelError(f"not a sentiment model: {error!r}") from error
