"""A policy from what a YAML file holds: laid over what it extends, read into types, checked as a whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from liftos_pipelines.modules.agentic.facts import Budget, ToolSpec
from liftos_pipelines.modules.agentic.policy import checks, tools
from liftos_pipelines.modules.agentic.policy.model import BUDGET_PERIODS, Authority, Policy, PolicyError, Rule
from liftos_pipelines.modules.agentic.policy.reading import Where, Wrong, closest
from liftos_pipelines.modules.agentic.policy.rules import Reader

FIELDS = ("name", "extends", "budget", "budgets", "capabilities", "data_scopes", "tools", "rules", "cedar")
SCALARS = ("name", "budget", "capabilities", "data_scopes")


def parse_policy(
    content: Any,
    *,
    file: str,
    base: Any = None,
    packs: Mapping[str, Any] | None = None,
    variables: Mapping[str, Sequence[str]] | None = None,
    agents: Collection[str] | None = None,
    authority: Authority | None = None,
    authority_content: Any = None,
) -> Policy:
    """Typed policy from what a YAML file holds.

    Parameters
    ----------
    content : the file's content; `extends: default` lays it over `base`, `extends: [default, marketing_spend]` over
        those in this order: later declarations of a tool replace earlier ones, rules add up
    base : content of the packaged default policy
    packs : contents of the packaged policies that may be extended besides, by name
    variables : lists that a rule may name instead of giving them, such as `internal_domains`
    agents : ids of the registry, where it is at hand; a rule about another agent is then a problem
    authority : rules of another language that decide beside these; `authority_content` goes into the version

    Raises
    ------
    PolicyError : all problems at once, each with file, rule, field and fix: fields that are unknown, missing or of the
        wrong kind, conditions that nothing satisfies, rules that can never decide or that contradict each other
    """
    where = Where(file)
    try:
        body = where.mapping(content, FIELDS)
    except Wrong:
        raise PolicyError(where.problems) from None
    known = {**({"default": base} if base is not None else {}), **(packs or {})}
    parts = [(part, True) for part in _extended(body, where, known)] + [(body, False)]
    merged = _merged(parts, where)
    specs: dict[str, ToolSpec] = {}
    for name, spec in merged["tools"].items():
        with where.collecting():
            specs[str(name)] = tools.tool(spec, where.at(f"tools.{name}"))
    named = {key: tuple(values) for key, values in (variables or {}).items()}
    reader = Reader(specs, named, None if agents is None else frozenset(agents))
    rules = [
        reader.rule(rule, position, where, inherited=inherited)
        for position, (rule, inherited) in enumerate(merged["rules"])
    ]
    read = tuple(rule for rule in rules if rule is not None)
    _refuse_twins(read, where)
    period, scoped, scopes = "day", "enforce", "enforce"
    with where.collecting():
        budget = where.at("budget").mapping(merged.get("budget") or {}, ("period",))
        period = where.at("budget.period").choice(budget.get("period", "day"), BUDGET_PERIODS)
    with where.collecting():
        scoped = where.at("capabilities").choice(merged.get("capabilities", "enforce"), ("enforce", "ignore"))
    with where.collecting():
        modes = ("enforce", "require", "ignore")
        scopes = where.at("data_scopes").choice(merged.get("data_scopes", "enforce"), modes)
    content_read = {key: value for key, value in merged.items() if key != "rules"}
    content_read["rules"] = [rule for rule, _ in merged["rules"]]
    content_read["variables"] = {key: sorted(values) for key, values in named.items()}
    if authority_content is not None:
        content_read["authority"] = authority_content
    policy = Policy(
        name=str(body.get("name") or file.replace("\\", "/").rsplit("/", 1)[-1]),
        version=content_hash(content_read),
        tools=specs,
        rules=read,
        budget_period=period,
        scope_by_capabilities=scoped == "enforce",
        data_scopes=scopes,
        budgets=tuple(_budgets(merged["budgets"], where)),
        authority=authority,
    )
    # Rules that were not read would make others look as if they decided alone.
    wrong, warned = checks.problems(policy) if len({rule.name for rule in read}) == len(rules) else ([], [])
    for name, field, problem in wrong:
        where.of_rule(name).at(field).note(problem)
    if where.problems:
        raise PolicyError(where.problems)
    warnings = tuple(Where(file, name, field).text(problem) for name, field, problem in warned)
    return replace(policy, warnings=warnings)


def content_hash(content: Any) -> str:
    """SHA-256 of the canonical JSON of a content: same meaning, same hash, however the file is written."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _extended(body: Mapping[str, Any], where: Where, known: Mapping[str, Any]) -> list[Any]:
    said = body.get("extends")
    if said is None:
        return []
    place = where.at("extends")
    found = []
    with place.collecting():
        for name in place.texts(said):
            if name not in known:
                names = ", ".join(known) or "none"
                place.note(f"there is no policy {name!r} to extend{closest(name, known)}; those packaged: {names}")
            elif known[name] not in found:
                found.append(known[name])
    return found


def _merged(parts: Sequence[tuple[Any, bool]], where: Where) -> dict[str, Any]:
    merged: dict[str, Any] = {"tools": {}, "rules": [], "budgets": []}
    for part, inherited in parts:
        merged |= {key: part[key] for key in SCALARS if key in part}
        with where.collecting():
            merged["tools"] |= where.at("tools").mapping(part.get("tools") or {}, None)
        for key in ("rules", "budgets"):
            items = part.get(key) or []
            if not isinstance(items, list):
                where.at(key).note(f"expected a list of {key}, found {type(items).__name__}")
                continue
            merged[key] += [(item, inherited) for item in items] if key == "rules" else items
    return merged


def _budgets(items: Sequence[Any], where: Where) -> list[Budget]:
    found = []
    for position, item in enumerate(items):
        with where.collecting():
            read = tools.budget(item, where.at(f"budgets[{position}]"))
            if read is not None:
                found.append(read)
    return found


def _refuse_twins(rules: Sequence[Rule], where: Where) -> None:
    names: set[str] = set()
    for rule in rules:
        if rule.name in names:
            where.of_rule(rule.name).at("name").note("this name is used twice; names tell decisions apart")
        names.add(rule.name)
