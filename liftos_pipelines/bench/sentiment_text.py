"""Reading texts: sentiment in eight languages, emotions, irony, reviews, language and speed, on texts never trained on.

Validation files are used, and test files (`test_text.txt`, `test_labels.txt`) where they lie beside them. On validation
texts everything that was fitted there (mixing, scales, thresholds) is fitted anew without the texts it is scored on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.bench.figure import Figure, NoData, unmeasured
from liftos_pipelines.modules.sentiment.reading.calibration import (
    debiased_calibration_error,
    expected_calibration_error,
    macro_f1,
)
from liftos_pipelines.modules.sentiment.reading.emotions import (
    BASIC,
    BASIC_OF,
    FINE,
    GROUP_OF,
    GROUPS,
    LabelScale,
    fit_scale,
    group_labels,
    label_f1,
    together,
)
from liftos_pipelines.modules.sentiment.reading.encoder import SentimentEncoder
from liftos_pipelines.modules.sentiment.reading.mixing import cross_fitted
from liftos_pipelines.modules.sentiment.reading.model import SentimentModel

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Read = Callable[[list[str]], NDArray[np.float32]]

T = TypeVar("T")

REPLICATES = 400
FOLDS = 5
SEED = 7
FASTTEXT = {"ar": 0.460, "en": 0.509, "fr": 0.548, "de": 0.596, "hi": 0.371, "it": 0.547, "pt": 0.551, "es": 0.501}
"""Macro-F1 of FastText on UMSAB's test split, as published with the set."""


def measure(data: Path) -> Iterator[Figure]:
    """Every figure of the text classifier, with its baseline in the same run."""
    from liftos_pipelines.resources.labelled_texts import sentiment_root
    from liftos_pipelines.resources.sentiment_encoder import open_reader
    from liftos_pipelines.resources.sentiment_model import packaged_model

    root = sentiment_root(data)
    if not (root / "umsab").is_dir():
        raise NoData(f"{root / 'umsab'} is absent; set LIFTOS_SHARED_DATA to the public data sets")
    reader, without = open_reader(packaged_model())
    yield from _sentiment(root, reader.model, reader.encoder, reader.encode)
    yield from _languages(root, reader.model)
    if reader.encoder is None or reader.encode is None:
        yield unmeasured("sentiment", "emotions, irony and reviews with the encoder", "", f"no encoder: {without}")
        return
    yield from _moods(root, reader.model, reader.encoder, reader.encode)
    yield from _fine(root, reader.encoder, reader.encode)
    yield from _reviews(root, reader.model, reader.encoder, reader.encode)


