"""Visibility's assets on a real Dagster instance: tables, the page, checks, and absent sources said to be absent."""

from __future__ import annotations

import csv
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from typer.testing import CliRunner

from liftos_pipelines.assets import surfacing_benchmark, surfacing_visibility
from liftos_pipelines.checks import surfacing_visibility as checks
from liftos_pipelines.resources.lake import Lake, LakeIOManager, LakeResource
from liftos_pipelines.surfacing_cli import surfacing_app
from liftos_pipelines.tables import table
from liftos_pipelines.templates.loader import load_template, prompt_panel

sys.path.insert(0, str(Path(__file__).parents[1] / "modules"))
from surfacing.worlds import BRANDS, daily_answers

CLIENT = "acme"
NAMES = (
    "visibility", "visibility_posterior", "visibility_pairs", "prompt_gaps", "source_gaps", "benchmark", "stability",
    "gap_decomposition",
)  # fmt: skip
UPSTREAM = ("sources/answers", "surfacing/answer_mentions", "surfacing/shifts")
CONFIG = """client: acme
industry: retail
brand:
  name: Acme
  domains: [acme.example]
  competitors:
""" + "".join(f"    - {{name: {name}, domains: [{name.lower()}.example]}}\n" for name in BRANDS[1:])


@pytest.fixture
def lake(home: Path) -> Lake:
    folder = home / "clients" / CLIENT
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text(CONFIG + "sources:\n  answers: {path: answers.jsonl}\n")
    lake = LakeResource().get()
    for name in UPSTREAM:
        lake.write(CLIENT, name, table(name).empty())
    return lake


def world() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two months of two engines; the prompts are the retail template's, asked by its wording."""
    panel = prompt_panel(load_template("retail"), brand="Acme", competitors=list(BRANDS[1:]))
    mentions, answers = daily_answers(3, days=45, prompts=12, engines=("one", "two"))
    wording = {f"p{p}": panel[5 * p % len(panel)]["prompt"] for p in range(12)}
    return mentions, answers.with_columns(prompt=pl.col("prompt_id").replace_strict(wording))


