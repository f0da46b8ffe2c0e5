"""Texts to vectors without a network: one packaged vector a word piece, averaged; what MiniLM would say, roughly.

For the cold path: a query never seen before is answered in a fraction of a millisecond, and recall goes on where
MiniLM's weights are missing. The vectors are this model's own: they only ever meet vectors of the same `model_id`.
Made by `resources/static_embedder_training.py` from MiniLM; the file brings its own vocabulary and needs no weights.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PACKAGED = Path(__file__).resolve().parent.parent / "artifacts" / "memory" / "static.npz"
MAX_PIECES = 256
"""Word pieces read of a text, as many as MiniLM reads."""
UNKNOWN = "[UNK]"
_FORMAT = 1


class StaticModelError(ValueError):
    """The static vectors cannot be used; the message names the file and says what to do."""


class StaticEmbedder:
    """Encodes texts as unit vectors: the weighted mean of their word pieces' vectors.

    Parameters
    ----------
    vocabulary : (v) word pieces, in the order of the rows; continuations begin with ##
    levels : (v, d) int8, each piece's vector in whole steps of its scale
    scales : (v) float32, step of each row; the size of a piece's vector is its weight in the mean
    base : fingerprint of the model it was distilled from
    """

    def __init__(
        self, vocabulary: Sequence[str], levels: NDArray[np.int8], scales: NDArray[np.float32], base: str
    ) -> None:
        if levels.ndim != 2 or len(vocabulary) != len(levels) or len(scales) != len(levels):
            raise StaticModelError(
                f"{len(vocabulary)} word pieces, vectors of shape {levels.shape} and {len(scales)} scales do not fit"
            )
        self.vocabulary = list(vocabulary)
        self.levels = np.ascontiguousarray(levels, dtype=np.int8)
        self.scales = np.ascontiguousarray(scales, dtype=np.float32)
        self.base = base
        hashed = hashlib.sha256("\n".join(self.vocabulary).encode())
        hashed.update(self.levels.tobytes())
        hashed.update(self.scales.tobytes())
        self.model_id = f"static-{base}-{hashed.hexdigest()[:12]}"
        self._tokenizer = word_piece_tokenizer(self.vocabulary)

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self.levels.shape[1]

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of texts, (n, d) float32, in their order; zeros where no word piece is known."""
        out = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        # Half a surrogate pair is no character: the tokenizer would refuse the whole text.
        whole = [text if text.isascii() else text.encode("utf-8", "replace").decode() for text in texts]
        if len(whole) == 1:
            encoded = [self._tokenizer.encode(whole[0], add_special_tokens=False)]
        else:
            encoded = self._tokenizer.encode_batch(whole, add_special_tokens=False)
        for row, one in enumerate(encoded):
            if one.ids:
                ids = np.asarray(one.ids)
                total = self.scales[ids] @ self.levels[ids].astype(np.float32)
                size = float(np.sqrt(total @ total))
                if size > 0:
                    out[row] = total / size
        return out


def word_piece_tokenizer(vocabulary: Sequence[str]) -> Any:
    """BERT's uncased tokenizer over a vocabulary: the same pieces as MiniLM's own, cut at `MAX_PIECES`."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    pieces = {piece: place for place, piece in enumerate(vocabulary)}
    made = Tokenizer(models.WordPiece(pieces, unk_token=UNKNOWN, max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.enable_truncation(MAX_PIECES)
    return made


def load_static(path: Path = PACKAGED) -> StaticEmbedder:
    """Read static vectors; nothing in the file is executed.

    Raises
    ------
    StaticModelError : the file is absent or not of this format, naming it
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            if int(stored["format"]) != _FORMAT:
                raise StaticModelError(f"{path}: format {int(stored['format'])} is not {_FORMAT}: make it anew")
            vocabulary = stored["vocabulary"].tobytes().decode().split("\n")
            base = stored["base"].tobytes().decode()
            return StaticEmbedder(vocabulary, stored["levels"], stored["scales"].astype(np.float32), base)
    except FileNotFoundError as error:
        raise StaticModelError(
            f"{path}: no such static vectors; reinstall LiftOS or make them with `liftos train memory-static`"
        ) from error
    except StaticModelError:
        raise
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise StaticModelError(f"{path}: not readable as static vectors: {error}") from error


def save_static(embedder: StaticEmbedder, path: Path) -> None:
    """Write static vectors as `load_static` reads them, the same bytes for the same vectors."""
    from liftos_pipelines.resources.sentiment_model import write_arrays

    arrays = {
        "format": np.array(_FORMAT),
        "vocabulary": np.frombuffer("\n".join(embedder.vocabulary).encode(), dtype=np.uint8),
        "base": np.frombuffer(embedder.base.encode(), dtype=np.uint8),
        "levels": embedder.levels,
        "scales": embedder.scales,
    }
    write_arrays(arrays, path)


@lru_cache(maxsize=1)
def packaged_static() -> StaticEmbedder:
    """The vectors that come with LiftOS, read once a process."""
    return load_static()
