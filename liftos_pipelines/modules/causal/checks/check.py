"""What a check of a model says, and how its value becomes a verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace

from liftos_pipelines.modules.causal.checks.gate import AtLeast, AtMost, Gate, Status


@dataclass(frozen=True, kw_only=True)
class Check:
    """One row of `causal/validation`."""

    check: str
    value: float | None
    threshold: float | None
    status: Status
    detail: str
    n: int | None = None
    """What the value was measured on: draws, weeks, channels."""
    low: float | None = None
    high: float | None = None


def limits(name: str, gate: Gate) -> AtMost | AtLeast:
    """The levels of a check."""
    found = getattr(gate, name)
    assert isinstance(found, (AtMost, AtLeast))
    return found


def judged(
    name: str,
    value: float,
    gate: Gate,
    detail: str,
    *,
    by: float | None = None,
    threshold: float | None = None,
    n: int | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Check:
    """A check with its verdict.

    Parameters
    ----------
    by : what is held against the levels, where it is not the value itself (a p-value, say)
    threshold : the value at which `by` reaches the warning level; by default that level
    """
    levels = limits(name, gate)
    return Check(
        check=name,
        value=value,
        threshold=levels.warn if threshold is None else threshold,
        status=levels.status(value if by is None else by),
        detail=detail,
        n=n,
        low=low,
        high=high,
    )


def judge_again(check: Check, gate: Gate) -> Check:
    """A check that carries levels of its own, under the gate's; one that the gate does not know stays as it is."""
    if not hasattr(gate, check.check):
        return check
    levels = limits(check.check, gate)
    if check.value is None or check.status == "unknown":
        return replace(check, threshold=levels.warn)
    return replace(check, threshold=levels.warn, status=levels.status(check.value))


def unknown(name: str, gate: Gate, detail: str) -> Check:
    """A check that could not be made, and why."""
    return Check(check=name, value=None, threshold=limits(name, gate).warn, status="unknown", detail=detail)
