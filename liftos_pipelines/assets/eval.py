"""Lift Eval's assets: promises measured, drift, root causes, the roll-up of all clients, and the trust pulse page.

They read what the other modules stored, whatever of it there is: a table that was never made counts as empty,
so a module that failed shows up as unknown here instead of keeping this page from being made.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import DAILY, client_of, inputs, lift_asset, markdown_table, result, skipped
from liftos_pipelines.assets.eval_causes import changes_known, tell_causes, windows_of
from liftos_pipelines.clients import ClientConfig, clients_partitions, list_clients
from liftos_pipelines.modules.eval.changes import with_changes
from liftos_pipelines.modules.eval.drift import drift as drift_of
from liftos_pipelines.modules.eval.drift import drifted_columns, watched
from liftos_pipelines.modules.eval.loops import EventRecord, loops
from liftos_pipelines.modules.eval.page import Pulse, trust_page
from liftos_pipelines.modules.eval.root_causes import (
    NONE_FOUND,
    UNEXPLAINED,
    explain,
    promise_incidents,
    sentiment_incidents,
)
from liftos_pipelines.modules.eval.slo import Slo, parse_slos, with_overrides
from liftos_pipelines.modules.eval.trust import degraded, inventory, platform, score, tables_needed, together
from liftos_pipelines.modules.eval.views import INVENTORY, TIMES, newest_data, tables_for
from liftos_pipelines.resources.lake import PLATFORM, PLATFORM_WIDE, Lake, LakeResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.outbox import outbox
from liftos_pipelines.spine.payloads import DriftDetected, TrustDegraded
from liftos_pipelines.tables import ALL, TABLES
from liftos_pipelines.templates.loader import load_template

"""Below the lake's root; no client can be named so, since ids begin with a letter or digit."""
LOOP_DAYS = 28

DEFAULT_SLOS = parse_slos(
    files("liftos_pipelines").joinpath("slos/default.yaml").read_text(encoding="utf-8"), "slos/default.yaml"
)
CAUSED_BY = (
    *("eval/trust_scores", "eval/drift", "sentiment/alerts", "sentiment/mention_scores", "causal/impact"),
    "sources/campaigns",
)
SOURCE_TABLES = tuple(name for name in TABLES if name.startswith("sources/"))
SCORED = tuple(sorted({*tables_needed(DEFAULT_SLOS), *SOURCE_TABLES}))
WATCHED = tuple(sorted({name for item in watched({}) if item.dataset in TABLES for name in tables_for(item.dataset)}))


def client_slos(config: ClientConfig) -> tuple[Slo, ...]:
    """The packaged promises, changed by the industry's template, then by `slos:` in the client's `client.yaml`."""
    template = load_template(config.industry, config.folder)
    for_industry = with_overrides(DEFAULT_SLOS, template.slos, f"template {template.name}")
    return with_overrides(for_industry, config.slos, str(config.folder / "client.yaml"))


