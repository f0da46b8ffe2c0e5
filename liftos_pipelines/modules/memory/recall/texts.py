"""What of a memory is searched and embedded: its text, and of something said, who said it.

"Ana: we moved to Lisbon" is found by "Where does Ana live?"; without the speaker it answers for everyone. A thread's
label ("talk 3, session 12") is the same on all its turns and tells none apart; a title without a number is kept.
Derived from an item's own columns alone, so a store can compute it again at any time.
"""

from __future__ import annotations

import json
import re
from typing import Any

import polars as pl

COLUMNS = ("kind", "text", "context", "author", "subject", "attributes")
_LABEL = re.compile(r"\d")


def searchable(items: pl.DataFrame) -> list[str]:
    """(n) texts to index and to embed, one an item; `text` itself for all but notes with an author."""
    present = [name for name in COLUMNS if name in items.columns]
    return [_searchable(row) for row in items.select(present).iter_rows(named=True)]


def _searchable(row: dict[str, Any]) -> str:
    author, said = row.get("author"), row.get("context")
    if row["kind"] != "note" or not author or not said:
        return str(row["text"])
    subject = row.get("subject")
    title = f"{subject}: " if subject and not _LABEL.search(subject) else ""
    tags = json.loads(row.get("attributes") or "{}").get("tags") or []
    return f"{author}: {title}{said}" + (f" (tags: {', '.join(tags)})" if tags else "")
