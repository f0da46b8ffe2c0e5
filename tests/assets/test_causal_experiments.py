"""The readout of past experiments on a real instance, its check, and what the command line says of both."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
from modules.causal.experiment_worlds import START, frame_of, history, panel_of
from typer.testing import CliRunner

from liftos_pipelines.assets import causal_experiments as room
from liftos_pipelines.checks.causal_experiments import experiment_agreement
from liftos_pipelines.cli import app
from liftos_pipelines.modules.causal.experiments.agreement import past_experiments
from liftos_pipelines.modules.causal.experiments.geo_panel import GeoPanel
from liftos_pipelines.resources.lake import Lake, LakeIOManager
from liftos_pipelines.tables import table

Run = Callable[[str], dg.ExecuteInProcessResult]
WINDOW = slice(60, 66)
TREATED = ["g01", "g04", "g05", "g08"]


@pytest.fixture(scope="module")
def world() -> tuple[GeoPanel, float, float]:
    """TV runs in four of twelve geos for six weeks and nowhere else; panel, outcome added, money spent."""
    quiet = history(21, geos=12, weeks=70, sd=0.015)
    rows = [int(geo[1:]) for geo in TREATED]
    outcome, spend = quiet.copy(), np.zeros_like(quiet)
    outcome[rows, WINDOW] *= 1.2
    spend[rows, WINDOW] = quiet[rows, WINDOW] * 2
    return panel_of(outcome, spend), float((outcome - quiet).sum()), float(spend.sum())


def lift_reports(**columns: list[object]) -> pl.DataFrame:
    """Rows of `sources/experiments`: the same window, other things as given."""
    n = len(columns["incremental_outcome"])
    start = START + timedelta(weeks=WINDOW.start)
    rows: dict[str, list[object]] = {
        "experiment_id": [f"e{i}" for i in range(n)],
        "channel": ["tv"] * n,
        "geos": [TREATED] * n,
        "start": [start] * n,
        "end": [start + timedelta(weeks=6, days=-1)] * n,
        "spend": [None] * n,
    }
    return table("sources/experiments").conform(
        pl.DataFrame(rows | columns, schema_overrides=table("sources/experiments").columns)
    )


def agrees(panel: GeoPanel, reported: pl.DataFrame) -> dict[str, list[str]]:
    found = past_experiments(frame_of(panel), reported)
    table("causal/experiment_readout").conform(found)
    return {name: group["agrees"].to_list() for (name,), group in found.group_by("experiment_id", maintain_order=True)}


def test_a_true_report_agrees_a_false_one_does_not_and_both_methods_say_so(
    world: tuple[GeoPanel, float, float],
) -> None:
    panel, truth, money = world
    reported = lift_reports(
        incremental_outcome=[truth, 3 * truth, -truth], std_error=[truth / 10] * 3, spend=[money, money, money]
    )
    assert agrees(panel, reported) == {"e0": ["yes", "yes"], "e1": ["no", "no"], "e2": ["no", "no"]}


def test_what_cannot_be_compared_is_unknown_with_its_reason(world: tuple[GeoPanel, float, float]) -> None:
    panel, truth, money = world
    reported = lift_reports(
        incremental_outcome=[truth, truth, truth, truth],
        std_error=[truth / 10, truth / 10, truth / 10, None],
        geos=[[], TREATED, ["atlantis"], TREATED],
        spend=[None, money * 4, None, None],
    )
    found = past_experiments(frame_of(panel), reported)
    assert set(found["agrees"]) == {"unknown"}
    details = {name: group["detail"][0] for (name,), group in found.group_by("experiment_id")}
    assert "national in scope" in details["e0"]
    assert "not the same contrast" in details["e1"]
    assert "atlantis is not in the panel" in details["e2"]
    assert "positive standard error" in details["e3"]
    assert found.filter(pl.col("experiment_id") == "e0")["effect"].null_count() == 2


def test_a_channel_that_was_dark_before_is_compared_with_the_dark_weeks(world: tuple[GeoPanel, float, float]) -> None:
    panel, truth, money = world
    assert panel.spend is not None
    # The channel ran everywhere until ten weeks before, and worked: those weeks are not what the test is against.
    spend, outcome = panel.spend.copy(), panel.outcome.copy()
    rows = [int(geo[1:]) for geo in TREATED]
    spend[rows, :50] = outcome[rows, :50] * 2
    outcome[rows, :50] *= 1.2
    ran_before = panel_of(outcome, spend)
    reported = lift_reports(incremental_outcome=[truth], std_error=[truth / 10], spend=[money])
    found = past_experiments(frame_of(ran_before), reported)
    assert found["agrees"].to_list() == ["yes", "yes"]
    assert set(found["n_pre"]) == {10}
    assert "was dark" in found["detail"][0]
    assert found["added_spend"][0] == pytest.approx(money, rel=0.2)


def test_an_interval_that_holds_nothing_and_twice_the_effect_says_nothing() -> None:
    outcome = history(22, geos=4, weeks=70, sd=0.1)
    reported = lift_reports(incremental_outcome=[50.0], std_error=[1.0], geos=[["g01"]])
    found = past_experiments(frame_of(panel_of(outcome)), reported)
    assert set(found["agrees"]) == {"unknown"}
    assert "too wide to tell" in found["detail"][0]


def test_a_holdout_is_held_against_what_was_lost(world: tuple[GeoPanel, float, float]) -> None:
    quiet = history(23, geos=12, weeks=70, sd=0.015)
    rows = [int(geo[1:]) for geo in TREATED]
    spend, outcome = quiet * 2, quiet * 1.2
    spend[rows, WINDOW] = 0
    outcome[rows, WINDOW] = quiet[rows, WINDOW]
    lost, money = float((quiet[rows, WINDOW] * 0.2).sum()), float((quiet[rows, WINDOW] * 2).sum())
    reported = lift_reports(
        incremental_outcome=[lost, -lost, 3 * lost], std_error=[lost / 10] * 3, spend=[money, None, money]
    )
    panel = panel_of(outcome, spend)
    assert agrees(panel, reported) == {"e0": ["yes", "yes"], "e1": ["yes", "yes"], "e2": ["no", "no"]}
    assert "a holdout" in past_experiments(frame_of(panel), reported)["detail"][0]


def test_geos_in_which_another_test_ran_are_not_compared_with(world: tuple[GeoPanel, float, float]) -> None:
    panel, truth, money = world
    others = ["g00", "g02", "g03", "g06"]
    outcome = panel.outcome.copy()
    outcome[[int(geo[1:]) for geo in others], WINDOW] *= 1.4
    reported = lift_reports(
        incremental_outcome=[truth, truth, 1.0],
        std_error=[truth / 10] * 3,
        spend=[money, None, None],
        geos=[TREATED, others, TREATED[:1]],
        channel=["tv", "radio", "search"],
    )
    both = past_experiments(frame_of(panel_of(outcome, panel.spend)), reported)
    first = both.filter(pl.col("experiment_id") == "e0")
    assert first["agrees"].to_list() == ["yes", "yes"]
    assert first["n_control"].to_list() == [4, 4]
    assert "g00, g02, g03, g06 left out" in first["detail"][0]
    assert "e2 ran in the same geos" in first["detail"][0]
    assert first["effect"][0] == pytest.approx(truth, rel=0.2)
    # Without the second row nobody knows that four of the comparison's geos were under another test.
    alone = past_experiments(frame_of(panel_of(outcome, panel.spend)), reported[:1])
    assert alone["effect"][0] < 0.5 * truth


@pytest.fixture
def run(home: Path, instance: dg.DagsterInstance) -> Run:
    """Materialise the readout of a client on the test's instance."""
    partitions = room.experiment_readout.partitions_def
    outside = [
        dg.AssetSpec(key, partitions_def=partitions).with_io_manager_key("lake_io")
        for key in (["causal", "panel"], ["sources", "experiments"])
    ]
    defs = dg.Definitions(
        assets=[room.experiment_readout, *outside],
        asset_checks=[experiment_agreement],
        resources={"lake_io": LakeIOManager()},
        executor=dg.in_process_executor,
    )

    def _run(client: str) -> dg.ExecuteInProcessResult:
        instance.add_dynamic_partitions("clients", [client])
        job = defs.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=instance, partition_key=client, asset_selection=[room.experiment_readout.key]
        )

    return _run


