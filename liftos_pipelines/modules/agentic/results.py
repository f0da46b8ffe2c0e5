"""Conditions on what tools answered earlier in the run: facts that were looked up, and data that may not flow on."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from liftos_pipelines.modules.agentic.comparing import ABSENT, at_path
from liftos_pipelines.modules.agentic.conditions import Argument
from liftos_pipelines.modules.agentic.facts import Call, Happened, History
from liftos_pipelines.modules.agentic.sequences import KEPT_KEYS, Pattern, binding

LONGEST_PHRASE = 4
"""Words of a result's value that are looked for inside longer texts; longer values only count as a whole."""
KEPT_VALUES = 50_000
LONGEST_CODE = 320
"""Characters of the longest address (RFC 5321) or code that is looked for inside longer texts."""


@dataclass
class _Facts:
    latest: dict[Hashable, Happened] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Known:
    """The latest result of a tool about the `same` arguments passes the tests; False where there is no such result."""

    source: Pattern
    same: tuple[tuple[str, ...], ...]
    where: tuple[Argument, ...]

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        return (self.source,)

    def start(self) -> _Facts:
        return _Facts()

    def advance(self, state: _Facts, which: int, event: Happened, number: int) -> None:
        key = binding(event, self.same)
        if key is None:
            return
        if key not in state.latest and len(state.latest) >= KEPT_KEYS:
            state.latest.pop(next(iter(state.latest)))
        state.latest[key] = event

    def holds(self, call: Call, history: History) -> bool | None:
        state: _Facts = history.state(self)
        if not state.latest:
            return False
        key = binding(call.event, self.same)
        found = state.latest.get(key) if key is not None else None
        if found is None:
            return False
        unknown = False
        for test in self.where:
            said = test.compared(found.result, call.arguments, call.at)
            if said is False:
                return False
            unknown = unknown or said is None
        return None if unknown else True


@dataclass(frozen=True, eq=False)
class Carries:
    """An argument of this call holds a value that an earlier result of a source held, whole or inside a text.

    Values of at least `min_length` characters, compared without case; not found: values that were encoded, cut or
    retold. `fields` are the dotted paths of the result that matter (all when empty), `into` those of the arguments.
    """

    source: Pattern
    fields: tuple[tuple[str, ...], ...] = ()
    into: tuple[tuple[str, ...], ...] = ()
    min_length: int = 5

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        return (self.source,)

    def start(self) -> dict[str, None]:
        return {}

    def advance(self, state: dict[str, None], which: int, event: Happened, number: int) -> None:
        parts = [at_path(event.result, path) for path in self.fields] if self.fields else [event.result]
        for value in parts:
            for leaf in _leaves(value):
                for mark in _marks(leaf, self.min_length):
                    if mark not in state and len(state) >= KEPT_VALUES:
                        state.pop(next(iter(state)))
                    state[mark] = None

    def holds(self, call: Call, history: History) -> bool:
        state: dict[str, None] = history.state(self)
        if not state:
            return False
        parts = [at_path(call.arguments, path) for path in self.into] if self.into else [call.arguments]
        return any(
            mark in state for value in parts for leaf in _leaves(value) for mark in _phrases(leaf, self.min_length)
        )


_WORD = re.compile(r"[^\s,;:()<>\"'\[\]{}|]+")
_CODE = re.compile(r"[^\s@]+@[^\s@]+\.\w+|\+?\d[\d\-]{4,}\d|(?=\w*\d)(?=\w*[A-Za-z])\w{6,}")
"""Addresses, long numbers and codes: what names one thing also inside a longer text."""


def _leaves(value: Any) -> Iterator[str]:
    if value is ABSENT or value is None or isinstance(value, bool):
        return
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    else:
        yield str(value)


def _marks(leaf: str, shortest: int) -> Iterator[str]:
    words = _words(leaf)
    whole = " ".join(words)
    if len(whole) >= shortest:
        yield whole
    if len(words) > LONGEST_PHRASE:
        # Word by word: a long run of letters without a break would be searched from each of its letters on.
        for word in leaf.split():
            for found in _CODE.findall(word) if len(word) <= LONGEST_CODE else ():
                if len(found) >= shortest:
                    yield " ".join(_words(found))


def _phrases(text: str, shortest: int) -> Iterator[str]:
    words = _words(text)
    if len(words) > LONGEST_PHRASE:
        yield " ".join(words)
    for start in range(len(words)):
        phrase = ""
        for word in words[start : start + LONGEST_PHRASE]:
            phrase = f"{phrase} {word}" if phrase else word
            if len(phrase) >= shortest:
                yield phrase


def _words(text: str) -> list[str]:
    return [word for found in _WORD.findall(text.casefold()) if (word := found.strip(".!?"))]
