"""The rank a brand has in lists as assistants really write them."""

from __future__ import annotations

import pytest

from liftos_pipelines.modules.surfacing.answers.answer import parse_answer
from liftos_pipelines.modules.surfacing.answers.mentions import find_mentions
from liftos_pipelines.modules.surfacing.answers.naming import BrandFinder
from liftos_pipelines.text import Name

NAMES = [Name(name=name) for name in ("Acme", "Globex", "Initech", "Hooli")]

SECTIONS_GO_ON = """### Best for students
**1. [Acme One]()** – 579
* **Specs:** Globex chip, 16 GB
* **Where to buy:** Hooli
**2. [Umbrella Two]()** – 525
### Honorable mentions
* **Initech Three** – 327
  * **Specs:** Hooli inside
"""
ADVICE_BEFORE = """### 1. **Size of the Area**:
* **Basement**: bigger rooms need more.
### 2. **Energy Efficiency**:
* Look for Globex-certified models to save money over the years to come.
### Recommended:
1. **Initech 70**:
   * Great.
2. **Acme 50**:
   * Popular.
"""
LABELLED_HEADINGS = """### 🔝 **Best Overall: Globex V15**
* **Pros**: strong
### 💰 **Best Value: Acme Stratos**
* **Cons**: heavier than Globex
### Tips
* Compare Hooli's prices.
"""
TABLE_AFTER = """## Picks
### 🥇 **Acme Midnight – best for sleepers**
### 🥈 **Initech Premier**
### Other Great Picks
| Mattress | Price |
|---|---|
| **Initech Premier** | 9 |
| **Globex Cloud** | 10 |
"""
SUMMARY_REPEATS = """1. Acme A
2. Globex B

**Summary:**
* **Best overall:** Globex B
* **Best value:** Acme A
* **Best for kids:** Hooli C
"""
NESTED = """- Running
  - Globex
  - Acme
- Walking
  - Initech
"""
COUNTDOWN = "5. Umbrella\n4. Acme\n3. Soylent\n2. Globex\n1. Initech\n"
GLUED = (
    "It depends on you:\u00a0Top Picks:\u00a0Umbrella Zorb 7: Fine for most people.Acme Runner:Light.Pros: Fast.Cons:Loud.\u00a0"
    "Globex Flow$99.994.7(2k+)Acme Runner$89.99$99.994.1(58)Other Options:\u00a0Globex Flow:Soft and slow.Initech Glide: For "
    "long runs.Battery Life: Hooli lasts longest of all."
)
QUESTIONS_FIRST = """Some questions:

1. What size do you need?
2. Do you like Hooli-type coatings or ceramics?

Without all that:

* **Best overall:** **Acme Pan** – durable
* **Ceramic option:** **Globex Pan** – green
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SECTIONS_GO_ON, {"Acme": 1, "Initech": 3}),
        (ADVICE_BEFORE, {"Initech": 1, "Acme": 2}),
        (LABELLED_HEADINGS, {"Globex": 1, "Acme": 2}),
        (TABLE_AFTER, {"Acme": 1, "Initech": 2, "Globex": 4}),
        (SUMMARY_REPEATS, {"Acme": 1, "Globex": 2}),
        (NESTED, {"Globex": 1, "Acme": 2, "Initech": 3}),
        (COUNTDOWN, {"Initech": 1, "Globex": 2, "Acme": 4}),
        (GLUED, {"Acme": 2, "Globex": 3, "Initech": 4}),
    ],
)
def test_the_rank_is_the_position_in_the_answer_s_own_list(text: str, expected: dict[str, int]) -> None:
    found = mentions(text)
    assert {name: found[name] for name in expected} == expected
    # whoever is only spoken of comes after all that are chosen
    assert all(rank > max(expected.values()) for name, rank in found.items() if name not in expected)


def mentions(text: str) -> dict[str, int | None]:
    return {name: entry.rank for name, entry in find_mentions(parse_answer(text, None), BrandFinder(NAMES)).items()}


def test_questions_are_no_choice_but_what_follows_them_is() -> None:
    found = mentions(QUESTIONS_FIRST)
    assert found["Acme"] is not None
    assert found["Globex"] is not None
    assert found["Acme"] < found["Globex"]


def test_prose_ranks_by_first_mention() -> None:
    assert mentions("Many like Initech. Acme is dearer than Initech; then there is Globex.") == {
        "Initech": 1,
        "Acme": 2,
        "Globex": 3,
    }
