"""Policies as data: read into typed rules, refused where they are wrong, named by the hash of their content.

Rules are combined by one law: a deny beats a required approval, which beats an allow; what no rule decides needs
approval when the tool is known, and is denied when it is not.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from liftos_pipelines.modules.agentic.conditions import (
    NUMERIC,
    OPERATORS,
    After,
    AfterDenial,
    AgentIs,
    AllOf,
    Amount,
    AnyOf,
    Argument,
    Condition,
    LastMessage,
    Not,
    Rate,
    Repeat,
    ToolFact,
    ToolIs,
    ToolSpec,
    matches,
)

Decision = Literal["allow", "deny", "needs_approval"]
STRENGTH: dict[str, int] = {"allow": 0, "needs_approval": 1, "deny": 2}
BUDGET_PERIODS = ("run", "day", "month", "total")
STAGES = ("draft", "review", "shadow", "canary", "live", "suspended", "retired")
_PER = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class PolicyError(ValueError):
    """A policy cannot be used; the message names the file, the rule, the field and the fix."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    name: str
    decision: Decision
    condition: Condition
    reason: str


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A policy ready to judge. `version` is the SHA-256 of its canonical content."""

    name: str
    version: str
    tools: Mapping[str, ToolSpec]
    rules: tuple[Rule, ...]
    budget_period: str
    scope_by_capabilities: bool

    def spec(self, tool: str) -> ToolSpec | None:
        """What is declared of a tool, by its name or the first glob that matches; None when nothing is."""
        if tool in self.tools:
            return self.tools[tool]
        return next((spec for pattern, spec in self.tools.items() if matches(pattern, tool)), None)


def parse_policy(
    content: Any, *, file: str, base: Any = None, variables: Mapping[str, Sequence[str]] | None = None
) -> Policy:
    """Typed policy from what a YAML file holds.

    Parameters
    ----------
    content : the file's content; `extends: default` lays it over `base`
    base : content of the packaged default policy
    variables : lists that a rule may name instead of giving them, such as `internal_domains`

    Raises
    ------
    PolicyError : a field is unknown, missing or of the wrong kind, or two rules contradict each other
    """
    where = _Where(file)
    body = where.mapping(content, {"name", "extends", "budget", "capabilities", "tools", "rules"})
    if body.get("extends") not in (None, "default"):
        where.at("extends").fail(f"only `default` can be extended, found {body['extends']!r}")
    parts = [base, body] if body.get("extends") == "default" and base is not None else [body]
    merged: dict[str, Any] = {"tools": {}, "rules": []}
    for part in parts:
        merged |= {key: part[key] for key in ("name", "budget", "capabilities") if key in part}
        merged["tools"] |= where.at("tools").mapping(part.get("tools") or {}, None)
        rules = part.get("rules") or []
        if not isinstance(rules, list):
            where.at("rules").fail(f"expected a list of rules, found {type(rules).__name__}")
        merged["rules"] += rules
    tools = {str(name): _tool(spec, where.at(f"tools.{name}")) for name, spec in merged["tools"].items()}
    named = {key: tuple(values) for key, values in (variables or {}).items()}
    rules_read = tuple(_rule(rule, position, where, tools, named) for position, rule in enumerate(merged["rules"]))
    _refuse_contradictions(merged["rules"], where)
    budget = where.at("budget").mapping(merged.get("budget") or {}, {"period"})
    period = where.at("budget.period").choice(budget.get("period", "day"), BUDGET_PERIODS)
    scoped = where.at("capabilities").choice(merged.get("capabilities", "enforce"), ("enforce", "ignore"))
    merged["variables"] = {key: sorted(values) for key, values in named.items()}
    return Policy(
        name=str(merged.get("name", file)),
        version=content_hash(merged),
        tools=tools,
        rules=rules_read,
        budget_period=period,
        scope_by_capabilities=scoped == "enforce",
    )


def content_hash(content: Any) -> str:
    """SHA-256 of the canonical JSON of a content: same meaning, same hash, however the file is written."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True)
