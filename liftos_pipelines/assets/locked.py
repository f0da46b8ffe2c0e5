"""Around every asset: its table belongs to this step until it is stored, so that two runs never write it at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from liftos_pipelines.resources.table_locks import lock_step, unlock_step

TELLING = 0.5
"""Seconds of waiting from which the run's log says that it waited."""


def locked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The asset's function holding its table's lock; the IO manager lets go when the table is stored."""
    if inspect.isgeneratorfunction(function):

        @wraps(function)
        def generating(*args: Any, **kwargs: Any) -> Iterator[Any]:
            _lock(name, args, kwargs)
            try:
                yield from function(*args, **kwargs)
            except BaseException:
                unlock_step()
                raise

        return generating

    @wraps(function)
    def returning(*args: Any, **kwargs: Any) -> Any:
        _lock(name, args, kwargs)
        try:
            return function(*args, **kwargs)
        except BaseException:
            unlock_step()
            raise

    return returning


def _lock(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    context = kwargs.get("context", args[0] if args else None)
    client = _client_of_run(context)
    if client is None:
        return
    waited = lock_step(client, name)
    if waited > TELLING:
        context.log.info(f"waited {waited:.1f} s for another run that was writing {name} of {client}")  # type: ignore[union-attr]


def _client_of_run(context: Any) -> str | None:
    """The client whose table a run's step is about to write; None outside of a run and for tables of nobody."""
    # Dagster's contexts refuse, each with an error of its own, where there is no step or no partition.
    try:
        context.get_step_execution_context()
        return str(context.partition_key) if context.has_partition_key else None
    except Exception:
        return None
