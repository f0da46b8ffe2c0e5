"""Surfacing's assets on a real Dagster instance: tables, events, checks, and absent sources said to be absent."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from liftos_pipelines.assets import surfacing as assets
from liftos_pipelines.assets import surfacing_pages, surfacing_shifts, surfacing_visibility
from liftos_pipelines.checks import surfacing as checks
from liftos_pipelines.checks import surfacing_pages as page_checks
from liftos_pipelines.checks import surfacing_shifts as shift_checks
from liftos_pipelines.resources.lake import Lake, LakeIOManager, LakeResource
from liftos_pipelines.resources.sentiment_model import SentimentModelResource
from liftos_pipelines.resources.spine import SpineResource, open_spine
from liftos_pipelines.tables import table

sys.path.insert(0, str(Path(__file__).parents[1] / "modules"))
from surfacing.test_audit import GOOD, URL
from surfacing.worlds import BRANDS, daily_answers

CLIENT = "acme"
ROOMS = [assets, surfacing_visibility, surfacing_shifts, surfacing_pages]
NAMES = ("answer_mentions", "visibility", "shifts", "page_audit", "recommendations", "recommendation_outcomes")
SOURCES = ("sources/answers", "sources/pages", "sources/outcomes")
CHANGE = {"two": {"Acme": -1.2, "Globex": 1.0, "Initech": -0.8, "Hooli": 1.2, "Umbrella": -1.0}}

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
    (folder / "client.yaml").write_text(CONFIG)
    lake = LakeResource().get()
    for source in SOURCES:
        lake.write(CLIENT, source, table(source).empty())
    return lake


def worded_answers() -> pl.DataFrame:
    """Daily answers whose text names what the world says was named; the engine `two` changes on day 50."""
    mentions, answers = daily_answers(1, days=60, prompts=10, engines=("one", "two"), change_day=50, shift=CHANGE)
    named = mentions.filter("mentioned").group_by("answer_id").agg(named=pl.col("brand"))
    text = (
        pl.col("named")
        .list.eval(pl.format("- {} is a great choice.", pl.element()))
        .list.join("\n")
        .fill_null("Nobody.")
    )
    return answers.join(named, on="answer_id", how="left").with_columns(text=text).drop("named")


def run(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("clients", [CLIENT])
    upstream = [
        dg.AssetSpec(
            key=name.split("/"),
            partitions_def=assets.answer_mentions.partitions_def,
            metadata={"dagster/io_manager_key": "lake_io"},
        )
        for name in SOURCES
    ]
    return dg.materialize(
        [*dg.load_assets_from_modules(ROOMS), *upstream, *dg.load_asset_checks_from_modules([checks, page_checks, shift_checks])],
        instance=instance,
        partition_key=CLIENT,
        selection=dg.AssetSelection.groups("surfacing"),
        resources={
            "lake": LakeResource(), "lake_io": LakeIOManager(), "spine": SpineResource(), "sentiment_model": SentimentModelResource(),
        },
    )  # fmt: skip


def status(result: dg.ExecuteInProcessResult, name: str) -> object:
    (event,) = result.asset_materializations_for_node(f"surfacing__{name}")
    return event.metadata["status"].value


def test_a_client_with_answers_and_pages_gets_every_table_events_and_checks(
    lake: Lake, instance: dg.DagsterInstance
) -> None:
    lake.write(CLIENT, "sources/answers", worded_answers())
    page = {"url": URL, "path": "boots.html", "html": GOOD}
    lake.write(CLIENT, "sources/pages", pl.DataFrame([page], schema=table("sources/pages").columns))
    result = run(instance)
    assert result.success
    tables = {name: lake.read(CLIENT, f"surfacing/{name}") for name in NAMES}
    assert tables["answer_mentions"].height == 60 * 2 * 10 * 2 * len(BRANDS)
    assert tables["answer_mentions"].filter("mentioned")["sentiment"].null_count() == 0
    assert tables["answer_mentions"].filter("mentioned")["sentiment"].mean() > 0.2  # type: ignore[operator]
    assert set(tables["visibility"]["period"]) == {"2025-01", "2025-02", "2025-03"}
    assert tables["shifts"].select("engine", "kind").rows() == [("two", "engine")]
    assert tables["page_audit"].filter(pl.col("dimension") == "overall")["score"].null_count() == 0
    assert tables["recommendations"].height > 0
    (event,) = open_spine().events(CLIENT)
    assert event.type == "algorithm_change_detected"
    assert event.payload.engine == "two"  # type: ignore[attr-defined]
    judged = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert set(judged) >= {
        "mentions_consistent", "answers_readable", "citations_exist",
        "audit_coverage", "audit_consistent", "structured_data_parses", "no_effect_invented",
    }  # fmt: skip
    assert judged["mentions_consistent"]

    run(instance)
    assert len(open_spine().events(CLIENT)) == 1


def test_a_client_without_sources_gets_empty_tables_that_say_so(lake: Lake, instance: dg.DagsterInstance) -> None:
    result = run(instance)
    assert result.success
    for name in NAMES:
        assert lake.read(CLIENT, f"surfacing/{name}").is_empty()
        assert str(status(result, name)).startswith("skipped: no source")
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert open_spine().events(CLIENT) == []


def test_pages_alone_give_an_audit_and_advice(lake: Lake, instance: dg.DagsterInstance) -> None:
    page = {"url": URL, "path": "boots.html", "html": "<p>short</p>"}
    lake.write(CLIENT, "sources/pages", pl.DataFrame([page], schema=table("sources/pages").columns))
    assert run(instance).success
    assert lake.read(CLIENT, "surfacing/page_audit").height > 0
    assert set(lake.read(CLIENT, "surfacing/recommendations")["evidence_grade"]) <= set("ABC")

    page["html"] = GOOD
    lake.write(CLIENT, "sources/pages", pl.DataFrame([page], schema=table("sources/pages").columns))
    assert run(instance).success
    advice = lake.read(CLIENT, "surfacing/recommendations")
    acted = advice.filter(pl.col("status") == "acted")
    assert "audit:access:a title" in set(acted["rule"])
    assert set(acted["acted_how"]) == {"audit"}
    watched = lake.read(CLIENT, "surfacing/recommendation_outcomes")
    assert set(watched["recommendation_id"]) == set(acted["recommendation_id"])
    assert set(watched["status"]) == {"unknown"}  # no prompt is known that these are about: said, not guessed


def test_only_recent_changes_of_others_become_events(lake: Lake) -> None:
    rows = [
        {"detected_at": datetime(2025, 3, day, tzinfo=UTC), "engine": "one", "kind": kind, "brand": "all", "effect": None, "p_value": 0.01}
        for day, kind in enumerate(("engine", "world", "brand", "own"), start=1)
    ]  # fmt: skip
    raised = surfacing_shifts.raise_shifts(open_spine(), CLIENT, pl.DataFrame(rows))
    assert raised == 3
    assert {event.type for event in open_spine().events(CLIENT)} == {
        "algorithm_change_detected",
        "visibility_shift_detected",
    }


def test_checks_fail_on_what_they_are_there_for(lake: Lake, instance: dg.DagsterInstance) -> None:
    lake.write(CLIENT, "sources/answers", worded_answers().with_columns(
        text=pl.when(pl.col("prompt_id").is_in(["p0", "p1"])).then(pl.lit("")).otherwise(pl.lit("Acme [9] is fine."))
    ))  # fmt: skip
    judged = {check.check_name: check for check in run(instance).get_asset_check_evaluations()}
    assert not judged["answers_readable"].passed
    assert not judged["citations_exist"].passed
    assert judged["citations_exist"].metadata["hallucinated_share"].value == pytest.approx(1 / 4)
    assert judged["citations_exist"].severity == dg.AssetCheckSeverity.WARN
    broken = lake.read(CLIENT, "surfacing/answer_mentions").with_columns(rank=pl.lit(None, dtype=pl.Int64))
    assert not checks.mentions_consistent(broken).passed
