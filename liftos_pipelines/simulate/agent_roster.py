"""The demo's agents as `agents.yaml` registers them, with how often each truly succeeds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Agent:
    """`budget`: EUR a day that its tool calls may commit; `success` the true probability of a rewarded run."""

    agent_id: str
    type: str
    owner: str
    purpose: str
    version: str
    stage: str
    capabilities: tuple[str, ...]
    budget: float
    rollback_to: str | None
    runs: int
    success: float


AGENTS: tuple[Agent, ...] = (
    Agent(
        agent_id="pacer",
        type="budget_allocator",
        owner="growth",
        purpose="Paces campaign budgets over the week",
        version="1.4.0",
        stage="live",
        capabilities=("read_metrics", "shift_budget", "notify"),
        budget=500.0,
        rollback_to="1.3.2",
        runs=80,
        success=0.60,
    ),
    Agent(
        agent_id="pacer-canary",
        type="budget_allocator",
        owner="growth",
        purpose="Paces campaign budgets over the week",
        version="2.0.0",
        stage="canary",
        capabilities=("read_metrics", "shift_budget", "notify"),
        budget=500.0,
        rollback_to="1.4.0",
        runs=80,
        success=0.85,
    ),
    Agent(
        agent_id="optimizer",
        type="campaign_optimizer",
        owner="growth",
        purpose="Adjusts bids and pauses weak ads",
        version="3.1.0",
        stage="live",
        capabilities=("read_metrics", "adjust_bid", "pause_ad", "notify"),
        budget=300.0,
        rollback_to="3.0.4",
        runs=50,
        success=0.75,
    ),
    Agent(
        agent_id="segmenter",
        type="audience_segmenter",
        owner="crm",
        purpose="Builds audiences from the customer table",
        version="1.1.0",
        stage="live",
        capabilities=("read_customer", "read_metrics", "build_segment", "send_mail"),
        budget=100.0,
        rollback_to="1.0.0",
        runs=40,
        success=0.80,
    ),
    Agent(
        agent_id="tester",
        type="creative_tester",
        owner="brand",
        purpose="Sets up and reads creative tests",
        version="0.9.0",
        stage="shadow",
        capabilities=("read_metrics", "start_test", "notify"),
        budget=150.0,
        rollback_to=None,
        runs=30,
        success=0.70,
    ),
    Agent(
        agent_id="monitor",
        type="performance_monitor",
        owner="data",
        purpose="Watches campaigns and writes the morning note",
        version="2.2.1",
        stage="live",
        capabilities=("read_metrics", "read_customer", "send_mail", "notify"),
        budget=50.0,
        rollback_to="2.2.0",
        runs=40,
        success=0.90,
    ),
    Agent(
        agent_id="mixer",
        type="channel_mixer",
        owner="media",
        purpose="Proposes how money is split between channels",
        version="1.2.0",
        stage="live",
        capabilities=("read_metrics", "shift_budget"),
        budget=400.0,
        rollback_to=None,
        runs=60,
        success=0.85,
    ),
    Agent(
        agent_id="mixer-canary",
        type="channel_mixer",
        owner="media",
        purpose="Proposes how money is split between channels",
        version="1.3.0",
        stage="canary",
        capabilities=("read_metrics", "shift_budget"),
        budget=400.0,
        rollback_to="1.2.0",
        runs=60,
        success=0.45,
    ),
    Agent(
        agent_id="forecaster",
        type="forecaster",
        owner="finance",
        purpose="Projects orders for the weeks to come",
        version="0.4.1",
        stage="live",
        capabilities=("read_metrics", "recall_memory"),
        budget=20.0,
        rollback_to=None,
        runs=50,
        success=0.80,
    ),
    Agent(
        agent_id="reader",
        type="attribution_analyst",
        owner="growth",
        purpose="Reads what others wrote of a campaign and sums it up",
        version="1.0.3",
        stage="live",
        capabilities=("read_metrics", "recall_memory", "notify"),
        budget=20.0,
        rollback_to=None,
        runs=0,
        success=0.90,
    ),
    Agent(
        agent_id="tasker",
        type="performance_monitor",
        owner="growth",
        purpose="Leads reader, forecaster and mixer through a task",
        version="1.1.0",
        stage="live",
        capabilities=("read_metrics", "recall_memory", "notify", "send_mail"),
        budget=20.0,
        rollback_to=None,
        runs=0,
        success=0.50,
    ),
)
"""The last two run only in what `agent_teams` makes."""
