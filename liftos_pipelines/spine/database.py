"""The spine: events, deliveries, the ledger and approvals, in SQLite (WAL) or PostgreSQL.

Events are appended once and handled at least once; `handled` makes their effects happen once. The ledger is a
hash chain a client; approvals are bound to the exact arguments and policy version they were asked for. Each part
stands in a file of its own; `Spine` is what is opened.
"""

from __future__ import annotations

from liftos_pipelines.spine.approvals import APPROVAL_LIFETIME, Approval, ApprovalStore
from liftos_pipelines.spine.budgets import BudgetStore
from liftos_pipelines.spine.claims import ClaimStore
from liftos_pipelines.spine.connection import SpineBusy, SpineError, SpineUnwritable, migrate
from liftos_pipelines.spine.deliveries import ATTEMPTS
from liftos_pipelines.spine.delivery_rows import DeadLetter, Waiting
from liftos_pipelines.spine.events import Event, NewEvent, UnreadableEvent, parse_payload
from liftos_pipelines.spine.leases import LeaseStore
from liftos_pipelines.spine.ledger_store import LedgerMoved, LedgerNote
from liftos_pipelines.spine.outbox import OutboxStore

__all__ = [
    "APPROVAL_LIFETIME",
    "ATTEMPTS",
    "Approval",
    "DeadLetter",
    "Event",
    "LedgerMoved",
    "LedgerNote",
    "NewEvent",
    "Spine",
    "SpineBusy",
    "SpineError",
    "SpineUnwritable",
    "UnreadableEvent",
    "Waiting",
    "migrate",
    "parse_payload",
]


class Spine(ApprovalStore, OutboxStore, ClaimStore, BudgetStore, LeaseStore):
    """The spine database, brought to the current schema when opened."""
