"""Content templates: a sound text of each purpose meets every metric, and each planted fault breaks exactly its own."""

from __future__ import annotations

import re
from pathlib import Path
from time import process_time

import numpy as np
import polars as pl
import pytest
import yaml

from liftos_pipelines.modules.llm.content.measures import MEASURES, Written, reading_ease
from liftos_pipelines.modules.llm.content.parts import take_apart
from liftos_pipelines.modules.llm.content.score import _interval, content_performance, content_scores
from liftos_pipelines.modules.llm.content.templates import ContentError, content_templates, template_of
from liftos_pipelines.stats import wilson_interval
from liftos_pipelines.tables import table

PACKAGED = Path(__file__).parents[3] / "liftos_pipelines" / "templates" / "content" / "default.yaml"
TEMPLATES = content_templates(yaml.safe_load(PACKAGED.read_text(encoding="utf-8")), file="default")

AD = """Headline: Trail shoes by Arvel
Description: Light shoes for wet trails. Free returns within 60 days.
CTA: Shop now"""
AD_PROMPT = "Write an ad.\nKeywords: trail shoes, returns"
EMAIL = """Subject: Your spring route starts here
Preheader: Three walks, one pair of shoes

Hello Mara,

the snow is gone and the paths are dry. We put together three walks that you can reach by train, each with a map and
the time it takes. If you like the longest one, the light shoes are in our shop again. They weigh little and dry fast.

Discover the routes.

You can unsubscribe at any time."""
ANSWER = "You can return the jacket within 60 days. Delivery takes two working days."
_RNG = np.random.default_rng(5)
_SAID = (
    ["the", "wide", "soft", "new", "old", "firm", "light", "dry", "wet", "steep"],
    ["sole", "lace", "path", "stone", "heel", "hill", "sock", "mud", "track", "toe"],
    ["holds", "needs", "keeps", "takes", "shows", "wants", "finds", "gives", "bears", "meets"],
    ["more", "less", "much", "enough", "little", "that", "this", "what", "most", "some"],
    ["grip", "room", "care", "time", "space", "strength", "warmth", "shape", "light", "rest"],
)


def prose(sentences: int) -> str:
    """Plain sentences that do not repeat one another."""
    drawn = [" ".join(str(_RNG.choice(pool)) for pool in _SAID) for _ in range(sentences)]
    return " ".join(f"{sentence.capitalize()} in {_RNG.choice(_SAID[1])}." for sentence in drawn)


PAGE = f"""Title: How to choose trail shoes for wet paths
Meta description: What to look at when you choose trail shoes: grip, weight, how fast they dry, and the fit.

## Grip comes first

{prose(30)}

## Then the fit

{prose(30)} Trail shoes should leave room for the toes on the way down.
"""
SOUND = {
    "ad_copy": (AD_PROMPT, AD),
    "email_marketing": ("Write a letter on spring routes.", EMAIL),
    "chatbot_responses": ("How long can I return a jacket, and what of delivery?", ANSWER),
    "seo_content": ("Write a page.\nKeywords: trail shoes", PAGE),
}


def broken(use_case: str, output: str, prompt: str | None = None) -> set[str]:
    """Metrics that a text does not meet."""
    told = {
        "call_id": "c1",
        "called_at": None,
        "model": "m",
        "prompt_name": "p",
        "prompt_version": "1",
        "input": prompt or SOUND[use_case][0],
        "context": "",
        "output": output,
        "latency_ms": 700.0,
        "use_case": use_case,
    }
    calls = table("sources/llm_calls").conform(
        pl.DataFrame([told | dict.fromkeys(("input_tokens", "output_tokens"))], infer_schema_length=None)
    )
    scores = pl.DataFrame({"call_id": ["c1"], "groundedness": [0.9]})
    found = content_scores(calls, scores, TEMPLATES, ["Arvel"])
    assert found["template"].unique().to_list() == [use_case]
    return set(found.filter(pl.col("met") == False)["metric"])  # noqa: E712


@pytest.mark.parametrize("use_case", sorted(SOUND))
def test_a_sound_text_of_each_purpose_breaks_nothing(use_case: str) -> None:
    prompt, output = SOUND[use_case]
    assert broken(use_case, output, prompt) == set()


