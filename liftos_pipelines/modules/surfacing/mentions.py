"""Which brands an answer names, where it ranks them, how it speaks of them and what it cites."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import polars as pl

from liftos_pipelines.modules.surfacing.absence import states_absence
from liftos_pipelines.modules.surfacing.answer import Answer, Item, parse_answer
from liftos_pipelines.modules.surfacing.impression import counted_words, word_position_impression
from liftos_pipelines.modules.surfacing.web import belongs_to, host_of
from liftos_pipelines.stats import FloatArray
from liftos_pipelines.tables import table
from liftos_pipelines.text import Name, NameFinder, fold

SentimentScorer = Callable[[list[str]], FloatArray]
"""Net sentiment in [-1, 1] of each text, NaN where the scorer abstains."""

BASIS_ORDER = ("ordered_list", "table", "headings", "bullets")
MIN_ITEMS = 2
_CLAUSES = re.compile(r";|\s[–—]\s|,?\s(?:but|while|whereas|although|though|however|aber|mais|pero)\s")
_GENERIC_HEADING = re.compile(
    r"^\W*(?:best|top|our|key|how|what|why|when|where|which|who|final|other|more|quick|summary|conclusion|overview"
    r"|introduction|considerations?|tips?|features?|pros|cons|budget|price|pricing|recommend\w*|things|factors|notes?"
    r"|sources?|references?|faqs?|honou?rable|additional|important|bottom|for|if|comparison|verdict|options?)\b"
)

EXTRA_COLUMNS: dict[str, pl.DataType] = {
    "asked_at": pl.Datetime("us", "UTC"),
    "own": pl.Boolean(),
    "mentions": pl.Int64(),
    "rank_basis": pl.String(),
    "citations": pl.Int64(),
    "brand_citations": pl.Int64(),
    "hallucinated_citations": pl.Int64(),
    "invalid_citations": pl.Int64(),
    "words": pl.Int64(),
}


@dataclass(kw_only=True)
class _Found:
    """What one answer says of one brand, while it is read."""

    sentences: list[int] = field(default_factory=list)
    rank: int | None = None
    basis: str | None = None
    windows: list[str] = field(default_factory=list)


def find_mentions(answer: Answer, finder: NameFinder) -> dict[str, _Found]:
    """Brands that the answer mentions, in reading order, with the sentences and their rank.

    A brand is mentioned when at least one sentence names it other than to say that it is absent. Its rank is
    the position of the first list entry that is about it; brands named only in running text rank after all
    entries, and without a list in order of first mention.
    """
    found: dict[str, _Found] = {}
    for position, sentence in enumerate(answer.sentences):
        hits = finder.find(sentence.text)
        if not hits:
            continue
        folded = fold(sentence.text)
        present = [hit for hit in hits if not states_absence(folded, hit.start, hit.end)]
        several = len({hit.name for hit in hits}) > 1
        for hit in present:
            entry = found.setdefault(hit.name, _Found())
            entry.sentences.append(position)
            entry.windows.append(_window(sentence.text, folded, hit.start, hit.end) if several else sentence.text)
    _rank(answer, finder, found)
    return found


def _window(text: str, folded: str, start: int, end: int) -> str:
    """The clause of a name in a sentence that names several, so that praise for one is not credit to all."""
    if len(folded) != len(text):  # offsets are those of the folded text
        text = folded
    begin = max((match.end() for match in _CLAUSES.finditer(text, 0, start)), default=0)
    stop = _CLAUSES.search(text, end)
    return text[begin : stop.start() if stop else len(text)].strip()


def _rank(answer: Answer, finder: NameFinder, found: dict[str, _Found]) -> None:
    if not found:
        return
    basis, entries = _entries(answer.items, finder, found)
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


def _entries(items: Sequence[Item], finder: NameFinder, found: dict[str, _Found]) -> tuple[str | None, list[list[str]]]:
    """The answer's ranking: the first kind of list, in `BASIS_ORDER`, with entries about tracked brands."""
    about = {id(item): [hit.name for hit in finder.find(item.head) if hit.name in found] for item in items}
    for kind in BASIS_ORDER:
        naming = [item for item in items if item.kind == kind and about[id(item)]]
        if not naming:
            continue
        level = min(item.level for item in naming) if kind != "headings" else _commonest_level(naming)
        entries = [item for item in items if item.kind == kind and item.level == level]
        if kind in ("headings", "bullets"):
            entries = [item for item in entries if about[id(item)] or not _is_label(item)]
        if len(entries) < MIN_ITEMS:
            continue
        numbers = [item.number for item in entries if item.number is not None]
        if len(numbers) == len(entries) and all(a > b for a, b in pairwise(numbers)):
            entries = entries[::-1]  # a countdown: the best comes last
        return kind, [about[id(item)] for item in entries]
    return None, []


def _is_label(item: Item) -> bool:
    """Whether an entry heads a section or names a property rather than something to choose."""
    return item.labelled or item.head.endswith(":") or _GENERIC_HEADING.match(fold(item.head)) is not None


def _commonest_level(items: Sequence[Item]) -> int:
    levels = [item.level for item in items]
    return max(sorted(set(levels)), key=levels.count)


def answer_mentions(
    answers: pl.DataFrame, brands: Sequence[Name], score: SentimentScorer | None = None
) -> pl.DataFrame:
    """One row an answer and tracked brand: the table `surfacing/answer_mentions`.

    Parameters
    ----------
    answers : the table `sources/answers`
    brands : the client's brand first, then its competitors
    score : net sentiment of texts; without it, and where it abstains, sentiment is null

    Returns
    -------
    the contract's columns and `EXTRA_COLUMNS`. An answer without text is no answer: `mentioned` is null.
    `cited` and `citation_share` are null for a brand without domains, or where citations are not recorded;
    `citation_share` and `position_weighted_words` are null where there is nothing to divide by.
    `position_weighted_words` is the share of the GEO impression that falls to the brand's own domains.

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
    finder = NameFinder(list(brands))
    rows: list[dict[str, object]] = []
    windows: list[tuple[int, str]] = []
    wanted = ("answer_id", "engine", "prompt_id", "asked_at", "text", "citations")
    for row in answers.select(wanted).iter_rows(named=True):
        readable = bool(row["text"] and row["text"].strip())
        answer = parse_answer(row["text"], row["citations"])
        found = find_mentions(answer, finder) if readable else {}
        impression = _impression(answer)
        shared = {key: row[key] for key in ("answer_id", "engine", "prompt_id", "asked_at")} | {
            "hallucinated_citations": answer.hallucinated if readable else None,
            "invalid_citations": len(answer.invalid) if readable and answer.recorded_citations else None,
            "words": sum(len(s.text.split()) for s in answer.sentences) if readable else None,
        }
        for brand in brands:
            entry = found.get(brand.name)
            rows.append(
                shared
                | {
                    "brand": brand.name,
                    "own": brand is brands[0],
                    "mentioned": entry is not None if readable else None,
                    "mentions": (len(entry.sentences) if entry else 0) if readable else None,
                    "rank": entry.rank if entry else None,
                    "rank_basis": entry.basis if entry else None,
                    "sentiment": None,
                }
                | _citation_columns(answer, brand, impression, readable)
            )
            if entry is not None:
                windows += [(len(rows) - 1, window) for window in entry.windows]
    if score is not None:
        _add_sentiment(rows, windows, score)
    return contract.conform(pl.DataFrame(rows, schema=schema))


def _impression(answer: Answer) -> dict[str, float] | None:
    """Position-adjusted share of each cited page's host."""
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
