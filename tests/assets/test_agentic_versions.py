"""From a finding about a version to what serves: a real prompt registry, a real ledger, the packaged policy."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from liftos_pipelines.assets.agentic_ledger import state_of
from liftos_pipelines.assets.agentic_movers import AgentStages, ModelMover, PromptMover, means_of
from liftos_pipelines.assets.agentic_reaction import Responder
from liftos_pipelines.modules.agentic import registry as registered
from liftos_pipelines.modules.agentic.proposals import Situation
from liftos_pipelines.resources.mlflow import MlflowResource
from liftos_pipelines.resources.model_registry import ModelRegistry
from liftos_pipelines.resources.policy_files import read_policy
from liftos_pipelines.resources.prompt_registry import PRODUCTION, PromptRegistry
from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.spine import outbox as staging
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.payloads import AgentRolloutDecided, LlmExperimentDecided, LlmRegressionDetected, Payload
from liftos_pipelines.tables import table

CLIENT = "acme"
NOW = datetime(2025, 9, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> MlflowResource:
    return MlflowResource(tracking_uri=f"sqlite:///{tmp_path_factory.mktemp('registry') / 'mlflow.db'}")


@pytest.fixture
def spine(home: Path) -> Spine:
    (home / "clients" / CLIENT).mkdir(parents=True)
    (home / "clients" / CLIENT / "client.yaml").write_text(f"client: {CLIENT}\n")
    return open_spine()


def prompt(tracking: MlflowResource, name: str) -> PromptRegistry:
    """A prompt whose first version serves and whose second is there to be tried."""
    registry = PromptRegistry(tracking.uri(), CLIENT)
    for label in ("1", "2"):
        registry.register(name, f"say it {label}", label=label)
    registry.set_alias(name, PRODUCTION, 1, by="eve", reason="begins")
    return registry


def agents(stage: str = "canary") -> pl.DataFrame:
    told = {"agent_id": "pacer", "type": "budget_allocator", "version": "2", "stage": stage, "capabilities": ["notify"]}
    columns = table("sources/agents").columns
    return pl.DataFrame([{name: told.get(name) for name in columns}], schema=columns)


def respond(spine: Spine, home: Path, tracking: MlflowResource, *payloads: Payload, stage: str = "canary") -> Any:
    for payload in payloads:
        spine.raise_event(CLIENT, payload, occurred_at=NOW)
    told, known = staging.Outbox(spine), agents(stage)
    table_of = Responder(
        client=CLIENT,
        spine=spine,
        told=told,
        policy=read_policy(None),
        situation=lambda: Situation.of(
            agents=registered.with_responder(known, "1"),
            campaigns=table("sources/campaigns").empty(),
            plan=table("causal/budget_plan").empty(),
            currency="EUR",
        ),
        folder=home,
        versions=dict,
        refittable=frozenset(),
        now=datetime.now(UTC),
        means=means_of(CLIENT, spine, home, tracking, known),
    ).answer()
    told.commit()
    return table_of


def decided(decision: str, name: str, **changed: Any) -> LlmExperimentDecided:
    said: dict[str, Any] = {
        "experiment": f"tone of {name}",
        "prompt_name": name,
        "arm": "prompt_version",
        "decision": decision,
        "variant_a": "1",
        "variant_b": "2",
        "metric": "feedback_positive",
        "looked_at": NOW,
        "p_b_better": 0.99,
        "expected_loss": 0.001,
        "reason": "the sequence leaves zero out",
        "version_a": "1",
        "version_b": "2",
        "estimate": 0.1,
        "low": 0.05,
        "high": 0.15,
    }
    return LlmExperimentDecided(**(said | changed))


def worse(name: str) -> LlmRegressionDetected:
    return LlmRegressionDetected(
        prompt_name=name,
        model="m",
        prompt_version="2",
        previous_model="m",
        previous_version="1",
        metric="groundedness",
        switched_at=NOW,
        estimate=-0.2,
        low=-0.25,
        high=-0.15,
        p_value_adjusted=0.001,
        n_before=400,
        n_after=200,
    )


def test_a_better_version_serves_once_a_person_agreed(spine: Spine, home: Path, tracking: MlflowResource) -> None:
    registry = prompt(tracking, "better")
    (row,) = respond(spine, home, tracking, decided("ship_b", "better")).iter_rows(named=True)
    assert (row["action"], row["status"]) == ("promote", "awaiting_approval")
    assert (row["predicted_effect"], row["predicted_low"], row["predicted_high"]) == (0.1, 0.05, 0.15)
    assert registry.alias("better", PRODUCTION) == 1
    (asked,) = spine.approvals(CLIENT)
    spine.decide_approval(CLIENT, asked.approval_id, given=True, approver="eve", reason="fine", now=datetime.now(UTC))
    (row,) = respond(spine, home, tracking).iter_rows(named=True)
    assert row["status"] == "executed"
    assert registry.alias("better", PRODUCTION) == 2
    moves = registry.history("better", PRODUCTION)
    assert (moves[-1].by, moves[-1].from_version, moves[-1].to_version) == (registered.RESPONDER, 1, 2)


def test_a_worse_version_that_serves_is_taken_back_without_a_hand_and_once(
    spine: Spine, home: Path, tracking: MlflowResource
) -> None:
    registry = prompt(tracking, "worse")
    registry.set_alias("worse", PRODUCTION, 2, by="eve", reason="tries it")
    (row,) = respond(spine, home, tracking, worse("worse")).iter_rows(named=True)
    assert (row["action"], row["status"]) == ("rollback", "executed")
    assert registry.alias("worse", PRODUCTION) == 1
    respond(spine, home, tracking)
    assert [move.to_version for move in registry.history("worse", PRODUCTION)] == [1, 2, 1]


def test_a_variant_whose_version_nobody_knows_moves_nothing_and_asks_a_person(
    spine: Spine, home: Path, tracking: MlflowResource
) -> None:
    registry = prompt(tracking, "unclear")
    events = (
        decided("ship_b", "unclear", arm="variant", version_b=None),
        decided("invalid_srm", "unclear", experiment="split"),
    )
    answered = respond(spine, home, tracking, *events)
    assert answered["action"].to_list() == ["open_ticket", "open_ticket"]
    assert registry.alias("unclear", PRODUCTION) == 1


def test_a_prompt_that_is_not_served_here_gets_a_written_order(
    spine: Spine, home: Path, tracking: MlflowResource
) -> None:
    (row,) = respond(spine, home, tracking, worse("elsewhere")).iter_rows(named=True)
    assert row["status"] == "executed"
    assert [file.name for file in (home / "rollbacks").iterdir()] == [f"{row['action_id']}.json"]


def rollout(decision: str, stage: str) -> AgentRolloutDecided:
    return AgentRolloutDecided(
        agent_id="pacer",
        version="2",
        from_version="1",
        to_version="2",
        from_stage="canary",
        stage=stage,
        decision=decision,
        reason="15 points of success",
    )


def test_an_agent_loses_authority_without_a_hand_and_gains_it_by_a_person_only(
    spine: Spine, home: Path, tracking: MlflowResource
) -> None:
    (row,) = respond(spine, home, tracking, rollout("promote", "live")).iter_rows(named=True)
    assert (row["action"], row["status"]) == ("move_agent", "awaiting_approval")
    assert AgentStages(spine, CLIENT, agents()).stage("pacer", "2") == "canary"
    answered = respond(spine, home, tracking, rollout("rollback", "shadow"))
    assert sorted(answered["status"]) == ["awaiting_approval", "executed"]
    assert AgentStages(spine, CLIENT, agents()).stage("pacer", "2") == "shadow"
    move = state_of(spine, CLIENT).moves[("pacer", "2")][-1]
    assert move.by == registered.RESPONDER
    assert move.evidence["action_id"] in state_of(spine, CLIENT).decided
    assert spine.verify_ledger(CLIENT).verified


def test_movers_know_only_what_is_registered(spine: Spine, tracking: MlflowResource) -> None:
    registry = prompt(tracking, "known")
    mover = PromptMover(registry)
    assert (mover.serving("known"), mover.serving("nobody")) == ("1", None)
    with pytest.raises(ValueError, match="version 9 is not registered; registered: 1, 2"):
        mover.move("known", "9", by="eve", reason="r")
    models = ModelMover(ModelRegistry(CLIENT, tracking))
    assert models.serving("causal/mmm_posterior") is None
    with pytest.raises(ValueError, match="version 1 is not registered"):
        models.move("causal/mmm_posterior", "1", by="eve", reason="r")
    assert AgentStages(spine, CLIENT, agents()).stage("pacer", "3") is None
