"""How ready a page is to be found, read and cited by assistants: named checks, no opinion.

A dimension's score is the share of its checks that hold, times 100; a dimension whose facts are not available
is null. The overall score weighs the measured dimensions by the industry template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from urllib.parse import urlsplit

import numpy as np
import polars as pl

from liftos_pipelines.modules.surfacing.page import Page, entity_types, parse_page
from liftos_pipelines.modules.surfacing.robots import robots_policy, site_of
from liftos_pipelines.modules.surfacing.web import host_of, page_key
from liftos_pipelines.tables import table
from liftos_pipelines.text import Name, NameFinder, sentences

DIMENSIONS = (
    "access",
    "crawler_policy",
    "structured_data",
    "canonical_headings",
    "freshness",
    "answerability",
    "entity_clarity",
    "readability",
)
"""What the overall score is made of. Who may train on a page is a choice, and llms.txt has no effect: both are reported
beside it, never part of it."""
GRADES = {
    "access": "A",
    "crawler_policy": "A",
    "structured_data": "B",
    "canonical_headings": "B",
    "freshness": "C",
    "answerability": "C",
    "entity_clarity": "B",
    "readability": "C",
    "training_crawlers": "D",
    "llms_txt": "D",
}
"""Strength of the evidence that a dimension matters for being cited: A a crawler or parser cannot do without it,
B parsers use it, C associated in published studies, D studies found no effect."""
MIN_MEASURED = 0.5
"""Share of the weights that must be measured for an overall score."""
FRESH_HALF_LIFE_DAYS = 365.0
MIN_WORDS = 100
_SPACELESS = frozenset({"zh", "ja", "th", "lo", "km", "my"})
_QUESTION = re.compile(
    r"\?|^(?:how|what|why|when|where|which|who|can|is|are|do|does|should|wie|was|warum|comment|quel|que|como|come"
    r"|perche)\b",
    re.IGNORECASE,
)
_REQUIRED: dict[str, tuple[str, ...]] = {
    "Article": ("headline", "author", "datePublished"),
    "Product": ("name", "offers", "description"),
    "Organization": ("name", "url", "sameAs"),
    "LocalBusiness": ("name", "address", "telephone"),
    "FAQPage": ("mainEntity",),
    "HowTo": ("name", "step"),
    "Recipe": ("name", "recipeIngredient", "recipeInstructions"),
    "Review": ("itemReviewed", "reviewRating", "author"),
    "Event": ("name", "startDate", "location"),
    "SoftwareApplication": ("name", "applicationCategory", "offers"),
    "WebSite": ("name", "url"),
    "WebPage": ("name", "description"),
    "BreadcrumbList": ("itemListElement",),
    "VideoObject": ("name", "thumbnailUrl", "uploadDate"),
    "Person": ("name",),
}
_REFERENCE_ONLY = frozenset({"@type", "@id", "@context", "name", "url"})
_ALIASES = {
    "NewsArticle": "Article",
    "BlogPosting": "Article",
    "TechArticle": "Article",
    "ReportageNewsArticle": "Article",
    "Corporation": "Organization",
    "NewsMediaOrganization": "Organization",
    "Store": "LocalBusiness",
    "Restaurant": "LocalBusiness",
    "Hotel": "LocalBusiness",
    "WebApplication": "SoftwareApplication",
    "MobileApplication": "SoftwareApplication",
}

EXTRA_COLUMNS: dict[str, pl.DataType] = {
    "weight": pl.Float64(),
    "evidence_grade": pl.String(),
    "failed": pl.List(pl.String()),
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One dimension of one page: score 0 to 100 or None, the evidence in words, and the checks that failed."""

    score: float | None
    evidence: str
    failed: tuple[str, ...] = ()


