"""What one saved web page offers to a machine that reads it: markup, dates, structured data, text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode

_BLOCKS = "p, li, td, blockquote, dd, figcaption"
_NOISE = "script, style, noscript, template, nav, header, footer, aside, form, svg"
_DATE_META = (
    ("article:modified_time", "modified"),
    ("og:updated_time", "modified"),
    ("last-modified", "modified"),
    ("article:published_time", "published"),
    ("datepublished", "published"),
    ("datemodified", "modified"),
    ("date", "published"),
    ("dc.date", "published"),
    ("pubdate", "published"),
)
MIN_TEXT_WORDS = 50
"""Below this the text is looked for again by a main-text extractor: some pages write no paragraphs."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """Facts of one page. Dates are those its markup states; `broken_blocks` names what could not be read."""

    url: str
    title: str
    description: str
    language: str
    robots: str
    canonical: str
    headings: tuple[tuple[int, str], ...]
    paragraphs: tuple[str, ...]
    scripts: int
    entities: tuple[dict[str, Any], ...]
    blocks: int
    broken_blocks: tuple[str, ...]
    published: date | None
    modified: date | None
    links: tuple[str, ...]
    lists: int
    tables: int
    quotes: int

    @property
    def text(self) -> str:
        return "\n".join(self.paragraphs)

    @property
    def h1(self) -> list[str]:
        return [text for level, text in self.headings if level == 1]


def parse_page(url: str, html: str) -> Page:
    """Read a page. Nothing in its markup raises: unreadable structured data is reported in `broken_blocks`."""
    tree = LexborHTMLParser(html or "<html></html>")
    entities, blocks, broken = _structured_data(tree, html, url)
    meta = _meta(tree)
    published, modified = _dates(tree, meta, entities)
    scripts = len(tree.css("script"))
    links = tuple(href for node in tree.css("a[href]") if (href := _attribute(node, "href")))
    canonical = next((href for node in tree.css('link[rel~="canonical" i]') if (href := _attribute(node, "href"))), "")
    language = next((_attribute(node, "lang") for node in tree.css("html[lang]")), "")
    titles = tree.css("title")
    title = " ".join(titles[0].text().split()) if titles else ""
    headings = tuple(
        (int(node.tag[1]), " ".join(node.text(separator=" ").split()))
        for node in tree.css("h1, h2, h3, h4, h5, h6")
        if node.tag and len(node.tag) == 2
    )
    lists, tables, quotes = (len(tree.css(selector)) for selector in ("ul, ol", "table", "blockquote, q"))
    return Page(
        url=url,
        title=title,
        description=meta.get("description", ""),
        language=language.split("-")[0].lower(),
        robots=",".join(filter(None, (meta.get("robots"), meta.get("googlebot")))).lower(),
        canonical=canonical,
        headings=headings,
        paragraphs=_paragraphs(tree, html),
        scripts=scripts,
        entities=tuple(entities),
        blocks=blocks,
        broken_blocks=tuple(broken),
        published=published,
        modified=modified,
        links=links,
        lists=lists,
        tables=tables,
        quotes=quotes,
    )


def entity_types(entity: dict[str, Any]) -> list[str]:
    """schema.org types of an entity, without the vocabulary's address."""
    types = entity.get("@type", [])
    types = types if isinstance(types, list) else [types]
    return [re.split(r"[/#]", str(kind))[-1] for kind in types if kind]


def walk_entities(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Every typed entity in a structured-data value, the outer before the inner; deep nesting is cut off."""
    if depth > 8:
        return
    if isinstance(value, dict):
        if entity_types(value):
            yield value
        for inner in value.values():
            yield from walk_entities(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from walk_entities(inner, depth + 1)


def _attribute(node: LexborNode, name: str) -> str:
    return (node.attributes.get(name) or "").strip()


def _meta(tree: LexborHTMLParser) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in tree.css("meta"):
        attributes = node.attributes
        name = attributes.get("name") or attributes.get("property") or attributes.get("itemprop")
        name = name or attributes.get("http-equiv")
        content = attributes.get("content")
        if name and content:
            found.setdefault(name.strip().lower(), content.strip())
    return found


def _structured_data(tree: LexborHTMLParser, html: str, url: str) -> tuple[list[dict[str, Any]], int, list[str]]:
    entities: list[dict[str, Any]] = []
    broken: list[str] = []
    nodes = tree.css('script[type="application/ld+json" i]')
    for number, node in enumerate(nodes, start=1):
        content = re.sub(r"^\s*(?:<!--|//\s*<!\[CDATA\[|<!\[CDATA\[)|(?:-->|//\s*\]\]>|\]\]>)\s*$", "", node.text())
        if not content.strip():
            broken.append(f"JSON-LD block {number}: empty")
            continue
        try:
            entities += walk_entities(json.loads(content, strict=False))
        except (ValueError, RecursionError) as error:
            broken.append(f"JSON-LD block {number}: {str(error)[:80]}")
    blocks = len(nodes)
    if "itemscope" in html:
        try:
            # Third-party parser of other people's markup: it raises KeyError and worse on some real pages.
            from extruct.w3cmicrodata import MicrodataExtractor

            items = MicrodataExtractor(strict=False).extract(html, base_url=url or None)
            blocks += len(items)
            entities += [
                {"@type": item.get("type", ""), **item.get("properties", {})}
                for item in items
                if isinstance(item.get("properties", {}), dict)
            ]
        except Exception as error:
            broken.append(f"microdata: {type(error).__name__} {str(error)[:60]}")
    return entities, blocks, broken


def _dates(
    tree: LexborHTMLParser, meta: dict[str, str], entities: list[dict[str, Any]]
) -> tuple[date | None, date | None]:
    found: dict[str, list[date]] = {"published": [], "modified": []}
    for entity in entities:
        for key, kind in (("dateModified", "modified"), ("datePublished", "published")):
            found[kind] += [day for day in [_day(entity.get(key))] if day]
    for name, kind in _DATE_META:
        found[kind] += [day for day in [_day(meta.get(name))] if day]
    if not found["published"]:
        found["published"] += [
            day for node in tree.css("time[datetime]")[:3] if (day := _day(_attribute(node, "datetime")))
        ]
    return next(iter(found["published"]), None), next(iter(found["modified"]), None)


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


def _paragraphs(tree: LexborHTMLParser, html: str) -> tuple[str, ...]:
    """Running text in reading order, without navigation; a main-text extractor where there are no paragraphs."""
    for node in tree.css(_NOISE):
        node.decompose()
    root = max(tree.css("article, main, [role=main]"), key=lambda node: len(node.text()), default=None)
    body = root or tree.body
    if body is None:
        return ()
    # Innermost blocks only (a node's own selection includes itself), so that no text counts twice.
    leaves = [node for node in body.css(_BLOCKS) if node.tag == "p" or len(node.css(_BLOCKS)) == 1]
    texts = [" ".join(node.text(separator=" ").split()) for node in leaves]
    found = sum(len(text.split()) for text in texts)
    if found < MIN_TEXT_WORDS and len(body.text(separator=" ").split()) > MIN_TEXT_WORDS:
        texts = _main_text(html)
    return tuple(text for text in texts if len(text.split()) > 2)


def _main_text(html: str) -> list[str]:
    import trafilatura

    try:
        extracted = trafilatura.extract(html, include_comments=False, include_tables=True)
    except Exception:  # a third-party parser of other people's markup
        return []
    return extracted.splitlines() if extracted else []
