"""Requests for a person's consent, bound to the exact arguments and policy version they were asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from liftos_pipelines.clients import check_client_id
from liftos_pipelines.spine.connection import SpineError, utc
from liftos_pipelines.spine.events import EventStore, event_id_of
from liftos_pipelines.spine.ledger import canonical, digest
from liftos_pipelines.spine.ledger_store import LedgerStore
from liftos_pipelines.spine.payloads import AgentActionInitiated, ApprovalDenied, ApprovalGiven
from liftos_pipelines.spine.schema import ApprovalRow

APPROVAL_LIFETIME = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Approval:
    approval_id: str
    client: str
    action_id: str
    agent_id: str
    action: str
    arguments: str
    policy_version: str
    digest: str
    status: str
    requested_at: datetime
    expires_at: datetime
    approver: str | None
    reason: str | None


class ApprovalStore(EventStore, LedgerStore):
    """Asking for approvals and deciding them; a decision is chained to the ledger and raised as an event."""

    def request_approval(
        self,
        client: str,
        *,
        action_id: str,
        agent_id: str,
        action: str,
        arguments: dict[str, Any],
        policy_version: str,
        requested_at: datetime,
        lifetime: timedelta = APPROVAL_LIFETIME,
    ) -> Approval:
        """Ask for consent to exactly this action; asking again for the same returns the open request."""
        content = canonical(arguments)
        seal = digest(check_client_id(client), action_id, agent_id, action, content, policy_version)
        with self._session() as session:
            row = session.get(ApprovalRow, seal[:32])
            if row is None:
                row = ApprovalRow(
                    approval_id=seal[:32],
                    client=client,
                    action_id=action_id,
                    agent_id=agent_id,
                    action=action,
                    arguments=content,
                    policy_version=policy_version,
                    digest=seal,
                    status="open",
                    requested_at=utc(requested_at),
                    expires_at=utc(requested_at) + lifetime,
                )
                session.add(row)
                session.flush()
            return _approval(row)

    def approvals(self, client: str, status: str | None = None) -> list[Approval]:
        query = (
            select(ApprovalRow).where(ApprovalRow.client == check_client_id(client)).order_by(ApprovalRow.requested_at)
        )
        if status is not None:
            query = query.where(ApprovalRow.status == status)
        with self._session() as session:
            return [_approval(row) for row in session.scalars(query)]

    def decide_approval(
        self, client: str, approval_id: str, *, given: bool, approver: str, reason: str, now: datetime
    ) -> Approval:
        """Give or deny one open request, once, and raise the event that says so.

        Raises
        ------
        SpineError : unknown, already decided, or expired
        """
        with self._session() as session:
            # Two people who answer at the same moment take turns: the second finds it decided.
            if self._sqlite:
                session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            self.lock(session, f"approvals:{client}")
            row = session.get(ApprovalRow, approval_id)
            if row is None or row.client != check_client_id(client):
                raise SpineError(f"{client} has no approval request {approval_id}; see `liftos approvals {client}`")
            wanted = "given" if given else "denied"
            payload = (ApprovalGiven if given else ApprovalDenied)(
                approval_id=approval_id, action_id=row.action_id, approver=approver, reason=reason
            )
            # Decided, but killed before the event was out: the same answer again completes it.
            half_done = row.status == wanted and row.approver == approver
            half_done = half_done and self.event(event_id_of(client, payload)) is None
            if row.status != "open" and not half_done:
                raise SpineError(f"approval request {approval_id} was already {row.status}; it can be used once")
            if row.status == "open" and utc(now) > utc(row.expires_at):
                row.status = "expired"
                session.commit()
                raise SpineError(f"approval request {approval_id} expired at {row.expires_at:%Y-%m-%d %H:%M}")
            if row.status == "open":
                row.status, row.decided_at, row.approver, row.reason = wanted, utc(now), approver, reason
            session.flush()
            decided = _approval(row)
        self.append_ledger(
            client,
            f"approval_{decided.status}",
            approver,
            {
                "approval_id": approval_id,
                "action_id": decided.action_id,
                "digest": decided.digest,
                "reason": decided.reason,
            },
            idempotency_key=f"approval:{approval_id}",
        )
        # The answer belongs to the chain that led to the question.
        asked = self.find(client, AgentActionInitiated.type, decided.action_id)
        self.raise_event(
            client,
            payload,
            occurred_at=now,
            causation_id=asked.event_id if asked else None,
            correlation_id=asked.correlation_id if asked else None,
        )
        return decided


def _approval(row: ApprovalRow) -> Approval:
    values = {name: getattr(row, name) for name in Approval.__dataclass_fields__}
    values["requested_at"], values["expires_at"] = utc(row.requested_at), utc(row.expires_at)
    return Approval(**values)
