"""What happened in a client's runs so far, over all processes: the spine's log of judged calls, folded as it grows.

Rules over sequences and rates see what ran or was denied, each call once. What waits for a person or for another
agent has not happened yet; what was refused as a duplicate or a conflict says nothing against its agent.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection

from liftos_pipelines.modules.agentic.conditions import AgentFacts, Call
from liftos_pipelines.modules.agentic.engine import AgentHistory, PolicyEngine, RunHistory, Verdict
from liftos_pipelines.spine.connection import utc
from liftos_pipelines.spine.schema_authority import GateCallRow

CALLS: Any = GateCallRow.__table__
_NEWS = select(CALLS).where(CALLS.c.client == bindparam("client"), CALLS.c.seq > bindparam("seq")).order_by(CALLS.c.seq)
LOOKED_BACK = timedelta(days=31)
"""Calls older than this are forgotten by rates and sequences."""
RUNS_KEPT = 5000
"""Runs whose history is held in memory; one that comes back is read again."""
RESULT, MESSAGE = "result", "message"
UNCOUNTED = ("lease_duplicate", "lease_conflict", "request_changed", "already_ended")
"""Refusals that sequence rules do not count as denials."""


class ClientHistory:
    """The history of one client in one process; the caller holds the client's turn while it reads and judges."""

    def __init__(self, client: str, engine: PolicyEngine, facts: Callable[[str], AgentFacts]) -> None:
        self.client, self.engine, self.facts = client, engine, facts
        self.agents = AgentHistory()
        self._runs: OrderedDict[str, RunHistory] = OrderedDict()
        self._read: int | None = None
        self._dropped: set[str] = set()

    def run(self, connection: Connection, run_id: str, now: datetime) -> RunHistory:
        """The run's history, after everything that any process wrote down before this transaction."""
        self._catch_up(connection, now)
        found = self._runs.get(run_id)
        if found is None:
            found = self._run(run_id)
            if run_id in self._dropped:
                self._dropped.discard(run_id)
                apart = RunHistory(run_id=run_id, agents=AgentHistory())
                query = select(CALLS).where(CALLS.c.client == self.client, CALLS.c.run_id == run_id)
                for row in connection.execute(query.order_by(CALLS.c.seq)):
                    self._fold(apart, row)
                apart.agents = self.agents
                found = self._runs[run_id] = apart
        self._runs.move_to_end(run_id)
        while len(self._runs) > RUNS_KEPT:
            self._dropped.add(self._runs.popitem(last=False)[0])
        return found

    def _catch_up(self, connection: Connection, now: datetime) -> None:
        if self._read is None:
            since = select(CALLS).where(CALLS.c.client == self.client, CALLS.c.at >= utc(now) - LOOKED_BACK)
            rows = connection.execute(since.order_by(CALLS.c.seq))
        else:
            rows = connection.execute(_NEWS, {"client": self.client, "seq": self._read})
        self._read = self._read or 0
        for row in rows:
            if row.run_id not in self._dropped:
                self._fold(self._run(row.run_id), row)
            self._read = row.seq

    def _run(self, run_id: str) -> RunHistory:
        found = self._runs.get(run_id)
        if found is None:
            found = self._runs[run_id] = RunHistory(run_id=run_id, agents=self.agents, client=self.client)
        return found

    def _fold(self, history: RunHistory, row: Any) -> None:
        if row.decision == MESSAGE:
            history.note_message(row.result, utc(row.at))
        elif row.decision == RESULT:
            flags = json.loads(row.answer).get("flags", ())
            history.note_result(row.tool, row.result, utc(row.at), flags)
        elif row.decision in ("allow", "deny") and row.outcome not in UNCOUNTED:
            self._fold_call(history, row)

    def _fold_call(self, history: RunHistory, row: Any) -> None:
        cost = float(row.cost) if row.cost is not None else None
        call = self.engine.call(self.facts(row.agent_id), row.tool, row.arguments, utc(row.at), cost)
        if not isinstance(call, Call):
            return
        verdict = Verdict(decision=row.decision, policy="", reason="", policy_version=self.engine.policy.version)
        self.engine.record(call, verdict, history)
        # Money is counted by the spine's reservations, over all processes.
        history.agents.reserved.clear()
