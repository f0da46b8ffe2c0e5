"""Can assistants reach a page, which of its addresses counts, and how old is it: what HTML and site files state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from urllib.parse import urljoin

from liftos_pipelines.modules.surfacing.answers.web import host_of, page_key
from liftos_pipelines.modules.surfacing.pages.finding import Finding, checks, unmeasured
from liftos_pipelines.modules.surfacing.pages.page import Page
from liftos_pipelines.modules.surfacing.pages.robots import SHORT_SNIPPET, directives, robots_policy

MIN_WORDS = 100
FRESH_HALF_LIFE_DAYS = 365.0
SAME_DATE_DAYS = 7
"""Dates of one change in markup, text and sitemap may lie this far apart: they are written by different systems."""
TITLE_CHARACTERS = (10, 70)
DESCRIPTION_CHARACTERS = (20, 170)
_HREFLANG = re.compile(r"^(?:x-default|[a-z]{2,3}(?:-[a-z]{4})?(?:-(?:[a-z]{2}|\d{3}))?)$")
NO_ROBOTS = "robots.txt of this site is not among the pages"


@dataclass(frozen=True, kw_only=True)
class Site:
    """What a site's own files say; None where the file is not among the pages. `lastmod` is by page key."""

    robots_txt: str | None = None
    llms_txt: bool = False
    lastmod: Mapping[str, date] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Before:
    """What an earlier audit saw of a page: its text's hash and the date it stated."""

    content_hash: str | None
    stated_date: date | None


def access(page: Page) -> Finding:
    said = directives(page.robots)
    words = len(page.visible.split())
    share = len(page.visible) / max(page.characters, 1)
    shell = page.shell and words < MIN_WORDS
    note = f"{words} words in the HTML, text is {share:.0%} of it, {page.scripts} scripts"
    return checks(
        {
            "indexable (no noindex)": not said.noindex,
            "quotable (no nosnippet)": not said.nosnippet,
            f"room for a quoted sentence (max-snippet of {SHORT_SNIPPET} or more)": said.nosnippet
            or said.max_snippet is None
            or said.max_snippet >= SHORT_SNIPPET,
            f"at least {MIN_WORDS} words without JavaScript": words >= MIN_WORDS,
            "not an empty shell for scripts": not shell,
            "a title": bool(page.title),
        },
        note,
    )


def crawler_policy(page: Page, site: Site) -> Finding:
    """Share of the crawlers let in that search, and that fetch for a user; training is no matter of being cited."""
    if site.robots_txt is None:
        return unmeasured(NO_ROBOTS)
    policy = robots_policy(site.robots_txt, page.url)
    found = checks(
        {
            "search crawlers allowed": policy.share_allowed("search"),
            "user fetchers allowed": policy.share_allowed("user"),
        }
    )
    return Finding(score=found.score, evidence=policy.describe(), passed=found.passed, failed=found.failed)


def training_crawlers(page: Page, site: Site) -> Finding:
    """Share of training crawlers let in; no failed check, because keeping them out is a choice."""
    noai = "; the page says noai" if directives(page.robots).noai else ""
    if site.robots_txt is None:
        return unmeasured(NO_ROBOTS + noai)
    policy = robots_policy(site.robots_txt, page.url)
    blocked = ", ".join(policy.blocked["training"]) or "none"
    return Finding(score=100 * policy.share_allowed("training"), evidence=f"blocked: {blocked}{noai}; information only")


def llms_txt(site: Site) -> Finding:
    words = "llms.txt is among the pages" if site.llms_txt else "no llms.txt among the pages"
    return unmeasured(f"{words}; information only: studies found no effect on being cited")


