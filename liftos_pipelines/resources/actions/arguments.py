"""What each action must be told, typed; whatever else it is told is kept and passed on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1)]


class Arguments(BaseModel):
    """Base of all arguments. Fields that say what an action is about (a campaign, a window) are welcome beside them."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Notify(Arguments):
    text: Text
    channel: str = "growth"


class Ticket(Arguments):
    title: Text
    text: str = ""


class ShiftBudget(Arguments):
    """`amount` : money to move, in `currency`."""

    from_channel: Text
    to_channel: Text
    amount: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class ChangeVersion(Arguments):
    """Another version of a prompt, a model or an agent is to serve. `from_version` is the one it was decided on."""

    kind: Literal["prompt", "model", "agent"]
    name: Text
    to_version: Text
    from_version: str | None = None
    reason: str = ""


class MoveAgent(Arguments):
    """A version of an agent goes to another stage of its lifecycle; `from_stage` is the one it was decided on."""

    agent_id: Text
    version: Text
    from_stage: Text
    to_stage: Text


class Remedy(Arguments):
    """`dataset` : the table or model that a run makes anew."""

    dataset: Text
