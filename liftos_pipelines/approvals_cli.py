"""`liftos approvals`: actions that wait for people, and their words."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from liftos_pipelines.clients import load_client

if TYPE_CHECKING:
    from liftos_pipelines.spine.approvals import Approval

approvals_app = typer.Typer(no_args_is_help=True, help="Actions that wait for a person.")
console = Console(width=None if sys.stdout.isatty() else 160)
RESPONDER = "liftos.responder"
Client = Annotated[str, typer.Argument(help="Client id, the name of its folder")]
ApprovalId = Annotated[str, typer.Argument(help="Id of the request, as listed; its first characters are enough")]
By = Annotated[str, typer.Option("--by", help="Who decides; it stands in the ledger")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stands in the ledger")]
Roles = Annotated[
    list[str] | None, typer.Option("--role", help="A role of whoever decides, where the policy names roles")
]


class Status(StrEnum):
    open = "open"
    given = "given"
    denied = "denied"
    expired = "expired"
    used = "used"


@approvals_app.command("list")
def approvals_list(
    client: Client,
    status: Annotated[Status | None, typer.Option(help="Only these")] = None,
) -> None:
    """Requests for approval, oldest first: open, given, denied, expired or used."""
    from liftos_pipelines.resources.spine import open_spine

    load_client(client)
    spine = open_spine()
    requests = spine.approvals(client, status.value if status else None)
    for request in requests:
        voted = f" {len(spine.votes(request.approval_id))} of {request.quorum}" if request.quorum > 1 else ""
        until = f" (until {request.expires_at:%Y-%m-%d %H:%M})" if request.status in ("open", "given") else ""
        _say(
            f"{request.requested_at:%Y-%m-%d %H:%M} {request.approval_id[:12]} {request.status:<8}{voted} "
            f"{request.action} by {request.agent_id} {request.arguments}{until}"
        )
    if not requests:
        _say(f"{client} has no {f'{status.value} ' if status else ''}approval request")
    waiting = next((each.approval_id[:12] for each in requests if each.status == "open"), None)
    if waiting and console.is_terminal:
        _say(f"Look at one: liftos approvals show {client} {waiting}; answer: give or deny, with --by YOU")


@approvals_app.command("show")
def approvals_show(client: Client, approval_id: ApprovalId) -> None:
    """One request with everything that consent to it is bound to, and what people said so far."""
    found = _find(client, approval_id)
    _say(f"{found.approval_id} is {found.status}")
    bound = {
        "agent": f"{found.agent_id}{f', version {found.agent_version}' if found.agent_version else ''}",
        "action": found.action,
        "subject": found.subject or "none",
        "policy version": found.policy_version,
        "seal": found.digest,
        "asked": f"{found.requested_at:%Y-%m-%d %H:%M}, until {found.expires_at:%Y-%m-%d %H:%M} UTC",
        "people": f"{found.quorum} of {', '.join(found.approvers) or 'anybody'}"
        + (f", but not {', '.join(found.barred)}" if found.barred else ""),
    }
    for name, value in bound.items():
        _say(f"  {name:<15}{value}")
    for line in json.dumps(json.loads(found.arguments), indent=2, ensure_ascii=False).splitlines():
        _say(f"  {line}")
    from liftos_pipelines.resources.spine import open_spine

    for vote in open_spine().votes(found.approval_id):
        _say(
            f"  {vote.voted_at:%Y-%m-%d %H:%M} {vote.name} {'gives' if vote.given else 'denies'}: {vote.reason or '-'}"
        )
    if found.consumed_at:
        _say(f"  used {found.consumed_at:%Y-%m-%d %H:%M} by decision {found.consumed_by}")


@approvals_app.command("give")
def approvals_give(client: Client, approval_id: ApprovalId, by: By, reason: Reason = "", role: Roles = None) -> None:
    """Consent to one action, once."""
    _decide(client, approval_id, by, reason, role, given=True)


@approvals_app.command("deny")
def approvals_deny(client: Client, approval_id: ApprovalId, by: By, reason: Reason = "", role: Roles = None) -> None:
    """Refuse one action; one denial closes the request."""
    _decide(client, approval_id, by, reason, role, given=False)


def _decide(client: str, approval_id: str, by: str, reason: str, roles: list[str] | None, *, given: bool) -> None:
    from liftos_pipelines.resources.spine import open_spine

    found = _find(client, approval_id)
    decided = open_spine().decide_approval(
        client, found.approval_id, given=given, approver=by, reason=reason, now=datetime.now(UTC), roles=roles or ()
    )
    more = ""
    if decided.status == "open":
        said = len(open_spine().votes(decided.approval_id))
        more = f": {said} of {decided.quorum} people have agreed"
    _say(f"approval request {decided.approval_id} is {decided.status}{more}")
    if decided.status == "given":
        once = f"{decided.agent_id} may do it once, when it asks the same again"
        runs = f"`liftos run {client} --select agentic/proposals`, or `liftos up` where it runs, carries it out"
        _say(runs if decided.agent_id == RESPONDER else once)


def _find(client: str, approval_id: str) -> Approval:
    """The request with this id, or the only one that begins so."""
    from liftos_pipelines.resources.spine import open_spine
    from liftos_pipelines.spine.approvals import ApprovalNotFound

    load_client(client)
    found = [each for each in open_spine().approvals(client) if each.approval_id.startswith(approval_id)]
    if len(found) != 1 or len(approval_id) < 6:
        see = f"see `liftos approvals list {client}`"
        if len(approval_id) < 6 and found:
            raise ApprovalNotFound(f"{approval_id} is too short to be sure: give six characters or more; {see}")
        many = f"{len(found)} approval requests that begin with" if len(found) > 1 else "no approval request"
        raise ApprovalNotFound(f"{client} has {many} {approval_id}; {see}")
    return found[0]


def _say(text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
