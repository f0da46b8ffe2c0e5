"""Regular expressions that can take for ever: a repeat within a repeat that share what they match."""

from __future__ import annotations

from collections.abc import Iterator
from re import _constants as code  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

LETTERS = frozenset(map(chr, range(128))) | {"\u00e9", "\u0416", "\u4e2d"}
"""Characters by which classes are compared: ASCII, and a few letters for the rest."""
MANY = 16
"""Repeats up to so many times are tried out soon enough."""
_REPEATS = (code.MAX_REPEAT, code.MIN_REPEAT)
_CATEGORY = {
    code.CATEGORY_DIGIT: str.isdigit,
    code.CATEGORY_SPACE: str.isspace,
    code.CATEGORY_WORD: lambda char: char.isalnum() or char == "_",
}
_NEGATED = {
    code.CATEGORY_NOT_DIGIT: code.CATEGORY_DIGIT,
    code.CATEGORY_NOT_SPACE: code.CATEGORY_SPACE,
    code.CATEGORY_NOT_WORD: code.CATEGORY_WORD,
}


def endless(pattern: str) -> str | None:
    r"""Why a pattern may need time that doubles with each character of a text, in words; None where it is not known to.

    Found is a group repeated without limit that holds an unlimited repeat or alternatives, with nothing beside them in
    the group that ends each round: `(a+)+`, `(\w+|\d)*`. Source: Davis et al. (2018), The impact of regular
    expression denial of service in practice. Costs that grow with a power of a text's length are bounded by
    that length instead.

    Raises
    ------
    re.error : it is no regular expression
    """
    return next(_found(_parser.parse(pattern)), None)


def _found(items: Any) -> Iterator[str]:
    for kind, value in items:
        if kind in _REPEATS and value[1] > MANY:
            body = value[2]
            if _ambiguous(body):
                yield "a repeat stands within a repeat and nothing tells where one round ends; take one of them away"
        for inner in _parts(kind, value):
            yield from _found(inner)


def _ambiguous(body: Any, around: tuple[frozenset[str], ...] = ()) -> bool:
    """Whether rounds of a repeated body can share a text among them in more than one way.

    `around` : what each round has besides the body, by the characters that it may be
    """
    flat = list(_flat(body))
    fixed = (*around, *(_first([item]) for item in flat if item[0] not in (*_REPEATS, code.BRANCH)))
    for kind, value in flat:
        if kind in _REPEATS and value[1] > MANY:
            inner = _first(value[2])
            # A character that every round has, and that the repeat cannot take, tells the rounds apart.
            if not any(only.isdisjoint(inner) for only in fixed):
                return True
        elif kind is code.BRANCH:
            firsts = [_first(part) for part in value[1]]
            if not fixed and any(one & other for i, one in enumerate(firsts) for other in firsts[:i]):
                return True
            if any(_ambiguous(part, fixed) for part in value[1]):
                return True
    return False


def _flat(body: Any) -> Iterator[tuple[Any, Any]]:
    for kind, value in body:
        if kind is code.SUBPATTERN:
            yield from _flat(value[3])
        elif kind not in (code.AT, code.ASSERT, code.ASSERT_NOT):
            yield kind, value


def _parts(kind: Any, value: Any) -> list[Any]:
    if kind in _REPEATS or kind is code.POSSESSIVE_REPEAT:
        return [value[2]]
    if kind is code.SUBPATTERN:
        return [value[3]]
    if kind is code.BRANCH:
        return list(value[1])
    if kind in (code.ASSERT, code.ASSERT_NOT):
        return [value[1]]
    return [value] if kind is code.ATOMIC_GROUP else []


def _first(body: Any) -> frozenset[str]:
    """The characters that a body may begin with, among LETTERS; all of them where that is not worked out."""
    for kind, value in _flat(body):
        if kind is code.LITERAL:
            return frozenset({chr(value)})
        if kind is code.NOT_LITERAL:
            return LETTERS - {chr(value)}
        if kind is code.ANY:
            return LETTERS - {"\n"}
        if kind is code.IN:
            return _class(value)
        if kind in _REPEATS and value[0] > 0:
            return _first(value[2])
        if kind is code.BRANCH:
            return frozenset().union(*(_first(part) for part in value[1]))
        return LETTERS
    return LETTERS


def _class(items: Any) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for kind, value in items:
        if kind is code.LITERAL:
            found |= {chr(value)}
        elif kind is code.RANGE:
            found |= {char for char in LETTERS if value[0] <= ord(char) <= value[1]}
        elif kind is code.CATEGORY:
            positive = _NEGATED.get(value, value)
            own = frozenset(char for char in LETTERS if _CATEGORY[positive](char))
            found |= own if positive is value else LETTERS - own
    return LETTERS - found if items and items[0][0] is code.NEGATE else found
