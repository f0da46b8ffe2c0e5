"""Memories with known links: incidents of campaigns, each a chain of alert, impact, action and outcome.

Only the alert says in words what went wrong, and where. What followed is linked to it by events, as the spine links it,
and names neither campaign nor topic: an answer that only the links give. Around them stand memories that share words
and names with the questions and answer none of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from liftos_pipelines.modules.memory.records.items import SCHEMA

FIRST = (
    "Blue",
    "Silver",
    "Quiet",
    "Wild",
    "Golden",
    "Bright",
    "Northern",
    "Open",
    "Little",
    "Grand",
    "Early",
    "Hidden",
)
SECOND = ("Lantern", "Meadow", "Harbour", "Compass", "Orchard", "Summit", "River", "Signal", "Garden", "Bridge")
CHANNELS = ("tv", "search", "social", "video", "display", "newsletter")
PRODUCTS = ("Arlo tent", "Bruna jacket", "Cedo boots", "Dalia lamp", "Esko stove", "Fira backpack")
TOPICS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("parcels arrive days after the promised date", "orders still not here after two weeks"), ("late deliveries",)),
    (("the zip breaks on the second day", "zippers jam and tear"), ("faulty zips",)),
    (("far too expensive since the new price", "they want a third more for the same thing"), ("the price rise",)),
    (("nobody answers the phone or mail", "support lets me wait for weeks"), ("unreachable customer service",)),
    (("my size is never available", "always sold out in the shop"), ("missing stock",)),
    (("the refund has not come back", "still waiting for my money after the return"), ("slow refunds",)),
    (("the ad follows me everywhere", "I cannot see this spot any more"), ("too frequent ads",)),
    (("the picture shows another colour than what came", "looks nothing like on the page"), ("misleading pictures",)),
)
ACTIONS = ("send a voucher", "pause the placement", "rotate the creative", "shift budget", "write to those affected")
ASKED = {
    1: "What did customers complain about during {campaign}?",
    2: "How much did {topic} during {campaign} cost us?",
    3: "What did we do about {topic} during {campaign}?",
    4: "What came of our answer to {topic} during {campaign}?",
}
"""By the place of the answer in the chain: alert, impact, action, outcome."""
START = datetime(2025, 1, 6, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class LinkedQuestion:
    """A question, the ids of the memories that answer it, and how many links they are away from what it names."""

    text: str
    answers: frozenset[str]
    links: int


@dataclass(frozen=True, kw_only=True)
class LinkedWorld:
    items: pl.DataFrame
    questions: tuple[LinkedQuestion, ...]


def linked_world(seed: int, *, campaigns: int = 24, incidents: int = 3, others: int = 300) -> LinkedWorld:
    """A world of campaigns with their incidents; same seed, same world."""
    rng = np.random.default_rng(seed)
    titles = [f"{a} {b}" for a in FIRST for b in SECOND]
    named = [titles[i] for i in rng.permutation(len(titles))[:campaigns]]
    rows: list[dict[str, Any]] = []
    questions: list[LinkedQuestion] = []
    for number, title in enumerate(named):
        campaign, channel = f"c{number:02d}", str(rng.choice(CHANNELS))
        attributes = {"name": title, "channel": channel}
        rows.append(_row("campaign", f"{campaign}", f"Campaign {title} on channel {channel}.", campaign, attributes))
        alerts = []
        for place, topic in enumerate(rng.permutation(len(TOPICS))[:incidents]):
            key = f"{seed}-{number}-{place}"
            chain, ids = _chain(rng, key, title, campaign, int(topic), START + timedelta(days=int(rng.integers(300))))
            rows.extend(chain)
            alerts.append(ids[0])
            asked = str(rng.choice(TOPICS[topic][1]))
            for links in (2, 3, 4):
                text = ASKED[links].format(campaign=title, topic=asked)
                questions.append(LinkedQuestion(text=text, answers=frozenset({ids[links - 1]}), links=links))
        questions.append(LinkedQuestion(text=ASKED[1].format(campaign=title), answers=frozenset(alerts), links=1))
    rows.extend(_other(rng, number, named) for number in range(others))
    order = rng.permutation(len(rows))
    return LinkedWorld(
        items=pl.DataFrame([rows[i] for i in order], schema=SCHEMA, orient="row"), questions=tuple(questions)
    )


def _chain(
    rng: np.random.Generator, key: str, title: str, campaign: str, topic: int, at: datetime
) -> tuple[list[dict[str, Any]], list[str]]:
    said = " / ".join(rng.permutation(TOPICS[topic][0]).tolist())
    drop, impact, action = (f"event-{key}-{name}" for name in ("drop", "impact", "action"))
    day = at.date()
    effect, gain = rng.integers(200, 4000), rng.integers(-300, 1500)
    rows = [
        _row("alert", f"alert-{key}", f"Alert: sentiment fell [campaign {title}]. People say: {said}.", campaign,
             {"product": str(rng.choice(PRODUCTS))}, (drop,), at),
        _row("impact", f"impact-{key}", f"Impact on the outcome in the week of {day}: effect -{effect}.", None,
             {}, (drop, impact), at + timedelta(days=2)),
        _row("proposal", f"action-{key}", f"Proposed action: {rng.choice(ACTIONS)}. Decision: allow, executed.", None,
             {"agent_id": "monitor"}, (impact, action), at + timedelta(days=3)),
        _row("pattern", f"outcome-{key}", f"Outcome four weeks later: conversions {gain:+d}.", None,
             {}, (action,), at + timedelta(days=31)),
    ]  # fmt: skip
    return rows, [row["memory_id"] for row in rows]


def _other(rng: np.random.Generator, number: int, named: list[str]) -> dict[str, Any]:
    """A memory that answers nothing: effects, actions and talk of other things, some of it naming a campaign."""
    day = (START + timedelta(days=int(rng.integers(300)))).date()
    text = (
        f"Impact on the outcome in the week of {day}: effect -{rng.integers(200, 4000)}.",
        f"Proposed action: {rng.choice(ACTIONS)}. Decision: block, not executed.",
        f"Outcome four weeks later: conversions {rng.integers(-300, 1500):+d}.",
        f"Meeting notes: {rng.choice(named)} needs new pictures for the {rng.choice(PRODUCTS)}.",
        f"What did we learn about {rng.choice(TOPICS[rng.integers(len(TOPICS))][1])} last year? Nothing new.",
    )[number % 5]
    events = (f"event-other-{number // 5}",) if number % 5 < 3 else ()
    return _row("note", f"other-{number}", text, None, {}, events, START)


def _row(
    kind: str,
    key: str,
    text: str,
    campaign: str | None,
    attributes: dict[str, Any],
    events: tuple[str, ...] = (),
    at: datetime = START,
) -> dict[str, Any]:
    given = {
        "memory_id": f"m-{key}",
        "version_id": f"m-{key}@1",
        "kind": kind,
        "source": "simulated",
        "source_key": key,
        "text": text,
        "context": text,
        "campaign_id": campaign,
        "valid_from": at,
        "recorded_at": at,
        "attributes": json.dumps(attributes),
        "provenance": json.dumps({"key": key, "events": list(events)}),
    }
    return dict.fromkeys(SCHEMA) | given
