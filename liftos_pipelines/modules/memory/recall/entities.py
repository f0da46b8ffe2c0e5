"""What memories are about, as nodes of a typed graph: read off their columns, and off exact names in their texts.

A node is written `kind:name`, such as `campaign:c24-club`, `channel:social`, `event:302f89`. Nothing is guessed: an
edge stands in a column of the item, or the text spells a known name. One name is one node, whatever its case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from liftos_pipelines.text import Name, NameFinder, fold, words

WEIGHTS: dict[str, float] = {
    "chain": 1.0,
    "event": 1.0,
    "campaign": 1.0,
    "product": 0.8,
    "page": 0.8,
    "thread": 0.8,
    "brand": 0.7,
    "llm_experiment": 0.7,
    "channel": 0.6,
    "engine": 0.6,
    "agent": 0.5,
    "author": 0.5,
    "geo": 0.3,
    "module": 0.2,
}
"""What an edge to a node of this kind counts for; a kind that is not here is no node. How common the single node is
counts besides (see `graph.py`), so these say only how much two memories share that share a node nobody else has."""
SPELT = 0.7
"""An edge that only the text's spelling gives, against one that a column gives."""

ATTRIBUTES: dict[str, str] = {
    "channel": "channel",
    "engine": "engine",
    "brand": "brand",
    "product": "product",
    "agent_id": "agent",
    "campaign_id": "campaign",
    "geos": "geo",
    "event_id": "event",
}
"""Attributes of items that name a node, and its kind."""
SOUGHT_IN_TEXTS = frozenset({"campaign", "product", "brand", "channel", "engine", "agent", "llm_experiment"})
"""Kinds whose names are looked for in memories; in queries, those of all kinds but the following."""
NEVER_NAMED = frozenset({"event", "chain", "module"})
"""Kinds whose names are numbers or ordinary words."""
SHORTEST_NAME = 2
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_NUMBER = re.compile(r"\d")
_ID = re.compile(r"[0-9a-f]{16,}")

Edges = dict[str, float]
"""Nodes of one item with their weights."""


@dataclass(frozen=True, kw_only=True)
class Entity:
    """A node with the names that texts use for it; the node's own name is always one of them."""

    node: str
    names: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return self.node.partition(":")[0]


def known_names(names: Iterable[Name], kind: str = "brand") -> list[Entity]:
    """Brands (or others) as entities, each product by itself beside its brand."""
    found = []
    for one in names:
        found.append(Entity(node=node(kind, one.name), names=(one.name, *one.aliases)))
        found.extend(Entity(node=node("product", product), names=(product,)) for product in one.products)
    return found


def node(kind: str, name: str) -> str:
    """`kind:name`, the name folded and with single spaces, so that `TV` and `tv` are one node."""
    return f"{kind}:{' '.join(fold(name).split())}"


def item_nodes(items: pl.DataFrame, weights: Mapping[str, float] = WEIGHTS) -> list[Edges]:
    """The nodes that each item's columns name: campaign, subject, attributes, author, module, and its events."""
    wanted = ("kind", "campaign_id", "subject", "author", "domain", "attributes", "provenance", "source_key")
    columns = [items[name].to_list() if name in items.columns else [None] * items.height for name in wanted]
    return [_nodes_of(*row, weights=weights) for row in zip(*columns, strict=True)]


def item_entities(items: pl.DataFrame) -> list[Entity]:
    """Names that items themselves bring: a campaign's title beside its id."""
    found = []
    needed = ("kind", "campaign_id", "attributes")
    if any(name not in items.columns for name in needed):
        return []
    for kind, campaign, attributes in zip(*(items[name].to_list() for name in needed), strict=True):
        if kind != "campaign":
            continue
        title = _read(attributes).get("name")
        if campaign and isinstance(title, str) and title.strip():
            found.append(Entity(node=node("campaign", campaign), names=(title,)))
    return found


