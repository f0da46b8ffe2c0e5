"""Why an action was taken: every stage in its place, and what is missing said to be unknown."""

from __future__ import annotations

from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from liftos_pipelines.explain_cli import explained, in_words
from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.spine.accountability import UnknownId, accountable, decision_of, read_action, read_records
from liftos_pipelines.spine.database import Event, Spine
from liftos_pipelines.spine.decisions import Input
from liftos_pipelines.spine.explanation import Expected, Explanation, explain, explanation_markdown, explanation_object
from liftos_pipelines.spine.explanation_page import explanation_page
from liftos_pipelines.spine.payloads import SentimentDropDetected

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
STAGES = ["event", "evidence", "memory", "decision", "policy", "approval", "holding", "execution", "outcome", "proof"]


def drop(spine: Spine) -> Event:
    payload = SentimentDropDetected(
        alert_id="a1", campaign_id="c1", detected_at=NOW, window_start=date(2026, 2, 1), window_end=date(2026, 2, 14),
        severity=0.5, effect=-0.3, n=200,
    )  # fmt: skip
    return spine.raise_event("acme", payload, occurred_at=NOW)


def decide(spine: Spine, cause: Event | None, action_id: str, verdict: str = "allow", **grounds: object) -> None:
    body = {
        "action_id": action_id,
        "event_id": cause.event_id if cause else None,
        "agent_id": "responder",
        "action": "open_ticket",
        "arguments": '{"title":"<b>late</b>"}',
        "decision": verdict,
        "policy": "small",
        "policy_version": "abc",
        "reason": "small enough",
    } | accountable(**grounds)  # type: ignore[arg-type]
    spine.append_ledger("acme", "agent_decision", "responder", body, idempotency_key=f"{action_id}:decision")


def why(spine: Spine, wanted: str, **options: object) -> Explanation:
    decision = decision_of(spine, "acme", wanted)
    event = spine.event(decision.event_id or "")
    if event is None:
        records = read_action(spine, "acme", decision)
    else:
        records = read_records(spine, "acme", event.correlation_id)
    return explain(decision, records, audit=spine.verify_ledger("acme"), **options)  # type: ignore[arg-type]


def status(found: Explanation) -> dict[str, str]:
    return {stage.name: stage.status for stage in found.stages}


def test_a_whole_chain_is_told_stage_by_stage_and_an_outcome_that_is_not_due_yet_is_waited_for(spine: Spine) -> None:
    decide(
        spine, drop(spine), "action-0001", inputs=[Input(table="sources/agents", version=3)], reasoning="harm is likely",
        evidence={"effect": -0.3, "memories": [{"memory_id": "m1", "likeness": 0.5}]}, confidence=0.9, alternatives=[],
    )  # fmt: skip
    done = {"action_id": "action-0001", "status": "executed", "outcome": "written"}
    spine.append_ledger("acme", "agent_action", "responder", done, idempotency_key="done")
    due = Expected(what="effect of open_ticket", due_at=datetime(2026, 12, 20, tzinfo=UTC), status="open")
    found = why(spine, "last", expected=[due])
    assert [stage.name for stage in found.stages] == STAGES
    assert status(found) == {
        "event": "ok", "evidence": "ok", "memory": "ok", "decision": "ok", "policy": "ok", "approval": "none",
        "holding": "none", "execution": "ok", "outcome": "waiting", "proof": "unknown",
    }  # fmt: skip
    words = "\n".join(line for stage in found.stages for line in stage.lines)
    for said in (
        "sentiment_drop_detected",
        "sources/agents (version 3)",
        "memory m1",
        "no outcome yet: due 2026-12-20",
    ):
        assert said in words
    assert "not covered by a signed checkpoint" in words
    assert not found.complete
    measured = Expected(what="effect", due_at=None, status="known", outcome=-12.5, std_error=2.0, measured_by="causal")
    assert status(why(spine, "action-0001", expected=[measured]))["outcome"] == "ok"
    nothing = Expected(what="open_ticket", due_at=None, status="none", detail="it changes nothing")
    assert status(why(spine, "action-0001", expected=[nothing]))["outcome"] == "none"
    never = Expected(what="effect", due_at=NOW, status="unknown", detail="no data came")
    assert "no data came" in why(spine, "action-0001", expected=[never]).stages[8].lines[0]
    late = Expected(what="effect", due_at=NOW, status="overdue")
    assert "overdue" in why(spine, "action-0001", expected=[late]).stages[8].lines[0]


def test_what_was_not_recorded_is_unknown_in_its_place(spine: Spine) -> None:
    decide(spine, None, "action-0002")
    found = why(spine, "action-0002")
    assert status(found) == {
        "event": "unknown", "evidence": "unknown", "memory": "unknown", "decision": "unknown", "policy": "ok",
        "approval": "none", "holding": "none", "execution": "waiting", "outcome": "unknown", "proof": "unknown",
    }  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), [(True, "ok"), (False, "denied"), (None, "waiting")])
