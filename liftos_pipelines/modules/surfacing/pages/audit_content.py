"""What a page says and how: structured data against the visible text, answers, the brand as an entity, readability."""

from __future__ import annotations

import re

import numpy as np

from liftos_pipelines.modules.surfacing.answers.web import belongs_to, host_of
from liftos_pipelines.modules.surfacing.pages.finding import Finding, checks, unmeasured
from liftos_pipelines.modules.surfacing.pages.markup import Entity, entity_types, first_text, values
from liftos_pipelines.modules.surfacing.pages.page import Page
from liftos_pipelines.modules.surfacing.pages.schema_org import MAIN_TYPES, completeness, shape_name
from liftos_pipelines.text import Name, NameFinder, fold, sentences, words

MIN_WORDS = 100
_SPACELESS = frozenset({"zh", "ja", "th", "lo", "km", "my"})
_ALPHABETS = re.compile(r"[A-Za-z\u00c0-\u024f\u0370-\u052f]")
"""Latin, Greek and Cyrillic letters: LIX counts words over six letters, which means something in these alone."""
_QUESTION = re.compile(
    r"[?؟？]|^(?:how|what|why|when|where|which|who|can|is|are|do|does|should|wie|was|warum|wann|welche[rs]?|comment|quel"
    r"(?:le)?s?|pourquoi|que|qué|cómo|cuándo|por qué|como|quanto|come|perch[eé]|cosa|kya|kaise|kyun)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d[\d.,]*")
_QUOTE = re.compile(r"[“«„\"][^”»“\"]{20,400}[”»“\"]")
_SHORT = 4
"""Words of fewer letters say nothing about what a title is about, in any of the languages."""
_STOP = frozenset({"what", "when", "where", "which", "with", "your", "this", "that", "eine", "oder", "comment", "para"})
_ABOUT = re.compile(
    r"/(?:about|about-us|ueber-uns|uber-uns|a-propos|chi-siamo|sobre|quienes-somos|company|impressum)\b"
)
MAX_ANSWER_WORDS = 60


def structured(page: Page) -> Finding:
    data = page.data
    if data.blocks == 0:
        return Finding(score=0.0, evidence="no JSON-LD, microdata or RDFa", failed=("structured data present",))
    found = completeness(data.entities)
    readable = 1 - min(len(data.broken), data.blocks) / data.blocks
    note = [f"{', '.join(data.syntaxes)}: {', '.join(found.types) or 'no type that is known'}"]
    if found.missing_required:
        note.append("missing " + ", ".join(found.missing_required[:6]))
    if found.missing_recommended:
        note.append("recommended and missing " + ", ".join(found.missing_recommended[:6]))
    if data.broken:
        note.append("broken: " + "; ".join(data.broken[:3]))
    name, price = name_shown(page), price_shown(page)
    if price is False:
        note.append("no stated price is on the page")
    return checks(
        {
            "every block readable": readable,
            "a known schema.org type": bool(found.types),
            "required properties present": found.required if found.types else 0.0,
            "recommended properties present": found.recommended if found.types else 0.0,
            "the stated name is on the page": name,
            "the stated price is on the page": price,
        },
        "; ".join(note),
    )


def name_shown(page: Page) -> bool | None:
    """Whether what the page's main entity is called can be read on it; None without such an entity or text."""
    for entity in page.entities:
        if any(shape_name(kind) in MAIN_TYPES for kind in entity_types(entity)):
            stated = set(words(first_text(entity, "headline") or first_text(entity, "name")))
            if not stated or not page.visible:
                return None
            shown = set(words(f"{page.title} {' '.join(text for _, text in page.headings)} {page.visible[:20_000]}"))
            return len(stated & shown) >= 0.6 * len(stated)
    return None


def price_shown(page: Page) -> bool | None:
    """Whether every product's stated price can be read on the page; None without a stated price or text."""
    stated = [price for entity in page.entities for price in _prices(entity)]
    if not stated or not page.visible:
        return None
    shown = {amount for token in _NUMBER.findall(page.visible) if (amount := _amount(token)) is not None}
    # A list page states many offers, not all in words; the first is the page's own.
    return stated[0] in shown


def answerability(page: Page) -> Finding:
    count = len(page.text.split())
    if count < MIN_WORDS:
        return unmeasured(f"only {count} words of text")
    first = next((p for p in page.paragraphs if len(p.split()) >= 8), "")
    figures = len(_NUMBER.findall(page.text))
    sourced = [block for block in page.blocks if not block.level and _NUMBER.search(block.text)]
    own = host_of(page.url)
    outside = {host for link in page.links if link.startswith("http") and (host := host_of(link)) and host != own}
    asked, answered = _questions(page)
    kinds = {kind for entity in page.entities for kind in entity_types(entity)}
    return checks(
        {
            "a first paragraph of 15 to 90 words": 15 <= len(first.split()) <= 90,
            "the first paragraph is about the title": _about(f"{page.title} {' '.join(page.h1)}", first),
            "a heading that asks a question": asked > 0,
            "questions answered in the next sentences": answered / asked if asked else None,
            "a list or table": page.lists + page.tables > 0,
            "at least one figure per 100 words": figures >= count / 100,
            "figures with a source": any(block.links_out for block in sourced) if sourced else None,
            "a quotation": page.quotes > 0 or bool(_QUOTE.search(page.text)),
            "links to outside sources": bool(outside),
            "questions and answers (FAQ)": bool(kinds & {"FAQPage", "QAPage", "Question"}) or asked >= 3,
        },
        f"{figures} figures, {asked} questions, {len(outside)} outside hosts",
    )


