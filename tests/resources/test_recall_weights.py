"""A client's own weights: kept beside its memory, seen when they change, never in the way when they are broken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from liftos_pipelines.modules.memory.recall.fit import Fitted
from liftos_pipelines.modules.memory.recall.fusion import PRIOR, Settings
from liftos_pipelines.resources.recall_weights import RecallWeights


def fitted(chosen: str, words: float = 0.9) -> Fitted:
    settings = Settings(weights={"words": words, "meaning": 1 - words}, spread=0.1, linked=0.2)
    return Fitted(settings=settings, chosen=chosen, reason="r", questions=30, groups=5)


def test_what_one_wrote_another_reads_and_the_prior_comes_back_when_it_is_chosen(tmp_path: Path) -> None:
    writer, reader = RecallWeights(tmp_path / "client"), RecallWeights(tmp_path / "client")
    assert reader.settings is PRIOR
    writer.write(fitted("fitted"))
    assert reader.settings.weights["words"] == pytest.approx(0.9)
    assert (reader.settings.spread, reader.settings.linked) == (0.1, 0.2)
    writer.write(fitted("fitted", 0.2))
    os.utime(writer.file, ns=(1, 1))  # whatever the clock says: another time than before
    assert reader.settings.weights["words"] == pytest.approx(0.2)
    writer.write(fitted("prior"))
    assert reader.settings is PRIOR


@pytest.mark.parametrize("broken", ["", "[]", '{"weights": {"words": -1}, "spread": 0.1}', '{"weights": 3}', "\0"])
def test_a_broken_file_leaves_the_packaged_weights_and_says_what_to_do(
    tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    weights = RecallWeights(tmp_path)
    weights.file.write_text(broken)
    assert weights.settings is PRIOR
    assert "remove it" in caplog.text
