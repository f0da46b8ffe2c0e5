"""From one look's findings to what follows: the rules, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from liftos_pipelines.modules.llm.experiments.compare import Comparison
from liftos_pipelines.modules.llm.experiments.guard import Guarded
from liftos_pipelines.modules.llm.experiments.plan import Guard
from liftos_pipelines.modules.llm.experiments.split import SplitTest

Decision = Literal["ship_b", "rollback_b", "keep_a", "keep_running", "invalid_srm", "insufficient_data"]

FINAL: tuple[Decision, ...] = ("ship_b", "rollback_b", "keep_a", "invalid_srm")
"""Decisions that end an experiment; the others wait for more calls."""


@dataclass(frozen=True, kw_only=True)
class Decided:
    decision: Decision
    reason: str


def decide(
    primary: Comparison,
    guards: Sequence[tuple[Guard, Guarded]],
    *,
    split: SplitTest | None,
    horizon: str | None,
) -> Decided:
    """What follows from a look.

    A broken split says nothing of the variants. A broken guardrail rolls back at once. Shipping needs a better primary
    metric and every planned guardrail cleared. What is inconclusive at the horizon keeps the control.

    Parameters
    ----------
    split : None where the planned shares are not known
    horizon : what was reached ("5,000 units"), None before it
    """
    if split is not None and split.broken:
        counts = " to ".join(f"{count:,}" for count in split.counts)
        return Decided(
            decision="invalid_srm", reason=f"{counts} units is not the planned split (p {split.p_value:.2g})"
        )
    broken = [guarded.reason for _, guarded in guards if guarded.status == "broken"]
    if broken:
        return Decided(decision="rollback_b", reason="guardrail broken: " + "; ".join(broken))
    waiting = [guarded.reason for guard, guarded in guards if guard.planned and guarded.status != "cleared"]
    if primary.verdict == "better" and not waiting:
        return Decided(decision="ship_b", reason=primary.reason)
    if primary.verdict == "worse":
        return Decided(decision="keep_a", reason=primary.reason)
    shown = primary.verdict == "better"
    reason = "B is better, but not cleared: " + "; ".join(waiting) if shown else primary.reason
    if horizon is not None:
        return Decided(decision="keep_a", reason=f"not shown within {horizon}: {reason}")
    return Decided(decision="insufficient_data" if primary.verdict == "unknown" else "keep_running", reason=reason)


def decide_metric(found: Comparison, guarded: Guarded | None) -> Decided:
    """What a metric that is not the primary one would say for itself."""
    if guarded is not None and guarded.status == "broken":
        return Decided(decision="rollback_b", reason=guarded.reason)
    said = [found.reason] if found.verdict != "unknown" or guarded is None else []
    reason = "; ".join([*said, *([] if guarded is None else [guarded.reason])])
    by_verdict: dict[str, Decision] = {"better": "ship_b", "worse": "keep_a", "open": "keep_running"}
    return Decided(decision=by_verdict.get(found.verdict, "insufficient_data"), reason=reason)
