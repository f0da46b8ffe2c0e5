"""Questions with known answers to measure recall on: simulated dialogues, and public sets that are on this machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from liftos_pipelines.simulate.dialogue_worlds import NOTES, conversation

HELD_OUT_SEEDS = (101, 102, 103, 104)
"""Never looked at while choosing weights, stemming or texts; those were chosen on seeds 1 to 6."""
_START = datetime(2024, 1, 1, tzinfo=UTC)
_EVIDENCE = re.compile(r"D\d+:\d+")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question, the notes that answer it, what it belongs to (`group` is not independent within) and its kind."""

    text: str
    relevant: frozenset[str]
    group: str
    category: str = ""


@dataclass(frozen=True, kw_only=True)
class RetrievalSet:
    """Collections of notes, each asked its own questions; `sessions` tells whether subjects are sessions of a talk."""

    name: str
    collections: tuple[tuple[pl.DataFrame, tuple[Asked, ...]], ...]
    sessions: bool = False


def simulated(seeds: tuple[int, ...] = HELD_OUT_SEEDS) -> RetrievalSet:
    """Long dialogues of two people with planted facts."""
    found = []
    for seed in seeds:
        talk = conversation(seed)
        asked = tuple(
            Asked(text=one.text, relevant=one.relevant, group=talk.name, category=one.category)
            for one in talk.questions
        )
        found.append((talk.turns, asked))
    return RetrievalSet(name="simulated dialogues", collections=tuple(found), sessions=True)


def without_columns(asked: RetrievalSet, *, named: bool) -> RetrievalSet:
    """The same talks as plain notes without subject and author; `named` keeps the speaker in the text, "Name: ..."."""
    nothing = pl.lit(None, dtype=pl.String)
    text = pl.concat_str("author", pl.lit(": "), "text") if named else pl.col("text")
    stripped = tuple(
        (notes.with_columns(text=text, author=nothing, subject=nothing), questions)
        for notes, questions in asked.collections
    )
    form = 'as "Name: ..."' if named else "without speakers"
    return RetrievalSet(name=f"{asked.name} {form}", collections=stripped)


def public(data: Path) -> Iterator[RetrievalSet]:
    """Those of the public sets that are on this machine."""
    for reader, path in (
        (locomo, data / "memory" / "locomo10.json"),
        (failure_traces, data / "agentic" / "who_and_when" / "algorithm_generated"),
        (reference_answers, data / "llm" / "ragchecker" / "human_labeled_data.json"),
        (model_answers, data / "llm" / "halueval" / "general_data.json"),
        (intents, data / "memory" / "banking77"),
    ):
        if path.exists():
            yield reader(path)


