"""What the gate reads over HTTP, field by field; anything else in a message is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(min_length=1, max_length=128)]


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DecisionAsked(Message):
    """A call that an agent wants to make; see `requests.ActionRequest`."""

    run_id: Name
    agent_id: Name
    tool: Name
    arguments: dict[str, Any] | str | None = None
    cost: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    request_id: Name
    agent_version: Name | None = None
    subject: Name | None = None
    incident: Name | None = None
    targets: Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=64)] | None = None
    approval_id: Name | None = None
    last_message: Annotated[str, Field(max_length=16_000)] | None = None
    correlation_id: Name | None = None


class SettledBy(Message):
    """How a call went; without a cost it counts as what was reserved."""

    cost: Annotated[Decimal, Field(ge=0, allow_inf_nan=False, strict=False)] | None = None
    outcome: Annotated[str, Field(min_length=1, max_length=32)] = "succeeded"
    result: Annotated[str, Field(max_length=64_000)] | None = None
    flags: Annotated[list[Name], Field(max_length=64)] = []


class ReleasedBy(Message):
    reason: Annotated[str, Field(min_length=1, max_length=512)] = "it did not run"


class Word(Message):
    """A person's reason for giving or denying."""

    reason: Annotated[str, Field(max_length=2000)] = ""
