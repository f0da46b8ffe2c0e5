"""Totals that the spine itself holds, as metrics: exact over all processes and for all time, read when asked for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.sql import ColumnElement

from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.decisions import ACTION, DECIDING
from liftos_pipelines.spine.metrics import METRICS
from liftos_pipelines.spine.schema import DeliveryRow, EventRow, HandledRow, LedgerRow
from liftos_pipelines.spine.telemetry_store import MetricRecord

EVENTS: Any = EventRow.__table__
HANDLED: Any = HandledRow.__table__
LEDGER: Any = LedgerRow.__table__
DELIVERIES: Any = DeliveryRow.__table__


def spine_totals(spine: Spine, reactions: Mapping[str, Iterable[str]]) -> list[MetricRecord]:
    """Events raised, answered and given up, decisions and actions, and what waits for each reaction.

    Parameters
    ----------
    reactions : event types that each reaction answers, by its name
    """
    counts: list[tuple[str, str, Any, ColumnElement[bool] | None]] = [
        ("liftos.events.raised", "type", EVENTS.c.type, None),
        ("liftos.events.handled", "reaction", HANDLED.c.reaction, None),
        ("liftos.events.dead", "reaction", DELIVERIES.c.reaction, DELIVERIES.c.status == "dead"),
        ("liftos.decisions", "kind", LEDGER.c.kind, LEDGER.c.kind.in_(DECIDING)),
        ("liftos.actions", "agent", LEDGER.c.actor, LEDGER.c.kind == ACTION),
    ]
    found, now = [], time.time_ns()
    with spine.engine.connect() as connection:
        for name, label, column, condition in counts:
            query = select(column, func.count()).group_by(column)
            if condition is not None:
                query = query.where(condition)
            found += [_record(name, {label: str(key)}, count, now) for key, count in connection.execute(query)]
    found += [
        _record("liftos.reactions.backlog", {"reaction": name}, spine.backlog(name, list(types)), now)
        for name, types in reactions.items()
    ]
    return found


def _record(name: str, labels: dict[str, str], value: float, at_ns: int) -> MetricRecord:
    metric = METRICS[name]
    return MetricRecord(name=name, kind=metric.kind, unit=metric.unit, labels=labels, at_ns=at_ns, value=float(value))