def test_an_approval_is_told_as_it_stands(spine: Spine, given: bool | None, expected: str) -> None:
    decide(spine, drop(spine), "action-0003", "needs_approval")
    asked = spine.request_approval(
        "acme", action_id="action-0003", agent_id="responder", action="open_ticket", arguments={}, policy_version="abc",
        requested_at=NOW,
    )  # fmt: skip
    if given is not None:
        spine.decide_approval("acme", asked.approval_id, given=given, approver="ann", reason="looks right", now=NOW)
    found = why(spine, asked.approval_id[:12])
    assert (found.action_id, status(found)["approval"]) == ("action-0003", expected)
    if given is None:
        assert status(found)["execution"] == "waiting"
    else:
        assert "ann" in found.stages[5].short


def test_a_refused_call_was_not_done(spine: Spine) -> None:
    decide(spine, drop(spine), "action-0004", "deny")
    assert {status(why(spine, "last"))[name] for name in ("policy", "execution")} == {"denied"}
    body = {"run_id": "r", "step": 1, "policy": "pii", "reason": "personal data"}
    spine.append_ledger("acme", "policy_violation", "a", body, idempotency_key="v")
    refused = spine.ledger("acme")[-1]
    found = why(spine, refused.entry_hash[:16])
    assert (status(found)["policy"], status(found)["execution"], status(found)["outcome"]) == (
        "denied",
        "denied",
        "none",
    )


def test_a_tampered_ledger_is_told_where_the_proof_stands(spine: Spine, unguarded: object) -> None:
    decide(spine, drop(spine), "action-0005")
    with unguarded(spine) as connection:  # type: ignore[operator]
        connection.exec_driver_sql("UPDATE ledger SET recorded_at = '2020-01-01'")
    found = why(spine, "action-0005")
    assert status(found)["proof"] == "failed"


def test_an_id_that_nobody_has_and_one_that_is_too_short_are_named(spine: Spine) -> None:
    with pytest.raises(UnknownId, match="no decision in its ledger"):
        decision_of(spine, "acme", "last")
    decide(spine, None, "action-0006")
    decide(spine, None, "action-0007")
    with pytest.raises(UnknownId, match="2 decisions"):
        decision_of(spine, "acme", "action-00")
    for wanted in ("action", "nothing-like-it"):
        with pytest.raises(UnknownId, match="action-0007"):
            decision_of(spine, "acme", wanted)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("href", "src"):
                self.targets.append(str(value))


def test_the_page_is_one_file_that_fetches_nothing_and_escapes_what_agents_say(home: Path, tmp_path: Path) -> None:
    (home / "clients" / "acme").mkdir()
    (home / "clients" / "acme" / "client.yaml").write_text("client: acme\n")
    spine = open_spine()
    decide(spine, drop(spine), "action-0008", reasoning="<script>alert(1)</script> | harm", confidence=0.9)
    found = explained("acme", "last")
    assert status(found)["proof"] == "ok"  # signed as it was written
    page = _Page()
    content = explanation_page(found)
    page.feed(content)
    assert "script" not in page.tags
    assert {"svg", "main"} <= set(page.tags)
    assert page.targets == [f"#{name}" for name in STAGES]
    assert page.ids == STAGES
    assert "http" not in content.replace('xmlns="http://www.w3.org/2000/svg"', "")
    told = explanation_markdown(found)
    assert told.count("\n| ") == len(STAGES) + 2
    assert "<script" not in told
    assert explanation_object(found)["stages"][0]["status"] == "ok"
    from liftos_pipelines.cli import app

    file = tmp_path / "why.html"
    result = CliRunner().invoke(app, ["explain", "acme", "action-0008", "--html", str(file)])
    assert result.exit_code == 0, result.output
    assert "What policy said" in result.output
    assert file.read_text().startswith("<!doctype html>")


def test_no_word_of_an_agent_steers_what_shows_it_and_none_of_another_client_is_told(home: Path) -> None:
    for client in ("acme", "beta"):
        (home / "clients" / client).mkdir()
        (home / "clients" / client / "client.yaml").write_text(f"client: {client}\n")
    spine = open_spine()
    evil = "<script>x</script>\x1b[2J\x00\u202e | [x](javascript:x)\n# h"
    decide(spine, drop(spine), "action-0009", reasoning=evil, evidence={"memories": ["no memory", 5, None]})
    decide(spine, drop(spine), "action-0009-b")
    found = explained("acme", "action-0009")  # given whole, though another begins with it
    assert found.action_id == "action-0009"
    page, markdown = explanation_page(found), explanation_markdown(found)
    for text in (page, markdown, in_words(found).plain):
        assert not {"\x1b", "\x00", "\u202e"} & set(text)
    assert "<script" not in page + markdown
    assert "[x](javascript" not in markdown.replace("\\[", "")
    assert "\n# h" not in markdown
    for wanted in ("action-0009", spine.ledger("acme")[-1].entry_hash):
        with pytest.raises(UnknownId):
            explained("beta", wanted)