@lift_asset("eval/drift", deps=[name.split("/") for name in WATCHED], kinds={"polars"}, code_version="1")
def drift(
    context: dg.AssetExecutionContext, lake: LakeResource, spine: SpineResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """The newest weeks of the main tables against older ones: PSI, KS, chi-square and Wasserstein with thresholds
    that grow with chance at this sample size and with clustering by day, adjusted together; an effect floor."""
    client = context.partition_key
    found = drift_of(_read(lake.get(), client, WATCHED))
    if found.is_empty():
        return skipped("eval/drift", "no table with dated rows")
    columns = drifted_columns(found)
    for row in columns.iter_rows(named=True):
        outbox(context, spine).raise_event(
            client,
            DriftDetected(
                dataset=row["dataset"], column=row["column"], as_of=row["as_of"], test=row["test"],
                statistic=row["statistic"], p_value_adjusted=row["p_value_adjusted"],
                estimated_performance_loss=row["estimated_performance_loss"],
            ),
            occurred_at=_midnight(row["as_of"]),
        )  # fmt: skip
    loss = found["estimated_performance_loss"].drop_nulls()
    return result(
        found,
        drifted_columns=columns.height,
        tested=found["p_value_adjusted"].count(),
        insufficient_data=found["p_value_adjusted"].null_count(),
        estimated_performance_loss=float(loss[0]) if loss.len() else None,
    )


@lift_asset("eval/trust_scores", deps=[name.split("/") for name in SCORED], kinds={"polars", "yaml"}, code_version="1")
def trust_scores(
    context: dg.AssetExecutionContext, lake: LakeResource, spine: SpineResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Every promise with its value, the probability that it holds, n and age; a promise that nothing measures is
    unknown, neither kept nor broken. Each row holds the counters its verdict can be recomputed from."""
    config, store = client_of(context), lake.get()
    slos = client_slos(config)
    frames = scored_frames(store, config.client, slos)
    scores = score(slos, frames, now=datetime.now(UTC), names=_names(config))
    reach = newest_data(frames)
    for row in degraded(scores).iter_rows(named=True):
        if reach is None:  # without a dated row there is no cause that would stay the same in the next run
            break
        moment = row["newest"] or reach
        outbox(context, spine).raise_event(
            config.client,
            TrustDegraded(
                module=row["module"], slo=row["slo"], as_of=moment.date(), value=row["value"],
                threshold=row["threshold"], probability_met=row["probability_met"],
            ),
            occurred_at=moment,
        )  # fmt: skip
    overall = together(ALL, scores)
    return result(
        scores,
        promises=overall.slos,
        kept_beyond_doubt=overall.clearly_met,
        kept_share=overall.clearly_met / overall.slos if overall.slos else None,
        broken=overall.missed,
        unknown=overall.unknown,
        probability_all_known_kept=overall.at_most,
    )


@lift_asset(
    "eval/root_causes",
    ins=inputs("eval/trust_scores"),
    deps=[name.split("/") for name in CAUSED_BY if name != "eval/trust_scores"],
    kinds={"polars"},
    code_version="2",
)
def root_causes(
    context: dg.AssetExecutionContext, trust_scores: pl.DataFrame, lake: LakeResource, spine: SpineResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """What alerts and broken promises come from: broken data contracts first, then the segments and shifts of mix in
    which the change sits beyond chance (exact Shapley parts, 90 % intervals by day), then inputs that drifted and
    versions that were replaced in time (their share is unknown), then what is left unexplained. A promise that broke is
    answered: the decisions that rest on it are traced, its cause is written into the ledger and told on."""
    config, store = client_of(context), lake.get()
    slos = client_slos(config)
    extra = ("sentiment/alerts", *tables_for("sentiment/mention_scores"), "sources/campaigns")
    frames = scored_frames(store, config.client, slos) | _read(store, config.client, extra)
    drops = spine.get().events(config.client, types=["sentiment_drop_detected"])
    frames |= {"sentiment/alerts": _with_windows(frames["sentiment/alerts"], drops)}
    impacts = _impacts_of_alerts(store.read(config.client, "causal/impact"), drops)
    incidents = [
        *sentiment_incidents(frames, impacts),
        *promise_incidents(slos, degraded(trust_scores), frames, _names(config)),
    ]
    broken = degraded(trust_scores)
    log, versions = spine.get(), {name: store.version(config.client, name) for name in CAUSED_BY}
    causes = with_changes(
        explain(incidents, trust_scores, frames["sources/campaigns"]),
        changes_known(frames, store.read(config.client, "eval/drift"), log, config.client),
        windows_of(broken),
    )
    answered, unanswered = tell_causes(
        outbox(context, spine), log, config.client, causes, trust_scores, versions, run_id=context.run_id
    )
    for why in unanswered:
        context.log.warning(f"cannot answer {why}")
    named = causes.filter(~pl.col("cause").is_in([NONE_FOUND, UNEXPLAINED]))
    return result(
        causes,
        incidents=len(incidents),
        explained=named["incident_id"].n_unique(),
        without_a_cause=len(incidents) - named["incident_id"].n_unique(),
        broken_promises_answered=answered,
        broken_promises_unanswered="; ".join(unanswered[:5]) or "none",
    )


@dg.asset(
    key=["eval", "platform_trust"],
    group_name="eval",
    owners=["team:eval"],
    freshness_policy=DAILY,
    kinds={"polars"},
    deps=[dg.AssetDep(["eval", "trust_scores"], partition_mapping=dg.AllPartitionMapping())],
)
def platform_trust(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult[Any]:
    """All clients' modules side by side: promises kept, unknown, and the probability that all of them hold."""
    store = lake.get()
    roll_up = platform({client: store.read(client, "eval/trust_scores") for client in list_clients()})
    store.write(PLATFORM, PLATFORM_WIDE, roll_up)
    totals = roll_up.filter(pl.col("module") == ALL)
    return dg.MaterializeResult(
        metadata={
            "dagster/uri": store.path(PLATFORM, PLATFORM_WIDE),
            "dagster/row_count": roll_up.height,
            "clients": float(totals.height),
            "promises": float(totals["slos"].sum()),
            "unknown": float(totals["unknown"].sum()),
            "preview": dg.MetadataValue.md(markdown_table(totals)),
        }
    )


@dg.asset(
    key=["eval", "trust_pulse"],
    partitions_def=clients_partitions,
    group_name="eval",
    owners=["team:eval"],
    freshness_policy=DAILY,
    kinds={"html"},
    deps=[["eval", name] for name in ("trust_scores", "drift", "root_causes")] + [["memory", "patterns"]],
)
def trust_pulse(
    context: dg.AssetExecutionContext, lake: LakeResource, spine: SpineResource
) -> dg.MaterializeResult[Any]:
    """One self-contained HTML page for those who decide: how far this client's figures can be trusted, in words,
    with the reasons, the unknowns and the closed loops. The file's path is in the metadata; it opens offline."""
    client, store, now = context.partition_key, lake.get(), datetime.now(UTC)
    frames = _read(store, client, [name for name in TIMES if name.startswith("sources/")])
    reach = newest_data(frames)
    events = [
        EventRecord(
            event_id=event.event_id, type=event.type, occurred_at=event.occurred_at,
            payload=event.payload.model_dump(), causation_id=event.causation_id, recorded_at=event.recorded_at,
        )
        for event in spine.get().events(client)
    ]  # fmt: skip
    since = now - timedelta(days=LOOP_DAYS)
    pulse = Pulse(
        client=client,
        now=now,
        newest=reach,
        scores=store.read(client, "eval/trust_scores"),
        drift=store.read(client, "eval/drift"),
        causes=store.read(client, "eval/root_causes"),
        loops=loops(events, store.read(client, "memory/patterns"), since=since),
    )
    content = trust_page(pulse).encode()
    path = store.folder(client, "eval") / "trust_pulse.html"
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)
    overall = together(ALL, pulse.scores)
    return dg.MaterializeResult(
        metadata={
            "page": dg.MetadataValue.path(str(path)),
            "sha256": hashlib.sha256(content).hexdigest(),
            "kilobytes": len(content) / 1024,
            "generated_at": now.isoformat(timespec="seconds"),
            "kept_beyond_doubt": float(overall.clearly_met),
            "promises": float(overall.slos),
            "unknown": float(overall.unknown),
            "closed_loops": float(sum(loop.closed for loop in pulse.loops)),
        }
    )


def scored_frames(store: Lake, client: str, slos: Sequence[Slo]) -> dict[str, pl.DataFrame]:
    """All tables that promises are measured on, and the inventory of the sources."""
    frames = _read(store, client, {*SOURCE_TABLES, *tables_needed(slos)})
    quarantined = {name.split("/")[1]: store.quarantine(client, name.split("/")[1]).height for name in SOURCE_TABLES}
    # Marketing is one file but three tables: its unreadable rows count once, with the outcome's.
    quarantined["marketing_outcome"] += store.quarantine(client, "marketing").height
    return frames | {INVENTORY: inventory(frames, quarantined)}


def _read(store: Lake, client: str, names: Iterable[str]) -> dict[str, pl.DataFrame]:
    return {name: store.read(client, name) for name in sorted(set(names))}


def _names(config: ClientConfig) -> dict[str, Any]:
    return {"brand": config.brand.name if config.brand else None}


def _with_windows(alerts: pl.DataFrame, drops: Sequence[Any]) -> pl.DataFrame:
    """Each alert's own window, as its event stated it; null where no event was raised."""
    if "window_start" in alerts.columns and "window_end" in alerts.columns:
        return alerts
    stated = pl.DataFrame(
        [
            {
                "alert_id": drop.payload.alert_id,
                "window_start": drop.payload.window_start,
                "window_end": drop.payload.window_end,
            }
            for drop in drops
        ],
        schema={"alert_id": pl.String, "window_start": pl.Date, "window_end": pl.Date},
    )
    return alerts.join(stated.unique("alert_id", keep="last"), on="alert_id", how="left")


def _impacts_of_alerts(impacts: pl.DataFrame, drops: Sequence[Any]) -> pl.DataFrame:
    by_event = pl.DataFrame(
        [{"event_id": drop.event_id, "alert_id": drop.payload.alert_id} for drop in drops],
        schema={"event_id": pl.String, "alert_id": pl.String},
    )
    return impacts.drop("alert_id", strict=False).join(by_event, on="event_id", how="inner")


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
