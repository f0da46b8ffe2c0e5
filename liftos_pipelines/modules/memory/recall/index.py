"""Recall: which memories a question brings back, by which evidence, and what carried each.

The index holds every version of a client's memories and grows at its end. A search goes through masks (what may
answer), channels (evidence over all rows), fusion (one score), neighbours (the turns beside), and only then looks at
the k best: explanations cost nothing for the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.recall.addressed import Addressed
from liftos_pipelines.modules.memory.recall.authors import AuthorChannel
from liftos_pipelines.modules.memory.recall.explain import Evidence, carried_by
from liftos_pipelines.modules.memory.recall.fusion import (
    METHODS,
    PRIOR,
    Method,
    Settings,
    fuse,
    normalised,
)
from liftos_pipelines.modules.memory.recall.graph import GraphChannel
from liftos_pipelines.modules.memory.recall.growing import Names
from liftos_pipelines.modules.memory.recall.lexical import WordsChannel
from liftos_pipelines.modules.memory.recall.meaning import MeaningChannel
from liftos_pipelines.modules.memory.recall.moments import NEVER, UNKNOWN, Moments, micros, moment_of
from liftos_pipelines.modules.memory.recall.neighbours import Neighbours
from liftos_pipelines.modules.memory.recall.query import Channel, Filters, FloatArray, RecallQuery, Vectors, Windows
from liftos_pipelines.modules.memory.recall.scoring import Carried, Scored, links_count, scored

__all__ = ["METHODS", "Hit", "Method", "RecallIndex", "fuse"]

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A memory brought back. `score` is the fused score in 0..1 within this query and the sum of the shares of
    `evidence`; `bm25` and `cosine` are raw, `cosine` None where query or memory has no vector of the model;
    `source_key` is the id of the row it came from, of a note its note_id.
    """

    memory_id: str
    kind: str
    text: str
    domain: str | None
    score: float
    bm25: float
    cosine: float | None
    matched: tuple[str, ...]
    explanation: str
    valid_from: datetime | None
    valid_to: datetime | None
    recorded_at: datetime | None
    superseded_at: datetime | None
    source: str
    outcome: str | None
    effect: float | None
    std_error: float | None
    provenance: str
    source_key: str | None = None
    subject: str | None = None
    author: str | None = None
    campaign_id: str | None = None
    evidence: tuple[Evidence, ...] = field(default=())


