"""What each reaction still owes an answer: pending, waiting for another attempt, or given up with the reason.

An event becomes a row of `deliveries` when a reaction first looks for its type, and the row goes when the reaction
has handled it; so looking costs what is open, not what ever happened. Events of one correlation are answered in the
order of the log. A failure is counted, waits longer each time, and after `ATTEMPTS` is a dead letter: told with what
to do, out of the way of what follows, and back in the queue by `revive`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, func, literal, select, tuple_, update
from sqlalchemy.engine import Connection

from liftos_pipelines.clients import check_client_id
from liftos_pipelines.spine.connection import SpineError, utc
from liftos_pipelines.spine.delivery_rows import (
    DEAD,
    DELIVERIES,
    DUE,
    ENTER_NEW,
    HANDLED,
    HANDLED_AMONG,
    NOTE_REACH,
    PENDING,
    DeadLetter,
    Waiting,
    any_after,
    dead_letter,
    entered_by,
    handled_by,
    is_handled,
    reached,
    stranger,
    this,
    waiting,
)
from liftos_pipelines.spine.events import AS_READ, CHUNK, EVENTS, Event, EventStore, newest, read_event, why_unreadable
from liftos_pipelines.spine.payloads import PAYLOADS

ATTEMPTS = 5
BACKOFF = (timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=10))
"""Waits after the first, second, ... failure: a fault of up to twelve minutes is outlived."""
REACH_STEP = 256
"""Foreign events a reaction passes before it notes how far it has looked: a note is a write."""


class DeliveryStore(EventStore):
    """Which events are due, and what became of them."""

    def due(self, reaction: str, event_types: Sequence[str], *, now: datetime, limit: int = 500) -> list[Event]:
        """Events that a reaction may answer now, in the order of the log.

        Left out are those handled, dead, waiting for their next attempt, or behind an earlier undone event of the
        same client and correlation. A row that cannot be read becomes a dead letter; the others go on.
        """
        moment, kinds = utc(now), list(event_types)
        self._look(reaction, kinds)
        with self.reading() as connection:
            rows = connection.execute(DUE, {"reaction": reaction, "kinds": kinds, "now": moment, "most": limit}).all()
        found, unfit = [], []
        for row in rows:
            reason = why_unreadable(row)
            if reason is None:
                found.append(read_event(row))
            else:
                unfit.append((row.event_id, reason))
        for event_id, reason in unfit:
            self._bury(event_id, reaction, reason, moment)
        # What stood behind an unreadable event is free now.
        return self.due(reaction, kinds, now=now, limit=limit) if unfit else found

    def note_failure(
        self,
        event_ids: Iterable[str],
        reaction: str,
        reason: str,
        *,
        now: datetime,
        run_id: str | None = None,
        in_passing: bool = False,
    ) -> list[DeadLetter]:
        """Count a failed attempt at answering these events; those that are now given up are returned.

        A run is counted once, however often and by whomever it is noted: pass its id. Events that were handled
        meanwhile are left alone.

        Parameters
        ----------
        in_passing : noted by an asset that answers whatever is open, not by a driver that chose what is due: an attempt
            before its time does not count then, or a burst of other events would use all of them up at once
        """
        wanted, moment = sorted(set(event_ids)), utc(now)
        return self.transaction(
            lambda connection: self._count(connection, wanted, reaction, reason, moment, run_id, in_passing)
        )

    def _count(
        self,
        connection: Connection,
        wanted: Sequence[str],
        reaction: str,
        reason: str,
        moment: datetime,
        run_id: str | None,
        in_passing: bool,
    ) -> list[DeadLetter]:
        dead: list[DeadLetter] = []
        for start in range(0, len(wanted), CHUNK):
            ids = wanted[start : start + CHUNK]
            self._enter(connection, reaction, EVENTS.c.event_id.in_(ids))
            open_ones = (
                select(DELIVERIES)
                .where(
                    DELIVERIES.c.reaction == reaction,
                    DELIVERIES.c.event_id.in_(ids),
                    DELIVERIES.c.status == PENDING,
                    ~is_handled(DELIVERIES.c),
                )
                .order_by(DELIVERIES.c.event_id)
                .with_for_update()
            )
            for row in connection.execute(open_ones).all():
                if run_id is not None and row.last_run == run_id:
                    continue
                early = row.next_attempt_at is not None and utc(row.next_attempt_at) > moment
                if in_passing and early and utc(row.failed_at) <= moment:
                    continue
                attempts = row.attempts + 1
                gone = attempts >= ATTEMPTS
                values = {
                    "attempts": attempts,
                    "status": DEAD if gone else PENDING,
                    "failed_at": moment,
                    "next_attempt_at": None if gone else moment + BACKOFF[min(attempts, len(BACKOFF)) - 1],
                    "reason": reason,
                    "last_run": run_id,
                }
                connection.execute(this(row.event_id, reaction).values(**values))
                if gone:
                    dead.append(dead_letter(dict(row._mapping) | values))
        return dead

    def dead_letters(self, client: str | None = None, reaction: str | None = None) -> list[DeadLetter]:
        """Events that were given up, and those of a type that this version does not know, oldest first."""
        query = select(DELIVERIES).where(DELIVERIES.c.status == DEAD, ~is_handled(DELIVERIES.c))
        strangers = select(*AS_READ).where(EVENTS.c.type.not_in(list(PAYLOADS)))
        if client is not None:
            query = query.where(DELIVERIES.c.client == check_client_id(client))
            strangers = strangers.where(EVENTS.c.client == client)
        if reaction is not None:
            query = query.where(DELIVERIES.c.reaction == reaction)
        with self.reading() as connection:
            found = [dead_letter(row._mapping) for row in connection.execute(query)]
            unknown = [] if reaction is not None else connection.execute(strangers).all()
        found += [stranger(row) for row in unknown]
        return sorted(found, key=lambda letter: (letter.seq, letter.reaction))

    def revive(self, client: str | None = None, *, event_id: str | None = None, reaction: str | None = None) -> int:
        """Put dead letters back in the queue with all their attempts; how many there were."""
        statement = (
            update(DELIVERIES)
            .where(DELIVERIES.c.status == DEAD)
            .values(status=PENDING, attempts=0, failed_at=None, next_attempt_at=None, last_run=None)
        )
        if client is not None:
            statement = statement.where(DELIVERIES.c.client == check_client_id(client))
        if event_id is not None:
            statement = statement.where(DELIVERIES.c.event_id == event_id)
        if reaction is not None:
            statement = statement.where(DELIVERIES.c.reaction == reaction)
        with self.writing() as connection:
            return int(connection.execute(statement).rowcount)

    def replay(
        self,
        client: str,
        *,
        reactions: Mapping[str, Sequence[str]],
        after_seq: int | None = None,
        since: datetime | None = None,
    ) -> int:
        """Have a client's events answered once more, from a point of the log on; how many answers that asks for.

        Parameters
        ----------
        reactions : event types of each reaction that shall answer again, by its name
        after_seq : the events after this place in the log; 0 for all
        since : the events from the first one on that was recorded at or after this moment

        Raises
        ------
        SpineError : not exactly one of the two points is given
        """
        check_client_id(client)
        if (after_seq is None) == (since is None):
            raise SpineError("say from where to replay: either a place in the log or a moment")
        asked = 0
        with self.writing() as connection:
            if after_seq is None:
                first = select(func.min(EVENTS.c.seq)).where(
                    EVENTS.c.client == client, EVENTS.c.recorded_at >= utc(since or datetime.now(UTC))
                )
                found = connection.scalar(first)
                if found is None:
                    return 0
                after_seq = int(found) - 1
            for reaction, kinds in reactions.items():
                chosen = and_(EVENTS.c.client == client, EVENTS.c.seq > after_seq, EVENTS.c.type.in_(list(kinds)))
                ids = select(EVENTS.c.event_id).where(chosen)
                for table in (HANDLED, DELIVERIES):
                    connection.execute(delete(table).where(table.c.reaction == reaction, table.c.event_id.in_(ids)))
                asked += self._enter(connection, reaction, chosen)
        return asked

    def mark_handled(self, event_id: str, reaction: str) -> bool:
        """Note that a reaction has dealt with an event; False when it was noted before."""
        return self.transaction(lambda connection: self.settle(connection, [(event_id, reaction)])) > 0

    def dismiss(self, event_ids: Iterable[str], reaction: str) -> int:
        """Note at once that a reaction has nothing to do about these events; how many were still open."""
        pairs = [(event_id, reaction) for event_id in event_ids]
        return self.transaction(lambda connection: self.settle(connection, pairs)) if pairs else 0

    def settle(self, connection: Connection, pairs: Iterable[tuple[str, str]]) -> int:
        """Note (event id, reaction) pairs as handled in a transaction that is under way; how many are new."""
        moment, new = datetime.now(UTC), 0
        ordered = sorted(set(pairs))
        for start in range(0, len(ordered), CHUNK):
            chunk = ordered[start : start + CHUNK]
            rows = [{"event_id": event_id, "reaction": name, "handled_at": moment} for event_id, name in chunk]
            statement = self.insert(HANDLED).on_conflict_do_nothing().values(rows)
            new += max(connection.execute(statement).rowcount, 0)
            named = tuple_(DELIVERIES.c.event_id, DELIVERIES.c.reaction).in_(chunk)
            connection.execute(delete(DELIVERIES).where(named))
        return new

    def is_handled(self, event_id: str, reaction: str) -> bool:
        query = select(HANDLED.c.event_id).where(HANDLED.c.event_id == event_id, HANDLED.c.reaction == reaction)
        with self.reading() as connection:
            return connection.execute(query).first() is not None

    def open_among(self, event_ids: Sequence[str], reaction: str) -> set[str]:
        """Which of these events a reaction has not handled: to be asked again when the lease is taken."""
        handled: set[str] = set()
        with self.reading() as connection:
            for start in range(0, len(event_ids), CHUNK):
                part = {"ids": list(event_ids[start : start + CHUNK]), "reaction": reaction}
                handled.update(str(row.event_id) for row in connection.execute(HANDLED_AMONG, part))
        return set(event_ids) - handled

    def unhandled(
        self, reaction: str, types: Sequence[str], limit: int = 500, client: str | None = None
    ) -> list[Event]:
        """Events of these types that a reaction has not dealt with yet, dead and waiting ones too, oldest first."""
        kinds = list(types)
        self._look(reaction, kinds)
        query = (
            select(*AS_READ)
            .select_from(DELIVERIES.join(EVENTS, EVENTS.c.event_id == DELIVERIES.c.event_id))
            .where(DELIVERIES.c.reaction == reaction, DELIVERIES.c.type.in_(kinds), ~is_handled(DELIVERIES.c))
            .order_by(DELIVERIES.c.seq)
            .limit(limit)
        )
        if client is not None:
            query = query.where(DELIVERIES.c.client == check_client_id(client))
        with self.reading() as connection:
            rows = connection.execute(query).all()
        return [read_event(row) for row in rows if why_unreadable(row) is None]

    def pending(self, client: str | None = None, reaction: str | None = None) -> list[Waiting]:
        """What reactions still owe an answer, as far as they have looked, oldest first."""
        query = select(DELIVERIES).where(DELIVERIES.c.status == PENDING, ~is_handled(DELIVERIES.c))
        if client is not None:
            query = query.where(DELIVERIES.c.client == check_client_id(client))
        if reaction is not None:
            query = query.where(DELIVERIES.c.reaction == reaction)
        with self.reading() as connection:
            rows = connection.execute(query.order_by(DELIVERIES.c.seq, DELIVERIES.c.reaction)).all()
        return [waiting(row) for row in rows]

    def backlog(self, reaction: str, event_types: Sequence[str] | None = None, *, client: str | None = None) -> int:
        """How many events a reaction has yet to answer, dead letters not counted.

        Parameters
        ----------
        event_types : what the reaction answers; by default what it has looked for so far
        """
        with self.reading() as connection:
            looked = reached(connection, reaction)
            kinds = list(looked) if event_types is None else list(event_types)
            queries = [
                select(func.count())
                .select_from(DELIVERIES)
                .where(
                    DELIVERIES.c.reaction == reaction,
                    DELIVERIES.c.status == PENDING,
                    DELIVERIES.c.type.in_(kinds),
                    *([DELIVERIES.c.client == check_client_id(client)] if client is not None else []),
                    ~is_handled(DELIVERIES.c),
                )
            ]
            for kind in kinds:
                unseen = select(func.count()).where(EVENTS.c.type == kind, EVENTS.c.seq > looked.get(kind, 0))
                if client is not None:
                    unseen = unseen.where(EVENTS.c.client == client)
                queries.append(unseen.where(~handled_by(reaction), ~entered_by(reaction)))
            return sum(int(connection.scalar(query) or 0) for query in queries)

    # --- how an event becomes a delivery ---------------------------------------------------------------------
    def _look(self, reaction: str, kinds: Sequence[str]) -> None:
        """Enter the events of these types that came since a reaction last looked."""
        with self.reading() as connection:
            last = newest(connection)
            looked = reached(connection, reaction)
            behind = {kind: looked.get(kind, 0) for kind in kinds if looked.get(kind, 0) < last}
            if not behind:
                return
            some = next((kind for kind, seq in behind.items() if any_after(connection, kind, seq)), None)
            if some is None and last - min(behind.values()) < REACH_STEP:
                return
        with self.writing() as connection:
            for kind, seq in behind.items():
                about = {"reaction": reaction, "kind": kind, "last": last}
                if some is not None:
                    connection.execute(ENTER_NEW, about | {"after": seq})
                connection.execute(NOTE_REACH, about)

    def _enter(self, connection: Connection, reaction: str, chosen: ColumnElement[bool]) -> int:
        """Deliveries for the chosen events that this reaction has neither handled nor been handed yet."""
        source = select(
            EVENTS.c.event_id,
            literal(reaction),
            EVENTS.c.seq,
            EVENTS.c.client,
            EVENTS.c.type,
            EVENTS.c.correlation_id,
            literal(PENDING),
            literal(0),
        ).where(chosen, ~handled_by(reaction))
        columns = ["event_id", "reaction", "seq", "client", "type", "correlation_id", "status", "attempts"]
        entered = connection.execute(self.insert(DELIVERIES).from_select(columns, source).on_conflict_do_nothing())
        return max(int(entered.rowcount), 0)

    def _bury(self, event_id: str, reaction: str, reason: str, moment: datetime) -> None:
        """Give up on a row that no attempt could read."""
        with self.writing() as connection:
            connection.execute(this(event_id, reaction).values(status=DEAD, reason=reason, failed_at=moment))
