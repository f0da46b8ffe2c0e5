"""`liftos events`: what was given up is told with what to do, and is answered again when asked for."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from liftos_pipelines.events_cli import events_app
from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.sensors.reaction_runs import in_words, owed
from liftos_pipelines.spine.database import ATTEMPTS, parse_payload

CAMPAIGN = '{"campaign_id": "c1", "name": "Spring", "start": "2025-01-01"}'


@pytest.fixture
def acme(home: Path) -> Path:
    folder = home / "clients" / "acme"
    folder.mkdir()
    (folder / "client.yaml").write_text("client: acme\n")
    return home


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(events_app, list(arguments))
    assert done.exit_code == code, done.output
    return done.output


def test_an_event_goes_from_raised_to_given_up_to_answered_again(acme: Path) -> None:
    assert "stands at 1" in run("raise", "acme", "campaign_started", CAMPAIGN)
    assert "campaign_started" in run("list", "acme")
    assert run("list", "acme", "--type", "trust_degraded") == ""
    assert "memory/patterns" in run("backlog", "acme")
    assert "nothing was given up" in run("dead")
    spine, now = open_spine(), datetime.now(UTC)
    (event,) = spine.events("acme")
    for _ in range(ATTEMPTS):
        spine.note_failure([event.event_id], "memory/patterns", "the disk is full", now=now)
    told = run("dead", "acme", code=1)
    assert "the disk is full" in told
    assert f"liftos events retry acme --event {event.event_id[:12]}" in told
    assert "1 dead letter(s) of acme are back" in run("retry", "acme", "--event", event.event_id[:12])
    run("dead", "acme")
    spine.mark_handled(event.event_id, "memory/patterns")
    assert "1 answer(s)" in run("replay", "acme", "--from", event.event_id[:6], "--reaction", "memory/patterns")
    assert not spine.is_handled(event.event_id, "memory/patterns")


def test_what_cannot_be_asked_for_is_refused_with_the_way_to_ask(acme: Path) -> None:
    for arguments, said in (
        (["replay", "acme"], "exactly one of"),
        (["replay", "acme", "--after", "0", "--reaction", "causal/nothing"], "reactions: causal/impact"),
        (["retry", "acme", "--event", "zz"], "no event whose id begins"),
        (["retry", "../x"], "client"),
        (["raise", "acme", "campaign_started", CAMPAIGN.replace("name", "nome")], "nome|name"),
    ):
        done = CliRunner().invoke(events_app, arguments)
        assert done.exit_code == 1
        assert any(part in str(done.exception) for part in said.split("|"))


def test_an_event_is_listed_with_as_much_of_its_chain_as_a_trace_needs(acme: Path) -> None:
    spine, now = open_spine(), datetime.now(UTC)
    first = spine.raise_event(
        "acme", parse_payload("campaign_started", CAMPAIGN), occurred_at=now, correlation_id="sentiment_drop-2025-09-14"
    )
    second = spine.raise_event("acme", parse_payload("campaign_started", CAMPAIGN.replace("c1", "c2")), occurred_at=now)
    told = run("list", "acme")
    assert f"{first.event_id[:12]} [sentiment_drop-2025-09-14]" in told
    assert f"[{second.event_id[:12]}]" in told


def test_what_is_still_owed_after_a_run_is_said_by_reaction_and_dead_letters_apart(acme: Path) -> None:
    spine, now = open_spine(), datetime.now(UTC)
    assert in_words(owed(spine, "acme"), reactor=False) == ""
    for campaign in ("c1", "c2"):
        payload = parse_payload("campaign_started", CAMPAIGN.replace("c1", campaign))
        event = spine.raise_event("acme", payload, occurred_at=now)
    for _ in range(ATTEMPTS):
        spine.note_failure([event.event_id], "memory/patterns", "x", now=now)
    # A drift of the marketing mix is its own reaction's to answer, and nobody else's.
    drift = (
        '{"dataset": "causal/mmm_posterior", "column": "o", "as_of": "2025-01-01", "test": "ks", "statistic": 1, '
        '"p_value_adjusted": null}'
    )
    spine.raise_event("acme", parse_payload("drift_detected", drift), occurred_at=now)
    assert owed(spine, "acme") == {"memory/patterns": 1, "causal/champion": 1}
    assert "`liftos up` answers them" in in_words(owed(spine, "acme"), reactor=False)
    assert "the reactor is at them" in in_words(owed(spine, "acme"), reactor=True)
