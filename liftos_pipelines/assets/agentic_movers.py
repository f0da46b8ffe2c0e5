"""What LiftOS itself serves and can move: prompts and models by their aliases, agents by their stages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from liftos_pipelines.assets.agentic_ledger import state_of
from liftos_pipelines.assets.agentic_transitions import transition
from liftos_pipelines.modules.agentic.lifecycle import stage_of
from liftos_pipelines.modules.agentic.remedies import MARKETING_MIX
from liftos_pipelines.resources.actions import Means, Mover
from liftos_pipelines.resources.mlflow import MlflowResource
from liftos_pipelines.resources.model_registry import ModelRegistry
from liftos_pipelines.resources.prompt_registry import PRODUCTION, PromptRegistry
from liftos_pipelines.spine.database import Spine


class PromptMover:
    """Prompts of a client's registry: the version that `production` names serves. Versions are told by their labels."""

    def __init__(self, registry: PromptRegistry) -> None:
        self._registry = registry

    def serving(self, name: str) -> str | None:
        number = self._registry.alias(name, PRODUCTION)
        if number is None:
            return None
        found = next((each for each in self._registry.versions(name) if each.version == number), None)
        return None if found is None else found.label or str(found.version)

    def move(self, name: str, to_version: str, *, by: str, reason: str) -> str:
        versions = self._registry.versions(name)
        labelled = [each for each in versions if each.label == to_version]
        # The newest of a label; a version without one is told by its number.
        found = labelled or [each for each in versions if each.label is None and str(each.version) == to_version]
        if not found:
            known = ", ".join(each.label or str(each.version) for each in versions)
            raise ValueError(f"version {to_version} is not registered; registered: {known or 'none'}")
        move = self._registry.set_alias(name, PRODUCTION, found[-1].version, by=by, reason=reason)
        how = "moved" if move.moved else "stood there already"
        return f"{PRODUCTION} {how}: registry version {move.to_version}, which was {move.from_version}"


class ModelMover:
    """The marketing-mix model, whose champion alias says which version serves."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    def serving(self, name: str) -> str | None:
        champion = self._registry.champion() if name in (MARKETING_MIX, self._registry.name) else None
        return None if champion is None else str(champion.number)

    def move(self, name: str, to_version: str, *, by: str, reason: str) -> str:
        if not to_version.isdigit() or self._registry.version(int(to_version)) is None:
            raise ValueError(f"version {to_version} is not registered")
        self._registry.promote(int(to_version), datetime.now(UTC))
        return f"champion moved to version {to_version} by {by}: {reason}"


class AgentStages:
    """Stages of a client's registered agents: what `sources/agents` says, overlaid by the ledger."""

    def __init__(self, spine: Spine, client: str, agents: pl.DataFrame) -> None:
        self._spine, self._client = spine, client
        self._registered = {
            (agent_id, version): stage
            for agent_id, version, stage in agents.select("agent_id", "version", "stage").iter_rows()
        }

    def stage(self, agent_id: str, version: str) -> str | None:
        begins = self._registered.get((agent_id, version))
        if begins is None:
            return None
        return stage_of(state_of(self._spine, self._client).moves, agent_id, version, begins)

    def move(
        self, agent_id: str, version: str, to_stage: str, *, by: str, reason: str, evidence: Mapping[str, Any]
    ) -> str:
        made = transition(
            self._spine,
            self._client,
            agent_id,
            version,
            to_stage,
            by=by,
            reason=reason,
            evidence=evidence,
            registered=self._registered.get((agent_id, version)),
        )
        return f"agent {agent_id} {version} went from {made.from_stage} to {made.to_stage}"


def means_of(client: str, spine: Spine, folder: Path, mlflow: MlflowResource, agents: pl.DataFrame) -> Means:
    """What a client's orders are carried out with. `agents` : `sources/agents`; `folder` : the module's own files."""
    movers: Mapping[str, Mover] = {
        "prompt": PromptMover(PromptRegistry(mlflow.uri(), client)),
        "model": ModelMover(ModelRegistry(client, mlflow)),
    }
    return Means.of(folder, movers=movers, stages=AgentStages(spine, client, agents))
