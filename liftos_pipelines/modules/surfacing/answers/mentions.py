"""Which brands an answer names, where it ranks them, how it speaks of them and what it cites."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from liftos_pipelines.modules.surfacing.answers.absence import REACH, states_absence
from liftos_pipelines.modules.surfacing.answers.answer import Answer, parse_answer
from liftos_pipelines.modules.surfacing.answers.impression import counted_words, word_position_impression
from liftos_pipelines.modules.surfacing.answers.lists import ranking
from liftos_pipelines.modules.surfacing.answers.naming import BrandFinder
from liftos_pipelines.modules.surfacing.answers.readability import LIMIT, repaired, unreadable
from liftos_pipelines.modules.surfacing.answers.web import belongs_to, host_of
from liftos_pipelines.stats import FloatArray
from liftos_pipelines.tables import table
from liftos_pipelines.text import Hit, Name, fold

SentimentScorer = Callable[[list[str]], FloatArray]
"""Net sentiment in [-1, 1] of each text, NaN where the scorer abstains."""

_CLAUSES = re.compile(r";|\s[–—]\s|,?\s(?:but|while|whereas|although|though|however|aber|mais|pero)\s")
_BETWEEN = "\x1f"
CLOCK_SLACK = timedelta(days=1)
"""How far ahead of now an answer may be dated: clocks and time zones differ."""

EXTRA_COLUMNS: dict[str, pl.DataType] = {
    "asked_at": pl.Datetime("us", "UTC"),
    "own": pl.Boolean(),
    "mentions": pl.Int64(),
    "products": pl.List(pl.String()),
    "rank_basis": pl.String(),
    "citations": pl.Int64(),
    "brand_citations": pl.Int64(),
    "hallucinated_citations": pl.Int64(),
    "invalid_citations": pl.Int64(),
    "words": pl.Int64(),
    "reason": pl.String(),
}


@dataclass(kw_only=True)
class Mention:
    """What one answer says of one brand, while it is read."""

    sentences: list[int] = field(default_factory=list)
    products: dict[str, None] = field(default_factory=dict)
    rank: int | None = None
    basis: str | None = None
    windows: list[str] = field(default_factory=list)


def find_mentions(answer: Answer, finder: BrandFinder) -> dict[str, Mention]:
    """Brands that the answer mentions, in reading order, with the sentences and their rank.

    A brand is mentioned when at least one sentence names it other than to say that it is absent. Its rank is
    the position of the first list entry that is about it; brands named only in running text rank after all
    entries, and without a list in order of first mention.
    """
    found: dict[str, Mention] = {}
    in_heads = finder.in_heads(answer)
    uses = finder.find(answer, in_heads)
    named_in: dict[int, set[str]] = {}
    for use in uses:
        named_in.setdefault(use.sentence, set()).add(use.name)
    folds: dict[int, str] = {}
    for use in uses:
        sentence = answer.sentences[use.sentence]
        folded = folds.get(use.sentence) or folds.setdefault(use.sentence, fold(sentence.text))
        if states_absence(folded, use.start, use.end):
            continue
        entry = found.setdefault(use.name, Mention())
        entry.sentences.append(use.sentence)
        if use.product is not None:
            entry.products[use.product] = None
        if not sentence.card:  # a card is a name and a price: it has no tone
            several = len(named_in[use.sentence]) > 1
            entry.windows.append(_window(sentence.text, folded, use.start, use.end) if several else sentence.text)
    _rank(answer, in_heads, found)
    return found


def _window(text: str, folded: str, start: int, end: int) -> str:
    """The clause of a name in a sentence that names several, so that praise for one is not credit to all."""
    if len(folded) != len(text):  # offsets are those of the folded text
        text = folded
    first, last = max(0, start - REACH), min(len(text), end + REACH)
    begin = max((match.end() for match in _CLAUSES.finditer(text, first, start)), default=first)
    stop = _CLAUSES.search(text, end, last)
    return text[begin : stop.start() if stop else last].strip()


def _rank(answer: Answer, in_heads: Mapping[str, list[Hit]], found: dict[str, Mention]) -> None:
    if not found:
        return
    about = {
        head: list(dict.fromkeys(hit.name for hit in hits if hit.name in found)) for head, hits in in_heads.items()
    }
    basis, entries = ranking(answer.items, lambda head: about.get(head, []))
    ranked = 0
    for position, names in enumerate(entries, start=1):
        for name in names:
            if found[name].rank is None:
                found[name].rank, found[name].basis = position, basis
        ranked = position
    for entry in found.values():
        if entry.rank is None:
            ranked += 1
            entry.rank, entry.basis = ranked, "prose" if basis is None else "after_list"


def answer_mentions(
    answers: pl.DataFrame,
    brands: Sequence[Name],
    score: SentimentScorer | None = None,
    *,
    now: datetime | None = None,
) -> pl.DataFrame:
    """One row an answer and tracked brand: the table `surfacing/answer_mentions`.

    Parameters
    ----------
    answers : the table `sources/answers`
    brands : the client's brand first, then its competitors
    score : net sentiment of texts; without it, and where it abstains, sentiment is null
    now : answers dated later are not read (they would open months that have not begun)

    Returns
    -------
    the contract's columns and `EXTRA_COLUMNS`. What cannot be read (`reason` says why) is no answer: `mentioned` is
    null, not False. `products` lists the products by which the answer names the brand. `cited` and `citation_share`
    are null for a brand without domains, or where citations are not recorded; `citation_share` and
    `position_weighted_words` are null where there is nothing to divide by. `position_weighted_words` is the share of
    the GEO impression that falls to the brand's own domains. Of an answer longer than `LIMIT` only the beginning is
    read: what it does not name is unknown. Rows of one `answer_id` and the same text are one answer; with different
    texts none of them is read.

    Raises
    ------
    ValueError : two brands of the same name
    """
    contract = table("surfacing/answer_mentions")
    schema = contract.columns | EXTRA_COLUMNS
    names = [brand.name for brand in brands]
    if len(set(names)) != len(names):
        raise ValueError(f"brands must differ by name, found {', '.join(names)}")
    if answers.is_empty() or not brands:
        return pl.DataFrame(schema=schema)
    finder = BrandFinder(brands)
    rows: list[dict[str, object]] = []
    windows: list[tuple[int, str]] = []
    wanted = ("answer_id", "engine", "prompt_id", "asked_at", "text", "citations")
    texts_of: dict[str, set[str | None]] = {}
    for answer_id, text in answers.select("answer_id", "text").iter_rows():
        texts_of.setdefault(answer_id, set()).add(text)
    for row in answers.select(wanted).unique("answer_id", keep="first", maintain_order=True).iter_rows(named=True):
        reason = _unread(row, len(texts_of[row["answer_id"]]), now)
        text = repaired(row["text"]) if reason is None else None
        cut = text is not None and len(text) > LIMIT
        try:
            answer = parse_answer(text[:LIMIT] if text is not None else None, row["citations"])
            found = find_mentions(answer, finder) if reason is None else {}
        except Exception as error:  # one answer that the reader trips over must not cost the batch
            reason, cut = f"the reader failed ({type(error).__name__}: {error})"[:200], False
            answer, found = parse_answer(None, None), {}
        if cut:
            reason = f"longer than {LIMIT:,} characters: only the beginning was read"
        readable = reason is None
        rows_before = len(rows)
        rows += _rows(row, answer, found, brands, readable=readable, known=readable or cut, reason=reason)
        for position, brand in enumerate(brands, start=rows_before):
            entry = found.get(brand.name)
            if entry is not None:
                windows += [(position, window) for window in entry.windows]
    if score is not None:
        _add_sentiment(rows, windows, score)
    columns = {name: [row[name] for row in rows] for name in schema}
    # Polars builds a column of short lists row by row: split texts instead, ten times as fast.
    frame = pl.DataFrame(columns, schema=schema | {"products": pl.String()})
    products = pl.col("products").str.split(_BETWEEN).list.eval(pl.element().filter(pl.element() != ""))
    return contract.conform(frame.with_columns(products))


def _unread(row: dict[str, object], texts: int, now: datetime | None) -> str | None:
    """Why a row is not read, or None."""
    for field_name in ("engine", "prompt_id", "asked_at"):
        if row[field_name] is None or row[field_name] == "":
            return f"no {field_name}"
    if texts > 1:
        return f"answer_id stands for {texts} different answers"
    asked_at = row["asked_at"]
    if now is not None and isinstance(asked_at, datetime) and asked_at > now + CLOCK_SLACK:
        return f"asked in the future ({asked_at:%Y-%m-%d})"
    text = row["text"]
    return unreadable(text if isinstance(text, str) else None)


def _rows(
    row: dict[str, object],
    answer: Answer,
    found: dict[str, Mention],
    brands: Sequence[Name],
    *,
    readable: bool,
    known: bool,
    reason: str | None,
) -> list[dict[str, object]]:
    impression = _impression(answer)
    shared = {key: row[key] for key in ("answer_id", "engine", "prompt_id", "asked_at")} | {
        "hallucinated_citations": answer.hallucinated if readable else None,
        "invalid_citations": len(answer.invalid) if readable and answer.recorded_citations else None,
        "words": sum(len(s.text.split()) for s in answer.sentences) if readable else None,
        "reason": reason,
    }
    rows = []
    for brand in brands:
        entry = found.get(brand.name) if known else None
        absent: object = False if readable else None
        rows.append(
            shared
            | {
                "brand": brand.name,
                "own": brand is brands[0],
                "mentioned": True if entry is not None else absent,
                "mentions": len(entry.sentences) if entry else (0 if readable else None),
                "products": _BETWEEN.join(entry.products) if entry else ("" if readable else None),
                "rank": entry.rank if entry else None,
                "rank_basis": entry.basis if entry else None,
                "sentiment": None,
            }
            | _citation_columns(answer, brand, impression, readable)
        )
    return rows


def _impression(answer: Answer) -> dict[str, float] | None:
    """Position-adjusted share of each cited page's host."""
    if not any(sentence.citations for sentence in answer.sentences):
        return None
    shares = word_position_impression(
        [counted_words(sentence.text) for sentence in answer.sentences],
        [sentence.citations for sentence in answer.sentences],
        list(answer.sources),
    )
    if shares is None:
        return None
    hosts: dict[str, float] = {}
    for key, share in shares.items():
        host = host_of(answer.sources[key]) or ""  # type: ignore[index]
        hosts[host] = hosts.get(host, 0.0) + share
    return hosts


