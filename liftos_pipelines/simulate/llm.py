"""LLM calls of two prompts over ninety days: planted unsupported claims, and a variant that people like better.

`product_answer` answers customers from a fact sheet and runs as an A/B test of two variants; `campaign_summary`
writes a line on a campaign's figures and moves from version 1 to version 2. Outputs repeat facts of their context
in other words; a known few carry a number or a name that the context does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from liftos_pipelines.simulate.setting import LAST_DAY, at, stream

DAYS_BACK = 90
CALLS = {"product_answer": 2000, "campaign_summary": 1000}
VERSION_2_FROM = date(2025, 11, 17)
FEEDBACK_GIVEN = 0.6
FEEDBACK = {"A": (0.24, 0.26, 0.50), "B": (0.16, 0.20, 0.64)}
"""Probabilities of -1, 0 and 1 among those who answer."""
PLANTED = {"A": 0.05, "B": 0.02, "1": 0.06, "2": 0.02}
"""Share of calls with an unsupported claim, by variant or by the summary's version."""
ERRORS = {"product_answer": 0.012, "campaign_summary": 0.008}
LATENCY_MEDIAN = {"A": 820.0, "B": 900.0, "1": 1150.0, "2": 1100.0}
PRICE_PER_1000 = {"swift-small-2": (0.0004, 0.0016), "swift-large-1": (0.002, 0.008)}
MODEL = {"product_answer": "swift-small-2", "campaign_summary": "swift-large-1"}

FACTS: dict[str, dict[str, str]] = {
    "Ridge jacket": {"price": "189 EUR", "weight": "410 g", "water column": "20,000 mm", "repair": "5 years"},
    "Trek backpack": {"price": "159 EUR", "weight": "1,350 g", "volume": "45 litres", "back length": "42 to 52 cm"},
    "Drift tent": {"price": "329 EUR", "weight": "1.9 kg", "sleeps": "2 people", "floor water column": "5,000 mm"},
    "Ember stove": {"price": "49 EUR", "weight": "85 g", "boiling time": "3.5 minutes", "cartridge norm": "EN 417"},
    "Tarn boots": {"price": "219 EUR", "weight": "1,120 g", "sole": "rubber", "sizes": "36 to 48"},
    "Loft sleeping bag": {"price": "259 EUR", "weight": "890 g", "comfort temperature": "-3 degrees", "fill": "down"},
}
SHOP = {"delivery": "2 working days", "returns": "60 days"}
CUSTOMERS = {"group 1": ("Amina", "Yusuf", "Leila", "Omar"), "group 2": ("Anna", "Jonas", "Marie", "Peter")}
ASK = ("What is the {} of the {}?", "Tell me about the {} of the {}, please.", "I want to know the {} of your {}.")
TELL = (
    "The {product} has a {fact} of {value}.",
    "For the {product}, the {fact} is {value}.",
    "Thank you for asking: the {fact} of the {product} is {value}.",
)
CLOSE = (
    "Delivery takes {delivery}.",
    "You can return it within {returns}.",
    "Delivery takes {delivery}, and you can return it within {returns}.",
    "",
)
ENTITIES = (
    "It is also sold in our Lisbon flagship store.",
    "It was tested by the Hadley Institute.",
    "Our partner Corvane offers a free insurance with it.",
    "Ask for Mr Pemberton in the Vienna branch.",
)


@dataclass(frozen=True, kw_only=True)
class Calls:
    """`rows` is what the client brings, `planted` the unsupported claims by call."""

    rows: list[dict[str, Any]]
    planted: list[dict[str, str]]


def generate(seed: int) -> Calls:
    rng = stream(seed, "llm calls")
    rows: list[dict[str, Any]] = []
    planted: list[dict[str, str]] = []
    first = LAST_DAY - timedelta(days=DAYS_BACK - 1)
    for prompt_name, calls in CALLS.items():
        days = np.sort(rng.integers(0, DAYS_BACK, calls))
        for number, offset in enumerate(days):
            call_id = f"{prompt_name[:2]}-{number:05d}"
            day = first + timedelta(days=int(offset))
            if prompt_name == "product_answer":
                variant, version = ("B" if rng.random() < 0.5 else "A"), "3"
                arm = variant
                question, context, output, claim = _product_answer(rng, arm)
            else:
                variant, version = None, "2" if day >= VERSION_2_FROM else "1"
                arm = version
                question, context, output, claim = _campaign_summary(rng, arm)
            row = {
                "call_id": call_id,
                "called_at": at(day, rng.uniform(25_200, 79_200)).isoformat(),
                "model": MODEL[prompt_name],
                "prompt_name": prompt_name,
                "prompt_version": version,
                "variant": variant,
                "input": question,
                "context": context,
            }
            failed = rng.random() < ERRORS[prompt_name]
            rows.append(row | _measures(rng, row, output, arm, failed=failed))
            if claim and not failed:
                planted.append({"call_id": call_id, **claim})
    rows.sort(key=lambda row: (row["called_at"], row["call_id"]))
    return Calls(rows=rows, planted=planted)


