"""Moves of agent versions between stages, written into the ledger: by a person's command or a decided rollout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from liftos_pipelines.assets.agentic_ledger import state_of
from liftos_pipelines.modules.agentic.lifecycle import TRANSITION, ForbiddenTransition, check_move
from liftos_pipelines.modules.agentic.registry import RESPONDER
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.spine.database import LedgerMoved, LedgerNote, Spine, SpineError

AGAIN = 20
"""Times that a move is judged anew because the ledger moved meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Transition:
    """What came of a move: `moved` is False where the version stood there already."""

    agent_id: str
    version: str
    from_stage: str
    to_stage: str
    moved: bool
    entry: str | None
    """The ledger entry, as `position:kind`."""


def transition(
    spine: Spine,
    client: str,
    agent_id: str,
    version: str,
    to_stage: str,
    *,
    by: str,
    reason: str,
    evidence: Mapping[str, Any] | None = None,
    registered: str | None = None,
) -> Transition:
    """Move an agent's version to a stage; said twice, it is one entry.

    Parameters
    ----------
    registered : the stage that `sources/agents` gives the version; None reads it there
    evidence : what the move rests on, as it shall stand in the ledger; a decided rollout must bring it

    Raises
    ------
    ForbiddenTransition : an agent or version that is not registered, a stage that does not exist, or no way there
    ValueError : nobody named, or no reason
    """
    if not by.strip() or not reason.strip():
        raise ValueError(f"agent {agent_id} {version}: a move needs who decides it and why; both stand in the ledger")
    if agent_id == RESPONDER:
        raise ForbiddenTransition(f"agent {RESPONDER} is built in; stop it with `liftos agents stop` instead")
    begins = registered or registered_version(client, agent_id, version)[1]
    for _ in range(AGAIN):
        state = state_of(spine, client)
        moves = state.moves.get((agent_id, version), ())
        stage = moves[-1].to_stage if moves else begins
        if stage == to_stage:
            return Transition(
                agent_id=agent_id, version=version, from_stage=stage, to_stage=to_stage, moved=False, entry=None
            )
        check_move(agent_id, version, stage, to_stage)
        body = {
            "agent_id": agent_id,
            "version": version,
            "from": stage,
            "to": to_stage,
            "by": by,
            "reason": reason,
            "evidence": dict(evidence or {}),
        }
        note = LedgerNote(TRANSITION, by, body, f"transition:{agent_id}:{version}:{len(moves) + 1}:{to_stage}")
        try:
            (entry,) = spine.append_ledger_many(client, [note], read_until=state.position)
        except LedgerMoved:
            continue
        return Transition(
            agent_id=agent_id,
            version=version,
            from_stage=stage,
            to_stage=to_stage,
            moved=True,
            entry=f"{entry.position}:{entry.kind}",
        )
    raise SpineError(f"ledger of {client}: it moved {AGAIN} times while agent {agent_id} was moved; say it again")


def registered_version(client: str, agent_id: str, version: str | None = None) -> tuple[str, str]:
    """The version that `sources/agents` registers for an agent, and the stage it gives it.

    Raises
    ------
    ForbiddenTransition : the agent, or that version of it, is not registered; naming what is
    """
    agents = LakeResource().get().read(client, "sources/agents")
    known = {
        name: (str(own), str(stage)) for name, own, stage in agents.select("agent_id", "version", "stage").iter_rows()
    }
    if agent_id not in known:
        names = ", ".join(sorted(known)) or "none"
        raise ForbiddenTransition(f"agent {agent_id} is not registered with {client}; registered: {names}")
    own, stage = known[agent_id]
    if version not in (None, own):
        raise ForbiddenTransition(f"agent {agent_id} is registered in version {own}, not {version}; move that one")
    return own, stage
