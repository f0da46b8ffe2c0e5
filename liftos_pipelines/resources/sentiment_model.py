"""Where sentiment models are kept and read: the packaged default, a client's own, and training on labelled files.

A model is one `.npz` of plain arrays, read with `allow_pickle=False`: opening a model never runs code.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np

from liftos_pipelines.modules.sentiment import training
from liftos_pipelines.modules.sentiment.model import EMOTIONS, LABELS, ModelError, SentimentModel
from liftos_pipelines.resources.lake import Lake

PACKAGED = Path(__file__).resolve().parent.parent / "artifacts" / "sentiment" / "model.npz"
CLIENT_FILE = "model.npz"
UMSAB = {
    "arabic": "ar", "english": "en", "french": "fr", "german": "de",
    "hindi": "hi", "italian": "it", "portuguese": "pt", "spanish": "es",
}  # fmt: skip
VALENCE_NEUTRAL = 0.7
"""Mean ratings (-4 to 4) of the VADER sets within this of zero count as neutral."""
EXTRA_WEIGHT = 0.3
"""Weight of a text from a set that only helps the fit, against 1 for the sets that are calibrated on."""


def load_model(path: Path) -> SentimentModel:
    """Read a model.

    Raises
    ------
    ModelError : the file is absent or is not a sentiment model, naming it
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return SentimentModel.from_arrays({name: stored[name] for name in stored.files})
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such model; make one with `liftos train sentiment --data FOLDER`") from error
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: not readable as a sentiment model: {error}") from error


def save_model(model: SentimentModel, path: Path) -> None:
    """Write a model so that a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "wb") as file:
        np.savez_compressed(file, **model.to_arrays())  # type: ignore[arg-type]
    Path(name).chmod(0o644)
    Path(name).replace(path)


@lru_cache(maxsize=1)
def packaged_model() -> SentimentModel:
    """The model that comes with LiftOS."""
    return load_model(PACKAGED)


def second_identifier() -> Callable[[str], tuple[str, float]]:
    """py3langid over all its 97 languages, with probabilities; for texts that the model's own head is unsure of."""
    return _py3langid()


@lru_cache(maxsize=1)
def _py3langid() -> Callable[[str], tuple[str, float]]:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def classify(text: str) -> tuple[str, float]:
        code, probability = identifier.classify(text)
        return str(code), float(probability)

    return classify


class SentimentModelResource(dg.ConfigurableResource):
    """Hands assets the model to score with: the client's own where one was promoted, else the packaged one."""

    packaged: str = ""

    def default(self) -> SentimentModel:
        return load_model(Path(self.packaged)) if self.packaged else packaged_model()

    def path(self, lake: Lake, client: str) -> Path:
        """Where a client's own model stands (it may be absent)."""
        return lake.folder(client, "sentiment") / CLIENT_FILE

    def get(self, lake: Lake, client: str) -> SentimentModel:
        """The model to score this client's mentions with."""
        own = self.path(lake, client)
        return load_model(own) if own.is_file() else self.default()

    def keep(self, lake: Lake, client: str, model: SentimentModel | None) -> Path | None:
        """Make a model the client's own; None takes the own model away, so that the packaged one serves again."""
        own = self.path(lake, client)
        if model is None:
            own.unlink(missing_ok=True)
            return None
        save_model(model, own)
        return own


def train_default(data: Path, out: Path) -> dict[str, Any]:
    """Train the packaged model from a folder of labelled files; write it to `out` and return its figures.

    Parameters
    ----------
    data : holds any of `umsab/<language>/`, `tweeteval/emotion`, `tweeteval/irony`, `goemotions/`, `vader_icwsm/`
        (or a `sentiment/` folder of these), and `labelled/*.csv` with text, label, language. At least one of
        `umsab` and `labelled` must be there.
    out : the .npz to write; `<out>.figures.json` beside it holds the figures

    Figures come from validation files (`val_*`), which take no part in fitting, calibration or the threshold.

    Raises
    ------
    FileNotFoundError : no labelled sentiment text below `data`
    """
    root = data / "sentiment" if (data / "sentiment").is_dir() else data
    main = _umsab(root, "train") + _labelled_csv(root)
    if not main.texts:
        raise FileNotFoundError(
            f"{data}: no labelled texts. Expected umsab/<language>/train_text.txt and train_labels.txt, "
            "or labelled/*.csv with columns text, label, language."
        )
    from threadpoolctl import threadpool_limits

    # Sums differ in their last digit with the number of threads, and the weights after them: one makes it repeatable.
    with threadpool_limits(1):
        model = training.train(
            main + _vader(root),
            emotion=_none_if_empty(_tweeteval(root, "emotion", "train") + _goemotions(root)),
            irony=_none_if_empty(_tweeteval(root, "irony", "train")),
            calibrate_on=len(main.texts),
        )
    figures = dict(model.figures) | validate(model, data)
    model = SentimentModel.from_arrays(model.to_arrays())
    model = replace(model, figures=figures)
    save_model(model, out)
    out.with_suffix(".figures.json").write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return figures