class NameIndex:
    """Finds entities in a text by their exact names, folded, on word boundaries, the longest first.

    Names are looked up by their first word, so that thousands of them cost no more than ten. Names in scripts without
    word spaces go to `text.NameFinder`. A name that two nodes share finds both.
    """

    def __init__(self, entities: Iterable[Entity] = ()) -> None:
        self._by_first: dict[str, dict[tuple[str, ...], set[str]]] = {}
        self._longest: dict[str, int] = {}
        self._unspaced: dict[str, set[str]] = {}
        self._finder: NameFinder | None = None
        self.spellings: dict[str, set[str]] = {}
        self._alike: dict[str, list[str]] = {}
        """Names that may be misspelt, by their first letter."""
        self.add(entities)

    def add(self, entities: Iterable[Entity]) -> None:
        """Further names, or names of further nodes."""
        before = len(self._unspaced)
        for entity in entities:
            if entity.kind in NEVER_NAMED:
                continue
            for name in (entity.node.partition(":")[2], *entity.names):
                spelling = tuple(words(name))
                if len("".join(spelling)) < SHORTEST_NAME or (len(spelling) == 1 and spelling[0].isdigit()):
                    continue
                if _UNSPACED.search(name):
                    self._unspaced.setdefault(name, set()).add(entity.node)
                    continue
                self._by_first.setdefault(spelling[0], {}).setdefault(spelling, set()).add(entity.node)
                self._longest[spelling[0]] = max(self._longest.get(spelling[0], 0), len(spelling))
                together = " ".join(spelling)
                if together not in self.spellings and len(together) >= 5 and not _NUMBER.search(together):
                    self._alike.setdefault(together[0], []).append(together)
                self.spellings.setdefault(together, set()).add(entity.node)
        if len(self._unspaced) > before:
            self._finder = NameFinder([Name(name=name) for name in self._unspaced])

    def find(self, text: str) -> set[str]:
        """Nodes that a text names."""
        said, found, at = words(text), set(), 0
        while at < len(said):
            step = 1
            names = self._by_first.get(said[at])
            if names is not None:
                for size in range(min(self._longest[said[at]], len(said) - at), 0, -1):
                    nodes = names.get(tuple(said[at : at + size]))
                    if nodes:
                        found |= nodes
                        step = size
                        break
            at += step
        if self._finder is not None:
            for hit in self._finder.find(text):
                found |= self._unspaced[hit.name]
        return found

    def find_nearly(self, text: str, least: float = 88.0) -> set[str]:
        """Nodes whose name a text misspells: one to three of its words, by edit similarity with names of about the same
        length that begin alike.

        Meant for queries that name nothing exactly. Names of fewer than five letters are left out, and so are names
        with a number: "week 12" is not a misspelt "week 13".
        """
        from rapidfuzz import fuzz, process

        said, found = words(text), set[str]()
        for size in (1, 2, 3):
            for start in range(len(said) - size + 1):
                spelling = " ".join(said[start : start + size])
                if len(spelling) < 5:
                    continue
                alike = self._alike.get(spelling[0], ())
                names = [name for name in alike if abs(len(name) - len(spelling)) <= 2]
                best = process.extractOne(spelling, names, scorer=fuzz.ratio, score_cutoff=least)
                if best is not None:
                    found |= self.spellings[best[0]]
        return found


def _nodes_of(
    kind: str | None,
    campaign: str | None,
    subject: str | None,
    author: str | None,
    domain: str | None,
    attributes: str | None,
    provenance: str | None,
    source_key: str | None,
    *,
    weights: Mapping[str, float],
) -> Edges:
    found: Edges = {}

    def add(kind: str, name: Any) -> None:
        if isinstance(name, str) and name.strip() and weights.get(kind, 0) > 0:
            found[node(kind, name)] = max(weights[kind], found.get(node(kind, name), 0.0))

    add("campaign", campaign)
    if subject:
        typed, _, name = subject.partition(":")
        if name and typed in weights:
            add(typed, name)
        else:
            add("thread", subject)
    add("author", author)
    add("module", domain)
    for name, value in _read(attributes).items():
        if name in ATTRIBUTES:
            for one in value if isinstance(value, list) else [value]:
                add(ATTRIBUTES[name], one)
    origin = _read(provenance)
    for event in [origin.get("event"), *(origin.get("events") or [])]:
        add("event", event)
    add("event", origin.get("correlation"))
    # Memories of an event are keyed by it; keys of other rows are names that nothing else uses.
    if source_key and _ID.fullmatch(source_key):
        add("event", source_key)
    return found


def _read(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}
