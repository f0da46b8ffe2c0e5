"""Which mentions need scoring: what was scored before by the same reader, from the same text, is kept as it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import polars as pl

TEXT_ID, SCORED_WITH = "text_id", "scored_with"


def fingerprint(parts: Sequence[Any]) -> str:
    """Twelve hexadecimal digits that change when anything changes that a score depends on besides its text."""
    written = json.dumps(list(parts), sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def with_text_id(mentions: pl.DataFrame) -> pl.DataFrame:
    """The mentions with `text_id`, a digest of what is read: text and given language."""
    ids = [
        hashlib.blake2b(f"{language or ''}\x1f{text or ''}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        for text, language in mentions.select("text", "language").iter_rows()
    ]
    return mentions.with_columns(pl.Series(TEXT_ID, ids, dtype=pl.String))


def split(mentions: pl.DataFrame, previous: pl.DataFrame, scored_with: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Scores that still hold, and mentions that must be scored.

    Parameters
    ----------
    mentions : mention_id, text, language, and `text_id`
    previous : the last `sentiment/mention_scores`, with or without `text_id` and `scored_with`
    scored_with : the present reader's fingerprint

    Returns
    -------
    kept : rows of `previous`, each with the same mention_id, text and reader as now
    fresh : rows of `mentions` without such a score
    """
    if not {TEXT_ID, SCORED_WITH} <= set(previous.columns):
        return previous.clear(), mentions
    kept = previous.filter(pl.col(SCORED_WITH) == scored_with).join(
        mentions.select("mention_id", TEXT_ID), on=["mention_id", TEXT_ID], how="semi"
    )
    return kept, mentions.join(kept.select("mention_id"), on="mention_id", how="anti")
