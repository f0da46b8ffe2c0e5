"""A remedy follows the cause: made anew, taken back to a known version, or a person asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from agentic_frames import agents

from liftos_pipelines.modules.agentic.proposals import Situation
from liftos_pipelines.modules.agentic.registry import RESPONDER, with_responder
from liftos_pipelines.modules.agentic.remedies import MARKETING_MIX, SENTIMENT, Cause, remedy
from liftos_pipelines.tables import table

BLANK = Cause(event_id="e", what="llm: groundedness is broken", kind="none", cause="none found")


def situation() -> Situation:
    return Situation.of(
        agents=with_responder(agents(), "1"),
        campaigns=table("sources/campaigns").empty(),
        plan=table("causal/budget_plan").empty(),
        currency="EUR",
    )


def chosen(refittable: frozenset[str] = frozenset({MARKETING_MIX}), **fields: str | float | None) -> tuple[str, dict]:
    proposal = remedy(replace(BLANK, **fields), situation(), refittable)  # type: ignore[arg-type]
    assert proposal.agent.agent_id == RESPONDER
    assert proposal.action not in dict(proposal.alternatives)
    return proposal.action, proposal.arguments


def test_a_broken_contract_has_its_source_read_again() -> None:
    said = chosen(kind="contract", subject_kind="source", subject="mentions")
    assert said == ("reingest_source", {"dataset": "sources/mentions"})


def test_a_replaced_prompt_goes_back_to_the_version_before_and_without_one_a_person_is_asked() -> None:
    new = {"kind": "change", "subject_kind": "prompt", "subject": "answer", "version": "4"}
    action, arguments = chosen(**new, earlier_version="3")
    assert (action, arguments["from_version"], arguments["to_version"]) == ("rollback", "4", "3")
    assert chosen(**new)[0] == "open_ticket"
    assert chosen(kind="change", subject_kind="policy", subject="policy", earlier_version="x")[0] == "open_ticket"


@pytest.mark.parametrize(
    ("dataset", "refittable", "action"),
    [
        ("sources/marketing_media", {MARKETING_MIX}, "refit_model"),
        ("sentiment/mention_scores", {SENTIMENT}, "refit_model"),
        ("sentiment/mention_scores", {MARKETING_MIX}, "open_ticket"),
        ("sources/answers", {MARKETING_MIX, SENTIMENT}, "open_ticket"),
    ],
)
def test_a_drift_refits_the_model_that_can_learn_from_it(dataset: str, refittable: set[str], action: str) -> None:
    assert chosen(frozenset(refittable), kind="drift", subject_kind="dataset", subject=dataset)[0] == action


def test_an_unmeasured_share_is_called_unknown() -> None:
    _, arguments = chosen()
    assert "its share is unknown" in arguments["text"]
    _, measured = chosen(contribution=-0.2, low=-0.3, high=-0.1)
    assert "-0.2 (90 % interval -0.3 to -0.1)" in measured["text"]
