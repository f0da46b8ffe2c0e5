"""`liftos actions`: what agents proposed and did, what an action would do, and a person's word that takes one back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from liftos_pipelines.resources.actions import Means, Order
    from liftos_pipelines.spine.database import Spine

actions_app = typer.Typer(no_args_is_help=True, help="Actions of agents: what they are, would do, and how to undo one.")
console = Console()
Client = Annotated[str, typer.Argument(help="Client id, the name of its folder")]
SHORTEST = 6
"""Characters of an id that name an action; fewer may be a slip of the hand."""
Action = Annotated[str, typer.Argument(help="Action id, or as much of its beginning as names one")]


@actions_app.command("list")
def list_actions(
    client: Client,
    status: Annotated[
        str | None, typer.Option(help="Only these: executed, awaiting_approval, waiting, denied, failed, taken_back")
    ] = None,
) -> None:
    """Every action, newest first: where it stands, who proposed it, by which rule."""
    spine = _spine(client)
    from liftos_pipelines.assets.agentic_ledger import state_of

    state = state_of(spine, client)
    rows = sorted(state.decided.items(), key=lambda item: item[1]["proposed_at"], reverse=True)
    shown = [(key, row) for key, row in rows if status is None or state.status_of(key) == status]
    for key, row in shown:
        _say(
            f"{row['proposed_at']:%Y-%m-%d %H:%M} {key[:12]} {state.status_of(key):<17} {row['action']} by "
            f"{row['agent_id']}: {row['decision']} by {row['policy']}"
        )
    if not shown:
        _say(f"no action{f' is {status}' if status else ' yet'}")


@actions_app.command("dry-run")
def dry_run(client: Client, action: Action) -> None:
    """What an action would do if it were carried out now; nothing is changed."""
    from liftos_pipelines.modules.agentic.ledger_state import TAKEN_BACK
    from liftos_pipelines.resources.actions import ActionFailed, foresee

    status, order, means = _found(_spine(client), client, action)
    if status in ("denied", "executed", TAKEN_BACK):
        _say(f"{order.action_id} is {status}: it will not be carried out. If it were:")
    try:
        _say(foresee(order, means))
    except ActionFailed as error:
        _say(f"it would fail: {error}")
        raise typer.Exit(1) from error


@actions_app.command("undo")
def undo(
    client: Client,
    action: Action,
    by: Annotated[str, typer.Option("--by", help="Who decides; it stands in the ledger")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the ledger")],
) -> None:
    """Take back an executed action, where it can be taken back and nobody acts on its targets just now. Its money goes
    back to the budgets; what was done stands in the ledger."""
    from liftos_pipelines.assets.agentic_reaction import ANSWERING
    from liftos_pipelines.resources.actions import ActionFailed
    from liftos_pipelines.resources.table_locks import table_lock

    if not by.strip() or not reason.strip():
        raise ValueError("--by and --reason stand in the ledger: say who decides, and why")
    spine = _spine(client)
    # In turn with whoever carries actions out, or takes the same one back: each sees what the other wrote down.
    with table_lock(client, ANSWERING):
        try:
            done, said = _taken_back(spine, client, action, by, reason)
        except ActionFailed as error:
            done, said = False, f"not taken back: {error}"
    _say(said)
    if not done:
        raise typer.Exit(1)


def _taken_back(spine: Spine, client: str, action: str, by: str, reason: str) -> tuple[bool, str]:
    """Whether an action is taken back now, and how in words."""
    from liftos_pipelines.authority.undoing import hold_for_undo, let_go_of_undo, write_undone
    from liftos_pipelines.modules.agentic.ledger_state import ACTION, TAKEN_BACK
    from liftos_pipelines.resources.actions import take_back
    from liftos_pipelines.spine.database import LedgerNote

    status, order, means = _found(spine, client, action)
    if status == TAKEN_BACK:
        return True, f"{order.action_id} was taken back before"
    if status != "executed":
        return False, f"{order.action_id} is {status}: there is nothing to take back"
    now = datetime.now(UTC)
    busy = hold_for_undo(spine, order, by=by, now=now)
    if busy is not None:
        return False, f"not taken back: {busy}; try again when it has ended"
    try:
        outcome = take_back(order, means)
    except BaseException:
        let_go_of_undo(spine, order, now=now)
        raise
    means.outbox.sync()
    body = {
        "action_id": order.action_id,
        "action": order.action,
        "status": TAKEN_BACK,
        "outcome": outcome,
        "by": by,
        "reason": reason,
        "at": now.isoformat(),
    }
    note = LedgerNote(ACTION, by, body, f"{order.action_id}:{TAKEN_BACK}")
    write_undone(spine, order, note, now=datetime.now(UTC))
    return True, f"taken back: {outcome}"


def _spine(client: str) -> Spine:
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.resources.spine import open_spine

    load_client(client)
    return open_spine()


def _found(spine: Spine, client: str, action: str) -> tuple[str, Order, Means]:
    """The action that an id, or its beginning, names, and where it stands.

    Raises
    ------
    ValueError : no action, or several, go by it
    """
    from liftos_pipelines import settings
    from liftos_pipelines.assets.agentic_ledger import state_of
    from liftos_pipelines.assets.agentic_movers import means_of
    from liftos_pipelines.assets.agentic_notes import order_of
    from liftos_pipelines.resources.lake import Lake
    from liftos_pipelines.resources.mlflow import MlflowResource

    state = state_of(spine, client)
    named = [action] if action in state.decided else [key for key in state.decided if key.startswith(action)]
    if len(named) != 1 or len(action) < SHORTEST:
        what = f"{len(named)} actions begin with {action!r}" if named else f"{client} has no action {action!r}"
        if len(action) < SHORTEST:
            what = f"{action!r} is too short to name an action: give {SHORTEST} characters"
        raise ValueError(f"{what}; see `liftos actions list {client}`")
    lake = Lake(settings.lake_uri())
    means = means_of(
        client, spine, lake.folder(client, "agentic"), MlflowResource(), lake.read(client, "sources/agents")
    )
    return state.status_of(named[0]), order_of(client, state.decided[named[0]]), means


def _say(text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
