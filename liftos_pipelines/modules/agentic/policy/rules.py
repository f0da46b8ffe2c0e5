"""Reading rules: what a rule decides, and the tree of conditions under its `when`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import time
from typing import Any, NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from liftos_pipelines.modules.agentic import conditions as c
from liftos_pipelines.modules.agentic.comparing import AGES, NUMERIC, OPERATORS
from liftos_pipelines.modules.agentic.criteria import TYPES
from liftos_pipelines.modules.agentic.facts import RISKS, Condition, ToolSpec, matches
from liftos_pipelines.modules.agentic.history import RATED_BY
from liftos_pipelines.modules.agentic.policy import sequence_rules, tools
from liftos_pipelines.modules.agentic.policy.model import STAGES, STRENGTH, Rule
from liftos_pipelines.modules.agentic.policy.reading import Where, Wrong, closest

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Readers = dict[str, Callable[[Any, Where], Condition]]


@dataclass(frozen=True)
class Reader:
    """What names in a policy may stand for. `agents` None: the registry is not at hand, any agent may be named.

    `trusting`: where the condition holds, more is open (under `allow`, or negated under `deny`), so that only calls
    that really ran may make it hold.
    """

    tools: Mapping[str, ToolSpec]
    variables: Mapping[str, tuple[str, ...]]
    agents: frozenset[str] | None = None
    trusting: bool = False

    def rule(self, content: Any, position: int, where: Where, *, inherited: bool) -> Rule | None:
        place = where.at(f"rules[{position}]")
        named, read = place, dict[str, Any]()
        with place.collecting():
            body = place.mapping(content, ("name", "decision", "when", "reason", "approvers"))
            if not isinstance(body.get("name"), str) or not body["name"]:
                place.at("name").note("this field is required; give the rule a name")
                read["name"] = ""
            else:
                read["name"] = body["name"]
                named = where.of_rule(body["name"])
            with named.collecting():
                if "decision" not in body:
                    named.at("decision").fail("this field is required; one of allow, deny, needs_approval")
                read["decision"] = named.at("decision").choice(body["decision"], tuple(STRENGTH))
            with named.collecting():
                if not body.get("when"):
                    named.at("when").fail("this field is required; a rule without a condition would decide everything")
                trusting = body.get("decision") == "allow"
                read["condition"] = replace(self, trusting=trusting).condition(body["when"], named.at("when"))
            with named.collecting():
                read["approval"] = None
                if "approvers" in body:
                    read["approval"] = tools.approval(body["approvers"], named.at("approvers"))
                    if read.get("decision") not in (None, "needs_approval"):
                        named.at("approvers").fail(f"nobody approves where the rule says {read['decision']}")
            if not read["name"] or not {"decision", "condition", "approval"} <= read.keys():
                return None
            reason = str(body.get("reason", body["name"].replace("_", " ")))
            return Rule(reason=reason, said=body["when"], inherited=inherited, **read)
        return None

    def condition(self, content: Any, where: Where) -> Condition:
        """Every field of a `when` must hold. All wrong fields are named before this one gives up."""
        readers = self.readers()
        body = where.mapping(content, readers)
        if not body:
            _nothing(content, where, "expected at least one condition")
        parts: list[Condition] = []
        for key, value in body.items():
            with where.collecting():
                parts.append(readers[key](value, where.at(key)))
        if "tool" in body and "arguments" in body:
            self.known_arguments(body["tool"], body["arguments"], where.at("arguments"))
        if len(parts) < len(body):
            raise Wrong(where.path)
        return parts[0] if len(parts) == 1 else c.AllOf(tuple(parts))

    def readers(self) -> Readers:
        one_call: Readers = {
            "tool": lambda value, place: c.ToolIs(self.known_tools(value, place)),
            "agent": lambda value, place: c.AgentIs("agent_id", self.known_agents(value, place)),
            "agent_type": lambda value, place: c.AgentIs("type", _types(value, place)),
            "agent_risk": lambda value, place: c.AgentIs("risk", _choices(value, place, RISKS)),
            "stage": lambda value, place: c.AgentIs("stage", _choices(value, place, STAGES)),
            "environment": lambda value, place: c.EnvironmentIs(place.texts(value)),
            "reversible": lambda value, place: c.ToolFact("reversible", place.truth(value)),
            "writes": lambda value, place: c.ToolFact("writes", place.truth(value)),
            "risk": lambda value, place: c.ToolTouches("risk", frozenset(_choices(value, place, RISKS))),
            "reads": lambda value, place: c.ToolTouches("reads", self.known_classes("reads", value, place)),
            "writes_to": lambda value, place: c.ToolTouches("writes_to", self.known_classes("writes_to", value, place)),
            "amount": lambda value, place: _limits(value, place, c.Amount),
            "cost": lambda value, place: _limits(value, place, c.Cost),
            "arguments": lambda value, place: _one_or_all(self.tests(value, place)),
            "time": _time,
            "last_message": _last_message,
            "any_of": lambda value, place: c.AnyOf(self.nested(value, place)),
            "all_of": lambda value, place: c.AllOf(self.nested(value, place)),
            "not": lambda value, place: c.Not(replace(self, trusting=not self.trusting).condition(value, place)),
        }
        over_a_run: Readers = {
            "after_denial": lambda value, place: c.AfterDenial(place.truth(value)),
            "repeat": _repeat,
            "rate": _rate,
            **sequence_rules.readers(self),
        }
        return one_call | over_a_run

    def known_tools(self, value: Any, place: Where) -> tuple[str, ...]:
        """Names must be declared; a glob must match a tool that is, or may be granted to an agent."""
        names, unknown = place.texts(value), False
        for name in names:
            if not any(char in name for char in "*?[") and not any(matches(known, name) for known in self.tools):
                hint = closest(name, self.tools)
                place.note(f'tool "{name}" is not declared under `tools`{hint}; declare it or mend the name')
                unknown = True
        if unknown:
            raise Wrong(place.path)
        return names

    def known_arguments(self, tool: Any, tests: Any, place: Where) -> None:
        """Names a test of an argument that none of the tools takes, where all of them declare what they take."""
        patterns = tool if isinstance(tool, list) else [tool]
        chosen = [
            spec
            for name, spec in self.tools.items()
            if any(isinstance(pattern, str) and matches(pattern, name) for pattern in patterns)
        ]
        if not chosen or not isinstance(tests, Mapping) or any(spec.arguments is None for spec in chosen):
            return
        taken = {name for spec in chosen for name in spec.arguments or ()}
        for path in tests:
            name = str(path).split(".")[0]
            if name not in taken and not any(spec.other_arguments for spec in chosen):
                place.at(str(path)).note(f'no tool named here takes an argument "{name}"{closest(name, taken)}')

    def known_agents(self, value: Any, place: Where) -> tuple[str, ...]:
        names = place.texts(value)
        for name in names:
            if self.agents is not None and not any(matches(name, agent) for agent in self.agents):
                place.note(f'agent "{name}" is not in the registry{closest(name, self.agents)}')
        return names

    def known_classes(self, fact: str, value: Any, place: Where) -> frozenset[str]:
        names = place.texts(value)
        known = {name for spec in self.tools.values() for name in getattr(spec, fact)}
        for name in names:
            if name not in known:
                field = "reads" if fact == "reads" else "writes"
                hint = closest(name, known)
                place.fail(f'no tool declares "{name}" under `{field}`{hint}; declare it or mend the name')
        return frozenset(names)

    def nested(self, value: Any, place: Where) -> tuple[Condition, ...]:
        if not isinstance(value, list) or not value:
            place.fail(f"expected a list of conditions, found {value!r}")
        parts = []
        for i, item in enumerate(value):
            with place.collecting():
                parts.append(self.condition(item, place.at(f"[{i}]")))
        if len(parts) < len(value):
            raise Wrong(place.path)
        return tuple(parts)

    def tests(self, value: Any, place: Where) -> tuple[c.Argument, ...]:
        """Tests by dotted path: `{to: {domain_in: internal_domains}}`."""
        parts: list[c.Argument] = []
        wanted = 0
        for path, said in place.mapping(value, None).items():
            spot = place.at(path)
            for operator, operand in spot.mapping(said, OPERATORS).items():
                wanted += 1
                with spot.collecting():
                    read = self.operand(operator, operand, spot.at(operator))
                    parts.append(c.Argument(tuple(path.split(".")), operator, read))
        if not parts or len(parts) < wanted:
            if not wanted:
                place.note("expected at least one test")
            raise Wrong(place.path)
        return tuple(parts)

    def operand(self, operator: str, value: Any, where: Where) -> Any:
        if isinstance(value, Mapping) and set(value) == {"argument"} and isinstance(value["argument"], str):
            if operator in ("exists", "matches", "not_matches", *AGES):
                where.fail("this test takes a value of its own, not an argument's")
            return c.ArgumentRef(tuple(value["argument"].split(".")))
        if operator in NUMERIC:
            return where.number(value)
        if operator == "exists":
            return where.truth(value)
        if operator in ("matches", "not_matches"):
            return where.pattern(value)
        if operator in AGES:
            return where.span(value)
        if operator in ("domain_in", "domain_not_in"):
            if isinstance(value, str) and value in self.variables:
                return tuple(domain.lower() for domain in self.variables[value])
            if isinstance(value, str) and "." not in value:
                where.fail(f"{value!r} is neither a domain nor a known list ({', '.join(self.variables) or 'none'})")
            return tuple(domain.lower() for domain in where.texts(value))
        if operator in ("in", "not_in", "has_any") and not isinstance(value, list):
            where.fail(f"expected a list, found {value!r}")
        return tuple(value) if operator in ("in", "not_in", "has_any") else value


def _nothing(value: Any, place: Where, wanted: str) -> NoReturn:
    """Nothing was read: because nothing is there, or because all of it is named as unknown already."""
    if value:
        raise Wrong(place.path)
    place.fail(wanted)


def _one_or_all(parts: tuple[Condition, ...]) -> Condition:
    return parts[0] if len(parts) == 1 else c.AllOf(parts)


def _types(value: Any, place: Where) -> tuple[str, ...]:
    """Types of agents: the known ones and any of one's own, but not a known one mistyped."""
    names = place.texts(value)
    for name in names:
        hint = "" if name in TYPES else closest(name, TYPES, 0.8)
        if hint:
            place.fail(f'there is no type "{name}"{hint}; a type of your own needs a name less like it')
    return names


