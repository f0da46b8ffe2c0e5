"""The outbox: what an asset has to tell is told only when its table is stored, all of it or nothing.

An asset stages events and handled marks; the IO manager writes them in one transaction after the table's commit. A
step that fails, or is repeated, leaves nothing behind: what it staged lives as long as the step does. Killed between
the table and the outbox, the reaction is asked for again and ends in the same rows and the same events.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Connection

from liftos_pipelines.spine.deliveries import DeliveryStore
from liftos_pipelines.spine.events import NewEvent, values_of
from liftos_pipelines.spine.payloads import Payload

SPINE = "spine"
"""Name of the resource that hands out the spine."""
log = logging.getLogger(__name__)


class Tells(Protocol):
    """What an asset may say: staged in a run, at once outside of one."""

    def raise_event(
        self,
        client: str,
        payload: Payload,
        *,
        occurred_at: datetime,
        causation_id: str | None = None,
        correlation_id: str | None = None,
    ) -> Any: ...

    def mark_handled(self, event_id: str, reaction: str) -> Any: ...


class OutboxStore(DeliveryStore):
    """Events and handled marks in one transaction."""

    def tell(self, events: Iterable[NewEvent], handled: Iterable[tuple[str, str]], *, seen: int | None = None) -> None:
        """Append the events and note the (event id, reaction) pairs as handled: all of it or nothing.

        Parameters
        ----------
        seen : how far the log went when the inputs were read; an event behind it stays unanswered
        """
        rows, pairs = [values_of(event) for event in events], list(handled)
        if not rows and not pairs:
            return

        def write(connection: Connection) -> None:
            late = self.behind(connection, [event_id for event_id, _ in pairs], seen) if seen is not None else set()
            if rows:
                self.append(connection, rows)
            self.settle(connection, [pair for pair in pairs if pair[0] not in late])

        self.transaction(write)


class Outbox:
    """What one step has staged so far."""

    def __init__(self, spine: OutboxStore, seen: int | None = None) -> None:
        self.spine, self.seen = spine, seen
        self.events: list[NewEvent] = []
        self.handled: list[tuple[str, str]] = []

    def raise_event(
        self,
        client: str,
        payload: Payload,
        *,
        occurred_at: datetime,
        causation_id: str | None = None,
        correlation_id: str | None = None,
    ) -> str:
        """Stage an event; its id is known at once."""
        event = NewEvent(
            client=client,
            payload=payload,
            occurred_at=occurred_at,
            causation_id=causation_id,
            correlation_id=correlation_id,
        )
        values_of(event)  # what could not be stored is refused here, where the asset can still be mended
        self.events.append(event)
        return event.event_id

    def mark_handled(self, event_id: str, reaction: str) -> None:
        """Stage that a reaction has dealt with an event."""
        self.handled.append((event_id, reaction))

    def commit(self) -> int:
        """Write what is staged in one transaction and begin anew; how much it was."""
        said = len(self.events) + len(self.handled)
        self.spine.tell(self.events, self.handled, seen=self.seen)
        self.events, self.handled = [], []
        return said


class Direct:
    """The outbox of an asset that is called outside of a run: everything is told at once."""

    def __init__(self, spine: OutboxStore) -> None:
        self.spine = spine

    def raise_event(
        self,
        client: str,
        payload: Payload,
        *,
        occurred_at: datetime,
        causation_id: str | None = None,
        correlation_id: str | None = None,
    ) -> str:
        raised = self.spine.raise_event(
            client, payload, occurred_at=occurred_at, causation_id=causation_id, correlation_id=correlation_id
        )
        return raised.event_id

    def mark_handled(self, event_id: str, reaction: str) -> None:
        self.spine.mark_handled(event_id, reaction)


# By the step's own context, which is made anew for each attempt and gone when the step is over.
_staged: WeakKeyDictionary[Any, Outbox] = WeakKeyDictionary()
_seen: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


def outbox(context: Any, spine: Any) -> Tells:
    """The outbox of the step that a Dagster context belongs to; the same one each time it is asked for in a step.

    Parameters
    ----------
    context : of the asset; one that belongs to no run tells everything at once
    spine : a `Spine`, or the resource that hands one out
    """
    opened: OutboxStore = spine.get() if hasattr(spine, "get") else spine
    step = _step_of(context)
    if step is None:
        return Direct(opened)
    box = _staged.get(step)
    if box is None:
        box = _staged[step] = Outbox(opened, _seen.get(step))
    return box


def note_reading(context: Any) -> None:
    """Remember how far the log goes before a step reads its first input; for IO managers.

    An event that comes later speaks of rows that the step has not read: it must not count as answered by it.
    """
    step = _step_of(context)
    if step is None or step in _seen or SPINE not in step.op_def.required_resource_keys:
        return
    resource = getattr(step.scoped_resources_builder.build({SPINE}), SPINE)
    opened: OutboxStore = resource.get() if hasattr(resource, "get") else resource
    _seen[step] = opened.newest_seq()


def commit_staged(context: Any) -> int:
    """Tell what a step has staged, after its table is stored; for IO managers, with the context of the output."""
    step = _step_of(context)
    box = None if step is None else _staged.get(step)
    if box is None:
        return 0
    said = box.commit()
    log.debug("told %d of %s", said, context.step_key)
    return said


def _step_of(context: Any) -> Any | None:
    # Dagster's contexts refuse, each with an error of its own, where there is no step.
    try:
        if hasattr(context, "get_step_execution_context"):
            return context.get_step_execution_context()
        return context.step_context
    except Exception:
        return None