def audit_pages(pages: pl.DataFrame, *, brand: Name | None, weights: Mapping[str, float], now: date) -> pl.DataFrame:
    """One row a page and dimension, and an `overall` row a page: the table `surfacing/page_audit`.

    Parameters
    ----------
    pages : the table `sources/pages`; a `robots.txt` or `llms.txt` among them speaks for its site and is not
        audited itself
    brand : whose entity the pages should make clear; None leaves `entity_clarity` null
    weights : dimension -> weight, summing to 1 over `DIMENSIONS` (an industry template's)
    now : the day of the audit, for freshness

    Raises
    ------
    ValueError : weights name an unknown dimension or do not sum to 1
    """
    _check_weights(weights)
    contract = table("surfacing/page_audit")
    schema = contract.columns | EXTRA_COLUMNS
    files = {
        (site_of(url), name): html or ""
        for url, html in pages.select("url", "html").iter_rows()
        if (name := _site_file(url))
    }
    rows = []
    for url, html in pages.select("url", "html").iter_rows():
        if _site_file(url):
            continue
        page = parse_page(url, html or "")
        site = site_of(url)
        findings = audit_page(page, brand=brand, now=now, robots_txt=files.get((site, "robots.txt")))
        findings["training_crawlers"] = _training_crawlers(page, files.get((site, "robots.txt")))
        findings["llms_txt"] = _llms_txt((site, "llms.txt") in files)
        findings["overall"] = overall(findings, weights)
        rows += [
            {
                "url": url,
                "dimension": dimension,
                "score": finding.score,
                "evidence": finding.evidence,
                "weight": float(weights.get(dimension, 0.0)) if dimension != "overall" else None,
                "evidence_grade": GRADES.get(dimension),
                "failed": list(finding.failed),
            }
            for dimension, finding in findings.items()
        ]
    return contract.conform(pl.DataFrame(rows, schema=schema))


def audit_page(page: Page, *, brand: Name | None, now: date, robots_txt: str | None) -> dict[str, Finding]:
    """All of `DIMENSIONS` for one page."""
    return {
        "access": _access(page),
        "crawler_policy": _crawler_policy(page, robots_txt),
        "structured_data": _structured_data(page),
        "canonical_headings": _canonical_headings(page),
        "freshness": _freshness(page, now),
        "answerability": _answerability(page),
        "entity_clarity": _entity_clarity(page, brand),
        "readability": _readability(page),
    }


def overall(findings: Mapping[str, Finding], weights: Mapping[str, float]) -> Finding:
    """Weighted mean of the measured dimensions, their weights scaled to sum to 1; None if too little is measured."""
    measured = {name: weights.get(name, 0.0) for name in DIMENSIONS if findings[name].score is not None}
    total = sum(measured.values())
    missing = [name for name in DIMENSIONS if name not in measured and weights.get(name, 0.0) > 0]
    note = f"not measured: {', '.join(missing)}" if missing else "all dimensions measured"
    if total < MIN_MEASURED:
        return Finding(score=None, evidence=note)
    scores = [(findings[name].score or 0.0) * weight / total for name, weight in measured.items()]
    return Finding(score=float(sum(scores)), evidence=f"{note}; {total:.0%} of the weight")


def _check_weights(weights: Mapping[str, float]) -> None:
    unknown = sorted(set(weights) - set(DIMENSIONS))
    if unknown:
        raise ValueError(
            f"audit weights name unknown dimension(s) {', '.join(unknown)}; known: {', '.join(DIMENSIONS)}"
        )
    if any(weight < 0 for weight in weights.values()) or abs(sum(weights.values()) - 1) > 1e-9:
        raise ValueError(f"audit weights must be non-negative and sum to 1, they sum to {sum(weights.values()):.6g}")


def _site_file(url: str) -> str | None:
    name = urlsplit(url).path.strip("/").lower()
    return name if name in ("robots.txt", "llms.txt") else None


