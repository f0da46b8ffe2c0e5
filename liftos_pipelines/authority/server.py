"""The gate over HTTP, for agents that do not run in Python: `liftos gate serve`.

Bearer tokens say who asks: an agent's runtime asks for decisions and settles them, a person decides on approvals, in
the name that the token stands for. Errors are `{"error": name, "message": words}`; a denial is an answer, not an error.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from liftos_pipelines.authority.gate import Gate
from liftos_pipelines.authority.messages import DecisionAsked, Message, ReleasedBy, SettledBy, Word
from liftos_pipelines.authority.opening import Gates
from liftos_pipelines.authority.requests import ActionRequest, AlreadyEnded, DecisionUnknown, GateError, NotAuthorised
from liftos_pipelines.authority.tokens import Holder, TokenProblem, Tokens
from liftos_pipelines.clients import ClientError
from liftos_pipelines.spine.approvals import Approval, ApprovalClosed, ApprovalNotFound, VoterRefused
from liftos_pipelines.spine.connection import SpineError, utc

log = logging.getLogger(__name__)
LARGEST_BODY = 128 * 1024
NAMED: tuple[tuple[type[Exception], int, str], ...] = (
    (DecisionUnknown, 404, "decision_unknown"),
    (NotAuthorised, 409, "not_authorised"),
    (AlreadyEnded, 409, "already_ended"),
    (GateError, 400, "gate_error"),
    (ApprovalNotFound, 404, "approval_unknown"),
    (ApprovalClosed, 409, "approval_closed"),
    (VoterRefused, 403, "voter_refused"),
    (ClientError, 404, "client_unknown"),
    (TokenProblem, 503, "gate_unavailable"),
    (SpineError, 503, "gate_unavailable"),
)
Read = TypeVar("Read", bound=BaseModel)
Answer = Callable[[Request], Awaitable[JSONResponse]]


class Refused(Exception):
    """A request that gets an error for an answer."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers


class Rates:
    """A bucket of requests a name, filled at `rate` a second up to `burst`."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self.clock = rate, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._turn = threading.Lock()

    def take(self, name: str) -> float:
        """0 where the request may go on, else in how many seconds the next one may."""
        with self._turn:
            now = self.clock()
            left, at = self._left.pop(name, (self.burst, now))
            left = min(self.burst, left + (now - at) * self.rate)
            wait = 0.0 if left >= 1 else (1 - left) / self.rate
            self._left[name] = (left - (wait == 0), now)
            while len(self._left) > 10_000:
                self._left.popitem(last=False)
            return wait


def create_app(gates: Gates, tokens: Tokens, *, rate: float = 50.0, burst: float = 100.0) -> Starlette:
    """The application; `rate` and `burst` are requests a second and at once, of each token and each stranger."""
    rates, strangers = Rates(rate, burst), Rates(1.0, 20.0)

    def admitted(request: Request, kind: str | None) -> tuple[Holder, Gate]:
        """Who asks, and the gate of the client in the path.

        The token is looked at before anything that names a client: a stranger learns nothing of who is a client.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        holder = tokens.holder(token.strip()) if scheme.lower() == "bearer" and token.strip() else None
        if holder is None:
            _within(strangers, request.client.host if request.client else "unknown")
            raise Refused(401, "unauthenticated", "a valid bearer token is needed", {"WWW-Authenticate": "Bearer"})
        _within(rates, f"{holder.client}/{holder.name}")
        if holder.client != request.path_params["client"]:
            raise Refused(403, "other_client", "this token is for another client")
        if kind is not None and holder.kind != kind:
            raise Refused(
                403, "other_kind", f"this is for the token of {'a person' if kind == 'person' else 'an agent'}"
            )
        return holder, gates.of(holder.client)

    async def decide(request: Request) -> JSONResponse:
        holder, gate = await run_in_threadpool(admitted, request, "agent")
        asked = await _read(request, DecisionAsked)
        _own(holder, asked.agent_id)
        fields = asked.model_dump(exclude={"targets"})
        targets = None if asked.targets is None else tuple(asked.targets)
        action = ActionRequest(**fields, targets=targets, requested_by=holder.name)
        answer = await run_in_threadpool(gate.authorise, action)
        return JSONResponse(answer.as_json(), 503 if answer.policy == "gate_unavailable" else 200)

    async def show_decision(request: Request) -> JSONResponse:
        holder, gate = await run_in_threadpool(admitted, request, None)
        return JSONResponse(await run_in_threadpool(_decision, holder, gate, request))

    def ending(message: type[Read], end: Callable[[Gate, str, Read], Any]) -> Answer:
        async def answer(request: Request) -> JSONResponse:
            holder, gate = await run_in_threadpool(admitted, request, "agent")
            said = await _read(request, message)
            await run_in_threadpool(_decision, holder, gate, request)
            ended = await run_in_threadpool(end, gate, request.path_params["decision_id"], said)
            return JSONResponse({"confirmed": True} if ended is None else asdict(ended))

        return answer

    async def approvals(request: Request) -> JSONResponse:
        _, gate = await run_in_threadpool(admitted, request, "person")
        found = await run_in_threadpool(gate.spine.approvals, gate.client, request.query_params.get("status"))
        return JSONResponse({"approvals": [_approval(each) for each in found]})

    async def show_approval(request: Request) -> JSONResponse:
        _, gate = await run_in_threadpool(admitted, request, "person")
        name = request.path_params["approval_id"]
        found = await run_in_threadpool(gate.spine.approval, gate.client, name)
        if found is None:
            raise ApprovalNotFound(f"{gate.client} has no approval request {name}")
        votes = await run_in_threadpool(gate.spine.votes, name)
        said = [asdict(vote) | {"voted_at": vote.voted_at.isoformat()} for vote in votes]
        return JSONResponse(_approval(found) | {"votes": said})

    def voting(given: bool) -> Answer:
        async def answer(request: Request) -> JSONResponse:
            holder, gate = await run_in_threadpool(admitted, request, "person")
            word = await _read(request, Word)

            def vote() -> Approval:
                return gate.spine.decide_approval(
                    gate.client,
                    request.path_params["approval_id"],
                    given=given,
                    approver=holder.name,
                    reason=word.reason,
                    now=utc(gate.clock()),
                    roles=holder.roles,
                )

            return JSONResponse(_approval(await run_in_threadpool(vote)))

        return answer

    async def stops(request: Request) -> JSONResponse:
        _, gate = await run_in_threadpool(admitted, request, None)
        return JSONResponse({"stopped": dict(await run_in_threadpool(gate.stopped))})

    async def health(request: Request) -> JSONResponse:
        from liftos_pipelines.resources.spine import open_spine

        def ask() -> None:
            with open_spine().reading() as connection:
                connection.execute(text("SELECT 1"))

        await run_in_threadpool(ask)
        return JSONResponse({"status": "ok"})

    base, one, consent = "/v1/{client}", "/v1/{client}/decisions/{decision_id}", "/v1/{client}/approvals/{approval_id}"
    routes = [
        Route("/v1/health", health, methods=["GET"]),
        Route(f"{base}/decisions", decide, methods=["POST"]),
        Route(one, show_decision, methods=["GET"]),
        Route(f"{one}/confirm", ending(Message, lambda gate, name, _: gate.confirm(name)), methods=["POST"]),
        Route(f"{one}/settle", ending(SettledBy, _settle), methods=["POST"]),
        Route(
            f"{one}/release",
            ending(ReleasedBy, lambda gate, name, said: gate.release(name, reason=said.reason)),
            methods=["POST"],
        ),
        Route(f"{base}/approvals", approvals, methods=["GET"]),
        Route(consent, show_approval, methods=["GET"]),
        Route(f"{consent}/give", voting(True), methods=["POST"]),
        Route(f"{consent}/deny", voting(False), methods=["POST"]),
        Route(f"{base}/stops", stops, methods=["GET"]),
    ]
    handlers: dict[Any, Any] = {Refused: _refused, HTTPException: _unrouted, Exception: _failed}
    handlers |= {kind: _named for kind, _, _ in NAMED}
    return Starlette(routes=routes, exception_handlers=handlers)


