"""What brought a memory back: each channel's part of the score and its evidence. The parts sum to the score."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A channel's part of a hit's score, and what it rests on; `channel` "neighbour" is the turn beside."""

    channel: str
    share: float
    detail: str


def carried_by(evidence: tuple[Evidence, ...]) -> str:
    """All evidence in one line, the strongest first."""
    strong = sorted((one for one in evidence if one.share > 0), key=lambda one: -one.share)
    if not strong:
        return "carried by nothing: no evidence in any channel"
    told = "; ".join(f"{one.channel} {one.share:.2f}" + (f" ({one.detail})" if one.detail else "") for one in strong)
    silent = "" if any(one.channel == "words" for one in strong) else "; words 0 (none shared)"
    return f"carried by {strong[0].channel}: {told}{silent}"
