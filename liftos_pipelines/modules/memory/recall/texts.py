"""What of a memory is searched and embedded: its text, and of something said, who said it.

"Ana: we moved to Lisbon" is found by "Where does Ana live?"; without the speaker it answers for everyone. A thread's
label ("talk 3, session 12") is the same on all its turns and tells none apart; a title without a number is kept.
Derived from an item's own columns alone, so a store can compute it again at any time.
"""

from __future__ import annotations

import json
import re

import polars as pl

COLUMNS = ("kind", "text", "context", "author", "subject", "attributes")
_LABEL = re.compile(r"\d")


def searchable(items: pl.DataFrame) -> list[str]:
    """(n) texts to index and to embed, one an item; `text` itself for all but notes with an author."""
    columns = [items[name].to_list() if name in items.columns else [None] * items.height for name in COLUMNS]
    return [_searchable(*row) for row in zip(*columns, strict=True)]


def _searchable(
    kind: str, text: str, said: str | None, author: str | None, subject: str | None, attributes: str | None
) -> str:
    if kind != "note" or not author or not said:
        return str(text)
    title = f"{subject}: " if subject and not _LABEL.search(subject) else ""
    tags = json.loads(attributes or "{}").get("tags") or []
    return f"{author}: {title}{said}" + (f" (tags: {', '.join(tags)})" if tags else "")
