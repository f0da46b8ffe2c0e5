"""Actions that an agent may take: seen beforehand, carried out once, taken back where that is possible."""

from __future__ import annotations

from pydantic import ValidationError

from liftos_pipelines.resources.actions.arguments import Arguments
from liftos_pipelines.resources.actions.handlers import HANDLERS, Handler
from liftos_pipelines.resources.actions.order import ActionFailed, Means, Mover, Order, Stages, webhook_address
from liftos_pipelines.resources.actions.outbox import Outbox

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
    handler, told = _handler(order)
    return handler.run(order, told, means)


def foresee(order: Order, means: Means) -> str:
    """What `execute` would do, in one line; nothing is changed.

    Raises
    ------
    ActionFailed : there is no handler, or its arguments are not what it must be told
    """
    handler, told = _handler(order)
    return handler.foresee(order, told, means)


def take_back(order: Order, means: Means) -> str:
    """Undo what an executed order did, and say how.

    Raises
    ------
    ActionFailed : it cannot be taken back, or that did not succeed
    """
    handler, told = _handler(order)
    return handler.undo(order, told, means)


def _handler(order: Order) -> tuple[Handler[Arguments], Arguments]:
    handler = HANDLERS.get(order.action)
    if handler is None:
        raise ActionFailed(f"there is no handler for {order.action}; handlers: {', '.join(HANDLERS)}")
    try:
        return handler, handler.reads.model_validate(dict(order.arguments))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "arguments"
        raise ActionFailed(f"{order.action}: {field}: {first['msg']}; found {first['input']!r}") from error
