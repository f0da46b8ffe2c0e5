"""The encoder tier: heads on an encoder's features, and how its reading and the fast tier's become one.

Pure arithmetic: the encoder itself (torch) is handed in as a function from texts to features.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.sentiment.reading.adapter import Adapter
from liftos_pipelines.modules.sentiment.reading.calibration import SoftConfusion
from liftos_pipelines.modules.sentiment.reading.emotions import (
    FINE,
    MOODS,
    Emotions,
    EmotionScales,
    LabelScale,
    nothing_read,
    read_emotions,
)
from liftos_pipelines.modules.sentiment.reading.irony import NO_WIDENING, Widening
from liftos_pipelines.modules.sentiment.reading.mixing import Heard, Mixing
from liftos_pipelines.modules.sentiment.reading.model import LABELS, ModelError, SentimentModel

Array = NDArray[np.float64]
Features = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Features]
"""Texts to (n, `SentimentEncoder.width`) float32 features."""

FORMAT = 1
HEADS: Mapping[str, int] = {"sentiment": len(LABELS), "valence": 1, "fine": len(FINE), "mood": len(MOODS), "irony": 1}


@runtime_checkable
class SentimentReader(Protocol):
    """Anything that reads sentiment: the packaged tiers, or a transformer of the user's own.

    `model_id` names the exact weights; `origin` says whose they are; `languages` are the codes it may be asked for,
    None for any; `calibrated` says whether its probabilities were fitted to held-out labels.
    """

    @property
    def model_id(self) -> str: ...

    @property
    def origin(self) -> str: ...

    @property
    def languages(self) -> tuple[str, ...] | None: ...

    @property
    def calibrated(self) -> bool: ...

    def probabilities(self, texts: Sequence[str], languages: Sequence[str]) -> Array:
        """(n, 3) probabilities of negative, neutral, positive."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class DenseHead:
    """`features @ weights + bias`; weights (width, outputs)."""

    weights: NDArray[np.float32]
    bias: Array

    def __call__(self, features: Features) -> Array:
        return np.asarray(features @ self.weights, dtype=float) + self.bias


