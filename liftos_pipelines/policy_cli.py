"""`liftos policy`: what agents may do, in words; whether a policy file is right; what a changed one would decide."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    import polars as pl

    from liftos_pipelines.modules.agentic.ledger_state import Stop
    from liftos_pipelines.modules.agentic.policy import Policy

policy_app = typer.Typer(no_args_is_help=True, help="Policies of agents: in words, checked, explained, back-tested.")
console = Console(width=None if sys.stdout.isatty() else 160)
Client = Annotated[str, typer.Argument(help="Client id, the name of its folder")]


class Format(StrEnum):
    table = "table"
    json = "json"


class FailOn(StrEnum):
    none = "none"
    looser = "looser"
    any = "any"


@policy_app.command("show")
def show(client: Client) -> None:
    """The client's policy in words: what is always denied, budgets, every rule with its condition."""
    from liftos_pipelines.authority.policies import client_policy
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.modules.agentic.policy.words import policy_in_words

    policy = client_policy(load_client(client))
    for line in policy_in_words(policy):
        _say(line)
    _warn(policy)


@policy_app.command("check")
def check(
    what: Annotated[str, typer.Argument(help="A policy file (YAML or Cedar), or a client id")],
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too")] = False,
) -> None:
    """Everything that is wrong with a policy, at once: the file, rule, field and fix of each problem."""
    from liftos_pipelines.authority.policies import client_policy
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.modules.agentic.policy import PolicyError

    try:
        if Path(what).suffix in (".yaml", ".yml", ".cedar") or Path(what).is_file():
            policy = _read(Path(what), None)
        else:
            client = load_client(what)
            file = client.folder / client.policies if client.policies else None
            policy = _read(file, what) if file and file.is_file() else client_policy(client)
    except PolicyError as error:
        for problem in error.problems:
            _say(f"error: {problem}")
        raise typer.Exit(2) from None
    _warn(policy)
    _say(f"{policy.name}: {len(policy.rules)} rules, {len(policy.tools)} tools, version {policy.version}")
    if strict and policy.warnings:
        raise typer.Exit(1)


@policy_app.command("explain")
def explain_step(
    client: Client,
    run: Annotated[str, typer.Argument(help="run_id of agent_steps; ledger:<action_id> for LiftOS' own decisions")],
    step: Annotated[int, typer.Argument(help="Step number")] = 1,
) -> None:
    """Why a recorded call is decided as it is: every rule, whether it held, and what kept it off."""
    from liftos_pipelines.authority.policies import client_policy
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.modules.agentic.backtest import explain

    policy = client_policy(load_client(client))
    steps, agents, stops = _history(client)
    found = explain(steps, agents, policy, run, step, stops=stops, screen=_screen(policy))
    if found is None:
        _say(f"run {run} has no tool call at step {step}; see `liftos show {client} agentic/policy_decisions`")
        raise typer.Exit(1)
    verdict = found.verdict
    if found.call is not None:
        arguments = json.dumps(found.call.arguments, sort_keys=True, default=str)
        _say(f"{found.call.agent.agent_id} calls {found.call.tool} {arguments} at {found.call.at:%Y-%m-%d %H:%M:%S}")
    _say(f"{verdict.decision} by {verdict.policy}: {verdict.reason}")
    if verdict.approval is not None:
        from liftos_pipelines.modules.agentic.policy.words import need_in_words

        _say(f"must agree: {need_in_words(verdict.approval)}")
    _say(f"policy {policy.name}, version {policy.version}")
    for asked in found.asked:
        if asked.held:
            _say(f"  holds    {asked.decision:<14} {asked.rule}")
        else:
            word = "unknown " if asked.held is None else "not so  "
            _say(f"  {word} {asked.decision:<14} {asked.rule}: {asked.kept_off}")


