"""A generated text taken apart: its headlines, subject, title and the like where it names them, and the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from liftos_pipelines.text import fold, read_json, sentences, words

_NAMES: Mapping[str, str] = {
    "headline": "headline",
    "headlines": "headline",
    "description": "description",
    "descriptions": "description",
    "subject": "subject",
    "subject line": "subject",
    "betreff": "subject",
    "preheader": "preheader",
    "preview text": "preheader",
    "title": "title",
    "page title": "title",
    "meta title": "title",
    "titel": "title",
    "meta description": "meta_description",
    "call to action": "call_to_action",
    "cta": "call_to_action",
    "body": "body",
    "keywords": "keywords",
    "keyword": "keywords",
}
# Matched on lines whose white space is single: runs of it between optional parts would be tried in every division.
_LABELLED = re.compile(
    r"(?:[-*#>]{1,6} ?|\d{1,3}[.)] ?)?\*{0,3} ?(?P<name>[A-Za-z][A-Za-z \-]{1,24}?) ?\d{0,3} ?\*{0,3} ?:"
)
_HEADING = re.compile(r"(#{1,6}) (.+)")
_CLOSING = re.compile(r" #+$")
_BULLET = re.compile(r"\s*(?:[-*]|\d{1,3}[.)])\s+")


@dataclass(frozen=True)
class Parts:
    """`named` holds each part's texts in their order, `text` all that was written, `headings` those of Markdown."""

    text: str
    named: Mapping[str, tuple[str, ...]]
    headings: tuple[str, ...]

    def of(self, name: str) -> tuple[str, ...]:
        return self.named.get(name, ())

    @cached_property
    def words(self) -> list[str]:
        return words(self.text)

    @cached_property
    def sentences(self) -> list[str]:
        return sentences(self.text)

    @cached_property
    def folded(self) -> str:
        return fold(self.text)


def take_apart(output: str) -> Parts:
    """The parts of an output: a JSON object's fields, or lines such as `Subject: ...`; Markdown headings are kept."""
    told = _json_object(output)
    return _of_lines(output) if told is None else _of_fields(told)


def _of_fields(told: Mapping[str, object]) -> Parts:
    named: dict[str, list[str]] = {}
    for key, value in told.items():
        name = _NAMES.get(key.lower().replace("_", " "), "body")
        texts = value if isinstance(value, list) else [value]
        named.setdefault(name, []).extend(str(text) for text in texts if text not in (None, ""))
    everything = "\n".join(text for texts in named.values() for text in texts)
    return Parts(everything, {name: tuple(texts) for name, texts in named.items()}, ())


def _of_lines(output: str) -> Parts:
    named: dict[str, list[list[str]]] = {}
    headings: list[str] = []
    rest: list[str] = []
    current = "body"
    for line in output.splitlines():
        flat = " ".join(line.split())
        heading = _HEADING.match(flat) if len(line) - len(line.lstrip()) < 4 else None
        if heading:
            title = _CLOSING.sub("", heading[2])
            headings.append(title)
            if heading[1] == "#" and "title" not in named:
                named["title"] = [[title]]
            current = "body"
            rest.append(title)
            continue
        labelled = _LABELLED.match(flat)
        part = _NAMES.get(labelled["name"].strip().lower().replace("-", " ")) if labelled else None
        if part:
            current = part
            text = line.split(":", 1)[1].strip(" *\"'")
            rest.append(text)
            if text:
                named.setdefault(part, []).append([text])
            continue
        rest.append(line)
        bullet = _BULLET.match(line)
        bare = line[bullet.end() if bullet else 0 :].strip(" *\"'")
        if not bare:
            # A blank line ends a short part; the body goes on.
            current = current if current == "body" or current not in named else "body"
        elif current in ("headline", "description") or current not in named:
            named.setdefault(current, []).append([bare])
        else:
            named[current][-1].append(bare)
    texts = {name: tuple(" ".join(lines) for lines in found) for name, found in named.items()}
    return Parts("\n".join(rest).strip(), texts, tuple(headings))


def _json_object(output: str) -> dict[str, object] | None:
    text = output.strip()
    fenced = re.fullmatch(r"```(?:json)?\s*(\{.*\})\s*```", text, re.DOTALL)
    if fenced:
        text = fenced[1]
    if not text.startswith("{"):
        return None
    try:
        read = read_json(text)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None
