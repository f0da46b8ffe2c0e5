"""Requests for people's consent, bound to exactly what they were asked for, and used once.

The seal is the SHA-256 of the canonical JSON (RFC 8785) of client, agent, agent version, tool, arguments, subject and
policy version: one changed byte is another action, which this consent does not cover. A request may want the word of
several distinct people; one denial closes it. Consent is consumed in the transaction that lets the action run.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import rfc8785
from sqlalchemy import select
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from liftos_pipelines.clients import check_client_id
from liftos_pipelines.spine.connection import SpineError, utc
from liftos_pipelines.spine.events import EventStore, event_id_of
from liftos_pipelines.spine.ledger import canonical, digest
from liftos_pipelines.spine.ledger_store import LedgerNote, LedgerStore
from liftos_pipelines.spine.payloads import AgentActionInitiated, ApprovalDenied, ApprovalGiven
from liftos_pipelines.spine.schema import ApprovalRow
from liftos_pipelines.spine.schema_authority import VoteRow

APPROVAL_LIFETIME = timedelta(days=7)
APPROVALS: Any = ApprovalRow.__table__
ASKED_AT_ONCE = 500
ROLE = "role:"
"""Approvers that begin so are roles; a voter's roles are said by whoever knows the voter."""


class ApprovalNotFound(SpineError):
    """The client has no such request."""


class ApprovalClosed(SpineError):
    """The request was decided, used or has expired; it can be used once."""


class ApprovalForSomethingElse(SpineError):
    """The consent covers another action than the one it is presented for."""


class VoterRefused(SpineError):
    """This person may not vote on this request, or has voted."""


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """What consent is given to. `arguments` is a JSON object."""

    client: str
    agent_id: str
    agent_version: str | None
    tool: str
    arguments: Mapping[str, Any]
    subject: str | None
    policy_version: str

    @property
    def seal(self) -> str:
        """SHA-256 of the canonical JSON of all fields.

        Raises
        ------
        ValueError : an argument that JSON cannot hold without loss (NaN, a whole number beyond 2^53)
        """
        fields = {name: getattr(self, name) for name in Sealed.__dataclass_fields__}
        return hashlib.sha256(rfc8785.dumps(fields | {"arguments": dict(self.arguments)})).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Vote:
    name: str
    given: bool
    reason: str
    voted_at: datetime


