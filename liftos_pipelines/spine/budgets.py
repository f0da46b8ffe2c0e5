"""Money that agents may spend: reserved before a call runs, settled or released after, never more than the limit.

A reservation draws on every limit that concerns the call (the agent's day, the run, the client's month), on all of
them or on none, in one transaction; whoever reserves at the same moment takes turns. Amounts are whole millionths of
the client's currency. A reservation whose holder is gone is given back after its lifetime. A call that cost more than
it had reserved takes what is left; what goes beyond stays known as overrun, and the pot gives nothing more out until
its limit covers that too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.engine import Connection

from liftos_pipelines.clients import check_client_id
from liftos_pipelines.spine.connection import SpineError, Store, utc
from liftos_pipelines.spine.schema_authority import PotRow, ReservationRow

POTS: Any = PotRow.__table__
RESERVATIONS: Any = ReservationRow.__table__
_POTS = select(POTS).where(POTS.c.client == bindparam("client"), POTS.c.pot.in_(bindparam("pots", expanding=True)))
_MINE = select(RESERVATIONS).where(
    RESERVATIONS.c.client == bindparam("client"), RESERVATIONS.c.decision_id == bindparam("decision_id")
)
_PROMISED = RESERVATIONS.insert()
MICRO = 1_000_000
RESERVED_FOR = timedelta(minutes=15)
"""After this time a reservation that nobody settled or released is given back: its holder is gone."""


@dataclass(frozen=True, kw_only=True)
class PotDraw:
    """What a call wants from one pot. A pot that is not `hard` may be overdrawn where a person consented to it."""

    pot: str
    limit: int
    amount: int
    hard: bool = True


@dataclass(frozen=True, kw_only=True)
class Pot:
    """A limit and what it has given out, in micro-units."""

    pot: str
    limit: int
    settled: int
    reserved: int
    overrun: int
    exhausted_at: datetime | None

    @property
    def left(self) -> int:
        return max(0, self.limit - self.settled - self.reserved - self.overrun)


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """Money promised to a decision, by pot in micro-units; `status` is reserved, settled, released, expired or
    refunded."""

    decision_id: str
    agent_id: str
    pots: dict[str, int]
    status: str
    actual: int | None
    overrun: int
    reserved_at: datetime
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """The pot that could not give: `hard` is False where a person's consent would be enough."""

    pot: str
    limit: int
    committed: int
    amount: int
    hard: bool
    exhausted_at: datetime

    def __str__(self) -> str:
        return (
            f"{money(self.amount)} more than the {money(self.committed)} that {self.pot} has given out would exceed "
            f"its limit of {money(self.limit)}"
        )


