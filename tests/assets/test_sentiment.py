"""The sentiment assets on a real lake, spine, MLflow and Dagster instance."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
import yaml

from liftos_pipelines.assets import sentiment as assets
from liftos_pipelines.assets import sentiment_index, sentiment_revenue
from liftos_pipelines.checks import sentiment as checks
from liftos_pipelines.checks import sentiment_index as index_checks
from liftos_pipelines.modules.sentiment.reading.model import LABELS
from liftos_pipelines.resources.lake import Lake, LakeIOManager, LakeResource
from liftos_pipelines.resources.mlflow import MlflowResource
from liftos_pipelines.resources.sentiment_model import SentimentModelResource
from liftos_pipelines.resources.spine import SpineResource, open_spine
from liftos_pipelines.tables import table

CLIENT = "acme"
START = datetime(2024, 1, 1, 9, tzinfo=UTC)
DAYS, FALL = 150, 110
SOURCES = ("mentions", "campaigns", "labelled_mentions", "marketing_outcome", "marketing_media", "marketing_controls")
SAID = {
    "negative": ["I hate {}, so terrible and sad", "awful {} again, worst day, I am angry", "{} lost my parcel, terrible and so bad"],
    "neutral": ["{} opens a shop on monday in the city", "when does {} publish the date of the next event", "{} at the station on tuesday"],
    "positive": ["I love {}, so happy, thank you", "what a wonderful and amazing day with {}", "great news from {}, best and beautiful"],
}  # fmt: skip


def frame(name: str, rows: list[dict[str, object]]) -> pl.DataFrame:
    contract = table(name)
    return pl.DataFrame([{**dict.fromkeys(contract.columns), **row} for row in rows], schema=contract.columns)


def mentions(fall: bool) -> pl.DataFrame:
    """Fifteen posts a day; from day 110 on, seven in ten speak ill of the campaign instead of two."""
    rng = np.random.default_rng(4)
    rows: list[dict[str, object]] = []
    for day in range(DAYS):
        ill = 0.7 if fall and day >= FALL else 0.2
        for label in rng.choice(LABELS, size=15, p=[ill, 0.2, 0.8 - ill]):
            said = str(rng.choice(SAID[label])).format("Acme")
            rows.append(
                {"mention_id": f"m{len(rows)}", "published_at": START + timedelta(days=day, minutes=len(rows) % 600),
                 "source": "x", "text": f"{said} {rng.integers(1000)}", "author": f"u{rng.integers(400)}",
                 "campaign_id": "c1", "rating": {"negative": 1.0, "neutral": 3.0, "positive": 5.0}[label]}
            )  # fmt: skip
    rows.append({"mention_id": "void", "published_at": START, "source": "x", "text": "<br>", "campaign_id": "c1"})
    return frame("sources/mentions", rows)


@pytest.fixture
def lake(home: Path) -> Lake:
    folder = home / "clients" / CLIENT
    folder.mkdir(parents=True)
    content = {"client": CLIENT, "brand": {"name": "Acme", "competitors": [{"name": "Globex"}]}}
    (folder / "client.yaml").write_text(yaml.safe_dump(content))
    lake = LakeResource().get()
    for source in SOURCES:
        lake.write(CLIENT, f"sources/{source}", table(f"sources/{source}").empty())
    return lake


def run(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("clients", [CLIENT])
    everything = [
        assets.model, assets.mention_scores, sentiment_index.daily_index, sentiment_index.alerts,
        sentiment_revenue.revenue_link,
        checks.probabilities_sound, checks.abstention, checks.languages_known, checks.agrees_with_ratings,
        index_checks.false_alarm_rate, index_checks.level_agrees_with_ratings,
    ]  # fmt: skip
    given = [dg.AssetSpec(["sources", name], partitions_def=assets.model.partitions_def) for name in SOURCES]
    return dg.materialize(
        [*everything, *(spec.with_io_manager_key("lake_io") for spec in given)],
        instance=instance,
        partition_key=CLIENT,
        resources={
            "lake_io": LakeIOManager(), "lake": LakeResource(), "spine": SpineResource(), "mlflow": MlflowResource(),
            "sentiment_model": SentimentModelResource(),
        },
    )  # fmt: skip


def outcome() -> pl.DataFrame:
    rng = np.random.default_rng(1)
    weeks = [date(2024, 1, 1) + timedelta(weeks=week) for week in range(21)]
    return frame(
        "sources/marketing_outcome", [{"date": week, "geo": "a", "outcome": 100 + rng.normal()} for week in weeks]
    )


def test_a_fall_becomes_one_event_however_often_it_is_computed(lake: Lake, instance: dg.DagsterInstance) -> None:
    lake.write(CLIENT, "sources/mentions", mentions(fall=True))
    lake.write(CLIENT, "sources/marketing_outcome", outcome())
    done = run(instance)
    assert done.success
    scores = lake.read(CLIENT, "sentiment/mention_scores").sort("mention_id")
    assert scores.height == 15 * DAYS + 1
    void = scores.filter(pl.col("mention_id") == "void").row(0, named=True)
    assert (void["label"], void["p_neutral"], void["reason"]) == ("unknown", None, "empty")
    assert scores["targets"].list.len().max() == 1
    alerts = lake.read(CLIENT, "sentiment/alerts")
    fallen = alerts.filter(pl.col("window_end") >= (START + timedelta(days=FALL)).date())
    assert set(fallen["campaign_id"]) == {"all", "c1"}
    events = open_spine().events(CLIENT, types=["sentiment_drop_detected"])
    # All mentions are the one campaign's: the total leads, and what is part of it raises no event of its own.
    leads = alerts.filter(pl.col("part_of").is_null())
    assert len(events) == leads.height < alerts.height
    lead = fallen.filter(pl.col("part_of").is_null()).row(0, named=True)
    first = {event.payload.alert_id: event for event in events}[lead["alert_id"]]  # type: ignore[attr-defined]
    assert first.occurred_at == lead["detected_at"]
    assert first.correlation_id == f"sentiment-drop-{lead['alert_id']}"
    said = done.asset_materializations_for_node("sentiment__alerts")[0].metadata
    assert "fell from" in str(said["newest"].value)
    assert "data:image/png" in str(said["alerts_by_week"].value)
    index = done.asset_materializations_for_node("sentiment__daily_index")[0].metadata
    assert "rated mentions" in str(index["corrected_by"].value)
    assert "data:image/png" in str(index["net_sentiment_by_week"].value)
    found = {check.check_name: check for check in done.get_asset_check_evaluations()}
    assert {name for name, check in found.items() if not check.passed} <= {"agrees_with_ratings"}
    # These posts are plainer than those that probabilities were calibrated on: right nearly always, sure less often.
    assert found["agrees_with_ratings"].metadata["polarity_agreement"].value > 0.9  # type: ignore[operator]
    link = lake.read(CLIENT, "sentiment/revenue_link")
    assert link["p_value"].to_list() == [None]
    assert "not enough data" in link["verdict"][0]

    assert run(instance).success
    assert [event.event_id for event in open_spine().events(CLIENT, types=["sentiment_drop_detected"])] == [
        event.event_id for event in events
    ]


def test_a_calm_client_raises_no_event(lake: Lake, instance: dg.DagsterInstance) -> None:
    lake.write(CLIENT, "sources/mentions", mentions(fall=False))
    assert run(instance).success
    assert lake.read(CLIENT, "sentiment/alerts").is_empty()
    assert open_spine().events(CLIENT) == []
    assert lake.status(CLIENT, "sentiment/alerts") == "ok"
    assert lake.status(CLIENT, "sentiment/revenue_link") == "skipped: no source (marketing)"


def test_without_mentions_every_table_is_empty_and_says_so(lake: Lake, instance: dg.DagsterInstance) -> None:
    done = run(instance)
    assert done.success
    for name in ("mention_scores", "daily_index", "alerts", "revenue_link"):
        assert lake.read(CLIENT, f"sentiment/{name}").is_empty()
        assert lake.status(CLIENT, f"sentiment/{name}") == "skipped: no source (mentions)"
    model = lake.read(CLIENT, "sentiment/model").row(0, named=True)
    assert model["origin"] == "packaged"
    assert "no labelled mentions" in model["reason"]
    assert model["client_macro_f1"] is None


def labelled() -> pl.DataFrame:
    """A jargon of invented words: what a class is called here is the opposite of nothing the default knows."""
    rng = np.random.default_rng(9)
    syllables = [a + b for a in "bcdfglmnprstvz" for b in "aeiou"]
    words = ["".join(rng.choice(syllables, 4)) for _ in range(700)]
    tells = {label: words[600 + 12 * k : 612 + 12 * k] for k, label in enumerate(LABELS)}
    rows: list[dict[str, object]] = [
        {
            "text": " ".join([*rng.choice(words[:600], 5), *rng.choice(tells[label], 2)]),
            "label": label,
            "language": "en",
        }
        for label in LABELS
        for _ in range(100)
    ]
    return frame("sources/labelled_mentions", rows)


def test_a_clients_labels_make_its_own_model_and_their_absence_takes_it_away(
    lake: Lake, instance: dg.DagsterInstance
) -> None:
    lake.write(CLIENT, "sources/labelled_mentions", labelled())
    assert run(instance).success
    row = lake.read(CLIENT, "sentiment/model").row(0, named=True)
    resource = SentimentModelResource()
    assert row["origin"] == "client"
    assert row["client_macro_f1"] > row["default_macro_f1"]
    assert resource.get(lake, CLIENT).model_id == row["model_id"] != resource.default().model_id
    tracking = MlflowResource().open()
    logged = tracking.search_runs(experiment_names=[CLIENT])
    assert logged["metrics.promoted"].to_list() == [1.0]

    resource.keep(lake, CLIENT, None)
    assert resource.get(lake, CLIENT).model_id == resource.default().model_id


def test_loading_the_assets_imports_no_heavy_library() -> None:
    import subprocess
    import sys

    code = (
        "import sys; import liftos_pipelines.assets.sentiment, liftos_pipelines.checks.sentiment; "
        "print([m for m in ('torch', 'mlflow', 'sklearn', 'py3langid', 'pymc') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
