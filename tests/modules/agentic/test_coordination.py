"""Which actions of several agents repeat, oppose or overlap one another, and who goes first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from liftos_pipelines.modules.agentic.coordination import (
    Intent,
    Standing,
    coordinate,
    relation,
    targets_of,
)

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


def intent(
    name: str, tool: str, arguments: dict[str, Any], *, agent: str = "a", rank: int = 0, after: int = 0,
    incident: str | None = "i",
) -> Intent:  # fmt: skip
    return Intent(
        decision_id=name, agent_id=agent, run_id="r", tool=tool, arguments=arguments, incident=incident, rank=rank,
        at=START + timedelta(seconds=after),
    )  # fmt: skip


def outcome(new: Intent, *others: tuple[Intent, str]) -> str:
    standing = [
        Standing(intent=other, targets=frozenset(targets_of(other.tool, other.arguments)), status=status)  # type: ignore[arg-type]
        for other, status in others
    ]
    return coordinate(new, targets_of(new.tool, new.arguments), standing).outcome


@pytest.mark.parametrize(
    ("tool", "arguments", "targets"),
    [
        ("adjust_bid", {"campaign_id": "C1", "amount": 3}, ("campaign:c1",)),
        ("shift_budget", {"from_channel": "tv", "to_channel": "search"}, ("channel:search", "channel:tv")),
        ("rollback", {"kind": "prompt", "name": "ad"}, ("prompt:ad",)),
        ("promote_prompt", {"name": "ad"}, ("prompt:ad",)),
        ("move_agent", {"agent_id": "bidder", "to_stage": "canary"}, ("agent:bidder",)),
        ("refit_model", {"dataset": "causal/mmm"}, ("dataset:causal/mmm",)),
        ("notify", {"channel": "growth", "text": "t"}, ()),
        ("read_metrics", {"n": 3}, ()),
    ],
)
def test_an_action_names_what_it_changes(tool: str, arguments: dict[str, Any], targets: tuple[str, ...]) -> None:
    assert targets_of(tool, arguments) == targets


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("raise_budget", {"channel": "tv", "by": 5}), ("lower_budget", {"channel": "tv", "by": 5}), "opposed"),
        (("adjust_budget", {"channel": "tv", "delta": 5}), ("adjust_budget", {"channel": "tv", "delta": -5}), "opposed"),
        (("adjust_budget", {"channel": "tv", "delta": 5}), ("adjust_budget", {"channel": "tv", "delta": 7}), "overlap"),
        (("shift_budget", {"from_channel": "tv", "to_channel": "search"}),
         ("shift_budget", {"from_channel": "search", "to_channel": "tv"}), "opposed"),
        (("shift_budget", {"from_channel": "tv", "to_channel": "search"}),
         ("shift_budget", {"from_channel": "tv", "to_channel": "radio"}), "overlap"),
        (("rollback", {"kind": "prompt", "name": "ad"}), ("promote_prompt", {"name": "ad"}), "opposed"),
        (("pause_ad", {"campaign": "c"}), ("start_ad", {"campaign": "c"}), "opposed"),
        (("set_status", {"campaign": "c", "status": "paused"}), ("set_status", {"campaign": "c", "status": "active"}), "opposed"),
        (("pause_ad", {"campaign": "c"}), ("pause_ad", {"campaign": "c"}), "duplicate"),
        (("pause_ad", {"campaign": "c"}), ("pause_ad", {"campaign": "d"}), "none"),
        (("adjust_bid", {"campaign": "c", "amount": 1}), ("edit_page", {"campaign": "c"}), "overlap"),
    ],
)  # fmt: skip
def test_two_actions_on_one_target_are_told_apart(one: Any, other: Any, expected: str) -> None:
    first, second = intent("1", *one), intent("2", *other)
    shared = set(targets_of(*one)) & set(targets_of(*other))
    assert relation(first, second, shared) == expected
    assert relation(second, first, shared) == expected


RAISE, LOWER = ("raise_budget", {"channel": "tv", "amount": 5}), ("lower_budget", {"channel": "tv", "amount": 5})


def test_a_duplicate_is_refused_while_the_first_runs_and_after_it_for_the_same_incident() -> None:
    again = intent("2", *RAISE, agent="b")
    assert outcome(again) == "granted"
    for status in ("held", "queued", "done"):
        assert outcome(again, (intent("1", *RAISE), status)) == "refused_duplicate"
    assert outcome(intent("2", *RAISE, incident="j"), (intent("1", *RAISE), "done")) == "granted"
    assert outcome(intent("2", *RAISE, incident=None), (intent("1", *RAISE, incident=None), "done")) == "granted"


def test_of_opposed_actions_the_higher_rank_stands_then_the_earlier() -> None:
    assert outcome(intent("2", *LOWER, agent="b"), (intent("1", *RAISE), "held")) == "refused_conflict"
    assert outcome(intent("2", *LOWER, agent="b"), (intent("1", *RAISE), "done")) == "refused_conflict"
    stronger = intent("2", *LOWER, agent="b", rank=1)
    assert outcome(stronger, (intent("1", *RAISE), "held")) == "ordered"
    assert outcome(stronger, (intent("1", *RAISE), "done")) == "granted"
    # Who did it may take it back; and what another incident did is no conflict once it is over.
    assert outcome(intent("2", *LOWER), (intent("1", *RAISE), "done")) == "granted"
    assert outcome(intent("2", *LOWER, agent="b", incident="j"), (intent("1", *RAISE), "done")) == "granted"


def test_overlapping_actions_run_one_after_another_by_rank_then_by_who_asked_first() -> None:
    bid = ("adjust_bid", {"channel": "tv", "amount": 3})
    assert outcome(intent("2", *bid, agent="b"), (intent("1", *RAISE), "held")) == "ordered"
    assert outcome(intent("2", *bid, agent="b"), (intent("1", *RAISE), "done")) == "granted"
    waiting = (intent("1", *RAISE, after=5), "queued")
    assert outcome(intent("2", *bid, agent="b", after=9), waiting) == "ordered"
    assert outcome(intent("2", *bid, agent="b", after=1), waiting) == "granted"
    assert outcome(intent("2", *bid, agent="b", after=9, rank=1), waiting) == "granted"
