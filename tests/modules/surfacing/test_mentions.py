"""Golden answers in several shapes: who is named, ranked, cited, and who is only said to be absent."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.surfacing import answer_mentions
from liftos_pipelines.tables import table
from liftos_pipelines.text import Name

ACME = Name(name="Acme", aliases=("Acme Corp",), domains=("acme.example",))
GLOBEX = Name(name="Globex", domains=("https://www.globex.example/",))
INITECH = Name(name="Initech")
BRANDS = [ACME, GLOBEX, INITECH]


def answers(*texts: str | None, citations: list[str] | None = None) -> pl.DataFrame:
    return table("sources/answers").conform(
        pl.DataFrame(
            {
                "answer_id": [f"a{i}" for i in range(len(texts))],
                "asked_at": [datetime(2025, 3, 1, tzinfo=UTC)] * len(texts),
                "engine": ["e"] * len(texts),
                "prompt_id": ["p"] * len(texts),
                "prompt": ["which?"] * len(texts),
                "run": ["1"] * len(texts),
                "text": list(texts),
                "citations": [citations] * len(texts),
            },
            schema_overrides={"citations": pl.List(pl.String), "text": pl.String},
        )
    )


def ranks(text: str) -> dict[str, int | None]:
    rows = answer_mentions(answers(text), BRANDS)
    return dict(rows.filter("mentioned").select("brand", "rank").iter_rows())


def one(text: str, brand: str = "Acme", citations: list[str] | None = None) -> dict[str, object]:
    rows = answer_mentions(answers(text, citations=citations), BRANDS)
    return rows.filter(pl.col("brand") == brand).row(0, named=True)


NUMBERED = """Some good choices:

1. **Umbrella Max** – not tracked, but it holds a place. Better than Acme in rain.
2. **Globex Trail** – light.
   - Acme charges more