def serve(host: str, port: int, *, rate: float = 50.0, burst: float = 100.0) -> None:
    """Answer until stopped."""
    import uvicorn

    uvicorn.run(create_app(Gates(), Tokens(), rate=rate, burst=burst), host=host, port=port, log_level="warning")


async def _read(request: Request, message: type[Read]) -> Read:
    """The body, never more of it than is allowed, as a message."""
    said = request.headers.get("content-length")
    body = b""
    if said is None or not said.isdigit() or int(said) <= LARGEST_BODY:
        async for part in request.stream():
            body += part
            if len(body) > LARGEST_BODY:
                break
    if len(body) > LARGEST_BODY or (said and said.isdigit() and int(said) > LARGEST_BODY):
        raise Refused(413, "too_large", f"a message has at most {LARGEST_BODY} bytes")
    try:
        return message.model_validate_json(body or b"{}")
    except ValidationError as error:
        where = [f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in error.errors()[:5]]
        raise Refused(400, "malformed", "; ".join(where)) from error


def _within(rates: Rates, name: str) -> None:
    wait = rates.take(name)
    if wait:
        raise Refused(429, "too_many_requests", f"try again in {wait:.2f} s", {"Retry-After": str(int(wait) + 1)})


def _own(holder: Holder, agent_id: str) -> None:
    if not holder.may_ask_for(agent_id):
        raise Refused(403, "other_agent", f"this token may not ask for agent {agent_id}")


def _decision(holder: Holder, gate: Gate, request: Request) -> dict[str, Any]:
    """The decision in the path, where it is one of the holder's."""
    name = request.path_params["decision_id"]
    found = gate.decision(name)
    if found is None:
        raise DecisionUnknown(f"{gate.client} has no decision {name}")
    if holder.kind == "agent":
        _own(holder, found["agent_id"])
    return found


def _settle(gate: Gate, decision_id: str, said: SettledBy) -> Any:
    return gate.settle(decision_id, said.cost, said.outcome, result=said.result, flags=tuple(said.flags))


def _approval(found: Approval) -> dict[str, Any]:
    said = asdict(found) | {"arguments": json.loads(found.arguments)}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in said.items()}


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return JSONResponse({"error": error.code, "message": str(error)}, error.status, headers=error.headers)


async def _named(_: Request, error: Exception) -> JSONResponse:
    status, code = next((status, code) for kind, status, code in NAMED if isinstance(error, kind))
    return JSONResponse({"error": code, "message": str(error)}, status)


async def _unrouted(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    return JSONResponse({"error": code, "message": str(error.detail)}, error.status_code)


async def _failed(_: Request, error: Exception) -> JSONResponse:
    # Said in the log, not to the asker: what failed inside is nobody else's business.
    log.error("the gate failed", exc_info=error)
    return JSONResponse({"error": "gate_unavailable", "message": "the gate failed; nothing may run"}, 503)