def run(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("clients", [CLIENT])
    rooms = [surfacing_visibility, surfacing_benchmark]
    upstream = [
        dg.AssetSpec(
            key=name.split("/"),
            partitions_def=surfacing_visibility.visibility.partitions_def,
            metadata={"dagster/io_manager_key": "lake_io"},
        )
        for name in UPSTREAM
    ]
    made = dg.load_assets_from_modules(rooms)
    return dg.materialize(
        [*made, *upstream, *dg.load_asset_checks_from_modules([checks])],
        instance=instance,
        partition_key=CLIENT,
        selection=dg.AssetSelection.assets(*made),
        resources={"lake": LakeResource(), "lake_io": LakeIOManager()},
    )


def test_answers_become_every_table_a_page_and_checks(lake: Lake, instance: dg.DagsterInstance) -> None:
    mentions, answers = world()
    lake.write(CLIENT, "surfacing/answer_mentions", mentions)
    lake.write(CLIENT, "sources/answers", answers)
    result = run(instance)
    assert result.success
    tables = {name: lake.read(CLIENT, f"surfacing/{name}") for name in NAMES}
    assert all(frame.height > 0 for frame in tables.values())
    groups = set(tables["visibility"]["group"])
    assert {"all", "unbranded"} < groups
    assert any(group.startswith("intent:") for group in groups)
    assert any(group.startswith("stage:") for group in groups)
    judged = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert judged["posterior_whole"].passed
    assert judged["parts_add_up"].passed
    assert not judged["enough_prompts"].passed  # twelve prompts are too few for the width that the template wants
    assert judged["enough_prompts"].metadata["prompts_needed"].value > 12
    (event,) = result.asset_materializations_for_node("surfacing__report")
    page = Path(str(event.metadata["page"].value)).read_text()
    assert "Acme is named in" in page
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert links
    assert all(link.startswith("#") for link in links)  # nothing is fetched
    assert "<script" not in page


def test_a_client_without_answers_gets_empty_tables_that_say_so(lake: Lake, instance: dg.DagsterInstance) -> None:
    result = run(instance)
    assert result.success
    for name in (*NAMES, "report"):
        (event,) = result.asset_materializations_for_node(f"surfacing__{name}")
        assert str(event.metadata["status"].value).startswith("skipped: no source")
    assert not list(Path(str(lake.folder(CLIENT, "surfacing"))).glob("*.html"))
    judged = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert not judged["enough_prompts"].passed  # the client has a source of answers and nothing can be said


def test_the_panel_command_says_what_is_seen_and_writes_prompts(lake: Lake, tmp_path: Path) -> None:
    runner, file = CliRunner(), tmp_path / "prompts.csv"
    blank = runner.invoke(surfacing_app, ["panel", CLIENT, "--write", str(file)])
    assert blank.exit_code == 0, blank.output
    assert "no mention rate is measured yet" in blank.output
    rows = list(csv.DictReader(file.open()))
    assert len(rows) > 20
    assert set(rows[0]) == {"prompt_id", "prompt", "intent", "stage", "branded"}
    assert not any("{" in row["prompt"] for row in rows)
    from liftos_pipelines.modules.surfacing.visibility.visibility_posterior import visibility_posterior

    rates, _ = visibility_posterior(world()[0], draws=300)
    lake.write(CLIENT, "surfacing/visibility_posterior", rates)
    said = runner.invoke(surfacing_app, ["panel", CLIENT, "--width", "0.1", "--price", "0.01", "--prompt-price", "0.2"])
    assert said.exit_code == 0, said.output
    assert "one, 2025-02: 12 prompts asked" in said.output
    assert "Cheapest:" in said.output
    found = json.loads(runner.invoke(surfacing_app, ["panel", CLIENT, "--width", "0.1", "--json"]).output)
    assert found["prompts_needed"] > 100
    assert {one["engine"] for one in found["seen"]} == {"one", "two"}


def test_the_checks_fail_on_what_they_are_there_for(lake: Lake) -> None:
    from liftos_pipelines.modules.surfacing.visibility.decomposition import gap_decomposition
    from liftos_pipelines.modules.surfacing.visibility.visibility_posterior import visibility_posterior

    mentions, _ = world()
    rates, _ = visibility_posterior(mentions, draws=300)
    parts = gap_decomposition(mentions)
    assert checks.posterior_whole(rates).passed
    assert not checks.posterior_whole(rates.with_columns(edge=pl.lit(0.2))).passed
    assert not checks.posterior_whole(rates.with_columns(high=pl.col("low"))).passed
    assert checks.parts_add_up(parts).passed
    assert not checks.parts_add_up(parts.with_columns(value=pl.col("value") + 0.01)).passed


def test_names_from_data_are_escaped_on_the_page() -> None:
    from liftos_pipelines.modules.surfacing.report.page import Report, report_page
    from liftos_pipelines.modules.surfacing.visibility.visibility import visibility
    from liftos_pipelines.modules.surfacing.visibility.visibility_posterior import visibility_posterior

    evil = "<script>alert(1)</script>"
    mentions = world()[0].with_columns(brand=pl.col("brand").replace({"Globex": evil}))
    rates, pairs = visibility_posterior(mentions, draws=200)
    empty = {
        name: table(f"surfacing/{name}").empty()
        for name in ("benchmark", "stability", "prompt_gaps", "source_gaps", "shifts")
    }
    page = report_page(
        Report(
            client="acme", brand="Acme", now=datetime(2025, 3, 1, tzinfo=UTC), visibility=visibility(mentions),
            posterior=rates, pairs=pairs, decomposition=table("surfacing/gap_decomposition").empty(), panel=[evil], **empty,
        )
    )  # fmt: skip
    assert "<script" not in page
    assert "&lt;script&gt;" in page