class BudgetStore(Store):
    """Reserving, settling and releasing. Methods that end in `_within` are a part of the caller's transaction."""

    def reserve(
        self,
        client: str,
        decision_id: str,
        agent_id: str,
        draws: Sequence[PotDraw],
        *,
        now: datetime,
        lifetime: timedelta = RESERVED_FOR,
        consented: bool = False,
    ) -> Reservation | Refusal:
        """`reserve_within` in a transaction of its own."""
        return self.transaction(
            lambda connection: self.reserve_within(
                connection, client, decision_id, agent_id, draws, now=now, lifetime=lifetime, consented=consented
            )
        )

    def reserve_within(
        self,
        connection: Connection,
        client: str,
        decision_id: str,
        agent_id: str,
        draws: Sequence[PotDraw],
        *,
        now: datetime,
        lifetime: timedelta = RESERVED_FOR,
        consented: bool = False,
    ) -> Reservation | Refusal:
        """Promise a decision what it wants from all of its pots, or say which one refuses; asked again, the same.

        Parameters
        ----------
        consented : a person consented to overdrawing what is not hard

        Raises
        ------
        SpineError : the decision has a reservation with other amounts
        """
        self.lock(connection, f"budget:{check_client_id(client)}")
        wanted = _merged(draws)
        known = self.reservation_within(connection, client, decision_id)
        if known is not None:
            if known.pots != {draw.pot: draw.amount for draw in wanted}:
                raise SpineError(f"decision {decision_id} has already reserved other amounts; ask under a new id")
            return known
        refused = self._refused(connection, client, wanted, now, consented)
        if refused is not None and self.expire_within(connection, client, now):
            refused = self._refused(connection, client, wanted, now, consented)
        if refused is not None:
            draw, refusal = refused
            self._put(connection, client, draw, 0, refusal.exhausted_at)
            return refusal
        for draw in wanted:
            self._put(connection, client, draw, draw.amount, None)
        reservation = Reservation(
            decision_id=decision_id,
            agent_id=agent_id,
            pots={draw.pot: draw.amount for draw in wanted},
            status="reserved",
            actual=None,
            overrun=0,
            reserved_at=utc(now),
            expires_at=utc(now) + lifetime,
        )
        values = {
            "client": client,
            "decision_id": decision_id,
            "agent_id": agent_id,
            "pots": json.dumps({draw.pot: [draw.amount, draw.hard] for draw in wanted}),
            "status": "reserved",
            "overrun_micro": 0,
            "reserved_at": reservation.reserved_at,
            "expires_at": reservation.expires_at,
        }
        connection.execute(_PROMISED, values)
        return reservation

    def settle_reservation(self, client: str, decision_id: str, actual: int, *, now: datetime) -> Reservation:
        """`settle_within` in a transaction of its own."""
        return self.transaction(lambda connection: self.settle_within(connection, client, decision_id, actual, now=now))

    def settle_within(
        self, connection: Connection, client: str, decision_id: str, actual: int, *, now: datetime
    ) -> Reservation:
        """Replace the promise by what was spent, in micro-units; said twice it counts once.

        What goes beyond the promise takes what the pot has left; the rest is `overrun`. A promise that has expired is
        made good the same way: its money was spent all the same.

        Raises
        ------
        SpineError : there is no reservation, it was released, or it was settled with another amount
        """
        if actual < 0:
            raise SpineError(f"decision {decision_id}: {actual} is not an amount that can be spent")
        self.lock(connection, f"budget:{check_client_id(client)}")
        row = self._row(connection, client, decision_id)
        if row is None:
            raise SpineError(f"decision {decision_id} of {client} has reserved nothing")
        if row.status == "settled" and row.actual_micro == actual:
            return _reservation(row)
        if row.status not in ("reserved", "expired"):
            raise SpineError(f"the reservation of decision {decision_id} is already {row.status}")
        overrun = 0
        promised = json.loads(row.pots)
        pots = self.pots_within(connection, client, list(promised))
        for name, (amount, hard) in sorted(promised.items()):
            pot, back = pots[name], amount if row.status == "reserved" else 0
            left = max(0, pot.limit - pot.settled - (pot.reserved - back))
            counted = min(actual, max(left, back)) if hard else actual
            beyond = actual - counted
            overrun = max(overrun, beyond)
            there = (POTS.c.client == client) & (POTS.c.pot == name)
            values = {
                "settled_micro": POTS.c.settled_micro + counted,
                "reserved_micro": POTS.c.reserved_micro - back,
                "overrun_micro": POTS.c.overrun_micro + beyond,
            }
            if beyond and pot.exhausted_at is None:
                values["exhausted_at"] = utc(now)
            connection.execute(POTS.update().where(there).values(**values))
        mine = (RESERVATIONS.c.client == client) & (RESERVATIONS.c.decision_id == decision_id)
        connection.execute(
            RESERVATIONS.update()
            .where(mine)
            .values(status="settled", actual_micro=actual, overrun_micro=overrun, ended_at=utc(now))
        )
        return _reservation(self._row(connection, client, decision_id))

    def release_reservation(self, client: str, decision_id: str, *, now: datetime) -> Reservation:
        """`release_within` in a transaction of its own."""
        return self.transaction(lambda connection: self.release_within(connection, client, decision_id, now=now))

    def release_within(self, connection: Connection, client: str, decision_id: str, *, now: datetime) -> Reservation:
        """Give a promise back that nothing was spent of; said twice it counts once.

        Raises
        ------
        SpineError : there is no reservation, or it was settled
        """
        self.lock(connection, f"budget:{check_client_id(client)}")
        row = self._row(connection, client, decision_id)
        if row is None:
            raise SpineError(f"decision {decision_id} of {client} has reserved nothing")
        if row.status == "settled":
            raise SpineError(f"the reservation of decision {decision_id} is already settled")
        if row.status == "reserved":
            self._give_back(connection, client, row, "released", now)
        return _reservation(self._row(connection, client, decision_id))

    def refund_within(self, connection: Connection, client: str, decision_id: str, *, now: datetime) -> bool:
        """Take back what a decision has spent, for an action that was undone; False when it spent nothing, or beyond
        its promise (then who knows what of it came back), or said before."""
        self.lock(connection, f"budget:{check_client_id(client)}")
        row = self._row(connection, client, decision_id)
        if row is None or row.status != "settled" or row.overrun_micro:
            return False
        for name in sorted(json.loads(row.pots)):
            there = (POTS.c.client == client) & (POTS.c.pot == name)
            connection.execute(POTS.update().where(there).values(settled_micro=POTS.c.settled_micro - row.actual_micro))
        mine = (RESERVATIONS.c.client == client) & (RESERVATIONS.c.decision_id == decision_id)
        connection.execute(RESERVATIONS.update().where(mine).values(status="refunded", ended_at=utc(now)))
        return True

    def expire_within(self, connection: Connection, client: str, now: datetime) -> int:
        """Give back what is held by nobody any more; how many reservations that were."""
        late = (
            (RESERVATIONS.c.client == client)
            & (RESERVATIONS.c.status == "reserved")
            & (RESERVATIONS.c.expires_at <= utc(now))
        )
        rows = connection.execute(select(RESERVATIONS).where(late)).all()
        for row in rows:
            self._give_back(connection, client, row, "expired", now)
        return len(rows)

    def pots(self, client: str) -> list[Pot]:
        """Every pot of a client with what it has given out."""
        with self.reading() as connection:
            rows = connection.execute(select(POTS).where(POTS.c.client == check_client_id(client)).order_by(POTS.c.pot))
            return [_pot(row) for row in rows]

    def reservation(self, client: str, decision_id: str) -> Reservation | None:
        with self.reading() as connection:
            return self.reservation_within(connection, client, decision_id)

    def _refused(
        self, connection: Connection, client: str, wanted: Sequence[PotDraw], now: datetime, consented: bool
    ) -> tuple[PotDraw, Refusal] | None:
        """The first draw that its pot cannot give."""
        pots = self.pots_within(connection, client, [draw.pot for draw in wanted])
        for draw in wanted:
            if not draw.hard and consented:
                continue
            pot = pots.get(draw.pot)
            committed = pot.settled + pot.reserved + pot.overrun if pot else 0
            if committed + draw.amount > draw.limit:
                first = pot.exhausted_at if pot and pot.exhausted_at else utc(now)
                said = Refusal(
                    pot=draw.pot,
                    limit=draw.limit,
                    committed=committed,
                    amount=draw.amount,
                    hard=draw.hard,
                    exhausted_at=first,
                )
                return draw, said
        return None

    def _give_back(self, connection: Connection, client: str, row: Any, status: str, now: datetime) -> None:
        for name, (amount, _) in sorted(json.loads(row.pots).items()):
            there = (POTS.c.client == client) & (POTS.c.pot == name)
            connection.execute(POTS.update().where(there).values(reserved_micro=POTS.c.reserved_micro - amount))
        mine = (RESERVATIONS.c.client == client) & (RESERVATIONS.c.decision_id == row.decision_id)
        connection.execute(RESERVATIONS.update().where(mine).values(status=status, ended_at=utc(now)))

    def _put(
        self, connection: Connection, client: str, draw: PotDraw, amount: int, exhausted_at: datetime | None
    ) -> None:
        values = {
            "client": client,
            "pot": draw.pot,
            "limit_micro": draw.limit,
            "settled_micro": 0,
            "reserved_micro": amount,
            "overrun_micro": 0,
            "exhausted_at": exhausted_at,
        }
        connection.execute(self.built("pot", self._upsert_pot), values)

    def _upsert_pot(self) -> Any:
        """A pot that is drawn on again: the limit as it is now, more promised, first refused when it first was."""
        insert = self.insert(POTS)
        fresh = insert.excluded
        changed = {
            "limit_micro": fresh.limit_micro,
            "reserved_micro": POTS.c.reserved_micro + fresh.reserved_micro,
            "exhausted_at": func.coalesce(POTS.c.exhausted_at, fresh.exhausted_at),
        }
        return insert.on_conflict_do_update(index_elements=["client", "pot"], set_=changed)

    def pots_within(self, connection: Connection, client: str, names: Sequence[str]) -> dict[str, Pot]:
        """Some pots by name, as the transaction sees them; those that nothing was drawn from are absent."""
        rows = connection.execute(_POTS, {"client": client, "pots": list(names)})
        return {row.pot: _pot(row) for row in rows}

    def _row(self, connection: Connection, client: str, decision_id: str) -> Any:
        return connection.execute(_MINE, {"client": client, "decision_id": decision_id}).first()

    def reservation_within(self, connection: Connection, client: str, decision_id: str) -> Reservation | None:
        """A decision's reservation, as the transaction sees it."""
        row = self._row(connection, client, decision_id)
        return None if row is None else _reservation(row)


