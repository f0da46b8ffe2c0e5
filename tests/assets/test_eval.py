"""The eval assets on a real lake, spine and Dagster instance."""

from __future__ import annotations

import sys
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "modules" / "eval"))
import eval_worlds as world

from liftos_pipelines.assets import eval as assets
from liftos_pipelines.checks import eval as checks
from liftos_pipelines.clients import clients_partitions
from liftos_pipelines.modules.eval.slo import SloError
from liftos_pipelines.resources.lake import Lake, LakeIOManager, LakeResource
from liftos_pipelines.resources.spine import SpineResource, open_spine
from liftos_pipelines.spine.payloads import SentimentDropDetected

CLIENT = "acme"
EVAL = [assets.drift, assets.trust_scores, assets.root_causes, assets.trust_pulse]
CHECKS = [checks.verdicts_recompute, checks.promises_hold, checks.no_costly_drift]


def make_client(home: Path, client: str = CLIENT, more: str = "") -> Lake:
    folder = home / "clients" / client
    folder.mkdir()
    (folder / "client.yaml").write_text(f"client: {client}\nbrand: {{name: Acme}}\n{more}")
    return Lake(str(home / "lake"))


def fill(lake: Lake, frames: dict[str, pl.DataFrame], client: str = CLIENT) -> None:
    for name, frame in frames.items():
        if frame.height and name != "sources/inventory":
            lake.write(client, name, frame)


def run(
    instance: dg.DagsterInstance, selection: list[dg.AssetsDefinition] | None = None, client: str | None = CLIENT
) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("clients", [client or CLIENT])
    return dg.materialize(
        [*(selection or EVAL), *(CHECKS if selection is None else [])],
        instance=instance,
        partition_key=client,
        resources={"lake_io": LakeIOManager(), "lake": LakeResource(), "spine": SpineResource()},
    )


@pytest.fixture
def troubled(home: Path) -> Lake:
    """A client with a bad prompt version and a campaign that turned sour, its alert in the spine."""
    lake = make_client(home)
    frames = world.full_world(1, bad_version_from=20, bad_drop=0.8, grounded=0.74)
    frames |= world.sentiment_world(np.random.default_rng(4), drop_campaign="spring")
    fill(lake, frames | {"sentiment/alerts": world.alert().drop("window_start", "window_end")})
    open_spine().raise_event(
        CLIENT,
        SentimentDropDetected(
            alert_id="a1", campaign_id="spring", detected_at=world.LAST, window_start=world.LAST.date().replace(day=24),
            window_end=world.LAST.date(), severity=0.8, effect=-0.5, n=100,
        ),
        occurred_at=world.LAST,
    )  # fmt: skip
    return lake


def test_a_troubled_client_gets_verdicts_causes_events_and_a_page(troubled: Lake, instance: dg.DagsterInstance) -> None:
    outcome = run(instance)
    scores, causes = troubled.read(CLIENT, "eval/trust_scores"), troubled.read(CLIENT, "eval/root_causes")
    assert scores.filter(pl.col("slo") == "groundedness")["met"].item() == "no"
    first = causes.filter(pl.col("rank") == 1)
    assert {"campaign_id = spring", "prompt_version = v2 (new)"} <= set(first["cause"].to_list())
    spine = open_spine()
    degraded = spine.events(CLIENT, types=["trust_degraded"])
    assert [(event.payload.module, event.payload.slo) for event in degraded] == [("llm", "groundedness")]  # type: ignore[attr-defined]
    assert spine.events(CLIENT, types=["drift_detected"])
    page = troubled.folder(CLIENT, "eval") / "trust_pulse.html"
    assert "Take care: 1 promise broken, in LLM." in page.read_text()
    metadata = outcome.asset_materializations_for_node("eval__trust_pulse")[0].metadata
    assert metadata["page"].value == str(page)
    verdicts = {item.check_name: (item.passed, item.severity) for item in outcome.get_asset_check_evaluations()}
    assert verdicts["verdicts_recompute"][0]
    assert verdicts["promises_hold"] == (False, dg.AssetCheckSeverity.WARN)
    assert verdicts["no_costly_drift"] == (False, dg.AssetCheckSeverity.WARN)


