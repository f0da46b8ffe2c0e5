"""Consent is to one byte-exact action, by as many distinct people as it wants, and is used once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from liftos_pipelines.spine.approvals import (
    Approval,
    ApprovalClosed,
    ApprovalForSomethingElse,
    ApprovalNotFound,
    Sealed,
    VoterRefused,
)
from liftos_pipelines.spine.database import Spine

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ACTION = Sealed(
    client="acme", agent_id="bidder", agent_version="3", tool="publish_ad", arguments={"amount": 10.5, "text": "Zürich"},
    subject="campaign c1", policy_version="f" * 64,
)  # fmt: skip


def ask(spine: Spine, sealed: Sealed = ACTION, name: str = "d1", **wanted: Any) -> Approval:
    return spine.transaction(lambda connection: spine.ask_within(connection, sealed, action_id=name, now=NOW, **wanted))


def vote(
    spine: Spine, approval: Approval, who: str, *, given: bool = True, now: datetime = NOW, **more: Any
) -> Approval:
    return spine.decide_approval("acme", approval.approval_id, given=given, approver=who, reason="ok", now=now, **more)


def use(spine: Spine, approval: Approval, sealed: Sealed = ACTION, by: str = "d1", now: datetime = NOW) -> Approval:
    return spine.transaction(
        lambda connection: spine.consume_within(connection, sealed, approval.approval_id, decision_id=by, now=now)
    )


CHANGES: list[tuple[str, Any]] = [
    ("arguments", {"amount": 10.500001, "text": "Zürich"}),
    ("arguments", {"amount": 10.5, "text": "Zürich "}),
    ("arguments", {"amount": 10.5, "text": "Zu\u0308rich"}),
    ("arguments", {"amount": "10.5", "text": "Zürich"}),
    ("arguments", {"amount": 10.5, "text": "Zürich", "dry_run": False}),
    ("arguments", {"amount": 10.5}),
    ("policy_version", "f" * 63 + "e"),
    ("agent_version", "4"),
    ("agent_id", "Bidder"),
    ("tool", "publish_ads"),
    ("subject", "campaign c2"),
    ("subject", None),
]


@pytest.mark.parametrize(("field", "value"), CHANGES)
def test_one_changed_byte_is_another_action(spine: Spine, field: str, value: Any) -> None:
    approval = ask(spine)
    vote(spine, approval, "ann")
    with pytest.raises(ApprovalForSomethingElse, match=field.removesuffix("_id").replace("_", " ")):
        use(spine, approval, replace(ACTION, **{field: value}))
    # The order of keys and the spelling of a number are no change; the action itself runs.
    same = replace(ACTION, arguments={"text": "Zürich", "amount": 10.50})
    assert use(spine, approval, same).status == "used"


def test_consent_is_used_by_one_decision_however_many_ask_at_once(spine: Spine) -> None:
    approval = ask(spine)
    with pytest.raises(ApprovalClosed, match="is open"):
        use(spine, approval)
    vote(spine, approval, "ann")

    def attempt(number: int) -> bool:
        opened = Spine(spine.url)
        try:
            use(opened, approval, by=f"d{number}")
        except ApprovalClosed:
            return False
        finally:
            opened.engine.dispose()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1
    used = spine.approval("acme", approval.approval_id)
    assert used is not None
    assert used.status == "used"
    # The decision that used it may ask again, as after a lost answer; another one asks people anew.
    assert use(spine, approval, by=str(used.consumed_by)) == used
    assert ask(spine, name="another").approval_id != approval.approval_id
    with pytest.raises(ApprovalNotFound):
        spine.transaction(
            lambda c: spine.consume_within(
                c, replace(ACTION, client="globex"), approval.approval_id, decision_id="d", now=NOW
            )
        )


def test_a_quorum_is_of_distinct_people_and_one_denial_closes_it(spine: Spine) -> None:
    approval = ask(spine, quorum=2)
    assert vote(spine, approval, "Ann Lee").status == "open"
    for same in ("Ann Lee", "ann  lee ", "ANN LEE"):
        with pytest.raises(VoterRefused, match="already voted"):
            vote(spine, approval, same)
    with pytest.raises(ApprovalClosed):
        use(spine, approval)
    assert spine.events("acme") == []
    assert vote(spine, approval, "bob").status == "given"
    assert [event.type for event in spine.events("acme")] == ["approval_given"]
    assert [each.name for each in spine.votes(approval.approval_id)] == ["Ann Lee", "bob"]
    assert [entry.kind for entry in spine.ledger("acme")] == ["approval_vote", "approval_vote", "approval_given"]

    other = ask(spine, replace(ACTION, subject="campaign c9"), quorum=3)
    vote(spine, other, "ann")
    assert vote(spine, other, "bob", given=False).status == "denied"
    with pytest.raises(ApprovalClosed, match="already denied"):
        vote(spine, other, "cem")
    assert spine.verify_ledger("acme").verified


def test_only_those_who_may_decide_do_and_nobody_on_his_own_request(spine: Spine) -> None:
    approval = ask(spine, approvers=["ann", "*@acme.example", "role:finance"], barred=["Ann", "growth"])
    for who in ("ann", "growth", "bob"):
        with pytest.raises(VoterRefused):
            vote(spine, approval, who)
    with pytest.raises(VoterRefused, match="name of the person"):
        vote(spine, approval, "  ")
    assert vote(spine, approval, "bob", roles=["Finance"]).status == "given"
    second = ask(spine, replace(ACTION, subject="s"), approvers=["*@acme.example"])
    assert vote(spine, second, "Cem@acme.example").status == "given"


def test_consent_ends_with_its_time(spine: Spine) -> None:
    approval = ask(spine, lifetime=timedelta(hours=1))
    late = NOW + timedelta(hours=1)
    vote(spine, approval, "ann", now=late)
    with pytest.raises(ApprovalClosed, match="expired"):
        use(spine, approval, now=late)
    other = ask(spine, replace(ACTION, subject="s"), lifetime=timedelta(hours=1))
    with pytest.raises(ApprovalClosed, match="expired"):
        vote(spine, other, "ann", now=late + timedelta(seconds=1))


def test_a_request_of_before_is_given_and_used_once_under_its_own_seal(spine: Spine) -> None:
    approval = spine.request_approval(
        "acme", action_id="a1", agent_id="g", action="shift_budget", arguments={"amount": 5}, policy_version="v1",
        requested_at=NOW,
    )  # fmt: skip
    vote(spine, approval, "ann")
    with pytest.raises(ApprovalForSomethingElse):
        spine.consume_approval("acme", approval.approval_id, seal="0" * 64, decision_id="a1", now=NOW)
    used = spine.consume_approval("acme", approval.approval_id, seal=approval.digest, decision_id="a1", now=NOW)
    assert (used.status, used.consumed_by) == ("used", "a1")
    with pytest.raises(ApprovalClosed, match="used by decision a1"):
        spine.consume_approval("acme", approval.approval_id, seal=approval.digest, decision_id="a2", now=NOW)


def test_a_database_of_before_keeps_its_requests(tmp_path: Any) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine

    import liftos_pipelines.spine

    file = tmp_path / "old.db"
    engine = create_engine(f"sqlite:///{file}")
    config = Config()
    config.set_main_option("script_location", f"{liftos_pipelines.spine.__path__[0]}/migrations")
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.exec_driver_sql(
            "INSERT INTO approvals (approval_id, client, action_id, agent_id, action, arguments, policy_version, digest,"
            " status, requested_at, expires_at) VALUES ('x', 'acme', 'a1', 'g', 'shift_budget', '{\"amount\":1}', 'v',"
            " 'seal', 'open', '2026-03-01 00:00:00.000000', '2026-03-08 00:00:00.000000')"
        )
        connection.commit()
    engine.dispose()
    (found,) = Spine(f"sqlite:///{file}").approvals("acme", "open")
    assert (found.approval_id, found.quorum, found.approvers, found.consumed_at) == ("x", 1, (), None)
    decided = vote(Spine(f"sqlite:///{file}"), found, "ann")
    assert decided.status == "given"
