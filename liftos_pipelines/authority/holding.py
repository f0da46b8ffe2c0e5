"""What a call that policy lets through still needs: its targets, its money, and people's consent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from liftos_pipelines.authority.agents import RegisteredAgent
from liftos_pipelines.authority.requests import ActionRequest
from liftos_pipelines.authority.settings import GateSettings
from liftos_pipelines.modules.agentic.conditions import Call
from liftos_pipelines.modules.agentic.coordination import Intent, targets_of
from liftos_pipelines.modules.agentic.engine import Verdict
from liftos_pipelines.modules.agentic.facts import ApprovalNeed, Draw
from liftos_pipelines.spine.approvals import (
    Approval,
    ApprovalClosed,
    ApprovalForSomethingElse,
    ApprovalNotFound,
    Sealed,
)
from liftos_pipelines.spine.budgets import PotDraw, Refusal, Reservation, micro
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.leases import Lease

NAMED = {
    ApprovalNotFound: "approval_unknown",
    ApprovalForSomethingElse: "approval_for_something_else",
    ApprovalClosed: "approval_closed",
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    request: ActionRequest
    agent: RegisteredAgent
    call: Call
    sealed: Sealed
    decision_id: str
    draws: Sequence[Draw]


@dataclass(frozen=True, kw_only=True)
class Held:
    """What was got for a call, with the verdict that came of it. `waits`: for another agent; `refusal`: of a budget."""

    verdict: Verdict | None = None
    waits: bool = False
    reserved: Mapping[str, int] = field(default_factory=dict)
    tokens: Mapping[str, int] = field(default_factory=dict)
    lease: Lease | None = None
    lease_until: str | None = None
    approval_id: str | None = None
    refusal: Refusal | None = None


def hold(
    session: Session, spine: Spine, wanted: Wanted, verdict: Verdict, settings: GateSettings, now: datetime
) -> Held:
    """Everything that the call needs, or nothing of it: what is refused or still waits for a person keeps nothing."""
    connection, request = session.connection(), wanted.request
    try:
        draws = pot_draws(wanted.draws, wanted.call)
    except ValueError as error:
        return Held(verdict=_denied(verdict, "amount_unknown", str(error)))
    asked_for = verdict.decision == "needs_approval"
    people = asked_for or any(not draw.hard for draw in draws)
    standing = spine.standing_within(connection, wanted.sealed, now) if people else None
    consented = standing is not None and standing.status == "given"
    if request.approval_id is not None and not (standing and standing.approval_id == request.approval_id):
        consented = True  # claimed: it is looked at below, and named where it is for something else
    begun = connection.begin_nested()
    lease = take_targets(connection, spine, wanted, settings, now)
    if lease is not None and not lease.granted:
        said = lease.answer
        if said.outcome != "ordered":
            begun.commit()
            name = "lease_duplicate" if said.outcome == "refused_duplicate" else "lease_conflict"
            return Held(verdict=_denied(verdict, name, said.reason), lease=lease)
        if consented or not asked_for:
            begun.commit()
            return Held(verdict=_denied(verdict, "lease_ordered", said.reason), waits=True, lease=lease)
    got: Reservation | Refusal | None = None
    if draws:
        got = _reserve(connection, spine, wanted, draws, settings, now, consented)
    if isinstance(got, Refusal):
        begun.rollback()
        # Once more, so that the pot remembers when it first refused.
        got = _reserve(connection, spine, wanted, draws, settings, now, consented)
        assert isinstance(got, Refusal)
        if got.hard:
            return Held(verdict=_denied(verdict, "budget_exhausted", str(got)), refusal=got)
        asked = Verdict(
            decision="needs_approval",
            policy="budget",
            reason=str(got),
            policy_version=verdict.policy_version,
            approval=verdict.approval or ApprovalNeed(),
        )
        return _ask(connection, spine, wanted, asked, settings, now)
    if verdict.decision == "deny":  # the engine's own count refused, the spine's does not
        begun.rollback()
        return Held(verdict=verdict)
    used: Approval | None = None
    if asked_for or (consented and _overdraws(draws, spine, connection, wanted)):
        if not consented:
            begun.rollback()
            return _ask(connection, spine, wanted, verdict, settings, now)
        approval_id = request.approval_id or (standing.approval_id if standing else "")
        try:
            used = spine.consume_within(connection, wanted.sealed, approval_id, decision_id=wanted.decision_id, now=now)
        except tuple(NAMED) as error:
            begun.rollback()
            return Held(verdict=_denied(verdict, NAMED[type(error)], str(error)), approval_id=approval_id)
    begun.commit()
    allowed = verdict
    if used is not None:
        who = f"approved by {used.approver}" + (f" and {used.quorum - 1} more" if used.quorum > 1 else "")
        allowed = replace(verdict, decision="allow", reason=f"{who}: {verdict.reason}", approval=None)
    return Held(
        verdict=allowed,
        reserved=got.pots if isinstance(got, Reservation) else {},
        tokens=lease.tokens if lease else {},
        lease=lease,
        lease_until=lease.until.isoformat() if lease and lease.until else None,
        approval_id=used.approval_id if used else None,
    )


def pot_draws(draws: Sequence[Draw], call: Call) -> list[PotDraw]:
    """What a call takes from each of its budgets, in micro-units.

    Raises
    ------
    ValueError : there are budgets, and the amount that the call moves is not stated as a number
    """
    if draws and call.amount is None and call.spec is not None:
        raise ValueError(f"argument {call.spec.amount!r} of {call.tool} states no amount, so no budget can bear it")
    return [
        PotDraw(
            pot=f"{draw.scope}:{draw.subject}:{draw.period}:{draw.span}{'' if draw.hard else ':soft'}"[:256],
            limit=micro(draw.limit, down=True),
            amount=micro(draw.amount),
            hard=draw.hard,
        )
        for draw in draws
    ]


def take_targets(
    connection: Connection, spine: Spine, wanted: Wanted, settings: GateSettings, now: datetime
) -> Lease | None:
    """Leases on what a writing call changes; None for one that changes nothing that has a name."""
    call, request = wanted.call, wanted.request
    if call.spec is not None and not call.spec.writes:
        return None
    targets = request.targets if request.targets is not None else targets_of(call.tool, call.arguments)
    if not targets:
        return None
    intent = Intent(
        decision_id=wanted.decision_id,
        agent_id=request.agent_id,
        run_id=request.run_id,
        tool=call.tool,
        arguments=dict(call.arguments),
        incident=request.incident,
        rank=wanted.agent.rank,
        at=now,
    )
    return spine.take_within(connection, wanted.sealed.client, intent, targets, now=now, lifetime=settings.leased_for)


def _reserve(
    connection: Connection,
    spine: Spine,
    wanted: Wanted,
    draws: Sequence[PotDraw],
    settings: GateSettings,
    now: datetime,
    consented: bool,
) -> Reservation | Refusal:
    return spine.reserve_within(
        connection,
        wanted.sealed.client,
        wanted.decision_id,
        wanted.request.agent_id,
        draws,
        now=now,
        lifetime=settings.reserved_for,
        consented=consented,
    )


def _overdraws(draws: Sequence[PotDraw], spine: Spine, connection: Connection, wanted: Wanted) -> bool:
    """Whether a soft budget is overdrawn by this call, so that the consent to it is used."""
    soft = [draw for draw in draws if not draw.hard]
    if not soft:
        return False
    pots = spine.pots_within(connection, wanted.sealed.client, [draw.pot for draw in soft])
    return any(pot.settled + pot.reserved + pot.overrun > pot.limit for pot in pots.values())


def _ask(
    connection: Connection, spine: Spine, wanted: Wanted, verdict: Verdict, settings: GateSettings, now: datetime
) -> Held:
    """Ask people for consent to exactly this call."""
    need = verdict.approval or ApprovalNeed()
    barred: list[Any] = []
    if settings.four_eyes or need.quorum > 1 or getattr(need, "four_eyes", False):
        barred = [wanted.request.requested_by, wanted.request.agent_id, wanted.agent.owner]
    asked = spine.ask_within(
        connection,
        wanted.sealed,
        action_id=wanted.decision_id,
        now=now,
        quorum=need.quorum,
        approvers=need.approvers,
        barred=[name for name in barred if name],
        lifetime=need.expires,
    )
    if asked.status != "open" or asked.expires_at <= now:
        status = "expired" if asked.status == "open" else asked.status
        why = f" by {asked.approver}: {asked.reason}" if status == "denied" else ""
        said = f"approval {asked.approval_id} was {status}{why}; another try is another request"
        return Held(verdict=_denied(verdict, f"approval_{status}", said), approval_id=asked.approval_id)
    return Held(verdict=verdict, approval_id=asked.approval_id)


def _denied(verdict: Verdict, policy: str, reason: str) -> Verdict:
    return Verdict(decision="deny", policy=policy, reason=reason, policy_version=verdict.policy_version)