3. [Acme Runner](https://shop.example/acme) – sturdy.
"""
SECTIONS = """### Best overall
**1. [Globex One]()** – 99
### Best for rain
**1. [Acme Storm]()** – 120
"""
HEADINGS = """## Overview
Shoes differ.
### Initech Glide
Soft.
### Acme Runner
Firm.
## Summary
Both are good, and Globex exists.
"""
TABLE = """| # | Brand | Price |
|---|-------|------:|
| 1 | Initech | 10 |
| 2 | Hooli | 11 |
| 3 | Acme | 12 |
"""
BULLETS = """- **Globex**: cheap
- **Acme**: solid
- **Specs:** 3 years
"""
LABELS = """* **Best Overall:** [Acme Runner]()
* **Best Value:** Globex Lite is cheap
"""
COUNTDOWN = """3. Initech
2. Acme
1. Globex
"""
PROSE = "Many people like Initech. Others swear by Acme, and then there is Globex; Acme again."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NUMBERED, {"Globex": 2, "Acme": 3}),
        (SECTIONS, {"Globex": 1, "Acme": 2}),
        (HEADINGS, {"Initech": 1, "Acme": 2, "Globex": 3}),
        (TABLE, {"Initech": 1, "Acme": 3}),
        (BULLETS, {"Globex": 1, "Acme": 2}),
        (LABELS, {"Acme": 1, "Globex": 2}),
        (COUNTDOWN, {"Globex": 1, "Acme": 2, "Initech": 3}),
        (PROSE, {"Initech": 1, "Acme": 2, "Globex": 3}),
        ("1️⃣ Acme\n2️⃣ Globex", {"Acme": 1, "Globex": 2}),
        ("Nobody here.", {}),
    ],
)
def test_ranks_follow_the_answer_s_own_order(text: str, expected: dict[str, int]) -> None:
    assert ranks(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "I could not find any information about Acme in the sources.",
        "I couldn't find Acme, but Globex is widely sold.",
        "Unfortunately, there is no mention of Acme in these reviews.",
        "Acme is not listed among the leading makers.",
        "Acme does not appear in any of the rankings.",
        "I'm not familiar with a brand called Acme.",
        "I don't have any information on Acme Corp.",
        "My search for Acme returned no results.",
        "Ich habe keine Informationen zu Acme gefunden.",
        "Acme wird in den Tests nicht erwähnt.",
        "Je n'ai pas trouvé d'informations sur Acme.",
        "Acme n'apparaît pas dans les classements.",
        "No encontré información sobre Acme.",
        "Acme no aparece en las listas.",
        "Non ho trovato informazioni su Acme.",
        "Não encontrei informações sobre a Acme.",
    ],
)
def test_a_statement_of_absence_is_not_a_mention(text: str) -> None:
    assert "Acme" in text  # a plain search would count it
    assert one(text)["mentioned"] is False
    assert one(text)["rank"] is None


@pytest.mark.parametrize(
    "text",
    [
        "I could not find Globex, but Acme is strong.",
        "You cannot find a better shoe than Acme.",
        "I found nothing wrong with Acme.",
        "Acme is not available in Norway.",
        "Acme does not include batteries.",
        "There is no reason to avoid Acme.",
        "No list is complete without Acme.",
        "Although I could not find prices, Acme is a solid choice.",
        "I could not find Acme in one test. Acme leads the other two.",
        "Acme ist nicht billig, aber gut.",
    ],
)
def test_a_negative_remark_about_something_else_stays_a_mention(text: str) -> None:
    assert one(text)["mentioned"] is True


def test_an_answer_without_text_is_no_answer() -> None:
    rows = answer_mentions(answers(None, "", "  \n"), BRANDS)
    assert rows["mentioned"].null_count() == 9
    assert rows["cited"].null_count() == 9


def test_citations_by_reference_link_and_list_count_each_page_once() -> None:
    text = 'Acme is good [1]. Globex is cheap [2](https://www.globex.example/a?utm_source=x).\n\n[1]: https://shop.acme.example/x "Acme"\n'
    row = one(text, citations=["https://shop.acme.example/x#top", "https://news.example/1"])
    assert row["cited"] is True
    assert row["citations"] == 3  # acme, globex, news
    assert row["citation_share"] == pytest.approx(1 / 3)
    assert one(text, "Initech")["cited"] is None  # no domain is known for it


def test_a_domain_that_only_ends_like_the_brand_s_is_another() -> None:
    row = one("Acme [1].", citations=["https://notacme.example/x"])
    assert row["cited"] is False
    assert row["citation_share"] == 0.0


def test_unrecorded_citations_are_unknown_and_an_empty_list_is_a_fact() -> None:
    assert one("Acme [1] is good.")["cited"] is None
    assert one("Acme [1] is good.")["hallucinated_citations"] is None
    row = one("Acme [1] is good.", citations=[])
    assert (row["cited"], row["citation_share"], row["hallucinated_citations"]) == (False, None, 1)


def test_references_beyond_the_list_and_zero_are_hallucinated_and_credit_nobody() -> None:
    row = one(
        "Globex is fine [0]. Hooli too [7]. Good [1, 2].", citations=["https://a.example", "https://acme.example"]
    )
    assert row["hallucinated_citations"] == 2
    assert row["position_weighted_words"] == pytest.approx(0.5)


def test_position_weighted_words_fall_with_position() -> None:
    sources = ["https://acme.example/1", "https://globex.example/1"]
    text = "Seven words stand in this first sentence [1]. Seven words stand in this second sentence [2]."
    acme, globex = one(text, citations=sources), one(text, "Globex", citations=sources)
    weight = np.exp(-1)
    assert acme["position_weighted_words"] == pytest.approx(1 / (1 + weight))
    assert globex["position_weighted_words"] == pytest.approx(weight / (1 + weight))


def test_a_citation_after_the_full_stop_belongs_to_the_sentence_before() -> None:
    sources = ["https://acme.example/1", "https://b.example"]
    late = one("First sentence is here.([Site][1]) Second sentence is here. [2]", citations=sources)
    early = one("First sentence is here [1]. Second sentence is here [2].", citations=sources)
    assert late["position_weighted_words"] == pytest.approx(early["position_weighted_words"])


@pytest.mark.parametrize(
    "bad",
    ["not a url", "", "mailto:x@acme.example", "http://", "javascript:alert(1)", "http://[::1", "ftp://acme.example"],
)
def test_citations_that_are_no_addresses_are_counted_apart(bad: str) -> None:
    row = one("Acme [1], Globex [2].", citations=[bad, "https://acme.example/x"])
    assert (row["invalid_citations"], row["citations"], row["citation_share"]) == (1, 1, 1.0)


@pytest.mark.parametrize(
    "text",
    [
        "<div><p>Acme &amp; friends<br>are <b>good",
        "<script>var x='Globex'</script>Acme",
        "Acme < Globex > 3 [[[ ((( ** __ | | |",
        "| Acme | \n|---\n| x",
        "1.\n2.\n3. Acme\n4.",
        "[Acme](https://x.example/(a)b) ![](](",
        "\x00Acme\ue000\ue001 [99999]",
        "# \n## \n### Acme",
    ],
)
def test_broken_markup_is_read_without_failing(text: str) -> None:
    row = one(text, citations=["https://acme.example"])
    assert row["mentioned"] is True
    assert one("<script>var x='Globex'</script>Acme", "Globex")["mentioned"] is False


def test_sentiment_is_scored_on_the_brand_s_own_clauses() -> None:
    seen: list[str] = []

    def score(texts: list[str]) -> np.ndarray:
        seen.extend(texts)
        return np.array(
            [np.nan if "abstain" in t else 1.0 if "great" in t else -1.0 if "poor" in t else 0.0 for t in texts]
        )

    rows = answer_mentions(
        answers("Acme is great, but Globex is poor. Initech: abstain here.", "Nobody."), BRANDS, score
    )
    tone = {row["brand"]: row["sentiment"] for row in rows.filter(pl.col("answer_id") == "a0").iter_rows(named=True)}
    assert tone == {"Acme": 1.0, "Globex": -1.0, "Initech": None}
    assert rows.filter(pl.col("answer_id") == "a1")["sentiment"].null_count() == 3
    assert len(seen) == len(set(seen))


def test_no_scorer_leaves_sentiment_unknown() -> None:
    assert one("Acme is great.")["sentiment"] is None


def test_the_table_keeps_its_contract_and_same_named_brands_are_refused() -> None:
    contract = table("surfacing/answer_mentions")
    assert contract.conform(answer_mentions(answers("Acme"), BRANDS)).height == 3
    assert contract.conform(answer_mentions(answers("Acme").clear(), BRANDS)).is_empty()
    with pytest.raises(ValueError, match="differ by name"):
        answer_mentions(answers("Acme"), [ACME, ACME])
