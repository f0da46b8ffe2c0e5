"""Who drives a reaction just now: leases, so that sensors and the reactor never start the same thing twice.

A lease ends by itself when its holder is gone. Time is what the drivers say it is; when a clock went back, a lease
lasts once more its length from then, not until the clock has caught up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select

from liftos_pipelines.spine.connection import Store, utc
from liftos_pipelines.spine.schema import ClaimRow

CLAIMS: Any = ClaimRow.__table__
REACTOR, EVERYWHERE = "reactor", "*"
"""The lease by which the reactor says that it is alive; no client can be named so."""
BEAT_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A lease as it stands; `expired` ones may be taken over."""

    reaction: str
    client: str
    owner: str
    expired: bool


class ClaimStore(Store):
    """Taking, renewing and letting go of leases."""

    def claim(self, reaction: str, client: str, owner: str, now: datetime, seconds: float) -> bool:
        """Take or renew the lease on a client's reaction; False while somebody else holds it."""
        moment = utc(now)
        mine = {
            "reaction": reaction,
            "client": client,
            "owner": owner,
            "taken_at": moment,
            "lease_until": moment + timedelta(seconds=seconds),
        }
        with self.writing() as connection:
            self.lock(connection, f"claim:{reaction}:{client}")
            held = connection.execute(_lease(reaction, client)).first()
            if held is None:
                connection.execute(self.insert(CLAIMS).values(**mine))
                return True
            there = (CLAIMS.c.reaction == reaction) & (CLAIMS.c.client == client)
            if held.owner == owner or utc(held.lease_until) <= moment:
                connection.execute(CLAIMS.update().where(there).values(**mine))
                return True
            if utc(held.taken_at) > moment:  # taken in the future: the clock went back
                length = held.lease_until - held.taken_at
                connection.execute(CLAIMS.update().where(there).values(taken_at=moment, lease_until=moment + length))
            return False

    def release(self, reaction: str, client: str, owner: str) -> bool:
        """Let go of a lease; False when it is somebody else's by now, which is then left alone."""
        mine = (CLAIMS.c.reaction == reaction) & (CLAIMS.c.client == client) & (CLAIMS.c.owner == owner)
        with self.writing() as connection:
            return int(connection.execute(delete(CLAIMS).where(mine)).rowcount) > 0

    def holder(self, reaction: str, client: str, now: datetime) -> str | None:
        """Who holds the lease at this moment."""
        with self.reading() as connection:
            held = connection.execute(_lease(reaction, client)).first()
        return None if held is None or utc(held.lease_until) <= utc(now) else str(held.owner)

    def claims(self, reaction: str, now: datetime) -> list[Claim]:
        """All leases on a reaction."""
        with self.reading() as connection:
            rows = connection.execute(select(CLAIMS).where(CLAIMS.c.reaction == reaction)).all()
        return [
            Claim(reaction=reaction, client=row.client, owner=row.owner, expired=utc(row.lease_until) <= utc(now))
            for row in rows
        ]

    def beat(self, owner: str, now: datetime) -> None:
        """Say that a reactor is at work: sensors then leave it what is fresh."""
        self.claim(REACTOR, EVERYWHERE, owner, now, BEAT_SECONDS)

    def reactor_at_work(self, now: datetime) -> bool:
        """Whether a reactor said so within the last seconds."""
        return self.holder(REACTOR, EVERYWHERE, now) is not None


def _lease(reaction: str, client: str) -> Any:
    return select(CLAIMS).where(CLAIMS.c.reaction == reaction, CLAIMS.c.client == client)
