"""A sentiment classifier of the user's own: any Hugging Face sequence classifier, behind the packaged one's interface.

From a folder, or a name on the user's hub. Nothing is downloaded unless the client's configuration says so, code from
a model's repository never runs, and weights are read as safetensors only (a pickle could run code).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.sentiment.reading.calibration import (
    Calibration,
    expected_calibration_error,
    fit_calibration,
)
from liftos_pipelines.modules.sentiment.reading.model import LABELS, ModelError

Array = NDArray[np.float64]

MIN_TO_CALIBRATE = 200
"""Labelled mentions from which on a classifier's probabilities are fitted to them."""
MAX_PIECES = 256
FOLDS = 5
SEED = 20_240_101
_BATCH = 16
_EDGE_BYTES = 1 << 20
_NAMES = {
    **dict.fromkeys(("negative", "neg", "negativ", "negativo"), 0),
    **dict.fromkeys(("neutral", "neu", "neutro", "mixed/neutral"), 1),
    **dict.fromkeys(("positive", "pos", "positiv", "positivo"), 2),
}
_STAR_CLASS = {1: 0, 2: 0, 3: 1, 4: 2, 5: 2}


def class_table(id2label: Mapping[int, str]) -> Array:
    """(outputs, 3) which outputs make up negative, neutral and positive.

    Known: names (negative, neutral, positive and their short forms), `LABEL_0` to `LABEL_2` in that order, and one to
    five stars (two and below negative, three neutral).

    Raises
    ------
    ModelError : another set of labels, naming those found
    """
    names = [str(id2label[k]).strip().lower() for k in sorted(id2label)]
    if names == ["label_0", "label_1", "label_2"]:
        return np.eye(3)
    stars = [re.fullmatch(r"(?:label_)?([1-5])(?:\s*stars?)?", name) for name in names]
    if len(names) == 5 and all(stars):
        classes = [_STAR_CLASS[int(match[1])] for match in stars if match]
    else:
        classes = [_NAMES.get(name, -1) for name in names]
    if sorted(set(classes)) != [0, 1, 2] or (len(classes) != 3 and not all(stars)):
        lacks = (
            " It has no neutral class, so what is neither praise nor blame could not be told."
            if len(names) == 2
            else ""
        )
        raise ModelError(
            f"its labels are {', '.join(str(id2label[k]) for k in sorted(id2label))}; expected negative, neutral and "
            f"positive, LABEL_0 to LABEL_2, or 1 to 5 stars.{lacks} Name them in id2label of its config.json."
        )
    return np.eye(3)[classes]


@dataclass(frozen=True, kw_only=True, eq=False)
class TransformerReader:
    """A sequence classifier as a `SentimentReader`.

    `calibration` is None where too few labelled mentions were given: its probabilities are then its own, and
    `calibrated` says so. `figures` holds what was measured on the labelled mentions.
    """

    name: str
    model_id: str
    network: Any
    tokenizer: Any
    table: Array
    calibration: Calibration | None = None
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return f"the client's classifier {self.name}"

    @property
    def languages(self) -> tuple[str, ...] | None:
        return None

    @property
    def calibrated(self) -> bool:
        return self.calibration is not None

    def probabilities(self, texts: Sequence[str], languages: Sequence[str]) -> Array:
        """(n, 3) probabilities of negative, neutral, positive; equal texts are read once."""
        logits = self.logits(texts)
        return (self.calibration or Calibration(temperature=1.0, offsets=(0.0, 0.0, 0.0))).apply(logits)

    def logits(self, texts: Sequence[str]) -> Array:
        """(n, 3) log probabilities before calibration."""
        import torch

        distinct = sorted(dict.fromkeys(texts), key=lambda text: (len(text), text))
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        rows: list[Array] = []
        try:
            with torch.inference_mode():
                for start in range(0, len(distinct), _BATCH):
                    batch = self.tokenizer(
                        distinct[start : start + _BATCH],
                        padding=True, truncation=True, max_length=self._pieces(), return_tensors="pt",
                    )  # fmt: skip
                    p = torch.softmax(self.network(**batch).logits.double(), dim=-1).numpy()
                    rows.extend(np.log(np.clip(p @ self.table, 1e-9, 1.0)))
        finally:
            torch.set_num_threads(before)
        found = dict(zip(distinct, rows, strict=True))
        return np.stack([found[text] for text in texts]) if texts else np.empty((0, len(LABELS)))

    def _pieces(self) -> int:
        # Some tokenizers state an absurdly large limit for "none".
        places = int(getattr(self.network.config, "max_position_embeddings", MAX_PIECES) or MAX_PIECES)
        return max(8, min(MAX_PIECES, int(self.tokenizer.model_max_length), places - 2))