def write_client(home: Path, name: str, panel: pl.DataFrame, reported: pl.DataFrame) -> None:
    folder = home / "clients" / name
    folder.mkdir()
    (folder / "client.yaml").write_text(f"client: {name}\n")
    lake = Lake(str(home / "lake"))
    lake.write(name, "causal/panel", panel)
    lake.write(name, "sources/experiments", reported)


def test_the_asset_stores_the_readout_and_the_check_warns_of_a_contradiction(
    run: Run, home: Path, world: tuple[GeoPanel, float, float]
) -> None:
    panel, truth, money = world
    reported = lift_reports(incremental_outcome=[truth, 3 * truth], std_error=[truth / 10] * 2, spend=[money] * 2)
    write_client(home, "acme", frame_of(panel), reported)
    done = run("acme")
    stored = Lake(str(home / "lake")).read("acme", "causal/experiment_readout")
    assert stored.height == 4
    assert stored["effect_low"].is_finite().all()
    metadata = done.asset_materializations_for_node("causal__experiment_readout")[0].metadata
    assert metadata["agrees_no"].value == 2.0
    check = done.get_asset_check_evaluations()[0]
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert "e1 (did)" in str(check.metadata["contradicted"].value)
    said = CliRunner().invoke(app, ["experiment", "readout", "acme"])
    assert said.exit_code == 0, said.output
    assert "no      e1 (tv), synthetic control" in said.output
    printed = CliRunner().invoke(app, ["experiment", "readout", "acme", "--json"])
    assert len(json.loads(printed.output)) == 4


