"""Which agent's which step most likely made a run fail, from what the steps look like and how they follow each other.

A conditional logit over a run's steps (McFadden, 1974): each step's features are weighed and compared with those of
the same run only. Agents' names and roles are not among the features, so that it holds for agents it never saw.
Task: Zhang et al. (2025), Which agent causes task failures and when? (Who&When), arXiv 2505.00212.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
ACTS = re.compile(
    r"```\w*\n|^\s*(?:import|from) \w+|def \w+\(|"
    r"^\s*I (?:have )?(?:clicked|typed|scrolled|searched|opened|visited|navigated|downloaded|executed|ran|called)\b",
    re.M,
)
"""Code that is handed to something that runs it, or a report of having done something."""
RESULT = re.compile(r"^\s*exitcode:|^There is no code from", re.I)
ERROR = re.compile(r"exitcode: [1-9]|traceback|\b\w*error\b|exception|failed|not found|timed? ?out", re.I)
ASSUMES = re.compile(
    r"\b(?:assum\w+|hypothetical\w*|simulat\w+|placeholder|mock|dummy|sample data|for example|example data|suppose|"
    r"presum\w+|likely|approximate\w*|based on (?:my|our|general|common|available|historical) \w+|manual\w*|let'?s say|"
    r"known (?:data|facts|information))\b",
    re.I,
)
_CODE = re.compile(r"```.*?```", re.S)
_NUMBER = re.compile(r"\d[\d,.]*\d|\d")
_NAME = re.compile(r"\b[A-Z][a-z]{2,}\b")
MEASURES = {
    "opens": "it set up the task, before anything was done",
    "second": "it is the first step of own work",
    "ends": "it is the last step",
    "late": "it comes late in the run",
    "acts": "it acts: it runs code or calls a tool",
    "acts_first": "it is the first step that acts",
    "only_says": "it states things without acting on anything",
    "first_error": "its action brought the run's first error",
    "after_error": "it follows an error",
    "after_success": "it follows an action that went through",
    "assumes": "it assumes, approximates or makes up data",
    "brings_answer": "numbers and names of the final answer appear here first",
    "long": "it is longer than the run's other steps",
    "by_opener": "its agent opened the run",
    "by_closer": "its agent ended the run",
    "again": "the same agent goes on",
}
"""What is measured of a step, and how it is said where it speaks for the step."""
EVIDENCE = ("first_error", "assumes", "brings_answer")
"""Measures that speak of something going wrong; the others only say where such steps usually stand."""
SPEAKS = 0.3
"""Log-odds from which a measure is named as a reason."""
HUB_CHANGES = 6
"""Changes of speaker from which an orchestrator is told from a chance order of turns."""
MOST_CHARACTERS = 20_000
"""Of a step's text that are looked at."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One step of a run. `result` marks what an environment answered: it cannot be at fault, but says who was."""

    step: int
    agent: str
    text: str
    acts: bool = False
    result: bool = False


@dataclass(frozen=True, kw_only=True)
class Blame:
    """How likely one step is the one that decided the failure; `agent_probability` is that of its agent, from
    all its steps."""

    step: int
    agent: str
    probability: float
    agent_probability: float
    reasons: tuple[str, ...]
    evident: bool = False
    """Whether something that goes wrong was seen at the step, and not only where it stands."""


@dataclass(frozen=True, kw_only=True)
class AttributionModel:
    """Weights per measure; `stands_out` is how many times likelier than an even share a step must be to be named."""

    mean: FloatArray
    scale: FloatArray
    weights: FloatArray
    stands_out: float
    source: str

    def utilities(self, measured: FloatArray) -> FloatArray:
        """(n_steps, n_measures) contributions in log-odds."""
        return (measured - self.mean) / self.scale * self.weights


