"""A call's arguments: read from strict JSON, and held against what the tool declares of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from liftos_pipelines.modules.agentic.comparing import is_number, moment_of, same
from liftos_pipelines.modules.agentic.facts import ArgumentSpec, ToolSpec
from liftos_pipelines.text import no_field_twice

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "list": (list,),
    "object": (dict,),
    "date": (str,),
}

DEEPEST = 64
"""Levels of nesting that arguments may have; what judges, hashes and stores them walks through all."""


def read_arguments(arguments: str | Mapping[str, Any] | None) -> Mapping[str, Any] | str:
    """The arguments as an object, or what is wrong with them in words.

    JSON as RFC 8259 has it: NaN is refused, and so is a name given twice, of which readers take different values; so
    are half characters and deep nesting, which JSON can spell and most of its readers cannot take.
    """
    if arguments is None or arguments == "":
        return {}
    read: Any = arguments
    if isinstance(arguments, str):
        try:
            read = json.loads(
                arguments, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=no_field_twice
            )
        except RecursionError:
            return "its arguments are not JSON: nested too deeply"
        except ValueError as error:
            return f"its arguments are not JSON: {error}"
    if not isinstance(read, Mapping):
        return f"its arguments are not a JSON object but {type(read).__name__}"
    flaw = None if isinstance(arguments, str) and _is_plain(arguments) else _flaw(read)
    return read if flaw is None else f"its arguments are not JSON: {flaw}"


def _is_plain(text: str) -> bool:
    """Whether a text of JSON is too simple to hold what `_flaw` looks for: told at a glance, for most calls are."""
    return text.isascii() and "\\" not in text and text.count("{") + text.count("[") <= DEEPEST


def _flaw(read: Mapping[str, Any]) -> str | None:
    """What keeps an object from being written as JSON again, or from being walked through; None where nothing does."""
    waiting: list[tuple[Any, int]] = [(read, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > DEEPEST:
            return f"nested deeper than {DEEPEST}"
        if isinstance(value, Mapping):
            waiting += [(name, depth) for name in value]
            waiting += [(item, depth + 1) for item in value.values()]
        elif isinstance(value, (list, tuple)):
            waiting += [(item, depth + 1) for item in value]
        elif isinstance(value, float) and not math.isfinite(value):
            return f"{value} is not a JSON number"
        elif isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                return "a text in them is no Unicode"
    return None


def problem_with(arguments: Mapping[str, Any], spec: ToolSpec | None) -> str | None:
    """What is wrong with the arguments under what the tool declares; None where nothing is, or nothing is declared."""
    if spec is None or spec.arguments is None:
        return None
    for name, value in arguments.items():
        declared = spec.arguments.get(name)
        if declared is None:
            if spec.other_arguments:
                continue
            return f'argument "{name}" is not declared; the tool takes {", ".join(spec.arguments) or "none"}'
        wrong = _wrong(value, declared)
        if wrong:
            return f'argument "{name}" {wrong}'
    for name, declared in spec.arguments.items():
        if declared.required and name not in arguments:
            return f'argument "{name}" is required and absent'
    return None


def _wrong(value: Any, declared: ArgumentSpec) -> str | None:
    if declared.type is not None:
        numeric = declared.type in ("number", "integer")
        if not isinstance(value, TYPES[declared.type]) or (numeric and not is_number(value)):
            return f"should be of type {declared.type} and is {type(value).__name__}"
        if declared.type == "date" and moment_of(value) is None:
            return f"should be a date and is {value!r}"
    if declared.enum is not None and not any(same(value, allowed) for allowed in declared.enum):
        return f"is {value!r}, not one of {', '.join(map(str, declared.enum))}"
    if declared.min is not None or declared.max is not None:
        if not is_number(value):
            return f"should be a number and is {type(value).__name__}"
        if declared.min is not None and value < declared.min:
            return f"is {value}, below {declared.min:g}"
        if declared.max is not None and value > declared.max:
            return f"is {value}, above {declared.max:g}"
    if declared.max_length is not None:
        if not isinstance(value, (str, list)):
            return f"should have a length and is {type(value).__name__}"
        if len(value) > declared.max_length:
            return f"is longer than {declared.max_length}"
    if declared.pattern is not None and not (isinstance(value, str) and declared.pattern.fullmatch(value)):
        return f"does not match {declared.pattern.pattern}"
    return None


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_constant(text)


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")
