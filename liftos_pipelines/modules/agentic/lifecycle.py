"""An agent version's way from draft to live and out again: which moves there are, and where it stands now.

`agents.yaml` says where a version begins; every later move is an `agent_transition` entry of the ledger and overlays
it. Moves belong to one version: a version that the registry names anew begins at its registered stage again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

TRANSITION = "agent_transition"
DRAFT, REVIEW, SHADOW, CANARY, LIVE = "draft", "review", "shadow", "canary", "live"
SUSPENDED, RETIRED = "suspended", "retired"
STAGES = (DRAFT, REVIEW, SHADOW, CANARY, LIVE, SUSPENDED, RETIRED)
ALLOWED: Mapping[str, tuple[str, ...]] = {
    DRAFT: (REVIEW, SHADOW, RETIRED),
    REVIEW: (DRAFT, SHADOW, RETIRED),
    SHADOW: (CANARY, SUSPENDED, RETIRED),
    CANARY: (LIVE, SHADOW, SUSPENDED, RETIRED),
    LIVE: (CANARY, SHADOW, SUSPENDED, RETIRED),
    SUSPENDED: (SHADOW, RETIRED),
    RETIRED: (),
}
"""From each stage, where a version may go. What was suspended shows itself in the shadow first; retired is for good."""
NEXT = {DRAFT: SHADOW, REVIEW: SHADOW, SHADOW: CANARY, CANARY: LIVE}
"""What `promote` means at each stage."""
BARRED = (SUSPENDED, RETIRED)
"""Stages in which a version decides nothing."""


class ForbiddenTransition(ValueError):
    """A move that the lifecycle does not have; the message names the version, its stage and the moves there are."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """One transition as the ledger holds it. `number` counts a version's moves from 1."""

    agent_id: str
    version: str
    from_stage: str
    to_stage: str
    by: str
    reason: str
    at: datetime
    number: int
    evidence: Mapping[str, Any]


Key = tuple[str, str]
"""Agent and version."""


def check_move(agent_id: str, version: str, from_stage: str, to_stage: str) -> None:
    """Refuse what the lifecycle does not allow.

    Raises
    ------
    ForbiddenTransition : an unknown stage, or no way from the one to the other
    """
    who = f"agent {agent_id} {version}"
    for stage in (from_stage, to_stage):
        if stage not in ALLOWED:
            raise ForbiddenTransition(f'{who}: "{stage}" is no stage; stages: {", ".join(STAGES)}')
    if to_stage not in ALLOWED[from_stage]:
        ways = ", ".join(ALLOWED[from_stage]) or "nowhere: it is retired for good, register a new version"
        raise ForbiddenTransition(f"{who} is {from_stage}; it cannot become {to_stage}, from here it may go to: {ways}")


def read_move(body: Mapping[str, Any], at: datetime, number: int) -> Move:
    """A move from a ledger entry's body."""
    evidence = body.get("evidence")
    return Move(
        agent_id=str(body["agent_id"]),
        version=str(body["version"]),
        from_stage=str(body["from"]),
        to_stage=str(body["to"]),
        by=str(body["by"]),
        reason=str(body["reason"]),
        at=at,
        number=number,
        evidence=evidence if isinstance(evidence, Mapping) else {},
    )


def stage_of(moves: Mapping[Key, tuple[Move, ...]], agent_id: str, version: str, registered: str) -> str:
    """Where a version stands: its last move, else what the registry says."""
    own = moves.get((agent_id, version))
    return own[-1].to_stage if own else registered


def with_stages(agents: pl.DataFrame, moves: Mapping[Key, tuple[Move, ...]]) -> pl.DataFrame:
    """The registry with each version's stage as it is now; the column `stage` of `sources/agents` is overlaid."""
    if agents.is_empty() or not moves:
        return agents
    stages = [stage_of(moves, *row) for row in agents.select("agent_id", "version", "stage").iter_rows()]
    return agents.with_columns(pl.Series("stage", stages, dtype=pl.String))


def barred_between(
    moves: Mapping[Key, tuple[Move, ...]], agent_id: str, version: str
) -> list[tuple[Move, datetime | None]]:
    """The spans in which a version was suspended or retired by a move: the move, and when a later one ended it."""
    own = moves.get((agent_id, version), ())
    ends = [*(move.at for move in own[1:]), None]
    return [(move, end) for move, end in zip(own, ends[: len(own)], strict=True) if move.to_stage in BARRED]
