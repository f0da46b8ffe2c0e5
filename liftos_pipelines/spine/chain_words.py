"""A chain's decisions and events in a line each, for people; what was not recorded reads `unknown`."""

from __future__ import annotations

from typing import Any

from liftos_pipelines.spine.chain_records import EventNote
from liftos_pipelines.spine.decisions import Decision


def decision_notes(decision: Decision) -> tuple[str, ...]:
    """A decision's grounds, a line each; what was not recorded reads `unknown`."""
    policy = f"policy {decision.policy or 'unknown'}"
    policy += f" (version {decision.policy_version[:12]})" if decision.policy_version else " (version unknown)"
    policy += f": {decision.policy_reason}" if decision.policy_reason else ""
    return (
        policy,
        f"reasoning: {decision.reasoning or 'unknown'}",
        f"inputs: {inputs_words(decision)}",
        f"precedents: {precedents_words(decision)}",
        f"alternatives: {alternatives_words(decision)}",
        f"confidence: {'unknown' if decision.confidence is None else f'{decision.confidence:.2f}'}",
    )


def inputs_words(decision: Decision) -> str:
    """Tables that were looked at, each with its version."""
    if decision.inputs is None:
        return "unknown"
    told = []
    for each in decision.inputs:
        version = "version unknown" if each.version is None else f"version {each.version}"
        rows = "" if each.rows is None else f", {each.rows:,} rows"
        told.append(f"{each.table} ({version}{rows})")
    return "; ".join(told) or "none"


def precedents_words(decision: Decision) -> str:
    """Memories of measured actions in like contexts that the decision cites."""
    memories = (decision.evidence or {}).get("memories")
    if not isinstance(memories, list):
        return "unknown"
    told = [
        f"memory {each.get('memory_id')} (likeness {each.get('likeness')})"
        for each in memories
        if isinstance(each, dict)
    ]
    pin = (decision.evidence or {}).get("memory_pin")
    return "; ".join(told) + (f", pinned as {pin}" if pin else "") if told else "none with a measured effect"


def alternatives_words(decision: Decision) -> str:
    """What else could have been done, each with why not."""
    if decision.alternatives is None:
        return "unknown"
    told = [f"{each.action} ({each.reason or 'no reason recorded'})" for each in decision.alternatives]
    return "; ".join(told) or "none"


def event_facts(event: EventNote) -> tuple[str, ...]:
    """What an event says, in a line: effects with their interval first."""
    payload = event.payload
    told = []
    if isinstance(payload.get("effect"), (int, float)):
        low, high = payload.get("effect_low"), payload.get("effect_high")
        known = isinstance(low, (int, float)) and isinstance(high, (int, float))
        interval = f" (90 % interval {low:+,.4g} to {high:+,.4g})" if known else ""
        told.append(f"effect {payload['effect']:+,.4g}{interval}")
    told += [
        f"{name.replace('_', ' ')} {_short(payload[name])}"
        for name in (
            *("probability_harmful", "revenue_at_risk", "severity", "campaign_id", "engine", "module", "slo", "value"),
            *("threshold", "probability_met", "cause_found", "dataset", "agent_id", "policy", "reason", "action"),
            *("status", "explanation"),
        )
        if payload.get(name) not in (None, "")
    ]
    return (", ".join(told),) if told else ()


def _short(value: Any) -> str:
    return figure(value) if isinstance(value, float) else shortened(str(value))


def figure(value: float) -> str:
    """Four digits, and large numbers in full: 299,300 and not 2.993e+05."""
    return f"{float(f'{value:.4g}'):,.0f}" if 10_000 <= abs(value) < 1e15 else f"{value:,.4g}"


def shortened(text: str, length: int = 110) -> str:
    single = " ".join(text.split())
    return single if len(single) <= length else single[: length - 3] + "..."