def entity_clarity(page: Page, brand: Name | None) -> Finding:
    if brand is None:
        return unmeasured("no brand configured")
    finder = NameFinder([brand])
    organisations = [
        entity
        for entity in page.entities
        if {shape_name(kind) or kind for kind in entity_types(entity)} & {"Organization", "LocalBusiness", "Brand"}
    ]
    named = [entity for entity in organisations if finder.find(first_text(entity, "name"))]
    same_as = [str(link) for entity in named for link in values(entity, "sameAs") if isinstance(link, str)]
    site_names = [
        name
        for name in (
            page.og.get("og:site_name", ""),
            *(first_text(entity, "name") for entity in page.entities if "WebSite" in entity_types(entity)),
        )
        if name
    ]
    article = any(shape_name(kind) == "Article" for entity in page.entities for kind in entity_types(entity))
    author = page.author or any(first_text(entity, "author") for entity in page.entities)
    addresses = [first_text(entity, "url") for entity in named if first_text(entity, "url")]
    about = any(_ABOUT.search(link.lower()) for link in page.links)
    return checks(
        {
            "brand in the title": bool(finder.find(page.title)),
            "brand in a heading or the first paragraph": bool(
                finder.find(" \n ".join([*(text for _, text in page.headings), *page.paragraphs[:1]]))
            ),
            "brand as an entity in structured data": bool(named),
            "sameAs links of the brand entity": any(link.startswith("http") for link in same_as),
            "a logo of the brand entity": any(values(entity, "logo") for entity in named) if named else None,
            "the brand entity's address is the brand's": all(
                belongs_to(host, brand.domains) for address in addresses if (host := host_of(address))
            )
            if addresses and brand.domains
            else None,
            "the site's name is the brand": all(finder.find(name) for name in site_names) if site_names else None,
            "an author": bool(author) if article else None,
            "a link to who is behind the page": about or any("AboutPage" in entity_types(e) for e in page.entities),
        },
        f"site name: {', '.join(dict.fromkeys(site_names)) or 'not stated'}; {len(same_as)} sameAs",
    )


def readability(page: Page) -> Finding:
    """LIX: words a sentence plus the share of words over six letters, in per cent.

    Source: Björnsson (1968), Läsbarhet; 25 very easy, 65 very hard.
    """
    found = re.findall(r"[^\W\d_]+", page.text)
    sample = "".join(found[:500])
    if page.language in _SPACELESS or len(_ALPHABETS.findall(sample)) < 0.5 * len(sample):
        return unmeasured("the index is for languages in Latin, Greek or Cyrillic letters")
    if len(found) < MIN_WORDS:
        return unmeasured(f"only {len(found)} words of text")
    count = sum(len(sentences(paragraph)) for paragraph in page.paragraphs)
    lix = len(found) / max(count, 1) + 100 * sum(len(word) > 6 for word in found) / len(found)
    limit = f"LIX of at most {HARD:.0f}"
    return Finding(
        score=100 * float(np.clip((65 - lix) / 40, 0, 1)),
        evidence=f"LIX {lix:.0f} (25 very easy, 65 very hard)",
        passed=(limit,) if lix <= HARD else (),
        failed=() if lix <= HARD else (limit,),
    )


HARD = 55.0


def _questions(page: Page) -> tuple[int, int]:
    """(questions in headings, those that text follows at once with two sentences of at most `MAX_ANSWER_WORDS`)."""
    asked = answered = 0
    for position, block in enumerate(page.blocks):
        if block.level < 2 or not _QUESTION.search(block.text):
            continue
        asked += 1
        following = page.blocks[position + 1] if position + 1 < len(page.blocks) else None
        if following is not None and not following.level:
            opening = " ".join(sentences(following.text)[:2])
            answered += 1 <= len(opening.split()) <= MAX_ANSWER_WORDS
    return asked, answered


def _about(title: str, paragraph: str) -> bool | None:
    """Whether a paragraph uses at least a quarter of the title's content words (or two of them)."""
    said = {word for word in words(title) if len(word) >= _SHORT and word not in _STOP}
    if not said or not paragraph:
        return None
    return len(said & set(words(paragraph))) >= min(2.0, max(1.0, len(said) / 4))


def _prices(entity: Entity) -> list[float]:
    kinds = {shape_name(kind) for kind in entity_types(entity)}
    if not kinds & {"Offer", "AggregateOffer"}:
        return []
    stated = [*values(entity, "price"), *values(entity, "lowPrice")]
    return [amount for one in stated if (amount := _amount(str(one))) is not None and amount > 0]


def _amount(token: str) -> float | None:
    """A number as people write it: 1,299.00, 1.299,00 and 1299 are one amount."""
    text = re.sub(r"[^\d.,]", "", fold(token)).strip(".,")
    if not text:
        return None
    last = max(text.rfind("."), text.rfind(","))
    if last >= 0 and len(text) - last - 1 in (1, 2):
        whole, cents = re.sub(r"[.,]", "", text[:last]), text[last + 1 :]
        digits = f"{whole or '0'}.{cents}"
    else:
        digits = re.sub(r"[.,]", "", text)
    return float(digits) if len(digits) <= 15 else None
