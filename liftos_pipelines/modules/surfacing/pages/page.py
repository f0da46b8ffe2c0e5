"""What one saved web page offers to a machine that reads it without running its scripts: one parse, facts only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode

from liftos_pipelines.modules.surfacing.pages.markup import Entity, StructuredData, structured_data

MAX_CHARACTERS = 5_000_000
"""What is beyond is not read; crawlers stop far earlier."""
UNDECODED = 0.02
"""Share of characters that could not be decoded, above which a page is not text."""
_BLOCKS = "h1, h2, h3, h4, h5, h6, p, li, tr, blockquote, dd, dt, figcaption, pre"
_INNER = "p, li, tr, blockquote, dd, dt, figcaption, pre"
_NOISE = "nav, header, footer, aside, form, svg, button, select"
_UNSEEN = "script, style, noscript, template, iframe"
_SHELLS = "#root, #app, #__next, #__nuxt, #gatsby-focus-wrapper, app-root, [ng-app], [data-reactroot]"
_DATE_META = (
    ("article:modified_time", "modified"),
    ("og:updated_time", "modified"),
    ("last-modified", "modified"),
    ("datemodified", "modified"),
    ("article:published_time", "published"),
    ("datepublished", "published"),
    ("date", "published"),
    ("dc.date", "published"),
    ("pubdate", "published"),
)
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f]")
_MIN_BLOCK_WORDS = 3
_FEW_WORDS = 50
"""Below this the page writes no paragraphs: its lines of text are taken as they are."""
_MOSTLY_LINKS = 0.5
_MIN_PARAGRAPH_WORDS = 8
_ENOUGH = 0.6
"""Share of all paragraphs' text that the main element should hold."""

TextExtractor = Callable[[str], str | None]
"""From HTML to the main text, for those who want another reading than the one here."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A piece of running text in reading order; `level` is a heading's, 0 for text."""

    text: str
    level: int = 0
    links_out: int = 0


@dataclass(frozen=True, kw_only=True)
class Page:
    """Facts of one page as its HTML states them.

    `problem` is why a page cannot be read at all (binary, not HTML, empty), else None. `visible` is all text a
    reader sees, navigation included; `blocks` the running text. `robots` joins meta robots and X-Robots-Tag.
    """

    url: str
    problem: str | None
    characters: int
    title: str
    description: str
    language: str
    robots: str
    canonicals: tuple[str, ...]
    og: dict[str, str]
    author: str
    hreflang: tuple[tuple[str, str], ...]
    headings: tuple[tuple[int, str], ...]
    blocks: tuple[Block, ...]
    visible: str
    scripts: int
    shell: bool
    data: StructuredData
    published: date | None
    modified: date | None
    shown_dates: tuple[date, ...]
    links: tuple[str, ...]
    lists: int
    tables: int
    quotes: int

    @cached_property
    def paragraphs(self) -> list[str]:
        return [block.text for block in self.blocks if not block.level]

    @cached_property
    def text(self) -> str:
        return "\n".join(self.paragraphs)

    @property
    def h1(self) -> list[str]:
        return [text for level, text in self.headings if level == 1]

    @property
    def entities(self) -> tuple[Entity, ...]:
        return self.data.entities

    @property
    def stated_date(self) -> date | None:
        return self.modified or self.published

    @cached_property
    def content_hash(self) -> str | None:
        """Of the running text's words: a changed hash is changed content, whatever the markup around it does."""
        said = " ".join(self.text.lower().split())
        return hashlib.blake2b(said.encode("utf-8", "replace"), digest_size=8).hexdigest() if said else None


