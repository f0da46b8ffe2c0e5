"""`liftos agents`: which agents there are and how they did, and a person's word that moves, stops or resumes them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    import polars as pl

agents_app = typer.Typer(
    no_args_is_help=True,
    help="Agents: their stage, readiness and record, and the person's word that moves or stops them.",
)
console = Console()
Client = Annotated[str, typer.Argument(help="Client id, the name of its folder")]
Agent = Annotated[str, typer.Argument(help="Agent id, as in sources/agents")]
AnyAgent = Annotated[str | None, typer.Argument(help="Agent id, as in sources/agents; not with --all")]
By = Annotated[str, typer.Option("--by", help="Who decides; it stands in the ledger")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stands in the ledger")]
Version = Annotated[str | None, typer.Option("--version", help="Which version; by default the registered one")]
EveryAgent = Annotated[bool, typer.Option("--all", help="Every agent of the client")]
Everywhere = Annotated[
    bool, typer.Option("--everywhere", help="Every agent of every client; the client named here says so")
]


@agents_app.command("list")
def list_agents(client: Client) -> None:
    """Every agent and version: stage, readiness, success with its 90 % interval, cost, violations, whether stopped."""
    from rich.table import Table

    # Wide enough for a pipe, where nothing folds lines; in a narrow terminal ids stay whole, and `show` tells the rest.
    wide = console if console.is_terminal else Console(width=160)
    table = Table(header_style="bold", box=None, pad_edge=False)
    columns = ["agent", "version", "stage", "readiness", "success", "runs"]
    if wide.width >= 100:
        columns += ["cost a run", "violations"]
    for name in columns:
        right = name in ("readiness", "runs", "cost a run", "violations")
        table.add_column(name, justify="right" if right else "left", no_wrap=name == "agent", overflow="fold")
    for row in _registry(client).iter_rows(named=True):
        told = [
            row["agent_id"],
            row["version"],
            (row["stage"] or "unknown") + (", stopped" if row["stopped"] else ""),
            _number(row["readiness"]),
            _interval(row),
            str(row["runs"]),
            _number(row["cost_per_run"], 4),
            _number(row["violating_runs"], 0),
        ]
        table.add_row(*told[: len(columns)])
    wide.print(table)


@agents_app.command("show")
def show(client: Client, agent: Agent) -> None:
    """One agent: its registration, record, criteria and every move of its versions."""
    import polars as pl

    from liftos_pipelines.assets.agentic_ledger import state_of
    from liftos_pipelines.resources.spine import open_spine

    rows = _registry(client).filter(pl.col("agent_id") == agent)
    if rows.is_empty():
        _refuse(f"agent {agent} is not known; see `liftos agents list {client}`")
    for row in rows.iter_rows(named=True):
        _say(f"{agent} {row['version']}: {_stage(row)}" + (f", stopped: {row['stopped']}" if row["stopped"] else ""))
        told = {
            "readiness": f"{_number(row['readiness'])} (exceeded with probability .95; {row['evidence_n']} outcomes)",
            "success": _interval(row),
            "cost a run": _number(row["cost_per_run"], 4),
            "runs with a violation": f"{_number(row['violating_runs'], 0)} of {row['runs']}",
            "criteria": row["criteria"] or "none are known for its type",
        }
        for name in (
            "type",
            "owner",
            "purpose",
            "model",
            "prompt",
            "risk_tier",
            "capabilities",
            "data_scopes",
            "budget",
        ):
            if row.get(name) is not None:
                value = row[name]
                told[name.replace("_", " ")] = ", ".join(value) if isinstance(value, list) else str(value)
        if row["warning"]:
            told["warning"] = row["warning"]
        for name, words in told.items():
            _say(f"  {name}: {words}")
    for (name, version), moves in sorted(state_of(open_spine(), client).moves.items()):
        for move in moves if name == agent else ():
            way = f"{move.from_stage} -> {move.to_stage}"
            _say(f"  {move.at:%Y-%m-%d %H:%M} {version}: {way} by {move.by}: {move.reason}")


@agents_app.command("promote")
def promote(client: Client, agent: Agent, by: By, reason: Reason, version: Version = None) -> None:
    """Move an agent's version to the next stage: draft, shadow, canary, live."""
    from liftos_pipelines.modules.agentic.lifecycle import NEXT

    _move(client, agent, version, lambda stage: NEXT.get(stage, "live"), by, reason)


@agents_app.command("rollback")
def rollback(client: Client, agent: Agent, by: By, reason: Reason, version: Version = None) -> None:
    """Take a canary or live version back to the shadow: it may propose, and does nothing by itself."""
    _move(client, agent, version, lambda stage: "shadow", by, reason, only=("canary", "live"))


@agents_app.command("suspend")
def suspend(client: Client, agent: Agent, by: By, reason: Reason, version: Version = None) -> None:
    """Let a version decide nothing until it is moved to the shadow again."""
    _move(client, agent, version, lambda stage: "suspended", by, reason)


@agents_app.command("reinstate")
def reinstate(client: Client, agent: Agent, by: By, reason: Reason, version: Version = None) -> None:
    """Move a suspended version to the shadow, where it shows itself again."""
    _move(client, agent, version, lambda stage: "shadow", by, reason, only=("suspended",))


@agents_app.command("retire")
def retire(client: Client, agent: Agent, by: By, reason: Reason, version: Version = None) -> None:
    """Retire a version for good."""
    _move(client, agent, version, lambda stage: "retired", by, reason)


