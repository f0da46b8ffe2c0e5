"""An action to carry out, and what there is to carry it out with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from liftos_pipelines.resources.actions.outbox import Outbox

WEBHOOK_VARIABLE = "LIFTOS_WEBHOOK_URL"


class ActionFailed(RuntimeError):
    """An action could not be carried out; the message says why, without secrets."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One action to carry out. `action_id` is the idempotency key: the same order twice does the thing once."""

    client: str
    action_id: str
    agent_id: str
    action: str
    arguments: Mapping[str, Any]
    ordered_at: datetime


class Mover(Protocol):
    """What serves under a name (a prompt, a model, an agent), and how another version is made to serve."""

    def serving(self, name: str) -> str | None:
        """The version that serves; None where nothing here decides that, and a written order is the way."""
        ...

    def move(self, name: str, to_version: str, *, by: str, reason: str) -> str:
        """Make a version serve, and say how. Done twice it is one move.

        Raises
        ------
        ValueError : there is no such version, or it may not serve
        """
        ...


class Stages(Protocol):
    """At which stage of its lifecycle an agent's version stands, and how it is moved."""

    def stage(self, agent_id: str, version: str) -> str | None:
        """Its stage; None for a version that nobody registered."""
        ...

    def move(
        self, agent_id: str, version: str, to_stage: str, *, by: str, reason: str, evidence: Mapping[str, Any]
    ) -> str:
        """Move it, and say how. Done twice it is one move. `evidence` names what decided it.

        Raises
        ------
        ValueError : the lifecycle does not allow it
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Means:
    """What orders are carried out with.

    `folder` : the client's own, for the agentic module's files; `webhook` : address of messages and tickets, without
    one they wait in the folder's outbox; `movers` : by kind (prompt, model, agent); `stages` : of agents, None where
    nothing here decides them
    """

    folder: Path
    outbox: Outbox
    webhook: str | None = None
    movers: Mapping[str, Mover] = field(default_factory=dict)
    stages: Stages | None = None

    @classmethod
    def of(cls, folder: Path, *, movers: Mapping[str, Mover] | None = None, stages: Stages | None = None) -> Means:
        """A folder's, with the webhook that the environment names."""
        return cls(folder=folder, outbox=Outbox(folder), webhook=webhook_address(), movers=movers or {}, stages=stages)


def webhook_address() -> str | None:
    """Where messages and tickets go: the environment's `LIFTOS_WEBHOOK_URL`, or None."""
    return os.environ.get(WEBHOOK_VARIABLE) or None