def _checks(held: Mapping[str, float | bool], note: str = "") -> Finding:
    """A finding from named checks, each 0 to 1."""
    failed = tuple(name for name, value in held.items() if float(value) < 1)
    words = f"{len(held) - len(failed)} of {len(held)} checks hold"
    if failed:
        words += "; not: " + ", ".join(failed)
    return Finding(
        score=100 * float(np.mean([float(value) for value in held.values()])),
        evidence=words + (f" ({note})" if note else ""),
        failed=failed,
    )


def _access(page: Page) -> Finding:
    words = len(page.text.split())
    return _checks(
        {
            "indexable (no noindex)": not re.search(r"\b(?:noindex|none)\b", page.robots),
            "quotable (no nosnippet)": not re.search(r"\bnosnippet\b|max-snippet:\s*0\b", page.robots),
            f"at least {MIN_WORDS} words without JavaScript": words >= MIN_WORDS,
            "a title": bool(page.title),
        },
        f"{words} words in the HTML",
    )


def _crawler_policy(page: Page, robots_txt: str | None) -> Finding:
    if robots_txt is None:
        return Finding(score=None, evidence="robots.txt of this site is not among the pages")
    policy = robots_policy(robots_txt, page.url)
    finding = _checks(
        {
            "search crawlers allowed": policy.share_allowed("search"),
            "user fetchers allowed": policy.share_allowed("user"),
        }
    )
    return Finding(score=finding.score, evidence=policy.describe(), failed=finding.failed)


def _training_crawlers(page: Page, robots_txt: str | None) -> Finding:
    """Share of training crawlers let in; no failed check, because keeping them out is a choice."""
    if robots_txt is None:
        return Finding(score=None, evidence="robots.txt of this site is not among the pages")
    policy = robots_policy(robots_txt, page.url)
    blocked = ", ".join(policy.blocked["training"]) or "none"
    return Finding(score=100 * policy.share_allowed("training"), evidence=f"blocked: {blocked}; information only")


def _structured_data(page: Page) -> Finding:
    if page.blocks == 0:
        return Finding(score=0.0, evidence="no JSON-LD or microdata", failed=("structured data present",))
    completeness: dict[str, float] = {}
    missing: list[str] = []
    for entity in page.entities:
        for kind in entity_types(entity):
            required = _REQUIRED.get(_ALIASES.get(kind, kind))
            if required is None or kind in completeness:
                continue
            absent = [name for name in required if not entity.get(name)]
            # Entities referred to by @id stand elsewhere in full.
            if absent and kind in ("Person", "Organization") and set(entity) <= _REFERENCE_ONLY:
                continue
            completeness[kind] = 1 - len(absent) / len(required)
            missing += [f"{kind}.{name}" for name in absent]
    readable = 1 - len(page.broken_blocks) / max(page.blocks, len(page.broken_blocks))
    note = f"types: {', '.join(completeness) or 'none that is known'}"
    if missing:
        note += f"; missing {', '.join(missing[:6])}"
    if page.broken_blocks:
        note += f"; broken: {'; '.join(page.broken_blocks[:3])}"
    return _checks(
        {
            "every block readable": readable,
            "a known schema.org type": bool(completeness),
            "required properties present": float(np.mean(list(completeness.values()))) if completeness else 0.0,
        },
        note,
    )


def _canonical_headings(page: Page) -> Finding:
    levels = [level for level, _ in page.headings]
    canonical_host = host_of(page.canonical) if page.canonical.startswith(("http://", "https://")) else None
    return _checks(
        {
            "an absolute canonical address": canonical_host is not None,
            "the canonical is this page": canonical_host is not None and page_key(page.canonical) == page_key(page.url),
            "exactly one h1": len(page.h1) == 1 and bool(page.h1[0]),
            "a meta description": bool(page.description),
            "sections under h2": 2 in levels,
            "no heading level skipped": all(b - a <= 1 for a, b in pairwise(levels)),
        },
        f"{len(page.h1)} h1, {levels.count(2)} h2",
    )


