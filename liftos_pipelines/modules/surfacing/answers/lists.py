"""The entries of an answer's lists, and the order in which they rank what the answer is asked about.

An answer rarely holds one clean list: sections restart their numbers, headings carry the names and bullets the
properties, a table repeats what stands above, a last section adds honourable mentions. Entries are therefore read
into runs (neighbouring entries of one kind), runs that choose nothing are left out, and the rest count on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise

from liftos_pipelines.modules.surfacing.answers.common_words import COMMON_WORDS
from liftos_pipelines.modules.surfacing.answers.furniture import CARD
from liftos_pipelines.modules.surfacing.answers.references import MARK, OPEN
from liftos_pipelines.text import words

_HEADING = re.compile(r"^\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_ORDERED = re.compile(
    r"^(\s*)(?:[^\w\s#|*_\[]{1,4}\s+)?(?:[*_]{2})?(\d{1,2})(?:[.)]|\ufe0f?\u20e3)(?:[*_]{2})?(?=\s|[*_\[])\s*(.+)$"
)
_BULLET = re.compile(r"^(\s*)[-*•+–·◦▪]\s+(.+)$")
_TABLE_RULE = re.compile(r"^\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)*\|?\s*$")
_BOLD_LINE = re.compile(r"^\s*(?:\*\*|__)(.+?)(?:\*\*|__)\s*(?:\([^()]{1,60}\))?\s*:?\s*$")
_STRONG_HEAD = re.compile(r"^\W{0,3}(?:\*\*|__)(.+?)(?:\*\*|__)")
_HEAD_END = re.compile(r"\s[–—-]\s|:\s|:$|\.\s|;\s|\s\(")
_MARKUP = re.compile(r"\*\*|__|`|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)|\\(?=[!-/:-@\[-`{-~])")

_MAY_MARK = re.compile(r"[*_`\\]")


def unmarked(text: str) -> str:
    """The text without Markdown's signs of emphasis, code and escape."""
    return _MARKUP.sub("", text) if _MAY_MARK.search(text) else text


HEADINGS = ("headings", "bold_lines")
MIN_ENTRIES = 2
MAX_HEAD = 90
"""Characters of a name before its colon in running-together text; longer ones are sentences."""
_BULLET_HEAD_WORDS = 8
"""A bullet that names a brand in a longer sentence speaks of it; it is not its entry."""
_CHOICE_LABEL = re.compile(
    r"\b(?:best|top|budget|runner|premium|value|overall|editor|favou?rite|winner|most|cheapest|luxury|pick|splurge"
    r"|recommended|choice|option|alternative|upgrade|high-end|entry|for|beste[rns]?|meilleure?|mejor|migliore?|melhor)\b"
)
_SECTION_WORDS = frozenset(
    """
    best top our key how what why when where which who final other more quick summary conclusion overview
    introduction consideration considerations tip tips feature features pros cons price pricing recommended
    recommendation recommendations thing things factor factors note notes source sources reference references faq
    faqs honorable honourable additional important bottom for if comparison verdict option options
    """.split()  # noqa: SIM905
)
_SPEC = re.compile(r"^\W*(?:\d[\d.,]*|[a-z])\W*$")


@dataclass(frozen=True, kw_only=True)
class Item:
    """An entry of a list, table or sequence of headings; `head` is what it is about.

    `level` is the indent or heading depth, `number` the written number, `line` the position in the answer. `label`
    is what stood before it (`Best overall:`). `section` says that nothing follows it in its line, `apart` that a
    paragraph of text stands between it and the entry before.
    """

    kind: str
    head: str
    level: int
    line: int
    number: int | None = None
    label: str | None = None
    section: bool = False
    apart: bool = False


def without_marker(line: str) -> str:
    """The line without its list, heading or table marker."""
    if _TABLE_RULE.match(line) and "-" in line:
        return ""
    for pattern, group in ((_HEADING, 2), (_ORDERED, 3), (_BULLET, 2)):
        match = pattern.match(line)
        if match:
            return match.group(group)
    return line


def read_items(lines: Sequence[str], *, glued: bool) -> tuple[Item, ...]:
    """Every entry in reading order; `glued` text has no markers, its entries end in a colon."""
    items: list[Item] = []
    apart = False
    for position, line in enumerate(lines):
        if not line.strip():
            continue
        if line.count("|") >= 2 and line.strip().startswith("|"):
            follows_header = position + 1 < len(lines) and _TABLE_RULE.match(lines[position + 1])
            if not _TABLE_RULE.match(line) and not follows_header:
                cells = [_plain(cell) for cell in line.strip().strip("|").split("|")]
                named = [cell for cell in cells if re.search(r"[^\W\d_]", cell)]
                if named:
                    items.append(Item(kind="table", head=named[0], level=0, line=position))
            continue
        item = _marked(line, position)
        if item is not None:
            items.append(replace(item, apart=apart))
        elif glued and not line.rstrip().endswith(CARD):
            items += _before_colon(line, position)
        apart = item is None and line[:1].strip() != ""
    return tuple(items)


