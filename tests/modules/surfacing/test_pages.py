"""Pages as the web has them: real ones checked against a second reading, and whatever a fuzzer can think of."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import extruct
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html

from liftos_pipelines.modules.surfacing import DIMENSIONS, audit_pages, measured_share
from liftos_pipelines.modules.surfacing.pages.audit import INFORMATION
from liftos_pipelines.modules.surfacing.pages.markup import entity_types
from liftos_pipelines.modules.surfacing.pages.page import parse_page, trafilatura_text
from liftos_pipelines.text import words

from .test_audit import ACME, GOOD, NOW, URL, WEIGHTS, pages

ROWS_A_PAGE = len(DIMENSIONS) + len(INFORMATION) + 1


@pytest.fixture(scope="module")
def real(request: pytest.FixtureRequest) -> list[tuple[str, str, str]]:
    """(address, HTML, article text by hand) of the 30 public pages."""
    folder: Path = request.getfixturevalue("shared_data") / "surfacing" / "pages"
    truth = json.loads((folder / "ground-truth.json").read_text(encoding="utf-8"))
    return [
        (
            truth[key]["url"],
            gzip.decompress((folder / "html" / f"{key}.html.gz").read_bytes()).decode("utf-8", "replace"),
            truth[key]["articleBody"],
        )
        for key in sorted(truth)
    ]


def test_thirty_real_pages_are_audited_without_an_exception(real: list[tuple[str, str, str]]) -> None:
    rows = [(url, html) for url, html, _ in real]
    frame = audit_pages(pages(*rows), brand=ACME, weights=WEIGHTS, now=date(2019, 12, 1))
    assert frame["url"].n_unique() == 30
    assert frame.height == 30 * ROWS_A_PAGE
    assert all((row["score"] is None) == (row["reason"] is not None) for row in frame.iter_rows(named=True))
    share = measured_share(frame)
    assert share is not None
    assert share > 0.8


def test_facts_agree_with_a_second_reading_of_the_real_pages(real: list[tuple[str, str, str]]) -> None:
    """lxml, a regular expression and extruct against this parser, page by page."""
    agree: Counter[str] = Counter()
    for url, html, _ in real:
        page = parse_page(url, html)
        tree = lxml_html.fromstring(html.encode("utf-8", "replace"), parser=lxml_html.HTMLParser(encoding="utf-8"))
        canonical = {href.strip() for href in tree.xpath('//link[@rel="canonical"]/@href') if href.strip()}
        blocks = re.findall(r"<script[^>]+application/ld\+json[^>]*>", html, re.IGNORECASE)
        scripts = page.data.broken + tuple(f"{i}" for i in range(page.data.blocks))
        agree["h1"] += len(page.h1) == len(tree.xpath("//h1"))
        agree["canonical"] += set(page.canonicals) == canonical
        agree["title"] += page.title == " ".join((tree.xpath("string(//title)") or "").split())
        agree["blocks"] += len(blocks) <= len(scripts)
        agree["types"] += json_ld_types(html, url) <= {kind for e in page.entities for kind in entity_types(e)}
        agree["microdata"] += microdata_types(html, url) <= {kind for e in page.entities for kind in entity_types(e)}
    assert {name: count for name, count in agree.items() if count < 29} == {}, agree


def json_ld_types(html: str, url: str) -> set[str]:
    return top_types(html, url, "json-ld")


def microdata_types(html: str, url: str) -> set[str]:
    return {re.split(r"[/#]", kind)[-1] for kind in top_types(html, url, "microdata")}


def top_types(html: str, url: str, syntax: str) -> set[str]:
    try:
        found: list[dict[str, Any]] = extruct.extract(html, base_url=url, syntaxes=[syntax], errors="ignore")[syntax]
    except Exception:  # the second reader fails on some pages where the first does not
        return set()
    kinds: set[str] = set()
    for item in found:
        kind = item.get("@type") or item.get("type") or []
        kinds |= set(kind if isinstance(kind, list) else [kind])
    return kinds


def f1(read: Callable[[str, str], str], real: list[tuple[str, str, str]]) -> tuple[float, float, float]:
    """Precision, recall and F1 of runs of four words against the text by hand, averaged over pages."""
    scores = []
    for url, html, body in real:
        found, gold = (
            Counter(zip(w, w[1:], w[2:], w[3:], strict=False)) for w in (words(read(url, html)), words(body))
        )
        same = sum((found & gold).values())
        scores.append((same / max(found.total(), 1), same / max(gold.total(), 1)))
    precision, recall = (sum(column) / len(scores) for column in zip(*scores, strict=True))
    return precision, recall, 2 * precision * recall / (precision + recall)


def test_the_running_text_is_the_article(real: list[tuple[str, str, str]]) -> None:
    own = f1(lambda url, html: parse_page(url, html).text, real)
    everything = f1(lambda url, html: parse_page(url, html).visible, real)
    other = f1(lambda _, html: trafilatura_text(html) or "", real)
    assert own[2] > 0.94
    assert other[2] > 0.94
    assert everything[2] < 0.85  # all visible text: what a naive reader would take


def test_a_hundred_real_pages_a_second(real: list[tuple[str, str, str]]) -> None:
    frame = pages(*((url, html) for url, html, _ in real))
    audit_pages(frame.head(3), brand=ACME, weights=WEIGHTS, now=NOW)
    start = time.process_time()
    audit_pages(frame, brand=ACME, weights=WEIGHTS, now=NOW)
    assert 30 / (time.process_time() - start) > 100


PIECES = st.sampled_from(
    [
        GOOD[:200], GOOD[300:900], GOOD[-400:], "<h1>", "</h1>", "<h9>", "<p>عربي نص طويل جدا</p>", '<html dir="rtl" lang="ar">',
        '<script type="application/ld+json">', '{"@type": "Product", "offers": [{"price": "1.2.3,4"}], "name": ["a", 3, null]}',
        '{"@graph": [{"@id": "#a"}, {"@id": "#a", "@type": ["Product", 7]}], "@context": 3}', "</script>", "[[[[", "]]",
        '{"@type": {"@type": []}, "offers": {"@id": "#a"}, "@id": "#a", "sameAs": 4}', '<div itemscope itemtype="http://x/Product">',
        '<b itemprop="name offers">', '<i itemprop itemscope>', '<a typeof="schema:Thing" property="">', "<time datetime=9999-99-99>",
        '<link rel=canonical href="http://[::1">', '<link rel="canonical" href="//x/y">', '<meta property="og:url" content="http://[">',
        '<meta name=robots content="max-snippet:99999999999999999999">', "\x00", "\ufffd", "\ud7ff", "&#xD800;", "<![CDATA[", "-->",
        "<table><tr><td>" * 30, "<template><p>x</p></template>", "9" * 500, "<a href='http://exa mple/'>x</a>", "<svg><title>x</title>",
        "<html><body>", "<frameset>", "<plaintext>", "<article><main><p>" + "word " * 60,
    ]
)  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(st.lists(st.one_of(PIECES, st.text(max_size=60)), max_size=25), st.text(max_size=40))
def test_nothing_in_a_page_or_its_address_raises(pieces: list[str], address: str) -> None:
    html = "".join(pieces).encode("utf-8", "replace").decode()
    url = address.encode("utf-8", "replace").decode() or URL
    frame = audit_pages(pages((url, html)), brand=ACME, weights=WEIGHTS, now=NOW)
    assert frame.height in (ROWS_A_PAGE, 0)  # none when the address is a site's own file
    for row in frame.iter_rows(named=True):
        assert row["score"] is None or 0 <= row["score"] <= 100
        assert (row["score"] is None) == (row["reason"] is not None)


def test_a_gigantic_page_is_cut_and_audited() -> None:
    start = time.process_time()
    frame = audit_pages(pages((URL, GOOD + "<p>more words here</p>" * 400_000)), brand=ACME, weights=WEIGHTS, now=NOW)
    assert frame.height == ROWS_A_PAGE
    assert time.process_time() - start < 20


def test_a_page_in_another_encoding_is_refused_with_the_reason() -> None:
    wrong = ("<html><body><p>" + "größe äöü é " * 40).encode("latin-1").decode("utf-8", "replace")
    frame = audit_pages(pages((URL, wrong)), brand=ACME, weights=WEIGHTS, now=NOW)
    assert set(frame["score"]) == {None}
    assert "could not be decoded" in frame["reason"][0]


def test_a_page_without_word_spaces_has_no_readability() -> None:
    for lang, text in (("ja", "これは日本語の文章です。" * 60), ("ar", "هذا نص عربي طويل عن الأحذية. " * 60)):
        frame = audit_pages(pages((URL, f"<html lang={lang}><p>{text}</p>")), brand=None, weights=WEIGHTS, now=NOW)
        row = frame.filter(frame["dimension"] == "readability").row(0, named=True)
        assert row["score"] is None
        assert "letters" in row["reason"]


def test_microdata_rdfa_and_references_are_read_as_json_ld_is() -> None:
    micro = """<div itemscope itemtype="https://schema.org/Product"><h1 itemprop="name">Boot</h1>
    <div itemprop="offers" itemscope itemtype="https://schema.org/Offer"><meta itemprop="price" content="120">
    <link itemprop="availability" href="https://schema.org/InStock"><span itemprop="priceCurrency">EUR</span></div></div>"""
    rdfa = micro.replace('itemscope itemtype="https://schema.org/', 'typeof="').replace("itemprop=", "property=")
    linked = """<script type="application/ld+json">{"@graph": [{"@type": "Product", "name": "Boot", "offers": {"@id": "#o"}},
    {"@id": "#o", "@type": "Offer", "price": 120, "priceCurrency": "EUR", "availability": "InStock"}]}</script>"""
    for html in (micro, rdfa, linked):
        found = parse_page(URL, f"<html><body>{html}</body></html>")
        (product,) = [entity for entity in found.entities if "Product" in entity_types(entity)]
        assert product["name"] == "Boot"
        assert float(product["offers"]["price"]) == 120
        assert product["offers"]["priceCurrency"] == "EUR"
        assert found.data.blocks == 1