@agents_app.command("stops")
def stops(client: Client) -> None:
    """Every stop: since when, why, until when, and who ended it."""
    from liftos_pipelines.assets.agentic_ledger import state_of
    from liftos_pipelines.assets.agentic_stops import stops_table
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.resources.spine import open_spine

    load_client(client)
    rows = stops_table(state_of(open_spine(), client), datetime.now(UTC)).to_dicts()
    if not rows:
        _say(f"no agent of {client} was ever stopped")
    for row in rows:
        until = f"until {row['until']:%Y-%m-%d %H:%M}" if row["until"] else "until a person resumes it"
        ended = f" (by {row['resumed_by']})" if row["resumed_by"] else ""
        since = f"{row['stopped_at']:%Y-%m-%d %H:%M}"
        _say(f"{row['status']:<8} {row['agent_id']} since {since} {until}{ended}: {row['reason']}")


@agents_app.command("stop")
def stop(
    client: Client,
    by: By,
    reason: Reason,
    agent: AnyAgent = None,
    every: EveryAgent = False,
    everywhere: Everywhere = False,
) -> None:
    """Stop an agent, or all of them: their next decision is denied, until they are resumed."""
    from liftos_pipelines.assets.agentic_ledger import stop_agent
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.resources.spine import open_spine

    load_client(client)
    name = _whom(agent, every or everywhere)
    stop_agent(open_spine(), _where(client, everywhere), name, by=by, reason=reason, now=datetime.now(UTC))
    _say(f"{_named(name, everywhere)} stopped")


@agents_app.command("resume")
def resume(
    client: Client,
    by: By,
    reason: Reason,
    agent: AnyAgent = None,
    every: EveryAgent = False,
    everywhere: Everywhere = False,
) -> None:
    """End all stops of an agent, or the stop of all; the next decision is judged by policy again."""
    from liftos_pipelines.assets.agentic_ledger import resume_agent
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.resources.spine import open_spine

    load_client(client)
    name = _whom(agent, every or everywhere)
    if not resume_agent(open_spine(), _where(client, everywhere), name, by=by, reason=reason, now=datetime.now(UTC)):
        _refuse(f"{_named(name, everywhere)} not stopped; see `liftos agents stops {client}`")
    _say(f"{name} may decide again" if name != "*" else "the stop of all is over; stops of single agents stand")


def _move(
    client: str,
    agent: str,
    version: str | None,
    to_stage: Callable[[str], str],
    by: str,
    reason: str,
    only: tuple[str, ...] = (),
) -> None:
    """Move a version to the stage that `to_stage` gives for its present one; `only` from some stages."""
    from liftos_pipelines.assets.agentic_ledger import state_of
    from liftos_pipelines.assets.agentic_transitions import registered_version, transition
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.modules.agentic.lifecycle import ForbiddenTransition, stage_of
    from liftos_pipelines.resources.spine import open_spine

    load_client(client)
    spine = open_spine()
    try:
        which, registered = registered_version(client, agent, version)
        stage = stage_of(state_of(spine, client).moves, agent, which, registered)
        if only and stage not in only:
            _refuse(f"{agent} {which} is {stage}, not {' or '.join(only)}")
        moved = transition(spine, client, agent, which, to_stage(stage), by=by, reason=reason, registered=registered)
    except (ForbiddenTransition, ValueError) as refused:
        _refuse(str(refused))
    if moved.moved:
        _say(f"{agent} {which} is {moved.to_stage} now, it was {moved.from_stage} (ledger {moved.entry})")
    else:
        _say(f"{agent} {which} is {moved.to_stage} already")


def _registry(client: str) -> pl.DataFrame:
    """The registry as the last run left it, with stages and stops as they are in the ledger now."""
    from liftos_pipelines.assets.agentic_lifecycle import registry_now
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.resources.lake import LakeResource
    from liftos_pipelines.resources.spine import open_spine

    load_client(client)
    return registry_now(client, LakeResource().get(), open_spine())


def _stage(row: dict[str, Any]) -> str:
    stage = row["stage"] or "unknown"
    if row["stage_since"] is None:
        return str(stage) if row["registered"] else f"{stage}, not registered"
    return f"{stage} since {row['stage_since']:%Y-%m-%d} by {row['stage_by']}"


def _interval(row: dict[str, Any]) -> str:
    if row["success_rate"] is None:
        return "unknown"
    return f"{row['success_rate']:.2f} ({row['success_low']:.2f} to {row['success_high']:.2f})"


def _number(value: float | None, digits: int = 2) -> str:
    return "unknown" if value is None else f"{value:,.{digits}f}"


def _whom(agent: str | None, every: bool) -> str:
    if (agent is None) != every:
        _refuse("name one agent, or say --all")
    return agent or "*"


def _where(client: str, everywhere: bool) -> str:
    if not everywhere:
        return client
    from liftos_pipelines.authority.stops import EVERY_CLIENT

    return EVERY_CLIENT


def _named(agent: str, everywhere: bool) -> str:
    if everywhere:
        return "every agent of every client is"
    return "every agent is" if agent == "*" else f"{agent} is"


def _say(words: str) -> None:
    console.print(words, highlight=False, markup=False, soft_wrap=True)


def _refuse(words: str) -> NoReturn:
    _say(words)
    raise typer.Exit(1)