def _choices(value: Any, place: Where, allowed: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(place.choice(item, allowed) for item in place.texts(value))


def _limits(value: Any, place: Where, kind: Callable[[str, float], Condition]) -> Condition:
    body = place.mapping(value, NUMERIC)
    if not body:
        _nothing(value, place, f"expected one of {', '.join(NUMERIC)}")
    return _one_or_all(tuple(kind(op, place.at(op).number(limit)) for op, limit in body.items()))


def _repeat(value: Any, place: Where) -> Condition:
    body = place.mapping(value, ("more_than", "same_arguments"))
    same = place.at("same_arguments").truth(body.get("same_arguments", False))
    return c.Repeat(place.at("more_than").count(body.get("more_than")), same)


def _rate(value: Any, place: Where) -> Condition:
    body = place.mapping(value, ("more_than", "per", "by"))
    by = place.at("by").choice(body.get("by", "agent"), RATED_BY)
    return c.Rate(place.at("more_than").count(body.get("more_than")), place.at("per").span(body.get("per")), by)


def _time(value: Any, place: Where) -> Condition:
    body = place.mapping(value, ("hours", "weekdays", "timezone", "outside"))
    if not {"hours", "weekdays"} & body.keys():
        place.fail("expected hours, weekdays or both")
    days = body.get("weekdays", list(DAYS))
    read = place.at("weekdays").texts(days)
    start, _, end = str(body.get("hours", "00:00-00:00")).partition("-")
    try:
        hours = time.fromisoformat(start.strip()), time.fromisoformat(end.strip())
        if any(hour.tzinfo for hour in hours):
            raise ValueError("the zone is a field of its own")
    except ValueError:
        place.at("hours").fail(f'expected hours such as "09:00-17:00", found {body["hours"]!r}')
    try:
        zone = ZoneInfo(body.get("timezone", "UTC"))
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        place.at("timezone").fail(f"{body['timezone']!r} is no time zone; write one such as Europe/Berlin")
    return c.TimeWindow(
        start=hours[0],
        end=hours[1],
        weekdays=frozenset(DAYS.index(place.at("weekdays").choice(day, DAYS)) for day in read),
        zone=zone,
        outside=place.at("outside").truth(body.get("outside", False)),
    )


def _last_message(value: Any, place: Where) -> Condition:
    body = place.mapping(value, ("matches", "not_matches"))
    if not body:
        _nothing(value, place, "expected matches or not_matches")
    tests = (c.LastMessage(place.at(key).pattern(text), key == "matches") for key, text in body.items())
    return _one_or_all(tuple(tests))
