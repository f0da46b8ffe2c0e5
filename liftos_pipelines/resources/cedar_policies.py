"""Policies in Cedar beside, or instead of, rules in YAML; judged by the kept library `cedarpy` (Apache-2.0).

A call is asked as principal `Agent::"id"`, action `Action::"tool"`, resource `Resource::"…"` (the value of the argument
that names the target, the tool itself where none is named), with its arguments, amounts and the run so far as context.
What no policy permits is denied, as Cedar has it. Stricter than Cedar: a forbid that cannot be evaluated denies, where
Cedar would pass over it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liftos_pipelines.modules.agentic.comparing import ABSENT, at_path, span_of
from liftos_pipelines.modules.agentic.facts import AgentFacts, ApprovalNeed, Call, Decision, History
from liftos_pipelines.modules.agentic.policy import Policy, PolicyError
from liftos_pipelines.modules.agentic.policy.reading import Where, closest

FIELDS = ("policies", "schema", "entities", "resources")
_ERRED = re.compile(r"policy `([^`]+)`")
Said = tuple[Decision, Sequence[str], Sequence[str], ApprovalNeed | None]


@dataclass(frozen=True)
class _Known:
    """A policy of the set: its name (`@id`, else Cedar's), and the approval it asks for (`@needs_approval`)."""

    name: str
    forbids: bool
    reason: str
    need: ApprovalNeed | None
    asks: bool


@dataclass
class CedarAuthority:
    """Cedar's decision on each call. A permit annotated `@needs_approval("quorum=2 roles=finance expires=1d")` asks."""

    file: str
    policies: Any
    entities: Any
    schema: Any
    known: Mapping[str, _Known]
    actions: frozenset[str]
    resources: Mapping[str, str]
    named_agents: frozenset[str]
    _principals: dict[AgentFacts, Any] = field(default_factory=dict)

    def decide(self, call: Call, history: History) -> Said:
        import cedarpy

        request = {
            "principal": {"type": "Agent", "id": call.agent.agent_id},
            "action": {"type": "Action", "id": call.tool},
            "resource": {"type": "Resource", "id": self._resource(call)},
            "context": context_of(call, history),
        }
        found = cedarpy.is_authorized(request, self.policies, self._entities(call.agent), self.schema)
        erred = {name for error in found.diagnostics.errors for name in _ERRED.findall(error)}
        broken = sorted(self.known[name].name for name in erred if name not in self.known or self.known[name].forbids)
        if found.decision == cedarpy.Decision.NoDecision or broken:
            errors = "; ".join(found.diagnostics.errors)
            return "deny", broken or ["cedar_error"], [f"Cedar could not be asked: {errors}"], None
        deciding = [self.known[name] for name in found.diagnostics.reasons if name in self.known]
        names, reasons = [one.name for one in deciding], [one.reason for one in deciding]
        if found.decision != cedarpy.Decision.Allow:
            return "deny", names or ["cedar_default"], reasons or [f"no Cedar policy permits {call.tool} here"], None
        asking = [one for one in deciding if one.asks]
        if asking:
            need = max((one.need for one in asking if one.need), key=lambda one: one.quorum, default=ApprovalNeed())
            return "needs_approval", [one.name for one in asking], [one.reason for one in asking], need
        return "allow", names, reasons, None

    def refuse_unknown_tools(self, policy: Policy) -> None:
        """Raises PolicyError for an action that is no tool: a rule about it would never be asked."""
        unknown = sorted(action for action in self.actions if policy.spec(action) is None)
        if unknown:
            raise PolicyError(
                [
                    f'{self.file}: Action::"{action}" is no declared tool{closest(action, policy.tools)}; '
                    "declare it under tools or mend the name"
                    for action in unknown
                ]
            )

    def _resource(self, call: Call) -> str:
        path = self.resources.get(call.tool)
        value = at_path(call.arguments, tuple(path.split("."))) if path else ABSENT
        return str(value) if isinstance(value, (str, int, float)) else call.tool

    def _entities(self, agent: AgentFacts) -> Any:
        if agent.agent_id in self.named_agents:
            return self.entities
        known = self._principals.get(agent)
        if known is None:
            attributes = {
                "type": agent.type,
                "stage": agent.stage,
                "risk": agent.risk,
                "capabilities": sorted(agent.capabilities),
                "data_scopes": None if agent.data_scopes is None else sorted(agent.data_scopes),
            }
            stated = {key: value for key, value in attributes.items() if value is not None}
            entity = {"uid": {"type": "Agent", "id": agent.agent_id}, "attrs": stated, "parents": []}
            if len(self._principals) > 4096:
                self._principals.clear()
            known = self._principals[agent] = self.entities.with_added_json_str(json.dumps([entity]))
        return known


def context_of(call: Call, history: History) -> dict[str, Any]:
    """What Cedar policies may ask of `context`; what is unknown is absent.

    `arguments`, `amount_cents` and `cost_cents` (rounded up), `amount` (decimal), `writes`, `reversible`, `reads`,
    `writes_to`, `risk`, `environment`, `hour`, `weekday` (UTC, Monday is 0), `history.*`.
    """
    amount, spec = call.amount, call.spec
    said: dict[str, Any] = {
        "arguments": _value(call.arguments),
        "cost_cents": math.ceil(round(call.cost * 100, 6)),
        "hour": call.at.hour,
        "weekday": call.at.weekday(),
        "history": {
            "calls_of_tool": history.called(call.tool),
            "same_calls": history.called_alike(call),
            "denied": history.denied_so_far(),
            "events": history.events_so_far(),
            **({"last_message": history.last_message} if history.last_message is not None else {}),
        },
    }
    if amount is not None:
        said |= {"amount": _value(float(amount)), "amount_cents": math.ceil(round(amount * 100, 6))}
    if spec is not None:
        said |= {"writes": spec.writes, "reversible": spec.reversible, "reads": sorted(spec.reads)}
        said |= {"writes_to": sorted(spec.writes_to)} | ({"risk": spec.risk} if spec.risk else {})
    if call.environment is not None:
        said["environment"] = call.environment
    return said


def _value(value: Any) -> Any:
    """JSON as Cedar takes it: no null, fractions as decimals with four places."""
    if isinstance(value, Mapping):
        return {str(key): _value(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_value(item) for item in value if item is not None]
    if isinstance(value, float):
        return {"__extn": {"fn": "decimal", "arg": f"{value:.4f}"}}
    return value


def read_cedar(said: Any, file: Path) -> tuple[CedarAuthority, dict[str, Any]]:
    """The authority that a policy's `cedar` field names, and its content for the version.

    Raises
    ------
    PolicyError : a file is absent or not Cedar, or the policies do not fit the schema
    """
    import cedarpy

    where = Where(str(file)).at("cedar")
    body = {"policies": said} if isinstance(said, str) else said
    if not isinstance(body, Mapping) or not isinstance(body.get("policies"), str):
        raise PolicyError(where.text("expected `policies`, the name of a Cedar file"))
    if not body.keys() <= set(FIELDS):
        wrong = sorted(body.keys() - set(FIELDS))
        raise PolicyError([where.at(name).text(f"this field is not known{closest(name, FIELDS)}") for name in wrong])
    texts = {key: _text(file.parent / body[key], where.at(key)) for key in FIELDS[:3] if body.get(key) is not None}
    source, place = texts["policies"], str(file.parent / body["policies"])
    try:
        policies = cedarpy.PolicySet.from_str(source)
        known = json.loads(cedarpy.policies_to_json_str(source))["staticPolicies"]
    except ValueError as error:
        raise PolicyError(f"{place}: not readable as Cedar: {error}") from error
    schema = None
    if "schema" in texts:
        try:
            schema = cedarpy.Schema.from_str(texts["schema"])
        except ValueError as error:
            raise PolicyError(f"{file.parent / body['schema']}: not readable as a Cedar schema: {error}") from error
        checked = cedarpy.validate_policies(source, schema)
        if not checked.validation_passed:
            names = {key: f'@id("{item.get("annotations", {}).get("id", key)}")' for key, item in known.items()}
            errors = [_named(str(error), names) for error in checked.errors]
            raise PolicyError([f"{place}: {error}" for error in errors])
    entities_said = _entities_said(texts.get("entities", "[]"), where.at("entities"))
    try:
        entities = cedarpy.Entities.from_json_str(json.dumps(entities_said))
    except ValueError as error:
        raise PolicyError(where.at("entities").text(f"not Cedar entities: {error}")) from error
    resources = body.get("resources") or {}
    if not isinstance(resources, Mapping) or not all(isinstance(path, str) for path in resources.values()):
        raise PolicyError(where.at("resources").text("expected, by tool, the argument that names the target"))
    authority = CedarAuthority(
        file=place,
        policies=policies,
        entities=entities,
        # Agents are added from the registry, with facts that a client's schema need not know: it checks policies only.
        schema=None,
        known={key: _known(key, item, place) for key, item in known.items()},
        actions=frozenset(action for item in known.values() for action in _actions(item["action"])),
        resources={str(tool): path for tool, path in resources.items()},
        named_agents=frozenset(
            uid["id"] for entity in entities_said if (uid := entity.get("uid", {})).get("type") == "Agent"
        ),
    )
    _refuse_same_names(authority.known, place)
    return authority, texts


def _refuse_same_names(known: Mapping[str, _Known], place: str) -> None:
    names = [one.name for one in known.values()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PolicyError([f'{place}: @id("{name}") is used twice; names tell decisions apart' for name in twice])


def _known(key: str, item: Mapping[str, Any], place: str) -> _Known:
    notes = item.get("annotations") or {}
    name = notes.get("id") or key
    asks = "needs_approval" in notes
    if asks and item["effect"] == "forbid":
        raise PolicyError(f'{place}: @id("{name}"): nobody approves what is forbidden; annotate a permit')
    need = _need(notes.get("needs_approval") or "", f'{place}: @id("{name}"): @needs_approval') if asks else None
    reason = notes.get("reason") or name.replace("_", " ")
    return _Known(name=name, forbids=item["effect"] == "forbid", reason=reason, need=need, asks=asks)


def _need(text: str, place: str) -> ApprovalNeed:
    said = dict(part.partition("=")[::2] for part in text.split())
    unknown = sorted(said.keys() - {"quorum", "names", "roles", "expires"})
    expires = span_of(said["expires"]) if "expires" in said else None
    quorum = said.get("quorum", "1")
    if unknown or not quorum.isdigit() or int(quorum) < 1 or ("expires" in said and expires is None):
        raise PolicyError(f'{place}: expected such as "quorum=2 roles=finance names=ann,bo expires=1d", found {text!r}')
    names = [name for name in said.get("names", "").split(",") if name]
    roles = [f"role:{role}" for role in said.get("roles", "").split(",") if role]
    return ApprovalNeed(quorum=int(quorum), approvers=tuple(sorted({*names, *roles})), expires=expires)


def _actions(scope: Mapping[str, Any]) -> list[str]:
    """Tools that a policy's head names; those asked for in its conditions are not looked at."""
    entities = scope.get("entities") or ([scope["entity"]] if "entity" in scope else [])
    return [entity["id"] for entity in entities if entity.get("type") == "Action" and scope.get("op") in ("==", "in")]


def _named(error: str, names: Mapping[str, str]) -> str:
    return re.sub(r"`?(policy\d+)`?", lambda found: names.get(found[1], found[1]), error)


def _entities_said(text: str, where: Where) -> list[dict[str, Any]]:
    try:
        said = json.loads(text)
    except ValueError as error:
        raise PolicyError(where.text(f"not readable as JSON: {error}")) from error
    if not isinstance(said, list) or not all(isinstance(entity, dict) for entity in said):
        raise PolicyError(where.text("expected a list of entities"))
    return said


def _text(file: Path, where: Where) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(where.text(f"{file} is not readable: {error}")) from error