@dataclass(frozen=True, kw_only=True, eq=False)
class SentimentEncoder:
    """Everything beside the base encoder's weights: adapter, heads, scales, mixing, and what was measured.

    `mixing` has a language only where the encoder helps it measurably; no other language is ever encoded for its
    sentiment. `task_languages` are those in which emotions and irony were trained. `irony_scale` and `mood_scale`
    turn those heads' logits into probabilities. `soft_confusion` and `abstain_by_language` are the mixed reading's, by
    the languages of `mixing`, as the fast model has its own.
    """

    adapter: Adapter
    heads: Mapping[str, DenseHead]
    mixing: Mapping[str, Mixing]
    emotions: EmotionScales
    mood_scale: tuple[float, tuple[float, ...]]
    irony_scale: LabelScale
    widening: Widening = NO_WIDENING
    soft_confusion: Mapping[str, SoftConfusion] = field(default_factory=dict)
    abstain_by_language: Mapping[str, float] = field(default_factory=dict)
    task_languages: tuple[str, ...] = ("en",)
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """How many numbers a text's features have."""
        return int(self.heads["sentiment"].weights.shape[0])

    def logits(self, features: Features) -> dict[str, Array]:
        """Outputs of every head, each (n, outputs)."""
        return {name: head(features) for name, head in self.heads.items()}

    def heard(self, logits: Mapping[str, Array]) -> Heard:
        """What counts for sentiment: that head's logits, valence and its square, and the 28 emotions' logits."""
        valence = logits["valence"]
        return Heard(logits=logits["sentiment"], evidence=np.concatenate([valence, valence**2, logits["fine"]], axis=1))

    def irony(self, logits: Mapping[str, Array]) -> Array:
        """(n,) probability that a text is ironic."""
        return self.irony_scale.probabilities(logits["irony"])[:, 0]

    def mood_logits(self, logits: Mapping[str, Array]) -> Array:
        """(n, 4) calibrated logits of the moods."""
        scale, offsets = self.mood_scale
        return logits["mood"] * scale + np.asarray(offsets)

    @property
    def encoder_id(self) -> str:
        """Twelve hexadecimal digits that name the exact adapter, heads, mixing and scales."""
        digest = hashlib.sha256()
        for name, array in sorted(self.to_arrays().items()):
            if name != "facts":
                digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        digest.update(json.dumps(self._facts() | {"figures": None}, sort_keys=True).encode())
        return digest.hexdigest()[:12]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays (no objects): what an .npz file holds."""
        arrays = self.adapter.to_arrays()
        for name, head in self.heads.items():
            arrays[f"head.{name}.weights"] = head.weights.astype(np.float16)
            arrays[f"head.{name}.bias"] = np.asarray(head.bias, dtype=np.float64)
        facts = json.dumps(self._facts(), sort_keys=True)
        arrays["facts"] = np.frombuffer(facts.encode(), dtype=np.uint8)
        return arrays

    def _facts(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "base": self.adapter.base,
            "mixing": {code: one.to_facts() for code, one in self.mixing.items()},
            "emotions": {name: _scale_facts(getattr(self.emotions, name)) for name in ("fine", "groups", "basic")},
            "mood_scale": [self.mood_scale[0], list(self.mood_scale[1])],
            "irony_scale": _scale_facts(self.irony_scale),
            "widening": {"strength": self.widening.strength, "spread": self.widening.spread.tolist()},
            "soft_confusion": {
                code: {"matrix": one.matrix.tolist(), "counts": one.counts.tolist()}
                for code, one in self.soft_confusion.items()
            },
            "abstain_by_language": dict(self.abstain_by_language),
            "task_languages": list(self.task_languages),
            "figures": dict(self.figures),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> SentimentEncoder:
        """What `to_arrays` described.

        Raises
        ------
        ModelError : an array is missing or has another shape than its head needs, naming it
        """
        try:
            facts = json.loads(np.asarray(arrays["facts"], dtype=np.uint8).tobytes().decode())
            if facts["format"] != FORMAT:
                raise ModelError(f"encoder format {facts['format']} is not {FORMAT}: train it again with this version")
            heads = {}
            for name, outputs in HEADS.items():
                weights, bias = arrays[f"head.{name}.weights"], arrays[f"head.{name}.bias"]
                if weights.ndim != 2 or weights.shape[1] != outputs or bias.shape != (outputs,):
                    raise ModelError(f"head {name}: weights {weights.shape}, bias {bias.shape}, but {outputs} outputs")
                heads[name] = DenseHead(weights=weights.astype(np.float32), bias=bias.astype(float))
            return cls(
                adapter=Adapter.from_arrays(facts["base"], arrays),
                heads=heads,
                mixing={code: Mixing.from_facts(one) for code, one in facts["mixing"].items()},
                emotions=EmotionScales(**{name: _scale(one) for name, one in facts["emotions"].items()}),
                mood_scale=(float(facts["mood_scale"][0]), tuple(facts["mood_scale"][1])),
                irony_scale=_scale(facts["irony_scale"]),
                widening=Widening(
                    strength=float(facts["widening"]["strength"]), spread=np.asarray(facts["widening"]["spread"])
                ),
                soft_confusion={
                    code: SoftConfusion(matrix=np.asarray(one["matrix"]), counts=np.asarray(one["counts"]))
                    for code, one in facts["soft_confusion"].items()
                },
                abstain_by_language=facts["abstain_by_language"],
                task_languages=tuple(facts["task_languages"]),
                figures=facts["figures"],
            )
        except KeyError as missing:
            raise ModelError(f"not a sentiment encoder: {missing} is missing") from missing


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What was read of n texts.

    Parameters
    ----------
    probabilities : (n, 3) calibrated probabilities of negative, neutral, positive
    encoded : (n,) whether the encoder read the text
    emotions : emotions, mood and irony; NaN and None where not encoded
    """

    probabilities: Array
    encoded: NDArray[np.bool_]
    emotions: Emotions


