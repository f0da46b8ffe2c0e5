"""What every command's `--help` needs beyond Typer's own."""

from __future__ import annotations

import functools
from typing import Any


def keep_argument_help() -> None:
    """Let arguments keep their help: Typer 0.25 sets it, and click from 8.5 on sets it to nothing right after."""
    from typer.core import TyperArgument

    begin = TyperArgument.__init__
    if hasattr(begin, "__wrapped__"):
        return

    @functools.wraps(begin)
    def begin_with_help(self: Any, *args: Any, help: str | None = None, **others: Any) -> None:
        begin(self, *args, help=help, **others)
        self.help = help

    TyperArgument.__init__ = begin_with_help  # type: ignore[method-assign]
