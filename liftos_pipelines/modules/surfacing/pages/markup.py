"""Structured data of a page: JSON-LD, microdata and RDFa Lite as entities, and what could not be read, by position."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode

Entity = dict[str, Any]
MAX_DEPTH = 12
MAX_ENTITIES = 2_000
"""A page that states more is cut there: markup of that size is a feed, and says nothing more about the page."""
_WRAPPERS = re.compile(r"^\s*(?:<!--|//\s*<!\[CDATA\[|/\*\s*<!\[CDATA\[\s*\*/|<!\[CDATA\[)")
_WRAPPERS_END = re.compile(r"(?:-->|//\s*\]\]>|/\*\s*\]\]>\s*\*/|\]\]>)\s*$")
_LINK_VALUES = {"a": "href", "area": "href", "link": "href", "img": "src", "source": "src", "video": "src"}
_LINK_VALUES |= {"audio": "src", "iframe": "src", "embed": "src", "track": "src", "object": "data"}


@dataclass(frozen=True, kw_only=True)
class StructuredData:
    """Entities of a page, the outer before the inner; `blocks` counts the pieces of markup, readable or not.

    `broken` names each unreadable piece with its number, position and reason.
    """

    entities: tuple[Entity, ...]
    blocks: int
    broken: tuple[str, ...]
    syntaxes: tuple[str, ...]


def structured_data(tree: LexborHTMLParser, html: str) -> StructuredData:
    """Everything a page states in JSON-LD, microdata and RDFa Lite; references by `@id` are resolved."""
    entities, blocks, broken = _json_ld(tree)
    syntaxes = ["JSON-LD"] if blocks else []
    # Searching the text is a hundred times faster than matching selectors, and most pages have neither syntax.
    for syntax, scope, kind, prop in (
        ("microdata", "itemscope", "itemtype", "itemprop"),
        ("RDFa", "typeof", "typeof", "property"),
    ):
        if scope not in html:
            continue
        found = _scoped(tree, scope, kind, prop)
        if found:
            syntaxes.append(syntax)
            blocks += sum(not nested for nested, _ in found)
            entities += [entity for _, entity in found]
    return StructuredData(
        entities=tuple(_resolved(entities[:MAX_ENTITIES])),
        blocks=blocks,
        broken=tuple(broken),
        syntaxes=tuple(syntaxes),
    )


def entity_types(entity: Entity) -> list[str]:
    """schema.org types of an entity, without the vocabulary's address."""
    types = entity.get("@type", [])
    types = types if isinstance(types, list) else [types]
    return [re.split(r"[/#:]", str(kind))[-1] for kind in types if kind and isinstance(kind, str)]


def values(entity: Entity, name: str) -> list[Any]:
    """The values of a property as a list; absent and empty ones are not there."""
    value = entity.get(name)
    found = value if isinstance(value, list) else [value]
    return [one for one in found if one not in (None, "", [], {})]


def first_text(entity: Entity, name: str) -> str:
    """The first value of a property as text; of an entity its name; an empty string where there is none."""
    for value in values(entity, name):
        if isinstance(value, dict):
            value = value.get("@value") or value.get("name") or ""
        if isinstance(value, (str, int, float)) and str(value).strip():
            return str(value).strip()
    return ""