def _marked(line: str, position: int) -> Item | None:
    heading = _HEADING.match(line)
    content = heading.group(2) if heading else line
    ordered = _ORDERED.match(_MARKED_START.sub("", content) if heading else content)
    if ordered:
        head, label, section = _head(ordered.group(3))
        level = len(heading.group(1)) if heading else len(ordered.group(1))
        kind = "headings" if heading else "ordered_list"
        number = int(ordered.group(2))
        return Item(kind=kind, head=head, level=level, line=position, number=number, label=label, section=section)
    if heading:
        head, label = _title(content)
        level = len(heading.group(1))
        return Item(kind="headings", head=head, level=level, line=position, label=label, section=True)
    if bold := _BOLD_LINE.match(line):
        head, label = _title(bold.group(1))
        return Item(kind="bold_lines", head=head, level=7, line=position, label=label, section=True)
    if bullet := _BULLET.match(line):
        head, label, section = _head(bullet.group(2))
        level = len(bullet.group(1))
        return Item(kind="bullets", head=head, level=level, line=position, label=label, section=section)
    return None


def _title(content: str) -> tuple[str, str | None]:
    """What a heading is about, without its pictures, and the label before it (`Best value: ...`)."""
    plain = re.sub(r"^[^\w\[(]+", "", _plain(content))
    before, colon, rest = plain.partition(":")
    if colon and rest.strip() and generic(before):
        return rest.strip(), before
    return plain, None


_MARKED_START = re.compile(r"^[*_]{2}(?=\d{1,2}[.)])")


def _before_colon(line: str, position: int) -> list[Item]:
    """Entries of a line without markers: its first short part before a colon that is no mere label."""
    label: str | None = None
    rest = line
    while True:
        head, colon, rest = rest.partition(":")
        if not colon or len(head) > MAX_HEAD or re.search(r"[^\W\d_]{4,}[.!?]\s", head):
            break
        named = _plain(head)
        if rest.strip() and generic(named) and ":" in rest[:MAX_HEAD] and label is None:
            label = named
            continue
        return [Item(kind="labels", head=named, level=0, line=position, label=label, section=not rest.strip())]
    if label is not None:
        plain = _plain(head)
        return [
            Item(
                kind="labels",
                head=_HEAD_END.split(plain, maxsplit=1)[0][:MAX_HEAD],
                level=0,
                line=position,
                label=label,
            )
        ]
    return []


def _head(content: str) -> tuple[str, str | None, bool]:
    """What an entry is about, the label before it (`**Best overall:** ...`), whether nothing follows."""
    label: str | None = None
    strong = _STRONG_HEAD.match(content)
    if strong:
        rest = content[strong.end() :].strip()
        inside = strong.group(1).strip()
        if (inside.endswith(":") or rest.startswith(":")) and rest.strip(": ") and generic(_plain(inside)):
            label, content = _plain(inside), rest.lstrip(": ")
            strong = _STRONG_HEAD.match(content)
        if strong:
            return _plain(strong.group(1)), label, not content[strong.end() :].strip(" :")
    plain = _plain(content)
    parts = _HEAD_END.split(plain, maxsplit=1)
    return parts[0], label, len(parts) == 1 or not parts[1].strip()


def _plain(text: str) -> str:
    text = MARK.sub("", text) if OPEN in text else text
    return unmarked(text).replace(CARD, "").strip()


@lru_cache(maxsize=50_000)
def generic(head: str) -> bool:
    """Whether a head consists of everyday words and numbers only: it names a section or property, nothing to choose."""
    found = words(head)
    return not found or found[0] in _SECTION_WORDS or all(_everyday(word) for word in found)


def _everyday(word: str) -> bool:
    if _SPEC.match(word) or word in COMMON_WORDS:
        return True
    stems = [
        word[: -len(ending)]
        for ending in ("s", "es", "ing", "ed", "ly", "er", "ers", "y", "d")
        if word.endswith(ending)
    ]
    return any(stem in COMMON_WORDS or f"{stem}e" in COMMON_WORDS for stem in stems if len(stem) > 2)


@dataclass(kw_only=True)
class _Run:
    """Neighbouring entries of one kind and level: (names in the head, whether it is about something to choose)."""

    kind: str
    level: int
    entries: list[tuple[Item, list[str]]] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        return {name for _, names in self.entries for name in names}

    def trimmed(self) -> list[tuple[Item, list[str]]]:
        """Entries; of bullets without those everyday words that stand before or after all that is named."""
        named = [position for position, (_, names) in enumerate(self.entries) if names]
        return [
            entry
            for position, entry in enumerate(self.entries)
            if self.kind != "bullets" or named[0] <= position <= named[-1] or not generic(entry[0].head)
        ]