def _sentiment(
    root: Path, model: SentimentModel, encoder: SentimentEncoder | None, encode: Read | None
) -> Iterator[Figure]:
    from liftos_pipelines.resources.labelled_texts import umsab
    from liftos_pipelines.resources.sentiment_model import packaged_lexicon

    split = "test" if any((root / "umsab").glob("*/test_text.txt")) else "val"
    held = umsab(root, split)
    labels, codes = np.asarray(held.labels, dtype=np.int64), np.asarray(held.languages, dtype=object)
    fast, fast_rate = _timed(lambda: model.probabilities(held.texts, held.languages), len(held.texts))
    p, encoder_rate = fast.copy(), None
    for code in dict.fromkeys(held.languages):
        if encoder is None or encode is None or code not in encoder.mixing:
            continue
        rows = np.flatnonzero(codes == code)
        texts = [held.texts[k] for k in rows.tolist()]
        encode(["first call loads the weights"])
        features, encoder_rate = _timed(partial(encode, texts), rows.size)
        heard = encoder.heard(encoder.logits(features))
        # What was fitted on validation texts is fitted anew without those it is scored on.
        p[rows] = (
            cross_fitted(fast[rows], heard, labels[rows], seed=SEED)
            if split == "val"
            else encoder.mixing[code].apply(fast[rows], heard)
        )
    from liftos_pipelines.modules.sentiment.reading.training import lexicon_polarity

    valence = lexicon_polarity(packaged_lexicon(), held.texts, held.languages)
    by_lexicon = np.where(valence > 0.1, 2, np.where(valence < -0.1, 0, 1))
    how = f"UMSAB {split} split; bootstrap over texts within language"
    found, alone = p.argmax(axis=1), fast.argmax(axis=1)
    yield _rate(
        "macro-F1, mean of 8 languages", found, labels, codes, goal=">= .58", method=how,
        baseline="opinion words alone", baseline_value=_mean_f1(by_lexicon, labels, codes),
    )  # fmt: skip
    yield _rate(
        "macro-F1 without the encoder, mean", alone, labels, codes, method=how, baseline="always one class",
        baseline_value=_mean_f1(np.zeros_like(labels), labels, codes),
    )  # fmt: skip
    for code in dict.fromkeys(held.languages):
        here = codes == code
        yield _rate(
            f"macro-F1, {code}", found[here], labels[here], codes[here],
            goal=">= .62" if code == "en" else f"> {FASTTEXT[code]:.3f} (FastText)",
            method="the same texts, with the encoder" if encoder and code in encoder.mixing else "the same texts",
            baseline="n-grams alone" if encoder and code in encoder.mixing else "opinion words alone",
            baseline_value=macro_f1(
                labels[here], (alone if encoder and code in encoder.mixing else by_lexicon)[here], 3
            ),
        )  # fmt: skip
        yield from _calibration(p[here], labels[here], code)
    yield from _calibration(p, labels, "all languages")
    yield Figure(
        benchmark="sentiment", name="calibration error less chance, all languages",
        value=debiased_calibration_error(p.max(axis=1), found == labels), unit="", n=labels.size, goal="<= .03",
        method="root of squared gaps less their sampling variance (Kumar et al. 2019)",
    )  # fmt: skip
    yield _coverage(p, labels, "all languages")
    yield _coverage(p[codes == "en"], labels[codes == "en"], "en")
    yield Figure(
        benchmark="sentiment", name="throughput without the encoder", value=fast_rate, unit="texts/s",
        n=len(held.texts), goal=">= 2,000 on one core", method="class probabilities of the same texts, CPU time",
    )  # fmt: skip
    if encoder_rate is not None:
        yield Figure(
            benchmark="sentiment", name="throughput of the encoder", value=encoder_rate, unit="texts/s",
            n=int((codes == "en").sum()), method="English validation texts, one thread, CPU time",
        )  # fmt: skip


