"""`liftos prompt`: the versions of a client's prompts, which one serves, and a person's word that moves it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from liftos_pipelines.resources.prompt_registry import AliasMove, PromptRegistry, PromptVersion

prompt_app = typer.Typer(
    no_args_is_help=True, help="A client's prompts in MLflow's registry: list, show, compare, promote, roll back."
)
console = Console(width=None if sys.stdout.isatty() else 160)
MOVED = "prompt_alias_moved"
"""The ledger's kind of entry for a move of an alias."""

Client = Annotated[str, typer.Argument(help="Client id, the name of its folder")]
Name = Annotated[str, typer.Argument(help="The prompt's name, as in recorded calls")]
Version = Annotated[str, typer.Argument(help="Number, label (the prompt_version of calls) or alias")]
By = Annotated[str, typer.Option("--by", help="Who decides; it stands in the ledger")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stands in the ledger")]
Alias = Annotated[str, typer.Option("--alias", help="Which alias to move")]


@prompt_app.command("list")
def prompt_list(client: Client) -> None:
    """Every version of every prompt, with its label and the aliases that name it."""
    registry = _registry(client)
    table = Table(header_style="bold", box=None, pad_edge=False)
    columns = ["prompt", "version", "label", "aliases", "registered"] + (["template"] if console.width >= 100 else [])
    for column in columns:
        table.add_column(column, justify="right" if column == "version" else "left", no_wrap=column != "template")
    names = registry.names()
    for name in names:
        for each in registry.versions(name):
            created = f"{each.created:%Y-%m-%d %H:%M}" if each.created else "unknown"
            text = " ".join(each.template.split())
            told = [name, str(each.version), each.label or "", ", ".join(each.aliases), created]
            table.add_row(*[*told, text if len(text) <= 60 else text[:57] + "..."][: len(columns)])
    if not names:
        _say(
            f"{client} has no prompt in the registry. Write one to clients/{client}/prompts/<name>/<label>.txt and "
            f"run `liftos run {client} --select llm/prompts`."
        )
        return
    console.print(table)


@prompt_app.command("show")
def prompt_show(
    client: Client,
    name: Name,
    version: Annotated[str | None, typer.Argument(help="Number, label or alias; by default production")] = None,
) -> None:
    """A version's template as it is, and every move of the prompt's aliases; without a version what serves."""
    registry = _registry(client)
    with _told():
        found = _find(registry, name, version or "production", fall_back=version is None)
    aliases = f" [{', '.join(found.aliases)}]" if found.aliases else ""
    _say(f"{name} version {found.version} (label {found.label or 'none'}){aliases} sha256 {found.template_hash[:12]}")
    for alias in ("production", "candidate"):
        for move in registry.history(name, alias):
            before = move.from_version or "nothing"
            at = f"{move.at:%Y-%m-%d %H:%M}" if move.at else "unknown"
            _say(f"  {at} {alias}: {before} -> {move.to_version} by {move.by}: {move.reason}")
    _say("")
    typer.echo(found.template)


@prompt_app.command("diff")
def prompt_diff(client: Client, name: Name, old: Version, new: Version) -> None:
    """What changed between two versions, line by line."""
    registry = _registry(client)
    with _told():
        before, after = _find(registry, name, old), _find(registry, name, new)
    lines = difflib.unified_diff(
        before.template.splitlines(),
        after.template.splitlines(),
        f"{name} version {before.version} ({before.label or 'no label'})",
        f"{name} version {after.version} ({after.label or 'no label'})",
        lineterm="",
    )
    told = list(lines)
    typer.echo("\n".join(told) if told else f"versions {before.version} and {after.version} have the same template")


@prompt_app.command("promote")
def prompt_promote(
    client: Client, name: Name, version: Version, by: By, reason: Reason, alias: Alias = "production"
) -> None:
    """Let an alias name this version from now on; what it named before is kept for a rollback."""
    registry = _registry(client)
    with _told():
        move = registry.set_alias(name, alias, _find(registry, name, version).version, by=by, reason=reason)
    _record(registry, move)
    if move.moved:
        _say(f"{name}: {alias} {move.from_version or 'nothing'} -> {move.to_version}")
    else:
        _say(f"{name}: {alias} names version {move.to_version} already")


@prompt_app.command("rollback")
def prompt_rollback(client: Client, name: Name, by: By, reason: Reason, alias: Alias = "production") -> None:
    """Let an alias name what it named before."""
    registry = _registry(client)
    with _told():
        move = registry.rollback(name, alias, by=by, reason=reason)
    _record(registry, move)
    _say(f"{name}: {alias} {move.from_version} -> {move.to_version}")


def _registry(client: str) -> PromptRegistry:
    from liftos_pipelines import settings
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.resources.prompt_registry import PromptRegistry

    load_client(client)
    return PromptRegistry(settings.mlflow_uri(), client)


def _find(registry: PromptRegistry, name: str, version: str, *, fall_back: bool = False) -> PromptVersion:
    """A version by alias, label or number; `fall_back`: the newest where the alias is not set."""
    from liftos_pipelines.resources.prompt_registry import PromptError

    versions = registry.versions(name)
    if not versions:
        close = difflib.get_close_matches(name, registry.names(), n=1)
        hint = f' Did you mean "{close[0]}"?' if close else ""
        raise PromptError(f"{registry.client} has no prompt {name!r} in the registry.{hint}")
    by_alias = [each for each in versions if version in each.aliases]
    by_label = [each for each in versions if each.label == version]
    by_number = [each for each in versions if str(each.version) == version]
    for found in (by_alias, by_label, by_number):
        if found:
            return found[-1]
    if fall_back:
        return versions[-1]
    known = ", ".join(f"{each.version} ({each.label})" if each.label else str(each.version) for each in versions)
    raise PromptError(f"{name}: no version, label or alias {version!r}; there is {known}")


def _record(registry: PromptRegistry, move: AliasMove) -> None:
    """The move in the ledger, once: repeating a command writes the entry that a crash kept from being written."""
    from liftos_pipelines.resources.spine import open_spine

    noted = next((each for each in registry.history(move.name, move.alias) if each.number == move.number), None)
    if noted is None:
        return  # it stood there before LiftOS moved anything
    body = {
        "prompt_name": noted.name,
        "alias": noted.alias,
        "from_version": noted.from_version,
        "to_version": noted.to_version,
        "reason": noted.reason,
    }
    key = f"{MOVED}:{noted.name}:{noted.alias}:{noted.number}"
    open_spine().append_ledger(registry.client, MOVED, noted.by, body, idempotency_key=key)


@contextmanager
def _told() -> Iterator[None]:
    """What cannot be done is told in one line, without a stack."""
    from liftos_pipelines.resources.prompt_registry import PromptError

    try:
        yield
    except PromptError as error:
        _say(str(error))
        raise typer.Exit(1) from error


def _say(text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
