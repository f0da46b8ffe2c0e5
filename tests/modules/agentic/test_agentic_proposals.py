"""An impact gets the response its evidence warrants, by an agent that may, with amounts from the plan only."""

from __future__ import annotations

from datetime import date

import polars as pl
from agentic_frames import agents

from liftos_pipelines.modules.agentic.proposals import Impact, Proposal, Situation, choose_agent, propose
from liftos_pipelines.modules.agentic.registry import RESPONDER, with_responder
from liftos_pipelines.tables import table

CAMPAIGNS = pl.DataFrame(
    [{"campaign_id": "c1", "name": "Spring", "channel": "video", "start": date(2025, 1, 1), "end": date(2025, 6, 1)}],
    schema_overrides=table("sources/campaigns").columns,
)


def impact(probability: float) -> Impact:
    return Impact(
        event_id="e1",
        campaign_id="c1",
        window_start=date(2025, 3, 1),
        window_end=date(2025, 3, 21),
        effect=-1200.0,
        effect_low=-1900.0,
        effect_high=-500.0,
        revenue_at_risk=24000.0,
        probability_harmful=probability,
    )


def plan(video: float, search: float) -> pl.DataFrame:
    rows = [("video", 1000.0, video), ("search", 1000.0, search), ("radio", 1000.0, 1000.0)]
    contract = table("causal/budget_plan")
    full = [
        {c: None for c in contract.columns} | dict(zip(("channel", "spend_current", "spend_planned"), row, strict=True))
        for row in rows
    ]
    return pl.DataFrame(full, schema=contract.columns)


def answers(
    probability: float, budget: pl.DataFrame | None = None, known: pl.DataFrame | None = None
) -> list[Proposal]:
    return propose(impact(probability), situation(budget, known))


def situation(
    budget: pl.DataFrame | None = None, known: pl.DataFrame | None = None, stopped: dict[str, str] | None = None
) -> Situation:
    return Situation.of(
        agents=with_responder(agents() if known is None else known, "0.1.0"),
        campaigns=CAMPAIGNS,
        plan=table("causal/budget_plan").empty() if budget is None else budget,
        currency="EUR",
        stopped=stopped,
    )


def test_weak_evidence_gets_a_message_strong_evidence_a_ticket() -> None:
    assert [p.action for p in answers(0.5)] == ["notify"]
    assert [p.action for p in answers(0.97)] == ["open_ticket"]
    assert "24,000" in answers(0.97)[0].context


def test_money_moves_only_as_far_as_the_plan_takes_it_off_the_campaigns_channel() -> None:
    (ticket, shift) = answers(0.97, plan(video=700, search=1200))
    assert (ticket.action, shift.action) == ("open_ticket", "shift_budget")
    assert {k: shift.arguments[k] for k in ("from_channel", "to_channel", "amount")} == {
        "from_channel": "video", "to_channel": "search", "amount": 200.0,
    }  # fmt: skip
    assert shift.predicted_effect is None
    assert [p.action for p in answers(0.97, plan(video=1300, search=700))] == ["open_ticket"]
    assert [p.action for p in answers(0.6, plan(video=700, search=1300))] == ["notify"]


def test_the_clients_own_live_agent_is_asked_first_and_one_without_the_budget_is_not() -> None:
    rich = {"agent_id": "rich", "capabilities": ["shift_budget"], "budget": 500.0}
    poor = {"agent_id": "poor", "capabilities": ["shift_budget"], "budget": 50.0}
    shadow = {"agent_id": "a-shadow", "capabilities": ["shift_budget"], "stage": "shadow"}
    chosen = answers(0.97, plan(video=800, search=1200), agents(poor, shadow, rich))
    assert [p.agent.agent_id for p in chosen] == [RESPONDER, "rich"]
    alone = answers(0.97, plan(video=800, search=1200), agents(poor, shadow))
    assert [p.agent.agent_id for p in alone] == [RESPONDER, RESPONDER]


def test_the_same_event_gives_the_same_action_ids() -> None:
    assert [p.action_id for p in answers(0.97)] == [p.action_id for p in answers(0.97)]
    assert len({p.action_id for p in answers(0.97, plan(video=800, search=1200))}) == 2


def test_what_was_not_proposed_is_told_with_the_reason() -> None:
    (ticket,) = answers(0.97, plan(video=1300, search=700))
    assert dict(ticket.alternatives)["shift_budget"] == "the budget plan takes no money off channel video"
    (message,) = answers(0.5)
    assert set(dict(message.alternatives)) == {"open_ticket", "shift_budget"}
    assert message.confidence == 0.5


def test_a_stopped_agent_is_passed_over_while_another_may_decide() -> None:
    rich = agents({"agent_id": "rich", "capabilities": ["shift_budget"]})
    assert choose_agent(situation(known=rich), "shift_budget").agent_id == "rich"
    assert choose_agent(situation(known=rich, stopped={"rich": "x"}), "shift_budget").agent_id == RESPONDER
    both = {"rich": "x", RESPONDER: "y"}
    assert choose_agent(situation(known=rich, stopped=both), "shift_budget").agent_id == "rich"