def _measures(rng: np.random.Generator, row: dict[str, Any], output: str, arm: str, *, failed: bool) -> dict[str, Any]:
    words_in = len((row["input"] + row["context"]).split())
    tokens = int(words_in * 1.4) + 160, 0 if failed else int(len(output.split()) * 1.4)
    price = PRICE_PER_1000[row["model"]]
    latency = LATENCY_MEDIAN[arm] * float(np.exp(rng.normal(0, 0.35)))
    answered = row["prompt_name"] == "product_answer" and not failed and rng.random() < FEEDBACK_GIVEN
    return {
        "output": "" if failed else output,
        "latency_ms": round(30_000.0 if failed else latency, 1),
        "input_tokens": tokens[0],
        "output_tokens": tokens[1],
        "cost": round((tokens[0] * price[0] + tokens[1] * price[1]) / 1000, 8),
        "user_feedback": int(rng.choice((-1, 0, 1), p=FEEDBACK[arm])) if answered else None,
        "error": "timeout" if failed else None,
    }


def _product_answer(rng: np.random.Generator, arm: str) -> tuple[str, str, str, dict[str, str] | None]:
    product = str(rng.choice(list(FACTS)))
    facts = FACTS[product]
    fact = str(rng.choice(list(facts)))
    group = str(rng.choice(list(CUSTOMERS)))
    question = f"{rng.choice(CUSTOMERS[group])} asks: " + str(rng.choice(ASK)).format(fact, product)
    context = f"Product: {product}. " + " ".join(f"{name.capitalize()}: {value}." for name, value in facts.items())
    context += f" Delivery: {SHOP['delivery']}. Returns: {SHOP['returns']}."
    output = str(rng.choice(TELL)).format(product=product, fact=fact, value=facts[fact])
    closing = str(rng.choice(CLOSE)).format(**SHOP)
    if rng.random() >= PLANTED[arm]:
        return question, context, f"{output} {closing}".strip(), None
    if rng.random() < 0.6:
        days = int(rng.choice((14, 21, 90, 120)))
        return (
            question,
            context,
            f"{output} You can return it within {days} days.",
            {"kind": "number", "span": f"{days}"},
        )
    entity = str(rng.choice(ENTITIES))
    return question, context, f"{output} {entity}", {"kind": "entity", "span": entity}


def _campaign_summary(rng: np.random.Generator, arm: str) -> tuple[str, str, str, dict[str, str] | None]:
    campaign = str(rng.choice(("Spring Trails 2025", "Summer Camp 2025", "Winter Layers 2025", "Doorstep in Two Days")))
    spend, clicks = int(rng.integers(20, 400)) * 1000, int(rng.integers(1000, 90000))
    before, now = int(rng.integers(200, 4000)), int(rng.integers(200, 4000))
    while now == before:
        now = int(rng.integers(200, 4000))
    verb = "rose" if now > before else "fell"
    context = (
        f"Campaign: {campaign}. Spend this week: {spend:,} EUR. Clicks: {clicks:,}. "
        f"Orders last week: {before:,}. Orders this week: {now:,}."
    )
    output = f"Orders of {campaign} {verb} from {before:,} to {now:,}."
    closing = str(rng.choice((f" Spend was {spend:,} EUR.", f" The ads brought {clicks:,} clicks.", "")))
    question = "Summarise the week for the growth team in one or two sentences."
    if rng.random() >= PLANTED[arm]:
        return question, context, output + closing, None
    if rng.random() < 0.6:
        wrong = f"{int(spend * rng.choice((0.5, 1.5, 2.5))) + 37:,}"
        return question, context, f"{output} Spend was {wrong} EUR.", {"kind": "number", "span": wrong}
    entity = str(rng.choice(ENTITIES))
    return question, context, f"{output} {entity}", {"kind": "entity", "span": entity}


def truth(world: Calls) -> dict[str, Any]:
    def mean(odds: tuple[float, float, float]) -> float:
        return odds[2] - odds[0]

    return {
        "calls": len(world.rows),
        "planted": world.planted,
        "planted_rate": PLANTED,
        "experiment": {
            "prompt_name": "product_answer",
            "better": "B",
            "feedback_mean_difference": mean(FEEDBACK["B"]) - mean(FEEDBACK["A"]),
            "feedback_positive_difference": FEEDBACK["B"][2] - FEEDBACK["A"][2],
            "latency_median_ratio": LATENCY_MEDIAN["B"] / LATENCY_MEDIAN["A"],
        },
        "bias": {"groups": {name: list(names) for name, names in CUSTOMERS.items()}, "planted": False},
        "error_rate": ERRORS,
    }
