"""What actually happens when an agent's action may run: one handler an action, each safe to run twice.

A handler says beforehand what it would do (`foresee`, which changes nothing), does it and says what it did (`run`), and
takes it back where that is possible (`undo`). An action without a handler cannot be executed, whatever a policy says.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

from liftos_pipelines.resources.actions.arguments import (
    Arguments,
    ChangeVersion,
    MoveAgent,
    Notify,
    Remedy,
    ShiftBudget,
    Ticket,
)
from liftos_pipelines.resources.actions.order import ActionFailed, Means, Order
from liftos_pipelines.resources.actions.outbox import OUTBOX
from liftos_pipelines.resources.actions.webhook import post

PLANS, ROLLBACKS = "plans", "rollbacks"
WITHDRAWN = "withdrawn"
Told = TypeVar("Told", bound=Arguments)


class Handler(ABC, Generic[Told]):
    """One action. `reversible` says whether `undo` takes it back."""

    action: ClassVar[str]
    reads: type[Told]
    reversible: ClassVar[bool] = True

    @abstractmethod
    def foresee(self, order: Order, told: Told, means: Means) -> str:
        """What `run` would do, in one line; nothing is changed."""

    @abstractmethod
    def run(self, order: Order, told: Told, means: Means) -> str:
        """Do it, and say how in one line.

        Raises
        ------
        ActionFailed : it did not succeed
        """

    def undo(self, order: Order, told: Told, means: Means) -> str:
        """Take back what `run` did, and say how.

        Raises
        ------
        ActionFailed : it cannot be taken back, or that did not succeed
        """
        raise ActionFailed(f"{self.action} cannot be taken back")


class Message(Handler[Told]):
    """A message or ticket: posted and noted in the outbox once it is delivered, or left there to be fetched."""

    def foresee(self, order: Order, told: Told, means: Means) -> str:
        if means.outbox.holds(order.action_id):
            return f"nothing: it is already in {OUTBOX}"
        where = "post to the webhook" if means.webhook else f"write to {OUTBOX}"
        return f"{where}: {_headline(told)}"

    def run(self, order: Order, told: Told, means: Means) -> str:
        return send(order, means)

    def undo(self, order: Order, told: Told, means: Means) -> str:
        """What was said cannot be unsaid: a second message says that it is withdrawn."""
        if not means.outbox.holds(order.action_id):
            return "nothing: it was never sent"
        return send(order, means, withdraws=True)


class NotifyHandler(Message[Notify]):
    action, reads = "notify", Notify


class TicketHandler(Message[Ticket]):
    action, reads = "open_ticket", Ticket


class ShiftBudgetHandler(Handler[ShiftBudget]):
    """A budget shift, written as a plan for the people or the system that books media."""

    action, reads = "shift_budget", ShiftBudget

    def foresee(self, order: Order, told: ShiftBudget, means: Means) -> str:
        return (
            f"write a plan that moves {told.amount:,.2f} {told.currency} from {told.from_channel} to {told.to_channel}"
        )

    def run(self, order: Order, told: ShiftBudget, means: Means) -> str:
        return written(order, means, PLANS)

    def undo(self, order: Order, told: ShiftBudget, means: Means) -> str:
        """The plan back to where the money came from: whoever booked the first one books this one too."""
        back = {"from_channel": told.to_channel, "to_channel": told.from_channel, "reverses": order.action_id}
        return written(order, means, PLANS, suffix=f"-{WITHDRAWN}", **back)


class ChangeVersionHandler(Handler[ChangeVersion]):
    """Another version serves: the alias of a prompt or model, or the stage of an agent, where it is decided here; else
    a written order to the system that deploys it."""

    reads = ChangeVersion

    def foresee(self, order: Order, told: ChangeVersion, means: Means) -> str:
        serving = self._serving(told, means)
        if serving is None:
            return f"write an order that {told.kind} {told.name} goes to version {told.to_version}"
        if serving == told.to_version:
            return f"nothing: version {serving} of {told.kind} {told.name} serves already"
        return f"move {told.kind} {told.name} from version {serving} to {told.to_version}"

    def run(self, order: Order, told: ChangeVersion, means: Means) -> str:
        serving = self._serving(told, means)
        if serving is None:
            return f"{written(order, means, ROLLBACKS)}; {send(order, means)}"
        if told.from_version is not None and serving not in (told.from_version, told.to_version):
            raise ActionFailed(
                f"{told.kind} {told.name} serves version {serving} by now, not {told.from_version} on which this was "
                "decided; decide anew"
            )
        return self._move(told, told.to_version, order, means, told.reason or f"{order.action} {order.action_id}")

    def undo(self, order: Order, told: ChangeVersion, means: Means) -> str:
        serving = self._serving(told, means)
        if told.from_version is None:
            raise ActionFailed(f"which version of {told.kind} {told.name} served before is not known")
        if serving is None:
            back = {"from_version": told.to_version, "to_version": told.from_version, "reverses": order.action_id}
            file = written(order, means, ROLLBACKS, suffix=f"-{WITHDRAWN}", **back)
            return f"{file}; {send(order, means, withdraws=True)}"
        if serving not in (told.from_version, told.to_version):
            raise ActionFailed(
                f"{told.kind} {told.name} serves version {serving} by now; there is nothing to take back"
            )
        return self._move(told, told.from_version, order, means, f"takes back {order.action_id}")

    def _serving(self, told: ChangeVersion, means: Means) -> str | None:
        mover = means.movers.get(told.kind)
        return None if mover is None else mover.serving(told.name)

    def _move(self, told: ChangeVersion, to_version: str, order: Order, means: Means, reason: str) -> str:
        try:
            return means.movers[told.kind].move(told.name, to_version, by=order.agent_id, reason=reason)
        except (ValueError, LookupError) as error:
            raise ActionFailed(f"{told.kind} {told.name}: {error}") from error


class RollbackHandler(ChangeVersionHandler):
    action = "rollback"


class PromoteHandler(ChangeVersionHandler):
    action = "promote"


class MoveAgentHandler(Handler[MoveAgent]):
    """A version of an agent goes to another stage: an entry of the ledger, where the platform decides stages."""

    action, reads = "move_agent", MoveAgent

    def foresee(self, order: Order, told: MoveAgent, means: Means) -> str:
        stage = self._stage(told, means)
        if stage == told.to_stage:
            return f"nothing: agent {told.agent_id} {told.version} is {stage} already"
        return f"move agent {told.agent_id} {told.version} from {stage} to {told.to_stage}"

    def run(self, order: Order, told: MoveAgent, means: Means) -> str:
        return self._move(told, told.from_stage, told.to_stage, order, means, f"{order.action} {order.action_id}")

    def undo(self, order: Order, told: MoveAgent, means: Means) -> str:
        return self._move(told, told.to_stage, told.from_stage, order, means, f"takes back {order.action_id}")

    def _stage(self, told: MoveAgent, means: Means) -> str:
        stage = None if means.stages is None else means.stages.stage(told.agent_id, told.version)
        if stage is None:
            raise ActionFailed(f"agent {told.agent_id} {told.version} is not registered here")
        return stage

    def _move(self, told: MoveAgent, there: str, to: str, order: Order, means: Means, reason: str) -> str:
        stage = self._stage(told, means)
        who = f"agent {told.agent_id} {told.version}"
        if stage == to:
            return f"{who} is {to} already"
        if stage != there:
            raise ActionFailed(f"{who} is {stage} by now, not {there} on which this was decided; decide anew")
        assert means.stages is not None
        try:
            return means.stages.move(
                told.agent_id,
                told.version,
                to,
                by=order.agent_id,
                reason=reason,
                evidence={"action_id": order.action_id},
            )
        except ValueError as error:
            raise ActionFailed(str(error)) from error


class RemedyHandler(Handler[Remedy]):
    """A remedy that a run of the platform carries out: the event that asks for it follows the ledger's entry."""

    reads = Remedy
    reversible = False

    def foresee(self, order: Order, told: Remedy, means: Means) -> str:
        return f"order a run that makes {told.dataset} anew"

    def run(self, order: Order, told: Remedy, means: Means) -> str:
        return f"ordered a run that makes {told.dataset} anew"


