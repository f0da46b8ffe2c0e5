"""One dimension of one page: a score from named checks, with the evidence, or the reason why it has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Score 0 to 100 or None, the evidence in words, and which checks passed and failed.

    `reason` says why there is no score; it is None exactly where there is one.
    """

    score: float | None
    evidence: str
    passed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    reason: str | None = None


def checks(held: Mapping[str, float | bool | None], note: str = "") -> Finding:
    """A finding from named checks, each true, false or a share; None could not be judged and does not count."""
    judged = {name: float(value) for name, value in held.items() if value is not None}
    if not judged:
        return unmeasured("no check could be judged" + (f" ({note})" if note else ""))
    failed = tuple(name for name, value in judged.items() if value < 1)
    words = f"{len(judged) - len(failed)} of {len(judged)} checks hold"
    if failed:
        words += "; not: " + ", ".join(failed)
    return Finding(
        score=100 * float(np.mean(list(judged.values()))),
        evidence=words + (f" ({note})" if note else ""),
        passed=tuple(name for name, value in judged.items() if value >= 1),
        failed=failed,
    )


def unmeasured(reason: str, *, failed: tuple[str, ...] = ()) -> Finding:
    """No score, and why; `failed` names what would have to hold for one."""
    return Finding(score=None, evidence=reason, failed=failed, reason=reason)
