"""The page audit: named checks, null where not measurable, broken markup reported, real pages without an exception."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from liftos_pipelines.modules.surfacing import DIMENSIONS, audit_pages
from liftos_pipelines.modules.surfacing.pages.page import parse_page
from liftos_pipelines.modules.surfacing.pages.robots import AGENTS, directives, robots_policy
from liftos_pipelines.tables import table
from liftos_pipelines.text import Name

NOW = date(2025, 6, 1)
WEIGHTS = {name: 1 / len(DIMENSIONS) for name in DIMENSIONS}
ACME = Name(name="Acme", domains=("acme.example",))
URL = "https://acme.example/boots"
TEXT = "The Acme boot weighs 410 g and costs 120 euro in all 12 sizes. " * 12

GOOD = f"""<!doctype html><html lang="en"><head><title>Boots for wet days | Acme</title>
<meta name="description" content="A boot of 410 g that keeps water out."><meta property="og:site_name" content="Acme">
<link rel="canonical" href="{URL}">
<script type="application/ld+json">{{"@context":"https://schema.org","@graph":[
 {{"@type":"Product","name":"Boot","description":"A boot","image":"https://acme.example/boot.jpg","sku":"B1",
   "brand":{{"@id":"https://acme.example/#us"}},
   "offers":{{"@type":"Offer","price":"120.00","priceCurrency":"EUR","availability":"InStock","url":"{URL}"}},
   "dateModified":"2025-05-20T10:00:00Z"}},
 {{"@type":"Organization","@id":"https://acme.example/#us","name":"Acme","url":"https://acme.example",
   "logo":"https://acme.example/logo.png","description":"We make boots","sameAs":["https://social.example/acme"]}}]}}</script>
