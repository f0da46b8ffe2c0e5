"""Templates as a client writes them, and what is wrong with them in its own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.resources.prompt_files import PromptFileError, read_templates


def client(folder: Path, **files: str) -> ClientConfig:
    for name, text in files.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return ClientConfig(client="acme", folder=folder)


def test_a_folder_and_a_file_of_templates_are_read(tmp_path: Path) -> None:
    files = {
        "prompts/ads/spring/v1.md": "Write {{x}}.\n",
        "prompts/ads/.v2.txt": "hidden",
        "prompts/ads/notes.csv": "x",
    }
    files["prompts.yaml"] = (
        'chat:\n  2: Hello\n  3: {template: Hi, message: shorter}\nads/spring:\n  v1: "Write {{x}}.\\n"\n'
    )
    found = read_templates(client(tmp_path, **files))
    assert [(each.name, each.label, each.text, each.message) for each in found] == [
        ("ads/spring", "v1", "Write {{x}}.\n", None),
        ("chat", "2", "Hello", None),
        ("chat", "3", "Hi", "shorter"),
    ]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"prompts/v1.txt": "x"}, r"prompts/v1\.txt: a template lies in its prompt's folder"),
        ({"prompts/a/v1.txt": " "}, r"prompts/a/v1\.txt: the template of a v1 is blank"),
        ({"prompts/a/v1.txt": "x", "prompts.yaml": "a: {v1: y}"}, r"a v1 has another text in prompts/a/v1\.txt"),
        ({"prompts.yaml": "a: text"}, "a: expected labels with templates"),
        ({"prompts.yaml": "a: {v1: {tempalte: x}}"}, r"a\.v1: expected a text, or template and message"),
        ({"prompts.yaml": "a: [unclosed"}, "not readable as YAML"),
    ],
)
def test_a_template_that_cannot_be_used_names_file_and_fix(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with pytest.raises(PromptFileError, match=said):
        read_templates(client(tmp_path, **files))


def test_a_link_out_of_the_clients_folder_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("another client's prompt")
    folder = tmp_path / "acme"
    (folder / "prompts" / "a").mkdir(parents=True)
    (folder / "prompts" / "a" / "v1.txt").symlink_to(other)
    with pytest.raises(PromptFileError, match="leads out of the client's folder"):
        read_templates(ClientConfig(client="acme", folder=folder))
