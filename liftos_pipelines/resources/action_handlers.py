"""What actually happens when an agent's action may run: one handler an action, each safe to run twice.

A handler either does the thing and says what it did, or raises `ActionFailed`. An action without a handler cannot be
executed, whatever a policy says.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

WEBHOOK_VARIABLE = "LIFTOS_WEBHOOK_URL"
WEBHOOK_SECONDS = 5.0
OUTBOX = "outbox.jsonl"
PLANS = "plans"
ROLLBACKS = "rollbacks"


class ActionFailed(RuntimeError):
    """An action could not be carried out; the message says why, without secrets."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One action to carry out."""

    client: str
    action_id: str
    agent_id: str
    action: str
    arguments: Mapping[str, Any]
    ordered_at: datetime


class Outbox:
    """The folder's file of messages and tickets; what it holds is read once."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / OUTBOX
        self._known: set[str] | None = None
        self._unsynced = False

    def holds(self, action_id: str) -> bool:
        if self._known is None:
            self._known = _delivered(self.file)
        return action_id in self._known

    def append(self, content: Mapping[str, Any]) -> None:
        _append(self.file, content)
        self._unsynced = True
        if self._known is not None:
            self._known.add(str(content["action_id"]))

    def sync(self) -> None:
        """Bring what was appended safely to disk: before anybody writes down that it was done."""
        if self._unsynced:
            with self.file.open("rb") as file:
                os.fsync(file.fileno())
            self._unsynced = False


def execute(order: Order, folder: Path, webhook: str | None = None, outbox: Outbox | None = None) -> str:
    """Carry out an order and say how, in one line.

    Parameters
    ----------
    folder : the client's own folder for the agentic module's files
    webhook : address for messages and tickets; without one they wait in the folder's outbox
    outbox : the folder's, where several orders are carried out after another; its holder calls `sync`

    Raises
    ------
    ActionFailed : there is no handler, or it did not succeed
    """
    handler = HANDLERS.get(order.action)
    if handler is None:
        raise ActionFailed(f"there is no handler for {order.action}; handlers: {', '.join(HANDLERS)}")
    box = outbox or Outbox(folder)
    outcome = handler(order, box, webhook)
    if outbox is None:
        box.sync()
    return outcome


def webhook_address() -> str | None:
    """Where messages and tickets go: the environment's `LIFTOS_WEBHOOK_URL`, or None."""
    return os.environ.get(WEBHOOK_VARIABLE) or None


def _message(order: Order, outbox: Outbox, webhook: str | None) -> str:
    """Post a message or ticket; noted in the outbox once it is delivered, or left there to be fetched."""
    if outbox.holds(order.action_id):
        return f"already in {OUTBOX}"
    content = {
        "action_id": order.action_id,
        "client": order.client,
        "agent_id": order.agent_id,
        "action": order.action,
        "arguments": dict(order.arguments),
        "ordered_at": order.ordered_at.isoformat(),
    }
    if webhook:
        _post(webhook, content)
    outbox.append(content | {"delivery": "webhook" if webhook else "outbox"})
    return "posted to the webhook" if webhook else f"written to {OUTBOX}"


def _plan(order: Order, outbox: Outbox, webhook: str | None) -> str:
    """Write a budget shift as a plan for the people or system that books media; the same plan once."""
    return _written(order, outbox.file.parent / PLANS)


def _rollback(order: Order, outbox: Outbox, webhook: str | None) -> str:
    """Ask the system that deploys prompts, models or agents for an earlier version: a written order, and a message."""
    where = _written(order, outbox.file.parent / ROLLBACKS)
    return f"{where}; {_message(order, outbox, webhook)}"


def _run(order: Order, outbox: Outbox, webhook: str | None) -> str:
    """A remedy that a run of the platform carries out: the event that asks for it follows the ledger's entry."""
    dataset = order.arguments.get("dataset")
    if not isinstance(dataset, str) or not dataset:
        raise ActionFailed(f"{order.action} names no dataset")
    return f"ordered a run that makes {dataset} anew"


def _written(order: Order, folder: Path) -> str:
    file = folder / f"{order.action_id}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "action_id": order.action_id,
        "client": order.client,
        "agent_id": order.agent_id,
        "action": order.action,
        **dict(order.arguments),
    }
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")
    partial.replace(file)
    return f"written to {folder.name}/{file.name}"


HANDLERS: dict[str, Callable[[Order, Outbox, str | None], str]] = {
    "notify": _message,
    "open_ticket": _message,
    "shift_budget": _plan,
    "rollback": _rollback,
    "refit_model": _run,
    "reingest_source": _run,
}


def _delivered(file: Path) -> set[str]:
    if not file.is_file():
        return set()
    ids = set()
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            ids.add(json.loads(line)["action_id"])
        except (ValueError, KeyError, TypeError):
            continue  # a line cut off by a crash was never acknowledged
    return ids


def _append(file: Path, content: Mapping[str, Any]) -> None:
    line = json.dumps(content, sort_keys=True, default=str).encode() + b"\n"
    with file.open("a+b") as outbox:
        # A line that a crash cut off stays a line of its own.
        if outbox.seek(0, os.SEEK_END):
            outbox.seek(-1, os.SEEK_END)
            line = line if outbox.read(1) == b"\n" else b"\n" + line
        outbox.write(line)


def _post(address: str, content: Mapping[str, Any]) -> None:
    if not address.startswith(("http://", "https://")):
        raise ActionFailed(f"{WEBHOOK_VARIABLE} is not an http address")
    request = urllib.request.Request(
        address,
        data=json.dumps(content, default=str).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": str(content["action_id"])},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=WEBHOOK_SECONDS) as answer:
            if not 200 <= answer.status < 300:
                raise ActionFailed(f"the webhook answered {answer.status}")
    except urllib.error.HTTPError as error:
        raise ActionFailed(f"the webhook answered {error.code}") from error
    except (urllib.error.URLError, OSError) as error:
        raise ActionFailed(f"the webhook cannot be reached: {getattr(error, 'reason', error)}") from error