@dataclass(frozen=True, kw_only=True)
class Approval:
    """A request: open, given, denied, expired, or used by the decision `consumed_by`."""

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
    agent_version: str | None = None
    subject: str | None = None
    quorum: int = 1
    approvers: tuple[str, ...] = ()
    barred: tuple[str, ...] = ()
    consumed_at: datetime | None = None
    consumed_by: str | None = None

    def covers(self, sealed: Sealed) -> str | None:
        """None where the consent is to this, else what differs, in words."""
        if self.digest == sealed.seal:
            return None
        pairs = {
            "client": (self.client, sealed.client),
            "agent": (self.agent_id, sealed.agent_id),
            "agent version": (self.agent_version, sealed.agent_version),
            "tool": (self.action, sealed.tool),
            "arguments": (_jcs(json.loads(self.arguments)), _jcs(dict(sealed.arguments))),
            "subject": (self.subject, sealed.subject),
            "policy version": (self.policy_version, sealed.policy_version),
        }
        differs = [name for name, (mine, theirs) in pairs.items() if mine != theirs]
        return f"it was asked for with another {', another '.join(differs) or 'seal'}"


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
        """Ask one person for consent to exactly this action; asking again for the same returns the same request.

        Sealed with the action's id and without subject or version: for actions that LiftOS proposes itself.
        """
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

    def ask_within(
        self,
        connection: Connection,
        sealed: Sealed,
        *,
        action_id: str,
        now: datetime,
        quorum: int = 1,
        approvers: Sequence[str] = (),
        barred: Sequence[str] = (),
        lifetime: timedelta | None = None,
    ) -> Approval:
        """Ask for consent to exactly this, in the caller's transaction; an open request for the same is returned.

        Parameters
        ----------
        action_id : names the asking, so that a second action like a used one is asked for anew
        quorum : distinct people whose word is needed
        approvers : who may vote, by name, glob or `role:`; nobody named: anybody
        barred : who may not, such as the requester and the agent's owner
        """
        waiting = self.standing_within(connection, sealed, now)
        if waiting is not None and waiting.status == "open":
            return waiting
        if quorum < 1:
            raise SpineError(f"a quorum of {quorum} is nobody's consent; it must be at least 1")
        approval_id = digest(sealed.seal, action_id)[:32]
        values = {
            "approval_id": approval_id,
            "client": check_client_id(sealed.client),
            "action_id": action_id,
            "agent_id": sealed.agent_id,
            "action": sealed.tool,
            "arguments": _jcs(dict(sealed.arguments)),
            "policy_version": sealed.policy_version,
            "digest": sealed.seal,
            "status": "open",
            "requested_at": utc(now),
            "expires_at": utc(now) + (lifetime or APPROVAL_LIFETIME),
            "agent_version": sealed.agent_version,
            "subject": sealed.subject,
            "quorum": quorum,
            "approvers": json.dumps(list(approvers)) if approvers else None,
            "barred": json.dumps(sorted({_same(name) for name in barred if name})) if barred else None,
        }
        connection.execute(self.insert(APPROVALS).values(**values).on_conflict_do_nothing())
        return _approval(self._approval_row(connection, sealed.client, approval_id))

    def standing_within(self, connection: Connection, sealed: Sealed, now: datetime) -> Approval | None:
        """The request for exactly this that was given, or else is open; None where neither is."""
        rows = connection.execute(
            select(APPROVALS)
            .where(
                APPROVALS.c.client == sealed.client,
                APPROVALS.c.digest == sealed.seal,
                APPROVALS.c.status.in_(["given", "open"]),
                APPROVALS.c.expires_at > utc(now),
            )
            .order_by(APPROVALS.c.status, APPROVALS.c.requested_at)
        ).all()
        return _approval(rows[0]) if rows else None

    def consume_within(
        self, connection: Connection, sealed: Sealed, approval_id: str, *, decision_id: str, now: datetime
    ) -> Approval:
        """Use consent up for one decision, in the transaction that lets it run. The same decision may ask again.

        Raises
        ------
        ApprovalNotFound : the client has no such request
        ApprovalForSomethingElse : consent was to another action; the message says what differs
        ApprovalClosed : it is not given, has expired, or was used
        """
        row = self._approval_row(connection, sealed.client, approval_id)
        if row is None:
            raise ApprovalNotFound(f"{sealed.client} has no approval request {approval_id}")
        found = _approval(row)
        differs = found.covers(sealed)
        if differs is not None:
            raise ApprovalForSomethingElse(f"approval {approval_id} is for something else: {differs}")
        return self._use(connection, found, decision_id, now)

    def consume_approval(
        self, client: str, approval_id: str, *, seal: str, decision_id: str, now: datetime
    ) -> Approval:
        """`use_within` in a transaction of its own."""
        return self.transaction(
            lambda connection: self.use_within(
                connection, client, approval_id, seal=seal, decision_id=decision_id, now=now
            )
        )

    def use_within(
        self, connection: Connection, client: str, approval_id: str, *, seal: str, decision_id: str, now: datetime
    ) -> Approval:
        """Use up consent that was asked for by `request_approval`: once, and only under its own seal.

        Raises
        ------
        ApprovalNotFound, ApprovalForSomethingElse, ApprovalClosed : as `consume_within`
        """
        row = self._approval_row(connection, client, approval_id)
        if row is None:
            raise ApprovalNotFound(f"{client} has no approval request {approval_id}")
        found = _approval(row)
        if found.digest != seal:
            raise ApprovalForSomethingElse(f"approval {approval_id} is for something else: its seal differs")
        return self._use(connection, found, decision_id, now)

    def lapse_within(self, connection: Connection, client: str, approval_id: str, reason: str, now: datetime) -> bool:
        """Close a request that nobody used and that covers nothing any more; False for one that is closed already."""
        unused = APPROVALS.c.status.in_(["open", "given"])
        there = (APPROVALS.c.client == client) & (APPROVALS.c.approval_id == approval_id) & unused
        lapsed = connection.execute(APPROVALS.update().where(there).values(status="expired", reason=reason))
        return bool(lapsed.rowcount)

    def approvals_for(self, client: str, action_ids: Sequence[str]) -> dict[str, list[Approval]]:
        """Requests that were made for these actions, by action, oldest first."""
        found: dict[str, list[Approval]] = {}
        with self.reading() as connection:
            for start in range(0, len(action_ids), ASKED_AT_ONCE):
                wanted = APPROVALS.c.action_id.in_(action_ids[start : start + ASKED_AT_ONCE])
                query = select(APPROVALS).where(APPROVALS.c.client == client, wanted)
                for row in connection.execute(query.order_by(APPROVALS.c.requested_at)):
                    found.setdefault(row.action_id, []).append(_approval(row))
        return found

    def approval(self, client: str, approval_id: str) -> Approval | None:
        with self.reading() as connection:
            row = self._approval_row(connection, check_client_id(client), approval_id)
        return None if row is None else _approval(row)

    def votes(self, approval_id: str) -> list[Vote]:
        """What people said so far, in their order."""
        query = select(VoteRow).where(VoteRow.approval_id == approval_id).order_by(VoteRow.voted_at, VoteRow.voter)
        with self._session() as session:
            return [
                Vote(name=row.name, given=row.given, reason=row.reason, voted_at=utc(row.voted_at))
                for row in session.scalars(query)
            ]

    def approvals(self, client: str, status: str | None = None) -> list[Approval]:
        query = (
            select(ApprovalRow).where(ApprovalRow.client == check_client_id(client)).order_by(ApprovalRow.requested_at)
        )
        if status is not None:
            query = query.where(ApprovalRow.status == status)
        with self._session() as session:
            return [_approval(row) for row in session.scalars(query)]

    def decide_approval(
        self,
        client: str,
        approval_id: str,
        *,
        given: bool,
        approver: str,
        reason: str,
        now: datetime,
        roles: Collection[str] = (),
    ) -> Approval:
        """One person's word on an open request; with the last word of the quorum, or a denial, it is decided and the
        event that says so is raised. Until then it stays open.

        Parameters
        ----------
        roles : of the approver, where the request names roles

        Raises
        ------
        ApprovalNotFound, ApprovalClosed : unknown; already decided, used or expired
        VoterRefused : not among those who may vote, barred, or heard already
        """
        if not approver.strip():
            raise VoterRefused("an answer needs the name of the person who gives it")
        with self._session() as session:
            # Two people who answer at the same moment take turns: the second finds it decided.
            if self._sqlite:
                session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            self.lock(session, f"approvals:{client}")
            row = session.get(ApprovalRow, approval_id)
            if row is None or row.client != check_client_id(client):
                raise ApprovalNotFound(
                    f"{client} has no approval request {approval_id}; see `liftos approvals {client}`"
                )
            wanted = "given" if given else "denied"
            payload = (ApprovalGiven if given else ApprovalDenied)(
                approval_id=approval_id, action_id=row.action_id, approver=approver, reason=reason
            )
            # Decided, but killed before the event was out: the same answer again completes it.
            half_done = row.status == wanted and row.approver == approver
            half_done = half_done and self.event(event_id_of(client, payload)) is None
            if row.status != "open" and not half_done:
                raise ApprovalClosed(f"approval request {approval_id} was already {row.status}; it can be used once")
            if row.status == "open" and utc(now) > utc(row.expires_at):
                row.status = "expired"
                session.commit()
                raise ApprovalClosed(
                    f"approval request {approval_id} expired at {row.expires_at:%Y-%m-%d %H:%M}; ask for it anew"
                )
            notes = []
            if row.status == "open":
                notes = self._vote(session, row, given, approver, reason, now, roles)
            if row.status != "open":
                notes.append(_decision_note(row))
            self.append_within(session, client, notes)
            session.flush()
            decided = _approval(row)
        if decided.status == "open":
            return decided
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

    def _vote(
        self,
        session: Session,
        row: ApprovalRow,
        given: bool,
        approver: str,
        reason: str,
        now: datetime,
        roles: Collection[str],
    ) -> list[LedgerNote]:
        """Note one person's word; decides the request where it was the last one needed."""
        asked, voter = _approval(row), _same(approver)
        if voter in asked.barred:
            raise VoterRefused(
                f"{approver} asked for approval {row.approval_id} or owns its agent; somebody else must decide"
            )
        if asked.approvers and not _may_vote(voter, roles, asked.approvers):
            raise VoterRefused(
                f"{approver} is not among those who may decide on {row.approval_id}: {', '.join(asked.approvers)}"
            )
        if session.get(VoteRow, (row.approval_id, voter)) is not None:
            raise VoterRefused(
                f"{approver} has already voted on {row.approval_id}; {asked.quorum} different people are needed"
            )
        session.add(
            VoteRow(
                approval_id=row.approval_id,
                voter=voter,
                client=row.client,
                name=approver,
                given=given,
                reason=reason,
                voted_at=utc(now),
            )
        )
        session.flush()
        said = session.scalars(select(VoteRow.given).where(VoteRow.approval_id == row.approval_id)).all()
        if not given or sum(said) >= asked.quorum:
            row.status, row.decided_at = "given" if given else "denied", utc(now)
            row.approver, row.reason = approver, reason
        if asked.quorum == 1:
            return []
        body = {
            "approval_id": row.approval_id,
            "action_id": row.action_id,
            "digest": row.digest,
            "vote": "give" if given else "deny",
            "of": asked.quorum,
            "reason": reason,
        }
        return [LedgerNote("approval_vote", approver, body, f"approval:{row.approval_id}:vote:{voter}")]

    def _use(self, connection: Connection, found: Approval, decision_id: str, now: datetime) -> Approval:
        if found.status == "used" and found.consumed_by == decision_id:
            return found
        moment = utc(now)
        free = (
            (APPROVALS.c.approval_id == found.approval_id)
            & (APPROVALS.c.status == "given")
            & (APPROVALS.c.consumed_at.is_(None))
            & (APPROVALS.c.expires_at > moment)
        )
        used = connection.execute(
            APPROVALS.update().where(free).values(status="used", consumed_at=moment, consumed_by=decision_id)
        )
        if not used.rowcount:
            row = self._approval_row(connection, found.client, found.approval_id)
            why = f"is {row.status}" if row.status != "given" else f"expired at {utc(row.expires_at):%Y-%m-%d %H:%M}"
            if row.status == "used":
                why = f"was used by decision {row.consumed_by}"
            raise ApprovalClosed(f"approval {found.approval_id} {why}; it can be used once, while it holds")
        return _approval(self._approval_row(connection, found.client, found.approval_id))

    def _approval_row(self, connection: Connection, client: str, approval_id: str) -> Any:
        return connection.execute(
            select(APPROVALS).where(APPROVALS.c.client == client, APPROVALS.c.approval_id == approval_id)
        ).first()


def _decision_note(row: ApprovalRow) -> LedgerNote:
    body = {
        "approval_id": row.approval_id,
        "action_id": row.action_id,
        "digest": row.digest,
        "reason": row.reason,
    }
    return LedgerNote(f"approval_{row.status}", str(row.approver), body, f"approval:{row.approval_id}")


def _may_vote(voter: str, roles: Collection[str], approvers: Sequence[str]) -> bool:
    held = {_same(role) for role in roles}
    return any(
        _same(each.removeprefix(ROLE)) in held if each.startswith(ROLE) else fnmatchcase(voter, _same(each))
        for each in approvers
    )


def _same(name: str) -> str:
    """A person's name as it is compared: one person in two spellings is one person."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _jcs(value: Any) -> str:
    return rfc8785.dumps(value).decode()


def _approval(row: Any) -> Approval:
    values = {name: getattr(row, name) for name in Approval.__dataclass_fields__}
    for name in ("requested_at", "expires_at", "consumed_at"):
        values[name] = utc(values[name]) if values[name] else None
    for name in ("approvers", "barred"):
        values[name] = tuple(json.loads(values[name])) if values[name] else ()
    values["quorum"] = values["quorum"] or 1
    return Approval(**values)
