"""Long conversations of two friends with planted facts, and questions whose answering turns are known.

A conversation runs over many sessions, days or weeks apart. In a session each speaker tells facts, outright or as a
scrap after the other's question ("Why are you limping?" "A trail run, yesterday"); reactions repeat the fact's words
without answering anything, small talk fills the rest. Both speakers tell facts of the same topics, so a question is
only answered by the right person's turn. Questions name the person and paraphrase: one fact (single), its date
(temporal), all facts of a kind (multi). Sentences are our own (`dialogue_phrases`); no public conversation is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from liftos_pipelines.simulate import dialogue_phrases as phrases
from liftos_pipelines.simulate.dialogue_phrases import TOPICS, Topic
from liftos_pipelines.text import words

NOTES = {
    "note_id": pl.String(),
    "at": pl.Datetime("us", "UTC"),
    "text": pl.String(),
    "author": pl.String(),
    "subject": pl.String(),
    "tags": pl.List(pl.String()),
}
"""The contract's columns of `sources/notes`."""


ASIDE, REACTS, COMES_BACK, CALLS_BY_NAME = 0.5, 0.7, 0.1, 0.03
"""Shares: turns with small talk added, facts with a reaction, small talk that repeats an old fact."""
IN_TOLD_WORDS, FAR_ASKED, DATE_ASKED, DETAIL_ASKED = 0.6, 0.4, 0.45, 0.3
"""Shares of questions in the words of what was told, of facts asked for in quite other words, for their date, and by their name for something else."""


@dataclass(frozen=True, kw_only=True)
class DialogueQuestion:
    """A question, the turns that answer it (`note_id`), and whether it is "single", "temporal" or "multi"."""

    text: str
    relevant: frozenset[str]
    category: str
    conversation: str


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """`turns` as notes in order (subject = conversation and session), and what can be asked about them."""

    name: str
    turns: pl.DataFrame
    questions: tuple[DialogueQuestion, ...]


@dataclass(frozen=True, kw_only=True)
class _Told:
    note_id: str
    text: str
    speaker: str
    topic: Topic
    value: str


def conversation(
    seed: int, *, sessions: int = 19, turns_a_session: int = 22, facts_told: int = 56, elliptical: float = 0.2
) -> Conversation:
    """One conversation.

    Parameters
    ----------
    facts_told : how many facts are told; the rest is small talk and talk of facts told before
    elliptical : share of facts told as a scrap after a question, in 0..1: the harder part
    """
    if not 0 <= elliptical <= 1:
        raise ValueError(f"elliptical is a share between 0 and 1, not {elliptical}")
    rng = np.random.default_rng([seed, 71])
    names = [str(name) for name in rng.choice(phrases.NAMES, 2, replace=False)]
    writer = _Writer(rng, f"talk-{seed}", names, elliptical)
    # Every value is told by one of the two at most: the answer to a question about it is that turn.
    facts = _facts(rng, facts_told)
    at = datetime(2023, 1, 9, 18, 0, tzinfo=UTC) + timedelta(days=int(rng.integers(0, 60)))
    for session in range(1, sessions + 1):
        writer.open_session(session, at)
        for speaker, topic, value in facts[session - 1 :: sessions]:
            while rng.random() < 0.4:
                writer.chat()
            writer.tell(speaker, topic, value)
        while writer.in_session < turns_a_session - 2:
            writer.chat()
        writer.say(phrases.GOODBYES)
        writer.say(phrases.GOODBYES)
        at += timedelta(days=int(rng.integers(3, 25)), hours=int(rng.integers(-6, 6)))
    turns = pl.DataFrame(writer.rows, schema=NOTES, orient="row")
    return Conversation(name=writer.name, turns=turns, questions=tuple(_questions(rng, writer)))


def _facts(rng: np.random.Generator, count: int) -> list[tuple[int, Topic, str]]:
    """Who tells what: of each topic first one fact by each of the two, then further ones by either, in mixed order."""
    first, further = [], []
    for topic in TOPICS:
        values = [str(value) for value in rng.permutation(topic.values)]
        first += [(speaker, topic, values[speaker]) for speaker in (0, 1)]
        further += [(int(rng.integers(2)), topic, value) for value in values[2:]]
    chosen = first + [further[place] for place in rng.permutation(len(further))]
    chosen = chosen[:count]
    return [chosen[place] for place in rng.permutation(len(chosen))]


