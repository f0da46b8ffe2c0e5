"""Actions: seen beforehand without effect, done once however often they are ordered, taken back where that is possible."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from liftos_pipelines.resources.actions import HANDLERS, ActionFailed, Means, Order, Outbox, execute, foresee, take_back

NOW = datetime(2025, 9, 20, tzinfo=UTC)
ARGUMENTS: dict[str, dict[str, Any]] = {
    "notify": {"text": "look"},
    "open_ticket": {"title": "broken", "text": "mend it"},
    "shift_budget": {"from_channel": "tv", "to_channel": "search", "amount": 120.5, "currency": "EUR"},
    "rollback": {"kind": "prompt", "name": "answer", "from_version": "2", "to_version": "1"},
    "promote": {"kind": "prompt", "name": "answer", "from_version": "1", "to_version": "2"},
    "move_agent": {"agent_id": "pacer", "version": "2", "from_stage": "canary", "to_stage": "shadow"},
    "refit_model": {"dataset": "causal/mmm_posterior"},
    "reingest_source": {"dataset": "sources/mentions"},
}


class Aliases:
    """Which version of each prompt serves, kept in memory: a mover as small as one can be."""

    def __init__(self, **serving: str) -> None:
        self.now, self.moves = serving, 0

    def serving(self, name: str) -> str | None:
        return self.now.get(name)

    def move(self, name: str, to_version: str, *, by: str, reason: str) -> str:
        if to_version not in ("1", "2"):
            raise ValueError(f"there is no version {to_version}")
        self.moves += self.now[name] != to_version
        self.now[name] = to_version
        return f"version {to_version} serves, said {by}: {reason}"


class Lifecycle:
    """The stage of each agent's version, kept in memory."""

    def __init__(self, stage: str = "canary") -> None:
        self.now, self.moves = {("pacer", "2"): stage}, 0

    def stage(self, agent_id: str, version: str) -> str | None:
        return self.now.get((agent_id, version))

    def move(self, agent_id: str, version: str, to_stage: str, *, by: str, reason: str, evidence: Any) -> str:
        if to_stage == "retired":
            raise ValueError("a canary does not retire")
        self.now[(agent_id, version)], self.moves = to_stage, self.moves + 1
        return f"{agent_id} {version} is {to_stage}, said {by}: {reason}"


def means_of(folder: Path, **more: Any) -> Means:
    return Means(folder=folder, outbox=Outbox(folder), **({"stages": Lifecycle()} | more))


def order(action: str, **changed: Any) -> Order:
    return Order(
        client="acme",
        action_id="a1",
        agent_id="desk",
        action=action,
        arguments=ARGUMENTS.get(action, {}) | changed,
        ordered_at=NOW,
    )


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_every_handler_has_arguments_to_test() -> None:
    assert set(HANDLERS) == set(ARGUMENTS)


@pytest.mark.parametrize("action", sorted(ARGUMENTS))
def test_a_dry_run_says_what_would_happen_and_changes_nothing(action: str, tmp_path: Path) -> None:
    means = means_of(tmp_path, movers={"prompt": Aliases(answer="2")})
    said = foresee(order(action), means)
    assert said
    assert files(tmp_path) == {}
    assert means.movers["prompt"].serving("answer") == "2"


@pytest.mark.parametrize("action", sorted(ARGUMENTS))
def test_an_order_carried_out_twice_is_done_once(action: str, tmp_path: Path) -> None:
    execute(order(action), means_of(tmp_path))
    once = files(tmp_path)
    execute(order(action), means_of(tmp_path))
    assert files(tmp_path) == once


