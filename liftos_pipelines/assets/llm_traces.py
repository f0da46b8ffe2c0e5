"""Calls as MLflow shows them: prompts in its registry, and every recorded call as a trace with its own times."""

from datetime import UTC, datetime
from time import monotonic

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.modules.llm.prompts import UNREGISTERED, Registered, prompt_report
from liftos_pipelines.modules.llm.recorded.spans import UNKNOWN
from liftos_pipelines.modules.llm.traces import CallTrace, call_traces
from liftos_pipelines.resources.call_prices import client_prices, dollar_rate
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.mlflow import MlflowResource
from liftos_pipelines.resources.mlflow_traces import TraceStore
from liftos_pipelines.resources.prompt_files import read_templates
from liftos_pipelines.resources.prompt_registry import PromptRegistry, registered_name
from liftos_pipelines.tables import table

PROMPTS, TRACES = "llm/prompts", "llm/traces"
LOOKED_AFTER = 20
"""Traces of earlier imports that are looked for in MLflow: when none is there, the store is a new one."""
TELL_AFTER = 10.0
"""Seconds between two lines of progress."""


@lift_asset(PROMPTS, ins=inputs("sources/llm_calls"), kinds={"mlflow", "polars"}, code_version="1")
def prompts(
    context: dg.AssetExecutionContext, llm_calls: pl.DataFrame, mlflow: MlflowResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Prompt versions in MLflow's registry with their aliases and calls; those called without a template are listed
    as `unregistered`. Templates of the client's folder are registered once; no alias is moved here."""
    client = client_of(context)
    templates = read_templates(client)
    if llm_calls.is_empty() and not templates:
        return skipped(PROMPTS, "llm_calls")
    registry = PromptRegistry(mlflow.uri(), client.client)
    before = {name: registry.versions(name) for name in registry.names()}
    added = 0
    for template in templates:
        known = before.get(template.name, [])
        if any(each.template == template.text and each.label == template.label for each in known):
            continue
        registry.register(template.name, template.text, label=template.label, commit_message=template.message)
        added += 1
    names = sorted(set(before) | {template.name for template in templates})
    versions = [
        Registered(
            name=each.name, version=each.version, label=each.label, template=each.template,
            template_hash=each.template_hash, aliases=each.aliases, created=each.created,
        )
        for name in names
        for each in (registry.versions(name) if added else before[name])
    ]  # fmt: skip
    report = prompt_report(llm_calls, versions)
    return result(
        report,
        prompts=report["prompt_name"].n_unique(),
        versions_registered_now=added,
        unregistered=(report["status"] == UNREGISTERED).sum(),
        calls_without_a_prompt=(llm_calls["prompt_name"] == UNKNOWN).sum(),
    )


@lift_asset(
    TRACES,
    ins=inputs("sources/llm_calls", "llm/call_scores", PROMPTS),
    kinds={"mlflow", "polars"},
    code_version="1",
)
def traces(
    context: dg.AssetExecutionContext,
    llm_calls: pl.DataFrame,
    call_scores: pl.DataFrame,
    prompts: pl.DataFrame,
    mlflow: MlflowResource,
    lake: LakeResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """Every recorded call as an MLflow trace, with the time at which it happened, tokens, cost, prompt and feedback;
    a call that is there already is not written again."""
    if llm_calls.is_empty():
        return skipped(TRACES, "llm_calls")
    client = client_of(context)
    made = call_traces(
        client.client, llm_calls, call_scores, client_prices(client), _numbers(client.client, prompts),
        usd_rate=dollar_rate(client),
    )  # fmt: skip
    store = TraceStore(mlflow.uri(), client.client)
    earlier = _kept(store, lake.get().read(client.client, TRACES))
    hashes = dict(earlier.select("call_id", "content_hash").iter_rows())
    new = [trace for trace in made if hashes.get(trace.call_id) != trace.content_hash]
    began = told = monotonic()
    written = done = 0
    for count in store.write(new):
        written += count
        done = min(len(new), done + store.batch)
        if monotonic() - told > TELL_AFTER:
            told = monotonic()
            context.log.info(f"{done:,} of {len(new):,} calls are in MLflow")
    taken = monotonic() - began
    imported = pl.concat([earlier.join(_table(new), on="call_id", how="anti"), _table(new)])
    return result(
        imported.sort("started_at", "call_id"),
        calls_written=written,
        calls_there_already=len(made) - written,
        calls_per_second=written / taken if written else None,
        with_cost=sum(bool(trace.dollars) for trace in made) / len(made),
        with_prompt=sum(trace.prompt is not None for trace in made) / len(made),
        experiment=client.client,
        # MLflow shows the last seven days at first, and a page for beginners where those have no calls.
        in_mlflow=f"experiment {client.client}, Traces, with the time range set to All",
    )


def _numbers(client: str, prompts: pl.DataFrame) -> dict[tuple[str, str], tuple[str, int]]:
    """(prompt_name, prompt_version) -> name and number in MLflow, of what is registered."""
    current = prompts.filter(pl.col("status") == "registered")
    return {
        (name, label): (registered_name(client, name), version)
        for name, label, version in current.select("prompt_name", "prompt_version", "version").iter_rows()
    }


def _kept(store: TraceStore, earlier: pl.DataFrame) -> pl.DataFrame:
    """What earlier imports wrote, if MLflow's store is still that one; what was deleted there stays deleted."""
    newest = earlier.sort("started_at", descending=True).head(LOOKED_AFTER)["trace_id"].to_list()
    return earlier.clear() if newest and store.missing(newest) == len(newest) else earlier


def _table(traces: list[CallTrace]) -> pl.DataFrame:
    now = datetime.now(UTC)
    rows = [
        {
            "call_id": trace.call_id,
            "trace_id": trace.trace_id,
            "started_at": trace.started_at,
            "status": trace.status,
            "imported_at": now,
            "content_hash": trace.content_hash,
        }
        for trace in traces
    ]
    return pl.DataFrame(rows, schema=table(TRACES).columns)