def labelled_validation(data: Path) -> training.Examples:
    """The sentiment validation texts below `data`, which take no part in training; empty where absent."""
    root = data / "sentiment" if (data / "sentiment").is_dir() else data
    return _umsab(root, "val")


def validate(model: SentimentModel, data: Path) -> dict[str, Any]:
    """Figures of a model on the validation files below `data`; a part whose files are absent is left out."""
    root = data / "sentiment" if (data / "sentiment").is_dir() else data
    figures: dict[str, Any] = {}
    held = labelled_validation(data)
    if held.texts:
        labels = np.asarray(held.labels, dtype=np.int64)
        p = model.probabilities(held.texts, held.languages)
        figures["validation"] = training.sentiment_figures(p, labels, held.languages, model.abstain_below)
        figures["language"] = _language_figures(model, held)
    for name in ("emotion", "irony"):
        part = _tweeteval(root, name, "val")
        if part.texts and name in model.heads:
            figures[name] = training.head_figures(model, name, part.texts, part.labels)
    return figures


def _language_figures(model: SentimentModel, held: training.Examples) -> dict[str, Any]:
    from liftos_pipelines.modules.sentiment.languages import UNKNOWN, identify

    found = np.asarray(
        identify(held.texts, model.language_probabilities(held.texts), second_identifier()), dtype=object
    )
    truth = np.asarray(held.languages, dtype=object)
    return {
        "accuracy": float((found == truth).mean()),
        "unknown": float((found == UNKNOWN).mean()),
        "by_language": {code: float((found[truth == code] == code).mean()) for code in dict.fromkeys(held.languages)},
    }


def _examples(texts: list[str], labels: list[int], language: str, weight: float = 1.0) -> training.Examples:
    return training.Examples(
        texts=texts, labels=labels, languages=[language] * len(texts), weights=[weight] * len(texts)
    )


_EMPTY = training.Examples(texts=[], labels=[], languages=[], weights=[])


def _none_if_empty(examples: training.Examples) -> training.Examples | None:
    return examples if examples.texts else None


def _lines(path: Path) -> list[str]:
    # On \n only: some texts contain other Unicode line separators.
    return path.read_text(encoding="utf-8", errors="replace").rstrip("\n").split("\n")


def _pair(folder: Path, split: str, language: str) -> training.Examples:
    texts, labels = folder / f"{split}_text.txt", folder / f"{split}_labels.txt"
    if not texts.is_file() or not labels.is_file():
        return _EMPTY
    said, meant = _lines(texts), [int(label) for label in _lines(labels)]
    if len(said) != len(meant):
        raise ValueError(f"{texts}: {len(said)} texts but {len(meant)} labels in {labels.name}")
    return _examples(said, meant, language)


def _umsab(root: Path, split: str) -> training.Examples:
    found = _EMPTY
    for name, code in UMSAB.items():
        found = found + _pair(root / "umsab" / name, split, code)
    return found


def _tweeteval(root: Path, task: str, split: str) -> training.Examples:
    return _pair(root / "tweeteval" / task, split, "en")


def _labelled_csv(root: Path) -> training.Examples:
    import polars as pl

    found = _EMPTY
    for file in sorted((root / "labelled").glob("*.csv")):
        frame = pl.read_csv(file, infer_schema=False)
        missing = {"text", "label", "language"} - set(frame.columns)
        wrong = sorted(set(frame["label"].drop_nulls()) - set(LABELS)) if not missing else []
        if missing or wrong:
            raise ValueError(
                f"{file}: " + (f"column {min(missing)} is missing" if missing else f"label {wrong[0]!r} is not known")
            )
        rows = frame.drop_nulls(["text", "label", "language"])
        found = found + training.Examples(
            texts=rows["text"].to_list(), labels=[LABELS.index(label) for label in rows["label"]],
            languages=rows["language"].to_list(), weights=[1.0] * rows.height,
        )  # fmt: skip
    return found


def _goemotions(root: Path) -> training.Examples:
    file, names = root / "goemotions" / "train.tsv", root / "goemotions" / "labels.txt"
    if not file.is_file() or not names.is_file():
        return _EMPTY
    known = _lines(names)
    texts, labels = [], []
    for line in _lines(file):
        text, codes, *_ = line.split("\t")
        named = [known[int(code)] for code in codes.split(",")]
        if len(named) == 1 and named[0] in EMOTIONS:
            texts.append(text)
            labels.append(EMOTIONS.index(named[0]))
    return _examples(texts, labels, "en", EXTRA_WEIGHT)


def _vader(root: Path) -> training.Examples:
    texts, labels = [], []
    for name in ("tweets", "amazonReviewSnippets"):
        file = root / "vader_icwsm" / f"{name}_GroundTruth.txt"
        for line in _lines(file) if file.is_file() else []:
            fields = line.rstrip("\r").split("\t")
            if len(fields) < 3:
                continue
            valence = float(fields[1])
            texts.append(fields[2])
            labels.append(0 if valence < -VALENCE_NEUTRAL else 2 if valence > VALENCE_NEUTRAL else 1)
    return _examples(texts, labels, "en", EXTRA_WEIGHT)
