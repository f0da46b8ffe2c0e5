"""Causal's assets on a real instance: a small world goes through, an absent source is skipped, events are answered."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from assets.causal_running import Run, checks_of, metadata_of, runner, write_client
from modules.causal.causal_worlds import World, make_world

from liftos_pipelines.checks.causal import GATES
from liftos_pipelines.modules.causal.checks.validation import NAMES
from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.resources.mlflow import MlflowResource
from liftos_pipelines.resources.posterior_io import PosteriorAbsent, PosteriorIOManager
from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.spine.payloads import AlgorithmChangeDetected, SentimentDropDetected
from liftos_pipelines.tables import table

TABLES = ("panel", "channel_results", "response_curves", "budget_plan", "validation", "impact")


@pytest.fixture
def run(home: Path, instance: dg.DagsterInstance) -> Run:
    return runner(instance)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(seed=3, geos=2, weeks=80)


QUICK = {"chains": 2, "draws": 400, "tune": 300, "max_lag": 4, "seasonality": 1, "holdout_weeks": 6}


@pytest.mark.parametrize("geos", [1, 2])
def test_a_world_goes_through_every_asset_and_its_gate(run: Run, home: Path, geos: int) -> None:
    world = make_world(seed=3, geos=geos, weeks=80)
    write_client(home, "acme", world, QUICK)
    result = run("acme")
    lake = Lake(str(home / "lake"))
    results = lake.read("acme", "causal/channel_results")
    assert set(results["geo"]) >= {"all", *world.geos}
    assert (results["roi_low"] < results["roi"]).all()
    plan = lake.read("acme", "causal/budget_plan")
    whole = plan.filter(pl.col("channel") == "all").row(0, named=True)
    parts = plan.filter(pl.col("channel") != "all")
    assert parts["spend_planned"].sum() == pytest.approx(whole["spend_current"])
    curves = lake.read("acme", "causal/response_curves")
    assert curves.filter(pl.col("scale") == 0)["response"].abs().max() < 1e-6
    assert set(lake.read("acme", "causal/validation")["check"]) == set(NAMES) == set(GATES)
    checks = checks_of(result)
    assert set(checks) == {*GATES, "served_model_is_current"}
    assert checks["served_model_is_current"].passed
    said = metadata_of(result, "mmm_posterior")
    assert float(str(said["seconds"])) > 0
    assert "R-hat" in str(said["sampling"])
    assert "data:image/png;base64" in str(said["fit"])
    assert metadata_of(result, "champion")["version"] == said["version"] == 1

    mlflow = MlflowResource().open()
    logged = mlflow.get_run(said["mlflow_run_id"])
    assert logged.data.tags["liftos.client"] == "acme"
    assert logged.data.metrics["r_hat"] == pytest.approx(said["r_hat"])
    assert [file.path for file in mlflow.MlflowClient().list_artifacts(logged.info.run_id)] == ["mmm_posterior.nc"]


def test_without_a_source_every_table_is_there_empty_and_says_why(run: Run, home: Path) -> None:
    write_client(home, "quiet", None, {})
    result = run("quiet")
    lake = Lake(str(home / "lake"))
    for name in TABLES:
        assert lake.read("quiet", f"causal/{name}").is_empty()
        assert lake.status("quiet", f"causal/{name}") == "skipped: no source (marketing)"
    assert metadata_of(result, "champion")["status"] == "skipped: no source (marketing)"
    assert all(check.passed for check in result.get_asset_check_evaluations())


def test_an_industrys_defaults_and_asked_features_reach_the_panel(run: Run, home: Path) -> None:
    world = make_world(seed=3, geos=1, weeks=80)
    write_client(home, "acme", world, QUICK | {"features": {"sentiment_index": "confounder", "ai_visibility": "noise"}})
    index = table("sentiment/daily_index").empty()
    rows = pl.DataFrame(
        {
            "date": world.weeks,
            "campaign_id": "all",
            "source": "all",
            "language": "all",
            "topic": "all",
            "n": 10,
            "net_sentiment": [0.01 * i for i in range(len(world.weeks))],
            "low": -1.0,
            "high": 1.0,
        },
        schema=index.schema,
    )
    Lake(str(home / "lake")).write("acme", "sentiment/daily_index", rows)
    said = metadata_of(run("acme", "panel"), "panel")
    panel = Lake(str(home / "lake")).read("acme", "causal/panel")
    assert panel["control__sentiment_index"].to_list() == pytest.approx(rows["net_sentiment"].to_list())
    # Visibility was never measured: no control is invented for it.
    assert "control__ai_visibility" not in panel.columns
    assert "ai_visibility left out" in str(said["left_out"])


def test_an_event_becomes_an_impact_and_an_event_and_is_handled(run: Run, home: Path, world: World) -> None:
    write_client(home, "acme", world, {})
    spine = open_spine()
    hit = world.weeks[60]
    drop = spine.raise_event(
        "acme",
        SentimentDropDetected(
            alert_id="a1",
            campaign_id="spring",
            detected_at=datetime.combine(hit, datetime.min.time(), UTC),
            window_start=hit,
            window_end=date.fromordinal(hit.toordinal() + 13),
            severity=0.9,
            effect=-0.5,
            n=40,
        ),
        occurred_at=datetime.combine(hit, datetime.min.time(), UTC),
    )
    early = spine.raise_event(
        "acme",
        AlgorithmChangeDetected(
            engine="e",
            detected_at=datetime.combine(world.weeks[3], datetime.min.time(), UTC),
            effect=None,
            p_value=None,
        ),
        occurred_at=datetime.combine(world.weeks[3], datetime.min.time(), UTC),
    )
    spine.raise_event("other", drop.payload, occurred_at=drop.occurred_at)
    result = run("acme", "impact")
    impacts = Lake(str(home / "lake")).read("acme", "causal/impact")
    # Too little lies before the early event: no row is invented for it, and the metadata say so.
    assert impacts["event_id"].to_list() == [drop.event_id]
    assert impacts["campaign_id"].to_list() == ["spring"]
    metadata = result.asset_materializations_for_node("causal__impact")[0].metadata
    assert early.event_id[:8] in metadata["unknown"].value
    raised = spine.events("acme", ["causal_impact_identified"])
    assert [(event.causation_id, event.correlation_id) for event in raised] == [(drop.event_id, drop.correlation_id)]
    assert spine.is_handled(drop.event_id, "causal/impact")
    assert spine.is_handled(early.event_id, "causal/impact")
    assert not spine.events("other", ["causal_impact_identified"])
    run("acme", "impact")
    assert len(spine.events("acme", ["causal_impact_identified"])) == 1


def test_bad_configuration_and_bad_data_fail_by_name(run: Run, home: Path, world: World) -> None:
    write_client(home, "typo", world, {"chain": 4})
    failed = run("typo", "panel", expect=False).all_events
    said = " ".join(str(event.event_specific_data) for event in failed if event.is_step_failure)
    assert "causal.chain" in said
    assert "client.yaml" in said
    negative = world.outcome.with_columns(outcome=pl.col("outcome") - 1e6)
    write_client(home, "minus", World(**{**vars(world), "outcome": negative}), {})
    failed = run("minus", "panel", expect=False).all_events
    assert "must be a number of 0 or more" in " ".join(str(e.event_specific_data) for e in failed if e.is_step_failure)


@pytest.mark.parametrize(
    ("geos", "spoil", "words"),
    [
        (2, "gap", "weeks jump from 2023-02-27 to 2023-03-13"),
        (2, "geo", "g1"),
        (1, "nan", "2023-03-06"),
        (1, "few", "fewer than the"),
        (1, "flat", "none of the channels tv, search, social has exposure that varies"),
    ],
)
def test_data_that_cannot_carry_a_model_stop_the_run_by_name(
    run: Run, home: Path, geos: int, spoil: str, words: str
) -> None:
    world = make_world(seed=3, geos=geos, weeks=80)
    outcome, media, controls = world.outcome, world.media, world.controls
    bad = date(2023, 3, 6)
    if spoil == "gap":
        outcome, media, controls = (each.filter(pl.col("date") != bad) for each in (outcome, media, controls))
    elif spoil == "geo":
        outcome = outcome.filter((pl.col("date") > bad) | (pl.col("geo") != "g1"))
    elif spoil == "nan":
        outcome = outcome.with_columns(outcome=pl.when(pl.col("date") == bad).then(None).otherwise("outcome"))
    elif spoil == "few":
        outcome, media, controls = (each.filter(pl.col("date") < bad) for each in (outcome, media, controls))
    else:
        media = media.with_columns(spend=0.0, exposure=0.0)
    write_client(home, "bad", replace(world, outcome=outcome, media=media, controls=controls), QUICK)
    failed = run("bad", "panel", "mmm_posterior", expect=False).all_events
    said = " ".join(str(event.event_specific_data) for event in failed if event.is_step_failure)
    assert words in said


def test_a_posterior_never_made_is_asked_for_by_its_command(home: Path) -> None:
    context = dg.build_input_context(asset_key=dg.AssetKey(["causal", "mmm_posterior"]), partition_key="acme")
    with pytest.raises(PosteriorAbsent, match=r"liftos run acme --select \+causal/mmm_posterior"):
        PosteriorIOManager().load_input(context)


def test_a_failed_write_leaves_the_old_posterior(home: Path) -> None:
    class Broken:
        def to_netcdf(self, path: str, engine: str) -> None:
            Path(path).write_text("half")
            raise OSError("disk full")

    manager = PosteriorIOManager()
    file = manager.path("acme", "causal", "mmm_posterior")
    file.write_text("old")
    context = dg.build_output_context(asset_key=dg.AssetKey(["causal", "mmm_posterior"]), partition_key="acme")
    with pytest.raises(OSError, match="disk full"):
        manager.handle_output(context, Broken())
    assert file.read_text() == "old"
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]