class RefitHandler(RemedyHandler):
    action = "refit_model"


class ReingestHandler(RemedyHandler):
    action = "reingest_source"


def send(order: Order, means: Means, *, withdraws: bool = False) -> str:
    """Post a message or ticket, or leave it in the outbox; once, whatever happens in between."""
    identity = f"{order.action_id}-{WITHDRAWN}" if withdraws else order.action_id
    if means.outbox.holds(identity):
        return f"already in {OUTBOX}"
    content = {
        "action_id": identity,
        "client": order.client,
        "agent_id": order.agent_id,
        "action": order.action,
        "arguments": dict(order.arguments),
        "ordered_at": order.ordered_at.isoformat(),
    } | ({"withdraws": order.action_id} if withdraws else {})
    if means.webhook:
        post(means.webhook, content)
    means.outbox.append(content | {"delivery": "webhook" if means.webhook else "outbox"})
    return "posted to the webhook" if means.webhook else f"written to {OUTBOX}"


def written(order: Order, means: Means, folder: str, *, suffix: str = "", **changed: object) -> str:
    """An order as a file of its own; the same order twice is the same file."""
    file = means.folder / folder / f"{order.action_id}{suffix}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    # Arguments first: none of them may say whose order it is.
    content = {
        **dict(order.arguments),
        **changed,
        "action_id": f"{order.action_id}{suffix}",
        "client": order.client,
        "agent_id": order.agent_id,
        "action": order.action,
    }
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")
    partial.replace(file)
    return f"written to {folder}/{file.name}"


def _headline(told: Arguments) -> str:
    said = getattr(told, "title", "") or getattr(told, "text", "")
    return said if len(said) <= 120 else said[:117] + "..."


HANDLERS: dict[str, Handler[Arguments]] = {
    handler.action: handler  # type: ignore[misc]
    for handler in (
        NotifyHandler(),
        TicketHandler(),
        ShiftBudgetHandler(),
        RollbackHandler(),
        PromoteHandler(),
        MoveAgentHandler(),
        RefitHandler(),
        ReingestHandler(),
    )
}
