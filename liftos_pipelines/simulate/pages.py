"""The brand's pages, with known defects: broken JSON-LD, a missing canonical link, a stale date, a blocked crawler."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liftos_pipelines.simulate.setting import BRAND, BRAND_DOMAIN


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page; `defects` are planted, `updated` is its visible and structured date."""

    slug: str
    title: str
    description: str
    kind: str
    paragraphs: tuple[str, ...]
    questions: tuple[tuple[str, str], ...] = ()
    price: int | None = None
    updated: str = "2025-11-18"
    defects: tuple[str, ...] = ()


PAGES: tuple[Page, ...] = (
    Page(
        slug="ridge-jacket",
        title="Ridge jacket",
        description="A three-layer rain jacket of 410 g.",
        kind="Product",
        price=189,
        paragraphs=(
            "The Ridge jacket is a three-layer shell for wet weather. It weighs 410 g in size M and packs into its own pocket.",
            "In our rain tower it stayed dry at a water column of 20,000 mm. Every seam is taped, every zip can be replaced.",
            "We repair each jacket for five years: send it in, and it comes back within ten working days.",
        ),
        questions=(
            ("How heavy is the Ridge jacket?", "It weighs 410 g in size M."),
            ("Can the zip be replaced?", "Yes, for five years at no cost."),
        ),
    ),
    Page(
        slug="trek-backpack",
        title="Trek backpack 45",
        description="A 45-litre backpack with a back that adjusts.",
        kind="Product",
        price=159,
        paragraphs=(
            "The Trek backpack holds 45 litres and weighs 1,350 g. Its back adjusts from 42 to 52 cm.",
            "The rain cover is included, the hip belt comes off, and spare buckles are sold on their own.",
        ),
        defects=("broken_json_ld",),
    ),
    Page(
        slug="drift-tent",
        title="Drift tent 2",
        description="A two-person tent of 1.9 kg.",
        kind="Product",
        price=329,
        paragraphs=(
            "The Drift tent sleeps two and weighs 1.9 kg with its pegs. One person pitches it in six minutes.",
            "Poles are aluminium, the floor has a water column of 5,000 mm, the fly one of 3,000 mm.",
        ),
        defects=("missing_canonical",),
    ),
    Page(
        slug="ember-stove",
        title="Ember stove",
        description="A gas stove of 85 g.",
        kind="Product",
        price=49,
        updated="2019-02-03",
        paragraphs=(
            "The Ember stove boils half a litre in three and a half minutes and weighs 85 g.",
            "It fits all screw-top cartridges after EN 417.",
        ),
        defects=("stale_date",),
    ),
    Page(
        slug="guide-rain-jackets",
        title="How to choose a rain jacket",
        description="Layers, water column and fit, explained.",
        kind="Article",
        paragraphs=(
            "Two-layer jackets are cheaper and heavier, three-layer jackets last longer and dry faster.",
            "A water column of 10,000 mm is enough for a shower, 20,000 mm for a day of rain under a backpack.",
            "In a survey of 1,204 customers in 2025, 71% named breathability as what they had missed most.",
        ),
        questions=(
            ("What water column do I need?", "10,000 mm for showers, 20,000 mm for long rain."),
            ("Two or three layers?", "Three layers last longer, two are cheaper."),
        ),
        defects=("blocked_for_gptbot",),
    ),
    Page(
        slug="delivery",
        title="Delivery and returns",
        description="Two days in the country, sixty days to return.",
        kind="WebPage",
        paragraphs=(
            "Parcels leave the same day when ordered by noon and arrive within two working days.",
            "You may return what you bought within sixty days at no cost.",
        ),
    ),
    Page(
        slug="repair",
        title="Repair service",
        description="Five years of repairs at cost or free.",
        kind="WebPage",
        paragraphs=("Send a broken zip, seam or buckle to our workshop. Within the first five years it is free.",),
        defects=("missing_description", "no_json_ld"),
    ),
    Page(
        slug="about",
        title="About us",
        description="A cooperative of makers since 1987.",
        kind="Organization",
        paragraphs=(
            "Norvik began in 1987 as a cooperative of four tailors. Today 112 people work here.",
            "Our workshop is open to visitors on the first Friday of each month.",
        ),
    ),
)

ROBOTS = """User-agent: *
Allow: /

User-agent: GPTBot
Disallow: /guide-rain-jackets

Sitemap: https://{domain}/sitemap.xml
"""


def url_of(page: Page) -> str:
    return f"https://{BRAND_DOMAIN}/{page.slug}"


def write(folder: Path) -> None:
    """Write the HTML files, `pages.csv` and `robots.txt` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        (folder / f"{page.slug}.html").write_text(_render(page), encoding="utf-8")
    lines = ["path,url"] + [f"{page.slug}.html,{url_of(page)}" for page in PAGES]
    lines.append(f"robots.txt,https://{BRAND_DOMAIN}/robots.txt")
    (folder / "pages.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "robots.txt").write_text(ROBOTS.format(domain=BRAND_DOMAIN), encoding="utf-8")


def _render(page: Page) -> str:
    head = ['<meta charset="utf-8">', f"<title>{html.escape(page.title)} | {BRAND}</title>"]
    if "missing_description" not in page.defects:
        head.append(f'<meta name="description" content="{html.escape(page.description)}">')
    if "missing_canonical" not in page.defects:
        head.append(f'<link rel="canonical" href="{url_of(page)}">')
    if "no_json_ld" not in page.defects:
        block = json.dumps(_json_ld(page), indent=1)
        if "broken_json_ld" in page.defects:
            block = block.replace('",\n', '"\n', 1)  # a comma lost in an edit
        head.append(f'<script type="application/ld+json">{block}</script>')
    body = [f"<h1>{html.escape(page.title)}</h1>", *(f"<p>{html.escape(text)}</p>" for text in page.paragraphs)]
    if page.price is not None:
        body.append(f"<p>Price: {page.price} EUR, delivery within two working days.</p>")
    for question, answer in page.questions:
        body.append(f"<h2>{html.escape(question)}</h2><p>{html.escape(answer)}</p>")
    body.append(f'<p>Last updated <time datetime="{page.updated}">{page.updated}</time></p>')
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n'
        + "\n".join(head)
        + "\n</head>\n<body>\n"
        + '<nav><a href="/">Home</a> <a href="/delivery">Delivery</a> <a href="/repair">Repair</a></nav>\n<main>\n'
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def _json_ld(page: Page) -> dict[str, Any]:
    block: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": page.kind,
        "name": page.title,
        "description": page.description,
        "url": url_of(page),
    }
    if page.kind == "Product":
        block["brand"] = {"@type": "Brand", "name": BRAND}
        block["offers"] = {
            "@type": "Offer",
            "price": page.price,
            "priceCurrency": "EUR",
            "availability": "https://schema.org/InStock",
        }
        block["releaseDate"] = page.updated
    elif page.kind == "Article":
        block |= {
            "headline": page.title,
            "author": {"@type": "Organization", "name": BRAND},
            "dateModified": page.updated,
        }
    elif page.kind == "Organization":
        block |= {"name": BRAND, "foundingDate": "1987", "sameAs": [f"https://social.example/{BRAND.lower()}"]}
    return block


def truth() -> dict[str, Any]:
    return {"pages": len(PAGES), "defects": {url_of(page): list(page.defects) for page in PAGES if page.defects}}