def locomo(path: Path) -> RetrievalSet:
    """LoCoMo (Maharana et al. 2024): turns as notes, questions of categories 1 to 4 that name their evidence."""
    found = []
    for sample in json.loads(path.read_text(encoding="utf-8")):
        name, talk, rows = str(sample["sample_id"]), sample["conversation"], []
        sessions = sorted((key for key in talk if re.fullmatch(r"session_\d+", key)), key=lambda key: int(key[8:]))
        for session in sessions:
            began = datetime.strptime(talk[f"{session}_date_time"], "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
            for number, turn in enumerate(talk[session]):
                at = began + timedelta(minutes=number)
                rows.append((turn["dia_id"], at, turn["text"], turn["speaker"], f"{name} {session}", None))
        notes = pl.DataFrame(rows, schema=NOTES, orient="row")
        known = set(notes["note_id"])
        asked = []
        for one in sample["qa"]:
            relevant = frozenset(_EVIDENCE.findall(" ".join(one.get("evidence") or ()))) & known
            if one["category"] in (1, 2, 3, 4) and relevant:
                category = {1: "multi", 2: "temporal", 3: "open", 4: "single"}[one["category"]]
                asked.append(Asked(text=str(one["question"]), relevant=relevant, group=name, category=category))
        found.append((notes, tuple(asked)))
    return RetrievalSet(name="LoCoMo", collections=tuple(found), sessions=True)


def failure_traces(folder: Path, files: int = 45) -> RetrievalSet:
    """Who&When (Zhang et al. 2025): from an annotator's account of a mistake to the agent's turn that made it."""
    rows, asked = [], []
    for number, path in enumerate(sorted(folder.glob("*.json"), key=lambda path: path.name)[:files]):
        trace = json.loads(path.read_text(encoding="utf-8"))
        began = _START + timedelta(days=number)
        for step, turn in enumerate(trace["history"]):
            author = turn.get("name") or turn.get("role")
            note = (f"{number}:{step}", began + timedelta(minutes=step), str(turn["content"]), author)
            rows.append((*note, f"trace {number}", None))
        wrong = f"{number}:{int(trace['mistake_step'])}"
        asked.append(Asked(text=trace["mistake_reason"], relevant=frozenset({wrong}), group=str(number)))
    known = {row[0] for row in rows}
    kept = tuple(one for one in asked if one.relevant <= known)
    return RetrievalSet(name="failure traces", collections=((pl.DataFrame(rows, schema=NOTES, orient="row"), kept),))


def reference_answers(path: Path, queries: int = 90) -> RetrievalSet:
    """RAGChecker (Ru et al. 2024): from a question to its reference answer and two models' answers, long texts."""
    documents: dict[str, tuple[str, str]] = {}
    asked: dict[str, Asked] = {}
    for row in json.loads(path.read_text(encoding="utf-8")):
        name = f"{row['dataset']}:{row['query_id']}"
        if name not in asked and len(asked) >= queries:
            continue
        answers = {"gold": row["gt_answer"]} | {
            part["model_name"]: part["response"] for part in (row["model1"], row["model2"])
        }
        for source, text in answers.items():
            if text:
                documents[f"{name}:{source}"] = (name, text)
        asked[name] = Asked(text=row["query"], relevant=frozenset(), group=name, category=row["dataset"])
    relevant: dict[str, set[str]] = {}
    for key, (name, _) in documents.items():
        relevant.setdefault(name, set()).add(key)
    final = tuple(
        Asked(text=one.text, relevant=frozenset(relevant[name]), group=name, category=one.category)
        for name, one in asked.items()
    )
    texts = {key: text for key, (_, text) in documents.items()}
    return RetrievalSet(name="reference answers", collections=((_documents(texts), final),))


def model_answers(path: Path, rows: int = 250) -> RetrievalSet:
    """HaluEval (Li et al. 2023): from a user's request to the answer it got."""
    texts, asked = {}, []
    for line in path.read_text(encoding="utf-8").splitlines()[:rows]:
        row: dict[str, Any] = json.loads(line)
        key = str(row["ID"])
        texts[key] = row["chatgpt_response"]
        asked.append(Asked(text=row["user_query"], relevant=frozenset({key}), group=key))
    return RetrievalSet(name="model answers", collections=((_documents(texts), tuple(asked)),))


def intents(folder: Path, a_class: int = 8, asked_a_class: int = 2) -> RetrievalSet:
    """Banking77 (Casanueva et al. 2020): from a customer's question to others of the same intent."""
    train = pl.read_csv(folder / "train.csv").with_row_index("row")
    test = pl.read_csv(folder / "test.csv")
    kept = train.group_by("category", maintain_order=True).head(a_class)
    members = {str(key[0]): [f"b{row}" for row in part["row"]] for key, part in kept.group_by("category")}
    texts = {f"b{row}": text for row, text in kept.select("row", "text").iter_rows()}
    asked = tuple(
        Asked(text=text, relevant=frozenset(members[category]), group=category)
        for text, category in test.group_by("category", maintain_order=True)
        .head(asked_a_class)
        .select("text", "category")
        .iter_rows()
    )
    return RetrievalSet(name="customer intents", collections=((_documents(texts), asked),))


def _documents(texts: dict[str, str]) -> pl.DataFrame:
    """Notes a day apart: what stands beside another in the file must not count as said beside it."""
    rows = [
        (key, _START + timedelta(days=number), text, None, None, None)
        for number, (key, text) in enumerate(texts.items())
    ]
    return pl.DataFrame(rows, schema=NOTES, orient="row")