def _languages(root: Path, model: SentimentModel) -> Iterator[Figure]:
    from liftos_pipelines.modules.sentiment.reading.languages import identify
    from liftos_pipelines.resources.labelled_texts import umsab
    from liftos_pipelines.resources.sentiment_model import second_identifier

    held = umsab(root, "val")
    truth, second = np.asarray(held.languages, dtype=object), second_identifier()
    answers = identify(held.texts, model.language_probabilities(held.texts), second)
    right = np.asarray(answers, dtype=object) == truth
    plain = np.asarray([second(text)[0] for text in held.texts[:: len(held.texts) // 400 or 1]], dtype=object)
    low, high = _share(right)
    yield Figure(
        benchmark="sentiment", name="language identification", value=float(right.mean()), low=low, high=high, unit="",
        n=right.size, goal=">= .97", method="UMSAB validation split, romanised Hindi among them",
        baseline="py3langid alone",
        baseline_value=float((plain == truth[:: len(held.texts) // 400 or 1]).mean()),
    )  # fmt: skip


def _moods(root: Path, model: SentimentModel, encoder: SentimentEncoder, encode: Read) -> Iterator[Figure]:
    from liftos_pipelines.resources.labelled_texts import tweeteval

    for task, head, goal in (("emotion", "mood", ">= .73"), ("irony", "irony", ">= .65")):
        split = "test" if (root / "tweeteval" / task / "test_text.txt").is_file() else "val"
        held = tweeteval(root, task, split)
        if not held.texts:
            continue
        labels = np.asarray(held.labels, dtype=np.int64)
        logits = encoder.logits(encode(held.texts))[head]
        fast = model.logits(model.features(held.texts))[task].argmax(axis=1)
        if task == "emotion":
            found = (logits * encoder.mood_scale[0] + np.asarray(encoder.mood_scale[1])).argmax(axis=1)
            score: Callable[[Ints, Ints], float] = lambda one, truth: macro_f1(truth, one, 4)  # noqa: E731
        else:
            truth = labels.astype(bool)[:, None]
            scale = encoder.irony_scale
            given = scale.given(scale.probabilities(logits)) if split == "test" else _left_out(logits, truth)
            found = given[:, 0].astype(np.int64)
            score = _hits
        low, high = _bootstrap(found, labels, score)
        yield Figure(
            benchmark="sentiment", name="emotion macro-F1" if task == "emotion" else "irony F1",
            value=score(found, labels), low=low, high=high, unit="", n=labels.size, goal=goal,
            method=f"TweetEval {split} split",
            baseline="n-grams alone", baseline_value=score(fast, labels),
        )  # fmt: skip


def _fine(root: Path, encoder: SentimentEncoder, encode: Read) -> Iterator[Figure]:
    from liftos_pipelines.resources.sentiment_encoder_training import flags, goemotions

    split = "test" if (root / "goemotions" / "test.tsv").is_file() else "dev"
    texts, named = goemotions(root, split)
    if not texts:
        return
    truth, logits = flags(named), encoder.logits(encode(texts))["fine"]
    fine = encoder.emotions.fine.probabilities(logits)
    parts = [
        ("28 emotions", logits, truth, encoder.emotions.fine, ">= .46", len(FINE)),
        ("6 basic emotions and neutral", together(fine, BASIC_OF, BASIC), group_labels(truth, BASIC_OF, BASIC),
         encoder.emotions.basic, None, len(BASIC)),
        ("4 groups", together(fine, GROUP_OF, GROUPS), group_labels(truth, GROUP_OF, GROUPS),
         encoder.emotions.groups, None, len(GROUPS)),
    ]  # fmt: skip
    for name, scores, labels, scale, goal, width in parts:
        given = _left_out(scores, labels) if split == "dev" else scale.given(scale.probabilities(scores))
        rng = np.random.default_rng(SEED)
        draws = []
        for _ in range(100):
            rows = rng.integers(0, labels.shape[0], size=labels.shape[0])
            draws.append(float(label_f1(given[rows], labels[rows]).mean()))
        low, high = np.percentile(draws, [5, 95])
        yield Figure(
            benchmark="sentiment", name=f"macro-F1, {name}", value=float(label_f1(given, labels).mean()),
            low=float(low), high=float(high), unit="", n=labels.shape[0], goal=goal,
            method="GoEmotions test" if split == "test" else "GoEmotions dev, thresholds fitted on other fifths of it",
            baseline="every label on every text",
            baseline_value=float(label_f1(np.ones((labels.shape[0], width), dtype=bool), labels).mean()),
        )  # fmt: skip


def _reviews(root: Path, model: SentimentModel, encoder: SentimentEncoder, encode: Read) -> Iterator[Figure]:
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression

    from liftos_pipelines.resources.sentiment_encoder_training import reviews

    sources = reviews(root)
    if not sources:
        return
    texts = [text for part, _ in sources.values() for text in part]
    labels = np.asarray([label for _, part in sources.values() for label in part], dtype=np.int64)
    features = encode(texts)
    logits = encoder.logits(features)
    dense = np.concatenate([logits["valence"], logits["sentiment"], logits["fine"] / 4, features / 8], axis=1)
    n_grams = model.features(texts)
    both = sparse.hstack([n_grams, sparse.csr_matrix(dense)]).tocsr()
    keys = np.asarray([" ".join(text.lower().split()) for text in texts])
    _, group = np.unique(keys, return_inverse=True)
    fold = np.random.default_rng(SEED).permutation(np.arange(group.max() + 1) % FOLDS)[group]
    right = {"encoder": np.zeros(labels.size, dtype=bool), "n-grams": np.zeros(labels.size, dtype=bool)}
    for k in range(FOLDS):
        rest, left = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        for name, table, strength in (("encoder", both, 0.3), ("n-grams", n_grams, 3.0)):
            fitted = LogisticRegression(C=strength, max_iter=400).fit(table[rest], labels[rest])
            right[name][left] = fitted.predict(table[left]) == labels[left]
    low, high = _share(right["encoder"])
    yield Figure(
        benchmark="sentiment", name="binary reviews, accuracy", value=float(right["encoder"].mean()),
        low=low, high=high, unit="", n=labels.size, goal=">= .87",
        method="UCI Amazon, IMDb, Yelp; 5-fold, a linear head; these texts are in no training set",
        baseline="n-grams and opinion words, same head", baseline_value=float(right["n-grams"].mean()),
    )  # fmt: skip


def _left_out(logits: Array, truth: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Labels given to each fifth of the texts by a scale fitted on the others."""
    fold = np.random.default_rng(SEED).permutation(truth.shape[0]) % FOLDS
    given = np.zeros_like(truth)
    for k in range(FOLDS):
        scale: LabelScale = fit_scale(logits[fold != k], truth[fold != k])
        given[fold == k] = scale.given(scale.probabilities(logits[fold == k]))
    return given


def _calibration(p: Array, labels: Ints, where: str) -> Iterator[Figure]:
    """Plain calibration error, beside what a perfectly calibrated model shows on as many texts."""
    confidence = p.max(axis=1)
    rng = np.random.default_rng(SEED)
    perfect = [expected_calibration_error(confidence, rng.random(labels.size) < confidence) for _ in range(200)]
    yield Figure(
        benchmark="sentiment", name=f"calibration error, {where}",
        value=expected_calibration_error(confidence, p.argmax(axis=1) == labels), unit="", n=labels.size,
        goal="<= .03", method="ten equally filled bins; a few hundred texts show an error by chance alone",
        baseline="a perfectly calibrated model on as many texts", baseline_value=float(np.mean(perfect)),
    )  # fmt: skip


def _coverage(p: Array, labels: Ints, where: str) -> Figure:
    """The largest share of texts, most confident first, on which 85 % are right."""
    order = np.argsort(-p.max(axis=1), kind="stable")
    accuracy = np.cumsum((p.argmax(axis=1) == labels)[order]) / np.arange(1, labels.size + 1)
    reached = np.flatnonzero((accuracy >= 0.85) & (np.arange(labels.size) >= 29))
    return Figure(
        benchmark="sentiment", name=f"coverage at 85 % accuracy, {where}",
        value=float((reached[-1] + 1) / labels.size) if reached.size else 0.0, unit="", n=labels.size,
        method="most confident first", baseline="accuracy on all of them", baseline_value=float(accuracy[-1]),
    )  # fmt: skip


def _rate(
    name: str, found: Ints, labels: Ints, codes: NDArray[np.object_], *, method: str, goal: str | None = None,
    baseline: str, baseline_value: float,
) -> Figure:  # fmt: skip
    rng = np.random.default_rng(SEED)
    means = []
    for _ in range(REPLICATES):
        rows = np.concatenate([rng.choice(at, at.size) for at in (np.flatnonzero(codes == c) for c in set(codes))])
        means.append(_mean_f1(found[rows], labels[rows], codes[rows]))
    low, high = np.percentile(means, [5, 95])
    return Figure(
        benchmark="sentiment", name=name, value=_mean_f1(found, labels, codes), low=float(low), high=float(high),
        unit="", n=labels.size, goal=goal, method=method, baseline=baseline, baseline_value=baseline_value,
    )  # fmt: skip


def _mean_f1(found: Ints, labels: Ints, codes: NDArray[np.object_]) -> float:
    return float(np.mean([macro_f1(labels[codes == code], found[codes == code], 3) for code in sorted(set(codes))]))


def _hits(found: Ints, labels: Ints) -> float:
    both = float(((found == 1) & (labels == 1)).sum())
    either = float((found == 1).sum() + (labels == 1).sum())
    return 2 * both / either if either else 0.0


def _bootstrap(found: Ints, labels: Ints, score: Callable[[Ints, Ints], float]) -> tuple[float, float]:
    rng = np.random.default_rng(SEED)
    draws = []
    for _ in range(REPLICATES):
        rows = rng.integers(0, labels.size, size=labels.size)
        draws.append(score(found[rows], labels[rows]))
    low, high = np.percentile(draws, [5, 95])
    return float(low), float(high)


def _share(right: NDArray[np.bool_]) -> tuple[float, float]:
    from liftos_pipelines.stats import wilson_interval

    low, high = wilson_interval(float(right.sum()), float(right.size))
    return float(low), float(high)


def _timed(action: Callable[[], T], n: int) -> tuple[T, float]:
    began = time.process_time()
    out = action()
    return out, n / (time.process_time() - began)
