"""Reading conditions over a run: sequences, counts, sums, loops, looked-up facts, and data that flows on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from liftos_pipelines.modules.agentic import conditions as c
from liftos_pipelines.modules.agentic.facts import Condition
from liftos_pipelines.modules.agentic.policy.model import STRENGTH
from liftos_pipelines.modules.agentic.policy.reading import Where
from liftos_pipelines.modules.agentic.results import Carries, Known
from liftos_pipelines.modules.agentic.sequences import Loop, Pattern, Sequence_, Tally

if TYPE_CHECKING:
    from liftos_pipelines.modules.agentic.policy.rules import Reader

CALL = ("tool", "agent", "writes", "reads", "arguments", "decision")
RESULT = ("result_of", "reads", "arguments", "where", "matches", "flagged")
MESSAGE = ("message",)


def readers(reader: Reader) -> dict[str, Callable[[Any, Where], Condition]]:
    """By the field's name under `when`."""
    return {
        "after": lambda value, place: _after(value, place, reader),
        "not_after": lambda value, place: _after(value, place, reader, absent=True),
        "sequence": lambda value, place: _sequence(value, place, reader),
        "count": lambda value, place: _tally(value, place, reader, money=False),
        "sum": lambda value, place: _tally(value, place, reader, money=True),
        "loop": _loop,
        "known": lambda value, place: _known(value, place, reader),
        "carries": lambda value, place: _carries(value, place, reader),
    }


def pattern(value: Any, place: Where, reader: Reader) -> Pattern:
    """One step: a call (`tool: …`), a result (`result_of: …`) or a message (`message: {matches: …}`)."""
    if not isinstance(value, Mapping) or not value:
        place.fail(f"expected a step such as {{tool: send_mail}}, found {value!r}")
    if "message" in value:
        body = place.mapping(value, MESSAGE)
        said = place.at("message").mapping(body["message"], ("matches",))
        return Pattern("message", text=place.at("message.matches").pattern(said.get("matches")))
    result = bool({"result_of", "flagged", "where", "matches"} & value.keys())
    body = place.mapping(value, RESULT if result else CALL)
    tools = "result_of" if result else "tool"
    return Pattern(
        "result" if result else "call",
        tools=reader.known_tools(body[tools], place.at(tools)) if tools in body else ("*",),
        writes=place.at("writes").truth(body["writes"]) if "writes" in body else None,
        reads=reader.known_classes("reads", body["reads"], place.at("reads")) if "reads" in body else frozenset(),
        arguments=reader.tests(body["arguments"], place.at("arguments")) if "arguments" in body else (),
        decisions=frozenset(_decisions(body["decision"], place.at("decision"))) if "decision" in body else frozenset(),
        agents=reader.known_agents(body["agent"], place.at("agent")) if "agent" in body else (),
        text=place.at("matches").pattern(body["matches"]) if "matches" in body else None,
        where=reader.tests(body["where"], place.at("where")) if "where" in body else (),
        flags=frozenset(place.at("flagged").texts(body["flagged"])) if "flagged" in body else frozenset(),
        trusted=reader.trusting,
    )


def _against(reader: Reader) -> Reader:
    """For steps that undo what the others do: what lies between, what a count begins anew at."""
    return replace(reader, trusting=not reader.trusting)


def _decisions(value: Any, place: Where) -> tuple[str, ...]:
    return tuple(place.choice(item, tuple(STRENGTH)) for item in place.texts(value))


def _patterns(value: Any, place: Where, reader: Reader) -> tuple[Pattern, ...]:
    items = value if isinstance(value, list) else [value]
    if not items:
        place.fail("expected at least one step")
    return tuple(pattern(item, place.at(f"[{i}]"), reader) for i, item in enumerate(items))


_STEPS = re.compile(r"(\d{1,9})\s*steps?")


def _within(body: Mapping[str, Any], place: Where) -> tuple[int | None, timedelta | None]:
    if "within" not in body:
        return None, None
    found = _STEPS.fullmatch(str(body["within"]))
    if found:
        return place.at("within").count(int(found[1]), 1), None
    return None, place.at("within").span(body["within"])