def canonical_headings(page: Page) -> Finding:
    levels = [level for level, _ in page.headings]
    # Headings of menus and teasers around the article are no part of its outline.
    outline = [block.level for block in page.blocks if block.level]
    canonical = page.canonicals[0] if len(page.canonicals) == 1 else ""
    absolute = canonical.startswith(("http://", "https://")) and host_of(canonical) is not None
    og_url = page.og.get("og:url", "")
    codes = [code for code, _ in page.hreflang]
    note = [f"{len(page.h1)} h1, {levels.count(2)} h2, title {len(page.title)}, description {len(page.description)}"]
    if len(page.canonicals) > 1:
        note.append(f"{len(page.canonicals)} different canonicals")
    elif canonical:
        note.append("canonical: " + _canonical_kind(page.url, canonical, absolute))
    return checks(
        {
            "an absolute canonical address": absolute,
            "the canonical is this page": absolute and page_key(canonical) == page_key(page.url),
            "og:url agrees with the canonical": page_key(_joined(page.url, og_url)) == page_key(canonical)
            if og_url and absolute
            else None,
            "exactly one h1": len(page.h1) == 1 and bool(page.h1[0]),
            "sections under h2": 2 in levels,
            "no heading level skipped": all(b - a <= 1 for a, b in pairwise(outline)) if len(outline) > 1 else None,
            f"a title of {TITLE_CHARACTERS[0]} to {TITLE_CHARACTERS[1]} characters": _within(
                page.title, TITLE_CHARACTERS
            ),
            "a meta description": bool(page.description),
            f"a description of {DESCRIPTION_CHARACTERS[0]} to {DESCRIPTION_CHARACTERS[1]} characters": _within(
                page.description, DESCRIPTION_CHARACTERS
            )
            if page.description
            else None,
            "a language stated": bool(page.language),
            "valid hreflang codes, this page among them": all(map(_HREFLANG.match, codes))
            and any(page_key(_joined(page.url, href)) == page_key(page.url) for _, href in page.hreflang)
            if codes
            else None,
        },
        "; ".join(note),
    )


def freshness(page: Page, site: Site, before: Before | None, now: date) -> Finding:
    """How long ago the page says it changed, and whether its dates agree with one another and with its text."""
    stated = page.stated_date
    if stated is None:
        return unmeasured("no machine-readable date", failed=("a machine-readable date",))
    age = (now - stated).days
    which = "modified" if page.modified else "published"
    if age < -1:
        return unmeasured(f"{which} {stated}, which is in the future", failed=("a date not in the future",))
    lastmod = site.lastmod.get(page_key(page.url))
    own = [day for day in (page.published, page.modified) if day]
    held: dict[str, float | bool | None] = {
        "updated within a year": age <= FRESH_HALF_LIFE_DAYS,
        "published before modified": page.published <= page.modified if page.published and page.modified else None,
        "the visible date agrees": any(_close(shown, day) for shown in page.shown_dates for day in own)
        if page.shown_dates
        else None,
        "the sitemap's lastmod agrees": _close(lastmod, stated) if lastmod else None,
        "a new date comes with new content": _honest(page, before),
    }
    note = f"{which} {stated}, {max(age, 0)} days old"
    if lastmod:
        note += f"; sitemap {lastmod}"
    found = checks(held, note)
    # A date counts for as much as it can be believed: its age, times the share of the other dates that agree with it.
    agreeing = [float(value) for name, value in held.items() if value is not None and name != "updated within a year"]
    trust = sum(agreeing) / len(agreeing) if agreeing else 1.0
    return Finding(
        score=100 * trust * 0.5 ** (max(age, 0) / FRESH_HALF_LIFE_DAYS),
        evidence=found.evidence,
        passed=found.passed,
        failed=found.failed,
    )


def sitemap_dates(xml: str) -> dict[str, date]:
    """Page key -> lastmod of a sitemap; entries without a readable date are not there."""
    found = {}
    for entry in re.findall(r"<url\b.*?</url>", xml, re.DOTALL | re.IGNORECASE):
        address = re.search(r"<loc>\s*(?:<!\[CDATA\[)?\s*(.*?)\s*(?:\]\]>)?\s*</loc>", entry, re.DOTALL | re.IGNORECASE)
        day = re.search(r"<lastmod>\s*(\d{4}-\d{2}-\d{2})", entry, re.IGNORECASE)
        if address and day:
            try:
                found[page_key(address[1].replace("&amp;", "&"))] = date.fromisoformat(day[1])
            except ValueError:
                continue
    return found


def _honest(page: Page, before: Before | None) -> bool | None:
    if before is None or before.content_hash is None or before.stated_date is None or page.content_hash is None:
        return None
    newer = page.stated_date is not None and page.stated_date > before.stated_date
    return page.content_hash != before.content_hash if newer else None


def _canonical_kind(url: str, canonical: str, absolute: bool) -> str:
    if not absolute:
        return "relative"
    if page_key(canonical) == page_key(url):
        return "this page"
    return "another page" if host_of(canonical) == host_of(url) else f"another site ({host_of(canonical)})"


def _joined(url: str, address: str) -> str:
    try:
        return urljoin(url, address)
    except ValueError:
        return address


def _close(one: date | None, other: date) -> bool:
    return one is not None and abs((one - other).days) <= SAME_DATE_DAYS


def _within(text: str, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= len(text) <= bounds[1]
