"""The page audit: named checks, null where not measurable, broken markup reported, real pages without an exception."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from liftos_pipelines.modules.surfacing import DIMENSIONS, audit_pages, measured_share
from liftos_pipelines.modules.surfacing.page import parse_page
from liftos_pipelines.modules.surfacing.robots import robots_policy
from liftos_pipelines.tables import table
from liftos_pipelines.text import Name, words

NOW = date(2025, 6, 1)
WEIGHTS = {name: 1 / len(DIMENSIONS) for name in DIMENSIONS}
ACME = Name(name="Acme")
URL = "https://acme.example/boots"
TEXT = "The Acme boot weighs 410 g and costs 120 euro in all 12 sizes. " * 12

GOOD = f"""<!doctype html><html lang="en"><head><title>Boots | Acme</title><meta name="description" content="Boots">
<link rel="canonical" href="{URL}">
<script type="application/ld+json">{{"@context":"https://schema.org","@graph":[
 {{"@type":"Product","name":"Boot","description":"A boot","offers":{{"@type":"Offer","price":1}},"dateModified":"2025-05-20T10:00:00Z"}},
 {{"@type":"Organization","name":"Acme","url":"https://acme.example","sameAs":["https://social.example/acme"]}}]}}</script>
</head><body><nav><p>Home of everything we sell here</p></nav><main><h1>Boots</h1>
<p>An Acme boot weighs 410 g, costs 120 euro and keeps water out for three hours of rain.</p>
<h2>How heavy is it?</h2><p>{TEXT}</p><ul><li>One list entry here</li></ul><blockquote>It never leaked in a year.</blockquote>
<a href="https://tests.example/boots">test</a></main></body></html>"""


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
        ('"name":"Boot",', '"name":"Boot"', "structured_data", "every block readable"),
        ('"description":"A boot",', "", "structured_data", "required properties present"),
        (f'<link rel="canonical" href="{URL}">', "", "canonical_headings", "an absolute canonical address"),
        (f'href="{URL}"', 'href="https://acme.example/other"', "canonical_headings", "the canonical is this page"),
        ("<h1>Boots</h1>", "<h1>Boots</h1><h1>More</h1>", "canonical_headings", "exactly one h1"),
        ("2025-05-20T10:00:00Z", "2019-05-20", "freshness", "updated within a year"),
        ("2025-05-20T10:00:00Z", "2031-01-01", "freshness", "a date not in the future"),
        ("2025-05-20T10:00:00Z", "soon", "freshness", "a machine-readable date"),
        ("<head>", '<head><meta name="robots" content="noindex, follow">', "access", "indexable (no noindex)"),
        ("<head>", '<head><meta name="robots" content="max-snippet:0">', "access", "quotable (no nosnippet)"),
        ("How heavy is it?", "Weight", "answerability", "a heading that asks a question"),
        ("Boots | Acme", "Boots", "entity_clarity", "brand in the title"),
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
    assert page.blocks == 2
    assert len(page.broken_blocks) == 1
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


def test_crawlers_are_judged_by_class_and_training_is_not_scored() -> None:
    found = audit((URL, GOOD), ("https://acme.example/robots.txt", ROBOTS))["crawler_policy"]
    policy = robots_policy(ROBOTS, URL)
    assert policy.blocked == {"search": ("OAI-SearchBot",), "user": (), "training": ("GPTBot",)}
    assert found["score"] == pytest.approx(100 * (5 / 6 + 1) / 2)
    other = audit(("https://other.example/", GOOD), ("https://acme.example/robots.txt", ROBOTS))
    assert other["crawler_policy"]["score"] is None
    site = audit((URL, GOOD), ("https://acme.example/robots.txt", ROBOTS))
    assert site["training_crawlers"]["score"] == pytest.approx(100 * 5 / 6)
    assert site["training_crawlers"]["weight"] == 0
    training_only = "User-agent: GPTBot\nDisallow: /\n"
    assert audit((URL, GOOD), ("https://acme.example/robots.txt", training_only))["crawler_policy"]["score"] == 100


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


def test_thirty_real_pages_are_audited_without_an_exception(shared_data: Path) -> None:
    folder = shared_data / "surfacing" / "pages"
    truth = json.loads((folder / "ground-truth.json").read_text(encoding="utf-8"))
    rows = [
        (
            truth[key]["url"],
            gzip.decompress((folder / "html" / f"{key}.html.gz").read_bytes()).decode("utf-8", "replace"),
        )
        for key in sorted(truth)
    ]
    assert len(rows) == 30
    frame = audit_pages(pages(*rows), brand=ACME, weights=WEIGHTS, now=NOW)
    assert frame["url"].n_unique() == 30
    assert frame.height == 30 * (len(DIMENSIONS) + 3)
    share = measured_share(frame)
    assert share is not None
    assert share > 0.7
    recall = [
        len(set(words(parse_page(url, html).text)) & (gold := set(words(truth[key]["articleBody"]))))
        / max(len(gold), 1)
        for key, (url, html) in zip(sorted(truth), rows, strict=True)
    ]
    assert sum(recall) / len(recall) > 0.85
