"""Making the encoder's artefact: the adapter trained on public labelled texts, then heads' scales and mixing fitted.

Two commands' worth: `train_encoder` does all of it (about 25 minutes on one core); `refit_encoder` keeps the adapter
and heads and fits mixing and scales anew, which is enough after the fast tier has changed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.sentiment.reading.adapter import copy_key, held_back, prepare
from liftos_pipelines.modules.sentiment.reading.calibration import (
    SoftConfusion,
    abstention_threshold,
    fit_calibration,
    soft_confusion,
)
from liftos_pipelines.modules.sentiment.reading.emotions import EmotionScales, LabelScale, fit_scale, fit_scales
from liftos_pipelines.modules.sentiment.reading.encoder import HEADS, DenseHead, SentimentEncoder
from liftos_pipelines.modules.sentiment.reading.irony import NO_WIDENING, checked_widening
from liftos_pipelines.modules.sentiment.reading.mixing import cross_fitted, fit_mixing, gain
from liftos_pipelines.modules.sentiment.reading.model import SentimentModel
from liftos_pipelines.resources import labelled_texts
from liftos_pipelines.resources.embedder import default_model_path
from liftos_pipelines.resources.sentiment_encoder import BASE, TextEncoder, load_encoder, save_encoder, tokenizer
from liftos_pipelines.resources.sentiment_model import packaged_model

Array = NDArray[np.float64]

SEED = 20_240_101
RANKS = (0, 0, 32, 32, 32, 32)
TOKENS_A_STEP = 800
TRAINING_PIECES = 64
LEARNING_RATE = 1e-3
WARM_UP = 300
DROPOUT = 0.1
WORTH = 0.01
"""A language is encoded where the mixture's log loss on left-out texts is lower by more than this, at 90 %."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """Texts of one set with what their head is to learn, gone through `passes` times."""

    name: str
    head: str
    texts: list[str]
    labels: Sequence[Any]
    passes: int


def training_tasks(data: Path) -> list[Task]:
    """The sets below `data` that are present, without what must stay unseen.

    Left out, with their copies: every validation text, every review of the benchmark's binary set where it lies
    beside, and the share of the English sentiment tweets that mixing and calibration are fitted on.

    Raises
    ------
    FileNotFoundError : neither GoEmotions nor English tweets are there
    """
    root = labelled_texts.sentiment_root(data)
    unseen = {copy_key(text) for text in _unseen(root)}
    tweets = english(labelled_texts.umsab(root, "train"))
    emotion, irony = (labelled_texts.tweeteval(root, name, "train") for name in ("emotion", "irony"))
    comments, named = goemotions(root, "train")
    found = [
        Task(name="goemotions", head="fine", texts=comments, labels=named, passes=2),
        Task(name="tweeteval emotion", head="mood", texts=emotion.texts, labels=emotion.labels, passes=5),
        Task(name="tweeteval irony", head="irony", texts=irony.texts, labels=irony.labels, passes=5),
        Task(name="umsab en", head="sentiment", texts=tweets[0], labels=tweets[1], passes=5),
    ]
    for file, passes in (("tweets", 3), ("amazonReviewSnippets", 2), ("movieReviewSnippets", 1)):
        rated, valence = ratings(root / "vader_icwsm" / f"{file}_GroundTruth.txt")
        found.append(Task(name=f"vader {file}", head="valence", texts=rated, labels=valence, passes=passes))
    kept = []
    for task in found:
        rows = [k for k, text in enumerate(task.texts) if copy_key(text) not in unseen]
        if rows:
            texts, labels = [task.texts[k] for k in rows], [task.labels[k] for k in rows]
            kept.append(replace(task, texts=texts, labels=labels))
    if {"fine", "sentiment"} - {task.head for task in kept}:
        raise FileNotFoundError(
            f"{data}: the encoder learns from goemotions/train.tsv and umsab/english/train_text.txt at least"
        )
    return kept