class _Writer:
    """Writes turns in order, the two speakers in alternation."""

    def __init__(self, rng: np.random.Generator, name: str, names: list[str], elliptical: float) -> None:
        self.rng, self.name, self.names, self.elliptical = rng, name, names, elliptical
        self.rows: list[tuple[str, datetime, str, str, str, list[str] | None]] = []
        self.told: list[_Told] = []
        self.in_session = 0
        self.next = 0

    def open_session(self, session: int, at: datetime) -> None:
        self.session, self.at, self.in_session = session, at, 0
        self.next = int(self.rng.integers(2))
        self.say(phrases.GREETINGS)
        self.say(phrases.REPLIES)

    def say(self, choices: tuple[str, ...], **slots: str) -> str:
        """The next speaker says one of the sentences; the turn's id."""
        me, you = self.names[self.next], self.names[1 - self.next]
        text = str(self.rng.choice(choices)).format(me=me, you=you, **slots)
        # Small talk is put together from sentences: people rarely say the same turn twice.
        asides = 2 if not slots and self.rng.random() < 0.5 else int(not slots or self.rng.random() < ASIDE)
        for aside in self.rng.choice(phrases.CHAT, asides, replace=False):
            text += ("" if text[-1] in ".!?" else ".") + f" {aside}"
        if self.rng.random() < CALLS_BY_NAME:
            text += f", {you}!" if text[-1] not in ".!?" else f" You know, {you}."
        self.in_session += 1
        note_id = f"{self.name}:D{self.session}:{self.in_session}"
        moment = self.at + timedelta(minutes=self.in_session)
        subject = f"{self.name} session {self.session}"
        self.rows.append((note_id, moment, text[0].upper() + text[1:], me, subject, None))
        self.next = 1 - self.next
        return note_id

    def chat(self) -> None:
        """Small talk, or the next speaker comes back to something the other told before: the words without the fact."""
        heard = [fact for fact in self.told if fact.speaker != self.names[self.next]]
        if heard and self.rng.random() < COMES_BACK:
            self.say(phrases.COMING_BACK, v=heard[int(self.rng.integers(len(heard)))].value)
            self.say(phrases.STILL_GOOD)
        else:
            self.say(phrases.CHAT)

    def tell(self, speaker: int, topic: Topic, value: str) -> None:
        when = str(self.rng.choice([words for _, words in phrases.MOMENTS]))
        slots = {"v": value, "when": when, "When": when[0].upper() + when[1:]}
        scrap = self.rng.random() < self.elliptical
        if scrap:
            if self.next == speaker:
                self.say(phrases.CHAT)
            self.say(topic.asked)
            note_id = self.say(topic.short, **slots)
        else:
            if self.next != speaker:
                self.say(phrases.CHAT)
            note_id = self.say(topic.statements, **slots)
        self.told.append(
            _Told(note_id=note_id, text=self.rows[-1][2], speaker=self.names[speaker], topic=topic, value=value)
        )
        if self.rng.random() < REACTS:
            self.say(topic.reactions, **slots)


def _questions(rng: np.random.Generator, writer: _Writer) -> list[DialogueQuestion]:
    asked = []

    def ask(text: str, relevant: list[str], category: str) -> None:
        asked.append(
            DialogueQuestion(text=text, relevant=frozenset(relevant), category=category, conversation=writer.name)
        )

    for name in writer.names:
        mine = [fact for fact in writer.told if fact.speaker == name]
        for topic in TOPICS:
            same = [fact for fact in mine if fact.topic is topic]
            # Without its value a question cannot tell two facts of a topic apart: all of them answer it.
            if same:
                for far in (False, True):
                    text = str(rng.choice(topic.questions)) if far else _in_near_words(rng, topic, same[0].text)
                    ids = [fact.note_id for fact in same]
                    if not far or rng.random() < FAR_ASKED:
                        ask(text.format(name=name), ids, "single" if len(same) == 1 else "multi")
            for fact in same:
                value = fact.value.removeprefix("my ")
                if topic.when and rng.random() < DATE_ASKED:
                    ask(str(rng.choice(topic.when)).format(name=name, v=value), [fact.note_id], "temporal")
                if rng.random() < DETAIL_ASKED:
                    ask(_naming(topic).format(name=name, v=value), [fact.note_id], "single")
        for group, texts in phrases.LISTS.items():
            members = [fact.note_id for fact in mine if fact.topic.group == group]
            if 2 <= len(members) <= 8:
                ask(str(rng.choice(texts.split("|"))).format(name=name), members, "multi")
    return asked


def _near(topic: Topic) -> list[str]:
    return [text.strip() for text in phrases.NEAR[topic.key].split("|")]


def _in_near_words(rng: np.random.Generator, topic: Topic, told: str) -> str:
    """A question that names nothing; often the one with most words of what was told, as who asks has read it."""
    choices = [text for text in _near(topic) if "{v}" not in text]
    shared = [len(set(words(text)) & set(words(told))) for text in choices]
    return choices[int(np.argmax(shared))] if rng.random() < IN_TOLD_WORDS else str(rng.choice(choices))


def _naming(topic: Topic) -> str:
    return next(text for text in _near(topic) if "{v}" in text)
