"""How a value that a call or a result holds compares with what a rule says: True, False, or None where it cannot."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

NUMERIC: dict[str, Callable[[float, float], bool]] = {
    "above": lambda a, b: a > b,
    "at_least": lambda a, b: a >= b,
    "below": lambda a, b: a < b,
    "at_most": lambda a, b: a <= b,
}
AGES = ("older_than", "newer_than")
TEXTUAL = ("matches", "not_matches", "domain_in", "domain_not_in")
OPERATORS = ("equals", "not_equals", "in", "not_in", "has_any", "exists", *TEXTUAL, *NUMERIC, *AGES)
ABSENT = object()


def at_path(found: Any, path: tuple[str, ...]) -> Any:
    """The value at a dotted path; `#` counts a list, `*` takes the rest of the path of each item. ABSENT where none."""
    for position, part in enumerate(path):
        if part == "#":
            return len(found) if isinstance(found, (list, Mapping, str)) else ABSENT
        if part == "*":
            if not isinstance(found, list):
                return ABSENT
            items = [at_path(item, path[position + 1 :]) for item in found]
            return [item for item in items if item is not ABSENT]
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        else:
            return ABSENT
    return found


def compare(operator: str, found: Any, value: Any, now: datetime | None = None) -> bool | None:
    """Whether `found` stands so to `value`; an absent value only ever satisfies `exists: false`."""
    if found is ABSENT:
        return operator == "exists" and value is False
    if value is ABSENT:
        return None
    numeric = NUMERIC.get(operator)
    if numeric is not None:
        return numeric(float(found), value) if is_number(found) and is_number(value) else None
    if operator == "exists":
        return bool(value)
    if operator == "equals":
        return same(found, value)
    if operator == "not_equals":
        return not same(found, value)
    if operator in ("in", "not_in"):
        return any(same(found, item) for item in value) is (operator == "in")
    if operator == "has_any":
        return any(same(item, wanted) for item in found for wanted in value) if isinstance(found, list) else None
    if operator in ("matches", "not_matches"):
        return (value.search(found) is not None) is (operator == "matches") if isinstance(found, str) else None
    if operator in AGES:
        moment = moment_of(found)
        return None if moment is None or now is None else (moment < now - value) is (operator == "older_than")
    inside = _inside(found, value)
    return inside if operator == "domain_in" else not inside


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    return bool(one == other)


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def moment_of(value: Any) -> datetime | None:
    """A moment from ISO text, UTC where it names no zone."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _inside(found: Any, allowed: tuple[str, ...]) -> bool:
    domains = domains_of(found)
    return bool(domains) and all(_below(domain, allowed) for domain in domains)


def domains_of(found: Any) -> list[str]:
    """Domains of an address, a URL or a list of them; an empty text where one has none."""
    items = found if isinstance(found, list) else [found]
    domains = []
    for item in items:
        for part in re.split(r"[,;\s]+", str(item).strip()):
            host = re.sub(r"^[a-z]+://", "", part.lower()).split("/")[0].rpartition("@")[2].rstrip(">.")
            domains.append(host.split(":")[0])
    return domains


def _below(domain: str, allowed: tuple[str, ...]) -> bool:
    return any(domain == known or domain.endswith("." + known) for known in allowed)


_SPAN = re.compile(r"(\d+)\s*([smhdw])")
_PER = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def span_of(text: Any) -> timedelta | None:
    """A span such as 30s, 10m, 1h, 1d, 2w; None where the text is none."""
    found = _SPAN.fullmatch(str(text)) if isinstance(text, str) else None
    return None if found is None else timedelta(seconds=int(found[1]) * _PER[found[2]])
