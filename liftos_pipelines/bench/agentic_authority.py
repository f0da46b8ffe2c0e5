"""The gate between agents and their tools: how fast it decides, and whether budgets, stops and consent hold."""

from __future__ import annotations

import json
import multiprocessing
import random
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liftos_pipelines.bench.figure import Figure, milliseconds, p95_interval, unmeasured

if TYPE_CHECKING:
    from liftos_pipelines.authority.gate import Gate
    from liftos_pipelines.authority.requests import ActionRequest
    from liftos_pipelines.spine.database import Spine

BENCHMARK = "agentic"
CLIENT = "bench"
WRITERS, CALLS_EACH, AMOUNT, LIMIT = 16, 12, 7, 1000
DECISIONS, WARM, STOPS, CHANGES = 400, 40, 200, 400
SOMETHING_ELSE = "approval_for_something_else"
THINKS_SECONDS = 0.002
POLICY: dict[str, Any] = {
    "name": "bench",
    "budget": {"period": "total"},
    "tools": {
        "read_metrics": {"reversible": True, "writes": False},
        "adjust_bid": {"reversible": True, "amount": "amount"},
        "raise_budget": {"reversible": True, "amount": "amount"},
        "lower_budget": {"reversible": True, "amount": "amount"},
        "publish_ad": {"reversible": False, "amount": "amount"},
    },
    "rules": [
        {"name": "reversible", "decision": "allow", "when": {"reversible": True}},
        {"name": "publishing", "decision": "needs_approval", "when": {"tool": "publish_ad"}},
    ],
}


