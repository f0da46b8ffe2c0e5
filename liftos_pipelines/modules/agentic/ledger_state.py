"""What a client's ledger says as of an entry: decisions, what was done about them, agents that are stopped.

Entries are folded in one by one, so that a reader who kept the state goes on where it left off.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from liftos_pipelines.modules.agentic.lifecycle import TRANSITION, Key, Move, barred_between, read_move

DECISION, ACTION = "agent_decision", "agent_action"
STOPPED, RESUMED = "agent_stopped", "agent_resumed"
KINDS = (DECISION, ACTION, STOPPED, RESUMED, TRANSITION)
EVERY_AGENT = "*"
"""A stop under this name holds for every agent of the client."""
TAKEN_BACK = "taken_back"
SETTLED = ("executed", "denied", TAKEN_BACK)
"""Statuses of an action after which nothing more is done."""


@dataclass(frozen=True, kw_only=True)
class Stop:
    """An agent that may not decide. `until` is None where only a person's word ends it; `resumed_by` gave it."""

    agent_id: str
    event_id: str
    reason: str
    stopped_at: datetime
    until: datetime | None
    resumed_by: str | None = None

    def holds(self, moment: datetime) -> bool:
        return self.stopped_at <= moment and (self.until is None or moment < self.until)


@dataclass
class LedgerState:
    """Folded entries. `decided` and `status` are by action id. Money stands in the spine's budgets, not here."""

    position: int = -1
    recorded_at: datetime | None = None
    """Of the newest entry."""
    newest: int | None = None
    """Position of the newest decision."""
    decided: dict[str, dict[str, Any]] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    executed_at: dict[str, datetime] = field(default_factory=dict)
    open: dict[str, None] = field(default_factory=dict)
    """Actions that were let through and are not settled, in the order of their decisions."""
    stops: dict[str, dict[str, Stop]] = field(default_factory=lambda: defaultdict(dict))
    """By agent and event: each reason to stop must end before the agent goes on."""
    moves: dict[Key, tuple[Move, ...]] = field(default_factory=dict)
    """Lifecycle moves by agent and version, oldest first."""

    def fold(self, position: int, kind: str, body: Mapping[str, Any], recorded_at: datetime) -> None:
        """Take in the next entry; kinds that say nothing of actions or stops only move the position."""
        self.position, self.recorded_at = position, recorded_at
        if kind == DECISION:
            self.newest = position
            self._decision(body)
        elif kind == ACTION:
            self.status[body["action_id"]] = body["status"]
            if body["status"] == "executed":
                self.executed_at[body["action_id"]] = recorded_at
            if body["status"] in SETTLED:
                self.open.pop(body["action_id"], None)
        elif kind == STOPPED:
            stop = Stop(
                agent_id=body["agent_id"],
                event_id=body["event_id"],
                reason=body["reason"],
                stopped_at=recorded_at,
                until=datetime.fromisoformat(body["until"]) if body.get("until") else None,
            )
            self.stops[stop.agent_id][stop.event_id] = stop
        elif kind == RESUMED:
            stops = self.stops[body["agent_id"]]
            # Only the stops that the person saw: one written down meanwhile stands.
            seen = body.get("stops", stops)
            for key, stop in stops.items():
                if key in seen and stop.holds(recorded_at):
                    stops[key] = replace(stop, until=recorded_at, resumed_by=body["by"])
        elif kind == TRANSITION:
            key_of = (str(body["agent_id"]), str(body["version"]))
            earlier = self.moves.get(key_of, ())
            self.moves[key_of] = (*earlier, read_move(body, recorded_at, len(earlier) + 1))

    def moment(self, now: datetime) -> datetime:
        """Now, or the newest entry's moment where that is later: what is written down holds from then on, also for a
        run that began before, and when the clock goes back."""
        return now if self.recorded_at is None else max(now, self.recorded_at)

    def stopped(self, moment: datetime) -> dict[str, str]:
        """Agents that may not decide at a moment, each with the reasons."""
        holding = {
            agent: [stop for stop in stops.values() if stop.holds(moment)] for agent, stops in self.stops.items()
        }
        return {agent: "; ".join(stop.reason for stop in stops) for agent, stops in sorted(holding.items()) if stops}

    def stops_of(self, versions: Mapping[str, str] | None = None) -> dict[str, tuple[Stop, ...]]:
        """Every stop there ever was, by agent; `*` stops all of them.

        Parameters
        ----------
        versions : each agent's version; with it, the times in which that version was suspended or retired by a move
            stop it too, so that a log judged afterwards is held to the stage that held then
        """
        every = {agent: tuple(stops.values()) for agent, stops in self.stops.items() if stops}
        for agent, version in (versions or {}).items():
            spans = tuple(
                Stop(
                    agent_id=agent,
                    event_id=f"stage:{version}:{move.number}",
                    reason=f"{move.to_stage} by {move.by}: {move.reason}",
                    stopped_at=move.at,
                    until=end,
                )
                for move, end in barred_between(self.moves, agent, version)
            )
            if spans:
                every[agent] = (*every.get(agent, ()), *spans)
        return every

    def status_of(self, action_id: str) -> str:
        """Where an action stands; a decided one of which nothing is known yet is `decided`."""
        known = self.status.get(action_id)
        if known is not None:
            return known
        decision = self.decided[action_id]["decision"]
        said = {"deny": "denied", "needs_approval": "awaiting_approval", "wait": "waiting"}
        return said.get(decision, "decided")

    def _decision(self, body: Mapping[str, Any]) -> None:
        row = dict(body) | {"proposed_at": datetime.fromisoformat(body["proposed_at"])}
        self.decided[row["action_id"]] = row
        if row["decision"] == "deny":
            return
        self.open[row["action_id"]] = None