def test_running_again_raises_nothing_twice(troubled: Lake, instance: dg.DagsterInstance) -> None:
    run(instance)
    before = [event.event_id for event in open_spine().events(CLIENT)]
    scores = troubled.read(CLIENT, "eval/trust_scores")
    run(instance)
    assert [event.event_id for event in open_spine().events(CLIENT)] == before
    assert troubled.read(CLIENT, "eval/trust_scores").drop("age_hours").equals(scores.drop("age_hours"))


def test_a_client_without_anything_gets_a_page_of_unknowns(home: Path, instance: dg.DagsterInstance) -> None:
    lake = make_client(home)
    outcome = run(instance)
    assert outcome.success
    assert lake.read(CLIENT, "eval/trust_scores")["met"].unique().to_list() == ["unknown"]
    assert lake.status(CLIENT, "eval/drift").startswith("skipped: no source")
    assert "Trust is unknown." in (lake.folder(CLIENT, "eval") / "trust_pulse.html").read_text()
    assert open_spine().events(CLIENT) == []
    assert all(item.passed for item in outcome.get_asset_check_evaluations())


def test_a_tampered_verdict_stops_what_is_downstream(troubled: Lake, instance: dg.DagsterInstance) -> None:
    run(instance)
    scores = troubled.read(CLIENT, "eval/trust_scores")
    assert checks.verdicts_recompute(scores).passed
    flattering = scores.with_columns(pl.col("probability_met").fill_null(1.0))
    assert not checks.verdicts_recompute(flattering).passed
    assert not checks.verdicts_recompute(scores.with_columns(pl.col("threshold") * 1.5)).passed


def test_a_clients_own_promises_count_and_a_wrong_one_names_the_field(home: Path, instance: dg.DagsterInstance) -> None:
    lake = make_client(home, more="slos: {llm.latency_p95: 100}\n")
    fill(lake, world.full_world(1))
    run(instance, [assets.trust_scores])
    row = lake.read(CLIENT, "eval/trust_scores").filter(pl.col("slo") == "latency_p95").row(0, named=True)
    assert (row["threshold"], row["met"]) == (100.0, "no")
    make_client(home, "other", more="slos: {llm.latency_p59: 100}\n")
    with pytest.raises(SloError, match=r"other/client.yaml: slos.llm.latency_p59.*latency_p95"):
        run(instance, [assets.trust_scores], "other")


def test_the_roll_up_reads_every_client(home: Path, instance: dg.DagsterInstance) -> None:
    lake = make_client(home)
    fill(lake, world.full_world(1))
    make_client(home, "other")
    run(instance, [assets.trust_scores])
    outcome = run(instance, [assets.platform_trust], None)
    stored = pl.read_delta(f"{lake.root}/_platform/eval/platform_trust")
    totals = dict(stored.filter(pl.col("module") == "all").select("client", "slos").iter_rows())
    assert totals == {CLIENT: len(assets.DEFAULT_SLOS), "other": 0}  # never scored: nothing is claimed of it
    run(instance, [assets.trust_scores], "other")
    run(instance, [assets.platform_trust], None)
    stored = pl.read_delta(f"{lake.root}/_platform/eval/platform_trust")
    assert (
        dict(stored.filter(pl.col("module") == "all").select("client", "unknown").iter_rows())["other"]
        == totals[CLIENT]
    )
    assert outcome.asset_materializations_for_node("eval__platform_trust")[0].metadata["clients"].value == 2.0
    assert assets.platform_trust.partitions_def is None
    assert assets.trust_pulse.partitions_def == clients_partitions
