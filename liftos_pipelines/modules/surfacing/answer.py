"""Reading one answer of an AI assistant: its sentences, what each cites, and the list it may hold."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from liftos_pipelines.modules.surfacing.web import host_of, is_engine_link, page_key
from liftos_pipelines.text import sentences

_DEFINITION = re.compile(r"^\s{0,3}\[\^?(\d{1,3})\]:\s*<?(\S+?)>?(?:\s+[\"'(].*)?$")
_LINK = re.compile(
    r"!?\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(\s*<?((?:[^()\s]|\([^()\s]*\))*)>?(?:\s+[\"'][^\"')]*[\"'])?\s*\)"
)
_NAMED_REFERENCE = re.compile(r"\[([^\[\]]+)\]\s?\[\^?(\d{1,2})\]")
_REFERENCE = re.compile(r"\[\^?(\d{1,2}(?:\s*[,;]\s*\^?\d{1,2})*)\]|【(\d{1,2})[^】]*】")
_BARE_URL = re.compile(r"(?<![\w/])https?://[^\s<>\"')\]]+")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<!--.*?-->", re.DOTALL)
_SKIPPED_ELEMENT = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|$)", re.DOTALL | re.IGNORECASE)
_BREAKING_TAG = re.compile(r"<\s*/?\s*(?:br|p|div|li|tr|h[1-6]|ul|ol|table)\b[^<>]*>", re.IGNORECASE)
# Citations travel through the sentence splitter as private-use characters around their key's number.
_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
_STOP_THEN_MARKS = re.compile(rf"([.!?。！？]+[\"')\]]*)(\s*(?:[(\s,;]*{_OPEN}\d+{_CLOSE}[)\s,;]*)+)")
_EMPTY_PARENTHESES = re.compile(r"\(\s*(?:[,;]\s*)*\)")

_HEADING = re.compile(r"^\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_ORDERED = re.compile(r"^(\s*)(?:[*_]{2})?(\d{1,2})(?:[.)]|\ufe0f?\u20e3)(?:[*_]{2})?(?=\s|[*_\[])\s*(.+)$")
_BULLET = re.compile(r"^(\s*)[-*•+–·]\s+(.+)$")
_TABLE_RULE = re.compile(r"^\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)*\|?\s*$")
_BOLD_LINE = re.compile(r"^\s*(?:\*\*|__)(.+?)(?:\*\*|__)\s*:?\s*$")
_STRONG_HEAD = re.compile(r"^\W{0,3}(?:\*\*|__)(.+?)(?:\*\*|__)")
_HEAD_END = re.compile(r"\s[–—-]\s|:\s|:$|\.\s|;\s|\s\(")
_MARKUP = re.compile(r"\*\*|__|`|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)|\\(?=[$*_#\[\]()~.])")


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """One sentence as it reads, and the keys of the sources it cites."""

    text: str
    citations: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Item:
    """An entry of a list, table or sequence of headings; `head` is what it is about.

    `level` is the indent or heading depth, `number` the written number, `line` the position in the answer.
    """

    kind: str
    head: str
    level: int
    line: int
    number: int | None = None
    labelled: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A parsed answer.

    `sources` maps a citation's key to its address (None where the address is no web address); keys 1..n are
    the engine's own numbering. `invalid` lists citations that are not addresses, `hallucinated` counts
    references to a source that does not exist (None where the engine's source list is not recorded).
    """

    sentences: tuple[Sentence, ...]
    items: tuple[Item, ...]
    sources: dict[int, str | None]
    invalid: tuple[str, ...]
    hallucinated: int | None
    recorded_citations: bool

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
    """Read an answer's text (Markdown, plain or with stray HTML) and the source list that came with it.

    Numbered references `[n]` are 1-based into the reference definitions in the text if there are any, else
    into `citations`. Nothing in a malformed answer raises: what cannot be read is text.
    """
    raw_lines, definitions = _split_definitions(_without_html(text or ""))
    listed = list(definitions.items()) or list(enumerate(citations or [], start=1))
    keys = _Sources(dict(listed), recorded=bool(definitions) or citations is not None)
    if definitions:
        for url in citations or []:
            keys.key_of_url(url or "")
    marked = [keys.mark(line) for line in raw_lines]
    items = _items(raw_lines, marked)
    read = []
    body = "\n".join(_MARKUP.sub("", _prefix_removed(line)) for line in marked)
    for part in sentences(_STOP_THEN_MARKS.sub(lambda match: f"{match[2].rstrip()}{match[1]} ", body)):
        cited = tuple(int(number) for number in _MARK.findall(part))
        clean = _EMPTY_PARENTHESES.sub("", _MARK.sub("", part)).strip(" |\t")
        if re.search(r"\w", clean):
            read.append(Sentence(text=re.sub(r"\s{2,}", " ", clean), citations=cited))
        elif cited and read:  # a line of bare references belongs to the sentence before it
            read[-1] = Sentence(text=read[-1].text, citations=read[-1].citations + cited)
    return Answer(
        sentences=tuple(read),
        items=items,
        sources=keys.urls,
        invalid=tuple(keys.invalid),
        hallucinated=keys.hallucinated,
        recorded_citations=keys.recorded or bool(keys.urls),
    )


