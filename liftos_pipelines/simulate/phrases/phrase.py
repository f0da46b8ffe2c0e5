"""What one language offers to write mentions with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """Sentences with the slots {brand}, {product} and {feature}; openers and tails fit before and after any.

    `delivery` is what people write in the incident: parcels late, lost, unanswered.
    """

    language: str
    but: str
    openers: tuple[str, ...]
    tails: tuple[str, ...]
    features: tuple[str, ...]
    positive: tuple[str, ...]
    neutral: tuple[str, ...]
    negative: tuple[str, ...]
    delivery: tuple[str, ...]
