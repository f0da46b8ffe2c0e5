"""Labelled files below a data folder, as examples to learn from: one loader a published set, and a client's CSV.

Only reading and naming of labels happens here; what is done with them is the training's matter.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np

from liftos_pipelines.modules.sentiment.reading.basic_emotions import EmotionExamples
from liftos_pipelines.modules.sentiment.reading.emotions import BASIC_OF
from liftos_pipelines.modules.sentiment.reading.lexicon import SIGNS, Lexicon, Term
from liftos_pipelines.modules.sentiment.reading.model import BASIC_EMOTIONS, EMOTIONS, LABELS
from liftos_pipelines.modules.sentiment.reading.training import Examples

UMSAB = {
    "arabic": "ar", "english": "en", "french": "fr", "german": "de",
    "hindi": "hi", "italian": "it", "portuguese": "pt", "spanish": "es",
}  # fmt: skip
VALENCE_NEUTRAL = 0.7
"""Mean ratings (-4 to 4) of the VADER sets within this of zero count as neutral."""
EXTRA_WEIGHT = 0.3
"""Weight of a text from a set that only helps the fit, against 1 for the sets that are calibrated on."""
XED_FILES = {"en": "en", "ar": "ar", "de": "de", "es": "es", "fr": "fr", "it": "it", "br": "pt", "pt": "pt"}
XED_LABELS = {1: "anger", 3: "disgust", 4: "fear", 5: "joy", 6: "sadness", 7: "surprise"}
PLAIN_ENGLISH = 1_200
EMPTY = Examples(texts=[], labels=[], languages=[], weights=[])


def sentiment_root(data: Path) -> Path:
    """The folder of the sentiment sets: `data` itself, or `sentiment` in it."""
    return data / "sentiment" if (data / "sentiment").is_dir() else data


def read_lexicon(folder: Path) -> Lexicon:
    """Lists from `<code>.tsv` files with the columns term, kind and value; those named AFINN-* in that set's format.

    Raises
    ------
    ValueError : a row is not of that form, naming file and line
    """
    terms: list[Term] = []
    for file in sorted(folder.glob("*.tsv")):
        with file.open(encoding="utf-8", newline="") as lines:
            rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            for number, row in enumerate(rows, start=1):
                if number == 1:
                    continue
                try:
                    written, kind, value = row
                    terms.append(Term(language=file.stem, term=written, kind=kind, value=float(value)))
                except ValueError as error:
                    raise ValueError(f"{file}:{number}: expected term, kind, value parted by tabs: {error}") from error
    known = {(term.language, term.term.rstrip("*")) for term in terms}
    for file in sorted(folder.glob("AFINN-??-*.txt")):
        code = file.name.split("-")[1]
        for line in lines_of(file):
            entry, _, score = line.rpartition("\t")
            word = entry.strip().rstrip("*")
            # Phrases are left out, and words that the language's own list rates.
            if word and " " not in word and (code, word) not in known:
                rated = max(-2.0, min(2.0, int(score) / 2))
                terms.append(Term(language=code, term=word, kind="polarity", value=rated))
    return Lexicon(tuple(sorted(terms, key=lambda one: (one.language == SIGNS, one.language))))


def lines_of(path: Path) -> list[str]:
    """Lines of a file, parted at newlines only: some texts contain other Unicode line separators."""
    return path.read_text(encoding="utf-8", errors="replace").rstrip("\n").split("\n")


def _examples(texts: list[str], labels: list[int], language: str, weight: float = 1.0) -> Examples:
    return Examples(texts=texts, labels=labels, languages=[language] * len(texts), weights=[weight] * len(texts))


def none_if_empty(examples: Examples) -> Examples | None:
    """The examples, or None without any."""
    return examples if examples.texts else None


def _pair(folder: Path, split: str, language: str) -> Examples:
    texts, labels = folder / f"{split}_text.txt", folder / f"{split}_labels.txt"
    if not texts.is_file() or not labels.is_file():
        return EMPTY
    said, meant = lines_of(texts), [int(label) for label in lines_of(labels)]
    if len(said) != len(meant):
        raise ValueError(f"{texts}: {len(said)} texts but {len(meant)} labels in {labels.name}")
    return _examples(said, meant, language)


def umsab(root: Path, split: str) -> Examples:
    """Tweets with three classes in eight languages."""
    found = EMPTY
    for name, code in UMSAB.items():
        found = found + _pair(root / "umsab" / name, split, code)
    return found


def plain_english(root: Path, n: int = PLAIN_ENGLISH, *, seed: int = 20_240_103) -> Examples:
    """English subtitle lines that teach their language alone (weight 0): labels are not used.

    Much of the romanised Hindi set is English, so tweets alone teach that everyday English is Hindi.
    """
    file = root / "xed" / "en-annotated.tsv"
    lines = sorted({line.rpartition("\t")[0] for line in lines_of(file)} - {""}) if file.is_file() else []
    chosen = np.random.default_rng(seed).permutation(len(lines))[:n]
    return _examples([lines[i] for i in chosen], [0] * chosen.size, "en", weight=0.0)


def tweeteval(root: Path, task: str, split: str) -> Examples:
    """English tweets of one task (`emotion` or `irony`)."""
    return _pair(root / "tweeteval" / task, split, "en")


def labelled_csv(root: Path) -> Examples:
    """`labelled/*.csv` with the columns text, label and language.

    Raises
    ------
    ValueError : a column is missing or a label unknown, naming the file
    """
    import polars as pl

    found = EMPTY
    for file in sorted((root / "labelled").glob("*.csv")):
        frame = pl.read_csv(file, infer_schema=False)
        missing = {"text", "label", "language"} - set(frame.columns)
        wrong = sorted(set(frame["label"].drop_nulls()) - set(LABELS)) if not missing else []
        if missing or wrong:
            raise ValueError(
                f"{file}: " + (f"column {min(missing)} is missing" if missing else f"label {wrong[0]!r} is not known")
            )
        rows = frame.drop_nulls(["text", "label", "language"])
        found = found + Examples(
            texts=rows["text"].to_list(), labels=[LABELS.index(label) for label in rows["label"]],
            languages=rows["language"].to_list(), weights=[1.0] * rows.height,
        )  # fmt: skip
    return found


def goemotions_single(root: Path) -> Examples:
    """Comments with one of the four moods alone."""
    file, names = root / "goemotions" / "train.tsv", root / "goemotions" / "labels.txt"
    if not file.is_file() or not names.is_file():
        return EMPTY
    known = lines_of(names)
    texts, labels = [], []
    for line in lines_of(file):
        text, codes, *_ = line.split("\t")
        named = [known[int(code)] for code in codes.split(",")]
        if len(named) == 1 and named[0] in EMOTIONS:
            texts.append(text)
            labels.append(EMOTIONS.index(named[0]))
    return _examples(texts, labels, "en", EXTRA_WEIGHT)


def vader(root: Path) -> Examples:
    """English tweets and product sentences, their mean valence cut into three classes."""
    texts, labels = [], []
    for name in ("tweets", "amazonReviewSnippets"):
        file = root / "vader_icwsm" / f"{name}_GroundTruth.txt"
        for line in lines_of(file) if file.is_file() else []:
            fields = line.rstrip("\r").split("\t")
            if len(fields) < 3:
                continue
            valence = float(fields[1])
            texts.append(fields[2])
            labels.append(0 if valence < -VALENCE_NEUTRAL else 2 if valence > VALENCE_NEUTRAL else 1)
    return _examples(texts, labels, "en", EXTRA_WEIGHT)


def basic_emotions(root: Path) -> EmotionExamples | None:
    """Subtitle lines of eight files in seven languages and, in English, forum comments, by Ekman's six emotions."""
    texts: list[str] = []
    labels: list[list[float]] = []
    languages: list[str] = []
    weights: list[float] = []
    for name, code in XED_FILES.items():
        file = root / "xed" / f"{name}-{'annotated' if name == 'en' else 'projections'}.tsv"
        for line in lines_of(file) if file.is_file() else []:
            text, _, numbers = line.rpartition("\t")
            if not text:
                continue
            found = {XED_LABELS.get(int(number)) for number in re.findall(r"\d+", numbers)}
            texts.append(text)
            labels.append([float(emotion in found) for emotion in BASIC_EMOTIONS])
            languages.append(code)
            weights.append(1.0)
    file = root / "goemotions" / "train.tsv"
    known = lines_of(root / "goemotions" / "labels.txt") if file.is_file() else []
    for line in lines_of(file) if file.is_file() else []:
        text, codes, *_ = line.split("\t")
        shown = {BASIC_OF.get(known[int(code)]) for code in codes.split(",")}
        texts.append(text)
        labels.append([float(emotion in shown) for emotion in BASIC_EMOTIONS])
        languages.append("en")
        weights.append(EXTRA_WEIGHT)
    if not texts:
        return None
    return EmotionExamples(
        texts=texts, labels=np.asarray(labels), languages=languages, weights=np.asarray(weights, dtype=float)
    )
