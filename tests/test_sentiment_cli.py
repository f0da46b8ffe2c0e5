"""`liftos sentiment`, `liftos surfacing template` and `liftos train` as a person runs them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
from typer.testing import CliRunner

from liftos_pipelines.cli import app
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.mlflow import MlflowResource
from liftos_pipelines.resources.sentiment_model import load_model

CONFIG = "client: acme\nindustry: retail\nbrand: {name: Acme, products: [Trail tent], competitors: [{name: Globex}]}\n"


def test_a_text_is_read_as_the_assets_read_it(home: Path) -> None:
    folder = home / "clients" / "acme"
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text(CONFIG)
    text = "Acme is better than Globex, but the Trail tent came late, terrible delivery"
    said = CliRunner().invoke(app, ["sentiment", "read", text, "--client", "acme", "--json"])
    assert said.exit_code == 0, said.output
    (row,) = json.loads(said.output)
    kinds = {one["name"]: (one["kind"], one["compared"]) for one in row["targets"]}
    assert kinds == {"Acme": ("brand", "better"), "Globex": ("competitor", "worse"), "Trail tent": ("product", None)}
    assert "delivery" in row["topics"]
    assert row["language"] == "en"


def test_without_a_client_a_text_is_read_too_and_what_cannot_be_read_says_why(home: Path) -> None:
    said = CliRunner().invoke(app, ["sentiment", "read", "what a wonderful day, I love it", "12345"])
    assert said.exit_code == 0, said.output
    assert "positive" in said.output
    assert "unknown: no letters" in said.output


def test_a_template_is_told_in_words() -> None:
    said = CliRunner().invoke(app, ["surfacing", "template", "travel"])
    assert said.exit_code == 0
    assert "weights of the page audit" in said.output
    assert "retention" in said.output


def test_training_needs_a_folder_and_says_so(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["train", "sentiment", "--data", str(tmp_path / "no"), "--out", str(tmp_path / "m")])
    assert isinstance(said.exception, ValueError)
    assert "no such folder" in str(said.exception)


def test_a_training_is_tracked_with_its_figures_and_its_model(home: Path, tmp_path: Path) -> None:
    """Two invented languages of feeling: labels that the words give away."""
    rng = np.random.default_rng(3)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    words = ["".join(rng.choice(syllables, 3)) for _ in range(300)]
    rows = [
        (" ".join([*rng.choice(words[:240], 5), words[240 + 20 * k + int(rng.integers(20))]]), label, "en")
        for k, label in enumerate(("negative", "neutral", "positive"))
        for _ in range(60)
    ]
    (tmp_path / "labelled").mkdir()
    frame = pl.DataFrame(rows, schema=["text", "label", "language"], orient="row")
    frame.write_csv(tmp_path / "labelled" / "own.csv")
    out = tmp_path / "model.npz"
    said = CliRunner().invoke(app, ["train", "sentiment", "--data", str(tmp_path), "--out", str(out), "--track"])
    assert said.exit_code == 0, said.output
    runs = MlflowResource().open().search_runs(experiment_names=["packaged"])
    assert runs["tags.model_id"].to_list() == [load_model(out).model_id]
    assert runs["params.texts"].to_list() == ["180"]
    assert any(name.startswith("metrics.") and "macro_f1" in name for name in runs.columns)


def test_a_classifier_that_is_not_there_is_named_with_its_field_and_the_last_good_table_stays(home: Path) -> None:
    folder = home / "clients" / "acme"
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text(CONFIG + "sources: {mentions: {path: m.csv}}\n")
    (folder / "m.csv").write_text("mention_id,published_at,source,text\nm1,2026-01-01,x,I love Acme\n")
    run = ["run", "acme", "--select", "sources/*,sentiment/model,sentiment/mention_scores"]
    assert CliRunner().invoke(app, run).exit_code == 0
    with (folder / "client.yaml").open("a") as config:
        config.write("sentiment: {classifier: nowhere/model}\n")
    said = CliRunner().invoke(app, [*run[:3], "sentiment/mention_scores"])
    assert said.exit_code != 0
    told = " ".join(said.output.split())
    assert "clients/acme/client.yaml: sentiment.classifier: classifier nowhere/model" in told
    assert "sentiment.download: true" in told
    assert LakeResource().get().read("acme", "sentiment/mention_scores")["label"].to_list() == ["positive"]
