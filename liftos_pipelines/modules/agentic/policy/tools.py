"""Reading what a policy declares of tools, budgets and approvals."""

from __future__ import annotations

from typing import Any

from liftos_pipelines.modules.agentic.arguments import TYPES
from liftos_pipelines.modules.agentic.facts import RISKS, ApprovalNeed, ArgumentSpec, Budget, ToolSpec
from liftos_pipelines.modules.agentic.policy.model import BUDGET_PERIODS, BUDGET_SCOPES
from liftos_pipelines.modules.agentic.policy.reading import Where

TOOL_FIELDS = ("reversible", "writes", "amount", "reads", "risk", "arguments", "other_arguments")
ARGUMENT_FIELDS = ("type", "required", "enum", "min", "max", "max_length", "pattern")


def tool(content: Any, where: Where) -> ToolSpec:
    """`writes` is true, false, or the resources that the tool changes."""
    body = where.mapping(content if content is not None else {}, TOOL_FIELDS)
    read: dict[str, Any] = {}
    with where.collecting():
        amount = body.get("amount")
        if amount is not None and not isinstance(amount, str):
            where.at("amount").fail(f"expected the name of the argument that holds the money, found {amount!r}")
        read["amount"] = amount
    with where.collecting():
        read["reversible"] = where.at("reversible").truth(body.get("reversible", False))
    with where.collecting():
        writes = body.get("writes", True)
        if isinstance(writes, (str, list)):
            read |= {"writes": True, "writes_to": frozenset(where.at("writes").texts(writes))}
        else:
            read["writes"] = where.at("writes").truth(writes)
    with where.collecting():
        read["reads"] = frozenset(where.at("reads").texts(body["reads"])) if "reads" in body else frozenset()
    with where.collecting():
        read["risk"] = where.at("risk").choice(body["risk"], RISKS) if "risk" in body else None
    if "arguments" in body:
        with where.collecting():
            declared = where.at("arguments").mapping(body["arguments"] or {}, None)
            spot = where.at("arguments")
            read["arguments"] = {name: _argument(said, spot.at(name)) for name, said in declared.items()}
            if read.get("amount") and read["amount"] not in declared:
                where.at("amount").note(f'argument "{read["amount"]}" is not declared under arguments; declare it')
    with where.collecting():
        read["other_arguments"] = where.at("other_arguments").truth(body.get("other_arguments", False))
    return ToolSpec(**read)


def _argument(content: Any, where: Where) -> ArgumentSpec:
    if isinstance(content, str):
        content = {"type": content}
    body = where.mapping(content if content is not None else {}, ARGUMENT_FIELDS)
    read: dict[str, Any] = {}
    readers = {
        "type": lambda value, place: place.choice(value, tuple(TYPES)),
        "required": lambda value, place: place.truth(value),
        "enum": lambda value, place: tuple(value) if isinstance(value, list) else place.fail("expected a list"),
        "min": lambda value, place: place.number(value),
        "max": lambda value, place: place.number(value),
        "max_length": lambda value, place: place.count(value),
        "pattern": lambda value, place: place.pattern(value),
    }
    for name, value in body.items():
        with where.collecting():
            read[name] = readers[name](value, where.at(name))
    spec = ArgumentSpec(**read)
    if spec.min is not None and spec.max is not None and spec.min > spec.max:
        where.note(f"min {spec.min:g} is above max {spec.max:g}: no value fits")
    return spec


def budget(content: Any, where: Where) -> Budget | None:
    """One of the `budgets`: a scope (agent, tool, run, client), for which names, over which period, up to what."""
    body = where.mapping(content, ("scope", "period", "limit", "names", "hard"))
    with where.collecting():
        scope = where.at("scope").choice(body.get("scope"), BUDGET_SCOPES)
        period = where.at("period").choice(body.get("period", "run" if scope == "run" else "day"), BUDGET_PERIODS)
        limit = where.at("limit").number(body.get("limit"))
        if limit < 0:
            where.at("limit").fail(f"expected a limit of at least 0, found {limit:g}")
        names = where.at("names").texts(body.get("names", "*"))
        if "names" in body and scope in ("run", "client"):
            where.at("names").fail(f"a budget per {scope} has no names; take the field away")
        hard = where.at("hard").truth(body.get("hard", True))
        return Budget(scope=scope, period=period, limit=limit, names=names, hard=hard)
    return None


def approval(content: Any, where: Where) -> ApprovalNeed:
    """`approvers`: quorum, names, roles, expires."""
    body = where.mapping(content, ("quorum", "names", "roles", "expires"))
    quorum = where.at("quorum").count(body.get("quorum", 1), 1)
    names = where.at("names").texts(body["names"]) if "names" in body else ()
    roles = where.at("roles").texts(body["roles"]) if "roles" in body else ()
    if names and not roles and quorum > len(set(names)):
        where.at("quorum").fail(f"{quorum} must agree and only {len(set(names))} may; name more or ask fewer")
    expires = where.at("expires").span(body["expires"]) if "expires" in body else None
    approvers = tuple(sorted({*names, *(f"role:{role}" for role in roles)}))
    return ApprovalNeed(quorum=quorum, approvers=approvers, expires=expires)
