"""How much of an answer rests on each source: the position-adjusted word count of generative engines."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Sequence

_WORD = re.compile(r"\w+(?:['’\-]\w+)*")


def counted_words(sentence: str) -> int:
    """Words of three characters or more, as the published definition counts them."""
    return sum(len(word) > 2 for word in _WORD.findall(sentence))


def word_position_impression(
    word_counts: Sequence[int], citations: Sequence[Sequence[Hashable]], sources: Sequence[Hashable]
) -> dict[Hashable, float] | None:
    """Share of an answer's position-adjusted words that each source carries.

    `imp_i = sum over sentences s that cite i of words_s / |citations_s| * exp(-s / (S - 1))`, divided by the
    sum over all sources. A citation outside `sources` (a hallucinated one) takes its part of the sentence and
    credits nobody: the published code lets `[0]` fall through to the last source, here it cannot.

    Parameters
    ----------
    word_counts : (S,), words of each sentence in reading order
    citations : (S,), the sources each sentence cites, repeats count as published
    sources : the sources that exist

    Returns
    -------
    source -> share, summing to 1; None where no sentence cites an existing source (the published code
    returns the uniform 1/n there, which would be an invented number)

    Source: Aggarwal et al. (2024), GEO: Generative Engine Optimization, position-adjusted word count.
    """
    scores: dict[Hashable, float] = {source: 0.0 for source in sources}
    last = len(word_counts) - 1
    for position, (count, cited) in enumerate(zip(word_counts, citations, strict=True)):
        if not cited:
            continue
        weight = math.exp(-position / last) if last > 0 else 1.0
        for source in cited:
            if source in scores:
                scores[source] += count * weight / len(cited)
    total = sum(scores.values())
    return {source: score / total for source, score in scores.items()} if total > 0 else None
