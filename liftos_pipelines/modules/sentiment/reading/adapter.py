"""What LiftOS adds to a published text encoder: low-rank changes to its weights, and the spelling it reads.

A change is two thin matrices a weight, so the encoder itself is never copied into an artefact, and a stored
adapter cannot be turned back into texts. Source: Hu et al. (2021), LoRA: low-rank adaptation of large language models.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.sentiment.reading.normalise import strip_markup

CALIBRATION_SHARE = 15
"""Percent of sentiment texts that the adapter never sees, chosen by a hash: mixing is fitted on them."""

_LINK = re.compile(r"(?:https?://|www\.)\S+|\bhttps?\b|https?$", re.I)
_USER = re.compile(r"(?<!\w)@\w+")
_RETWEET = re.compile(r"^RT\s+(?=@)")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_TAG = re.compile(r"#(\w+)")
_STRETCHED = re.compile(r"([^\W\d_])\1{2,}")
_REPEATED = re.compile(r"([^\w\s])\1{3,}")
_MASKED = re.compile(r"\[(?:NAME|RELIGION)\]")
_EMOJI_CLASS = "[\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]"
_EMOJI = re.compile(_EMOJI_CLASS)
_SAME_EMOJI = re.compile(f"({_EMOJI_CLASS})\\1{{2,}}")


class AdapterError(ValueError):
    """Stored changes do not fit the encoder they are for; the message says where."""


def prepare(text: str) -> str:
    """A text as the encoder reads it: plain, links and users masked, hashtags as words, emoji by their names.

    The encoder's vocabulary has no emoji; the Unicode name ("face with tears of joy") carries what they say.
    """
    text = unicodedata.normalize("NFKC", strip_markup(text).replace("\u2019", "'"))
    text = text.replace('\\""""', '"').replace('\\"', '"')
    text = _LINK.sub(" http ", text)
    text = _RETWEET.sub("", text)
    text = _USER.sub("@user", text)
    text = _MASKED.sub("name", text)
    text = _TAG.sub(_words, text)
    text = _STRETCHED.sub(r"\1\1", text)
    text = _REPEATED.sub(r"\1\1\1", text)
    text = _SAME_EMOJI.sub(r"\1\1", text)
    text = _EMOJI.sub(_name, text)
    return " ".join(text.split())


def copy_key(text: str) -> str:
    """One key for a text and its copies: letters alone, so links' digits, signs and spaces do not part them."""
    return "".join(char for char in strip_markup(text).lower() if char.isalpha()) or text


def held_back(text: str) -> bool:
    """Whether a labelled text belongs to the share that the adapter never sees; copies always go together."""
    digest = hashlib.sha256(copy_key(text).encode()).hexdigest()
    return int(digest[:8], 16) % 100 < CALIBRATION_SHARE


@dataclass(frozen=True, kw_only=True, eq=False)
class Adapter:
    """Low-rank changes by place, `<layer>.<map>` -> (b (outputs, rank), a (rank, inputs)), float16.

    `base` names the encoder whose weights they change.
    """

    base: str
    changes: Mapping[str, tuple[NDArray[np.float16], NDArray[np.float16]]]

    def changed(self, place: str, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """The weight (outputs, inputs) with this adapter's change, or as it was where there is none.

        Raises
        ------
        AdapterError : the change has another shape than the weight, naming the place and both
        """
        if place not in self.changes:
            return weight
        b, a = self.changes[place]
        if (b.shape[0], a.shape[1]) != weight.shape or b.shape[1] != a.shape[0]:
            raise AdapterError(
                f"the change of {place} is for a weight of {b.shape[0]} x {a.shape[1]}, but the encoder's is "
                f"{weight.shape[0]} x {weight.shape[1]}: the adapter was made for {self.base}"
            )
        return (weight + b.astype(np.float32) @ a.astype(np.float32)).astype(np.float32)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays: `change.<place>.b` and `.a`."""
        arrays: dict[str, NDArray[Any]] = {}
        for place, (b, a) in self.changes.items():
            arrays[f"change.{place}.b"] = b.astype(np.float16)
            arrays[f"change.{place}.a"] = a.astype(np.float16)
        return arrays

    @classmethod
    def from_arrays(cls, base: str, arrays: Mapping[str, NDArray[Any]]) -> Adapter:
        """The adapter that `to_arrays` described.

        Raises
        ------
        AdapterError : one half of a change is missing, or holds a value that is not finite
        """
        places = sorted({name[7:-2] for name in arrays if name.startswith("change.")})
        changes = {}
        for place in places:
            try:
                b, a = arrays[f"change.{place}.b"], arrays[f"change.{place}.a"]
            except KeyError as missing:
                raise AdapterError(f"the change of {place} is stored by half: {missing} is missing") from missing
            if not (np.isfinite(b).all() and np.isfinite(a).all()):
                raise AdapterError(f"the change of {place} holds values that are not finite: train it again")
            changes[place] = (b.astype(np.float16), a.astype(np.float16))
        return cls(base=base, changes=changes)


def _words(match: re.Match[str]) -> str:
    return "# " + _CAMEL.sub(" ", match[1]).replace("_", " ")


def _name(match: re.Match[str]) -> str:
    name = unicodedata.name(match.group(), "").lower()
    return f" {name} " if name else " "
