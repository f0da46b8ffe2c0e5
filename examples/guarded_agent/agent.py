"""A small agent whose tools ask the gate first. Run it twice, with an approval between: see README.md.

python agent.py [RUN_ID]
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from typing import Any

from liftos_pipelines.authority.guarded import CallRefused
from liftos_pipelines.authority.opening import open_gate

CLIENT, AGENT = "guarded_agent", "bidder"
RUN = sys.argv[1] if len(sys.argv) > 1 else f"run-{uuid.uuid4().hex[:8]}"
gate = open_gate(CLIENT)


# The tools. Each is an ordinary function; the line above it says by which name the policy knows it.
@gate.guarded("read_metrics", run_id=RUN, agent_id=AGENT)
def read_metrics(campaign_id: str) -> dict[str, float]:
    return {"spend": 410.0, "revenue": 1_260.0}


@gate.guarded("adjust_bid", run_id=RUN, agent_id=AGENT)
def adjust_bid(campaign_id: str, amount: float) -> str:
    return f"bid of {campaign_id} raised by {amount:.2f} EUR"


@gate.guarded("publish_ad", run_id=RUN, agent_id=AGENT)
def publish_ad(campaign_id: str, text: str, amount: float) -> str:
    return f"ad published for {campaign_id}"


@gate.guarded("delete_campaign", run_id=RUN, agent_id=AGENT)
def delete_campaign(campaign_id: str) -> str:
    return f"{campaign_id} is gone"


def attempt(tool: Callable[..., Any], **arguments: Any) -> None:
    """Call a tool and tell what came of it; an agent of yours would plan anew after a refusal."""
    name = f"{tool.__name__:<16}"
    try:
        print(f"{name} ran: {tool(**arguments)}")
    except CallRefused as refused:
        answer = refused.answer
        print(f"{name} {answer.decision} by {answer.policy}: {answer.reason}")
        if answer.approval_id:
            print(f"{'':<16} a person agrees: liftos approvals give {CLIENT} {answer.approval_id[:12]} --by YOU")


if __name__ == "__main__":
    attempt(read_metrics, campaign_id="spring")
    attempt(adjust_bid, campaign_id="spring", amount=30.0)
    attempt(publish_ad, campaign_id="spring", text="Dry feet in any weather", amount=20.0)  # a person decides
    attempt(adjust_bid, campaign_id="spring", amount=80.0)  # more than is left of the day's budget
    attempt(adjust_bid, campaign_id="autumn", amount=10.0)  # nobody looked at its figures in this run
    attempt(delete_campaign, campaign_id="spring")  # declared and granted by nobody
    print(f"\nWhat stands written: liftos ledger list {CLIENT}; liftos gate budgets {CLIENT} ({RUN})")
