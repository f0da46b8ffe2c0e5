"""Do a file's labels belong to its texts? Finds the stretch of a file, if any, whose labels say nothing of them.

Published sets have such stretches: a column sorted apart from the other, a merge that slipped. Opinion words know
nothing of the labels, so where the two agree in one part of a file and not at all in another, the labels are at fault.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SHORTEST = 100
"""A stretch has at least so many texts: fewer cannot show that they are without meaning."""
SIGNIFICANCE = 0.001
"""The change must be this unlikely in a file whose rows are in random order: one false alarm in a thousand files."""
_MEANINGFUL = 4.0
_NOT_ABOVE_ZERO = 1.645


@dataclass(frozen=True, kw_only=True)
class LabelAudit:
    """`informative` (n,): rows to learn from. `changed_at`: first row of the second part, None where there is one part
    only; `p_value` of the change; mean agreement before and after it."""

    informative: NDArray[np.bool_]
    changed_at: int | None
    p_value: float
    before: float
    after: float


def audit_labels(polarity: Array, labels: NDArray[np.int64], *, seed: int, replicates: int = 1999) -> LabelAudit:
    """Compare labels with a polarity that was found without them, in the order of the file.

    Parameters
    ----------
    polarity : (n,) net valence of the opinion words in each text, any scale
    labels : (n,) 0 negative, 1 neutral, 2 positive

    Rows of a part are dropped when the change is significant by permutation of the rows, the other part agrees with
    its labels beyond doubt (four standard errors) and this part not at all (below 1.645 standard errors above zero).
    Source of the split: largest standardised difference of means (Sen and Srivastava 1975).
    """
    agreement = (polarity - polarity.mean()) * (labels - 1.0)
    n = agreement.size
    everything = np.ones(n, dtype=bool)
    if n < 3 * SHORTEST or not np.any(agreement):
        mean = float(agreement.mean()) if n else float("nan")
        return LabelAudit(informative=everything, changed_at=None, p_value=float("nan"), before=mean, after=mean)
    at, strength = _split(agreement)
    rng = np.random.default_rng(seed)
    shuffled = np.stack([_split(rng.permutation(agreement))[1] for _ in range(replicates)])
    p_value = float((1 + (shuffled >= strength).sum()) / (1 + replicates))
    first, second = agreement[:at], agreement[at:]
    t_first, t_second = (float(part.mean() / (part.std(ddof=1) / np.sqrt(part.size))) for part in (first, second))
    informative = everything
    if p_value <= SIGNIFICANCE:
        if t_first < _NOT_ABOVE_ZERO and t_second > _MEANINGFUL:
            informative = np.arange(n) >= at
        elif t_second < _NOT_ABOVE_ZERO and t_first > _MEANINGFUL:
            informative = np.arange(n) < at
    return LabelAudit(
        informative=informative,
        changed_at=at if not informative.all() else None,
        p_value=p_value,
        before=float(first.mean()),
        after=float(second.mean()),
    )


def _split(values: Array) -> tuple[int, float]:
    n = values.size
    sizes = np.arange(SHORTEST, n - SHORTEST + 1)
    sums = np.cumsum(values)
    before = sums[sizes - 1] / sizes
    after = (sums[-1] - sums[sizes - 1]) / (n - sizes)
    strength = np.abs(before - after) * np.sqrt(sizes * (n - sizes) / n)
    best = int(strength.argmax())
    return int(sizes[best]), float(strength[best])
