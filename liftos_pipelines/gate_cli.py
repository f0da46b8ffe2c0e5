"""`liftos gate`: the decision service, its tokens, and what budgets have given out."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from liftos_pipelines.clients import load_client

gate_app = typer.Typer(no_args_is_help=True, help="The gate between agents and their tools: service, tokens, budgets.")
token_app = typer.Typer(no_args_is_help=True, help="Who may ask the decision service.")
gate_app.add_typer(token_app, name="token")
console = Console(width=None if sys.stdout.isatty() else 160)
Client = Annotated[str, typer.Argument(help="Client id, the name of its folder")]
HolderName = Annotated[str, typer.Argument(help="The agent runtime or the person that the token stands for")]


@gate_app.command("serve")
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on")] = 8350,
    rate: Annotated[float, typer.Option(help="Requests a second of one token", min=0.1)] = 50.0,
    burst: Annotated[float, typer.Option(help="Requests at once of one token", min=1)] = 100.0,
) -> None:
    """Answer decisions, settlements and approvals over HTTP until stopped; beyond this machine behind TLS."""
    from liftos_pipelines.authority import server

    _say(f"The gate answers on http://{host}:{port}/v1; make tokens by `liftos gate token add`. Stop with Ctrl-C.")
    server.serve(host, port, rate=rate, burst=burst)


@gate_app.command("budgets")
def budgets(client: Client) -> None:
    """What every budget of a client has spent, promised, and left."""
    from liftos_pipelines.resources.spine import open_spine
    from liftos_pipelines.spine.budgets import money

    load_client(client)
    pots = open_spine().pots(client)
    for pot in pots:
        over = f", {money(pot.overrun)} beyond it" if pot.overrun else ""
        first = f", first refused {pot.exhausted_at:%Y-%m-%d %H:%M}" if pot.exhausted_at else ""
        _say(
            f"{pot.pot}: {money(pot.settled)} spent{over}, {money(pot.reserved)} promised, {money(pot.left)} left of "
            f"{money(pot.limit)}{first}"
        )
    if not pots:
        _say("nothing was drawn from a budget yet")


@token_app.command("add")
def token_add(
    client: Client,
    name: HolderName,
    person: Annotated[bool, typer.Option("--person", help="A person who decides on approvals, not an agent")] = False,
    agent: Annotated[list[str] | None, typer.Option("--agent", help="Only for this agent; may be repeated")] = None,
    role: Annotated[list[str] | None, typer.Option("--role", help="A role of the person; may be repeated")] = None,
) -> None:
    """Make a token; it is shown once."""
    from liftos_pipelines.authority.tokens import Tokens

    load_client(client)
    token = Tokens().add(
        name, client, "person" if person else "agent", agents=tuple(agent or ["*"]), roles=tuple(role or ())
    )
    _say(token)
    typer.echo("It is shown this once: give it to whoever it stands for, as `Authorization: Bearer TOKEN`.", err=True)


@token_app.command("list")
def token_list() -> None:
    """Who has a token."""
    from liftos_pipelines.authority.tokens import Tokens

    tokens = Tokens()
    for each in tokens.holders():
        about = (
            f"roles {', '.join(each.roles) or 'none'}" if each.kind == "person" else f"agents {', '.join(each.agents)}"
        )
        _say(f"{each.client} {each.name} ({each.kind}, {about})")
    if not tokens.holders():
        _say("nobody has a token; make one: liftos gate token add CLIENT NAME")


@token_app.command("revoke")
def token_revoke(client: Client, name: HolderName) -> None:
    """Take a token back; it is refused from now on."""
    from liftos_pipelines.authority.tokens import Tokens

    if not Tokens().revoke(name, client):
        _say(f"{name} has no token for {client}; see `liftos gate token list`")
        raise typer.Exit(1)
    _say(f"the token of {name} for {client} is revoked")


def _say(text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
