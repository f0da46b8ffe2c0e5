"""Where and when the demo world plays: its calendar, its (invented) brand and campaigns, its random streams.

The calendar is fixed, so that a seed gives the same world on any day: 104 weeks that begin on Mondays, from
2024-01-01 to 2025-12-28. "Now" in this world is the midnight after its last day.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np

FIRST_DAY = date(2024, 1, 1)
WEEKS = 104
LAST_DAY = FIRST_DAY + timedelta(days=7 * WEEKS - 1)
NOW = datetime(2025, 12, 29, tzinfo=UTC)

WEEK_STARTS: tuple[date, ...] = tuple(FIRST_DAY + timedelta(weeks=week) for week in range(WEEKS))
DAYS: tuple[date, ...] = tuple(FIRST_DAY + timedelta(days=day) for day in range(7 * WEEKS))

BRAND = "Norvik"
BRAND_ALIASES = ("Norvik Outdoor",)
BRAND_DOMAIN = "norvik.example"
COMPETITORS: dict[str, str] = {
    "Altura Peak": "alturapeak.example",
    "Brightpine": "brightpine.example",
    "Trailmark": "trailmark.example",
    "Kestrel & Co": "kestrel-and-co.example",
    "Fjellgear": "fjellgear.example",
}
PRODUCTS = ("Ridge jacket", "Trek backpack", "Drift tent", "Ember stove", "Tarn boots", "Loft sleeping bag")


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """One campaign. `mentions_a_day` is its mean volume while it runs, `net` its usual net sentiment."""

    campaign_id: str
    name: str
    channel: str
    start: date
    end: date
    objective: str
    mentions_a_day: float
    net: float


CAMPAIGNS: tuple[Campaign, ...] = (
    Campaign(
        campaign_id="c24-club",
        name="Trailhead Club",
        channel="newsletter",
        start=date(2024, 1, 1),
        end=date(2025, 12, 28),
        objective="loyalty",
        mentions_a_day=8,
        net=0.30,
    ),
    Campaign(
        campaign_id="c24-spring",
        name="Spring Trails 2024",
        channel="social",
        start=date(2024, 3, 4),
        end=date(2024, 5, 26),
        objective="consideration",
        mentions_a_day=11,
        net=0.22,
    ),
    Campaign(
        campaign_id="c24-summer",
        name="Summer Camp 2024",
        channel="tv",
        start=date(2024, 6, 3),
        end=date(2024, 8, 25),
        objective="awareness",
        mentions_a_day=12,
        net=0.25,
    ),
    Campaign(
        campaign_id="c24-winter",
        name="Winter Layers 2024",
        channel="tv",
        start=date(2024, 10, 7),
        end=date(2024, 12, 29),
        objective="conversion",
        mentions_a_day=12,
        net=0.15,
    ),
    Campaign(
        campaign_id="c25-spring",
        name="Spring Trails 2025",
        channel="social",
        start=date(2025, 3, 3),
        end=date(2025, 5, 25),
        objective="consideration",
        mentions_a_day=11,
        net=0.22,
    ),
    Campaign(
        campaign_id="c25-doorstep",
        name="Doorstep in Two Days",
        channel="video",
        start=date(2025, 4, 7),
        end=date(2025, 12, 14),
        objective="conversion",
        mentions_a_day=15,
        net=0.20,
    ),
    Campaign(
        campaign_id="c25-summer",
        name="Summer Camp 2025",
        channel="tv",
        start=date(2025, 6, 2),
        end=date(2025, 8, 31),
        objective="awareness",
        mentions_a_day=12,
        net=0.25,
    ),
    Campaign(
        campaign_id="c25-winter",
        name="Winter Layers 2025",
        channel="tv",
        start=date(2025, 10, 6),
        end=date(2025, 12, 28),
        objective="conversion",
        mentions_a_day=12,
        net=0.15,
    ),
    Campaign(
        campaign_id="c26-newyear",
        name="New Year Trails",
        channel="social",
        start=date(2025, 12, 22),
        end=date(2026, 2, 22),
        objective="consideration",
        mentions_a_day=11,
        net=0.22,
    ),
)
"""The last one has only just begun: it is the `campaign_started` that memory should find Spring Trails for."""

WITHOUT_CAMPAIGN_A_DAY, WITHOUT_CAMPAIGN_NET = 13.0, 0.20


@dataclass(frozen=True, kw_only=True)
class Incident:
    """The dated accident: parcels of one campaign arrive late or not at all; people say so and buy less."""

    campaign_id: str
    start: date
    weeks: int
    net_drop: float
    outcome_loss: tuple[float, ...]
    description: str

    @property
    def end(self) -> date:
        """The last day."""
        return self.start + timedelta(weeks=self.weeks) - timedelta(days=1)


INCIDENT = Incident(
    campaign_id="c25-doorstep",
    start=date(2025, 9, 8),
    weeks=3,
    net_drop=0.60,
    outcome_loss=(0.14, 0.14, 0.09),
    description="A carrier's sorting centre fails: parcels of Doorstep in Two Days arrive late or not at all.",
)


def stream(seed: int, part: str) -> np.random.Generator:
    """An independent random stream for one part of the world: a change in one part leaves the others alone."""
    return np.random.default_rng([seed, zlib.crc32(part.encode())])


def at(day: date, seconds: float) -> datetime:
    """A moment of a day, UTC, to the second."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=int(seconds))
