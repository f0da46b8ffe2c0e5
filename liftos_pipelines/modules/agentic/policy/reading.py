"""Reading a policy file field by field: typed values, and every problem collected with the place it is at."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NoReturn

from liftos_pipelines.modules.agentic.comparing import is_number, span_of
from liftos_pipelines.modules.agentic.policy.expressions import endless


class Wrong(Exception):
    """A value that cannot be read; caught at the field that holds it."""


@dataclass(frozen=True)
class Where:
    """A place in a policy file. `problems` is one list for the whole file."""

    file: str
    rule: str = ""
    path: str = ""
    problems: list[str] = field(default_factory=list, compare=False)

    def at(self, name: str) -> Where:
        return Where(self.file, self.rule, f"{self.path}.{name}" if self.path else name, self.problems)

    def of_rule(self, name: str) -> Where:
        return Where(self.file, name, "", self.problems)

    def text(self, problem: str) -> str:
        if len(problem) > 600:
            problem = f"{problem[:300]} ... {problem[-300:]}"
        parts = [self.file, f'rule "{self.rule}"' if self.rule else "", self.path]
        return f"{': '.join(part for part in parts if part)}: {problem}"

    def note(self, problem: str) -> None:
        """Write a problem down and go on."""
        said = self.text(problem)
        if said not in self.problems:
            self.problems.append(said)

    def fail(self, problem: str) -> NoReturn:
        self.note(problem)
        raise Wrong(problem)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """What fails inside is written down already; reading goes on after it."""
        try:
            yield
        except Wrong:
            return

    def mapping(self, value: Any, allowed: Iterable[str] | None) -> dict[str, Any]:
        """Fields by name. A field that is not allowed is a problem and left out."""
        if not isinstance(value, Mapping):
            self.fail(f"expected fields, found {type(value).__name__} {value!r}")
        names = None if allowed is None else sorted(allowed)
        for key in value:
            if names is not None and key not in names:
                hint = closest(str(key), names)
                self.at(str(key)).note(f"this field is not known{hint}. Allowed here: {', '.join(names)}")
        return {str(key): item for key, item in value.items() if names is None or key in names}

    def choice(self, value: Any, allowed: Sequence[str]) -> str:
        if value not in allowed:
            self.fail(f"expected one of {', '.join(allowed)}; found {value!r}{closest(str(value), allowed)}")
        return str(value)

    def texts(self, value: Any) -> tuple[str, ...]:
        items = value if isinstance(value, list) else [value]
        if not items or not all(isinstance(item, str) and item for item in items):
            self.fail(f"expected a name or a list of names, found {value!r}")
        return tuple(items)

    def truth(self, value: Any) -> bool:
        if not isinstance(value, bool):
            self.fail(f"expected true or false, found {value!r}")
        return bool(value)

    def number(self, value: Any) -> float:
        if not is_number(value):
            self.fail(f"expected a number, found {value!r}")
        return float(value)

    def count(self, value: Any, least: int = 0) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self.fail(f"expected a whole number of at least {least}, found {value!r}")
        return int(value)

    def span(self, value: Any) -> timedelta:
        found = span_of(value)
        if found is None:
            self.fail(f"expected a span such as 10m, 1h or 1d; found {value!r}")
        return found

    def pattern(self, value: Any) -> re.Pattern[str]:
        if not isinstance(value, str):
            self.fail(f"expected a regular expression, found {value!r}")
        try:
            found = re.compile(value)
            slow = endless(value)
        except (re.error, OverflowError, RecursionError) as error:
            self.fail(f"{value!r} is not a regular expression: {error}")
        if slow:
            self.fail(f"{value!r} can take for ever on some texts: {slow}")
        return found


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A hint at the known name that is nearest, for the end of a message; empty where none is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f' (closest: "{close[0]}")' if close else ""