def measure(turns: Sequence[Turn]) -> tuple[list[int], FloatArray]:
    """Positions of the turns that can be at fault, and (n, len(MEASURES)) what is measured of each."""
    texts = [turn.text[:MOST_CHARACTERS] for turn in turns]
    results = [turn.result or bool(RESULT.match(text)) for turn, text in zip(turns, texts, strict=True)]
    open_to = [i for i, result in enumerate(results) if not result]
    if not open_to:
        return [], np.empty((0, len(MEASURES)))
    answers = {i: texts[i + 1] if i + 1 < len(turns) and results[i + 1] else None for i in open_to}
    failed = {i: answer is not None and bool(ERROR.search(answer)) for i, answer in answers.items()}
    acts = {i: turns[i].acts or bool(ACTS.search(texts[i])) for i in open_to}
    said = [_facts(text) for text in texts]
    final = said[open_to[-1]] - said[0]
    median = float(np.median([len(texts[i]) for i in open_to]))
    opener, closer = turns[open_to[0]].agent, turns[open_to[-1]].agent
    if _hub([turns[i].agent for i in open_to]) is not None:
        opener = closer = ""  # an orchestrator opens and closes by its office, which says nothing of fault
    rows, before, acted, erred = [], set[str](), False, False
    heard = 0
    for rank, i in enumerate(open_to):
        while heard < i:
            before |= said[heard]
            heard += 1
        agent, text = turns[i].agent, texts[i]
        follows = i > 0 and results[i - 1]
        rows.append(
            [
                rank == 0,
                rank == 1,
                rank == len(open_to) - 1,
                np.log1p(rank) / np.log1p(len(open_to)),
                acts[i],
                acts[i] and not acted,
                not acts[i] and rank > 0,
                failed[i] and not erred,
                follows and bool(ERROR.search(texts[i - 1])),
                follows and not ERROR.search(texts[i - 1]),
                min(3.0, len(ASSUMES.findall(text)) / (1 + len(text) / 500)),
                len((final & said[i]) - before) / max(1, len(final)),
                np.log((len(text) + 1) / (median + 1)),
                agent == opener,
                agent == closer,
                rank > 0 and turns[open_to[rank - 1]].agent == agent,
            ]
        )
        acted, erred = acted or acts[i], erred or failed[i]
    return open_to, np.array(rows, dtype=float)


def attribute(turns: Sequence[Turn], model: AttributionModel) -> list[Blame]:
    """Every step that can be at fault with its probability, the likeliest first; empty where there is none."""
    open_to, measured = measure(turns)
    if not open_to:
        return []
    parts = model.utilities(measured)
    chances = softmax(parts.sum(axis=1))
    by_agent = agent_chances([turns[i].agent for i in open_to], chances)
    phrases = list(MEASURES.values())
    evidence = [list(MEASURES).index(name) for name in EVIDENCE]
    return sorted(
        (
            Blame(
                step=turns[i].step,
                agent=turns[i].agent,
                probability=float(chance),
                agent_probability=by_agent[turns[i].agent],
                reasons=tuple(phrases[k] for k in np.argsort(-part) if part[k] >= SPEAKS and measured_row[k] > 0),
                evident=any(part[k] > 0 and measured_row[k] > 0 for k in evidence),
            )
            for i, chance, part, measured_row in zip(open_to, chances, parts, measured, strict=True)
        ),
        key=lambda blame: (-blame.probability, blame.step),
    )


def stands_out(blames: Sequence[Blame], model: AttributionModel) -> bool:
    """Whether the likeliest step is told apart from the others by something that goes wrong there; otherwise who
    failed is unknown."""
    return len(blames) > 1 and blames[0].evident and blames[0].probability >= min(0.9, model.stands_out / len(blames))


def agent_chances(agents: Sequence[str], chances: FloatArray) -> dict[str, float]:
    """Probability of each agent from its steps' probabilities, in the steps' order.

    Steps of one agent in a row are one turn and count by their mean; an agent's turns are summed and divided by the
    root of how many it had, so that who speaks most is not blamed for that alone.
    """
    total, count = dict.fromkeys(sorted(set(agents)), 0.0), Counter[str]()
    for agent, turn in groupby(range(len(agents)), key=lambda i: agents[i]):
        total[agent] += float(np.mean([chances[i] for i in turn]))
        count[agent] += 1
    weighed = {agent: value / np.sqrt(count[agent]) for agent, value in total.items()}
    whole = sum(weighed.values())
    return {agent: float(value / whole) for agent, value in weighed.items()}


def softmax(utilities: FloatArray) -> FloatArray:
    raised = np.exp(utilities - utilities.max())
    return np.asarray(raised / raised.sum())


def _facts(text: str) -> set[str]:
    prose = _CODE.sub(" ", text)
    return set(_NUMBER.findall(prose)) | set(_NAME.findall(prose))


def _hub(agents: Sequence[str]) -> str | None:
    """The agent that stands on one side of every change of speaker among three or more; None without one."""
    changes = [pair for pair in pairwise(agents) if pair[0] != pair[1]]
    if len(set(agents)) < 3 or len(changes) < HUB_CHANGES:
        return None
    agent, _ = Counter(name for pair in changes for name in pair).most_common(1)[0]
    return agent if all(agent in pair for pair in changes) else None
