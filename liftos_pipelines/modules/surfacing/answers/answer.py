"""Reading one answer of an AI assistant: its sentences, what each cites, and the entries of its lists."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from liftos_pipelines.modules.surfacing.answers.furniture import CARD, readable
from liftos_pipelines.modules.surfacing.answers.lists import Item, read_items, unmarked, without_marker
from liftos_pipelines.modules.surfacing.answers.references import CLOSE, MARK, OPEN, Sources, split_definitions
from liftos_pipelines.modules.surfacing.answers.web import host_of, page_key
from liftos_pipelines.text import sentences

_STOP_THEN_MARKS = re.compile(rf"([.!?。！？]+[\"')\]]*)(\s*(?:[(\s,;]*{OPEN}\d+{CLOSE}[)\s,;]*)+)")
_WORD_CHARACTER = re.compile(r"\w")
_SPACES = re.compile(r"\s{2,}")
_EMPTY_PARENTHESES = re.compile(r"\(\s*(?:[,;]\s*)*\)")
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Sr|Jr|Prof|vs|e\.g|i\.e|bzw|ca|approx|No|Nr)|\b[A-Z])\.$")


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """One sentence as it reads, the keys of the sources it cites, and the line it stands in.

    `card` says that it is a product card (name and price) and no sentence of the answer's own.
    """

    text: str
    citations: tuple[int, ...]
    line: int = 0
    card: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A parsed answer.

    `sources` maps a citation's key to its address (None where the address is no web address); keys 1..n are
    the engine's own numbering. `invalid` lists citations that are not addresses, `hallucinated` counts
    references to a source that does not exist (None where the engine's source list is not recorded). `glued`
    says that the answer's line breaks had been lost and were put back.
    """

    sentences: tuple[Sentence, ...]
    items: tuple[Item, ...]
    sources: dict[int, str | None]
    invalid: tuple[str, ...]
    hallucinated: int | None
    recorded_citations: bool
    glued: bool = False

    @cached_property
    def cited_pages(self) -> dict[str, str]:
        """Distinct cited pages: page key -> host."""
        pages = {}
        for url in self.sources.values():
            host = host_of(url)
            if url is not None and host is not None:
                pages[page_key(url)] = host
        return pages


def parse_answer(text: str | None, citations: Sequence[str | None] | None) -> Answer:
    """Read an answer's text (Markdown, plain, run together or with stray HTML) and the source list that came with it.

    Numbered references `[n]` are 1-based into the reference definitions in the text if there are any, else
    into `citations`. Nothing in a malformed answer raises: what cannot be read is text.
    """
    own = readable(text or "")
    raw_lines, definitions = split_definitions(own.text)
    listed = list(definitions.items()) or list(enumerate(citations or [], start=1))
    sources = Sources(dict(listed), recorded=bool(definitions) or citations is not None)
    if definitions:
        for url in citations or []:
            sources.key_of_url(url or "")
    marked = [sources.mark(line) for line in raw_lines]
    return Answer(
        sentences=tuple(_sentences(marked)),
        items=read_items(marked, glued=own.glued),
        sources=sources.urls,
        invalid=tuple(sources.invalid),
        hallucinated=sources.hallucinated,
        recorded_citations=sources.recorded or bool(sources.urls),
        glued=own.glued,
    )


def _sentences(marked: Sequence[str]) -> list[Sentence]:
    read: list[Sentence] = []
    for position, line in enumerate(marked):
        body = unmarked(without_marker(line)).strip()
        if not body:
            continue
        card = body.endswith(CARD)
        if card:
            body = body.removesuffix(CARD)
        cites = OPEN in body
        if cites:
            body = _STOP_THEN_MARKS.sub(lambda match: f"{match[2].rstrip()}{match[1]} ", body)
        parts = [body] if card else _whole(sentences(body))
        for part in parts:
            cited: tuple[int, ...] = ()
            if cites:
                cited = tuple(int(number) for number in MARK.findall(part))
                part = MARK.sub("", part)
            if "(" in part:
                part = _EMPTY_PARENTHESES.sub("", part)
            clean = part.strip(" |\t")
            if _WORD_CHARACTER.search(clean):
                text = _SPACES.sub(" ", clean) if "  " in clean or "\t" in clean else clean
                read.append(Sentence(text=text, citations=cited, line=position, card=card))
            elif cited and read:  # a line of bare references belongs to the sentence before it
                read[-1] = replace(read[-1], citations=read[-1].citations + cited)
    return read


def _whole(parts: Sequence[str]) -> list[str]:
    """Sentences with those put together again that were split at an abbreviation ("Mr. Coffee", "U.S. News")."""
    whole: list[str] = []
    for part in parts:
        if whole and _ABBREVIATION.search(whole[-1]):
            whole[-1] = f"{whole[-1]} {part}"
        else:
            whole.append(part)
    return whole
