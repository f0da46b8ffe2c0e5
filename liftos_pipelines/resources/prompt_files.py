"""A client's prompt templates: `prompts/<name>/<label>.txt` or `.md`, or `prompts.yaml`; the label is the version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from liftos_pipelines.clients import ClientConfig

FOLDER, FILE = "prompts", "prompts.yaml"
ENDINGS = (".txt", ".md")


class PromptFileError(ValueError):
    """A template cannot be used; the message names the file, the field and the fix."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """One template as the client wrote it. `label` is what recorded calls carry as `prompt_version`."""

    name: str
    label: str
    text: str
    file: str
    message: str | None = None


def read_templates(client: ClientConfig) -> list[Template]:
    """Every template of a client, by name and label; none where there is neither folder nor file.

    Raises
    ------
    PromptFileError : not UTF-8, blank, not the expected form, or a label with two different texts
    """
    found: dict[tuple[str, str], Template] = {}
    for template in (*_from_folder(client.folder), *_from_file(client.folder)):
        if not template.text.strip():
            raise PromptFileError(f"{template.file}: the template of {template.name} {template.label} is blank")
        other = found.setdefault((template.name, template.label), template)
        if other.text != template.text:
            raise PromptFileError(
                f"{template.file}: {template.name} {template.label} has another text in {other.file}. Keep one, "
                "or give the new text a label of its own."
            )
    return [found[key] for key in sorted(found)]


def _from_folder(folder: Path) -> list[Template]:
    root = folder / FOLDER
    made = []
    for file in sorted(root.rglob("*")) if root.is_dir() else []:
        shown = file.relative_to(folder).as_posix()
        if not file.is_file() or file.suffix.lower() not in ENDINGS or file.name.startswith("."):
            continue
        if not file.resolve().is_relative_to(folder.resolve()):
            raise PromptFileError(f"{shown}: leads out of the client's folder; copy the template into it")
        if file.parent == root:
            raise PromptFileError(f"{shown}: a template lies in its prompt's folder: {FOLDER}/<name>/{file.name}")
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise PromptFileError(f"{shown}: not UTF-8: {error}. Save the file as UTF-8.") from error
        made.append(Template(name=file.parent.relative_to(root).as_posix(), label=file.stem, text=text, file=shown))
    return made


def _from_file(folder: Path) -> list[Template]:
    """`name: {label: text}` or `name: {label: {template: text, message: why}}`."""
    file = folder / FILE
    if not file.is_file():
        return []
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PromptFileError(f"{file}: not readable as YAML: {error}") from error
    if not isinstance(content, dict):
        raise PromptFileError(f"{file}: expected prompts such as `welcome: {{v1: Hello}}`")
    made = []
    for name, labels in content.items():
        if not isinstance(labels, dict):
            raise PromptFileError(f"{file}: {name}: expected labels with templates such as `v1: Hello`")
        for label, said in labels.items():
            text, message = _text(said, f"{file}: {name}.{label}")
            made.append(Template(name=str(name), label=str(label), text=text, file=FILE, message=message))
    return made


def _text(said: Any, where: str) -> tuple[str, str | None]:
    if isinstance(said, str):
        return said, None
    if isinstance(said, dict) and isinstance(said.get("template"), str) and set(said) <= {"template", "message"}:
        return said["template"], said.get("message")
    raise PromptFileError(f"{where}: expected a text, or template and message, nothing else")
