"""`liftos events`: what happened, what is still unanswered, what was given up, and how to have it answered again."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from liftos_pipelines.clients import check_client_id, load_client

events_app = typer.Typer(
    no_args_is_help=True, help="Events that modules raised: list, backlog, dead letters, retry, replay."
)
console = Console(width=None if sys.stdout.isatty() else 160)

_HASH = re.compile("[0-9a-f]{32,64}")
Client = Annotated[str, typer.Argument(help="Client id, the name of its folder")]
AnyClient = Annotated[str | None, typer.Argument(help="Client id; all clients when absent")]
OneReaction = Annotated[str | None, typer.Option(help="Only this reaction, for example causal/impact")]


@events_app.command("list")
def events_list(
    client: Client,
    limit: Annotated[int, typer.Option(help="How many of the newest")] = 50,
    event_type: Annotated[str | None, typer.Option("--type", help="Only this type")] = None,
) -> None:
    """The newest events of a client, oldest first, with what caused them."""
    from liftos_pipelines.resources.spine import open_spine

    load_client(client)
    types = None if event_type is None else [event_type]
    for event in open_spine().events(client, types, limit=limit, newest=True):
        cause = f" <- {_brief(event.causation_id)}" if event.causation_id else ""
        _say(
            f"{event.seq:>5} {event.occurred_at:%Y-%m-%d %H:%M} {_brief(event.event_id)}{cause} "
            f"[{_brief(event.correlation_id)}] {event.type}: {event.payload.model_dump_json(exclude_none=True)}"
        )


@events_app.command("raise")
def events_raise(
    client: Client,
    event_type: Annotated[str, typer.Argument(help="Type of the event, as in `liftos events list`")],
    payload: Annotated[str, typer.Argument(help="JSON")],
) -> None:
    """Append an event by hand."""
    from liftos_pipelines.resources.spine import open_spine
    from liftos_pipelines.spine.database import parse_payload

    load_client(client)
    event = open_spine().raise_event(client, parse_payload(event_type, payload), occurred_at=datetime.now(UTC))
    _say(f"event {event.event_id} stands at {event.seq}")


@events_app.command("backlog")
def events_backlog(client: AnyClient = None) -> None:
    """How much each reaction still owes an answer, and what it waits for."""
    from liftos_pipelines.resources.spine import open_spine
    from liftos_pipelines.sensors.reactions import REACTIONS

    spine, now = open_spine(), datetime.now(UTC)
    if client is not None:
        check_client_id(client)
    table = Table(header_style="bold")
    for column in ("reaction", "unanswered", "tried before", "given up", "in hand of", "last fault"):
        table.add_column(column, justify="right" if column in ("unanswered", "tried before", "given up") else "left")
    for reaction in REACTIONS:
        owed = spine.backlog(reaction.name, reaction.event_types, client=client)
        tried = [each for each in spine.pending(client, reaction.name) if each.attempts]
        dead = spine.dead_letters(client, reaction.name)
        holders = sorted({claim.owner.split(":")[0] for claim in spine.claims(reaction.name, now) if not claim.expired})
        fault = " ".join(str((tried or dead)[-1].reason).split())[:80] if tried or dead else ""
        table.add_row(
            reaction.name,
            f"{owed:,}",
            str(len(tried)),
            str(len(dead)),
            ", ".join(holders),
            " ".join(fault.split())[:80],
        )
    console.print(table)
    reactor = "a reactor is at work" if spine.reactor_at_work(now) else "no reactor is at work: sensors answer"
    _say(f"{spine.newest_seq():,} events in the log; {reactor}")


@events_app.command("dead")
def events_dead(client: AnyClient = None, reaction: OneReaction = None) -> None:
    """What was given up, why, and what to do about it; exit code 1 when there is something."""
    from liftos_pipelines.resources.spine import open_spine

    letters = open_spine().dead_letters(client, reaction)
    for letter in letters:
        when = f", last at {letter.failed_at:%Y-%m-%d %H:%M}" if letter.failed_at else ""
        _say(f"{letter.seq:>5} {letter.client} {letter.event_id[:12]} {letter.type} for {letter.reaction}")
        _say(f"      {letter.attempts} attempt(s){when}: {' '.join(letter.reason.split())}")
        _say(f"      {letter.advice}")
    if not letters:
        _say("nothing was given up")
    raise typer.Exit(1 if letters else 0)


@events_app.command("retry")
def events_retry(
    client: Client,
    event: Annotated[str | None, typer.Option(help="Only this event: its id, or how it begins")] = None,
    reaction: OneReaction = None,
) -> None:
    """Put a client's dead letters back in the queue, when what stood in their way is mended."""
    from liftos_pipelines.resources.spine import open_spine

    spine = open_spine()
    event_id = None if event is None else spine.id_of(client, event)
    revived = spine.revive(client, event_id=event_id, reaction=reaction)
    _say(f"{revived} dead letter(s) of {client} are back in the queue")
    left = [letter for letter in spine.dead_letters(client) if event_id in (None, letter.event_id)]
    for letter in left:
        _say(f"still not readable: {letter.event_id[:12]}: {letter.reason}")


@events_app.command("replay")
def events_replay(
    client: Client,
    after: Annotated[int | None, typer.Option(help="Events after this place in the log; 0 for all")] = None,
    since: Annotated[datetime | None, typer.Option(help="Events recorded at or after this moment (UTC)")] = None,
    event: Annotated[str | None, typer.Option("--from", help="From this event on: its id, or how it begins")] = None,
    reaction: OneReaction = None,
) -> None:
    """Have a client's events answered once more from a point on; answers are idempotent, so nothing is done twice."""
    from liftos_pipelines.resources.spine import open_spine
    from liftos_pipelines.sensors.reactions import REACTIONS

    if sum(point is not None for point in (after, since, event)) != 1:
        raise ValueError("say from where to replay: exactly one of --after PLACE, --since MOMENT, --from EVENT")
    known = {each.name: each.event_types for each in REACTIONS}
    if reaction is not None and reaction not in known:
        raise ValueError(f'there is no reaction "{reaction}"; reactions: {", ".join(known)}')
    spine = open_spine()
    if event is not None:
        found = spine.event(spine.id_of(client, event))
        after = found.seq - 1 if found else 0
    moment = since.replace(tzinfo=UTC) if since is not None and since.tzinfo is None else since
    chosen = known if reaction is None else {reaction: known[reaction]}
    asked = spine.replay(client, reactions=chosen, after_seq=after, since=moment)
    _say(
        f"{asked:,} answer(s) of {client} are asked for again; `liftos events backlog {client}` shows how far they are"
    )


def _brief(identity: str) -> str:
    """Enough of an id for `liftos trace`: a hash by how it begins, any other name whole."""
    return identity[:12] if _HASH.fullmatch(identity) else identity


def _say(line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
