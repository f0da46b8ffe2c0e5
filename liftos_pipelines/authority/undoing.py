"""Taking back what was done: on targets that nobody else acts upon meanwhile, with the money given back.

A person's word takes it back, so no policy is asked; but an agent that is at work on the same target is not disturbed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from liftos_pipelines.modules.agentic.coordination import Intent, targets_of
from liftos_pipelines.resources.actions import Order
from liftos_pipelines.spine.connection import retry
from liftos_pipelines.spine.database import LedgerNote, Spine


def hold_for_undo(spine: Spine, order: Order, *, by: str, now: datetime) -> str | None:
    """Take the targets of an action that is to be taken back; None, or who is at work on them."""
    targets = targets_of(order.action, order.arguments)
    if not targets:
        return None
    intent = Intent(
        decision_id=_undo_of(order),
        agent_id=by[:128],
        run_id=order.action_id,
        tool=f"undo_{order.action}",
        arguments=dict(order.arguments),
        incident=None,
        rank=0,
        at=now,
    )
    lease = spine.take_leases(order.client, intent, targets, now=now)
    if lease.granted:
        return None
    let_go_of_undo(spine, order, now=now)
    return lease.answer.reason


def let_go_of_undo(spine: Spine, order: Order, *, now: datetime) -> None:
    """The action was not taken back: its targets are free."""
    spine.transaction(
        lambda connection: spine.end_within(connection, order.client, _undo_of(order), done=False, now=now)
    )


def write_undone(spine: Spine, order: Order, note: LedgerNote, *, now: datetime) -> None:
    """What was done, for the ledger; in the same transaction its money goes back to the budgets, its targets are free,
    and it is no longer remembered as done: it may be done again."""

    def attempt() -> None:
        with spine.session_writing(f"gate:{order.client}") as session:
            connection = session.connection()
            promised = spine.reservation_within(connection, order.client, order.action_id)
            body = note.body
            if spine.refund_within(connection, order.client, order.action_id, now=now) and promised is not None:
                body = body | {"refunded": promised.actual}
            for decision_id in (order.action_id, _undo_of(order)):
                spine.end_within(connection, order.client, decision_id, done=False, now=now)
            spine.append_within(session, order.client, [replace(note, body=body)])

    retry(attempt)


def _undo_of(order: Order) -> str:
    return f"undo-{order.action_id}"[:64]
