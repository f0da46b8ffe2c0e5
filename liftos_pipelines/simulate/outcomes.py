"""Past decisions with measured effects, and the notes the organisation wrote: what memory has to learn from.

A decision's effect is the change in conversions as a share of a usual week. Each kind of situation has one
action that truly helps and others that do nothing or harm; a measured effect is the truth plus how much
occasions differ (sd .010) plus measurement error (std_error). Contexts are written in several ways; the queries
in the truth are situations put in words that no stored context uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from liftos_pipelines.simulate.setting import CAMPAIGNS, INCIDENT, PRODUCTS, at, stream

METRIC = "conversions_share"
BETWEEN_OCCASIONS_SD = 0.010
TRIES_OF_BEST, TRIES_OF_OTHERS = 6, 3
FIRST, LAST = date(2024, 2, 1), date(2025, 8, 29)


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A kind of situation: how people put it, what was tried, and the true effect of each action."""

    kind: str
    domain: str
    contexts: tuple[str, ...]
    queries: tuple[str, ...]
    effects: dict[str, float]
    lesson: str

    @property
    def best(self) -> str:
        return max(self.effects, key=lambda action: self.effects[action])


SITUATIONS: tuple[Situation, ...] = (
    Situation(
        kind="delivery_failure",
        domain="sentiment",
        contexts=(
            "Sentiment on {campaign} fell sharply, posts complain of late and lost parcels of the {product}",
            "Delivery failure during {campaign}: orders of the {product} arrive a week late, customers are angry",
            "A carrier problem delays parcels, mentions of {campaign} turn negative",
            "Customers of {campaign} report that the courier never came and nobody answers",
        ),
        queries=(
            "Negative mentions surge on {campaign}: parcels late or never arrived",
            "Shipping broke down, people who bought the {product} are furious about waiting",
            "Sentiment drop on {campaign}, many posts about missing deliveries",
        ),
        effects={"notify": 0.060, "shift_budget": 0.010, "offer_voucher": -0.005, "rotate_creative": -0.020},
        lesson="When parcels are late, telling every affected customer at once keeps orders up; new ads only annoy.",
    ),
    Situation(
        kind="price_complaint",
        domain="sentiment",
        contexts=(
            "Customers call the {product} too expensive after the price rise, sentiment of {campaign} slips",
            "Posts compare the price of the {product} with cheaper rivals during {campaign}",
            "The new price of the {product} draws complaints in reviews",
        ),
        queries=("Reviews say the {product} costs too much now", "Price increase brings angry comments on {campaign}"),
        effects={"offer_voucher": 0.045, "notify": -0.010, "rotate_creative": 0.000, "shift_budget": -0.010},
        lesson="A small voucher for returning customers calms a price rise; explanations by mail do not.",
    ),
    Situation(
        kind="creative_fatigue",
        domain="causal",
        contexts=(
            "Response to {campaign} has flattened, the same ad has run for ten weeks",
            "Click rate of {campaign} declines week by week while reach stays constant",
            "Frequency is high and marginal return of {campaign} is down, the creative is worn out",
        ),
        queries=(
            "The ads of {campaign} are stale, clicks keep going down",
            "Audience has seen the same video too often, response is falling",
        ),
        effects={"rotate_creative": 0.055, "shift_budget": 0.010, "raise_bid": -0.020, "notify": 0.000},
        lesson="After eight weeks of one creative, a new one brings more than any change of bids.",
    ),
    Situation(
        kind="competitor_promotion",
        domain="causal",
        contexts=(
            "A competitor runs a large sale on its version of the {product}, our search conversions drop",
            "Rival discounts push up the auction price in search during {campaign}",
            "Competitor activity doubled and orders of the {product} fell",
        ),
        queries=(
            "Another brand started a big discount and our orders of the {product} decline",
            "Rivals are outbidding us in search",
        ),
        effects={"shift_budget": 0.050, "raise_bid": -0.030, "offer_voucher": 0.005, "notify": -0.005},
        lesson="In a rival's sale, moving budget out of search into other channels beats bidding against it.",
    ),
    Situation(
        kind="stock_out",
        domain="agentic",
        contexts=(
            "The {product} is out of stock in two sizes while {campaign} still advertises it",
            "Ads lead to sold-out pages of the {product}, bounce rate is up",
            "Inventory of the {product} ran empty in the middle of {campaign}",
        ),
        queries=(
            "We advertise the {product} but the warehouse has none left",
            "Sold out, yet {campaign} continues to send visitors",
        ),
        effects={"pause_ad": 0.040, "raise_bid": -0.035, "offer_voucher": -0.010, "rotate_creative": 0.000},
        lesson="Pause ads of what cannot be bought within the hour; vouchers for later are not redeemed.",
    ),
    Situation(
        kind="low_visibility",
        domain="surfacing",
        contexts=(
            "AI assistants no longer name the brand when asked for a {product}",
            "An assistant changed its algorithm and our mention rate fell by a third",
            "Share of voice in assistant answers dropped, competitors are recommended for the {product}",
        ),
        queries=(
            "Chat engines stopped recommending us for the {product}",
            "Our visibility in AI answers went down after an engine update",
        ),
        effects={"publish_guide": 0.035, "shift_budget": 0.000, "raise_bid": -0.005, "notify": 0.000},
        lesson="A guide with test figures and sources brought us back into assistants' answers within a month.",
    ),
    Situation(
        kind="seasonal_launch",
        domain="causal",
        contexts=(
            "{campaign} starts: a seasonal launch on social with a new {product}",
            "A trails campaign begins in social, aim is consideration, budget as last year",
            "Launch of {campaign}: social flight of twelve weeks for the hiking season",
        ),
        queries=(
            "A new social campaign for the hiking season has started",
            "New Year Trails begins on social, how should we open it?",
        ),
        effects={"publish_guide": 0.010, "rotate_creative": 0.000, "start_test": 0.040, "raise_bid": -0.010},
        lesson="Open a seasonal launch with a creative test in one region for two weeks, then scale the winner.",
    ),
    Situation(
        kind="wrong_answers",
        domain="llm",
        contexts=(
            "The support assistant states wrong return periods since the new prompt version",
            "Answers of the product assistant contain figures that the fact sheet does not have",
            "Customers were told a wrong delivery time by the chat assistant",
        ),
        queries=(
            "The chatbot invents numbers after the prompt update",
            "Our assistant promises returns we do not offer",
        ),
        effects={"rollback": 0.030, "notify": 0.000, "open_ticket": 0.000, "offer_voucher": -0.005},
        lesson="Roll the prompt back first and look for the cause afterwards.",
    ),
)