def walk_entities(value: Any, depth: int = 0) -> Iterator[Entity]:
    """Every typed entity in a structured-data value, the outer before the inner; deep nesting is cut off."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, dict):
        if entity_types(value) or "@id" in value:
            yield value
        for inner in value.values():
            if isinstance(inner, (dict, list)):
                yield from walk_entities(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from walk_entities(inner, depth + 1)


def _json_ld(tree: LexborHTMLParser) -> tuple[list[Entity], int, list[str]]:
    entities: list[Entity] = []
    broken: list[str] = []
    nodes = tree.css('script[type*="ld+json" i]')
    for number, node in enumerate(nodes, start=1):
        content = _WRAPPERS_END.sub("", _WRAPPERS.sub("", node.text()))
        if not content.strip():
            broken.append(f"JSON-LD block {number}: empty")
            continue
        try:
            # Raw line breaks inside strings are common and harmless; every parser that matters reads them.
            value = json.loads(content, strict=False)
        except json.JSONDecodeError as error:
            near = " ".join(content[max(error.pos - 15, 0) : error.pos + 15].split())
            broken.append(
                f'JSON-LD block {number}: line {error.lineno}, column {error.colno}: {error.msg} near "{near}"'
            )
            continue
        except (ValueError, RecursionError) as error:
            broken.append(f"JSON-LD block {number}: {type(error).__name__}: {str(error)[:60]}")
            continue
        found = list(walk_entities(value))
        if not any(entity_types(entity) for entity in found):
            broken.append(f"JSON-LD block {number}: no @type anywhere")
        entities += found
    return entities, len(nodes), broken


def _scoped(tree: LexborHTMLParser, scope: str, kind: str, prop: str) -> list[tuple[bool, Entity]]:
    """Entities written into the markup's attributes, in document order, each with whether it is a value of another.

    Source: HTML Standard, section Microdata (itemref aside); RDFa Lite 1.1 (W3C 2015) by the same nesting.
    """
    items: dict[int, Entity] = {}
    found: list[tuple[bool, Entity]] = []
    seen: set[int] = set()
    for node in tree.css(f"[{scope}], [{prop}]"):
        if node.mem_id in seen:  # a node that matches both selectors comes twice
            continue
        seen.add(node.mem_id)
        attributes = node.attributes
        owner = _owner(node, items)
        entity: Entity | None = None
        if scope in attributes and (scope != "typeof" or attributes.get(scope)):
            entity = {"@type": (attributes.get(kind) or "").split()}
            identity = attributes.get("itemid") or attributes.get("resource")
            if identity:
                entity["@id"] = identity.strip()
            items[node.mem_id] = entity
        names = (attributes.get(prop) or "").split()
        nested = bool(names) and owner is not None
        if owner is not None and names:
            value = entity if entity is not None else _value(node, attributes)
            for name in names:
                _add(owner, re.split(r"[/#:]", name)[-1], value)
        if entity is not None:
            found.append((nested, entity))
    return [(nested, entity) for nested, entity in found if entity["@type"]]


def _owner(node: LexborNode, items: dict[int, Entity]) -> Entity | None:
    parent = node.parent
    while parent is not None:
        entity = items.get(parent.mem_id)
        if entity is not None:
            return entity
        parent = parent.parent
    return None


def _value(node: LexborNode, attributes: dict[str, str | None]) -> str:
    content = attributes.get("content")
    if content is not None:
        return content.strip()
    if node.tag in _LINK_VALUES:
        return (attributes.get(_LINK_VALUES[node.tag]) or "").strip()
    if node.tag == "time" and attributes.get("datetime"):
        return (attributes["datetime"] or "").strip()
    if node.tag in ("data", "meter") and attributes.get("value"):
        return (attributes["value"] or "").strip()
    return " ".join(node.text(separator=" ").split())[:2_000]


def _add(entity: Entity, name: str, value: Any) -> None:
    if name not in entity:
        entity[name] = value
    elif isinstance(entity[name], list):
        entity[name].append(value)
    else:
        entity[name] = [entity[name], value]


def _resolved(entities: list[Entity]) -> list[Entity]:
    """References (`{"@id": ...}` alone) replaced by what they refer to; pieces of one `@id` become one entity."""
    known: dict[str, Entity] = {}
    result: list[Entity] = []
    for entity in entities:
        identity = entity.get("@id")
        if not isinstance(identity, str) or not identity:
            result.append(entity)
        elif not _is_reference(entity):
            if identity in known:
                for name, value in entity.items():
                    known[identity].setdefault(name, value)
            else:
                known[identity] = entity
                result.append(entity)
    for entity in result:
        for name, value in entity.items():
            if isinstance(value, dict) and _is_reference(value):
                entity[name] = known.get(value["@id"], value)
            elif isinstance(value, list):
                entity[name] = [
                    known.get(one["@id"], one) if isinstance(one, dict) and _is_reference(one) else one for one in value
                ]
    return [entity for entity in result if entity_types(entity)]


def _is_reference(value: Entity) -> bool:
    return isinstance(value.get("@id"), str) and set(value) <= {"@id", "@type"}