def parse_page(url: str, html: str | None, *, headers: str = "", main_text: TextExtractor | None = None) -> Page:
    """Read a page; nothing in its markup raises.

    Parameters
    ----------
    headers : what the server said in X-Robots-Tag, where it was recorded
    main_text : another extractor of the running text (see `trafilatura_text`); None takes the page's own blocks
    """
    html = html or ""
    problem = _problem(html)
    tree = LexborHTMLParser(html[:MAX_CHARACTERS] if problem is None else "<html></html>")
    data = structured_data(tree, html)
    meta = _meta(tree)
    published, modified = _dates(meta, data.entities)
    scripts = len(tree.css("script"))
    lists, tables, quotes = (len(tree.css(selector)) for selector in ("ul, ol", "table", "blockquote, q"))
    shell = bool(tree.css(_SHELLS))
    for node in tree.css(_UNSEEN):
        node.decompose()
    times = [_attribute(node, "datetime") or node.text().strip() for node in tree.css("time")[:20]]
    shown = tuple(dict.fromkeys(day for text in times if (day := _day(text))))
    body = tree.body
    visible = " ".join(body.text(separator=" ").split()) if body is not None else ""
    hreflang = tuple(
        (_attribute(node, "hreflang").lower(), _attribute(node, "href")) for node in tree.css("link[hreflang]")
    )
    canonicals = [_attribute(node, "href") for node in tree.css('link[rel~="canonical" i]')]
    titles = tree.css("head > title") or tree.css("title")
    headings = tuple((int(node.tag[1]), _squeezed(node)) for node in tree.css("h1, h2, h3, h4, h5, h6") if node.tag)
    links = tuple(href for node in tree.css("a[href]") if (href := _attribute(node, "href")))
    language = next((_attribute(node, "lang") for node in tree.css("html[lang]")), "")
    blocks = _blocks(body) if body is not None else ()
    if main_text is not None and problem is None:
        blocks = tuple(Block(text=line) for line in (main_text(html) or "").splitlines() if line.strip())
    return Page(
        url=url,
        problem=problem,
        characters=len(html),
        title=_squeezed(titles[0]) if titles else "",
        description=meta.get("description", ""),
        language=re.split(r"[-_]", language)[0].lower(),
        robots=", ".join(filter(None, [*(meta.get(name) for name in _ROBOTS_META), headers])).lower(),
        canonicals=tuple(dict.fromkeys(filter(None, canonicals))),
        og={name: value for name, value in meta.items() if name.startswith("og:")},
        author=meta.get("author") or meta.get("article:author") or "",
        hreflang=hreflang,
        headings=headings,
        blocks=blocks,
        visible=visible,
        scripts=scripts,
        shell=shell,
        data=data,
        published=published or (shown[0] if shown and not modified else None),
        modified=modified,
        shown_dates=shown,
        links=links,
        lists=lists,
        tables=tables,
        quotes=quotes,
    )


_ROBOTS_META = ("robots", "googlebot", "bingbot", "x-robots-tag", "oai-searchbot", "gptbot")


def trafilatura_text(html: str) -> str | None:
    """The main text by trafilatura: slower by an order of magnitude, more precise on articles. See the benchmark."""
    import trafilatura

    try:
        text: str | None = trafilatura.extract(html, include_comments=False, include_tables=True)
    except Exception:  # a third-party parser of other people's markup
        return None
    return text


def _problem(html: str) -> str | None:
    if not html.strip("\ufeff \t\r\n"):
        return "the page is empty"
    head = html[:200_000]
    if "\x00" in head[:2_000] or len(_CONTROLS.findall(head[:2_000])) > 20:
        return "binary content, not HTML"
    undecoded = head.count("\ufffd") / len(head)
    if undecoded > UNDECODED:
        return f"{undecoded:.0%} of the characters could not be decoded: save the page in its own encoding"
    start = head.lstrip("\ufeff \t\r\n")[:300].lower()
    if start.startswith(("<?xml", "<rss", "<feed", "<urlset", "<sitemapindex")) and "<html" not in head[:5_000].lower():
        return "XML, not HTML"
    if start.startswith(("{", "[")) and "<" not in start:
        return "JSON, not HTML"
    return None


def _attribute(node: LexborNode, name: str) -> str:
    return (node.attributes.get(name) or "").strip()


def _squeezed(node: LexborNode) -> str:
    return " ".join(node.text(separator=" ").split())