def _freshness(page: Page, now: date) -> Finding:
    stated = page.modified or page.published
    if stated is None:
        return Finding(score=None, evidence="no machine-readable date", failed=("a machine-readable date",))
    age = (now - stated).days
    which = "modified" if page.modified else "published"
    if age < -1:
        words = f"{which} {stated}, which is in the future"
        return Finding(score=None, evidence=words, failed=("a date not in the future",))
    score = 100 * 0.5 ** (max(age, 0) / FRESH_HALF_LIFE_DAYS)
    words = f"{which} {stated}, {max(age, 0)} days old (halves every {FRESH_HALF_LIFE_DAYS:.0f} days)"
    return Finding(score=float(score), evidence=words, failed=() if score >= 50 else ("updated within a year",))


def _answerability(page: Page) -> Finding:
    words = page.text.split()
    if len(words) < MIN_WORDS:
        return Finding(score=None, evidence=f"only {len(words)} words of text")
    first = next((p for p in page.paragraphs if len(p.split()) >= 8), "")
    figures = len(re.findall(r"\d[\d.,]*", page.text))
    own = host_of(page.url)
    outside = {host for link in page.links if link.startswith("http") and (host := host_of(link)) and host != own}
    headings = [text for level, text in page.headings if level in (2, 3)]
    return _checks(
        {
            "a first paragraph of 15 to 90 words": 15 <= len(first.split()) <= 90,
            "a heading that asks a question": any(_QUESTION.search(text) for text in headings),
            "a list or table": page.lists + page.tables > 0,
            "at least one figure per 100 words": figures >= len(words) / 100,
            "a quotation": page.quotes > 0 or bool(re.search(r"[“«„][^”»“]{20,}[”»“]", page.text)),
            "links to outside sources": bool(outside),
        },
        f"{figures} figures, {len(outside)} outside hosts",
    )


def _entity_clarity(page: Page, brand: Name | None) -> Finding:
    if brand is None:
        return Finding(score=None, evidence="no brand configured")
    finder = NameFinder([brand])
    named = [
        entity
        for entity in page.entities
        if set(entity_types(entity)) & {"Organization", "Corporation", "Brand", "LocalBusiness", "Store", "OnlineStore"}
        and finder.find(str(entity.get("name", "")))
    ]
    return _checks(
        {
            "brand in the title": bool(finder.find(page.title)),
            "brand in a heading or the first paragraph": bool(
                finder.find(" \n ".join([*(text for _, text in page.headings), *page.paragraphs[:1]]))
            ),
            "brand as an entity in structured data": bool(named),
            "sameAs links of the brand entity": any(entity.get("sameAs") for entity in named),
        }
    )


def _readability(page: Page) -> Finding:
    words = re.findall(r"[^\W\d_]+", page.text)
    if len(words) < MIN_WORDS:
        return Finding(score=None, evidence=f"only {len(words)} words of text")
    if page.language in _SPACELESS or len(page.text) / len(words) > 15:
        return Finding(score=None, evidence="no word spaces: the index does not apply")
    count = sum(len(sentences(paragraph)) for paragraph in page.paragraphs)
    lix = len(words) / max(count, 1) + 100 * sum(len(word) > 6 for word in words) / len(words)
    score = 100 * float(np.clip((65 - lix) / 40, 0, 1))
    return Finding(
        score=score,
        evidence=f"LIX {lix:.0f} (25 very easy, 65 very hard)",
        failed=() if lix <= 55 else ("LIX of at most 55",),
    )


def _llms_txt(present: bool) -> Finding:
    words = "llms.txt is among the pages" if present else "no llms.txt among the pages"
    return Finding(score=None, evidence=f"{words}; information only, studies found no effect on citation")


def measured_share(audit: pl.DataFrame, dimensions: Sequence[str] = DIMENSIONS) -> float | None:
    """Share of (page, dimension) pairs with a score; None without a page."""
    rows = audit.filter(pl.col("dimension").is_in(list(dimensions)))
    return float(rows["score"].is_not_null().mean()) if rows.height else None  # type: ignore[arg-type]