def ranking(items: Sequence[Item], about: Callable[[str], list[str]]) -> tuple[str | None, list[list[str]]]:
    """The answer's own order: the kind of its first list, and the names of each entry in turn.

    Parameters
    ----------
    items : `read_items`
    about : the tracked names in a head, in order

    Returns
    -------
    None and nothing where no list chooses among things (fewer than two entries)
    """
    entries: list[list[str]] = []
    basis: str | None = None
    ranked: set[str] = set()
    for run in _runs(items, about):
        if run.names <= ranked:  # a summary or table of what stands above
            continue
        chosen = run.trimmed()
        here = [names for _, names in chosen]
        numbers = [item.number for item, _ in chosen if item.number is not None]
        if len(numbers) == len(chosen) > 1 and all(a > b for a, b in pairwise(numbers)):
            here = here[::-1]  # a countdown: the best comes last
        entries += here
        ranked |= run.names
        basis = basis or ("headings" if run.kind in HEADINGS else run.kind)
    return (basis, entries) if len(entries) >= MIN_ENTRIES else (None, [])


def _runs(items: Sequence[Item], about: Callable[[str], list[str]]) -> list[_Run]:
    """Runs with at least one entry about a name, in reading order."""
    subjects = [_subject(item, about) for item in items]
    chosen = [_chooses(item, names) for item, names in subjects]
    heading_level = _main_heading([item for item, _ in subjects], chosen, [names for _, names in subjects])
    runs: list[_Run] = []
    owner: Item | None = None  # the entry that what follows belongs to
    for (item, names), choice in zip(subjects, chosen, strict=True):
        if owner is not None and _belongs(item, owner):
            continue
        owner = None
        if not choice or (item.kind in HEADINGS and (item.kind, item.level) != heading_level):
            # A heading, or in run-together text a label with nothing behind it, begins another section.
            if runs and (item.kind in HEADINGS or (item.kind == "labels" and item.section)):
                runs.append(_Run(kind="section", level=0))
            continue
        run = _run_for(item, runs)
        run.entries.append((item, names))
        owner = item
    return [run for run in runs if run.names]


def _run_for(item: Item, runs: list[_Run]) -> _Run:
    """The run that an entry continues, else a new one; a section break does not end a run of headings."""
    last = runs[-1] if runs else None
    if item.kind in HEADINGS:
        last = next((run for run in reversed(runs) if run.entries), None)
    if last is None or (last.kind, last.level) != (item.kind, item.level):
        last = _Run(kind=item.kind, level=item.level)
        runs.append(last)
    return last


def _subject(item: Item, about: Callable[[str], list[str]]) -> tuple[Item, list[str]]:
    """An entry and the names it is about; a label that is itself a name ("Max: ...") is the head."""
    if item.label is not None:
        names = about(item.label)
        if names:
            return replace(item, head=item.label, label=None), names
    return item, about(item.head)


def _chooses(item: Item, names: Sequence[str]) -> bool:
    """Whether an entry is something to choose: it names a tracked brand, or something that is no everyday word."""
    if item.label is not None and not _CHOICE_LABEL.search(item.label.lower()):
        return item.kind == "labels" and bool(names)
    if names:
        return item.kind != "bullets" or not item.section or len(item.head.split()) <= _BULLET_HEAD_WORDS
    if item.kind in ("ordered_list", "table") or (item.kind == "bullets" and item.label is None and not item.section):
        return True
    if item.kind == "labels" and item.section:
        return False
    return not generic(item.head)


def _belongs(item: Item, owner: Item) -> bool:
    """Whether an item is part of what an entry says rather than an entry beside it."""
    if owner.kind in HEADINGS:
        return item.kind not in HEADINGS or item.level > owner.level
    if item.kind in HEADINGS:
        return False
    if owner.kind == "ordered_list" and item.kind in ("bullets", "table"):
        return not item.apart or item.level > owner.level
    return (owner.kind == item.kind == "bullets" and item.level > owner.level) or (
        owner.kind == "ordered_list" and item.kind == "ordered_list" and item.level > owner.level
    )


def _main_heading(
    items: Sequence[Item], chosen: Sequence[bool], named: Sequence[Sequence[str]]
) -> tuple[str, int] | None:
    """The depth of headings that name most."""
    depths = [
        (item.kind, item.level)
        for item, choice, names in zip(items, chosen, named, strict=True)
        if item.kind in HEADINGS and choice and names
    ]
    return max(dict.fromkeys(depths), key=depths.count) if depths else None