@pytest.mark.parametrize(
    ("use_case", "before", "after", "metric"),
    [
        ("ad_copy", "Trail shoes by Arvel", "Trail shoes by Arvel for every path", "headline_characters"),
        ("ad_copy", "Free returns", "The best of all. Free returns", "unsupported_superlatives"),
        ("ad_copy", "by Arvel", "by us", "brand_mentions"),
        ("ad_copy", "wet trails.", "WET trails, GREAT ones.", "shouted_words"),
        ("ad_copy", "Shop now", "", "calls_to_action"),
        ("email_marketing", "Mara", "{{first_name}}", "unfilled_placeholders"),
        ("email_marketing", "Mara", "[Your Name]", "unfilled_placeholders"),
        ("email_marketing", "You can unsubscribe at any time.", "", "unsubscribe"),
        ("email_marketing", "Hello", "Act now, limited time! Hello", "spam_words"),
        ("email_marketing", "Your spring route", "Your spring route and all that you need to know of it", "subject_characters"),
        ("chatbot_responses", ANSWER, "Our shop is in the old town.", "question_overlap"),
        ("chatbot_responses", "You can", "I am sorry, I cannot help with that. You can", "refused"),
        ("seo_content", "## ", "", "headings"),
        ("seo_content", "How to choose trail shoes for wet paths", "Shoes", "title_characters"),
    ],
)  # fmt: skip
def test_a_planted_fault_breaks_its_own_metric_and_no_other(
    use_case: str, before: str, after: str, metric: str
) -> None:
    prompt, output = SOUND[use_case]
    assert before in output
    assert broken(use_case, output.replace(before, after), prompt) == {metric}


def test_parts_are_read_from_lines_json_and_markdown_alike() -> None:
    lines = take_apart("**Subject:** Hello\n\n**Body:**\nFirst.\nSecond.")
    assert (lines.of("subject"), lines.of("body")) == (("Hello",), ("First. Second.",))
    told = take_apart('```json\n{"headlines": ["A", "Longer"], "description": "D"}\n```')
    assert (told.of("headline"), told.of("description")) == (("A", "Longer"), ("D",))
    page = take_apart("# Title here\n\nText.\n\n## Part")
    assert (page.of("title"), page.headings) == (("Title here",), ("Title here", "Part"))
    several = take_apart("Headlines:\n1. One\n2. Two\n\nDescription: D")
    assert (several.of("headline"), several.of("description")) == (("One", "Two"), ("D",))
    assert take_apart("{not json").of("body") == ("{not json",)


def test_what_cannot_be_told_is_neither_met_nor_broken() -> None:
    german = Written(parts=take_apart("Der Schuh ist leicht und die Sohle ist weich. " * 20))
    assert reading_ease(german) is None
    assert MEASURES["keyword_coverage"](german) is None
    assert MEASURES["brand_mentions"](german) is None
    assert MEASURES["headline_characters"](german) is None


def test_reading_ease_tells_plain_from_heavy_prose() -> None:
    plain = "The dog ran to the sea and the boy ran with it. It was a hot day. They sat in the sun. " * 6
    heavy = "Organisational considerations regarding interdepartmental communication necessitate the systematic " * 12
    easy, hard = (reading_ease(Written(parts=take_apart(text))) for text in (plain, heavy + "and the of it."))
    assert easy is not None
    assert hard is not None
    assert easy > 90 > 30 > hard


def test_a_superlative_that_the_context_holds_is_supported() -> None:
    text = take_apart("The fastest delivery in town.")
    measure = MEASURES["unsupported_superlatives"]
    assert measure(Written(parts=text)) == 1
    assert measure(Written(parts=text, context="Tests call it the fastest delivery in town.")) == 0