@pytest.mark.parametrize(
    ("action", "changed", "field"),
    [
        ("notify", {"text": ""}, "text"),
        ("shift_budget", {"amount": -5}, "amount"),
        ("shift_budget", {"amount": float("nan")}, "amount"),
        ("shift_budget", {"currency": "euro"}, "currency"),
        ("rollback", {"kind": "page"}, "kind"),
        ("refit_model", {"dataset": None}, "dataset"),
    ],
)
def test_arguments_that_are_none_are_named_before_anything_is_done(
    action: str, changed: dict[str, Any], field: str, tmp_path: Path
) -> None:
    means = means_of(tmp_path)
    for attempt in (foresee, execute, take_back):
        with pytest.raises(ActionFailed, match=f"{action}: {field}: "):
            attempt(order(action, **changed), means)
    assert files(tmp_path) == {}


def test_an_action_without_a_handler_cannot_be_executed(tmp_path: Path) -> None:
    with pytest.raises(ActionFailed, match="there is no handler for wire_money"):
        execute(order("wire_money"), means_of(tmp_path))


def test_what_serves_is_moved_once_and_moved_back(tmp_path: Path) -> None:
    aliases = Aliases(answer="2")
    means = means_of(tmp_path, movers={"prompt": aliases})
    for _ in range(2):
        execute(order("rollback"), means)
    assert (aliases.now, aliases.moves) == ({"answer": "1"}, 1)
    assert foresee(order("rollback"), means) == "nothing: version 1 of prompt answer serves already"
    take_back(order("rollback"), means)
    assert aliases.now == {"answer": "2"}
    assert files(tmp_path) == {}, "what is decided here needs no written order"


def test_a_version_that_changed_since_the_decision_is_left_alone(tmp_path: Path) -> None:
    aliases = Aliases(answer="3")
    means = means_of(tmp_path, movers={"prompt": aliases})
    for attempt in (execute, take_back):
        with pytest.raises(ActionFailed, match="serves version 3 by now"):
            attempt(order("rollback"), means)
    assert aliases.now == {"answer": "3"}


def test_a_version_that_is_none_is_named(tmp_path: Path) -> None:
    means = means_of(tmp_path, movers={"prompt": Aliases(answer="2")})
    with pytest.raises(ActionFailed, match="prompt answer: there is no version 9"):
        execute(order("rollback", to_version="9"), means)


def test_what_others_deploy_gets_a_written_order_and_a_message(tmp_path: Path) -> None:
    means = means_of(tmp_path, movers={"prompt": Aliases()})
    execute(order("rollback"), means)
    assert set(files(tmp_path)) == {"rollbacks/a1.json", "outbox.jsonl"}
    take_back(order("rollback"), means)
    back = json.loads((tmp_path / "rollbacks" / "a1-withdrawn.json").read_text())
    assert (back["from_version"], back["to_version"], back["reverses"]) == ("1", "2", "a1")


def test_a_shift_is_taken_back_by_the_opposite_shift(tmp_path: Path) -> None:
    means = means_of(tmp_path)
    execute(order("shift_budget"), means)
    for _ in range(2):
        take_back(order("shift_budget"), means)
    there, back = (json.loads((tmp_path / "plans" / name).read_text()) for name in ("a1.json", "a1-withdrawn.json"))
    assert (
        (there["from_channel"], there["to_channel"]) == (back["to_channel"], back["from_channel"]) == ("tv", "search")
    )
    assert there["amount"] == back["amount"]


def test_a_message_is_withdrawn_by_a_second_one_and_only_if_it_was_sent(tmp_path: Path) -> None:
    means = means_of(tmp_path)
    assert take_back(order("notify"), means) == "nothing: it was never sent"
    execute(order("notify"), means)
    for _ in range(2):
        take_back(order("notify"), means)
    lines = [json.loads(line) for line in (tmp_path / "outbox.jsonl").read_text().splitlines()]
    assert [line.get("withdraws") for line in lines] == [None, "a1"]


def test_a_remedy_cannot_be_taken_back_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(ActionFailed, match="refit_model cannot be taken back"):
        take_back(order("refit_model"), means_of(tmp_path))
    assert not HANDLERS["refit_model"].reversible


