"""Which agents a client has registered, as the gate asks: facts for the policy, versions, and who owns them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import polars as pl

from liftos_pipelines.modules.agentic.conditions import AgentFacts
from liftos_pipelines.modules.agentic.replay import agents_known
from liftos_pipelines.resources.lake import Lake


@dataclass(frozen=True, kw_only=True)
class RegisteredAgent:
    """An agent of `sources/agents`: `stages` of its versions as registered, `rank` decides who goes first."""

    facts: AgentFacts
    version: str
    stages: Mapping[str, str]
    owner: str | None = None
    rank: int = 0


LOOK_AGAIN_SECONDS = 1.0
Agents = Callable[[], Mapping[str, RegisteredAgent]]


def registered_agents(frame: pl.DataFrame) -> dict[str, RegisteredAgent]:
    """Agents by id. Of several versions of an agent the last row's is the one that is meant where none is named."""
    known = agents_known(frame)
    found: dict[str, RegisteredAgent] = {}
    ranked = "rank" in frame.columns
    for row in frame.iter_rows(named=True):
        name, earlier = row["agent_id"], found.get(row["agent_id"])
        stages = {**(earlier.stages if earlier else {}), str(row["version"]): row["stage"]}
        found[name] = RegisteredAgent(
            facts=known[name],
            version=str(row["version"]),
            stages=stages,
            owner=row["owner"],
            rank=int((row["rank"] if ranked else 0) or 0),
        )
    return found


def agents_of(lake: Lake, client: str) -> Agents:
    """Agents of the lake's `sources/agents`, read again within a second of its being written again."""
    kept: tuple[int | None, dict[str, RegisteredAgent]] | None = None
    looked = 0.0

    def read() -> Mapping[str, RegisteredAgent]:
        nonlocal kept, looked
        if kept is not None and time.monotonic() - looked < LOOK_AGAIN_SECONDS:
            return kept[1]
        version = lake.version(client, "sources/agents")
        if kept is None or kept[0] != version:
            kept = (version, registered_agents(lake.read(client, "sources/agents")))
        looked = time.monotonic()
        return kept[1]

    return read


def at_stage(agent: RegisteredAgent, version: str, stage: str | None) -> AgentFacts:
    """The agent's facts with the stage that its version is at now."""
    facts = agent.facts
    return facts if facts.stage == stage else replace(facts, stage=stage)
