"""What the demo's prompts are asked, given and answer; each answer repeats its context, or is wrong in a known way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liftos_pipelines.simulate.marketing import CHANNELS

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
COUNTRIES = {"Germany": 2, "Austria": 3, "France": 4, "Spain": 5, "Italy": 5, "Poland": 4}
COMPLAINTS = ("the zip broke", "the seam came undone", "the buckle is loose", "the colour faded")


@dataclass(frozen=True, kw_only=True)
class Said:
    """One call's texts. `span` is what the context does not hold (`kind` number or entity), `fault` the content metric
    that is not met, `right` whether a claim of channels is true (`kind` order, extreme or value); else empty."""

    question: str
    context: str
    output: str
    kind: str = ""
    span: str = ""
    fault: str = ""
    right: bool | None = None


def product_answer(rng: np.random.Generator, planted: float) -> Said:
    product = str(rng.choice(list(FACTS)))
    facts = FACTS[product]
    fact = str(rng.choice(list(facts)))
    group = str(rng.choice(list(CUSTOMERS)))
    question = f"{rng.choice(CUSTOMERS[group])} asks: " + str(rng.choice(ASK)).format(fact, product)
    context = f"Product: {product}. " + " ".join(f"{name.capitalize()}: {value}." for name, value in facts.items())
    context += f" Delivery: {SHOP['delivery']}. Returns: {SHOP['returns']}."
    output = str(rng.choice(TELL)).format(product=product, fact=fact, value=facts[fact])
    closing = str(rng.choice(CLOSE)).format(**SHOP)
    if rng.random() >= planted:
        return Said(question=question, context=context, output=f"{output} {closing}".strip())
    return _unsupported(rng, question, context, output)


def review_reply(rng: np.random.Generator, planted: float) -> Said:
    product = str(rng.choice(list(FACTS)))
    complaint, years = str(rng.choice(COMPLAINTS)), int(rng.integers(2, 6))
    context = (
        f"Review of the {product}: after {int(rng.integers(2, 20))} weeks {complaint}. Policy: we repair the {product} "
        f"for {years} years. Returns: {SHOP['returns']}."
    )
    output = str(
        rng.choice(
            (
                f"We are sorry that {complaint}. We repair the {product} for {years} years.",
                f"Thank you for your review of the {product}. We are sorry that {complaint}, and we repair it.",
            )
        )
    )
    question = f"Reply to this review of the {product}."
    if rng.random() >= planted:
        closing = str(rng.choice((f" Returns are possible within {SHOP['returns']}.", "")))
        return Said(question=question, context=context, output=output + closing)
    return _unsupported(rng, question, context, output)


def delivery_answer(rng: np.random.Generator, planted: float) -> Said:
    country = str(rng.choice(list(COUNTRIES)))
    days = COUNTRIES[country]
    context = f"Delivery to {country}: {days} working days. Returns from {country}: {SHOP['returns']}."
    output = str(
        rng.choice((f"Delivery to {country} takes {days} working days.", f"It takes {days} working days to {country}."))
    )
    return Said(question=f"How long does delivery to {country} take?", context=context, output=output)


def campaign_summary(rng: np.random.Generator, planted: float) -> Said:
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
    if rng.random() >= planted:
        return Said(question=question, context=context, output=output + closing)
    if rng.random() < 0.6:
        wrong = f"{int(spend * rng.choice((0.5, 1.5, 2.5))) + 37:,}"
        text = f"{output} Spend was {wrong} EUR."
        return Said(question=question, context=context, output=text, kind="number", span=wrong)
    entity = str(rng.choice(ENTITIES))
    return Said(question=question, context=context, output=f"{output} {entity}", kind="entity", span=entity)


def channel_answer(rng: np.random.Generator, planted: float) -> Said:
    """What a model says of the channels' return without being given it: right in half of the calls."""
    returns = {channel.name: channel.roi for channel in CHANNELS}
    right = bool(rng.random() < 0.5)
    names = [str(name) for name in rng.permutation(list(returns))]
    kind = str(rng.choice(("order", "extreme", "value"), p=(0.5, 0.2, 0.3)))
    if kind == "order":
        more, less = sorted(names[:2], key=lambda name: returns[name], reverse=right)
        output = str(
            rng.choice(
                (f"The ROI of {more} is higher than the ROI of {less}.", f"{more} has a better ROI than {less}.")
            )
        )
        question = f"Which has the better return, {names[0]} or {names[1]}?"
    elif kind == "extreme":
        best = max(returns, key=lambda name: returns[name])
        named = best if right else next(name for name in names if name != best)
        output, question = f"{named} has the highest ROI of all channels.", "Which channel has the best return?"
    else:
        value = returns[names[0]] * (1.0 if right else float(rng.choice((0.4, 2.5))))
        output = f"The ROI of {names[0]} is {value:.1f}."
        question = f"What is the return on {names[0]}?"
    return Said(question=question, context="", output=output[0].upper() + output[1:], kind=kind, right=right)


def _unsupported(rng: np.random.Generator, question: str, context: str, output: str) -> Said:
    if rng.random() < 0.6:
        days = int(rng.choice((14, 21, 90, 120)))
        text = f"{output} You can return it within {days} days."
        return Said(question=question, context=context, output=text, kind="number", span=f"{days}")
    entity = str(rng.choice(ENTITIES))
    return Said(question=question, context=context, output=f"{output} {entity}", kind="entity", span=entity)
