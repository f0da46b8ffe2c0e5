"""Stages of agent versions: which moves there are, where a version stands, and when a suspension counted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from agentic_frames import START, agents, moves_of, outcomes

from liftos_pipelines.modules.agentic.ledger_state import LedgerState
from liftos_pipelines.modules.agentic.lifecycle import (
    ALLOWED,
    STAGES,
    TRANSITION,
    ForbiddenTransition,
    check_move,
    with_stages,
)
from liftos_pipelines.modules.agentic.registry import registry


def move(to: str, version: str = "2", earlier: str = "shadow") -> dict[str, object]:
    return {
        "agent_id": "a", "version": version, "from": earlier, "to": to, "by": "eve", "reason": "r", "evidence": {},
    }  # fmt: skip


def test_a_version_reaches_live_only_by_shadow_and_canary_and_a_refusal_names_the_ways() -> None:
    for earlier, later in (("draft", "shadow"), ("shadow", "canary"), ("canary", "live"), ("live", "shadow")):
        check_move("a", "2", earlier, later)
    with pytest.raises(
        ForbiddenTransition, match=r"a 2 is shadow; it cannot become live, .*canary, suspended, retired"
    ):
        check_move("a", "2", "shadow", "live")
    with pytest.raises(ForbiddenTransition, match="retired for good"):
        check_move("a", "2", "retired", "shadow")
    with pytest.raises(ForbiddenTransition, match='"lvie" is no stage; stages: draft'):
        check_move("a", "2", "canary", "lvie")
    assert set(ALLOWED) == set(STAGES)
    assert all("live" not in ways for stage, ways in ALLOWED.items() if stage != "canary")


def test_the_ledger_overlays_the_registry_for_its_version_and_a_new_version_begins_anew() -> None:
    moves = moves_of((move("canary"), START), (move("suspended", earlier="canary"), START + timedelta(days=1)))
    assert with_stages(agents({"agent_id": "a", "version": "2", "stage": "shadow"}), moves)["stage"].to_list() == [
        "suspended"
    ]
    assert with_stages(agents({"agent_id": "a", "version": "3", "stage": "shadow"}), moves)["stage"].to_list() == [
        "shadow"
    ]
    row = registry(agents({"agent_id": "a", "version": "2", "stage": "shadow"}), outcomes(), moves=moves).row(
        0, named=True
    )
    assert (row["stage"], row["registered_stage"], row["stage_by"]) == ("suspended", "shadow", "eve")


def test_a_suspension_stops_from_when_it_was_written_until_it_was_ended_and_not_another_version() -> None:
    state = LedgerState()
    state.fold(0, TRANSITION, move("suspended"), START)
    state.fold(1, TRANSITION, move("shadow", earlier="suspended"), START + timedelta(days=2))
    (stop,) = state.stops_of({"a": "2"})["a"]
    assert [stop.holds(START + timedelta(days=day)) for day in (-1, 1, 3)] == [False, True, False]
    assert "a" not in state.stops_of({"a": "3"})
    assert "a" not in state.stops_of()


def test_the_registry_measures_criteria_only_where_steps_record_them_and_warns_of_a_strange_type() -> None:
    known = agents({"agent_id": "a", "type": "budget_allocator"}, {"agent_id": "b", "type": "budget_alocator"})
    rows = {row["agent_id"]: row for row in registry(known, outcomes(a=[True, True, False])).iter_rows(named=True)}
    assert (rows["a"]["criteria_met"], rows["a"]["criteria_measured"], rows["a"]["criteria_named"]) == (2, 2, 3)
    assert "optimization_improvement >= 0.15: unknown" in rows["a"]["criteria"]
    assert rows["a"]["warning"] is None
    assert 'closest: "budget_allocator"' in rows["b"]["warning"]
    assert rows["b"]["readiness"] is None