@pytest.mark.parametrize("absent", ["panel", "experiments"])
def test_without_marketing_or_experiments_it_is_skipped_and_the_check_passes(
    run: Run, home: Path, world: tuple[GeoPanel, float, float], absent: str
) -> None:
    panel = frame_of(world[0])
    reported = lift_reports(incremental_outcome=[1.0], std_error=[1.0])
    write_client(
        home, "acme", panel.clear() if absent == "panel" else panel, reported.clear() if absent != "panel" else reported
    )
    done = run("acme")
    metadata = done.asset_materializations_for_node("causal__experiment_readout")[0].metadata
    assert "skipped: no source" in str(metadata["status"].value)
    assert done.get_asset_check_evaluations()[0].passed
    said = CliRunner().invoke(app, ["experiment", "readout", "acme"])
    assert "no past experiment" in said.output


def test_a_design_is_printed_in_words_and_as_json(home: Path, world: tuple[GeoPanel, float, float]) -> None:
    write_client(home, "acme", frame_of(world[0]), lift_reports(incremental_outcome=[1.0], std_error=[1.0]))
    ask = ["experiment", "design", "acme", "--channel", "tv", "--weeks", "4", "--geos", "4", "--exclude", "g00"]
    said = CliRunner().invoke(app, ask)
    assert said.exit_code == 0, said.output
    for words in ("treat:", "left out:     g00", "Chance to find a lift of 5.0%", "False alarms", "4 weeks,  1 geos"):
        assert words in said.output
    data = json.loads(CliRunner().invoke(app, [*ask, "--json"]).output)
    assert len(data["assignment"]["treated"]) == 4
    assert data["curve"]["lifts"][0] == 0.0
    unknown = CliRunner().invoke(app, ["experiment", "design", "acme", "--channel", "radio"])
    assert 'channel "radio" is not in the panel of acme; it has tv' in str(unknown.exception)


def test_on_national_data_the_command_says_that_no_geo_test_is_possible(home: Path) -> None:
    national = panel_of(history(3, geos=1, weeks=104), np.ones((1, 104)))
    write_client(home, "acme", frame_of(national), lift_reports(incremental_outcome=[1.0], std_error=[1.0]))
    said = CliRunner().invoke(app, ["experiment", "design", "acme", "--channel", "tv"])
    assert said.exit_code == 0, said.output
    assert "a geo test is not possible" in said.output
    assert "On/off test instead, 12 weeks" in said.output
