"""The memory assets on a real lake, spine, LanceDB and embedder."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from liftos_pipelines.assets import memory as assets
from liftos_pipelines.assets import memory_learning as learning
from liftos_pipelines.checks import memory as checks
from liftos_pipelines.checks import memory_learning as learning_checks
from liftos_pipelines.resources.embedder import EmbedderResource
from liftos_pipelines.resources.lake import Lake, LakeIOManager, LakeResource
from liftos_pipelines.resources.memory_store import MemoryStoreResource, open_memory, recall
from liftos_pipelines.resources.spine import SpineResource, open_spine
from liftos_pipelines.spine.payloads import (
    AgentActionInitiated,
    CausalImpactIdentified,
    SentimentDropDetected,
)
from liftos_pipelines.tables import table

CLIENT = "acme"
CONTEXTS = {
    "delivery": "Parcels arrived late and customers complained about delivery delays in week {i}",
    "price": "A competitor lowered its prices below ours in market {i}",
    "search": "Search visibility of product page {i} fell after an engine update",
}
ACTIONS = {
    "delivery": ("apologise publicly and refund shipping", 0.10),
    "price": ("cut our price by ten percent", -0.08),
    "search": ("add structured data to the page", 0.06),
}


def frame(name: str, rows: list[dict]) -> pl.DataFrame:
    contract = table(name)
    full = [{column: row.get(column) for column in contract.columns} for row in rows]
    return pl.DataFrame(full, schema=contract.columns, orient="row")


def outcomes() -> pl.DataFrame:
    rows = []
    for topic, (action, effect) in ACTIONS.items():
        for i in range(8):
            rows.append(
                {
                    "outcome_id": f"{topic}-{i}",
                    "decided_at": datetime(2024, 1 + i, 5, tzinfo=UTC),
                    "context": CONTEXTS[topic].format(i=i + 1),
                    "action": action,
                    "metric": "weekly_orders",
                    "effect": effect,
                    "std_error": 0.02,
                    "campaign_id": f"{topic}-campaign-{i % 4}",
                    "domain": topic,
                }
            )
    return frame("sources/outcomes", rows)


@pytest.fixture
def lake(home: Path) -> Lake:
    folder = home / "clients" / CLIENT
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text(f"client: {CLIENT}\n")
    lake = LakeResource().get()
    lake.write(CLIENT, "sources/outcomes", outcomes())
    lake.write(CLIENT, "agentic/proposals", table("agentic/proposals").empty())
    lake.write(
        CLIENT,
        "sources/campaigns",
        frame(
            "sources/campaigns",
            [{"campaign_id": "c9", "name": "Doorstep", "start": date(2025, 6, 1), "end": date(2025, 7, 1)}],
        ),
    )
    lake.write(
        CLIENT,
        "sources/notes",
        frame(
            "sources/notes",
            [
                {
                    "note_id": "n1",
                    "at": datetime(2024, 3, 1, tzinfo=UTC),
                    "text": "The carrier lost parcels in March.",
                }
            ],
        ),
    )
    lake.write(
        CLIENT,
        "sentiment/alerts",
        frame(
            "sentiment/alerts",
            [
                {
                    "alert_id": "a1",
                    "detected_at": datetime(2025, 6, 20, tzinfo=UTC),
                    "campaign_id": "c9",
                    "severity": 0.8,
                    "effect": -0.4,
                    "n": 90,
                    "explanation": "Customers complain that parcels arrive late, delivery delays",
                    "exemplars": [],
                }
            ],
        ),
    )
    return lake


def run(instance: dg.DagsterInstance, *chosen: str) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("clients", [CLIENT])
    everything = [
        assets.items, learning.patterns, learning.insights, learning.quality,
        learning.insight_outcomes, learning.insight_calibration,
        checks.one_current_version_a_memory, checks.store_holds_the_items,
        checks.every_memory_is_embedded, learning_checks.fusion_not_below_words_alone,
        learning_checks.patterns_not_below_the_base_rate, learning_checks.chances_are_calibrated,
        learning_checks.unknown_topics_are_noticed, learning_checks.patterns_say_what_they_know,
    ]  # fmt: skip
    given = [
        dg.AssetSpec(name.split("/"), partitions_def=assets.items.partitions_def).with_io_manager_key("lake_io")
        for name in ("sources/campaigns", "agentic/proposals")
    ]
    return dg.materialize(
        [*everything, *given],
        instance=instance,
        partition_key=CLIENT,
        selection=[dg.AssetKey(name.split("/")) for name in chosen] if chosen else None,
        resources={
            "lake_io": LakeIOManager(), "lake": LakeResource(), "spine": SpineResource(),
            "memory": MemoryStoreResource(), "embedder": EmbedderResource(),
        },
    )  # fmt: skip


def test_memory_answers_what_worked_in_a_context_like_the_alert(lake: Lake, instance: dg.DagsterInstance) -> None:
    done = run(instance)
    assert done.success
    assert all(check.passed for check in done.get_asset_check_evaluations())
    assert len(done.get_asset_check_evaluations()) == 8

    patterns = lake.read(CLIENT, "memory/patterns").filter(pl.col("query_kind") == "alert")
    best = patterns.row(0, named=True)
    assert best["action"] == "apologise publicly and refund shipping"
    assert not best["abstained"]
    assert best["p_success"] > 0.7
    assert best["p_success_low"] <= best["p_success"] <= best["p_success_high"]

    insights = lake.read(CLIENT, "memory/insights")
    assert insights.filter(pl.col("recommendation") == "Do: apologise publicly and refund shipping").height == 1
    assert insights["validated"].null_count() == insights.height  # nothing causal says anything of refunds

    outcomes = lake.read(CLIENT, "memory/insight_outcomes")
    assert outcomes.height == insights.height
    assert outcomes["effect"].null_count() == outcomes.height  # nothing was done about this alert yet
    calibration = lake.read(CLIENT, "memory/insight_calibration")
    assert calibration["n"].sum() > 0
    assert set(calibration["source"]) == {"replayed"}

    quality = lake.read(CLIENT, "memory/retrieval_quality")
    assert {"recogniser", "nearest", "pattern", "base_rate"} <= set(quality["method"])
    assert {"bm25", "vector", "hybrid", "rrf", "hybrid-bm25"} <= set(quality["method"])
    assert quality.filter(pl.col("value") > quality["high"])["metric"].to_list() == []


def test_a_second_run_changes_nothing_and_a_changed_note_is_superseded(
    lake: Lake, instance: dg.DagsterInstance
) -> None:
    run(instance, "memory/items")
    first = lake.read(CLIENT, "memory/items")
    run(instance, "memory/items")
    assert lake.read(CLIENT, "memory/items").equals(first)

    changed = frame(
        "sources/notes",
        [
            {
                "note_id": "n1",
                "at": datetime(2024, 3, 1, tzinfo=UTC),
                "text": "The carrier lost no parcels; the depot did.",
            }
        ],
    )
    lake.write(CLIENT, "sources/notes", changed)
    run(instance, "memory/items")
    notes = lake.read(CLIENT, "memory/items").filter(pl.col("kind") == "note").sort("recorded_at")
    assert notes.height == 2
    assert notes["superseded_at"][0] == notes["recorded_at"][1]
    assert notes["superseded_at"][1] is None
    assert "depot" in recall(CLIENT, "what happened to the parcels", kinds=["note"])[0].text


def test_an_action_event_becomes_one_pattern_and_is_handled(lake: Lake, instance: dg.DagsterInstance) -> None:
    spine, now = open_spine(), datetime(2025, 6, 20, tzinfo=UTC)
    drop = spine.raise_event(
        CLIENT,
        SentimentDropDetected(
            alert_id="a1", campaign_id="c9", detected_at=now, window_start=date(2025, 6, 13), window_end=date(2025, 6, 20),
            severity=0.8, effect=-0.4, n=90, explanation="Parcels arrive late",
        ),
        occurred_at=now,
    )  # fmt: skip
    impact = spine.raise_event(
        CLIENT,
        CausalImpactIdentified(
            trigger_event_id=drop.event_id, campaign_id="c9", window_start=date(2025, 6, 13), window_end=date(2025, 6, 20),
            effect=-120.0, effect_low=-200.0, effect_high=-40.0, revenue_at_risk=9000.0, probability_harmful=0.98,
        ),
        occurred_at=now,
        causation_id=drop.event_id,
    )  # fmt: skip
    action = spine.raise_event(
        CLIENT,
        AgentActionInitiated(
            action_id="act-1", agent_id="responder", action="notify", arguments={}, context="Late parcels on Doorstep",
            decision="allow", status="executed",
        ),
        occurred_at=now,
        causation_id=impact.event_id,
    )  # fmt: skip
    run(instance, "memory/items")
    run(instance, "memory/items")
    pattern = lake.read(CLIENT, "memory/items").filter(pl.col("kind") == "pattern")
    assert pattern.height == 1
    text = pattern["text"][0]
    assert "Late parcels" in text
    assert "-120" in text
    assert "notify" in text
    assert pattern["effect"][0] is None  # nothing was measured yet
    assert all(event.event_id in pattern["provenance"][0] for event in (action, impact, drop))
    assert spine.is_handled(action.event_id, "memory/items")


def test_a_lost_store_is_filled_again_from_the_lake(lake: Lake, instance: dg.DagsterInstance, home: Path) -> None:
    run(instance, "memory/items")
    before = lake.read(CLIENT, "memory/items")
    import shutil

    from liftos_pipelines.resources import memory_store

    shutil.rmtree(home / "memory" / CLIENT)
    memory_store._shared.cache_clear()
    run(instance, "memory/items")
    assert lake.read(CLIENT, "memory/items").equals(before)
    assert open_memory(CLIENT).count() == before.height


def test_a_client_with_nothing_is_skipped_not_invented(home: Path, instance: dg.DagsterInstance) -> None:
    folder = home / "clients" / CLIENT
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text(f"client: {CLIENT}\n")
    for name in ("sources/campaigns", "agentic/proposals"):
        LakeResource().get().write(CLIENT, name, table(name).empty())
    done = run(instance)
    assert done.success
    for name in ("items", "patterns", "insights", "insight_outcomes", "insight_calibration", "retrieval_quality"):
        assert LakeResource().get().read(CLIENT, f"memory/{name}").is_empty()
        assert LakeResource().get().status(CLIENT, f"memory/{name}").startswith("skipped")


def notes_table(*texts: str) -> pl.DataFrame:
    rows = [
        {"note_id": f"n{i}", "at": datetime(2024, 3, 1 + i, tzinfo=UTC), "text": text} for i, text in enumerate(texts)
    ]
    return frame("sources/notes", rows)


def test_only_what_changed_is_read_and_written(
    lake: Lake, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(instance, "memory/items")
    version = lake.version(CLIENT, "memory/items")
    read: list[str] = []
    whole = Lake.read
    monkeypatch.setattr(
        Lake, "read", lambda self, client, name, **more: read.append(name) or whole(self, client, name, **more)
    )
    run(instance, "memory/items")
    assert set(read) <= {"memory/items"}  # the checks look at all of it
    assert lake.version(CLIENT, "memory/items") == version
    lake.write(CLIENT, "sources/notes", notes_table("The depot flooded."))
    done = run(instance, "memory/items")
    assert set(read) - {"memory/items"} == {"sources/notes"}
    materialized = done.get_asset_materialization_events()[0].step_materialization_data.materialization.metadata
    assert materialized["rows_inserted"].value == 1
    assert materialized["dagster/partition_row_count"].value == open_memory(CLIENT).count()


def test_changes_that_the_lake_missed_are_handed_over_again(
    lake: Lake, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(instance, "memory/items")
    lake.write(CLIENT, "sources/notes", notes_table("The depot flooded."))

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Lake, "write", full_disk)
        with pytest.raises(OSError, match="No space"):
            run(instance, "memory/items")
    assert open_memory(CLIENT).recall("depot flooded", kinds=["note"])[0].text == "The depot flooded."
    run(instance, "memory/items")
    held = lake.read(CLIENT, "memory/items")
    assert held.filter(pl.col("text") == "The depot flooded.").height == 1
    assert held.height == open_memory(CLIENT).count()


def test_what_is_forgotten_leaves_the_lake_and_does_not_return(lake: Lake, instance: dg.DagsterInstance) -> None:
    run(instance, "memory/items")
    store = open_memory(CLIENT)
    note = store.current(["note"])["memory_id"][0]
    store.forget(note)
    for _ in range(2):
        run(instance, "memory/items")
        assert note not in lake.read(CLIENT, "memory/items")["memory_id"].to_list()
    same = lake.read(CLIENT, "sources/notes").with_columns(note_id=pl.lit("exported-again"))
    lake.write(CLIENT, "sources/notes", same)
    run(instance, "memory/items")
    assert store.current(["note"]).is_empty()
    version = lake.version(CLIENT, "memory/items")
    run(instance, "memory/items")
    assert lake.version(CLIENT, "memory/items") == version


def test_upkeep_removes_the_lakes_files_that_hold_what_was_forgotten(
    lake: Lake, instance: dg.DagsterInstance, home: Path
) -> None:
    from liftos_pipelines.assets.memory_upkeep import upkeep

    run(instance, "memory/items")
    store = open_memory(CLIENT)
    store.forget(store.current(["note"])["memory_id"][0])
    run(instance, "memory/items")
    resources = {"lake_io": LakeIOManager(), "lake": LakeResource(), "memory": MemoryStoreResource()}
    files = (home / "lake" / CLIENT / "memory" / "items").glob("*.parquet")
    assert any("lost parcels" in " ".join(pl.read_parquet(file)["text"]) for file in files)
    dg.materialize([upkeep], instance=instance, partition_key=CLIENT, resources=resources)
    files = (home / "lake" / CLIENT / "memory" / "items").glob("*.parquet")
    assert not any("lost parcels" in " ".join(pl.read_parquet(file)["text"]) for file in files)
    assert lake.read(CLIENT, "memory/items").height == store.count()


def test_upkeep_loses_nothing_and_keeps_what_is_cited(lake: Lake, instance: dg.DagsterInstance) -> None:
    from liftos_pipelines.assets.memory_upkeep import upkeep

    run(instance, "memory/items")
    store = open_memory(CLIENT)
    store.tag("act-1:decision")
    done = dg.materialize(
        [upkeep, checks.upkeep_loses_nothing, checks.upkeep_keeps_the_table_small],
        instance=instance,
        partition_key=CLIENT,
        resources={"lake_io": LakeIOManager(), "lake": LakeResource(), "memory": MemoryStoreResource()},
    )
    assert [check.passed for check in done.get_asset_check_evaluations()] == [True, True]
    after = dict(lake.read(CLIENT, "memory/upkeep").select("measure", "after").iter_rows())
    assert after["rows"] == after["acknowledged"] == store.count()
    assert (after["pinned"], after["pinned_readable"], after["unindexed"]) == (1, 1, 0)
