"""How far an output is supported by the context it was given: a score, a probability, and what is not supported.

The score is plainly defined: the mean support of the output's sentences, weighted by their content words. A sentence's
support is the mean of its word, word-pair and best-passage containment in the context (agreeing numbers and dates
counting as words found); a sentence with a typed conflict (number, date, name, direction) counts nothing. The
probability comes from more features by a calibration (`grounding.calibration`). Paraphrase without shared words is the
limit of every lexical method; how far this one goes stands in `docs/modules/llm-groundedness.md`.

Sources: Lin (2004), ROUGE; Grusky et al. (2018), Newsroom (extractive fragments); Laban et al. (2022), SummaC
(sentence-level aggregation).
"""

from __future__ import annotations

from dataclasses import dataclass

from liftos_pipelines.modules.llm.grounding.builtin import measure_output
from liftos_pipelines.modules.llm.grounding.calibration import Calibration
from liftos_pipelines.modules.llm.grounding.check import span
from liftos_pipelines.modules.llm.grounding.features import SentenceFeatures
from liftos_pipelines.modules.llm.grounding.parse import Document, parse
from liftos_pipelines.modules.llm.grounding.spans import Span

SUPPORT_THRESHOLD = 0.5
"""Below this support a sentence is reported as ungrounded."""
NUMERIC = frozenset(("number", "date", "direction"))
"""Kinds of conflict that are reported as `numeric_conflicts`; the others are ungrounded spans."""


@dataclass(frozen=True, kw_only=True)
class Grounding:
    """Support of one output. `score` is None where there is no context or nothing to check.

    `probability` (that every claim is supported) is None as well without a calibration.
    """

    score: float | None
    probability: float | None = None
    spans: tuple[Span, ...] = ()
    sentence_support: tuple[float, ...] = ()

    @property
    def ungrounded_spans(self) -> tuple[str, ...]:
        """Sentences and names that the context does not support, as written."""
        return tuple(dict.fromkeys(found.text for found in self.spans if found.kind not in NUMERIC))

    @property
    def numeric_conflicts(self) -> tuple[str, ...]:
        """What is wrong with numbers, dates and directions, in words."""
        return tuple(
            f'"{found.text}": {found.reason}' if found.kind == "direction" else found.reason
            for found in self.spans
            if found.kind in NUMERIC
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of unsupported claims, each once, in reading order."""
        return tuple(dict.fromkeys(found.kind for found in self.spans))


def ground(
    output: str | None, context: str | None, prompt: str | None = None, calibration: Calibration | None = None
) -> Grounding:
    """Support of an output in its context.

    Parameters
    ----------
    output : what the model answered
    context : what it was given as facts; without one the score is None
    prompt : what it was asked; names, dates and periods may be repeated from it, quantities may not
    calibration : turns the features into a probability
    """
    found = measure_output(output, context, prompt)
    if found is None or output is None:
        return Grounding(score=None)
    doc = parse(output)
    spans: list[Span] = []
    supports: list[float] = []
    weights: list[int] = []
    for sentence in found.sentences:
        spans += _spans(doc, sentence)
        supports.append(0.0 if sentence.conflicts else sentence.support)
        weights.append(max(1, sentence.length))
    return Grounding(
        score=sum(s * w for s, w in zip(supports, weights, strict=True)) / sum(weights),
        probability=None if calibration is None else calibration.probability(found.values),
        spans=tuple(sorted(spans, key=lambda s: (s.start, s.end))),
        sentence_support=tuple(supports),
    )


def _spans(doc: Document, sentence: SentenceFeatures) -> list[Span]:
    conflicts = list(sentence.conflicts)
    if sentence.support >= SUPPORT_THRESHOLD:
        return conflicts
    first, last = doc.sentences[sentence.number]
    whole = span(doc, first, last, "sentence", f"the context covers {sentence.support:.0%} of it")
    # The sentence says it all: its names need no naming.
    return [whole, *(conflict for conflict in conflicts if conflict.kind != "name")]
