"""A classifier of the client's own: a real, tiny BERT built here, saved, and read back through the product's door."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from liftos_pipelines.modules.sentiment.reading.encoder import SentimentReader
from liftos_pipelines.modules.sentiment.reading.model import ModelError
from liftos_pipelines.resources.sentiment_transformer import class_table, open_transformer

WORDS = {0: ("awful", "broken"), 1: ("table", "tuesday"), 2: ("lovely", "great")}
FILLERS = ("the", "phone", "is", "and", "my", "order")


def _texts(n: int, seed: int, mistaken: float = 0.0) -> tuple[list[str], list[str]]:
    """Sentences whose one telling word gives the label; a share of labels is wrong on purpose."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(n):
        truth = int(rng.integers(3))
        words = [*rng.choice(FILLERS, size=4), rng.choice(WORDS[truth])]
        texts.append(" ".join(rng.permutation(words)))
        given = int(rng.integers(3)) if rng.random() < mistaken else truth
        labels.append(("negative", "neutral", "positive")[given])
    return texts, labels


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier trained for a moment on 90 sentences, its classes in an order of its own."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    folder = tmp_path_factory.mktemp("brought")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *FILLERS, *(word for two in WORDS.values() for word in two)]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    tokenizer = BertTokenizer(str(folder / "vocab.txt"))
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(pieces), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        id2label={0: "positive", 1: "negative", 2: "neutral"},
        label2id={"positive": 0, "negative": 1, "neutral": 2},
    )  # fmt: skip
    network = BertForSequenceClassification(config)
    texts, labels = _texts(90, seed=1)
    truth = torch.tensor([config.label2id[label] for label in labels])
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(120):
        optimiser.zero_grad()
        network(**inputs, labels=truth).loss.backward()
        optimiser.step()
    network.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder


def test_its_classes_come_out_in_our_order_whatever_its_own_is(brought: Path, tmp_path: Path) -> None:
    reader = open_transformer(str(brought), folder=tmp_path)
    p = reader.probabilities(["the phone is awful", "table and tuesday", "my lovely order"], ["en"] * 3)
    assert p.argmax(axis=1).tolist() == [0, 1, 2]
    assert np.allclose(p.sum(axis=1), 1)
    assert isinstance(reader, SentimentReader)


def test_a_folder_below_the_client_is_found_and_order_of_texts_is_kept(brought: Path) -> None:
    reader = open_transformer(brought.name, folder=brought.parent)
    texts = ["my order is awful and the phone is broken", "lovely", "lovely", "tuesday"]
    together = reader.probabilities(texts, ["en"] * 4)
    alone = np.concatenate([reader.probabilities([text], ["en"]) for text in texts])
    assert np.allclose(together, alone, atol=1e-6)
    assert reader.probabilities([], []).shape == (0, 3)


def test_labelled_mentions_mend_its_overconfidence_and_too_few_leave_it_stated(brought: Path, tmp_path: Path) -> None:
    texts, labels = _texts(900, seed=2, mistaken=0.4)
    raw = open_transformer(str(brought), folder=tmp_path)
    fitted = open_transformer(str(brought), folder=tmp_path, labelled=(texts, labels, [None] * 900))
    few = open_transformer(str(brought), folder=tmp_path, labelled=(texts[:100], labels[:100], [None] * 100))
    assert (raw.calibrated, fitted.calibrated, few.calibrated) == (False, True, False)
    assert [one.figures["labelled"] for one in (fitted, few)] == [900, 100]
    held, truth = _texts(2000, seed=3, mistaken=0.4)
    codes = np.asarray([("negative", "neutral", "positive").index(label) for label in truth])

    def gap(p: np.ndarray) -> float:
        return abs(float(p.max(axis=1).mean()) - float((p.argmax(axis=1) == codes).mean()))

    assert gap(raw.probabilities(held, ["en"] * 2000)) > 0.15
    assert gap(fitted.probabilities(held, ["en"] * 2000)) < 0.06


def test_what_cannot_be_used_is_refused_with_what_was_found(brought: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"SPAM, HAM; expected negative.*no neutral class"):
        class_table({0: "SPAM", 1: "HAM"})
    with pytest.raises(ModelError, match="no such folder"):
        open_transformer("./absent", folder=tmp_path)
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for file in brought.iterdir():
        if file.suffix != ".safetensors":
            (pickled / file.name).write_bytes(file.read_bytes())
    (pickled / "pytorch_model.bin").write_bytes(b"not read")
    with pytest.raises(ModelError, match="no safetensors weights"):
        open_transformer("pickled", folder=tmp_path)
    with pytest.raises(ModelError, match=r"acme/none is not in the local cache.*sentiment.download: true"):
        open_transformer("acme/none", folder=tmp_path)


def test_stars_and_numbered_labels_are_known() -> None:
    stars = class_table({k: f"{k + 1} star{'s' if k else ''}" for k in range(5)})
    assert stars.argmax(axis=1).tolist() == [0, 0, 1, 2, 2]
    assert class_table({0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}).argmax(axis=1).tolist() == [0, 1, 2]
