"""Remedies that a run of the platform carries out, and what became of them."""

from datetime import UTC, datetime

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import lift_asset, result
from liftos_pipelines.modules.agentic.remedies import MARKETING_MIX, SENTIMENT
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.outbox import outbox
from liftos_pipelines.spine.payloads import RemediationOrdered
from liftos_pipelines.tables import SOURCES, TABLES, table

TABLE = "agentic/remediations"
REFIT_MIX, REFIT_SENTIMENT, REINGEST = "remedy/refit_mix", "remedy/refit_sentiment", "remedy/reingest"
REACTIONS = {MARKETING_MIX: REFIT_MIX, SENTIMENT: REFIT_SENTIMENT} | {f"sources/{name}": REINGEST for name in SOURCES}
"""Reaction that makes a dataset anew; each run of one ends in this table."""
MADE = {MARKETING_MIX: "causal/champion", SENTIMENT: "sentiment/mention_scores"}
"""Table that stands for a model: what a refit ends in."""


@lift_asset(
    TABLE,
    deps=[["causal", "champion"], ["sentiment", "mention_scores"], *(["sources", name] for name in SOURCES)],
    kinds={"polars"},
    code_version="1",
)
def remediations(
    context: dg.AssetExecutionContext, spine: SpineResource, lake: LakeResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Refits and re-ingestions that a root cause or a drift led to: when ordered, when done, and the version of the
    table that they left."""
    client, log, store, now = context.partition_key, spine.get(), lake.get(), datetime.now(UTC)
    contract, told = table(TABLE), outbox(context, spine)
    done = {row["action_id"]: row for row in store.read(client, TABLE).iter_rows(named=True) if row["status"] == "done"}
    mine = reaction_of_run(context)
    rows = []
    for event in log.events(client, [RemediationOrdered.type]):
        said = event.payload
        assert isinstance(said, RemediationOrdered)
        own = REACTIONS.get(said.dataset)
        for other in {*REACTIONS.values()} - {own}:
            told.mark_handled(event.event_id, other)
        row = done.get(said.action_id)
        if row is None:
            # Only the run that was asked for it makes the dataset anew; another one leaves it ordered.
            carried = own is not None and own == mine
            made = MADE.get(said.dataset, said.dataset)
            row = {
                "action_id": said.action_id,
                "action": said.action,
                "dataset": said.dataset,
                "event_id": event.event_id,
                "ordered_at": event.recorded_at,
                "done_at": now if carried else None,
                "status": "done" if carried else "ordered",
                "lake_version": store.version(client, made) if carried and made in TABLES else None,
            }
        if row["status"] == "done":
            told.mark_handled(event.event_id, REACTIONS[said.dataset])
        rows.append({name: row[name] for name in contract.columns})
    frame = pl.DataFrame(rows, schema=contract.columns)
    return result(frame, ordered=frame.height, done=(frame["status"] == "done").sum())


def reaction_of_run(context: dg.AssetExecutionContext) -> str | None:
    """The reaction that a run was started for, by its tag."""
    return context.run.tags.get("liftos/reaction")
