"""Lift Agentic's responses to what happened: proposed, judged, carried out or queued, all in the ledger first."""

from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg
import polars as pl

from liftos_pipelines.assets.agentic import package_version
from liftos_pipelines.assets.agentic_ledger import state_of
from liftos_pipelines.assets.agentic_movers import means_of
from liftos_pipelines.assets.agentic_precedents import Precedents
from liftos_pipelines.assets.agentic_reaction import Responder
from liftos_pipelines.assets.common import client_of, lift_asset, result
from liftos_pipelines.authority.policies import client_policy
from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.agentic import registry as registered
from liftos_pipelines.modules.agentic.lifecycle import with_stages
from liftos_pipelines.modules.agentic.proposals import Situation
from liftos_pipelines.modules.agentic.remedies import MARKETING_MIX, SENTIMENT
from liftos_pipelines.resources.lake import Lake, LakeResource
from liftos_pipelines.resources.memory_store import MemoryStoreResource
from liftos_pipelines.resources.mlflow import MlflowResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.accountability import explain_newest
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.explanation import explanation_markdown
from liftos_pipelines.spine.outbox import outbox

PROPOSED_FROM = ("sources/agents", "sources/campaigns", "causal/budget_plan")


@lift_asset(
    "agentic/proposals",
    deps=[name.split("/") for name in (*PROPOSED_FROM, "causal/impact", "agentic/stops")],
    kinds={"polars"},
    code_version="3",
)
def proposals(
    context: dg.AssetExecutionContext,
    spine: SpineResource,
    lake: LakeResource,
    memory: MemoryStoreResource,
    mlflow: MlflowResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """Responses to impacts, root causes, drifts, and better or worse versions: judged by the client's policy, then
    executed, queued for approval or denied, citing what memory knows of like contexts; an agent that was stopped
    decides nothing."""
    client, store, log = client_of(context), lake.get(), spine.get()
    agents, folder = store.read(client.client, "sources/agents"), store.folder(client.client, "agentic")
    responder = Responder(
        client=client.client,
        spine=log,
        told=outbox(context, log),
        policy=client_policy(client),
        situation=lambda: _situation(client, store, log),
        folder=folder,
        versions=lambda: {name: store.version(client.client, name) for name in PROPOSED_FROM},
        refittable=refittable(client),
        now=datetime.now(UTC),
        precedents=Precedents(memory.get(client.client)),
        means=means_of(client.client, log, folder, mlflow, agents),
        run_id=context.run_id,
    )
    answered = responder.answer()
    count = dict(answered["status"].value_counts().iter_rows())
    names = ("executed", "awaiting_approval", "waiting", "denied", "failed")
    newest = state_of(log, client.client).newest
    why = None if newest is None else explain_newest(log, client.client, newest)
    return result(
        answered,
        newest=dg.MetadataValue.md(explanation_markdown(why)) if why else "none",
        proposals=answered.height,
        unanswered="; ".join(responder.unanswered[:5]) or "none",
        **{name: count.get(name, 0) for name in names},
    )


_situations: dict[str, tuple[tuple[object, ...], Situation]] = {}


def _situation(client: ClientConfig, store: Lake, log: Spine) -> Situation:
    """What proposals are made from, read again only when one of its tables was written again, or an agent moved."""
    place, moves = store.path(client.client, PROPOSED_FROM[0]), state_of(log, client.client).moves
    moved = tuple((key, own[-1].to_stage) for key, own in sorted(moves.items()))
    mark = (place, client.currency, moved, *(store.version(client.client, name) for name in PROPOSED_FROM))
    kept = _situations.get(client.client)
    if kept is None or kept[0] != mark:
        own = store.read(client.client, "sources/agents")
        read = Situation.of(
            agents=registered.with_responder(with_stages(own, moves), package_version()),
            campaigns=store.read(client.client, "sources/campaigns"),
            plan=store.read(client.client, "causal/budget_plan"),
            currency=client.currency,
        )
        ranks = {row["agent_id"]: int(row.get("rank") or 0) for row in own.iter_rows(named=True)}
        known = {name: (version, owner, ranks.get(name, 0)) for name, (version, owner, _) in read.registered.items()}
        kept = _situations[client.client] = (mark, replace(read, registered=known))
    return kept[1]


def refittable(client: ClientConfig) -> frozenset[str]:
    """Models that a refit can change: the marketing mix always, the classifier only with labels of the client's own."""
    models = {MARKETING_MIX: client.sources.marketing, SENTIMENT: client.sources.labelled_mentions}
    return frozenset(model for model, source in models.items() if source is not None)
