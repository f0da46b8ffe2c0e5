"""The revenue link on a real lake and Dagster instance: table, metadata, picture, gate."""

from __future__ import annotations

import sys
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
import yaml

from liftos_pipelines.assets import sentiment_revenue
from liftos_pipelines.checks import sentiment_revenue as checks
from liftos_pipelines.modules.sentiment.revenue import climb, link_table
from liftos_pipelines.resources.lake import Lake, LakeIOManager, LakeResource
from liftos_pipelines.tables import table

sys.path.insert(0, str(Path(__file__).parents[1] / "modules" / "sentiment"))
from revenue_worlds import QUICK, alerts_of, ar1, controls_of, index_of, media_of, outcome_of, world

CLIENT = "acme"
GIVEN = (
    "sentiment/daily_index", "sentiment/alerts", "sentiment/mention_scores", "sources/mentions",
    "sources/marketing_outcome", "sources/marketing_media", "sources/marketing_controls",
)  # fmt: skip


@pytest.fixture
def lake(home: Path) -> Lake:
    folder = home / "clients" / CLIENT
    folder.mkdir(parents=True)
    content = {
        "client": CLIENT,
        "brand": {"name": "Acme", "competitors": [{"name": "Globex"}]},
        "causal": {"holidays": ["DE"]},
    }
    (folder / "client.yaml").write_text(yaml.safe_dump(content))
    lake = LakeResource().get()
    for name in GIVEN:
        lake.write(CLIENT, name, table(name).empty())
    return lake


def fill(lake: Lake, name: str, frame: pl.DataFrame) -> None:
    contract = table(name)
    absent = [
        pl.lit(None, dtype).alias(column) for column, dtype in contract.columns.items() if column not in frame.columns
    ]
    lake.write(CLIENT, name, contract.conform(frame.with_columns(absent)))


def run(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("clients", [CLIENT])
    partitions = sentiment_revenue.revenue_link.partitions_def
    given = [dg.AssetSpec(name.split("/"), partitions_def=partitions).with_io_manager_key("lake_io") for name in GIVEN]
    return dg.materialize(
        [sentiment_revenue.revenue_link, checks.words_match_the_tests, *given],
        instance=instance,
        partition_key=CLIENT,
        resources={"lake_io": LakeIOManager()},
    )


def test_the_verdict_stands_first_with_its_evidence(lake: Lake, instance: dg.DagsterInstance) -> None:
    rng = np.random.default_rng(3)
    known = world(1)
    fill(lake, "sentiment/daily_index", index_of(known.sentiment, error=0.03))
    fill(lake, "sources/marketing_outcome", outcome_of(np.exp(known.outcome)))
    fill(lake, "sources/marketing_media", media_of(np.exp(rng.normal(size=104))))
    fill(lake, "sources/marketing_controls", controls_of(price=ar1(rng, 104, 0.8, 1.0)))
    fill(lake, "sentiment/alerts", alerts_of(70))
    done = run(instance)
    assert done.success
    link = lake.read(CLIENT, "sentiment/revenue_link")
    head = link.filter(pl.col("rung") == 0).row(0, named=True)
    assert head["verdict"] == "sentiment helps to predict the outcome; association at a lag of 14 days"
    assert head["controls"] == "public holidays; controls: price; spend by channel"
    assert 0 < head["reliability"] < 1
    assert set(link["rung"]) == {0, 1, 2, 3}
    metadata = done.asset_materializations_for_node("sentiment__revenue_link")[0].metadata
    for name in ("rung", "p_value", "smallest_visible_correlation", "gain_of_sentiment_for_outcome", "shocks"):
        assert isinstance(metadata[name], dg.FloatMetadataValue), name
    assert metadata["picture"].value.startswith("![acme: sentiment helps")  # type: ignore[union-attr]
    gate = done.get_asset_check_evaluations()[0]
    assert gate.passed
    assert gate.metadata["causal_words"].value == 0.0


def test_a_short_history_says_so_and_passes_the_gate(lake: Lake, instance: dg.DagsterInstance) -> None:
    fill(lake, "sentiment/daily_index", index_of(np.linspace(0, 1, 10)))
    fill(lake, "sources/marketing_outcome", outcome_of(np.linspace(5, 6, 10)))
    done = run(instance)
    link = lake.read(CLIENT, "sentiment/revenue_link")
    assert link["verdict"][0].startswith("not enough data: 10 periods")
    assert done.get_asset_check_evaluations()[0].passed
    metadata = done.asset_materializations_for_node("sentiment__revenue_link")[0].metadata
    assert metadata["rung"].value == "unknown"


def test_without_an_outcome_it_is_skipped(lake: Lake, instance: dg.DagsterInstance) -> None:
    fill(lake, "sentiment/daily_index", index_of(np.linspace(0, 1, 10)))
    assert run(instance).success
    assert lake.status(CLIENT, "sentiment/revenue_link") == "skipped: no source (marketing)"


def test_the_gate_stops_words_that_no_test_bears_out() -> None:
    link = link_table(climb(world(12, effect=0.0), QUICK))
    assert checks.unfounded_claims(link) == []
    first = pl.col("rung") == 0
    for claim in ("sentiment helps to predict the outcome", "association at a lag of 7 days", "outcome moved after dated shocks", "sentiment follows the outcome"):  # fmt: skip
        said = link.with_columns(verdict=pl.when(first).then(pl.lit(claim)).otherwise("verdict"))
        assert len(checks.unfounded_claims(said)) == 1, claim
    boast = link.with_columns(words=pl.when(first).then(pl.lit("sentiment drives revenue")).otherwise("words"))
    assert checks.causal_words(boast) == ["drives"]
