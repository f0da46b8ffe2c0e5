"""What is done about a version follows from what was found of it, and from nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from liftos_pipelines.modules.agentic.conditions import AgentFacts
from liftos_pipelines.modules.agentic.proposals import Situation
from liftos_pipelines.modules.agentic.version_changes import StageFinding, VersionFinding, change_stage, change_version

CAPABLE = frozenset({"promote", "rollback", "notify", "open_ticket", "move_agent"})
DESK = AgentFacts(agent_id="desk", stage="live", capabilities=CAPABLE)
SITUATION = Situation(agents=(DESK,), channels={}, changes={}, currency="EUR")


def found(finding: str, **changed: Any) -> VersionFinding:
    said: dict[str, Any] = {
        "event_id": "e1",
        "kind": "prompt",
        "name": "answer",
        "what": "Experiment tone",
        "serving": "1",
        "tried": "2",
        "reason": "the confidence sequence excludes zero",
        "metric": "positive feedback",
        "estimate": 0.1,
        "low": 0.05,
        "high": 0.15,
        "confidence": 0.99,
    }
    return VersionFinding(finding=finding, **(said | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("finding", "action", "versions"),
    [
        ("better", "promote", ("1", "2")),
        ("worse", "rollback", ("2", "1")),
        ("no_gain", "notify", None),
        ("invalid", "open_ticket", None),
    ],
)
def test_each_finding_has_its_one_answer(finding: str, action: str, versions: tuple[str, str] | None) -> None:
    proposal = change_version(found(finding), SITUATION)
    assert proposal.action == action
    told = (proposal.arguments.get("from_version"), proposal.arguments.get("to_version"))
    assert told == (versions or (None, None))
    assert action not in dict(proposal.alternatives)
    assert "+0.1 (90 % interval +0.05 to +0.15)" in proposal.context


def test_only_a_promotion_predicts_what_the_experiment_measured() -> None:
    predicted = [
        (proposal.predicted_effect, proposal.predicted_low, proposal.predicted_high)
        for proposal in (change_version(found(finding), SITUATION) for finding in ("better", "worse"))
    ]
    assert predicted == [(0.1, 0.05, 0.15), (None, None, None)]


@pytest.mark.parametrize("unclear", [{"tried": None}, {"serving": None}, {"tried": "1"}])
@pytest.mark.parametrize("finding", ["better", "worse"])
def test_a_version_that_is_not_known_moves_nothing(finding: str, unclear: dict[str, Any]) -> None:
    proposal = change_version(found(finding, **unclear), SITUATION)
    assert proposal.action == "open_ticket"
    assert "not known" in proposal.reasoning


def test_a_measured_difference_without_an_interval_is_told_without_one() -> None:
    context = change_version(found("better", low=None), SITUATION).context
    assert "changed by +0.1." in context
    assert "interval" not in context


def test_a_rollout_test_becomes_a_move_of_exactly_that_version() -> None:
    rollout = StageFinding(
        event_id="e2",
        agent_id="pacer",
        version="2.0.0",
        from_stage="canary",
        to_stage="shadow",
        decision="rollback",
        reason="success fell by 15 points",
    )
    proposal = change_stage(rollout, SITUATION)
    assert proposal.action == "move_agent"
    assert proposal.arguments == {
        "agent_id": "pacer",
        "version": "2.0.0",
        "from_stage": "canary",
        "to_stage": "shadow",
    }