@pytest.mark.parametrize(
    ("use_case", "prompt_name", "expected"),
    [
        ("ad_copy", "x", "ad_copy"),
        ("E-Mail", None, "email_marketing"),
        ("email", None, "email_marketing"),
        (None, "spring_newsletter", "email_marketing"),
        (None, "product-answer", "chatbot_responses"),
        (None, "campaign_summary", None),
        (None, "adjust", None),
    ],
)
def test_a_call_belongs_to_a_template_by_use_case_or_a_word_of_its_prompt(
    use_case: str | None, prompt_name: str | None, expected: str | None
) -> None:
    found = template_of(use_case, prompt_name, TEMPLATES)
    assert (found.name if found else None) == expected


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([], "expected templates by name"),
        (
            {"note": {"rules": {"wordz": {"at_most": 3}}}},
            'note.rules.wordz: there is no such measure (closest: "words")',
        ),
        ({"note": {"rules": {"words": 3}}}, "note.rules.words: give at_least, at_most or both"),
        ({"note": {"rules": {"words": {"at_most": "3"}}}}, "note.rules.words.at_most: expected a number"),
        ({"note": {"rules": {"words": {"at_least": 9, "at_most": 3}}}}, "at_least 9 lies above at_most 3"),
        ({"note": {"rules": {}, "goal": 1}}, "nothing else"),
    ],
)
def test_a_template_that_cannot_be_used_is_named(content: object, says: str) -> None:
    with pytest.raises(ContentError, match=re.escape(says)):
        content_templates(content, file="content.yaml", base=TEMPLATES)


def test_rates_have_intervals_that_repeated_questions_widen() -> None:
    calls = pl.DataFrame(
        {
            "call_id": [f"c{n}" for n in range(200)],
            "prompt_name": "p",
            "prompt_version": "1",
            "model": "m",
            "input": [f"q{n // 20}" for n in range(200)],
            "context": "",
        }
    )
    scores = pl.DataFrame(
        {
            "call_id": calls["call_id"],
            "template": "ad_copy",
            "metric": "words",
            "value": 1.0,
            "goal": "",
            # Every repeat of a question has the same fate: ten independent texts, not two hundred.
            "met": [n // 20 % 2 == 0 for n in range(200)],
        }
    )
    alone = calls.with_columns(pl.col("call_id").alias("input"))
    widths = [
        row["high"] - row["low"]
        for row in (content_performance(each, scores).row(0, named=True) for each in (calls, alone))
    ]
    assert widths[0] > 3 * widths[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("questions", "repeats", "a", "b"), [(5, 20, 2, 2), (8, 20, 8, 2), (40, 5, 2, 2), (200, 1, 9, 1)]
)
def test_intervals_of_what_is_met_cover_as_often_as_stated_where_questions_repeat(
    questions: int, repeats: int, a: float, b: float
) -> None:
    rng, held, alone, worlds = np.random.default_rng(7), 0, 0, 400
    for _ in range(worlds):
        met = rng.random((questions, repeats)) < rng.beta(a, b, questions)[:, None]
        known = pl.DataFrame({"_asked": np.repeat(np.arange(questions), repeats), "met": met.ravel()})
        for clustered in (True, False):
            low, high = _interval(known) if clustered else wilson_interval(int(met.sum()), met.size)
            inside = low <= a / (a + b) <= high
            held, alone = held + (inside and clustered), alone + (inside and not clustered)
    assert held >= 0.85 * worlds
    assert repeats == 1 or alone < 0.85 * worlds


@pytest.mark.parametrize(
    "text",
    [
        "Headline" + " " * 20_000 + "x",
        " " * 20_000 + "x",
        "# a" + " " * 20_000 + "b",
        "*" * 20_000 + "x",
        "Headline: x\n" + "more words\n" * 60_000,
        '{"a":' * 100_000,
    ],
    ids=["gap", "indent", "heading", "stars", "lines", "nested"],
)
def test_a_text_made_to_be_slow_is_taken_apart_at_once(text: str) -> None:
    began = process_time()
    assert take_apart(text).text.strip()
    assert process_time() - began < 2


def test_a_code_line_is_no_heading_and_a_closing_mark_is_none_of_it() -> None:
    found = take_apart("# Shoes ##\n\n    # comment\n\n## C#\n\nPrice: 3")
    assert found.headings == ("Shoes", "C#")
    assert found.of("title") == ("Shoes",)


def test_a_clients_own_template_claims_a_call_before_a_packaged_one() -> None:
    own = content_templates(
        {"desk": {"names": ["answer"], "rules": {"words": {"at_most": 9}}}}, file="x", base=TEMPLATES
    )
    found = template_of(None, "product-answer", own)
    assert found is not None
    assert found.name == "desk"
