"""Generated advertisements and e-mails with a few planted faults, and the templates of all the demo's prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from liftos_pipelines.simulate.llm_texts import FACTS, SHOP, Said
from liftos_pipelines.simulate.setting import BRAND

AD_FAULTS = {"headline_characters": 0.06, "unsupported_superlatives": 0.05}
EMAIL_FAULTS = {"unfilled_placeholders": 0.07, "unsubscribe": 0.06}
"""Share of calls with each fault; a call has one at most. The name is that of the metric that is not met."""
SERVING = {
    "product_answer": ("3",),
    "campaign_summary": ("1", "2"),
    "delivery_answer": ("1",),
    "review_reply": ("1", "2"),
    "ad_copy": ("1",),
    "email_offer": ("1",),
    "channel_answer": ("1",),
}
"""Versions that `production` named, one after the other, before LiftOS looked."""
_TEMPLATES: dict[str, dict[str, str]] = {
    "product_answer": {
        "3": "Answer the customer from the fact sheet alone.\n\nFact sheet: {{context}}\nCustomer: {{input}}\n",
        "4": "Answer the customer warmly, from the fact sheet alone. Say that something is not known where the sheet is"
        " silent.\n\nFact sheet: {{context}}\nCustomer: {{input}}\n",
    },
    "campaign_summary": {
        "1": "Summarise the week.\n\nFigures: {{context}}\n",
        "2": "Summarise the week in two sentences; use no figure that is not given.\n\nFigures: {{context}}\n",
    },
    "delivery_answer": {"1": "Say how long delivery takes.\n\nTerms: {{context}}\nCustomer: {{input}}\n"},
    "review_reply": {
        "1": "Reply to the review by the policy alone.\n\n{{context}}\n",
        "2": "Reply to the review and offer the customer something.\n\n{{context}}\n",
    },
    "ad_copy": {"1": "Write a headline and a description from the brief.\n\nBrief: {{context}}\n{{input}}\n"},
    "email_offer": {"1": "Write an e-mail to a customer from the brief.\n\nBrief: {{context}}\n{{input}}\n"},
    "channel_answer": {"1": "Answer the growth team's question.\n\n{{input}}\n"},
}


def templates() -> dict[str, dict[str, str]]:
    """By prompt and label, what stands in `prompts/<name>/<label>.txt`."""
    return {name: dict(labels) for name, labels in _TEMPLATES.items()}


def write(folder: Path, prices: dict[str, Any]) -> None:
    """The client's `prompts/` folder and `prices.yaml`."""
    for name, labels in templates().items():
        (folder / "prompts" / name).mkdir(parents=True, exist_ok=True)
        for label, text in labels.items():
            (folder / "prompts" / name / f"{label}.txt").write_text(text, encoding="utf-8")
    (folder / "prices.yaml").write_text(yaml.safe_dump(prices, sort_keys=False), encoding="utf-8")


def ad_copy(rng: np.random.Generator, planted: float) -> Said:
    product = str(rng.choice(list(FACTS)))
    fact = str(rng.choice([name for name in FACTS[product] if name != "price"]))
    fault = _fault(rng, AD_FAULTS)
    context = f"Brand: {BRAND}. Product: {product}. Price: {FACTS[product]['price']}. {fact}: {FACTS[product][fact]}."
    headline = f"{BRAND} {product}"
    if fault == "headline_characters":
        headline = f"{BRAND} {product}: order it today in the {BRAND} shop"
    description = f"{product}: {fact} {FACTS[product][fact]}. Order for {FACTS[product]['price']}."
    if fault == "unsupported_superlatives":
        description = f"The best {product}. Order for {FACTS[product]['price']}."
    return Said(
        question=f"Write a search ad for the {product}. Keywords: {product}",
        context=context,
        output=f"Headline: {headline}\nDescription: {description}",
        fault=fault,
    )


def email_offer(rng: np.random.Generator, planted: float) -> Said:
    product, name = str(rng.choice(list(FACTS))), str(rng.choice(("Mara", "Tom", "Ines", "Paul", "Ruth")))
    facts = FACTS[product]
    told = "; ".join(f"{fact}: {value}" for fact, value in facts.items())
    fault = _fault(rng, EMAIL_FAULTS)
    greeting = "Hello [first name]," if fault == "unfilled_placeholders" else f"Hello {name},"
    sheet = " ".join(f"Its {fact} is {value}." for fact, value in facts.items())
    lines = [
        f"Subject: The {product} is back in stock",
        f"Preheader: {product}, {facts['price']}",
        "",
        greeting,
        "",
        f"The {product} is back in stock at {BRAND}. {sheet} You can return it within {SHOP['returns']}, and delivery "
        f"takes {SHOP['delivery']}. Order the {product} in our shop.",
        "",
        f"Your {BRAND} team",
    ]
    if fault != "unsubscribe":
        lines += ["", "You can unsubscribe at any time."]
    context = (
        f"Brand: {BRAND}. Customer: {name}. Product: {product}, back in stock. {told}. Delivery: {SHOP['delivery']}. "
        f"Returns: {SHOP['returns']}. Every mail says that one can unsubscribe at any time."
    )
    return Said(
        question=f"Write a mail on the return of the {product}.", context=context, output="\n".join(lines), fault=fault
    )


def _fault(rng: np.random.Generator, shares: dict[str, float]) -> str:
    drawn = rng.random()
    for name, share in shares.items():
        if drawn < share:
            return name
        drawn -= share
    return ""
