"""`liftos recall`: questions from the command line or a file, answered and explained.

With --json a line a hit: `query_id` (of the file's line, else null), `rank` from 1, and the fields of
`recall.index.Hit`: memory_id, kind, text, domain, score (0..1, fused), bm25 and cosine (raw; cosine null without a
vector), matched (shared words), explanation, valid_from, valid_to, recorded_at, superseded_at, source, outcome, effect,
std_error, provenance, source_key, subject, author, campaign_id, evidence (list of channel, share, detail; the shares
sum to the score). Moments are ISO texts. A question that nothing passes gives no line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import track

_NAMES = ("kinds", "domains", "subjects", "campaigns")
_MOMENTS = ("as_of", "since", "until")
_FIELDS = ("query_id", "text", *_MOMENTS, *_NAMES)


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question; a filter that is None lets everything pass. `since` and `until` bound the world time."""

    query_id: str | None
    text: str
    as_of: datetime | None
    since: datetime | None
    until: datetime | None
    kinds: frozenset[str] | None
    domains: frozenset[str] | None
    subjects: frozenset[str] | None
    campaigns: frozenset[str] | None

    @property
    def filtered(self) -> bool:
        return any(getattr(self, name) is not None for name in (*_MOMENTS, *_NAMES))


def questions_of(text: str | None, file: Path | None, **options: str | None) -> list[Question]:
    """The text as one question, or those of a JSONL file; what a line says for itself goes before the options.

    Parameters
    ----------
    options : kinds, domains, subjects, campaigns (names with commas), as_of, since, until (ISO dates or times)

    Raises
    ------
    ValueError : a line is no question, naming file, line and field
    """
    unknown = set(options) - set(_FIELDS)
    if unknown:
        raise TypeError(f"no such filter of a question: {', '.join(sorted(unknown))}")
    common: dict[str, Any] = dict.fromkeys((*_MOMENTS, *_NAMES)) | options
    if file is None:
        return [_question(common | {"query_id": None, "text": text}, "recall")]
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        try:
            told = json.loads(line)
        except json.JSONDecodeError as wrong:
            raise ValueError(f"{where}: not JSON ({wrong.msg}); one object a line with query_id and text") from None
        if not isinstance(told, dict):
            raise ValueError(f"{where}: not an object; one object a line with query_id and text")
        given = {name: told[name] for name in _FIELDS if told.get(name) is not None}
        found.append(_question(common | {"query_id": None} | given, where))
    return found


def _question(told: dict[str, Any], where: str) -> Question:
    text = told.get("text")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{where}: text is missing or empty: say what to look for")
    query_id = told.get("query_id")
    return Question(
        query_id=None if query_id is None else str(query_id),
        text=text,
        as_of=_moment(told["as_of"], f"{where}: as_of"),
        since=_moment(told["since"], f"{where}: since"),
        until=_moment(told["until"], f"{where}: until"),
        kinds=_names(told["kinds"], f"{where}: kinds"),
        domains=_names(told["domains"], f"{where}: domains"),
        subjects=_names(told["subjects"], f"{where}: subjects"),
        campaigns=_names(told["campaigns"], f"{where}: campaigns"),
    )


def _moment(told: Any, where: str) -> datetime | None:
    if told is None:
        return None
    try:
        return datetime.fromisoformat(told)
    except (TypeError, ValueError):
        raise ValueError(f"{where} {told!r} is not an ISO date or time, such as 2026-03-01T12:00") from None


def _names(told: Any, where: str) -> frozenset[str] | None:
    """Names from a list, or from a text with commas."""
    if told is None:
        return None
    parts = told.split(",") if isinstance(told, str) else told
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"{where}: a list of names, or names with commas, not {told!r}")
    return frozenset(part.strip() for part in parts if part.strip())


def answer(client: str, asked: Sequence[Question], *, k: int, encoder: str, as_json: bool, console: Console) -> None:
    """Print each question's memories, as JSON lines (one a hit) or for reading."""
    from liftos_pipelines.resources.memory_store import open_memory
    from liftos_pipelines.resources.query_encoder import CHOICES, Choice

    if encoder not in CHOICES:
        raise ValueError(f"--encoder {encoder!r} is not one of {', '.join(CHOICES)}")
    memory = open_memory(client)
    choice: Choice = encoder
    if encoder == "full" and memory.embedder is None:
        typer.echo("the embedding weights are missing: questions are asked with the static vectors", err=True)
        choice = "auto"
    if choice == "full" and memory.embedder is not None and len(asked) > 1:
        with console.status(f"embedding {len(asked):,} questions ..."):
            memory.embedder.encode([question.text for question in asked])
    several = len(asked) > 1 and as_json
    bar = Console(stderr=True)
    for question in track(asked, "recalling", console=bar, disable=not (several and bar.is_terminal), transient=True):
        hits = memory.recall(
            question.text,
            k,
            **{name: getattr(question, name) for name in (*_MOMENTS, *_NAMES)},
            encoder=choice,
        )
        for rank, hit in enumerate(hits, start=1):
            if as_json:
                typer.echo(json.dumps({"query_id": question.query_id, "rank": rank} | asdict(hit), default=str))
            else:
                console.print(
                    f"{rank:>2}. [{hit.score:.2f}] {hit.kind} · {hit.text}\n      {hit.explanation}",
                    highlight=False,
                    markup=False,
                )
        if not hits and not as_json:
            console.print(
                "nothing that this client remembers passes these filters"
                if question.filtered
                else f"{client} has no memory yet: run `liftos run {client} --select +memory/items`",
                highlight=False,
            )
