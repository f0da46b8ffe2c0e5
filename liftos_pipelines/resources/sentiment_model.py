"""Where sentiment models are kept and read: the packaged default, a client's own, and training on labelled files.

A model is one `.npz` of plain arrays, read with `allow_pickle=False`: opening a model never runs code.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np

from liftos_pipelines import settings
from liftos_pipelines.modules.sentiment.reading import training
from liftos_pipelines.modules.sentiment.reading.label_audit import audit_labels
from liftos_pipelines.modules.sentiment.reading.lexicon import Lexicon
from liftos_pipelines.modules.sentiment.reading.model import ModelError, SentimentModel
from liftos_pipelines.resources import labelled_texts
from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.resources.mlflow_store import record_run

PACKAGED = Path(__file__).resolve().parent.parent / "artifacts" / "sentiment" / "model.npz"
CLIENT_FILE = "model.npz"
LEXICON = PACKAGED.parent / "lexicon"


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
    """Write a model as `load_model` reads it."""
    write_arrays(model.to_arrays(), path)


def write_arrays(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Write an `.npz` so that a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
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


@lru_cache(maxsize=1)
def packaged_lexicon() -> Lexicon:
    """The opinion words that come with LiftOS, which new models are trained with."""
    return labelled_texts.read_lexicon(LEXICON)


def train_default(data: Path, out: Path, *, track: bool = False) -> dict[str, Any]:
    """Train the packaged model from a folder of labelled files; write it to `out` and return its figures.

    Parameters
    ----------
    data : holds any of `umsab/<language>/`, `tweeteval/emotion`, `tweeteval/irony`, `goemotions/`, `vader_icwsm/`,
        `xed/` (or a `sentiment/` folder of these), and `labelled/*.csv` with text, label, language. At least one of
        `umsab` and `labelled` must be there.
    out : the .npz to write; `<out>.figures.json` beside it holds the figures
    track : log parameters, figures and the model to MLflow, experiment `packaged`

    Figures come from validation files (`val_*`), which take no part in fitting, calibration or thresholds. A stretch
    of a language's file whose labels do not belong to its texts (`label_audit`) is not learnt from.

    Raises
    ------
    FileNotFoundError : no labelled sentiment text below `data`
    """
    root = labelled_texts.sentiment_root(data)
    main, audit = audited(labelled_training(data))
    main = main + labelled_texts.plain_english(root)
    from threadpoolctl import threadpool_limits

    lexicon = packaged_lexicon()
    # Sums differ in their last digit with the number of threads, and the weights after them: one makes it repeatable.
    with threadpool_limits(1):
        model = training.train(
            main + labelled_texts.vader(root),
            emotion=labelled_texts.none_if_empty(
                labelled_texts.tweeteval(root, "emotion", "train") + labelled_texts.goemotions_single(root)
            ),
            irony=labelled_texts.none_if_empty(labelled_texts.tweeteval(root, "irony", "train")),
            basic_emotions=labelled_texts.basic_emotions(root),
            lexicon=lexicon,
            calibrate_on=len(main.texts),
        )
    figures = dict(model.figures) | {"label_audit": audit} | validate(model, data)
    model = replace(model, figures=figures)
    save_model(model, out)
    beside = out.with_suffix(".figures.json")
    beside.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if track:
        record_run(
            settings.mlflow_uri(),
            "packaged",
            "train sentiment",
            {"model_id": model.model_id},
            {
                "seed": training.SEED, "bits": training.BITS, "penalty": training.PENALTY, "folds": training.FOLDS,
                "texts": len(main.texts), "lexicon_terms": len(lexicon.terms),
            },
            dict(_flat(figures)),
            [str(out), str(beside)],
        )  # fmt: skip
    return figures


def labelled_training(data: Path) -> training.Examples:
    """The sentiment texts below `data` that a model is trained and calibrated on.

    Raises
    ------
    FileNotFoundError : there are none
    """
    root = labelled_texts.sentiment_root(data)
    main = labelled_texts.umsab(root, "train") + labelled_texts.labelled_csv(root)
    if not main.texts:
        raise FileNotFoundError(
            f"{data}: no labelled texts. Expected umsab/<language>/train_text.txt and train_labels.txt, "
            "or labelled/*.csv with columns text, label, language."
        )
    return main


def audited(examples: training.Examples) -> tuple[training.Examples, dict[str, Any]]:
    """The examples, weight 0 where a stretch of a language's labels does not belong to its texts; what was found."""
    polarity = training.lexicon_polarity(packaged_lexicon(), examples.texts, examples.languages)
    labels = np.asarray(examples.labels, dtype=np.int64)
    codes = np.asarray(examples.languages, dtype=object)
    weights = np.asarray(examples.weights, dtype=float)
    found: dict[str, Any] = {}
    for code in dict.fromkeys(examples.languages):
        rows = np.flatnonzero(codes == code)
        audit = audit_labels(polarity[rows], labels[rows], seed=training.SEED)
        weights[rows[~audit.informative]] = 0.0
        if not audit.informative.all():
            found[code] = {
                "first_row_of_second_part": audit.changed_at, "p_value": audit.p_value, "rows": float(rows.size),
                "rows_not_used": float((~audit.informative).sum()),
                "agreement_before": audit.before, "agreement_after": audit.after,
            }  # fmt: skip
    return replace(examples, weights=weights.tolist()), found


def fast_logits(data: Path, held: list[str]) -> training.FastLogits:
    """Left-out logits of the n-gram classifier for `labelled_training(data)`, which come first, and of other texts."""
    main, _ = audited(labelled_training(data))
    root = labelled_texts.sentiment_root(data)
    main = main + labelled_texts.plain_english(root)
    both = main + labelled_texts.vader(root)
    return training.fast_logits(both, held, lexicon=packaged_lexicon(), calibrate_on=len(main.texts))


def labelled_validation(data: Path) -> training.Examples:
    """The sentiment validation texts below `data`, which take no part in training; empty where absent."""
    return labelled_texts.umsab(labelled_texts.sentiment_root(data), "val")


def validate(model: SentimentModel, data: Path) -> dict[str, Any]:
    """Figures of a model on the validation files below `data`; a part whose files are absent is left out."""
    root = labelled_texts.sentiment_root(data)
    figures: dict[str, Any] = {}
    held = labelled_validation(data)
    if held.texts:
        labels = np.asarray(held.labels, dtype=np.int64)
        p = model.probabilities(held.texts, held.languages)
        figures["validation"] = training.sentiment_figures(p, labels, held.languages, model.thresholds(held.languages))
        figures["language"] = _language_figures(model, held)
    for name in ("emotion", "irony"):
        part = labelled_texts.tweeteval(root, name, "val")
        if part.texts and name in model.heads:
            figures[name] = training.head_figures(model, name, part.texts, part.labels)
    return figures


def _language_figures(model: SentimentModel, held: training.Examples) -> dict[str, Any]:
    from liftos_pipelines.modules.sentiment.reading.languages import UNKNOWN, identify

    found = np.asarray(
        identify(held.texts, model.language_probabilities(held.texts), second_identifier()), dtype=object
    )
    truth = np.asarray(held.languages, dtype=object)
    return {
        "accuracy": float((found == truth).mean()),
        "unknown": float((found == UNKNOWN).mean()),
        "by_language": {code: float((found[truth == code] == code).mean()) for code in dict.fromkeys(held.languages)},
    }


def _flat(figures: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif isinstance(value, int | float) and value == value:
            yield f"{before}{name}", float(value)
