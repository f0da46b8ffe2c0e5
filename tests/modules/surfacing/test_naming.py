"""Names in answers: spelling variants, glued text, products, and ordinary words that are also brands."""

from __future__ import annotations

import re

import pytest

from liftos_pipelines.modules.surfacing.answers.answer import parse_answer
from liftos_pipelines.modules.surfacing.answers.naming import BrandFinder, is_common, spelling_variants
from liftos_pipelines.text import Name


def named(text: str, *names: Name) -> list[str]:
    finder, answer = BrandFinder(names), parse_answer(text, None)
    return sorted({use.name for use in finder.find(answer, finder.in_heads(answer))})


def brand(name: str, *aliases: str, products: tuple[str, ...] = (), common: bool | None = None) -> Name:
    return Name(name=name, aliases=aliases, products=products, common=common)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Acme® Pro and Acme™ Lite", "Acme"),
        ("ACME's best", "Acme"),
        ("the two Vitamaxes, the Zorblaxs", "Zorblax"),
        ("Ｚｏｒｂｌａｘ is fine", "Zorblax"),
        ("Zórbláx is fine", "Zorblax"),
        ("Lands End sells it", "Lands' End"),
        ("Lands’ End sells it", "Lands' End"),
        ("Frankie's Bikinis are fun", "Frankies Bikinis"),
        ("Tuft and Needle", "Tuft & Needle"),
        ("Smile Direct Club brush", "SmileDirectClub"),
        ("Streamo Plus has films", "Streamo+"),
        ("AT\\&T is a carrier", "AT&T"),
        ("J. Crew and J Crew", "J.Crew"),
        ("Mr. Zorb makes coffee", "Mr. Zorb"),
        ("De Longhi and De'Longhi", "De'Longhi"),
        ("A zorblax‑like thing: Zorblax", "Zorblax"),
    ],
)
def test_spellings_of_a_name_are_found(text: str, name: str) -> None:
    assert named(text, brand(name)) == [name]


@pytest.mark.parametrize(
    "text",
    [
        "Always read the label.",
        "On the road these run well. Carry-On bags. Based on tests.",
        "There is nothing better.\n- Nothing fancy",
        "It is a simple, away-from-home target.",
        "Time matters. A limited time only.",
        "# Things To Do On A Target Date\nShop around.",
        "The S24 Ultra is the Galaxy with max power.",
    ],
)
def test_an_ordinary_word_is_no_brand(text: str) -> None:
    names = [brand(word) for word in ("Always", "On", "Nothing", "Simple", "Away", "Target", "Time", "Max")]
    assert named(text, *names) == []
    # ... which a search for words counts
    assert any(re.search(rf"\b{name.name}\b", text, re.IGNORECASE) for name in names)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("You find it at Target and elsewhere.", "Target"),
        ("You find it at Amazon, Walmart, Target, and drugstores.", "Target"),
        ("Local stores: Target, Walmart and Kohl's.", "Target"),
        ("1. **Away The Carry-On** – tough\n2. **Samsonite Winfield** – light", "Away"),
        ("### [Purple Mattress]()\n### [DreamCloud Luxury]()", "Purple"),
        ("| Shoe | Weight |\n|---|---|\n| On Cloudmonster 2 | 9 oz |\n| Zorblax Flow | 8 oz |", "On"),
        ("Discover matches all miles at the end of the year.", "Discover"),
        ("The new Nothing Phone (2a) looks different.", "Nothing"),
        ("Get the MAX plan.", "Max"),
        ("Shoes by Brooks are fine.", "Brooks"),
        ("#### **6. Zorblax / Crackle**\n#### **7. Tubi**", "Crackle"),
        ("I like Made In for eggs.", "Made In"),
    ],
)
def test_a_brand_that_is_an_ordinary_word_is_found_where_it_is_a_name(text: str, name: str) -> None:
    others = [brand(other) for other in ("Zorblax", "Samsonite", "DreamCloud", "Walmart", "Tubi")]
    assert name in named(text, brand(name), *others)


def test_a_client_s_word_on_what_is_common_wins() -> None:
    assert named("we use globex daily", brand("Globex")) == ["Globex"]
    assert named("we use globex daily", brand("Globex", common=True)) == []
    assert named("we like target", brand("Target", common=False)) == ["Target"]


GLUED = (
    "Here are some picks for you:\u00a0Top Picks:\u00a0Acme Runner 3:Light and fast for most.Globex Trail (2024):Made for "
    "mud and rain.Pros: Grip is good.Cons:Heavy.\u00a0Acme Runner 3$99.994.7(2k+)Globex Trail$1,189.00$1,299.004.8(9k+)"
    "Initech Glide$79.99Where to Buy:\u00a0AmazonBest BuyHooliReverb Note: Prices vary.\u00a0AI responses may include "
    "mistakes. Learn moreThank youYour feedback helps Google improve."
)


def test_run_together_text_is_taken_apart() -> None:
    names = [brand(name) for name in ("Acme", "Globex", "Initech", "Hooli", "Amazon", "Best Buy", "Reverb", "Google")]
    assert named(GLUED, *names) == ["Acme", "Amazon", "Best Buy", "Globex", "Hooli", "Initech", "Reverb"]
    assert not re.search(r"\bBest Buy\b", GLUED)  # the boundaries a plain search wants are not there


def test_camel_case_names_are_not_taken_apart() -> None:
    assert named(GLUED + " The MacBook and the ThinkPad.Good.", brand("Book"), brand("Pad"), brand("Mac")) == []


def test_engine_notices_name_nobody() -> None:
    text = "Acme is good. AI responses may include mistakes. Learn moreYour feedback helps Google improve."
    assert named(text, brand("Acme"), brand("Google")) == ["Acme"]
    assert named("Google is good. Acme too.", brand("Acme"), brand("Google")) == ["Acme", "Google"]


def test_products_name_their_brand_and_are_told() -> None:
    acme = brand("Acme", products=("ZorbPhone", "Pixel"))
    finder, answer = BrandFinder([acme]), parse_answer("The ZorbPhone 9 wins. The pixel count is low.", None)
    uses = finder.find(answer, finder.in_heads(answer))
    assert [(use.name, use.product) for use in uses] == [("Acme", "ZorbPhone")]


def test_variants_do_not_take_another_tracked_name() -> None:
    assert named("Zorblaxs is another maker", brand("Zorblax"), brand("Zorblaxs")) == ["Zorblaxs"]


@pytest.mark.parametrize(
    ("name", "common"), [("Target", True), ("Made In", True), ("Vitamix", False), ("HP", False), ("7 Wonders", False)]
)
def test_common_names_are_recognised(name: str, common: bool) -> None:
    assert is_common(name) is common


def test_variants_are_few() -> None:
    assert all(
        len(spelling_variants(name)) <= 4
        for name in ("De'Longhi", "AT&T", "Lands' End", "J.Crew", "Disney+", "SmileDirectClub")
    )