class _Sources:
    """Numbers the sources of one answer while its lines are read."""

    MISSING = 9000  # keys from here on name sources that do not exist

    def __init__(self, urls: dict[int, str | None], *, recorded: bool) -> None:
        self.recorded = recorded
        self.urls = {key: url if host_of(url) else None for key, url in urls.items()}
        self.invalid = [url or "" for url in urls.values() if not host_of(url)]
        self._missing = 0
        self._by_page = {page_key(url): key for key, url in self.urls.items() if url}
        self._next = max([*self.urls, 999]) + 1

    @property
    def hallucinated(self) -> int | None:
        return self._missing if self.recorded else None

    def key_of_url(self, url: str) -> int | None:
        if host_of(url) is None or is_engine_link(url):
            return None
        page = page_key(url)
        if page not in self._by_page:
            self._by_page[page] = self._next
            self.urls[self._next] = url
            self._next += 1
        return self._by_page[page]

    def key_of_number(self, number: int) -> int | None:
        if number in self.urls and number < 1000:
            return number
        if not self.recorded:
            return None
        self._missing += 1
        return self.MISSING + number

    def mark(self, line: str) -> str:
        """The line with links and references replaced by their text and citation marks."""

        def marks(keys: Sequence[int | None]) -> str:
            return "".join(f"{_OPEN}{key}{_CLOSE}" for key in keys if key is not None)

        line = _LINK.sub(lambda m: m.group(1) + marks([self.key_of_url(m.group(2))]), line)
        line = _NAMED_REFERENCE.sub(lambda m: marks([self.key_of_number(int(m.group(2)))]), line)
        line = _REFERENCE.sub(
            lambda m: marks([self.key_of_number(int(n)) for n in re.findall(r"\d+", m.group(1) or m.group(2))]), line
        )
        return _BARE_URL.sub(lambda m: marks([self.key_of_url(m.group().rstrip(".,;:"))]), line)


def _without_html(text: str) -> str:
    if "<" in text:
        text = _SKIPPED_ELEMENT.sub(" ", text)
        text = _TAG.sub(" ", _BREAKING_TAG.sub("\n", text))
    return html.unescape(text).replace("\x00", "").replace(_OPEN, "").replace(_CLOSE, "")


def _split_definitions(text: str) -> tuple[list[str], dict[int, str | None]]:
    lines, definitions = [], {}
    for line in re.split(r"\r\n|\r|\n", text):
        match = _DEFINITION.match(line)
        if match:
            definitions[int(match.group(1))] = match.group(2)
        else:
            lines.append(line)
    return lines, definitions


def _prefix_removed(line: str) -> str:
    """The line without its list, heading or table marker."""
    if _TABLE_RULE.match(line) and "-" in line:
        return ""
    for pattern, group in ((_HEADING, 2), (_ORDERED, 3), (_BULLET, 2)):
        match = pattern.match(line)
        if match:
            return match.group(group)
    return line


def _items(raw: list[str], marked: list[str]) -> tuple[Item, ...]:
    items: list[Item] = []
    for position, line in enumerate(marked):
        if not line.strip():
            continue
        if line.count("|") >= 2 and line.strip().startswith("|"):
            follows_header = position + 1 < len(raw) and _TABLE_RULE.match(raw[position + 1])
            if not _TABLE_RULE.match(line) and not follows_header:
                cells = [_plain(cell) for cell in line.strip().strip("|").split("|")]
                named = [cell for cell in cells if re.search(r"[^\W\d_]", cell)]
                if named:
                    items.append(Item(kind="table", head=named[0], level=0, line=position))
            continue
        heading = _HEADING.match(line)
        content = heading.group(2) if heading else line
        ordered = _ORDERED.match(content)
        if ordered:
            head, labelled = _head(ordered.group(3))
            level = 0 if heading else len(ordered.group(1))
            items.append(
                Item(
                    kind="ordered_list",
                    head=head,
                    level=level,
                    line=position,
                    number=int(ordered.group(2)),
                    labelled=labelled,
                )
            )
        elif heading:
            items.append(Item(kind="headings", head=_plain(content), level=len(heading.group(1)), line=position))
        elif bold := _BOLD_LINE.match(line):
            if not (bold.group(1).strip().endswith(":")):
                items.append(Item(kind="headings", head=_plain(bold.group(1)), level=7, line=position))
        elif bullet := _BULLET.match(line):
            head, labelled = _head(bullet.group(2))
            items.append(Item(kind="bullets", head=head, level=len(bullet.group(1)), line=position, labelled=labelled))
    return tuple(items)


def _head(content: str) -> tuple[str, bool]:
    """What an entry is about, and whether a label (`**Best overall:** ...`) stood before it."""
    labelled = False
    strong = _STRONG_HEAD.match(content)
    if strong:
        rest = content[strong.end() :].strip()
        if strong.group(1).strip().endswith(":") and rest:
            content, labelled = rest, True
            strong = _STRONG_HEAD.match(content)
        if strong:
            return _plain(strong.group(1)), labelled
    plain = _plain(content)
    return _HEAD_END.split(plain, maxsplit=1)[0], labelled


def _plain(text: str) -> str:
    return _MARKUP.sub("", _MARK.sub("", text)).strip()