class _Where:
    """A place in a policy file, for errors and typed access."""

    file: str
    rule: str = ""
    field: str = ""

    def at(self, field: str) -> _Where:
        return _Where(self.file, self.rule, f"{self.field}.{field}" if self.field else field)

    def fail(self, problem: str) -> None:
        parts = [self.file, f'rule "{self.rule}"' if self.rule else "", self.field]
        raise PolicyError(f"{': '.join(part for part in parts if part)}: {problem}")

    def mapping(self, value: Any, allowed: Iterable[str] | None) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            self.fail(f"expected fields, found {type(value).__name__} {value!r}")
        for key in value:
            if allowed is not None and key not in allowed:
                names = sorted(allowed)
                close = difflib.get_close_matches(str(key), names, n=1)
                hint = f' (closest: "{close[0]}")' if close else ""
                self.at(str(key)).fail(f"this field is not known{hint}. Allowed here: {', '.join(names)}")
        return {str(key): item for key, item in value.items()}

    def choice(self, value: Any, allowed: Sequence[str]) -> str:
        if value not in allowed:
            self.fail(f"expected one of {', '.join(allowed)}; found {value!r}")
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
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            self.fail(f"expected a number, found {value!r}")
        return float(value)

    def count(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            self.fail(f"expected a whole number of at least 0, found {value!r}")
        return int(value)

    def pattern(self, value: Any) -> re.Pattern[str]:
        try:
            return re.compile(value)
        except (re.error, TypeError) as error:
            self.fail(f"{value!r} is not a regular expression: {error}")
            raise


def _tool(content: Any, where: _Where) -> ToolSpec:
    body = where.mapping(content or {}, {"reversible", "writes", "amount"})
    amount = body.get("amount")
    if amount is not None and not isinstance(amount, str):
        where.at("amount").fail(f"expected the name of the argument that holds the money, found {amount!r}")
    return ToolSpec(
        reversible=where.at("reversible").truth(body.get("reversible", False)),
        writes=where.at("writes").truth(body.get("writes", True)),
        amount=amount,
    )


def _rule(
    content: Any, position: int, where: _Where, tools: Mapping[str, ToolSpec], variables: Mapping[str, tuple[str, ...]]
) -> Rule:
    place = where.at(f"rules[{position}]")
    body = place.mapping(content, {"name", "decision", "when", "reason"})
    if not isinstance(body.get("name"), str) or not body["name"]:
        place.at("name").fail("this field is required; give the rule a name")
    named = _Where(where.file, body["name"])
    if "decision" not in body:
        named.at("decision").fail("this field is required; one of allow, deny, needs_approval")
    decision = named.at("decision").choice(body["decision"], tuple(STRENGTH))
    when = body.get("when")
    if not when:
        named.at("when").fail("this field is required; a rule without a condition would decide everything")
    condition = _condition(when, named.at("when"), tools, variables)
    return Rule(
        name=body["name"],
        decision=decision,  # type: ignore[arg-type]
        condition=condition,
        reason=str(body.get("reason", body["name"].replace("_", " "))),
    )


def _condition(
    content: Any, where: _Where, tools: Mapping[str, ToolSpec], variables: Mapping[str, tuple[str, ...]]
) -> Condition:
    def known_tools(value: Any, place: _Where) -> tuple[str, ...]:
        names = place.texts(value)
        for name in names:
            if not any(char in name for char in "*?[") and not any(matches(known, name) for known in tools):
                close = difflib.get_close_matches(name, list(tools), n=1)
                hint = f' (closest: "{close[0]}")' if close else ""
                place.fail(f'tool "{name}" is not declared under `tools`{hint}; declare it or mend the name')
        return names

    def nested(value: Any, place: _Where) -> tuple[Condition, ...]:
        if not isinstance(value, list) or not value:
            place.fail(f"expected a list of conditions, found {value!r}")
        return tuple(_condition(item, place.at(f"[{i}]"), tools, variables) for i, item in enumerate(value))

    def after(value: Any, place: _Where) -> Condition:
        return After(known_tools(place.mapping(value, {"tool"}).get("tool"), place.at("tool")))

    def not_after(value: Any, place: _Where) -> Condition:
        return After(known_tools(place.mapping(value, {"tool"}).get("tool"), place.at("tool")), absent=True)

    def repeat(value: Any, place: _Where) -> Condition:
        body = place.mapping(value, {"more_than", "same_arguments"})
        same = place.at("same_arguments").truth(body.get("same_arguments", False))
        return Repeat(place.at("more_than").count(body.get("more_than")), same)

    def rate(value: Any, place: _Where) -> Condition:
        body = place.mapping(value, {"more_than", "per"})
        span = re.fullmatch(r"(\d+)([smhd])", str(body.get("per", "")))
        if span is None:
            place.at("per").fail(f"expected a span such as 10m, 1h or 1d; found {body.get('per')!r}")
            raise AssertionError
        per = timedelta(seconds=int(span[1]) * _PER[span[2]])
        return Rate(place.at("more_than").count(body.get("more_than")), per)

    def amount(value: Any, place: _Where) -> Condition:
        body = place.mapping(value, NUMERIC)
        return AllOf(tuple(Amount(op, place.at(op).number(limit)) for op, limit in body.items()))

    def arguments(value: Any, place: _Where) -> Condition:
        parts: list[Condition] = []
        for path, tests in place.mapping(value, None).items():
            spot = place.at(path)
            for operator, wanted in spot.mapping(tests, OPERATORS).items():
                value_read = _operand(operator, wanted, spot.at(operator), variables)
                parts.append(Argument(tuple(path.split(".")), operator, value_read))
        return AllOf(tuple(parts))

    def last_message(value: Any, place: _Where) -> Condition:
        body = place.mapping(value, {"matches", "not_matches"})
        return AllOf(tuple(LastMessage(place.at(key).pattern(text), key == "matches") for key, text in body.items()))

    readers: dict[str, Callable[[Any, _Where], Condition]] = {
        "tool": lambda value, place: ToolIs(known_tools(value, place)),
        "agent": lambda value, place: AgentIs("agent_id", place.texts(value)),
        "agent_type": lambda value, place: AgentIs("type", place.texts(value)),
        "stage": lambda value, place: AgentIs("stage", tuple(place.choice(s, STAGES) for s in place.texts(value))),
        "reversible": lambda value, place: ToolFact("reversible", place.truth(value)),
        "writes": lambda value, place: ToolFact("writes", place.truth(value)),
        "amount": amount,
        "arguments": arguments,
        "after": after,
        "not_after": not_after,
        "after_denial": lambda value, place: AfterDenial(place.truth(value)),
        "repeat": repeat,
        "rate": rate,
        "last_message": last_message,
        "any_of": lambda value, place: AnyOf(nested(value, place)),
        "all_of": lambda value, place: AllOf(nested(value, place)),
        "not": lambda value, place: Not(_condition(value, place, tools, variables)),
    }
    body = where.mapping(content, readers)
    if not body:
        where.fail("expected at least one condition")
    parts = tuple(readers[key](value, where.at(key)) for key, value in body.items())
    return parts[0] if len(parts) == 1 else AllOf(parts)


def _operand(operator: str, value: Any, where: _Where, variables: Mapping[str, tuple[str, ...]]) -> Any:
    if operator in NUMERIC:
        return where.number(value)
    if operator == "exists":
        return where.truth(value)
    if operator == "matches":
        return where.pattern(value)
    if operator in ("domain_in", "domain_not_in"):
        if isinstance(value, str) and value in variables:
            return tuple(domain.lower() for domain in variables[value])
        if isinstance(value, str) and "." not in value:
            where.fail(f"{value!r} is neither a domain nor a known list ({', '.join(variables) or 'none'})")
        return tuple(domain.lower() for domain in where.texts(value))
    if operator in ("in", "not_in") and not isinstance(value, list):
        where.fail(f"expected a list, found {value!r}")
    return value


def _refuse_contradictions(rules: Sequence[Any], where: _Where) -> None:
    names: set[str] = set()
    decided: dict[str, tuple[str, str]] = {}
    for rule in rules:
        name, decision = rule["name"], rule["decision"]
        if name in names:
            _Where(where.file, name).at("name").fail("this name is used twice; names tell decisions apart")
        names.add(name)
        key = content_hash(rule["when"])
        other = decided.setdefault(key, (name, decision))
        if other[1] != decision:
            _Where(where.file, name).at("decision").fail(
                f'says {decision} where rule "{other[0]}" says {other[1]} under the same condition; keep one of them'
            )
