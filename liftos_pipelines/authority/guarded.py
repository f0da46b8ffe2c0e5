"""Tools of one's own behind the gate: a decorator and a context manager."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from liftos_pipelines.authority.requests import ActionRequest, Authorisation

if TYPE_CHECKING:
    from liftos_pipelines.authority.gate import Gate

Tool = TypeVar("Tool", bound=Callable[..., Any])


class CallRefused(PermissionError):
    """The gate did not let a call run; `answer` says why, and whether it waits for a person or another agent."""

    def __init__(self, answer: Authorisation) -> None:
        super().__init__(f"{answer.decision} ({answer.policy}): {answer.reason}")
        self.answer = answer


@dataclass
class RunningCall:
    """A call that may run now. `cost` and `result` may be set by whoever runs it, before it ends."""

    answer: Authorisation
    cost: float | Decimal | None = None
    result: str | None = None
    flags: tuple[str, ...] = field(default=())


@contextmanager
def guarded_call(gate: Gate, request: ActionRequest) -> Iterator[RunningCall]:
    """One call: authorised and confirmed on the way in, settled on the way out; as `failed` when its body raises.

    Raises
    ------
    CallRefused : it may not run
    NotAuthorised : it may not run any more
    """
    answer = gate.authorise(request)
    if not answer.allowed:
        raise CallRefused(answer)
    try:
        gate.confirm(answer.decision_id)
    except Exception:
        gate.release(answer.decision_id, reason="it could not be confirmed")
        raise
    running = RunningCall(answer)
    try:
        yield running
    except BaseException:
        # What it cost before it failed is not known better than what was reserved.
        gate.settle(answer.decision_id, running.cost, "failed", result=running.result, flags=running.flags)
        raise
    gate.settle(answer.decision_id, running.cost, "succeeded", result=running.result, flags=running.flags)


class Guarded:
    """A decorator that puts a tool behind the gate.

    `about` goes into each request (`subject`, `incident`, ...); `cost` may be a callable of the arguments, `told` says
    what of the result the run's rules may see (by default nothing).
    """

    def __init__(self, gate: Gate, tool: str, *, run_id: str, agent_id: str, about: Mapping[str, Any]) -> None:
        self.gate, self.tool, self.run_id, self.agent_id = gate, tool, run_id, agent_id
        self.about = dict(about)
        self.cost: Any = self.about.pop("cost", None)
        self.told: Callable[[Any], str] | None = self.about.pop("told", None)

    def __call__(self, function: Tool) -> Tool:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            # The tool gets what was judged, not what it turns into meanwhile.
            arguments = json.loads(json.dumps(dict(bound.arguments)))
            cost = self.cost(**arguments) if callable(self.cost) else self.cost
            request = ActionRequest(
                run_id=self.run_id, agent_id=self.agent_id, tool=self.tool, arguments=arguments, cost=cost, **self.about
            )
            with guarded_call(self.gate, request) as running:
                result = function(**arguments)
                running.result = self.told(result) if self.told else None
                return result

        return run  # type: ignore[return-value]
