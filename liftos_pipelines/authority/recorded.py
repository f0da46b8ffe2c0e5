"""The gate's own record in the form of agents' recorded steps, so that a changed policy can be tried on it."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
from sqlalchemy import select

from liftos_pipelines.authority.history import CALLS, MESSAGE, RESULT, UNCOUNTED
from liftos_pipelines.spine.connection import utc
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.tables import table


def gate_steps(spine: Spine, client: str) -> pl.DataFrame:
    """Calls that the gate judged, answers and messages, as `sources/agent_steps` with a column `flags`.

    A request that was judged more than once counts once, as it was asked last; what was refused for a lease or as a
    duplicate is no question of policy and is left out.
    """
    schema = table("sources/agent_steps").columns | {"flags": pl.List(pl.String())}
    with spine.reading() as connection:
        rows = list(connection.execute(select(CALLS).where(CALLS.c.client == client).order_by(CALLS.c.seq)))
    newest = {row.decision_id: row.seq for row in rows if row.decision not in (MESSAGE, RESULT)}
    found: list[dict[str, Any]] = []
    for row in rows:
        step: dict[str, Any] = {"run_id": row.run_id, "agent_id": row.agent_id, "step": row.seq, "at": utc(row.at)}
        if row.decision == MESSAGE:
            step |= {"kind": "message", "content": row.result}
        elif row.decision == RESULT:
            flags = list(json.loads(row.answer).get("flags", ()))
            step |= {"kind": "tool_result", "tool": row.tool, "content": row.result, "flags": flags}
        elif newest[row.decision_id] != row.seq or row.outcome in UNCOUNTED:
            continue
        else:
            cost = None if row.cost is None else float(row.cost)
            step |= {"kind": "tool_call", "tool": row.tool, "arguments": row.arguments, "cost": cost}
        found.append({name: step.get(name) for name in schema})
    return pl.DataFrame(found, schema=schema, orient="row")