def micro(amount: float | int | str | Decimal, *, down: bool = False) -> int:
    """An amount in whole millionths: what is spent is rounded up, a limit (`down`) down.

    Raises
    ------
    ValueError : not a finite amount of at least 0
    """
    try:
        value = Decimal(str(amount))
    except InvalidOperation as error:
        raise ValueError(f"{amount!r} is not an amount of money") from error
    if isinstance(amount, bool) or not value.is_finite() or value < 0:
        raise ValueError(f"{amount!r} is not an amount of money")
    return int((value * MICRO).to_integral_value(ROUND_FLOOR if down else ROUND_CEILING))


def money(amount: int) -> str:
    """Micro-units in words: 1234560000 is 1,234.56."""
    value = Decimal(amount) / MICRO
    return f"{value:,.2f}" if value == value.quantize(Decimal("0.01")) else f"{value.normalize():,f}"


def _merged(draws: Sequence[PotDraw]) -> list[PotDraw]:
    """One draw a pot, in the order of their names."""
    merged: dict[str, PotDraw] = {}
    for draw in draws:
        if draw.amount < 0 or draw.limit < 0:
            raise SpineError(f"{draw.pot}: neither an amount ({draw.amount}) nor a limit ({draw.limit}) is below 0")
        other = merged.get(draw.pot)
        merged[draw.pot] = (
            draw
            if other is None
            else PotDraw(
                pot=draw.pot,
                limit=min(draw.limit, other.limit),
                amount=draw.amount + other.amount,
                hard=draw.hard or other.hard,
            )
        )
    return [merged[name] for name in sorted(merged)]


def _pot(row: Any) -> Pot:
    return Pot(
        pot=row.pot,
        limit=row.limit_micro,
        settled=row.settled_micro,
        reserved=row.reserved_micro,
        overrun=row.overrun_micro,
        exhausted_at=utc(row.exhausted_at) if row.exhausted_at else None,
    )


def _reservation(row: Any) -> Reservation:
    return Reservation(
        decision_id=row.decision_id,
        agent_id=row.agent_id,
        pots={name: amount for name, (amount, _) in json.loads(row.pots).items()},
        status=row.status,
        actual=row.actual_micro,
        overrun=row.overrun_micro,
        reserved_at=utc(row.reserved_at),
        expires_at=utc(row.expires_at),
    )
