"""What the client brings: one table a source, written only when its blocking checks pass.

A row that cannot be read goes to the source's quarantine with the reason; a file that cannot be trusted stops
its own source, names what to mend, and leaves the last good table in place. Other sources are not affected.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import DAILY, READ_AGAIN, SKIPPED, client_of, lift_asset, result, skipped
from liftos_pipelines.assets.ingestion import (
    MARKETING,
    Ingest,
    ingest_marketing,
    ingest_source,
    removes_where,
)
from liftos_pipelines.checks.expectations import check_results, check_specs
from liftos_pipelines.clients import ClientConfig, ClientError, clients_partitions
from liftos_pipelines.modules.sources import calendar
from liftos_pipelines.resources.lake import Lake, LakeResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.outbox import outbox
from liftos_pipelines.spine.payloads import CampaignStarted

Yielded = Iterator[dg.AssetCheckResult | dg.MaterializeResult[pl.DataFrame]]
KINDS = {"polars", "delta", "greatexpectations"}


def _publish(context: dg.AssetExecutionContext, ingest: Ingest, lake: Lake) -> Yielded:
    """Yield the checks, then the tables; a failed blocking check stops before any table is written.

    Raises
    ------
    dg.Failure : a blocking check failed; the message says file, row, column and fix
    """
    client = context.partition_key
    told = pl.concat([ingest.quarantine, ingest.made_null])
    if told.height:
        lake.append_quarantine(client, ingest.source, told)
    selected = {"/".join(key.path) for key in context.selected_asset_keys}
    wanted = {(check.asset_key, check.name) for check in context.selected_asset_check_keys}
    for name, verdicts in ingest.verdicts.items():
        for check in check_results(name, verdicts):
            if (check.asset_key, check.check_name) in wanted:
                yield check
    failures = ingest.failures()
    if failures:
        kept = "The last good table stays in place." if any(lake.exists(client, n) for n in selected) else ""
        raise dg.Failure(description="\n".join(dict.fromkeys([*failures, kept])).strip(), allow_retries=False)
    for name in sorted(selected):
        frame = ingest.tables[name]
        if frame.is_empty():
            yield _skip(name, f"{ingest.source}.{name.rsplit('_', 1)[-1]}")
            continue
        metadata = ingest.metadata.get(name, {}) | {"rows_set_aside": ingest.quarantine.height}
        stale = removes_where(name, frame, lake.read(client, name))
        if stale:
            metadata["removes_where"] = dg.MetadataValue.text(stale)
        yield _named(name, result(frame, **metadata))


def _skip_all(context: dg.AssetExecutionContext, source: str) -> Yielded:
    """An absent source: every check passes because there is nothing to judge, and every table says so."""
    for check in context.selected_asset_check_keys:
        yield dg.AssetCheckResult(
            asset_key=check.asset_key,
            check_name=check.name,
            passed=True,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"status": f"{SKIPPED} ({source})"},
        )
    for key in sorted(context.selected_asset_keys):
        yield _skip("/".join(key.path), source)


def _skip(name: str, source: str) -> dg.MaterializeResult[pl.DataFrame]:
    return _named(name, skipped(name, source))


def _named(name: str, materialized: dg.MaterializeResult[pl.DataFrame]) -> dg.MaterializeResult[pl.DataFrame]:
    return dg.MaterializeResult(asset_key=name.split("/"), value=materialized.value, metadata=materialized.metadata)


def _client(context: dg.AssetExecutionContext) -> ClientConfig:
    """The client's configuration; a broken one is the operator's to mend, so it is told without a stack."""
    try:
        return client_of(context)
    except ClientError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


def _ingest(context: dg.AssetExecutionContext, source: str, lake: Lake) -> Yielded:
    client = _client(context)
    configured = getattr(client.sources, source)
    if configured is None:
        yield from _skip_all(context, source)
    else:
        yield from _publish(context, ingest_source(client, source, configured, datetime.now(UTC)), lake)


def _file_source(source: str, description: str) -> dg.AssetsDefinition:
    """The asset `sources/<source>` of a source that is one table."""
    name = f"sources/{source}"

    @lift_asset(name, description=description, kinds=KINDS, check_specs=check_specs(name))
    def ingest(context: dg.AssetExecutionContext, lake: LakeResource):  # type: ignore[no-untyped-def]
        yield from _ingest(context, source, lake.get())

    return ingest


@dg.multi_asset(
    name="sources_marketing",
    specs=[
        dg.AssetSpec(
            key=name.split("/"),
            description=description,
            group_name="sources",
            owners=["team:sources"],
            kinds=KINDS,
            freshness_policy=DAILY,
        ).with_io_manager_key("lake_io")
        for name, description in zip(
            MARKETING,
            (
                "The KPI by date and geo, with revenue and population where the client knows them.",
                "Spend and exposure by date, geo and channel; paid and organic.",
                "What else moves the KPI, by date and geo; texts such as event names became 0/1 columns.",
            ),
            strict=True,
        )
    ],
    check_specs=[spec for name in MARKETING for spec in check_specs(name, of_files=name == MARKETING[0])],
    partitions_def=clients_partitions,
    retry_policy=READ_AGAIN,
    can_subset=True,
)
def marketing(context: dg.AssetExecutionContext, lake: LakeResource):  # type: ignore[no-untyped-def]
    """The wide marketing table, mapped as client.yaml says: read once, judged whole, three tables."""
    client = _client(context)
    configured = client.sources.marketing
    if configured is None:
        yield from _skip_all(context, "marketing")
    else:
        yield from _publish(context, ingest_marketing(client, configured, datetime.now(UTC)), lake.get())


experiments = _file_source("experiments", "Lift tests: incremental outcome and its standard error, by channel.")
mentions = _file_source("mentions", "What people say: text, time, source, and the campaign where known.")
labelled_mentions = _file_source("labelled_mentions", "The client's own sentiment labels, to retrain on.")
answers = _file_source("answers", "Answers of AI assistants to prompts, with their citations.")
pages = _file_source("pages", "The client's web pages, as HTML, by canonical address.")
llm_calls = _file_source("llm_calls", "Calls to language models: input, context, output, latency, tokens.")
agents = _file_source("agents", "Registered agents: owner, version, stage, capabilities, budget.")
agent_steps = _file_source("agent_steps", "What agents did, step by step, with tools, cost and reward.")
outcomes = _file_source("outcomes", "What past decisions led to: effect and standard error.")
notes = _file_source("notes", "What the organisation wrote down: post-mortems, briefs, conversations.")


@lift_asset("sources/campaigns", kinds=KINDS, check_specs=check_specs("sources/campaigns"))
def campaigns(context: dg.AssetExecutionContext, lake: LakeResource, spine: SpineResource):  # type: ignore[no-untyped-def]
    """Campaigns with their dates; each one that has begun raises `campaign_started`, once."""
    for step in _ingest(context, "campaigns", lake.get()):
        if isinstance(step, dg.MaterializeResult) and step.value is not None and step.value.height:
            raised = _raise_started(context, step.value, lake.get(), spine)
            step = dg.MaterializeResult(
                asset_key=step.asset_key, value=step.value, metadata=dict(step.metadata or {}) | raised
            )
        yield step


DATED: Sequence[str] = ("marketing_outcome", "mentions", "answers", "llm_calls")


def _raise_started(
    context: dg.AssetExecutionContext, table: pl.DataFrame, lake: Lake, spine: SpineResource
) -> dict[str, Any]:
    # Data may run ahead of the clock (a simulated world) or behind it (a late delivery): a campaign has begun
    # by whichever is later.
    known = calendar.newest_date([lake.read(context.partition_key, f"sources/{name}") for name in DATED])
    today = datetime.now(UTC).date()
    started = calendar.begun(table, max(known or today, today))
    for row in started.iter_rows(named=True):
        outbox(context, spine).raise_event(
            context.partition_key,
            CampaignStarted(
                campaign_id=row["campaign_id"],
                name=row["name"],
                start=row["start"],
                channel=row["channel"],
                budget=row["budget"],
            ),
            occurred_at=datetime.combine(row["start"], time(), tzinfo=UTC),
        )
    return {"campaigns_begun": dg.MetadataValue.float(float(started.height))}
