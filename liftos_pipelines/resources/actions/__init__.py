"""Actions that an agent may take: seen beforehand, carried out once, taken back where that is possible."""

from __future__ import annotations

import logging
import re
from typing import Literal

from pydantic import ValidationError

from liftos_pipelines.resources.actions.arguments import Arguments
from liftos_pipelines.resources.actions.handlers import HANDLERS, Handler
from liftos_pipelines.resources.actions.order import ActionFailed, Means, Mover, Order, Stages, webhook_address
from liftos_pipelines.resources.actions.outbox import Outbox

_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,199}", re.ASCII)
log = logging.getLogger(__name__)
__all__ = [
    "HANDLERS",
    "ActionFailed",
    "Means",
    "Mover",
    "Order",
    "Outbox",
    "Stages",
    "execute",
    "foresee",
    "take_back",
    "webhook_address",
]


def execute(order: Order, means: Means) -> str:
    """Carry out an order and say how, in one line. Whoever carries out several calls `means.outbox.sync()` at the end,
    before writing down that they are done.

    Raises
    ------
    ActionFailed : there is no handler, its arguments are not what it must be told, or it did not succeed
    """
    return _done(order, "run", means)


def foresee(order: Order, means: Means) -> str:
    """What `execute` would do, in one line; nothing is changed.

    Raises
    ------
    ActionFailed : there is no handler, or its arguments are not what it must be told
    """
    return _done(order, "foresee", means)


def take_back(order: Order, means: Means) -> str:
    """Undo what an executed order did, and say how.

    Raises
    ------
    ActionFailed : it cannot be taken back, or that did not succeed
    """
    return _done(order, "undo", means)


def _done(order: Order, what: Literal["run", "foresee", "undo"], means: Means) -> str:
    handler, told = _handler(order)
    try:
        return str(getattr(handler, what)(order, told, means))
    except ActionFailed:
        raise
    except Exception as error:  # a full disk or a registry in trouble: this action failed, and no other with it
        log.warning("%s %s of %s failed", order.action, order.action_id, order.client, exc_info=True)
        # By its kind alone: what a store says of itself may hold addresses and secrets.
        raise ActionFailed(f"{order.action}: {type(error).__name__}; the log says more") from error


def _handler(order: Order) -> tuple[Handler[Arguments], Arguments]:
    handler = HANDLERS.get(order.action)
    if not _ID.fullmatch(order.action_id):  # it names files
        raise ActionFailed(f"{order.action_id[:40]!r} is no action id: letters, digits, and -, _ or . within")
    if handler is None:
        raise ActionFailed(f"there is no handler for {order.action}; handlers: {', '.join(HANDLERS)}")
    try:
        return handler, handler.reads.model_validate(dict(order.arguments))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "arguments"
        raise ActionFailed(f"{order.action}: {field}: {first['msg']}; found {first['input']!r}") from error
