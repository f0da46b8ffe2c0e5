"""`liftos agents`: which agents may not decide, and a person's word that stops one or lets it go on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

agents_app = typer.Typer(no_args_is_help=True, help="Agents that are stopped, and the person's word that resumes them.")
console = Console()
Client = Annotated[str, typer.Argument(help="Client id, the name of its folder")]
Agent = Annotated[str, typer.Argument(help="Agent id, as in sources/agents")]
By = Annotated[str, typer.Option("--by", help="Who decides; it stands in the ledger")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stands in the ledger")]


@agents_app.command("stops")
def stops(client: Client) -> None:
    """Every stop: since when, why, until when, and who ended it."""
    from liftos_pipelines.assets.agentic_ledger import state_of
    from liftos_pipelines.assets.agentic_stops import stops_table
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.resources.spine import open_spine

    load_client(client)
    for row in stops_table(state_of(open_spine(), client), datetime.now(UTC)).iter_rows(named=True):
        until = f"until {row['until']:%Y-%m-%d %H:%M}" if row["until"] else "until a person resumes it"
        ended = f" (by {row['resumed_by']})" if row["resumed_by"] else ""
        since = f"{row['stopped_at']:%Y-%m-%d %H:%M}"
        console.print(
            f"{row['status']:<8} {row['agent_id']} since {since} {until}{ended}: {row['reason']}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


@agents_app.command("stop")
def stop(client: Client, agent: Agent, by: By, reason: Reason) -> None:
    """Stop an agent: its next decision is denied, until it is resumed."""
    from liftos_pipelines.assets.agentic_ledger import stop_agent
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.resources.spine import open_spine

    load_client(client)
    stop_agent(open_spine(), client, agent, by=by, reason=reason, now=datetime.now(UTC))
    console.print(f"{agent} is stopped", highlight=False)


@agents_app.command("resume")
def resume(client: Client, agent: Agent, by: By, reason: Reason) -> None:
    """End all stops of an agent; its next decision is judged by policy again."""
    from liftos_pipelines.assets.agentic_ledger import resume_agent
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.resources.spine import open_spine

    load_client(client)
    if not resume_agent(open_spine(), client, agent, by=by, reason=reason, now=datetime.now(UTC)):
        console.print(f"{agent} is not stopped; see `liftos agents stops {client}`", highlight=False)
        raise typer.Exit(1)
    console.print(f"{agent} may decide again", highlight=False)