@dataclass(frozen=True, kw_only=True, eq=False)
class PackagedReader:
    """The fast tier, and the encoder for the languages that it helps, behind one interface.

    Without `encoder` and `encode` every probability is the fast tier's own, by its own calibration.
    """

    model: SentimentModel
    encoder: SentimentEncoder | None = None
    encode: Encode | None = None

    @property
    def model_id(self) -> str:
        """The fast tier's id, and the encoder's behind a plus sign."""
        return self.model.model_id if self.encoder is None else f"{self.model.model_id}+{self.encoder.encoder_id}"

    @property
    def origin(self) -> str:
        return self.model.origin

    @property
    def languages(self) -> tuple[str, ...] | None:
        return tuple(code for code in self.model.calibrations if len(code) == 2)

    @property
    def calibrated(self) -> bool:
        return True

    @property
    def soft_confusion(self) -> Mapping[str, SoftConfusion]:
        """What is said of each class on average, by language and `pooled`.

        A client's own model keeps what was measured on the client's labels: its texts differ from public posts by more
        than the two readings differ from each other.
        """
        own = self.model.soft_confusion
        if self.encoder is None or self.encode is None or self.model.origin == "client":
            return own
        return {**own, **self.encoder.soft_confusion}

    def thresholds(self, languages: Sequence[str]) -> Array:
        """(n,) confidence under which a text in each language is to be left open."""
        own = self.model.thresholds(languages)
        if self.encoder is None or self.encode is None or self.model.origin == "client":
            return own
        read = self.encoder.abstain_by_language
        return np.asarray([read.get(code, one) for code, one in zip(languages, own, strict=True)], dtype=float)

    def encodes(self, language: str) -> bool:
        """Whether texts in this language go through the encoder."""
        one = self.encoder
        return (
            one is not None and self.encode is not None and (language in one.mixing or language in one.task_languages)
        )

    def probabilities(self, texts: Sequence[str], languages: Sequence[str]) -> Array:
        return self.read(texts, languages).probabilities

    def read(
        self,
        texts: Sequence[str],
        languages: Sequence[str],
        *,
        fast: Array | None = None,
        skip: NDArray[np.bool_] | None = None,
    ) -> Reading:
        """Sentiment, emotions, mood and irony of texts whose languages are known.

        Parameters
        ----------
        fast : (n, 3) the fast tier's calibrated probabilities, where the caller has them already
        skip : (n,) rows that are not worth encoding (nothing to score in them)
        """
        p = self.model.probabilities(texts, languages) if fast is None else np.array(fast, dtype=float)
        wanted = np.asarray([self.encodes(code) for code in languages], dtype=bool)
        if skip is not None:
            wanted &= ~skip
        rows = np.flatnonzero(wanted)
        places = rows.tolist()
        if self.encoder is None or self.encode is None or not rows.size:
            return Reading(probabilities=p, encoded=np.zeros(len(texts), dtype=bool), emotions=nothing_read(len(texts)))
        logits = self.encoder.logits(self.encode([texts[i] for i in places]))
        codes = np.asarray([languages[i] for i in places], dtype=object)
        heard = self.encoder.heard(logits)
        irony = np.where(np.isin(codes, self.encoder.task_languages), self.encoder.irony(logits), np.nan)
        for code in dict.fromkeys(codes.tolist()):
            if code in self.encoder.mixing:
                here = np.flatnonzero(codes == code)
                mixed = self.encoder.mixing[code].apply(p[rows[here]], heard.rows(here))
                p[rows[here]] = self.encoder.widening.apply(mixed, irony[here])
        task = np.flatnonzero(np.isin(codes, self.encoder.task_languages))
        emotions = read_emotions(
            logits["fine"][task],
            self.encoder.mood_logits(logits)[task],
            irony[task],
            self.encoder.emotions,
            rows[task],
            len(texts),
        )
        return Reading(probabilities=p, encoded=wanted, emotions=emotions)


def _scale_facts(scale: LabelScale) -> dict[str, list[float]]:
    return {name: getattr(scale, name).tolist() for name in ("slopes", "offsets", "thresholds")}


def _scale(facts: Mapping[str, list[float]]) -> LabelScale:
    return LabelScale(**{name: np.asarray(facts[name], dtype=float) for name in ("slopes", "offsets", "thresholds")})
