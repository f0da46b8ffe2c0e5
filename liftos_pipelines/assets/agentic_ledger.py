"""A client's ledger as a state, kept between runs of one process: only what is new is read.

The last entry that was read is read again and compared: another chain (a restored database, a test's next home) is
told by its hash, and read from the start.
"""

from __future__ import annotations

import hashlib
import threading
from datetime import datetime

from liftos_pipelines.modules.agentic.ledger_state import RESUMED, STOPPED, LedgerState
from liftos_pipelines.spine.database import Spine

_KEPT: dict[tuple[str, str], tuple[LedgerState, str]] = {}
_TURN = threading.Lock()


def state_of(spine: Spine, client: str, state: LedgerState | None = None) -> LedgerState:
    """The state as of the newest entry; `state`, brought up to date in place, where the reader has one.

    Linear in what is new. The state is one object a client and process: a run of a client has it alone, since the
    table it makes is locked.
    """
    key = (spine.url, client)
    with _TURN:
        kept, last_hash = _KEPT.get(key, (LedgerState(), ""))
        if state is not None and state is not kept:
            kept, last_hash = state, ""
        entries = spine.ledger(client, after=kept.position - 1 if kept.position >= 0 else -1)
        if kept.position >= 0 and last_hash:
            if entries and entries[0].position == kept.position and entries[0].entry_hash == last_hash:
                entries = entries[1:]
            else:
                kept, entries = LedgerState(), spine.ledger(client)
        else:
            entries = [entry for entry in entries if entry.position > kept.position]
        for entry in entries:
            kept.fold(entry.position, entry.kind, entry.content, datetime.fromisoformat(entry.recorded_at))
            last_hash = entry.entry_hash
        _KEPT[key] = (kept, last_hash)
        return kept


def stop_agent(spine: Spine, client: str, agent_id: str, *, by: str, reason: str, now: datetime) -> None:
    """A person's stop: the agent's next decision is denied, until it is resumed."""
    identity = hashlib.sha256(f"{client}|{agent_id}|{by}|{now.isoformat()}".encode()).hexdigest()[:32]
    body = {
        "agent_id": agent_id,
        "event_id": identity,
        "trigger": "operator",
        "reason": f"{by}: {reason}",
        "until": None,
    }
    spine.append_ledger(client, STOPPED, by, body, idempotency_key=f"stop:operator:{identity}")


def resume_agent(spine: Spine, client: str, agent_id: str, *, by: str, reason: str, now: datetime) -> bool:
    """A person's word that ends all stops of an agent; False when it was not stopped. Said twice, it is one entry."""
    state = state_of(spine, client)
    stops = [stop for stop in state.stops_of().get(agent_id, ()) if stop.holds(state.moment(now))]
    if not stops:
        return False
    identity = hashlib.sha256("|".join(sorted(stop.event_id for stop in stops)).encode()).hexdigest()[:32]
    body = {"agent_id": agent_id, "by": by, "reason": reason, "stops": sorted(stop.event_id for stop in stops)}
    spine.append_ledger(client, RESUMED, by, body, idempotency_key=f"resume:{agent_id}:{identity}")
    return True