NOTE_FORMS = (
    ("post-mortem", "Post-mortem. {context}. What we did: {action}. {lesson}"),
    ("brief", "Brief for {campaign}: keep in mind what we learned. {lesson}"),
    ("conversation", "Talked with the team about this: {context}. Agreed to try {action}."),
    ("question", "Open question from the review: {context}. Would {action} have helped? Nobody measured it."),
)
AUTHORS = ("Mara", "Idris", "Chen", "Paula", "Tomasz")


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """`rows` and `notes` are what the client brings; `kinds` says what kind each outcome truly is."""

    rows: list[dict[str, Any]]
    notes: list[dict[str, Any]]
    kinds: dict[str, str]
    queries: list[dict[str, str]]


def generate(seed: int) -> Outcomes:
    rng = stream(seed, "outcomes")
    drafts: list[tuple[date, Situation, str]] = []
    span = (LAST - FIRST).days
    for situation in SITUATIONS:
        for action in situation.effects:
            tries = TRIES_OF_BEST if action == situation.best else TRIES_OF_OTHERS
            drafts += [(FIRST + timedelta(days=int(rng.integers(0, span))), situation, action) for _ in range(tries)]
    drafts.sort(key=lambda draft: (draft[0], draft[1].kind, draft[2]))
    rows, kinds = [], {}
    for number, (day, situation, action) in enumerate(drafts):
        campaign_id, campaign = _running(rng, day)
        std_error = round(float(rng.uniform(0.008, 0.020)), 4)
        happened = situation.effects[action] + rng.normal(0, BETWEEN_OCCASIONS_SD)
        outcome_id = f"o-{number:03d}"
        kinds[outcome_id] = situation.kind
        rows.append(
            {
                "outcome_id": outcome_id,
                "decided_at": at(day, rng.uniform(28_800, 61_200)),
                "context": _say(rng, situation.contexts, campaign),
                "action": action,
                "metric": METRIC,
                "effect": round(float(rng.normal(happened, std_error)), 4),
                "std_error": std_error,
                "campaign_id": campaign_id,
                "domain": situation.domain,
            }
        )
    return Outcomes(rows=rows, notes=_notes(rng), kinds=kinds, queries=_queries(rng))


def _running(rng: np.random.Generator, day: date) -> tuple[str, str]:
    campaign = rng.choice(np.array([c.campaign_id for c in CAMPAIGNS if c.start <= day <= c.end]))
    return str(campaign), next(c.name for c in CAMPAIGNS if c.campaign_id == campaign)


def _say(rng: np.random.Generator, forms: tuple[str, ...], campaign: str) -> str:
    return str(rng.choice(forms)).format(campaign=campaign, product=rng.choice(PRODUCTS))


def _notes(rng: np.random.Generator) -> list[dict[str, Any]]:
    notes = []
    for number in range(60):
        situation = SITUATIONS[number % len(SITUATIONS)]
        day = FIRST + timedelta(days=int(rng.integers(0, (LAST - FIRST).days)))
        _, campaign = _running(rng, day)
        tag, form = NOTE_FORMS[int(rng.integers(0, len(NOTE_FORMS)))]
        action = situation.best if tag in ("post-mortem", "brief") else str(rng.choice(list(situation.effects)))
        notes.append(
            {
                "note_id": f"n-{number:03d}",
                "at": at(day, rng.uniform(28_800, 64_800)).isoformat(),
                "text": form.format(
                    context=_say(rng, situation.contexts, campaign),
                    action=action.replace("_", " "),
                    lesson=situation.lesson,
                    campaign=campaign,
                ),
                "author": str(rng.choice(AUTHORS)),
                "subject": situation.kind.replace("_", " "),
                "tags": [tag, situation.domain],
            }
        )
    return sorted(notes, key=lambda note: (str(note["at"]), str(note["note_id"])))


def _queries(rng: np.random.Generator) -> list[dict[str, str]]:
    name = next(c.name for c in CAMPAIGNS if c.campaign_id == INCIDENT.campaign_id)
    return [
        {
            "query_id": f"q-{situation.kind}-{number}",
            "text": _say(rng, (form,), name),
            "kind": situation.kind,
            "action": situation.best,
        }
        for situation in SITUATIONS
        for number, form in enumerate(situation.queries)
    ]


def truth(world: Outcomes) -> dict[str, Any]:
    return {
        "outcomes": len(world.rows),
        "effects": {situation.kind: situation.effects for situation in SITUATIONS},
        "best_action": {situation.kind: situation.best for situation in SITUATIONS},
        "incident_kind": "delivery_failure",
        "new_campaign_kind": "seasonal_launch",
        "kind_of_outcome": world.kinds,
        "queries": world.queries,
    }
