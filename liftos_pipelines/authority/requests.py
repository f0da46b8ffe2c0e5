"""What an agent asks the gate, and what the gate answers."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, Literal

from liftos_pipelines.spine.connection import SpineError

Answered = Literal["allow", "deny", "needs_approval", "wait"]
LONGEST_NAME = 128
LONGEST_ARGUMENTS = 64_000
"""Characters of JSON; longer ones are malformed."""


class GateError(SpineError):
    """Something was asked of the gate that it cannot do; `code` names it."""

    code = "gate_error"


class DecisionUnknown(GateError):
    """There is no decision with this id for the client."""

    code = "decision_unknown"


class NotAuthorised(GateError):
    """Something was told of a call that the gate had not let through."""

    code = "not_authorised"


class AlreadyEnded(GateError):
    """The call was settled or released before, in another way."""

    code = "already_ended"


@dataclass(frozen=True, kw_only=True)
class ActionRequest:
    """One tool call that an agent wants to make.

    Parameters
    ----------
    arguments : a JSON object, or its text
    cost : what the call is expected to cost, besides the money that its arguments move; None when not known
    request_id : the caller's name for this request: asked again under the same, it is one decision
    subject : whom or what the action is about; a part of what consent is bound to
    incident : the event or chain that the action answers; agents that share it are coordinated
    targets : what it changes as `kind:name`; by default read from its arguments
    approval_id : consent that it claims; by default the gate looks for one that covers it
    last_message : the last message of the run before the call, where policy looks at it
    requested_by : the person on whose behalf it is asked; may not consent to it where four eyes are wanted
    """

    run_id: str
    agent_id: str
    tool: str | None
    arguments: Mapping[str, Any] | str | None = None
    cost: float | Decimal | None = None
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    agent_version: str | None = None
    subject: str | None = None
    incident: str | None = None
    targets: tuple[str, ...] | None = None
    approval_id: str | None = None
    last_message: str | None = None
    requested_by: str | None = None
    correlation_id: str | None = None

    def problem(self) -> str | None:
        """What makes it unreadable, in words; None when nothing does."""
        for name in ("run_id", "agent_id", "request_id"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                return f"it has no {name}"
        for name in ("run_id", "agent_id", "request_id", "tool", "agent_version", "incident", "approval_id", "subject"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or len(value) > LONGEST_NAME or "\x00" in value):
                return f"its {name} is not a text of at most {LONGEST_NAME} characters"
        if not self.tool:
            return "the call names no tool"
        for target in self.targets or ():
            if not isinstance(target, str) or not 0 < len(target) <= 2 * LONGEST_NAME:
                return f"its target {target!r} is not a name"
        return None

    def read_arguments(self) -> dict[str, Any] | str:
        """The arguments as an object, or what is wrong with them in words."""
        read: Any = self.arguments
        if read is None or read == "":
            return {}
        if isinstance(read, str):
            if len(read) > LONGEST_ARGUMENTS:
                return f"its arguments are longer than {LONGEST_ARGUMENTS} characters"
            try:
                read = json.loads(read)
            except (ValueError, RecursionError) as error:
                return f"its arguments are not JSON: {error}"
        if not isinstance(read, Mapping):
            return f"its arguments are not a JSON object but {type(read).__name__}"
        try:
            text = json.dumps(dict(read), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            return f"its arguments are not JSON: {error}"
        if len(text) > LONGEST_ARGUMENTS or "\\u0000" in text:
            return f"its arguments are longer than {LONGEST_ARGUMENTS} characters, or hold a NUL"
        return dict(json.loads(text))

    def fingerprint(self) -> str:
        """SHA-256 of what was asked, whether it can be read or not: a request id stands for one request."""
        names = ("run_id", "agent_id", "agent_version", "tool", "subject", "incident", "targets")
        asked: list[Any] = [getattr(self, name) for name in names]
        arguments = self.read_arguments()
        asked += [arguments if isinstance(arguments, dict) else str(self.arguments), str(self.cost)]
        text = json.dumps(asked, sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Authorisation:
    """The gate's answer. Only `allow` lets the call run; `wait` says to ask the same again after `retry_after` s.

    `policy` names the guard, rule or reason (`budget_exhausted`, `agent_stopped`, `gate_unavailable`, ...).
    `leases` maps each target to its fencing token.
    """

    decision: Answered
    reason: str
    policy: str
    policy_version: str | None
    decision_id: str
    reservation_id: str | None = None
    approval_id: str | None = None
    leases: Mapping[str, int] = field(default_factory=dict)
    lease_until: str | None = None
    retry_after: float | None = None
    attempt: int = 1

    @property
    def allowed(self) -> bool:
        return self.decision == "allow"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What is written down of a call's end. `overrun`: what it cost beyond its budget. `in_time` is False where its
    leases had ended before it did: somebody else may have acted on its targets."""

    decision_id: str
    status: Literal["settled", "released"]
    outcome: str
    cost: str | None
    overrun: str | None
    in_time: bool
