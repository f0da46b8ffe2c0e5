"""A generated text taken apart: its headlines, subject, title and the like where it names them, and the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from liftos_pipelines.text import fold, sentences, words

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
_LABELLED = re.compile(
    r"^\s*(?:[-*#>]+\s*|\d+[.)]\s*)?\**\s*(?P<name>[A-Za-z][A-Za-z \-]{1,24}?)\s*(?:\d+)?\s*\**\s*:"
    r"\s*\**\s*(?P<text>.*)$"
)
_HEADING = re.compile(r"^\s{0,3}(#{1,6})\s+(.+?)\s*#*\s*$")


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
    if told is not None:
        named: dict[str, list[str]] = {}
        for key, value in told.items():
            name = _NAMES.get(key.lower().replace("_", " "), "body")
            texts = value if isinstance(value, list) else [value]
            named.setdefault(name, []).extend(str(text) for text in texts if text not in (None, ""))
        everything = "\n".join(text for texts in named.values() for text in texts)
        return Parts(everything, {name: tuple(texts) for name, texts in named.items()}, ())
    named, headings, rest, current = {}, [], [], "body"
    for line in output.splitlines():
        heading = _HEADING.match(line)
        if heading:
            headings.append(heading[2])
            if heading[1] == "#" and "title" not in named:
                named["title"] = [heading[2]]
            current = "body"
            rest.append(heading[2])
            continue
        labelled = _LABELLED.match(line)
        part = _NAMES.get(labelled["name"].strip().lower().replace("-", " ")) if labelled else None
        if labelled and part:
            current = part
            line = labelled["text"].strip(" *\"'")
            rest.append(line)
            if line:
                named.setdefault(part, []).append(line)
            continue
        rest.append(line)
        bare = re.sub(r"^\s*(?:[-*]|\d+[.)])\s+", "", line).strip(" *\"'")
        if not bare:
            # A blank line ends a short part; the body goes on.
            current = current if current == "body" or current not in named else "body"
        elif current in ("headline", "description") or current not in named:
            named.setdefault(current, []).append(bare)
        else:
            named[current][-1] += f" {bare}"
    return Parts("\n".join(rest).strip(), {name: tuple(texts) for name, texts in named.items()}, tuple(headings))


def _json_object(output: str) -> dict[str, object] | None:
    text = output.strip()
    fenced = re.fullmatch(r"```(?:json)?\s*(\{.*\})\s*```", text, re.DOTALL)
    if fenced:
        text = fenced[1]
    if not text.startswith("{"):
        return None
    try:
        read = json.loads(text)
    except ValueError:
        return None
    return read if isinstance(read, dict) else None