def _meta(tree: LexborHTMLParser) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in tree.css("meta[content]"):
        attributes = node.attributes
        content = (attributes.get("content") or "").strip()
        name = attributes.get("name") or attributes.get("property") or attributes.get("itemprop")
        name = (name or attributes.get("http-equiv") or "").strip().lower()
        if name and content:
            found[name] = (
                f"{found[name]}, {content}" if name in found and name in _ROBOTS_META else found.get(name, content)
            )
    return found


def _dates(meta: dict[str, str], entities: tuple[Entity, ...]) -> tuple[date | None, date | None]:
    found: dict[str, date] = {}
    for entity in entities:
        for key, kind in (("dateModified", "modified"), ("datePublished", "published")):
            day = _day(entity.get(key))
            if day:
                found.setdefault(kind, day)
    for name, kind in _DATE_META:
        day = _day(meta.get(name))
        if day:
            found.setdefault(kind, day)
    return found.get("published"), found.get("modified")


def _day(value: Any) -> date | None:
    if isinstance(value, list):
        value = value[0] if value else None
    if not isinstance(value, str) or not value.strip():
        return None
    text = value.strip()
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC).date() if moment.tzinfo else moment.date()
    except (ValueError, OverflowError):
        match = re.match(r"(\d{4})-(\d{2})-(\d{2})", text)
        try:
            return date(int(match[1]), int(match[2]), int(match[3])) if match else None
        except ValueError:
            return None


def _blocks(body: LexborNode) -> tuple[Block, ...]:
    """Running text in reading order from where most of it stands, without navigation and lists of links."""
    for node in body.css(_NOISE):
        node.decompose()
    root = _main(body)
    found = []
    for node in root.css(_BLOCKS):
        tag = node.tag or ""
        if tag[0] == "h" and len(tag) == 2:
            found.append(Block(text=_squeezed(node), level=int(tag[1])))
            continue
        # Innermost blocks only (a node's own selection includes itself), so that no text counts twice.
        if tag != "p" and len(node.css(_INNER)) > 1:
            continue
        text = _squeezed(node)
        count = text.count(" ") + 1
        if count < _MIN_BLOCK_WORDS:
            continue
        links = node.css("a")
        linked = sum(len(_squeezed(link)) for link in links)
        if tag != "p" and linked > _MOSTLY_LINKS * len(text):
            continue
        out = sum(_attribute(link, "href").startswith(("http://", "https://")) for link in links)
        found.append(Block(text=text, links_out=out))
    if sum(block.text.count(" ") + 1 for block in found if not block.level) < _FEW_WORDS:
        lines = [" ".join(line.split()) for line in root.text(separator="\n").splitlines()]
        loose = [Block(text=line) for line in lines if line.count(" ") + 1 >= _MIN_BLOCK_WORDS]
        if sum(block.text.count(" ") + 1 for block in loose) > _FEW_WORDS:
            return tuple(loose)
    return tuple(found)


def _main(body: LexborNode) -> LexborNode:
    """The smallest element that holds most of the paragraphs' text.

    A paragraph counts fully for its parent, half for the parent above and so on (after Readability, Arc90 2010);
    from the best of these the way leads upwards while elements around it hold much more, as where an article is cut
    into sections.
    """
    scores: dict[int, float] = {}
    covered: dict[int, float] = {}
    nodes: dict[int, LexborNode] = {}
    total = 0.0
    for paragraph in body.css("p"):
        text = paragraph.text()
        if text.count(" ") < _MIN_PARAGRAPH_WORDS:
            continue
        size = float(len(text))
        total += size
        node, share = paragraph.parent, 1.0
        while node is not None and node.tag not in ("body", "html"):
            key = node.mem_id
            scores[key] = scores.get(key, 0.0) + share * size
            covered[key] = covered.get(key, 0.0) + size
            nodes[key] = node
            node, share = node.parent, share / 2
    if not scores:
        return max(body.css("article, main, [role=main]"), key=lambda node: len(node.text()), default=body)
    best = nodes[max(scores, key=lambda one: scores[one])]
    while covered[best.mem_id] < _ENOUGH * total and best.parent is not None:
        parent = best.parent
        if parent.mem_id not in covered:
            return body
        best = parent
    return best
