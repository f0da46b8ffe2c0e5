"""The decision service over a real socket: who may ask what, and which error says what."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from gate_house import CLIENT, NOW, gate

from liftos_pipelines.assets.agentic_ledger import stop_agent
from liftos_pipelines.authority.opening import Gates
from liftos_pipelines.authority.server import LARGEST_BODY, create_app
from liftos_pipelines.authority.tokens import Tokens
from liftos_pipelines.spine.database import Spine

AD = {"run_id": "r1", "agent_id": "a", "tool": "publish_ad", "arguments": {"amount": 20, "text": "x"}}
BID = {"run_id": "r1", "agent_id": "a", "tool": "adjust_bid", "arguments": {"amount": 10, "campaign_id": "c"}}


@dataclass
class House:
    url: str
    spine: Spine
    tokens: Tokens
    bot: str
    bidder: str
    ann: str
    bob: str

    def post(self, path: str, body: Any = None, token: str | None = None, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token or self.bot}"}
        return httpx.post(f"{self.url}/v1/{path}", json={} if body is None else body, headers=headers, **more)

    def get(self, path: str, token: str | None = None) -> httpx.Response:
        return httpx.get(f"{self.url}/v1/{path}", headers={"Authorization": f"Bearer {token or self.bot}"})


@pytest.fixture
def house(home: Path) -> Iterator[House]:
    spine = Spine(f"sqlite:///{home / 'spine.db'}")
    tokens = Tokens(home / "tokens.json")
    made = {
        "bot": tokens.add("bot", CLIENT, "agent"),
        "bidder": tokens.add("bidder", CLIENT, "agent", agents=("b",)),
        "ann": tokens.add("ann", CLIENT, "person", roles=("finance",)),
        "bob": tokens.add("bob", CLIENT, "person"),
    }
    door = gate(spine)
    app = create_app(Gates(lambda client: {CLIENT: door}[client]), tokens, rate=1000, burst=30)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield House(f"http://127.0.0.1:{listening.getsockname()[1]}", spine, tokens, **made)
        server.should_exit = True
        thread.join(10)
    spine.engine.dispose()


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("error", "")


def test_a_call_is_decided_confirmed_and_settled(house: House) -> None:
    answer = house.post(f"{CLIENT}/decisions", BID | {"request_id": "1"}).json()
    assert (answer["decision"], answer["policy"]) == ("allow", "reversible")
    path = f"{CLIENT}/decisions/{answer['decision_id']}"
    assert house.post(f"{path}/confirm").json() == {"confirmed": True}
    assert house.post(f"{path}/settle", {"cost": "8.25", "result": "done"}).json()["cost"] == "8.25"
    assert house.get(path).json()["status"] == "settled"
    assert said(house.post(f"{path}/settle", {"cost": 9})) == (409, "already_ended")
    assert said(house.post(f"{path}/release")) == (409, "already_ended")
    assert house.spine.pots(CLIENT)[0].settled == 8_250_000
    assert httpx.get(f"{house.url}/v1/health").json() == {"status": "ok"}


def test_people_decide_in_the_name_of_their_token(house: House) -> None:
    asked = house.post(f"{CLIENT}/decisions", AD | {"request_id": "1"}).json()
    assert asked["decision"] == "needs_approval"
    path = f"{CLIENT}/approvals/{asked['approval_id']}"
    assert said(house.post(f"{path}/give", {"reason": "mine"})) == (403, "other_kind")
    shown = house.get(path, house.ann).json()
    assert (shown["status"], shown["arguments"], shown["subject"]) == ("open", {"amount": 20, "text": "x"}, None)
    assert house.post(f"{path}/give", {"reason": "fine"}, house.ann).json()["approver"] == "ann"
    assert said(house.post(f"{path}/deny", {}, house.bob)) == (409, "approval_closed")
    assert house.post(f"{CLIENT}/decisions", AD | {"request_id": "1"}).json()["decision"] == "allow"
    listed = house.get(f"{CLIENT}/approvals?status=used", house.bob).json()["approvals"]
    assert [each["approval_id"] for each in listed] == [asked["approval_id"]]


def test_tokens_open_their_own_client_kind_and_agents_only_and_are_refused_once_revoked(house: House) -> None:
    decisions = f"{CLIENT}/decisions"
    assert said(httpx.post(f"{house.url}/v1/{decisions}", json=BID)) == (401, "unauthenticated")
    assert said(house.post(decisions, BID, "lgt_wrong")) == (401, "unauthenticated")
    assert said(house.post("globex/decisions", BID)) == (403, "other_client")
    assert said(house.post(decisions, BID | {"request_id": "1"}, house.ann)) == (403, "other_kind")
    assert said(house.post(decisions, BID | {"request_id": "1"}, house.bidder)) == (403, "other_agent")
    mine = house.post(decisions, BID | {"request_id": "1"}).json()["decision_id"]
    assert said(house.post(f"{decisions}/{mine}/settle", {}, house.bidder)) == (403, "other_agent")
    assert said(house.get(f"{decisions}/{mine}", house.bidder)) == (403, "other_agent")
    assert house.tokens.revoke("bot", CLIENT)
    assert said(house.post(decisions, BID | {"request_id": "2"})) == (401, "unauthenticated")
    # Nothing in the file opens anything.
    for token in (house.bot, house.ann):
        assert token not in house.tokens.file.read_text()
    assert house.tokens.file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**BID, "request_id": ""},
        {**BID, "request_id": "1", "cost": -1},
        {**BID, "request_id": "1", "cost": "NaN"},
        {**BID, "request_id": "1", "agent_id": 7},
        {**BID, "request_id": "1", "amount": 5},
        {**BID, "request_id": "1", "agent_id": "x" * 200},
        [1],
    ],
)
def test_a_message_that_breaks_the_schema_is_refused(house: House, body: Any) -> None:
    assert said(house.post(f"{CLIENT}/decisions", body)) == (400, "malformed")


def test_other_bad_requests_have_their_errors(house: House) -> None:
    headers = {"Authorization": f"Bearer {house.bot}"}
    url = f"{house.url}/v1/{CLIENT}/decisions"
    assert said(httpx.post(url, content=b"{not json", headers=headers)) == (400, "malformed")
    deep = b'{"arguments":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    assert said(httpx.post(url, content=deep, headers=headers)) == (400, "malformed")
    assert said(httpx.post(url, content=b"x" * (LARGEST_BODY + 1), headers=headers)) == (413, "too_large")

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 8192

    assert said(httpx.post(url, content=pieces(), headers=headers)) == (413, "too_large")
    assert said(house.get(f"{CLIENT}/decisions/none")) == (404, "decision_unknown")
    assert said(house.get(f"{CLIENT}/approvals/none", house.ann)) == (404, "approval_unknown")
    assert said(house.post(f"{CLIENT}/approvals/none/give", {}, house.ann)) == (404, "approval_unknown")
    assert said(house.get("nowhere/else/at/all")) == (404, "not_found")
    assert said(httpx.delete(url, headers=headers)) == (405, "method_not_allowed")
    # What policy can answer is an answer: the arguments are no JSON object.
    answer = house.post(f"{CLIENT}/decisions", BID | {"request_id": "9", "arguments": "[1"}).json()
    assert (answer["decision"], answer["policy"]) == ("deny", "malformed_call")


def test_a_stop_holds_for_the_next_request_and_is_listed(house: House) -> None:
    stop_agent(house.spine, CLIENT, "a", by="ann", reason="r", now=NOW)
    assert house.post(f"{CLIENT}/decisions", BID | {"request_id": "1"}).json()["policy"] == "agent_stopped"
    assert house.get(f"{CLIENT}/stops").json() == {"stopped": {"a": "ann: r"}}


def test_who_asks_too_often_waits_and_others_do_not(house: House) -> None:
    statuses = []
    with httpx.Client(headers={"Authorization": "Bearer lgt_wrong"}) as stranger:
        statuses = [stranger.get(f"{house.url}/v1/{CLIENT}/stops") for _ in range(25)]
    assert {answer.status_code for answer in statuses} == {401, 429}
    assert int(statuses[-1].headers["Retry-After"]) >= 1
    assert house.get(f"{CLIENT}/stops").status_code == 200


def test_a_failing_spine_is_a_refusal_that_tells_nothing_of_the_inside(house: House) -> None:
    with house.spine.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE gate_calls RENAME TO gone")
    answer = house.post(f"{CLIENT}/decisions", BID | {"request_id": "1"})
    assert (answer.status_code, answer.json()["policy"]) == (503, "gate_unavailable")
    failed = house.get(f"{CLIENT}/decisions/x")
    assert said(failed) == (503, "gate_unavailable")
    assert "gate_calls" not in failed.text
