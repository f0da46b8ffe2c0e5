"""From a root cause, or a drift, to a remedy that can be carried out: make it anew, take it back, or ask a person.

A remedy follows what was found and nothing else: without a version to go back to nothing is rolled back, and what no
model of ours stands behind becomes a ticket.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from liftos_pipelines.modules.agentic.proposals import Proposal, Situation, action_id, choose_agent

MARKETING_MIX, SENTIMENT = "causal/mmm_posterior", "sentiment/model"
MODEL_OF = {
    MARKETING_MIX: MARKETING_MIX,
    "sources/marketing_outcome": MARKETING_MIX,
    "sources/marketing_media": MARKETING_MIX,
    "sources/marketing_controls": MARKETING_MIX,
    "sources/mentions": SENTIMENT,
    "sentiment/mention_scores": SENTIMENT,
}
"""Tables whose change a model of ours must learn, and that model."""
ROLLED_BACK = ("prompt", "agent", "model")


@dataclass(frozen=True, kw_only=True)
class Cause:
    """What `root_cause_identified` or `drift_detected` says, as far as a remedy depends on it.

    `kind` : contract (the data themselves), drift, change (something was deployed), or how a segment differs
    """

    event_id: str
    what: str
    kind: str
    cause: str
    subject_kind: str | None = None
    subject: str | None = None
    version: str | None = None
    earlier_version: str | None = None
    contribution: float | None = None
    low: float | None = None
    high: float | None = None
    evidence: str = ""
    confidence: float | None = None


def remedy(cause: Cause, situation: Situation, refittable: Collection[str]) -> Proposal:
    """The one remedy for a cause.

    Parameters
    ----------
    refittable : models that a refit can change (a classifier without the client's labels would come out the same)
    """
    context = describe(cause)
    action, arguments, why = _choice(cause, refittable)
    if action == "open_ticket":
        arguments = {"title": f"{cause.what}: {cause.cause}", "text": context} | arguments
    others = tuple(
        (other, reason)
        for other, reason in (
            ("reingest_source", "the cause is not in a source's data"),
            ("refit_model", "no model of ours that a refit could change stands behind it"),
            ("rollback", "nothing was deployed that could be taken back to a known version"),
            ("open_ticket", "it can be mended without a person"),
        )
        if other != action
    )
    return Proposal(
        action_id=action_id(cause.event_id, action),
        event_id=cause.event_id,
        agent=choose_agent(situation, action),
        action=action,
        arguments=arguments,
        context=context,
        reasoning=why,
        confidence=cause.confidence,
        alternatives=others,
    )


def describe(cause: Cause) -> str:
    """A cause in one sentence, for people and for memory."""
    if cause.contribution is None:
        part = "its share is unknown"
    else:
        bounds = (
            "" if cause.low is None or cause.high is None else f" (90 % interval {cause.low:+.3g} to {cause.high:+.3g})"
        )
        part = f"it contributes {cause.contribution:+.3g}{bounds}"
    return f"{cause.what}. Likeliest cause: {cause.cause}; {part}. {cause.evidence}".strip()


def _choice(cause: Cause, refittable: Collection[str]) -> tuple[str, dict[str, Any], str]:
    if cause.kind == "contract" and cause.subject_kind == "source" and cause.subject:
        return (
            "reingest_source",
            {"dataset": f"sources/{cause.subject}"},
            f"source {cause.subject} broke its contract: it is read again before anything is concluded from it",
        )
    if cause.kind == "drift" and cause.subject:
        model = MODEL_OF.get(cause.subject)
        if model in refittable:
            return "refit_model", {"dataset": model}, f"{cause.subject} drifted: {model} is fitted anew"
        why = "no model of ours stands behind it" if model is None else f"{model} has nothing new to learn from"
        return "open_ticket", {"dataset": cause.subject}, f"{cause.subject} drifted, and {why}"
    if cause.kind == "change" and cause.subject_kind in ROLLED_BACK:
        if cause.earlier_version is not None:
            arguments = {
                "kind": cause.subject_kind,
                "name": cause.subject,
                "from_version": cause.version,
                "to_version": cause.earlier_version,
            }
            return "rollback", arguments, f"{cause.subject_kind} {cause.subject} changed shortly before"
        return "open_ticket", {}, f"{cause.subject_kind} {cause.subject} changed, but no earlier version is known"
    return "open_ticket", {}, "nothing that could be made anew or taken back was found"