@policy_app.command("test")
def try_out(
    client: Client,
    new: Annotated[Path, typer.Argument(help="The changed policy file")],
    since: Annotated[datetime | None, typer.Option(help="Tell only changes from this moment on (UTC)")] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print")] = Format.table,
    limit: Annotated[int, typer.Option(help="How many changed decisions to list; 0: all")] = 20,
    fail_on: Annotated[FailOn, typer.Option("--fail-on-change", help="Exit 1 on such changes")] = FailOn.none,
) -> None:
    """Back-test a changed policy over all recorded calls and decisions: what it would decide otherwise, by rule."""
    from liftos_pipelines.authority.policies import client_policy
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.modules.agentic.backtest import back_test
    from liftos_pipelines.modules.agentic.policy import STRENGTH

    old, changed = client_policy(load_client(client)), _read(new, client)
    steps, agents, stops = _history(client)
    screen = _screen(old) or _screen(changed)
    moment = None if since is None else since.replace(tzinfo=since.tzinfo or UTC)
    found = back_test(steps, agents, old, changed, stops=stops, since=moment, screen=screen)
    if form is Format.json:
        said = {
            "client": client,
            "before": old.version,
            "after": changed.version,
            "judged": found.judged,
            "duplicates": len(found.after.duplicates),
            "by_rule": found.by_rule.to_dicts(),
            "changes": found.changes.to_dicts(),
        }
        typer.echo(json.dumps(said, indent=2, default=str))
    else:
        _warn(changed)
        _say(f"{found.changes.height} of {found.judged} decisions change")
        if found.after.duplicates:
            _say(f"warning: {len(found.after.duplicates)} steps are given twice; the first of each was judged")
        _say(f"before {old.name} {old.version[:16]}, after {changed.name} {changed.version[:16]}")
        if found.changes.height:
            for row in found.by_rule.iter_rows(named=True):
                _say(
                    f"  {row['before']} -> {row['after']} by {row['rule']}: {row['decisions']} in {row['runs']} runs, "
                    f"first {row['first']} ({row['reason']})"
                )
            listed = found.changes if limit == 0 else found.changes.head(limit)
            _say("Which:")
            for row in listed.iter_rows(named=True):
                people = f", {row['after_approvers']} must agree" if row["after"] == "needs_approval" else ""
                _say(
                    f"  {row['run_id']} {row['step']} {row['agent_id']} {row['tool']}: "
                    f"{row['before']} -> {row['after']} by {row['rule']}{people}"
                )
            if listed.height < found.changes.height:
                _say(f"... {found.changes.height - listed.height} more; --limit 0 lists all, --format json holds all")
            run, step = listed.select("run_id", "step").row(0)
            if console.is_terminal:
                _say(f"Why one is decided as it is now: liftos policy explain {client} {run} {step}")
    loosened = any(
        STRENGTH[after] < STRENGTH[before] for before, after in found.changes.select("before", "after").iter_rows()
    )
    if (fail_on is FailOn.any and found.changes.height) or (fail_on is FailOn.looser and loosened):
        raise typer.Exit(1)


def _read(file: Path, client: str | None) -> Policy:
    """A policy file as the client's would be read: with its brand's domains, and its registry's agents."""
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.resources.policy_files import read_policy

    if not file.is_file():
        raise ValueError(f"{file}: there is no such file")
    if client is None:
        return read_policy(file)
    config = load_client(client)
    domains = tuple(config.brand.domains) if config.brand else ()
    agents = _agents(client)["agent_id"].to_list()
    return read_policy(file, variables={"internal_domains": domains}, agents=agents or None)


def _agents(client: str) -> pl.DataFrame:
    from liftos_pipelines import settings
    from liftos_pipelines.assets.agentic import package_version
    from liftos_pipelines.modules.agentic import registry
    from liftos_pipelines.resources.lake import Lake

    agents = Lake(settings.lake_uri()).read(client, "sources/agents")
    return agents if agents.is_empty() else registry.with_responder(agents, package_version())


def _history(client: str) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, tuple[Stop, ...]]]:
    """Recorded steps, what the gate judged and LiftOS' own decisions as one log; the registry; every stop there was."""
    import polars as pl

    from liftos_pipelines import settings
    from liftos_pipelines.assets.agentic_ledger import state_of
    from liftos_pipelines.authority.recorded import gate_steps
    from liftos_pipelines.modules.agentic.backtest import steps_of_decisions
    from liftos_pipelines.resources.lake import Lake
    from liftos_pipelines.resources.spine import open_spine

    recorded = Lake(settings.lake_uri()).read(client, "sources/agent_steps")
    spine = open_spine()
    state = state_of(spine, client)
    # An agent that asks the gate may report its run as well: the report says more, and one of them is enough.
    gate = gate_steps(spine, client).filter(~pl.col("run_id").is_in(recorded["run_id"].unique().implode()))
    own = steps_of_decisions(state.decided.values())
    steps = pl.concat([recorded, gate, own], how="diagonal_relaxed")
    return steps, _agents(client), state.stops_of()


def _screen(policy: Policy) -> Any:
    """The injection screen, where a rule asks whether answers are flagged."""
    from liftos_pipelines.assets.agentic import screen_for

    return screen_for(policy)


def _warn(policy: Policy) -> None:
    for warning in policy.warnings:
        _say(f"warning: {warning}")


def _say(text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