def train_encoder(
    data: Path, out: Path, *, fast: SentimentModel | None = None, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Train adapter and heads, fit scales and mixing on texts they never saw, write the artefact; returns its figures.

    One thread and one seed: the same machine gives the same weights again. `<out>.figures.json` beside it.
    """
    import torch
    from torch import nn
    from torch.nn import functional as F

    from liftos_pipelines.resources.minilm import FEATURES, MiniLM, pooled

    folder = default_model_path()
    tasks = training_tasks(data)
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    network = MiniLM(folder, ranks=RANKS, dtype=torch.bfloat16).train()
    heads = nn.ModuleDict({name: nn.Linear(FEATURES, outputs) for name, outputs in _HEAD_ORDER.items()})
    for head in heads.values():
        nn.init.normal_(head.weight, std=0.01)
        nn.init.zeros_(head.bias)
    read = tokenizer(folder, TRAINING_PIECES)
    ids = [[one.ids for one in read.encode_batch([prepare(text) for text in task.texts])] for task in tasks]
    plan = list(_batches(ids, [task.passes for task in tasks]))
    thin = [values for values in network.parameters() if values.requires_grad]
    optimiser = torch.optim.AdamW(
        [{"params": thin, "weight_decay": 0.01}, {"params": heads.parameters(), "weight_decay": 0.0}],
        lr=LEARNING_RATE,
        betas=(0.9, 0.98),
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / WARM_UP) * max(0.0, 1 - step / len(plan))
    )
    for step, batch in enumerate(plan):
        states = network(torch.tensor([ids[task][row] for task, row in batch]))
        features = F.dropout(pooled(states), DROPOUT)
        rows_of: dict[str, list[int]] = defaultdict(list)
        labels_of: dict[str, list[Any]] = defaultdict(list)
        for place, (task, row) in enumerate(batch):
            rows_of[tasks[task].head].append(place)
            labels_of[tasks[task].head].append(tasks[task].labels[row])
        loss = torch.zeros(())
        for name, rows in rows_of.items():
            loss = loss + _loss(name, heads[name](features[rows]), labels_of[name]).sum()
        loss = loss / len(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(thin, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
        if step % 200 == 199:
            say(f"step {step + 1} of {len(plan)}, loss {float(loss.detach()):.3f}")
    learned = {
        name: DenseHead(
            weights=head.weight.detach().numpy().T.astype(np.float16).astype(np.float32),
            bias=head.bias.detach().numpy().astype(float),
        )
        for name, head in heads.items()
    }
    even = {name: _unfitted(HEADS[name]) for name in ("fine", "irony")}
    encoder = SentimentEncoder(
        adapter=network.learned(BASE), heads=learned, mixing={},
        emotions=EmotionScales(fine=even["fine"], groups=_unfitted(4), basic=_unfitted(7)),
        mood_scale=(1.0, (0.0,) * HEADS["mood"]), irony_scale=even["irony"],
    )  # fmt: skip
    trained = {"steps": len(plan), "texts": {task.name: len(task.texts) for task in tasks}}
    return _fitted(replace(encoder, figures={"training": trained}), data, out, fast or packaged_model(), folder)


def refit_encoder(data: Path, out: Path, *, fast: SentimentModel | None = None) -> dict[str, Any]:
    """Fit scales and mixing of an existing artefact anew, for instance after the fast tier was trained again."""
    return _fitted(load_encoder(out), data, out, fast or packaged_model(), default_model_path())


_HEAD_ORDER = {"fine": 28, "mood": 4, "irony": 1, "sentiment": 3, "valence": 1}


def _fitted(encoder: SentimentEncoder, data: Path, out: Path, fast: SentimentModel, folder: Path) -> dict[str, Any]:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        read = TextEncoder(encoder, folder)
        encoder = _with_tasks(encoder, data, read)
        encoder = _with_mixing(encoder, data, read, fast)
    encoder = SentimentEncoder.from_arrays(encoder.to_arrays())
    figures = dict(encoder.figures) | {"fast_model": fast.model_id, "precision": read.precision}
    encoder = replace(encoder, figures=figures)
    save_encoder(encoder, out)
    beside = out.with_suffix(".figures.json")
    beside.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return figures


def _with_tasks(encoder: SentimentEncoder, data: Path, read: TextEncoder) -> SentimentEncoder:
    """Scales of the fine emotions, moods and irony, from validation texts that the adapter never saw."""
    root = labelled_texts.sentiment_root(data)
    comments, named = goemotions(root, "dev")
    changes: dict[str, Any] = {}
    if comments:
        changes["emotions"] = fit_scales(encoder.logits(read(comments))["fine"], flags(named))
    moods = labelled_texts.tweeteval(root, "emotion", "val")
    if moods.texts:
        one = fit_calibration(encoder.logits(read(moods.texts))["mood"], np.asarray(moods.labels))
        changes["mood_scale"] = (1 / one.temperature, one.offsets)
    ironic = labelled_texts.tweeteval(root, "irony", "val")
    if ironic.texts:
        truth = np.asarray(ironic.labels, dtype=bool)[:, None]
        changes["irony_scale"] = fit_scale(encoder.logits(read(ironic.texts))["irony"], truth)
    return replace(encoder, **changes)


@dataclass(frozen=True, kw_only=True, eq=False)
class Unseen:
    """Labelled texts of one language that neither tier was fitted on: fast probabilities (n, 3), labels (n,)."""

    texts: list[str]
    labels: NDArray[np.int64]
    fast: Array


def unseen_by_language(data: Path, fast: SentimentModel) -> dict[str, Unseen]:
    """Validation texts, and the held-back share of the training texts with the fast tier's out-of-fold reading."""
    from liftos_pipelines.resources.sentiment_model import fast_logits, labelled_training, labelled_validation

    held, trained = labelled_validation(data), labelled_training(data)
    apart = fast_logits(data, held.texts)
    rows = [k for k in np.flatnonzero(apart.informative).tolist() if held_back(trained.texts[k])]
    texts = held.texts + [trained.texts[k] for k in rows]
    labels = np.asarray(held.labels + [trained.labels[k] for k in rows], dtype=np.int64)
    languages = held.languages + [trained.languages[k] for k in rows]
    p = np.concatenate(
        [
            fast.probabilities(held.texts, held.languages),
            fast.calibrated(apart.out_of_fold[rows], [trained.languages[k] for k in rows]),
        ]
    )
    codes = np.asarray(languages, dtype=object)
    found = {}
    for code in dict.fromkeys(languages):
        here = np.flatnonzero(codes == code)
        found[code] = Unseen(texts=[texts[k] for k in here.tolist()], labels=labels[here], fast=p[here])
    return found


def _with_mixing(encoder: SentimentEncoder, data: Path, read: TextEncoder, fast: SentimentModel) -> SentimentEncoder:
    """Mixing of the languages in which the encoder lowers the log loss of left-out texts, and irony's widening."""
    mixing, figures, widening = {}, {}, NO_WIDENING
    confusion: dict[str, SoftConfusion] = {}
    abstain: dict[str, float] = {}
    for code, unseen in unseen_by_language(data, fast).items():
        logits = encoder.logits(read(unseen.texts))
        heard = encoder.heard(logits)
        alone = cross_fitted(unseen.fast, None, unseen.labels, seed=SEED)
        mixed = cross_fitted(unseen.fast, heard, unseen.labels, seed=SEED)
        fall, low, high = gain(alone, mixed, unseen.labels, seed=SEED)
        figures[code] = {"n": float(unseen.labels.size), "log_loss_fall": fall, "low": low, "high": high}
        if low > WORTH:
            mixing[code] = fit_mixing(unseen.fast, heard, unseen.labels)
            confusion[code] = soft_confusion(mixed, unseen.labels)
            sure, right = mixed.max(axis=1), mixed.argmax(axis=1) == unseen.labels
            threshold = abstention_threshold(sure, right, fast.target_accuracy)
            abstain |= {} if threshold is None else {code: threshold}
        if code in mixing and code in encoder.task_languages:
            widening, figures[f"irony_{code}"] = checked_widening(
                mixed, encoder.irony(logits), unseen.labels, seed=SEED
            )
    return replace(
        encoder,
        mixing=mixing,
        widening=widening,
        soft_confusion=confusion,
        abstain_by_language=abstain,
        figures=dict(encoder.figures) | {"mixing": figures},
    )


def goemotions(root: Path, split: str) -> tuple[list[str], list[list[int]]]:
    """Comments and the ids of their labels; empty where the file is absent."""
    file = root / "goemotions" / f"{split}.tsv"
    texts, labels = [], []
    for line in labelled_texts.lines_of(file) if file.is_file() else []:
        text, codes, *_ = line.split("\t")
        texts.append(text)
        labels.append([int(code) for code in codes.split(",")])
    return texts, labels


def flags(labels: Sequence[Sequence[int]]) -> NDArray[np.bool_]:
    """(n, 28) whether each fine label was given."""
    out = np.zeros((len(labels), HEADS["fine"]), dtype=bool)
    for row, named in enumerate(labels):
        out[row, list(named)] = True
    return out


def ratings(file: Path) -> tuple[list[str], list[float]]:
    """Texts and mean valence (-4 to 4) of one VADER file; empty where it is absent."""
    texts, values = [], []
    for line in labelled_texts.lines_of(file) if file.is_file() else []:
        fields = line.rstrip("\r").split("\t")
        if len(fields) >= 3:
            texts.append(fields[2])
            values.append(float(fields[1]))
    return texts, values


def reviews(root: Path) -> dict[str, tuple[list[str], list[int]]]:
    """The benchmark's binary reviews by source; empty where absent. Never trained on."""
    found = {}
    for name in ("amazon_cells", "imdb", "yelp"):
        file = root / "uci" / f"{name}_labelled.txt"
        if file.is_file():
            parts = [line.rsplit("\t", 1) for line in labelled_texts.lines_of(file)]
            found[name] = ([text for text, _ in parts], [int(label) for _, label in parts])
    return found


def english(examples: Any) -> tuple[list[str], list[int]]:
    """Texts and labels of the English examples."""
    rows = [k for k, code in enumerate(examples.languages) if code == "en"]
    return [examples.texts[k] for k in rows], [examples.labels[k] for k in rows]


def _unseen(root: Path) -> Iterator[str]:
    yield from labelled_texts.umsab(root, "val").texts
    yield from (text for text in labelled_texts.umsab(root, "train").texts if held_back(text))
    for name in ("emotion", "irony"):
        yield from labelled_texts.tweeteval(root, name, "val").texts
    yield from goemotions(root, "dev")[0]
    for texts, _ in reviews(root).values():
        yield from texts


def _batches(ids: Sequence[Sequence[Sequence[int]]], passes: Sequence[int]) -> Iterator[list[tuple[int, int]]]:
    """Batches of texts of one length, sets and passes spread evenly over the run; each (task, row)."""
    rng = np.random.default_rng(SEED)
    order = []
    for task, texts in enumerate(ids):
        for turn in range(passes[task]):
            for place, row in enumerate(rng.permutation(len(texts))):
                when = (turn + (place + rng.random()) / len(texts)) / passes[task]
                order.append((when, task, int(row)))
    waiting: Mapping[int, list[tuple[int, int]]] = defaultdict(list)
    for _, task, row in sorted(order):
        length = len(ids[task][row])
        waiting[length].append((task, row))
        if len(waiting[length]) >= max(8, TOKENS_A_STEP // length):
            yield list(waiting[length])
            waiting[length].clear()
    for batch in waiting.values():
        if len(batch) >= 4:
            yield batch


def _loss(head: str, outputs: Any, labels: list[Any]) -> Any:
    """Loss of each text of one head: (n,)."""
    import torch
    from torch.nn import functional as F

    if head == "fine":
        wanted = torch.from_numpy(flags(labels).astype(np.float32))
        return 0.5 * F.binary_cross_entropy_with_logits(outputs, wanted, reduction="none").sum(1)
    if head in ("mood", "sentiment"):
        return F.cross_entropy(outputs, torch.tensor(labels), reduction="none")
    if head == "irony":
        return F.binary_cross_entropy_with_logits(outputs[:, 0], torch.tensor(labels).float(), reduction="none")
    return (outputs[:, 0] - torch.tensor(labels) / 2) ** 2


def _unfitted(outputs: int) -> LabelScale:
    return LabelScale(slopes=np.ones(outputs), offsets=np.zeros(outputs), thresholds=np.full(outputs, 0.5))