def _citation_columns(
    answer: Answer, brand: Name, impression: dict[str, float] | None, readable: bool
) -> dict[str, object]:
    unknown: dict[str, object] = dict.fromkeys(
        ("cited", "citation_share", "position_weighted_words", "citations", "brand_citations")
    )
    if not readable or not answer.recorded_citations:
        return unknown
    pages = answer.cited_pages
    if not brand.domains:
        return unknown | {"citations": len(pages)}
    own = sum(belongs_to(host, brand.domains) for host in pages.values())
    return {
        "cited": own > 0,
        "citation_share": own / len(pages) if pages else None,
        "citations": len(pages),
        "brand_citations": own,
        "position_weighted_words": None
        if impression is None
        else sum(share for host, share in impression.items() if host and belongs_to(host, brand.domains)),
    }


def _add_sentiment(rows: list[dict[str, object]], windows: list[tuple[int, str]], score: SentimentScorer) -> None:
    """Mean over a brand's mentions in an answer; each distinct window is scored once."""
    texts = list(dict.fromkeys(window for _, window in windows))
    if not texts:
        return
    values = dict(zip(texts, np.asarray(score(texts), dtype=float), strict=True))
    by_row: dict[int, list[float]] = {}
    for position, window in windows:
        if np.isfinite(values[window]):
            by_row.setdefault(position, []).append(float(values[window]))
    for position, scores in by_row.items():
        rows[position]["sentiment"] = float(np.mean(scores))
