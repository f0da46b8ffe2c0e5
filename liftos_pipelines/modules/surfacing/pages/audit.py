"""How ready a page is to be found, read and cited by assistants: named checks with their evidence, no opinion.

A dimension's score is the share of its checks that hold, times 100; a dimension whose facts are not available
is null, with the reason. The overall score weighs the measured dimensions by the industry template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from urllib.parse import urlsplit

import polars as pl

from liftos_pipelines.modules.surfacing.pages import audit_content as content
from liftos_pipelines.modules.surfacing.pages import audit_technical as technical
from liftos_pipelines.modules.surfacing.pages.audit_technical import Before, Site
from liftos_pipelines.modules.surfacing.pages.finding import Finding, unmeasured
from liftos_pipelines.modules.surfacing.pages.page import Page, TextExtractor, parse_page
from liftos_pipelines.modules.surfacing.pages.robots import site_of
from liftos_pipelines.tables import table
from liftos_pipelines.text import Name

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
"""What the overall score is made of."""
INFORMATION = ("training_crawlers", "llms_txt")
"""Shown beside the score, never part of it: who may train on a page is a choice, and llms.txt has no effect."""
OVERALL = "overall"
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
"""Strength of the evidence that a dimension matters for being cited: A a crawler cannot do without it, B parsers use
it (its effect on citations is another matter: see the evidence catalogue), C associated in published studies, D studies
found no effect."""
MIN_MEASURED = 0.5
"""Share of the weights that must be measured for an overall score."""

_FIX = pl.Struct({"check": pl.String(), "on": pl.Date()})
EXTRA_COLUMNS: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "weight": pl.Float64(),
    "evidence_grade": pl.String(),
    "passed": pl.List(pl.String()),
    "failed": pl.List(pl.String()),
    "reason": pl.String(),
    "title": pl.String(),
    "stated_date": pl.Date(),
    "content_hash": pl.String(),
    "audited_on": pl.Date(),
    "fixed": pl.List(_FIX),
}
"""Beside the contract: `kind` scored, information or overall; `reason` why a score is null; `fixed` the checks that
failed in an earlier audit and pass since, with the day of the audit that first saw it."""


def audit_pages(
    pages: pl.DataFrame,
    *,
    brand: Name | None,
    weights: Mapping[str, float],
    now: date,
    earlier: pl.DataFrame | None = None,
    main_text: TextExtractor | None = None,
) -> pl.DataFrame:
    """One row a page and dimension, and an `overall` row a page: the table `surfacing/page_audit`.

    Parameters
    ----------
    pages : the table `sources/pages`; a `robots.txt`, `llms.txt` or sitemap among them speaks for its site and is not
        audited itself; a column `x_robots_tag` is read where there is one
    brand : whose entity the pages should make clear; None leaves `entity_clarity` null
    weights : dimension -> weight, summing to 1 over `DIMENSIONS` (an industry template's)
    now : the day of the audit, for freshness
    earlier : this table as it was last time; tells new dates without new content, and what was fixed since
    main_text : another extractor of the running text, see `parse_page`

    Raises
    ------
    ValueError : weights name an unknown dimension or do not sum to 1
    """
    _check_weights(weights)
    contract = table("surfacing/page_audit")
    schema = contract.columns | EXTRA_COLUMNS
    tags = "x_robots_tag" if "x_robots_tag" in pages.columns else pl.lit(None, dtype=pl.String).alias("x_robots_tag")
    read = list(pages.select("url", "html", tags).iter_rows())
    sites = _sites(read)
    before, fixed = _before(earlier), _fixed(earlier)
    rows = []
    for url, html, header in read:
        if _site_file(url):
            continue
        page = parse_page(url, html, headers=header or "", main_text=main_text)
        site = sites.get(site_of(url), Site())
        findings = audit_page(page, brand=brand, now=now, site=site, before=before.get(url))
        findings[OVERALL] = overall(findings, weights)
        for dimension, finding in findings.items():
            rows.append(
                {
                    "url": url,
                    "dimension": dimension,
                    "score": finding.score,
                    "evidence": finding.evidence,
                    "kind": "scored"
                    if dimension in DIMENSIONS
                    else dimension
                    if dimension == OVERALL
                    else "information",
                    "weight": None if dimension == OVERALL else float(weights.get(dimension, 0.0)),
                    "evidence_grade": GRADES.get(dimension),
                    "passed": list(finding.passed),
                    "failed": list(finding.failed),
                    "reason": finding.reason,
                    "title": page.title or None,
                    "stated_date": page.stated_date,
                    "content_hash": page.content_hash,
                    "audited_on": now,
                    "fixed": _fixes(fixed.get((url, dimension)), finding, now),
                }
            )
    return contract.conform(pl.DataFrame(rows, schema=schema))


def audit_page(
    page: Page, *, brand: Name | None, now: date, site: Site | None = None, before: Before | None = None
) -> dict[str, Finding]:
    """All of `DIMENSIONS` and `INFORMATION` for one page; a page that cannot be read has the reason in each."""
    site = site or Site()
    if page.problem is not None:
        findings = {name: unmeasured(page.problem) for name in DIMENSIONS}
        return findings | {name: unmeasured(page.problem) for name in INFORMATION}
    return {
        "access": technical.access(page),
        "crawler_policy": technical.crawler_policy(page, site),
        "structured_data": content.structured(page),
        "canonical_headings": technical.canonical_headings(page),
        "freshness": technical.freshness(page, site, before, now),
        "answerability": content.answerability(page),
        "entity_clarity": content.entity_clarity(page, brand),
        "readability": content.readability(page),
        "training_crawlers": technical.training_crawlers(page, site),
        "llms_txt": technical.llms_txt(site),
    }


def overall(findings: Mapping[str, Finding], weights: Mapping[str, float]) -> Finding:
    """Weighted mean of the measured dimensions, their weights scaled to sum to 1; None if too little is measured."""
    measured = {name: weights.get(name, 0.0) for name in DIMENSIONS if findings[name].score is not None}
    total = sum(measured.values())
    missing = [name for name in DIMENSIONS if name not in measured and weights.get(name, 0.0) > 0]
    note = f"not measured: {', '.join(missing)}" if missing else "all dimensions measured"
    if total < MIN_MEASURED:
        return unmeasured(findings["access"].reason or note)
    scores = [(findings[name].score or 0.0) * weight / total for name, weight in measured.items()]
    return Finding(score=float(sum(scores)), evidence=f"{note}; {total:.0%} of the weight")


def measured_share(audit: pl.DataFrame, dimensions: Sequence[str] = DIMENSIONS) -> float | None:
    """Share of (page, dimension) pairs with a score; None without a page."""
    rows = audit.filter(pl.col("dimension").is_in(list(dimensions)))
    return float(rows["score"].is_not_null().mean()) if rows.height else None  # type: ignore[arg-type]


def _check_weights(weights: Mapping[str, float]) -> None:
    unknown = sorted(set(weights) - set(DIMENSIONS))
    if unknown:
        raise ValueError(
            f"audit weights name unknown dimension(s) {', '.join(unknown)}; known: {', '.join(DIMENSIONS)}"
        )
    if any(weight < 0 for weight in weights.values()) or abs(sum(weights.values()) - 1) > 1e-9:
        raise ValueError(f"audit weights must be non-negative and sum to 1, they sum to {sum(weights.values()):.6g}")


def _site_file(url: str) -> str | None:
    try:
        name = urlsplit(url).path.strip("/").lower()
    except ValueError:
        return None
    if name in ("robots.txt", "llms.txt"):
        return name
    leaf = name.rsplit("/", 1)[-1]
    return "sitemap" if leaf.startswith("sitemap") and leaf.endswith(".xml") else None


def _sites(read: Sequence[tuple[str, str | None, str | None]]) -> dict[str, Site]:
    robots: dict[str, str] = {}
    llms: set[str] = set()
    lastmod: dict[str, dict[str, date]] = {}
    for url, html, _ in read:
        kind, host = _site_file(url), site_of(url)
        if kind == "robots.txt":
            robots[host] = html or ""
        elif kind == "llms.txt":
            llms.add(host)
        elif kind == "sitemap":
            lastmod.setdefault(host, {}).update(technical.sitemap_dates(html or ""))
    hosts = {*robots, *llms, *lastmod}
    return {
        host: Site(robots_txt=robots.get(host), llms_txt=host in llms, lastmod=lastmod.get(host, {})) for host in hosts
    }


def _before(earlier: pl.DataFrame | None) -> dict[str, Before]:
    if earlier is None or not {"content_hash", "stated_date"} <= set(earlier.columns):
        return {}
    rows = earlier.unique("url").select("url", "content_hash", "stated_date")
    return {url: Before(content_hash=seen, stated_date=day) for url, seen, day in rows.iter_rows()}


def _fixed(earlier: pl.DataFrame | None) -> dict[tuple[str, str], tuple[list[str], dict[str, date]]]:
    """(url, dimension) -> what failed last time, and what had been fixed before."""
    if earlier is None or not {"failed", "fixed"} <= set(earlier.columns):
        return {}
    return {
        (url, dimension): (list(failed or []), {fix["check"]: fix["on"] for fix in fixes or []})
        for url, dimension, failed, fixes in earlier.select("url", "dimension", "failed", "fixed").iter_rows()
    }


def _fixes(last: tuple[list[str], dict[str, date]] | None, finding: Finding, now: date) -> list[dict[str, str | date]]:
    if last is None:
        return []
    failed, fixed = last
    known = fixed | {check: now for check in failed}
    return [{"check": check, "on": day} for check, day in sorted(known.items()) if check in finding.passed]
