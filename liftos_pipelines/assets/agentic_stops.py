"""The kill switch: an agent that broke policy or spent its budget decides nothing until it may go on."""

import hashlib
from datetime import UTC, datetime

import dagster as dg
import polars as pl

from liftos_pipelines.assets.agentic_ledger import state_of
from liftos_pipelines.assets.common import client_of, lift_asset, result
from liftos_pipelines.authority.policies import client_policy
from liftos_pipelines.modules.agentic.ledger_state import STOPPED, LedgerState
from liftos_pipelines.modules.agentic.registry import RESPONDER
from liftos_pipelines.modules.agentic.stops import Judgement, of_budget, of_violation
from liftos_pipelines.resources.actions import ActionFailed, Means, Order, execute
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import Event, LedgerNote, Spine
from liftos_pipelines.spine.outbox import outbox
from liftos_pipelines.spine.payloads import BudgetExhausted, PolicyViolationDetected
from liftos_pipelines.tables import table

REACTION = "agentic/stops"
TRIGGERS = (PolicyViolationDetected.type, BudgetExhausted.type)
NOT_STOPPED = "agent_not_stopped"


@lift_asset(
    REACTION, deps=[["agentic", "policy_decisions"], ["sources", "agent_steps"]], kinds={"polars"}, code_version="1"
)
def stops(
    context: dg.AssetExecutionContext, spine: SpineResource, lake: LakeResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Agents that may not decide, since when, why, and until when: after a violation until a person resumes them
    (`liftos agents resume`), after a spent budget until its period is over. Each stop is in the ledger and told by
    message."""
    client, log, store, now = client_of(context), spine.get(), lake.get(), datetime.now(UTC)
    untold: list[str] = []
    news = log.unhandled(REACTION, TRIGGERS, limit=100_000, client=client.client)
    if news:
        period = client_policy(client).budget_period
        last = store.read(client.client, "sources/agent_steps")["at"].max()
        newest = last if isinstance(last, datetime) else None
        judged = _judged_before(log, client.client)
        new = [event for event in news if event.event_id not in judged]
        judged |= {event.event_id: _judge(event, newest, period, now) for event in new}
        # Written down before anything else: from here on the agent decides nothing.
        log.append_ledger_many(client.client, [_note(event, judged[event.event_id]) for event in new])
        told, means = outbox(context, log), Means.of(store.folder(client.client, "agentic"))
        for event in news:
            judgement = judged[event.event_id]
            try:
                if judgement.stops:
                    execute(_alert(event, judgement), means)
            except ActionFailed as reason:
                # The stop holds; telling of it is tried again, and the others are told meanwhile.
                why = f"the agent is stopped, but it could not be told: {reason}"
                untold.append(why)
                log.note_failure([event.event_id], REACTION, why, now=now, run_id=context.run_id, in_passing=True)
                continue
            told.mark_handled(event.event_id, REACTION)
        means.outbox.sync()
    # Asked anew: a stop holds from the moment at which it was written down.
    state = state_of(log, client.client)
    now = state.moment(datetime.now(UTC))
    frame = stops_table(state, now)
    if untold:
        context.log.warning(f"{len(untold)} stop(s) could not be told: {untold[0]}")
    return result(
        frame,
        stopped_now=len(state.stopped(now)),
        agents=", ".join(state.stopped(now)) or "none",
        untold="; ".join(untold[:5]) or "none",
    )


def stops_table(state: LedgerState, now: datetime) -> pl.DataFrame:
    """Every stop, with where it stands: stopped, resumed, or over."""
    contract = table(REACTION)

    def status(held: bool, resumed_by: str | None) -> str:
        return "stopped" if held else "resumed" if resumed_by else "over"

    rows = [
        {
            "agent_id": stop.agent_id,
            "event_id": stop.event_id,
            "reason": stop.reason,
            "stopped_at": stop.stopped_at,
            "until": stop.until,
            "resumed_by": stop.resumed_by,
            "status": status(stop.holds(now), stop.resumed_by),
        }
        for stops in state.stops_of().values()
        for stop in stops
    ]
    return contract.conform(pl.DataFrame(rows, schema=contract.columns))


def _judged_before(log: Spine, client: str) -> dict[str, Judgement]:
    """What was written down of an event stands, whatever data, policy and clock say when it is looked at again."""
    return {
        body["event_id"]: Judgement(
            stops=entry.kind == STOPPED,
            until=datetime.fromisoformat(body["until"]) if body["until"] else None,
            reason=body["reason"],
        )
        for entry in log.ledger(client, kinds=[STOPPED, NOT_STOPPED])
        for body in [entry.content]
    }


def _judge(event: Event, newest: datetime | None, period: str, now: datetime) -> Judgement:
    said = event.payload
    if isinstance(said, BudgetExhausted):
        return of_budget(said.limit, said.spent, said.at, period, now)
    assert isinstance(said, PolicyViolationDetected)
    return of_violation(said.policy, said.reason, event.occurred_at, newest)


def _note(event: Event, judgement: Judgement) -> LedgerNote:
    agent = str(getattr(event.payload, "agent_id", ""))
    body = {
        "agent_id": agent,
        "event_id": event.event_id,
        "trigger": event.type,
        "correlation_id": event.correlation_id,
        "reason": judgement.reason,
        "until": judgement.until.isoformat() if judgement.until else None,
    }
    return LedgerNote(
        STOPPED if judgement.stops else NOT_STOPPED, agent, body, f"stop:{judgement.stops}:{event.event_id}"
    )


def _alert(event: Event, judgement: Judgement) -> Order:
    agent = str(getattr(event.payload, "agent_id", ""))
    end = "until a person resumes it" if judgement.until is None else f"until {judgement.until:%Y-%m-%d %H:%M} UTC"
    text = f"Agent {agent} is stopped {end}: {judgement.reason}."
    return Order(
        client=event.client,
        action_id=hashlib.sha256(f"stop|{event.event_id}".encode()).hexdigest()[:32],
        agent_id=RESPONDER,
        action="notify",
        arguments={"channel": "growth", "text": text, "agent_id": agent},
        ordered_at=event.recorded_at,
    )
