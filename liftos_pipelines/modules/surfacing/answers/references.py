"""What an answer cites: numbered references in all the forms assistants write, links, and source lists in the text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from liftos_pipelines.modules.surfacing.answers.web import host_of, is_engine_link, page_key

# Citations travel through the sentence splitter as private-use characters around their key's number.
OPEN, CLOSE = "\ue000", "\ue001"
MARK = re.compile(f"{OPEN}(\\d+){CLOSE}")

# `[1]: url "title"`, `[^1]: url`, and without the colon `[1] url`, `[1] Title - url`.
_DEFINITION = re.compile(
    r"^\s{0,3}\[\^?(\d{1,3})\](?::\s*(?P<any>.*)|\s+(?P<url>(?:[^\[\]]{0,200}?\s)?<?https?://.*))$"
)
_ADDRESS = re.compile(r"https?://[^\s<>\"')\]]+")
_SOURCES_HEADING = re.compile(
    r"^\W*(?:sources?|references?|citations?|footnotes|works cited|quellen|quellenangaben|einzelnachweise|références"
    r"|fuentes|referencias|fonti|riferimenti|fontes|referências)\W*$",
    re.IGNORECASE,
)
_LISTED_SOURCE = re.compile(r"^\s{0,3}(?:[-*•]\s+)?(?:(\d{1,3})[.)]\s+)?(.*https?://.*)$")

_LINK = re.compile(
    r"!?\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(\s*<?((?:[^()\s]|\([^()\s]*\))*)>?(?:\s+[\"'][^\"')]*[\"'])?\s*\)"
)
# A link that is only a reference: its text is a number, the word "source", or the address's own host.
_LINK_LABEL = re.compile(r"^\W*(?:\[?\^?\d{1,3}\]?|sources?|links?|ref|quelle|fuente|fonte|\+\d+)\W*$", re.IGNORECASE)
_NAMED = re.compile(r"\[([^\[\]]*[^\W\d_][^\[\]]*)\]\s?\[\^?(\d{1,3})\]")
_LIST = r"\^?\d{1,3}\^?(?:\s*[,;]\s*\^?\d{1,3}\^?|\s*[-–]\s*\d{1,3})*"
_NUMBERED = re.compile(rf"\[({_LIST})\]|【({_LIST})[^】]*】|:contentReference\[oaicite:\d+\]\{{index=(\d+)\}}")
_UNREADABLE_MARK = re.compile(r":contentReference\[[^\]]*\]|(?:cite|filecite)?(?:turn\d+[a-z]+\d+)+", re.IGNORECASE)
_SUPERSCRIPT = re.compile(r"(?:(?<=[.!?,;:)\"'”’])|(?<=[^\W\d_]{3}))([\u00b9\u00b2\u00b3\u2070\u2074-\u2079]+)")
_NAMED_SOURCE = re.compile(r"\(\s*(?:sources?|via|quelle|fuente|fonte)\s*:\s*[^()]{1,120}\)", re.IGNORECASE)
_BARE = re.compile(r"(?<![\w/])https?://[^\s<>\"')\]]+")
MAX_RANGE = 20


def split_definitions(text: str) -> tuple[list[str], dict[int, str | None]]:
    """The answer's lines without its own source definitions, and those: number -> address (or what stands there)."""
    lines: list[str] = []
    definitions: dict[int, str | None] = {}
    in_sources = False
    for line in re.split(r"\r\n|\r|\n", text):
        match = _DEFINITION.match(line)
        if match:
            written = (match["any"] if match["any"] is not None else match["url"]).strip()
            address = _ADDRESS.search(written)
            first = written.split()[0].strip("<>") if written else ""
            definitions.setdefault(int(match[1]), address.group() if address else first)
            continue
        if _SOURCES_HEADING.match(line):
            in_sources = True
            continue
        if in_sources and line.strip():
            listed = _LISTED_SOURCE.match(line)
            if listed:
                found = _ADDRESS.search(listed[2])
                number = int(listed[1]) if listed[1] else max(definitions, default=0) + 1
                definitions.setdefault(number, found.group() if found else None)
                continue
            in_sources = False
        lines.append(line)
    return lines, definitions


class Sources:
    """Numbers the sources of one answer while its lines are read."""

    MISSING = 9000
    """Keys from here on name sources that do not exist."""

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
        """The key of an address, new where the answer did not list it; None for an engine's own links."""
        if host_of(url) is None or is_engine_link(url):
            return None
        page = page_key(url)
        if page not in self._by_page:
            self._by_page[page] = self._next
            self.urls[self._next] = url
            self._next += 1
        return self._by_page[page]

    def key_of_number(self, number: int) -> int | None:
        """The key of a numbered reference (1-based); a number without a source gets a key that credits nobody."""
        if number in self.urls and number < 1000:
            return number
        if not self.recorded:
            return None
        self._missing += 1
        return self.MISSING + number

    def mark(self, line: str) -> str:
        """The line with links and references replaced by their text and citation marks."""
        if "[" in line or "【" in line:
            line = _LINK.sub(self._link, line)
            line = _NAMED.sub(lambda m: _marks([self.key_of_number(int(m[2]))]), line)
            line = _NUMBERED.sub(self._numbers, line)
            line = _UNREADABLE_MARK.sub("", line) if "oaicite" in line or "turn0" in line else line
        line = _SUPERSCRIPT.sub(self._superscript, line) if not line.isascii() else line
        if "(" in line:
            line = _NAMED_SOURCE.sub("", line)
        return _BARE.sub(lambda m: _marks([self.key_of_url(m.group().rstrip(".,;:"))]), line) if "://" in line else line

    def _link(self, match: re.Match[str]) -> str:
        text, url = match[1], match[2]
        label = _LINK_LABEL.match(text) is not None or (host_of(text.strip()) is not None and "." in text)
        return ("" if label and host_of(url) else text) + _marks([self.key_of_url(url)])

    def _numbers(self, match: re.Match[str]) -> str:
        if match[3]:  # zero-based in this form
            return _marks([self.key_of_number(int(match[3]) + 1)])
        return _marks([self.key_of_number(number) for number in _expanded(match[1] or match[2])])

    def _superscript(self, match: re.Match[str]) -> str:
        if not self.recorded:
            return ""
        return _marks([self.key_of_number(int("".join(str(_digit(char)) for char in match[1])))])


def _digit(char: str) -> int:
    return {"\u00b9": 1, "\u00b2": 2, "\u00b3": 3}.get(char, ord(char) - 0x2070)


def _expanded(numbers: str) -> list[int]:
    """`1, 3-5` as 1, 3, 4, 5; a range that runs backwards or too far is its ends."""
    found: list[int] = []
    for part in re.split(r"[,;]", numbers.replace("^", "")):
        ends = [int(number) for number in re.findall(r"\d+", part)]
        if len(ends) == 2 and 0 < ends[1] - ends[0] <= MAX_RANGE:
            found += range(ends[0], ends[1] + 1)
        else:
            found += ends
    return found


def _marks(keys: Sequence[int | None]) -> str:
    return "".join(f"{OPEN}{key}{CLOSE}" for key in keys if key is not None)
