"""The kill switch as every decision reads it: stops and lifecycle moves of the ledger, only what is new of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection

from liftos_pipelines.modules.agentic.ledger_state import RESUMED, STOPPED, LedgerState, Stop
from liftos_pipelines.modules.agentic.lifecycle import TRANSITION
from liftos_pipelines.spine.schema import LedgerHeadRow, LedgerRow

EVERY_CLIENT = "liftos-every-client"
"""The ledger in which a stop for every client is written down; no client is called so."""
EVERY_AGENT = "*"
_HEADS: Any = LedgerHeadRow.__table__
_LEDGER: Any = LedgerRow.__table__
_LENGTHS = select(_HEADS.c.client, _HEADS.c.entries).where(_HEADS.c.client.in_(bindparam("clients", expanding=True)))
_NEWS = (
    select(_LEDGER.c.position, _LEDGER.c.kind, _LEDGER.c.body, _LEDGER.c.recorded_at)
    .where(
        _LEDGER.c.client == bindparam("client"),
        _LEDGER.c.position > bindparam("position"),
        _LEDGER.c.kind.in_([STOPPED, RESUMED, TRANSITION]),
    )
    .order_by(_LEDGER.c.position)
)


class Stops:
    """Who may not decide, of one client; kept between decisions and brought up to date by each."""

    def __init__(self, client: str) -> None:
        self.client = client
        self._states = {name: LedgerState() for name in (client, EVERY_CLIENT)}

    def read(self, connection: Connection) -> None:
        """Take in what was written down since."""
        found = connection.execute(_LENGTHS, {"clients": list(self._states)})
        lengths = {row.client: row.entries for row in found}
        for name, state in list(self._states.items()):
            entries = lengths.get(name, 0)
            if entries - 1 < state.position:  # another chain: a database that was put back
                state = self._states[name] = LedgerState()
            if entries - 1 == state.position:
                continue
            rows = connection.execute(_NEWS, {"client": name, "position": state.position}).all()
            for row in rows:
                state.fold(row.position, row.kind, json.loads(row.body), datetime.fromisoformat(row.recorded_at))
            state.position = max(state.position, entries - 1)

    def wrote(self, first: int, count: int) -> None:
        """Entries of the client's ledger that were written by who read last, with nobody in between: no stops."""
        state = self._states[self.client]
        if state.position == first - 1:
            state.position = first + count - 1

    def of(self, agent_id: str, now: datetime) -> Stop | None:
        """The first stop that holds for an agent now, its own, its client's or everybody's."""
        for state in self._states.values():
            moment = state.moment(now)
            for name in (EVERY_AGENT, agent_id):
                for stop in state.stops.get(name, {}).values():
                    if stop.holds(moment):
                        return stop
        return None

    def stage(self, agent_id: str, version: str, registered: str | None) -> str | None:
        """The stage of an agent's version by its moves in the ledger, else as registered."""
        moves = self._states[self.client].moves.get((agent_id, version))
        return moves[-1].to_stage if moves else registered

    def all(self, now: datetime) -> Sequence[Stop]:
        """Every stop that holds now."""
        return [
            stop
            for state in self._states.values()
            for stops in state.stops.values()
            for stop in stops.values()
            if stop.holds(state.moment(now))
        ]