class RecallIndex:
    """All versions of a client's memories in memory.

    Parameters
    ----------
    items : (n) item rows, current and superseded
    vectors : (n, d) float32, unit length, in the order of `items`, of the model `model_id`; or by model id, with a
        row of zeros where a memory has no vector of that model
    channels : further evidence over the same rows; `settings` weighs it
    settings : weights of the channels and the neighbours' share
    windows : vectors of the windows of long texts, see `windows.py`

    Raises
    ------
    ValueError : the numbers of items and vectors differ
    """

    def __init__(
        self,
        items: pl.DataFrame,
        vectors: NDArray[np.float32] | Vectors,
        *,
        model_id: str = "",
        channels: Sequence[Channel] = (),
        settings: Settings = PRIOR,
        windows: Windows | None = None,
    ) -> None:
        self.model_id = model_id
        spaces = self._spaces(vectors)
        self._items = items
        self._moments = Moments.of(items)
        self._names = {column: Names.of(_values(items, column)) for column in _FILTERED}
        self._places = {name: row for row, name in enumerate(_values(items, "version_id"))}
        self._words = WordsChannel.of(items)
        self._meaning = MeaningChannel.of(items.height, spaces, windows)
        self._neighbours = Neighbours.of(items)
        self._authors = AuthorChannel.of(items)
        self._addressed = Addressed.of(items)
        self._further: tuple[Channel, ...] = (self._authors, *channels)
        self.settings = settings

    def __len__(self) -> int:
        return self._items.height

    @property
    def items(self) -> pl.DataFrame:
        """(n) rows as they were given; what was superseded since stands in the hits, not here."""
        return self._items

    @property
    def vectors(self) -> NDArray[np.float32]:
        """(n, d) vectors of the index's own model."""
        return self._meaning.vectors(self.model_id)

    @property
    def channels(self) -> tuple[Channel, ...]:
        return (self._words, self._meaning, *self._further)

    def extended(
        self,
        items: pl.DataFrame,
        vectors: NDArray[np.float32] | Vectors,
        *,
        closed: Mapping[str, datetime] | None = None,
        windows: Windows | None = None,
    ) -> RecallIndex:
        """An index with further versions at its end; this one stays as it is, for those who are reading it.

        Parameters
        ----------
        items, vectors, windows : as in the constructor
        closed : by `version_id`, when a version that the index holds was superseded
        """
        spaces = self._spaces(vectors)
        start = len(self)
        known = {name: self._places[name] for name in closed or {} if self._places.get(name, start) < start}
        ended = {row: micros((closed or {})[name]) for name, row in known.items()}
        grown = RecallIndex.__new__(RecallIndex)
        grown.model_id, grown.settings = self.model_id, self.settings
        grown._items = _appended(self._items, items) if items.height else self._items
        grown._moments = self._moments.extended(items, ended)
        grown._names = {column: held.extended(_values(items, column)) for column, held in self._names.items()}
        # Shared with the shorter versions: they look no further than their own length.
        grown._places = self._places
        for row, name in enumerate(_values(items, "version_id"), start=start):
            grown._places[name] = row
        grown._words = self._words.extended(items, spaces)
        grown._meaning = self._meaning.extended(items, spaces, windows)
        grown._neighbours = self._neighbours.extended(items, start, tuple(ended))
        closing = {row: moment_of(moment) for row, moment in ended.items()}
        before = (one.closing(closing) if closing and isinstance(one, GraphChannel) else one for one in self._further)
        grown._further = tuple(channel.extended(items, spaces) for channel in before)
        grown._authors = next(channel for channel in grown._further if isinstance(channel, AuthorChannel))
        grown._addressed = self._addressed.extended(items)
        return grown

    def with_settings(self, settings: Settings) -> RecallIndex:
        """The same index under other weights; nothing is copied."""
        other = RecallIndex.__new__(RecallIndex)
        other.__dict__.update(self.__dict__)
        other.settings = settings
        return other

    # --- searching ---------------------------------------------------------------------------------------
    def search(
        self,
        text: str,
        vector: NDArray[np.float32] | None,
        k: int = 10,
        *,
        as_of: datetime | None = None,
        strict: bool = False,
        kinds: Collection[str] | None = None,
        domains: Collection[str] | None = None,
        campaigns: Collection[str] | None = None,
        subjects: Collection[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        exclude: Collection[str] = (),
        entities: Collection[str] = (),
        model_id: str | None = None,
        method: Method = "hybrid",
    ) -> list[Hit]:
        """The k best memories for a text and its vector, best first; see `find`.

        Parameters
        ----------
        as_of, strict : the memory as it was at a moment, see `history.as_of`; current memories when None
        kinds, domains, campaigns, subjects : only these; since, until : world time; exclude : memory ids to leave out
        model_id : the model of `vector`, the index's own when None
        """
        filters = Filters(
            kinds=_set(kinds),
            domains=_set(domains),
            campaigns=_set(campaigns),
            subjects=_set(subjects),
            since=since,
            until=until,
            exclude=_set(exclude) or frozenset(),
        )
        query = RecallQuery(
            text=text,
            vector=vector,
            model_id=self.model_id if model_id is None else model_id,
            entities=frozenset(entities),
            at=as_of,
            strict=strict,
            filters=filters,
        )
        return self.find(query, k, method=method)

    def find(self, query: RecallQuery, k: int = 10, *, method: Method = "hybrid") -> list[Hit]:
        """The k best memories that pass the query's filters, best first, explained. Equal scores go by id.

        Raises
        ------
        ValueError : k below 1, or a vector of another length than its model's
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        rows = np.flatnonzero(self.allowed(query))
        if rows.size == 0:
            return []
        if method != "hybrid":
            score = self._compared(query, rows, method)
            return self._hits(query, [(int(rows[i]), float(score[i])) for i in self._top(score, rows, k)], None)
        made = self._scored(query, rows)
        score = made.total[rows]
        best = [(int(rows[i]), float(score[i])) for i in self._top(score, rows, k)]
        return self._hits(query, best, made)

    def ranking(
        self, text: str, vector: NDArray[np.float32] | None, method: Method, exclude: Collection[str] = ()
    ) -> list[str]:
        """Ids of all current memories, best first, by one method; for measuring methods against each other."""
        filters = Filters(exclude=frozenset(exclude))
        query = RecallQuery(text=text, vector=vector, model_id=self.model_id, filters=filters)
        rows = np.flatnonzero(self.allowed(query))
        score = self._scored(query, rows).total[rows] if method == "hybrid" else self._compared(query, rows, method)
        ids = self._ids(rows)
        return [str(name) for name in ids[np.lexsort((ids, -score))]]

    def evidence(self, query: RecallQuery) -> tuple[Rows, dict[str, FloatArray]]:
        """The rows that may answer, and each channel's normalised evidence over all rows (n,), 0 for the others: what
        weights are learnt from.
        """
        rows = np.flatnonzero(self.allowed(query))
        return rows, self._parts(query, rows, dict.fromkeys((channel.name for channel in self.channels), 1.0))

    def carried(self, query: RecallQuery, rows: Rows) -> Carried | None:
        """How the graph carries scores to the rows that may answer; None without a graph."""
        graph = self._graph()
        if graph is None:
            return None

        def over_links(scores: FloatArray) -> FloatArray:
            reached = np.zeros(len(self))
            reached[rows] = graph.spread(scores, query)[rows]
            return reached

        return over_links

    @property
    def neighbours(self) -> Neighbours:
        return self._neighbours

    def memory_ids(self, rows: Rows) -> list[str]:
        return [str(name) for name in self._ids(rows)]

    def allowed(self, query: RecallQuery) -> NDArray[np.bool_]:
        """(n,) what may answer: the versions of the moment that pass every filter."""
        moments, filters = self._moments, query.filters
        mask = moments.current() if query.at is None else moments.as_of(query.at, strict=query.strict)
        for column, wanted in (
            ("kind", filters.kinds),
            ("domain", filters.domains),
            ("campaign_id", filters.campaigns),
            ("subject", filters.subjects),
        ):
            if wanted is not None:
                mask = mask & self._names[column].among(wanted)
        valid = moments.valid_from.view
        if filters.since is not None:
            mask = mask & (valid >= micros(filters.since))
        if filters.until is not None:
            mask = mask & (valid <= micros(filters.until)) & (valid > UNKNOWN)
        if filters.exclude:
            mask = mask & ~moments.memories.among(filters.exclude)
        return mask

    # --- inside ------------------------------------------------------------------------------------------
    def _spaces(self, vectors: NDArray[np.float32] | Vectors) -> Vectors:
        return vectors if isinstance(vectors, Mapping) else {self.model_id: vectors}

    def _parts(self, query: RecallQuery, rows: Rows, weights: Mapping[str, float]) -> dict[str, FloatArray]:
        every = rows.size == len(self)
        parts = {}
        for channel in self.channels:
            weight = weights.get(channel.name, 0.0)
            if weight == 0:
                continue
            attainable = 0.0
            if isinstance(channel, WordsChannel):
                called = self._called(query)
                scores = channel.scores(query, called)
                # Without the name that it is about, a question's words are few: the best of them counts in full.
                attainable = 0.0 if called else channel.attainable(query)
            else:
                scores = channel.scores(query)
            if every:
                parts[channel.name] = weight * normalised(channel.name, scores, attainable)
            else:
                part = np.zeros(len(self))
                part[rows] = weight * normalised(channel.name, scores[rows], attainable)
                parts[channel.name] = part
        return parts

    def _called(self, query: RecallQuery) -> frozenset[str]:
        """Names in the question that are evidence against a turn, not for it: see `addressed.py`."""
        if self._authors.named(query.text):
            return frozenset()
        return self._addressed.terms(query.text, self._words.bm25.holding)

    def _scored(self, query: RecallQuery, rows: Rows) -> Scored:
        parts = self._parts(query, rows, self.settings.weights)
        carried = self.carried(query, rows) if links_count(self.settings) else None
        return scored(parts, self.settings, self._neighbours, carried)

    def _graph(self) -> GraphChannel | None:
        return next((channel for channel in self._further if isinstance(channel, GraphChannel)), None)

    def _compared(self, query: RecallQuery, rows: Rows, method: Method) -> FloatArray:
        lexical = self._words.scores(query)[rows]
        cosine = self._meaning.scores(query)[rows]
        return fuse(lexical, cosine, method)

    def _top(self, score: FloatArray, rows: Rows, k: int) -> Rows:
        """Positions of the k best, in order; equal scores by memory id."""
        if score.size > k:
            cut = np.partition(score, score.size - k)[score.size - k]
            best = np.flatnonzero(score >= cut)
            if best.size > _TIES * k:
                # Thousands share the last score, mostly 0: only those above it are worth naming in order.
                above = best[score[best] > cut]
                equal = best[score[best] == cut]
                ids = self._ids(rows[equal])
                equal = equal[np.argsort(ids, kind="stable")][: k - above.size]
                best = np.concatenate([above, equal])
        else:
            best = np.arange(score.size)
        return best[np.lexsort((self._ids(rows[best]), -score[best]))][:k]

    def _ids(self, rows: Rows) -> NDArray[np.str_]:
        return self._items["memory_id"].gather(rows).to_numpy().astype(np.str_)

    def _evidence(self, query: RecallQuery, row: int, made: Scored) -> tuple[Evidence, ...]:
        found = []
        for channel in self.channels:
            part = made.parts.get(channel.name)
            if part is not None and part[row] > 0:
                detail = channel.explain(query, row)
                found.append(Evidence(channel=channel.name, share=float(made.share * part[row]), detail=detail))
        if made.beside[row] > 0:
            beside = self._neighbours.best_row(made.spreading, row)
            side = "before" if beside == self._neighbours.before[row] else "after"
            words = self._words.explain(query, beside)
            found.append(
                Evidence(
                    channel="neighbour",
                    share=float(made.beside_share * made.beside[row]),
                    detail=f"the turn {side}" + (f": {words}" if words else ""),
                )
            )
        graph = self._graph()
        if made.linked is not None and made.fused is not None and graph is not None and made.linked[row] > 0:
            detail = graph.explain_spread(made.fused, query, row)
            found.append(Evidence(channel="linked", share=float(made.linked[row]), detail=detail))
        return tuple(found)

    def _hits(self, query: RecallQuery, best: list[tuple[int, float]], made: Scored | None) -> list[Hit]:
        # Row by row: for ten rows of many columns ten times as fast as gathering them as a frame.
        return [
            self._hit(query, row, score, () if made is None else self._evidence(query, row, made))
            for row, score in best
        ]

    def _hit(self, query: RecallQuery, row: int, score: float, evidence: tuple[Evidence, ...]) -> Hit:
        item = self._items.row(row, named=True)
        ended = int(self._moments.superseded[row])
        matched = tuple(self._words.bm25.shared(query.text, row))
        cosine = self._meaning.cosine(query, row)
        bm25 = self._words.bm25.score(query.text, row)
        near = "unknown" if cosine is None else f"{cosine:.2f}"
        compared = f"words {bm25:.2f} ({', '.join(matched[:6]) or 'none shared'}); cosine {near}"
        return Hit(
            memory_id=item["memory_id"],
            kind=item["kind"],
            text=item["text"],
            domain=item["domain"],
            score=score,
            bm25=bm25,
            cosine=cosine,
            matched=matched,
            explanation=carried_by(evidence) if evidence else compared,
            valid_from=item["valid_from"],
            valid_to=item["valid_to"],
            recorded_at=item["recorded_at"],
            superseded_at=item["superseded_at"] if ended == NEVER else moment_of(ended),
            source=item["source"],
            outcome=item["outcome"],
            effect=item["effect"],
            std_error=item["std_error"],
            provenance=item["provenance"],
            source_key=item.get("source_key"),
            subject=item.get("subject"),
            author=item.get("author"),
            campaign_id=item.get("campaign_id"),
            evidence=evidence,
        )


_FILTERED = ("kind", "domain", "campaign_id", "subject")
_TIES = 20
_PIECES = 16
"""More pieces of a frame are made one, all but the first."""


def _appended(held: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Rows behind rows, nothing copied but what was appended lately: a frame of many pieces is slow to read."""
    pieces = held["memory_id"].chunk_lengths()
    parts = [held]
    if len(pieces) > _PIECES:
        parts = [held[: pieces[0]], held[pieces[0] :].rechunk()]
    same = items.columns == held.columns
    return pl.concat([*parts, items if same else items.select(held.columns)], rechunk=False)


def _values(items: pl.DataFrame, column: str) -> list[str | None]:
    return items[column].to_list() if column in items.columns else [None] * items.height


def _set(names: Collection[str] | None) -> frozenset[str] | None:
    if isinstance(names, str):
        raise ValueError(f"give a set of names, not the text {names!r}")
    return None if names is None else frozenset(names)
