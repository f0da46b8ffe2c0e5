"""`liftos sentiment`, `liftos surfacing template` and `liftos train` as a person runs them."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from liftos_pipelines.cli import app

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
