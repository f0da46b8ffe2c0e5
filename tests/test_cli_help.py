"""What `--help` tells: every command stands in a panel, and every argument says what it is."""

from __future__ import annotations

import click
import typer
from typer.core import TyperArgument

from liftos_pipelines.cli import GOVERN, MODULES, RUNNING, START, app


def commands(group: click.Group, path: str = "liftos") -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name, command in group.commands.items():
        inner = commands(command, f"{path} {name}") if isinstance(command, click.Group) else []
        found += [(f"{path} {name}", command), *inner]
    return found


ROOT = typer.main.get_command(app)
assert isinstance(ROOT, click.Group)
ALL = commands(ROOT)


def test_every_command_and_argument_says_what_it_is() -> None:
    assert not [path for path, command in ALL if not command.help]
    mute = [
        f"{path} {each.name}"
        for path, command in ALL
        for each in command.params
        if isinstance(each, TyperArgument) and not each.help
    ]
    assert not mute


def test_every_command_stands_in_a_panel_of_the_overview() -> None:
    assert isinstance(ROOT, click.Group)
    panels = {name: getattr(each, "rich_help_panel", None) for name, each in ROOT.commands.items()}
    assert set(panels.values()) == {START, MODULES, GOVERN, RUNNING}, panels