</head><body><nav><p>Home of everything we sell here</p><a href="/about">About</a></nav><main><h1>Boots</h1>
<p>An Acme boot weighs 410 g, costs 120 euro and keeps water out for three hours of rain.</p>
<h2>How heavy is it?</h2><p>{TEXT}</p><h2>What does it cost?</h2><p>It costs 120 euro in every size.</p>
<h2>Is it dry?</h2><p>Yes: <a href="https://tests.example/boots">1,204 testers</a> stayed dry for 3 hours.</p>
<ul><li>One list entry here</li></ul><blockquote>It never leaked in a year.</blockquote></main></body></html>"""


def pages(*rows: tuple[str, str]) -> pl.DataFrame:
    return table("sources/pages").conform(
        pl.DataFrame(
            [{"url": url, "path": "x", "html": html} for url, html in rows], schema=table("sources/pages").columns
        )
    )


def audit(*rows: tuple[str, str], brand: Name | None = ACME) -> dict[str, dict[str, object]]:
    frame = audit_pages(pages(*rows), brand=brand, weights=WEIGHTS, now=NOW)
    return {row["dimension"]: row for row in frame.filter(pl.col("url") == rows[0][0]).iter_rows(named=True)}


def test_a_page_without_a_fault_scores_full_marks_where_measurable() -> None:
    found = audit((URL, GOOD))
    for name in ("access", "structured_data", "canonical_headings", "answerability", "entity_clarity"):
        assert found[name]["score"] == 100, found[name]
    assert found["freshness"]["score"] == pytest.approx(100 * 0.5 ** (12 / 365))
    assert found["freshness"]["failed"] == []
    assert found["crawler_policy"]["score"] is None
    assert found["llms_txt"]["score"] is None


def test_the_overall_score_is_the_weighted_mean_of_what_was_measured() -> None:
    found = audit((URL, GOOD))
    scores = [found[name]["score"] for name in DIMENSIONS if found[name]["score"] is not None]
    assert found["overall"]["score"] == pytest.approx(sum(scores) / len(scores))  # type: ignore[arg-type]
    assert "crawler_policy" in str(found["overall"]["evidence"])


def test_an_empty_page_has_no_overall_score_made_up() -> None:
    found = audit((URL, ""), brand=None)
    assert found["readability"]["score"] is None
    assert found["answerability"]["score"] is None
    assert found["overall"]["score"] is None or "not measured" in str(found["overall"]["evidence"])


@pytest.mark.parametrize(
    ("before", "after", "dimension", "failed"),
    [
        ('"name":"Boot",', "", "structured_data", "required properties present"),
        ('"description":"A boot",', "", "structured_data", "recommended properties present"),
        ('"price":"120.00"', '"price":"199.00"', "structured_data", "the stated price is on the page"),
        ('"name":"Boot"', '"name":"Umbrella stand"', "structured_data", "the stated name is on the page"),
        ('"name":"Boot",', '"name":"Boot"', "structured_data", "every block readable"),
        (f'<link rel="canonical" href="{URL}">', "", "canonical_headings", "an absolute canonical address"),
        (f'href="{URL}"', 'href="https://acme.example/other"', "canonical_headings", "the canonical is this page"),
        ("<h1>Boots</h1>", "<h1>Boots</h1><h1>More</h1>", "canonical_headings", "exactly one h1"),
        ("2025-05-20T10:00:00Z", "2019-05-20", "freshness", "updated within a year"),
        ("2025-05-20T10:00:00Z", "2031-01-01", "freshness", "a date not in the future"),
        ("2025-05-20T10:00:00Z", "soon", "freshness", "a machine-readable date"),
        (
            "</head>",
            '<meta property="og:url" content="/other"></head>',
            "canonical_headings",
            "og:url agrees with the canonical",
        ),
        (
            "</head>",
            '<link rel="alternate" hreflang="english" href="/en"></head>',
            "canonical_headings",
            "valid hreflang codes, this page among them",
        ),
        (' lang="en"', "", "canonical_headings", "a language stated"),
        ("Boots for wet days | Acme", "Boots", "canonical_headings", "a title of 10 to 70 characters"),
        ("<h2>Is it", "<h5>Is it", "canonical_headings", "no heading level skipped"),
        ("<head>", '<head><meta name="robots" content="noindex, follow">', "access", "indexable (no noindex)"),
        (
            "<head>",
            '<head><meta name="bingbot" content="max-snippet:20">',
            "access",
            "room for a quoted sentence (max-snippet of 50 or more)",
        ),
        ('"dateModified"', '"datePublished":"2025-05-25","dateModified"', "freshness", "published before modified"),
        (
            "One list entry",
            '<time datetime="2024-01-01">1 Jan 2024</time> One list',
            "freshness",
            "the visible date agrees",
        ),
        ("<head>", '<head><meta name="robots" content="max-snippet:0">', "access", "quotable (no nosnippet)"),
        ("It costs 120 euro in every size.", "", "answerability", "questions answered in the next sentences"),
        ("An Acme boot weighs", "Some item weighs", "answerability", "the first paragraph is about the title"),
        ('href="https://tests.example/boots"', 'href="/tests"', "answerability", "figures with a source"),
        ("Is it dry?", "Dryness", "answerability", "questions and answers (FAQ)"),
        ("wet days | Acme", "wet days", "entity_clarity", "brand in the title"),
        (
            'og:site_name" content="Acme"',
            'og:site_name" content="Globex"',
            "entity_clarity",
            "the site's name is the brand",
        ),
        ('"logo":"https://acme.example/logo.png",', "", "entity_clarity", "a logo of the brand entity"),
        (
            '"name":"Acme","url":"https://acme.example"',
            '"name":"Acme","url":"https://globex.example"',
            "entity_clarity",
            "the brand entity's address is the brand's",
        ),
        ('href="/about"', 'href="/shop"', "entity_clarity", "a link to who is behind the page"),
        ('"sameAs":["https://social.example/acme"]', '"x":1', "entity_clarity", "sameAs links of the brand entity"),
    ],
)
def test_each_fault_fails_its_own_check(before: str, after: str, dimension: str, failed: str) -> None:
    assert before in GOOD
    found = audit((URL, GOOD.replace(before, after)))[dimension]
    assert failed in found["failed"]  # type: ignore[operator]
    good = audit((URL, GOOD))[dimension]["score"]
    assert found["score"] is None or found["score"] < good  # type: ignore[operator]


def test_broken_json_ld_is_reported_and_leaves_the_other_blocks_read() -> None:
    broken = GOOD.replace("</head>", '<script type="application/ld+json">{"@type": "Product",}</script></head>')
    page = parse_page(URL, broken)
    assert page.data.blocks == 2
    assert len(page.data.broken) == 1
    assert page.data.broken[0].startswith("JSON-LD block 2: line 1, column")
    assert len(page.entities) >= 2


@pytest.mark.parametrize(
    "html",
    [
        "",
        "<",
        "\x00\x01",
        "<html><body><p>" * 50,
        "<script type='application/ld+json'>" + "[" * 5000,
        "<div itemscope itemprop=x itemtype=''><b itemprop></div>",
        "\ud83d not text",
    ],
)
def test_no_markup_is_too_broken_to_audit(html: str) -> None:
    frame = audit_pages(pages((URL, html.encode("utf-8", "replace").decode())), brand=ACME, weights=WEIGHTS, now=NOW)
    assert frame.height == len(DIMENSIONS) + 3


ROBOTS = "User-agent: *\nAllow: /\n\nUser-agent: GPTBot\nDisallow: /\n\nUser-agent: OAI-SearchBot\nDisallow: /boots\n"


def test_crawlers_are_judged_by_purpose_and_training_is_not_scored() -> None:
    found = audit((URL, GOOD), ("https://acme.example/robots.txt", ROBOTS))
    policy = robots_policy(ROBOTS, URL)
    assert policy.blocked == {"search": ("OAI-SearchBot",), "user": (), "training": ("GPTBot",)}
    count = Counter(agent.purpose for agent in AGENTS)
    assert found["crawler_policy"]["score"] == pytest.approx(100 * (1 - 1 / count["search"] + 1) / 2)
    assert found["training_crawlers"]["score"] == pytest.approx(100 * (1 - 1 / count["training"]))
    assert (found["training_crawlers"]["weight"], found["training_crawlers"]["kind"]) == (0, "information")
    other = audit(("https://other.example/", GOOD), ("https://acme.example/robots.txt", ROBOTS))
    assert other["crawler_policy"]["score"] is None
    assert "not among the pages" in str(other["crawler_policy"]["reason"])
    training_only = "User-agent: GPTBot\nDisallow: /\n"
    assert audit((URL, GOOD), ("https://acme.example/robots.txt", training_only))["crawler_policy"]["score"] == 100


def test_every_agent_is_known_to_the_public_list(shared_data: Path) -> None:
    listed = json.loads((shared_data / "surfacing" / "robots" / "robots.json").read_text(encoding="utf-8"))
    names = {name.lower() for name in listed} | {
        "googlebot",
        "bingbot",
    }  # search engines are not on a list of AI agents
    assert {agent.name.lower() for agent in AGENTS} <= names
    assert len({agent.name for agent in AGENTS}) == len(AGENTS) >= 25


def test_dates_are_compared_with_the_sitemap_and_with_the_earlier_content() -> None:
    sitemap = "<urlset><url><loc>https://acme.example/boots/</loc><lastmod>{}</lastmod></url></urlset>"
    agrees = audit((URL, GOOD), ("https://acme.example/sitemap.xml", sitemap.format("2025-05-21")))["freshness"]
    assert "the sitemap's lastmod agrees" in agrees["passed"]  # type: ignore[operator]
    late = audit((URL, GOOD), ("https://acme.example/sitemap.xml", sitemap.format("2024-05-21")))["freshness"]
    assert "the sitemap's lastmod agrees" in late["failed"]  # type: ignore[operator]

    earlier = audit_pages(pages((URL, GOOD)), brand=ACME, weights=WEIGHTS, now=NOW)
    newer = GOOD.replace("2025-05-20", "2025-05-30")
    for html, verdict in ((newer, "failed"), (newer.replace("weighs 410 g", "weighs 390 g"), "passed")):
        frame = audit_pages(pages((URL, html)), brand=ACME, weights=WEIGHTS, now=NOW, earlier=earlier)
        row = frame.filter(pl.col("dimension") == "freshness").row(0, named=True)
        assert "a new date comes with new content" in row[verdict]


def test_what_was_fixed_is_remembered_with_its_day() -> None:
    def run(html: str, earlier: pl.DataFrame | None, day: date) -> pl.DataFrame:
        return audit_pages(pages((URL, html)), brand=ACME, weights=WEIGHTS, now=day, earlier=earlier)

    bad = GOOD.replace("<h1>Boots</h1>", "")
    first = run(bad, None, date(2025, 6, 1))
    second = run(GOOD, first, date(2025, 6, 8))
    third = run(GOOD, second, date(2025, 6, 15))
    fixed = third.filter(pl.col("dimension") == "canonical_headings")["fixed"].to_list()[0]
    assert fixed == [{"check": "exactly one h1", "on": date(2025, 6, 8)}]
    fourth = run(bad, third, date(2025, 6, 22))
    assert fourth.filter(pl.col("dimension") == "canonical_headings")["fixed"].to_list()[0] == []


def test_a_page_that_cannot_be_read_says_why_in_every_row() -> None:
    cases = {
        "": "empty",
        "PK\x03\x04\x00\x00binary": "binary",
        "\ufffd" * 50 + "text": "could not be decoded",
        '<?xml version="1.0"?><rss></rss>': "XML",
        '{"a": 1}': "JSON",
    }
    for html, reason in cases.items():
        frame = audit_pages(pages((URL, html)), brand=ACME, weights=WEIGHTS, now=NOW)
        assert frame["score"].null_count() == frame.height
        assert all(reason in text for text in frame["reason"]), html


@pytest.mark.parametrize(
    ("text", "noindex", "nosnippet", "limit"),
    [
        ("index, follow", False, False, None),
        ("NOINDEX", True, False, None),
        ("none", True, False, None),
        ("max-image-preview:none, max-snippet:-1", False, False, None),
        ("max-snippet: 0", False, True, 0),
        ("bingbot: noindex, max-snippet:20", True, False, 20),
    ],
)
def test_directives_are_read_whole(text: str, noindex: bool, nosnippet: bool, limit: int | None) -> None:
    said = directives(text)
    assert (said.noindex, said.nosnippet, said.max_snippet) == (noindex, nosnippet, limit)


def test_llms_txt_is_information_without_a_score() -> None:
    found = audit((URL, GOOD), ("https://acme.example/llms.txt", "# Acme"))
    assert "is among the pages" in str(found["llms_txt"]["evidence"])
    assert found["llms_txt"]["evidence_grade"] == "D"


@pytest.mark.parametrize("weights", [{"access": 0.5}, {"access": 1.2, "freshness": -0.2}, {"acess": 1.0}])
def test_weights_that_do_not_sum_to_one_or_name_nothing_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        audit_pages(pages((URL, GOOD)), brand=ACME, weights=weights, now=NOW)


def test_readability_orders_plain_before_bureaucratic_text() -> None:
    hard = "Notwithstanding aforementioned considerations regarding organisational responsibilities, stakeholders systematically prioritise interdisciplinary implementation. "
    easy = audit((URL, f"<html lang=en><p>{'We make boots. They are dry and warm. ' * 20}</p>"))["readability"]["score"]
    assert easy > audit((URL, f"<html lang=en><p>{hard * 12}</p>"))["readability"]["score"]  # type: ignore[operator]
