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
LONGEST_TEXT = 100_000
"""Characters of a text that patterns are looked for in."""


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
        said = searched(value, found) if isinstance(found, str) else None
        return None if said is None else said is (operator == "matches")
    if operator in AGES:
        moment = moment_of(found)
        return None if moment is None or now is None else (moment < now - value) is (operator == "older_than")
    inside = _inside(found, value)
    return inside if inside is None or operator == "domain_in" else not inside


def searched(pattern: re.Pattern[str], text: str) -> bool | None:
    """Whether a pattern is found in a text; None in one so long that looking for it could hold up every decision."""
    return None if len(text) > LONGEST_TEXT else pattern.search(text) is not None


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    return bool(one == other)


def is_number(value: Any) -> bool:
    """A finite number, and not one so large that no float holds it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def moment_of(value: Any) -> datetime | None:
    """A moment from ISO text, UTC where it names no zone."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _inside(found: Any, allowed: tuple[str, ...]) -> bool | None:
    """All domains are allowed (True) or none is (False); None where some are, or one cannot be read."""
    domains = domains_of(found)
    if not domains or not all(domains):
        return None
    below = {_below(domain, allowed) for domain in domains}
    return below.pop() if len(below) == 1 else None


_NAMED = re.compile(r"[^<>@]*<([^<>\s]+)>")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")
_PATH = re.compile(r"[/?#\\]")
_HOST = re.compile(r"([\w-]+(?:\.[\w-]+)*)\.?(?::\d+)?")


def domains_of(found: Any) -> list[str]:
    """Domains of addresses and URLs, one or a list of them; an empty text for each that has none or could be read in
    two ways (`acme.example/x@evil.example` is an address at evil.example, `a@evil.example?cc=b@acme.example` two)."""
    domains = []
    for item in found if isinstance(found, list) else [found]:
        for address in re.split(r"[,;]", str(item).lower().strip()):
            named = _NAMED.fullmatch(address.strip())
            domains += [_domain(part) for part in ([named[1]] if named else address.split() or [""])]
    return domains


def _domain(part: str) -> str:
    scheme = _SCHEME.match(part)
    rest = part[scheme.end() :] if scheme else part.removeprefix("mailto:")
    if scheme or "@" not in rest:
        rest = _PATH.split(rest, maxsplit=1)[0]
    host = _HOST.fullmatch(rest.rpartition("@")[2])
    return host[1] if host and rest.count("@") <= 1 else ""


def _below(domain: str, allowed: tuple[str, ...]) -> bool:
    return any(domain == known or domain.endswith("." + known) for known in allowed)


_SPAN = re.compile(r"(\d{1,10})\s*([smhdw])")
_PER = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST_SPAN = 100 * 366 * 86400


def span_of(text: Any) -> timedelta | None:
    """A span such as 30s, 10m, 1h, 1d, 2w; None where the text is none, or one of more than a century."""
    found = _SPAN.fullmatch(text) if isinstance(text, str) else None
    seconds = _LONGEST_SPAN + 1 if found is None else int(found[1]) * _PER[found[2]]
    return timedelta(seconds=seconds) if seconds <= _LONGEST_SPAN else None
