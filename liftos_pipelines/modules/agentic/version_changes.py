"""From what was found about a version (an experiment, a regression, a rollout test) to what is done about it.

A better version is promoted, a worse one taken back, an invalid comparison becomes a ticket; where it is not known
which version a finding speaks of, nothing is moved and a person is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from liftos_pipelines.modules.agentic.proposals import Proposal, Situation, action_id, choose_agent

Finding = Literal["better", "worse", "no_gain", "invalid"]


@dataclass(frozen=True, kw_only=True)
class VersionFinding:
    """What was found of a version that was tried beside the one that serves.

    `what` names the test in words; `serving` and `tried` are versions, None where a side is not one version; `estimate`
    with its 90 % interval is the difference of `metric`, tried minus serving; `confidence` is the probability that the
    finding is right, None where nobody measured one
    """

    event_id: str
    kind: Literal["prompt", "model"]
    name: str
    what: str
    finding: Finding
    serving: str | None
    tried: str | None
    reason: str
    metric: str | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None


@dataclass(frozen=True, kw_only=True)
class StageFinding:
    """What sequential tests say of an agent's version: it should go from one stage to another."""

    event_id: str
    agent_id: str
    version: str
    from_stage: str
    to_stage: str
    decision: str
    reason: str


def change_version(found: VersionFinding, situation: Situation) -> Proposal:
    """The one answer to a finding about a prompt or a model."""
    action, arguments, why, against = _answer(found)
    context = describe(found)
    if action == "open_ticket":
        arguments = {"title": f"{found.what}: {found.finding.replace('_', ' ')}", "text": context} | arguments
    elif action == "notify":
        arguments = {"channel": "growth", "text": context} | arguments
    # What the change itself should bring is known where the tried version is to serve.
    effect = (found.estimate, found.low, found.high) if action == "promote" else (None, None, None)
    return Proposal(
        action_id=action_id(found.event_id, action),
        event_id=found.event_id,
        agent=choose_agent(situation, action),
        action=action,
        arguments=arguments,
        context=context,
        reasoning=why,
        confidence=found.confidence,
        alternatives=against,
        predicted_effect=effect[0],
        predicted_low=effect[1],
        predicted_high=effect[2],
    )


def change_stage(found: StageFinding, situation: Situation) -> Proposal:
    """The move that a rollout test asks for."""
    return Proposal(
        action_id=action_id(found.event_id, "move_agent"),
        event_id=found.event_id,
        agent=choose_agent(situation, "move_agent"),
        action="move_agent",
        arguments={
            "agent_id": found.agent_id,
            "version": found.version,
            "from_stage": found.from_stage,
            "to_stage": found.to_stage,
        },
        context=f"Agent {found.agent_id} {found.version}: {found.decision}, {found.from_stage} to {found.to_stage}. "
        f"{found.reason}",
        reasoning=found.reason,
        alternatives=(("hold", "the sequential tests have decided"),),
    )


def describe(found: VersionFinding) -> str:
    """A finding in one sentence, for people and for memory."""
    measured = ""
    if found.metric is not None and found.estimate is not None:
        bounds = (
            "" if found.low is None or found.high is None else f" (90 % interval {found.low:+.3g} to {found.high:+.3g})"
        )
        measured = f" {found.metric} changed by {found.estimate:+.3g}{bounds}."
    sides = f"{found.tried or 'the tried variant'} against {found.serving or 'what serves'}"
    return f"{found.what} on {found.kind} {found.name}: {sides}.{measured} {found.reason}".strip()


def _answer(found: VersionFinding) -> tuple[str, dict[str, Any], str, tuple[tuple[str, str], ...]]:
    about = {"kind": found.kind, "name": found.name}
    both = found.serving is not None and found.tried is not None and found.serving != found.tried
    if found.finding == "invalid":
        why = "the comparison cannot be trusted: nothing is concluded from it"
        return "open_ticket", about, why, (("promote", why), ("rollback", why))
    if found.finding == "no_gain":
        why = "no difference worth a change was found"
        return "notify", about, why, (("promote", why), ("rollback", "it is not worse either"))
    wanted = "promote" if found.finding == "better" else "rollback"
    if not both:
        why = "which versions the finding speaks of is not known"
        return "open_ticket", about, f"{found.reason}; {why}", ((wanted, why),)
    serving, tried = str(found.serving), str(found.tried)
    there, back = (serving, tried) if wanted == "promote" else (tried, serving)
    arguments = about | {"from_version": there, "to_version": back, "reason": found.reason}
    other = "rollback" if wanted == "promote" else "promote"
    return wanted, arguments, found.reason, ((other, f"the tried version is {found.finding}"),)