Labelled = tuple[Sequence[str], Sequence[str], Sequence[str | None]]


def open_transformer(
    classifier: str, *, folder: Path, download: bool = False, labelled: Labelled | None = None
) -> TransformerReader:
    """Load the classifier that a client names, calibrated on its labelled mentions where there are at least 200.

    Parameters
    ----------
    classifier : a folder (absolute, or below the client's `folder`), or a name on the hub
    download : whether a name that is not in the local cache may be fetched
    labelled : texts, labels (negative, neutral, positive) and languages

    Raises
    ------
    ModelError : no such model, no safetensors weights, or labels that cannot be mapped, naming the model
    """
    place = _folder(classifier, folder)
    if place is None and not download:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    source = classifier if place is None else str(place)
    if place is not None and not any(place.glob("*.safetensors")):
        raise ModelError(
            f"classifier {classifier}: {place} holds no safetensors weights. Save it with "
            "save_pretrained(..., safe_serialization=True); other formats can run code when they are read."
        )
    try:
        kept = {"local_files_only": place is not None or not download, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(source, **kept)
        network = AutoModelForSequenceClassification.from_pretrained(source, use_safetensors=True, **kept).eval()
    except (OSError, ValueError, KeyError) as error:
        where = "is not in the local cache" if place is None else "cannot be read"
        way = "" if place is not None or download else " Set sentiment.download: true to fetch it, or name a folder."
        raise ModelError(f"classifier {classifier} {where}: {str(error).splitlines()[0]}{way}") from error
    try:
        table = class_table(network.config.id2label)
    except ModelError as error:
        raise ModelError(f"classifier {classifier}: {error}") from error
    reader = TransformerReader(
        name=classifier if place is None else place.name,
        model_id=_identity(network),
        network=network,
        tokenizer=tokenizer,
        table=table,
    )
    return calibrated_on(reader, labelled) if labelled is not None else reader


def calibrated_on(reader: TransformerReader, labelled: Labelled) -> TransformerReader:
    """The reader fitted to labelled mentions; as it was where fewer than 200 have one of the three labels."""
    texts, labels, _ = labelled
    rows = [k for k, label in enumerate(labels) if label in LABELS and texts[k]]
    if len(rows) < MIN_TO_CALIBRATE:
        return TransformerReader(**(vars(reader) | {"figures": {"labelled": float(len(rows))}}))
    truth = np.asarray([LABELS.index(labels[k]) for k in rows], dtype=np.int64)
    logits = reader.logits([texts[k] for k in rows])
    raw, left_out = np.exp(logits), np.empty_like(logits)
    fold = np.random.default_rng(SEED).permutation(truth.size) % FOLDS
    for k in range(FOLDS):
        left_out[fold == k] = fit_calibration(logits[fold != k], truth[fold != k]).apply(logits[fold == k])
    figures = {
        "labelled": float(truth.size),
        "accuracy": float((raw.argmax(axis=1) == truth).mean()),
        "ece_before": expected_calibration_error(raw.max(axis=1), raw.argmax(axis=1) == truth),
        "ece": expected_calibration_error(left_out.max(axis=1), left_out.argmax(axis=1) == truth),
    }
    return TransformerReader(**(vars(reader) | {"calibration": fit_calibration(logits, truth), "figures": figures}))


def _folder(classifier: str, folder: Path) -> Path | None:
    for place in (Path(classifier).expanduser(), folder / classifier):
        if place.is_dir():
            return place.resolve()
    if classifier.startswith((".", "/", "~")):
        raise ModelError(f"classifier {classifier}: no such folder (looked in {folder} too)")
    return None


def _identity(network: Any) -> str:
    """Twelve hexadecimal digits from the configuration and the weights as loaded."""
    digest = hashlib.sha256(network.config.to_json_string().encode())
    for name, values in sorted(network.state_dict().items()):
        digest.update(name.encode() + values.detach().float().cpu().numpy().tobytes()[:_EDGE_BYTES])
    return digest.hexdigest()[:12]