def measure(_: Path) -> Iterator[Figure]:
    """On SQLite with signed checkpoints in a temporary folder, then on a real PostgreSQL server."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'spine.db'}"
        yield from _latency(url, Path(folder), "SQLite")
        yield from _over_http(Path(folder))
        yield from _overshoot(Path(folder), "SQLite")
        yield from _kill_switch(f"sqlite:///{Path(folder) / 'stops.db'}")
        yield from _consent(f"sqlite:///{Path(folder) / 'consent.db'}")
        yield from _coordination(f"sqlite:///{Path(folder) / 'leases.db'}")
        from liftos_pipelines.bench.reaction_house import database, postgres_server

        with postgres_server() as server:
            if server is None:
                yield unmeasured(
                    BENCHMARK, "gate decision p95, PostgreSQL", "ms", "no PostgreSQL server could be started"
                )
                return
            url = database(server, "spine", "postgresql+psycopg2")
            yield from _latency(url, Path(folder), "PostgreSQL")
            yield from _overshoot(Path(folder), "PostgreSQL", url)


def opened(url: str, folder: Path | None = None) -> Spine:
    """A spine; with a folder its ledger is signed and witnessed as in production."""
    from liftos_pipelines.spine.database import Spine
    from liftos_pipelines.spine.keys import KeyRing
    from liftos_pipelines.spine.sealing import Seal

    spine = Spine(url)
    if folder is not None:
        spine.seal = Seal(keys=KeyRing(folder / "keys"), witnesses=(str(folder / "witness"),))
    return spine


def gate_on(spine: Spine, *, budget: float, client: str = CLIENT) -> Gate:
    from liftos_pipelines.authority.agents import RegisteredAgent
    from liftos_pipelines.authority.gate import Gate
    from liftos_pipelines.modules.agentic.conditions import AgentFacts
    from liftos_pipelines.modules.agentic.policy import parse_policy

    known = {
        name: RegisteredAgent(
            facts=AgentFacts(agent_id=name, stage="live", type="budget_allocator", budget=budget),
            version="1",
            stages={"1": "live"},
            owner="growth",
        )
        for name in ("a", "b")
    }
    return Gate(client, parse_policy(POLICY, file="bench"), spine, lambda: known)


def request(name: object, tool: str = "adjust_bid", **arguments: Any) -> ActionRequest:
    from liftos_pipelines.authority.requests import ActionRequest

    given = {"amount": AMOUNT, "campaign_id": f"c{name}"} | arguments
    return ActionRequest(run_id=f"r{name}"[:6], agent_id="a", tool=tool, arguments=given, request_id=str(name))


def _latency(url: str, folder: Path, database: str) -> Iterator[Figure]:
    """Decisions one after another: leases, a budget, the log of calls and a signed ledger entry each."""
    door = gate_on(opened(url, folder), budget=1e9)
    ids: list[str] = []

    def decide(number: int) -> None:
        answer = door.authorise(request(number))
        assert answer.allowed, answer
        ids.append(answer.decision_id)

    for number in range(WARM):
        decide(number)
    taken = milliseconds(lambda number: decide(WARM + number), DECISIONS)
    settled = milliseconds(lambda number: door.settle(ids[number], AMOUNT), WARM)
    value, low, high = p95_interval(taken)
    method = (
        f"{database}, one writer; kill switch, policy, lease, budget, log and signed ledger entry in one transaction"
    )
    common: dict[str, Any] = {"benchmark": BENCHMARK, "unit": "ms", "n": DECISIONS, "method": method}
    yield Figure(name=f"gate decision p50, {database}", value=float(np.median(taken)), **common)
    yield Figure(name=f"gate decision p95, {database}", value=value, low=low, high=high, **common)
    yield Figure(
        benchmark=BENCHMARK, name=f"gate settlement p50, {database}", value=float(np.median(settled)), unit="ms",
        n=WARM,
        method=f"{database}: budget settled, lease ended, outcome in the ledger",
    )  # fmt: skip


def _over_http(folder: Path) -> Iterator[Figure]:
    import httpx

    from liftos_pipelines.authority.opening import Gates
    from liftos_pipelines.authority.server import create_app
    from liftos_pipelines.authority.tokens import Tokens

    tokens = Tokens(folder / "tokens.json")
    token = tokens.add("bot", CLIENT, "agent")
    door = gate_on(opened(f"sqlite:///{folder / 'http.db'}", folder / "http"), budget=1e9)
    with (
        _serving(create_app(Gates(lambda _: door), tokens, rate=1e6, burst=1e6)) as address,
        httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}) as asker,
    ):

        def decide(number: int) -> None:
            body = {
                "run_id": "r", "agent_id": "a", "tool": "adjust_bid", "request_id": f"h{number}",
                "arguments": {"amount": AMOUNT, "campaign_id": f"h{number}"},
            }  # fmt: skip
            assert asker.post(f"/v1/{CLIENT}/decisions", json=body).json()["decision"] == "allow"

        for number in range(WARM):
            decide(number)
        taken = milliseconds(lambda number: decide(WARM + number), DECISIONS)
    value, low, high = p95_interval(taken)
    yield Figure(
        benchmark=BENCHMARK, name="gate decision over HTTP p95", value=value, low=low, high=high, unit="ms",
        n=DECISIONS,
        method="one asker, kept connection, real socket, server in a thread of the same process; SQLite",
    )  # fmt: skip


@contextmanager
def _serving(app: Any) -> Iterator[str]:
    import uvicorn

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


def _overshoot(folder: Path, database: str, url: str | None = None) -> Iterator[Figure]:
    """Sixteen writers want more than there is: what they were granted beyond the limit, in percent of it."""
    for kind in ("threads", "processes"):
        place = url or f"sqlite:///{folder / f'{kind}.db'}"
        client = f"over-{kind}"
        opened(place).engine.dispose()
        wishes = [(place, client, writer) for writer in range(WRITERS)]
        if kind == "threads":
            with ThreadPoolExecutor(WRITERS) as pool:
                done = list(pool.map(lambda wish: spend(*wish), wishes))
        else:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["liftos_pipelines.authority.gate", "alembic.command"])
            with context.Pool(WRITERS) as workers:
                done = workers.starmap(spend, wishes)
        granted, highest = sum(each for each, _ in done), max(most for _, most in done)
        over = max(granted, highest) - LIMIT
        naive = _naive(place) - LIMIT
        yield Figure(
            benchmark=BENCHMARK, name=f"budget overshoot, {WRITERS} {kind}, {database}",
            value=100 * max(0, over) / LIMIT, unit="% of the limit", n=WRITERS * CALLS_EACH, goal="0",
            method=f"gates of their own on one database, {WRITERS * CALLS_EACH * AMOUNT} wanted of {LIMIT}; "
            f"{granted} granted; spent and promised looked at after each call",
            baseline="16 threads that read the sum, act for 2 ms, then write it, same database",
            baseline_value=100 * max(0, naive) / LIMIT,
        )  # fmt: skip


def spend(url: str, client: str, writer: int) -> tuple[int, int]:
    """One writer's calls: what it was granted, and the most that it ever saw spent and promised."""
    spine = opened(url)
    door, granted, most = gate_on(spine, budget=LIMIT, client=client), 0, 0
    for number in range(CALLS_EACH):
        answer = door.authorise(request(f"{writer}-{number}"))
        if answer.policy == "gate_unavailable":
            raise RuntimeError(answer.reason)
        granted += AMOUNT * answer.allowed
        if answer.allowed and number % 3 == 0:
            door.settle(answer.decision_id, AMOUNT)
        most = max(most, *((pot.settled + pot.reserved) // 1_000_000 for pot in spine.pots(client)))
    spine.engine.dispose()
    return granted, most


def _naive(url: str) -> int:
    """What sixteen threads are granted when a check and its write are two steps."""
    admin = opened(url)
    with admin.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS naive_budget")
        connection.exec_driver_sql("CREATE TABLE naive_budget (spent INTEGER)")
        connection.exec_driver_sql("INSERT INTO naive_budget VALUES (0)")

    def work(_: int) -> int:
        spine, granted = opened(url), 0
        for _ in range(CALLS_EACH):
            with spine.engine.connect() as connection:
                spent = connection.exec_driver_sql("SELECT spent FROM naive_budget").scalar_one()
            time.sleep(THINKS_SECONDS)  # the tool is called here
            if spent + AMOUNT <= LIMIT:
                with spine.engine.begin() as connection:
                    connection.exec_driver_sql(f"UPDATE naive_budget SET spent = spent + {AMOUNT}")
                granted += AMOUNT
        spine.engine.dispose()
        return granted

    with ThreadPoolExecutor(WRITERS) as pool:
        granted = sum(pool.map(work, range(WRITERS)))
    with admin.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE naive_budget")
    admin.engine.dispose()
    return granted


def _kill_switch(url: str) -> Iterator[Figure]:
    """A stop written by another connection, and the very next decision."""
    spine, elsewhere = opened(url), opened(url)
    door, stopped, taken = gate_on(spine, budget=1e9), 0, np.empty(STOPS)
    for number in range(STOPS):
        assert door.authorise(request(f"b{number}")).allowed
        target, body = ("a", "*")[number % 2], {"event_id": f"s{number}", "reason": "bench", "until": None}
        note = {"agent_id": target} | body
        elsewhere.append_ledger(CLIENT, "agent_stopped", "ann", note, idempotency_key=f"s{number}")
        began = time.perf_counter()
        stopped += door.authorise(request(f"n{number}")).policy == "agent_stopped"
        taken[number] = (time.perf_counter() - began) * 1000
        on = {"agent_id": target, "by": "ann", "reason": "on", "stops": [f"s{number}"]}
        elsewhere.append_ledger(CLIENT, "agent_resumed", "ann", on, idempotency_key=f"r{number}")
    value, low, high = p95_interval(taken)
    yield Figure(
        benchmark=BENCHMARK, name="stopped at the next decision", value=100 * stopped / STOPS, unit="%", n=STOPS,
        goal="100", method="half of the stops for one agent, half for all; written by another connection",
    )  # fmt: skip
    yield Figure(
        benchmark=BENCHMARK, name="stop written to call denied, p95", value=value, low=low, high=high, unit="ms",
        n=STOPS,
        method="from the stop's commit to the next decision's answer, SQLite",
    )  # fmt: skip

    reads = np.empty(STOPS)
    for number in range(STOPS):
        note = {"agent_id": "b", "event_id": f"t{number}", "reason": "bench", "until": None}
        elsewhere.append_ledger(CLIENT, "agent_stopped", "ann", note, idempotency_key=f"t{number}")
        with spine.reading() as connection:
            began = time.perf_counter()
            door._stops.read(connection)
            reads[number] = (time.perf_counter() - began) * 1000
    value, low, high = p95_interval(reads)
    yield Figure(
        benchmark=BENCHMARK, name="kill switch read p95", value=value, low=low, high=high, unit="ms", n=STOPS,
        goal="< 1",
        method="the part of a decision that asks for stops, with a new one to read each time, SQLite",
    )  # fmt: skip


def _consent(url: str) -> Iterator[Figure]:
    """Consent to one action, presented for one in which a byte was changed."""
    spine, rng = opened(url), random.Random(7)
    door, denied, allowed = gate_on(spine, budget=1e9), 0, 0
    for number in range(CHANGES):
        asked = request(
            f"q{number}", "publish_ad", text=f"Spring sale {number}, up to 30 % off", page=f"https://x.example/{number}"
        )
        first = door.authorise(asked)
        assert first.approval_id is not None, first
        spine.decide_approval(CLIENT, first.approval_id, given=True, approver="ann", reason="", now=datetime.now(UTC))
        changed = replace(asked, request_id=f"x{number}", approval_id=first.approval_id)
        if number % 10 == 9:
            policy = replace(door._policy(), version="".join(_changed(door._policy().version, rng)))
            other = gate_on(spine, budget=1e9)
            other._policy = lambda policy=policy: policy  # type: ignore[misc]
            denied += other.authorise(changed).policy == SOMETHING_ELSE
        else:
            other_call = replace(changed, arguments=_one_byte(asked.arguments, rng))
            denied += door.authorise(other_call).policy in (SOMETHING_ELSE, "amount_unknown")
        allowed += door.authorise(asked).allowed
    yield Figure(
        benchmark=BENCHMARK, name="changed calls denied that claim a consent", value=100 * denied / CHANGES, unit="%",
        n=CHANGES, goal="100", method="one character of the arguments' JSON or of the policy version changed, seed 7",
        baseline="consent bound to agent and tool only", baseline_value=0.0,
    )  # fmt: skip
    yield Figure(
        benchmark=BENCHMARK, name="unchanged calls allowed by their consent", value=100 * allowed / CHANGES, unit="%",
        n=CHANGES, method="the same calls as they were asked for",
    )  # fmt: skip


def _one_byte(arguments: Any, rng: random.Random) -> dict[str, Any]:
    """The same arguments with one character changed, still a JSON object, and not the same object."""
    text = json.dumps(arguments, sort_keys=True)
    while True:
        try:
            read = json.loads("".join(_changed(text, rng)))
        except ValueError:
            continue
        if isinstance(read, dict) and read != arguments:
            return read


def _changed(text: str, rng: random.Random) -> list[str]:
    letters, place = list(text), rng.randrange(len(text))
    letters[place] = chr((ord(letters[place]) + rng.randrange(1, 90) - 32) % 94 + 32)
    return letters


def _coordination(url: str) -> Iterator[Figure]:
    """Pairs of actions by two agents on one incident: planted duplicates and opposites, and pairs that are neither."""
    spine, found, free, pairs = opened(url), 0, 0, 100
    door = gate_on(spine, budget=1e9)
    for number in range(pairs):
        incident, channel = f"i{number}", f"channel {number}"

        def by(agent: str, tool: str, name: str, *, on: str = channel, about: str = incident) -> ActionRequest:
            plain = request(name, tool)
            return replace(plain, agent_id=agent, incident=about, arguments={"amount": AMOUNT, "channel": on})

        first = door.authorise(by("a", "raise_budget", f"f{number}"))
        assert first.allowed, first
        if number % 2:
            door.settle(first.decision_id, AMOUNT)
        second = ("raise_budget", "lower_budget")[number // 2 % 2]
        found += door.authorise(by("b", second, f"s{number}")).policy in ("lease_duplicate", "lease_conflict")
        free += door.authorise(by("b", second, f"o{number}", on=f"other {number}", about=f"j{number}")).allowed
    yield Figure(
        benchmark=BENCHMARK, name="duplicate and opposed actions refused before they run", value=100 * found / pairs,
        unit="%", n=pairs, method="two agents, one incident; half while the first runs, half after it",
        baseline="a gate without leases", baseline_value=0.0,
    )  # fmt: skip
    yield Figure(
        benchmark=BENCHMARK, name="actions on other targets let through", value=100 * free / pairs, unit="%", n=pairs,
        method="the same second action, on another channel and for another incident",
    )  # fmt: skip