def _same(body: Mapping[str, Any], place: Where) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(path.split(".")) for path in place.at("same").texts(body["same"])) if "same" in body else ()


def _sequence(value: Any, place: Where, reader: Reader) -> Condition:
    """A list of steps, or `steps` with `within`, `without`, `same`; the call that is judged is the last step."""
    body = {"steps": value} if isinstance(value, list) else place.mapping(value, ("steps", "within", "without", "same"))
    steps = body.get("steps")
    if not isinstance(steps, list) or len(steps) < 2:
        place.at("steps").fail(f"expected at least two steps, the last being the call that is judged; found {steps!r}")
    read = _patterns(steps, place.at("steps"), reader)
    if read[-1].kind != "call" or read[-1].decisions:
        place.at(f"steps.[{len(read) - 1}]").fail("the last step is the call that is judged: name a tool, no decision")
    within_steps, within = _within(body, place)
    if within_steps is not None and within_steps < len(read) - 1:
        place.at("within").fail(f"{len(read)} steps cannot happen within {within_steps}")
    return Sequence_(
        steps=read[:-1],
        last=read[-1],
        within_steps=within_steps,
        within=within,
        without=_patterns(body["without"], place.at("without"), _against(reader)) if "without" in body else (),
        same=_same(body, place),
    )


def _after(value: Any, place: Where, reader: Reader, *, absent: bool = False) -> Condition:
    body = place.mapping(value, ("tool", "same", "within", "without"))
    if absent:
        reader = _against(reader)
    names = reader.known_tools(body.get("tool"), place.at("tool"))
    if body.keys() == {"tool"}:
        return c.After(names, absent, reader.trusting)
    within_steps, within = _within(body, place)
    found = Sequence_(
        steps=(Pattern("call", tools=names, trusted=reader.trusting),),
        last=Pattern("call"),
        within_steps=within_steps,
        within=within,
        without=_patterns(body["without"], place.at("without"), _against(reader)) if "without" in body else (),
        same=_same(body, place),
    )
    return c.Not(found) if absent else found


def _tally(value: Any, place: Where, reader: Reader, *, money: bool) -> Condition:
    limit = "above" if money else "more_than"
    body = place.mapping(value, ("of", limit, "within", "since"))
    within_steps, within = _within(body, place)
    of = pattern(body.get("of"), place.at("of"), reader)
    if money and of.kind != "call":
        place.at("of").fail("only calls move money; name a tool")
    return Tally(
        of=of,
        above=place.at(limit).number(body.get(limit)) if money else place.at(limit).count(body.get(limit)),
        money=money,
        within_steps=within_steps,
        within=within,
        since=_patterns(body["since"], place.at("since"), _against(reader)) if "since" in body else (),
    )


def _loop(value: Any, place: Where) -> Condition:
    body = place.mapping(value, ("length", "times"))
    return Loop(place.at("length").count(body.get("length", 3), 1), place.at("times").count(body.get("times"), 2))


def _known(value: Any, place: Where, reader: Reader) -> Condition:
    body = place.mapping(value, ("from", "same", "where", "flagged"))
    source = {"result_of": body.get("from")} | ({"flagged": body["flagged"]} if "flagged" in body else {})
    return Known(
        source=pattern(source, place.at("from"), reader),
        same=_same(body, place),
        where=reader.tests(body["where"], place.at("where")) if "where" in body else (),
    )


def _carries(value: Any, place: Where, reader: Reader) -> Condition:
    body = place.mapping(value, ("from", "reads", "fields", "into", "min_length"))
    if not {"from", "reads"} & body.keys():
        place.fail("expected `from` (tools), `reads` (data classes) or both")
    source: dict[str, Any] = {"result_of": body.get("from", "*")}
    if "reads" in body:
        source["reads"] = body["reads"]

    def paths(name: str) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(path.split(".")) for path in place.at(name).texts(body[name])) if name in body else ()

    return Carries(
        source=pattern(source, place, reader),
        fields=paths("fields"),
        into=paths("into"),
        min_length=place.at("min_length").count(body.get("min_length", 5), 1),
    )