def test_an_agent_is_moved_once_and_back_and_not_from_a_stage_nobody_decided_on(tmp_path: Path) -> None:
    stages = Lifecycle()
    means = means_of(tmp_path, stages=stages)
    for _ in range(2):
        execute(order("move_agent"), means)
    assert (stages.stage("pacer", "2"), stages.moves) == ("shadow", 1)
    take_back(order("move_agent"), means)
    assert stages.stage("pacer", "2") == "canary"
    with pytest.raises(ActionFailed, match="a canary does not retire"):
        execute(order("move_agent", to_stage="retired"), means)
    with pytest.raises(ActionFailed, match="is live by now, not canary"):
        execute(order("move_agent"), means_of(tmp_path, stages=Lifecycle("live")))
    for nobody in (means_of(tmp_path, stages=None), means_of(tmp_path)):
        with pytest.raises(ActionFailed, match="agent pacer 3 is not registered here"):
            execute(order("move_agent", version="3"), nobody)


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine that refuses the first message and takes the others."""
    keys: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            keys.append(str(self.headers["Idempotency-Key"]))
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(503 if len(keys) == 1 else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", keys
    server.shutdown()
    server.server_close()


def test_a_refused_message_is_sent_again_with_the_same_key_and_an_accepted_one_is_not(
    listener: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, keys = listener
    means = means_of(tmp_path, webhook=address)
    with pytest.raises(ActionFailed, match="the webhook answered 503"):
        execute(order("notify"), means)
    assert files(tmp_path) == {}
    for _ in range(2):
        execute(order("notify"), means)
    assert keys == ["a1", "a1"]


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "a/b", "..", ".hidden", "", "a\0b", "x" * 300, "a\n"])
def test_an_id_that_is_a_path_names_no_file(name: str, tmp_path: Path) -> None:
    home = tmp_path / "deep" / "folder"
    asked = replace(order("shift_budget"), action_id=name)
    for do in (execute, foresee, take_back):
        with pytest.raises(ActionFailed, match="is no action id"):
            do(asked, means_of(home))
    assert files(tmp_path) == {}


def test_no_argument_says_whose_order_it_is(tmp_path: Path) -> None:
    execute(order("shift_budget", client="other", action_id="a2", agent_id="boss"), means_of(tmp_path))
    (content,) = files(tmp_path).values()
    said = json.loads(content)
    assert (said["client"], said["action_id"], said["agent_id"]) == ("acme", "a1", "desk")


@pytest.mark.parametrize("error", [RuntimeError("s3://key:secret@store"), OSError("disk full"), KeyError("x")])
def test_a_store_in_trouble_fails_this_action_alone_and_tells_no_secret(error: Exception, tmp_path: Path) -> None:
    class Broken(Aliases):
        def move(self, name: str, to_version: str, *, by: str, reason: str) -> str:
            raise error

    with pytest.raises(ActionFailed) as failed:
        execute(order("promote"), means_of(tmp_path, movers={"prompt": Broken(answer="1")}))
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "http://", "http://127.0.0.1:1/s3cret", "http://a b/s3cret"])
def test_an_address_that_is_none_fails_without_being_told(address: str, tmp_path: Path) -> None:
    with pytest.raises(ActionFailed) as failed:
        execute(order("notify"), means_of(tmp_path, webhook=address))
    assert "s3cret" not in str(failed.value)
    assert files(tmp_path) == {}


def test_a_server_that_speaks_no_http_fails_the_message(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def babble() -> None:
            talk, _ = server.accept()
            with talk:
                talk.recv(65536)
                talk.sendall(b"hello there\r\n\r\n")

        threading.Thread(target=babble, daemon=True).start()
        with pytest.raises(ActionFailed, match="cannot be reached"):
            execute(order("notify"), means_of(tmp_path, webhook=f"http://127.0.0.1:{server.getsockname()[1]}/"))
