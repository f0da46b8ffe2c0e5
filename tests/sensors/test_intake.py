"""New rows are noticed, whether they come as a file of a watched folder or as a commit of a Delta table."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.sensors.intake import FED_BY_SOURCE, new_files

ROW = {"mention_id": "m1", "published_at": "2026-01-01T00:00:00Z", "source": "x", "text": "good"}


def client(home: Path, path: str) -> Path:
    folder = home / "clients" / "acme"
    (folder / "data" / "mentions").mkdir(parents=True)
    (folder / "client.yaml").write_text(f"client: acme\nsources:\n  mentions: {{path: {path}}}\n")
    return folder / "data"


def tick(instance: dg.DagsterInstance, cursor: str | None) -> tuple[list[dg.RunRequest], str]:
    resources = {"spine": SpineResource()}
    found = new_files(dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources))
    assert isinstance(found, dg.SensorResult)
    return list(found.run_requests or []), str(found.cursor)


def more(number: int) -> pl.DataFrame:
    return pl.DataFrame([{**ROW, "mention_id": f"m{number}"}])


@pytest.fixture
def registered(instance: dg.DagsterInstance) -> dg.DagsterInstance:
    instance.add_dynamic_partitions("clients", ["acme"])
    return instance


def test_a_new_file_in_a_watched_folder_asks_for_what_mentions_feed(home: Path, registered: dg.DagsterInstance) -> None:
    data = client(home, "data/mentions/*.csv")
    more(1).write_csv(data / "mentions" / "a.csv")
    first, cursor = tick(registered, None)
    assert first == []  # a client's first run is left to a person or the schedule
    assert tick(registered, cursor)[0] == []
    more(2).write_csv(data / "mentions" / "b.csv")
    (request,), cursor = tick(registered, cursor)
    assert request.partition_key == "acme"
    assert [key.path for key in request.asset_selection or []] == [n.split("/") for n in FED_BY_SOURCE["mentions"]]
    assert tick(registered, cursor)[0] == []


def test_rows_appended_to_a_watched_table_are_noticed(home: Path, registered: dg.DagsterInstance) -> None:
    data = client(home, "data/mentions/table")
    more(1).write_delta(str(data / "mentions" / "table"))
    _, cursor = tick(registered, None)
    assert json.loads(cursor)["acme"]
    assert tick(registered, cursor)[0] == []
    more(2).write_delta(str(data / "mentions" / "table"), mode="append")
    requests, cursor = tick(registered, cursor)
    assert [request.tags["liftos/source"] for request in requests] == ["mentions"]
    assert tick(registered, cursor)[0] == []


def test_an_absent_file_is_waited_for(home: Path, registered: dg.DagsterInstance) -> None:
    data = client(home, "data/mentions/*.csv")
    requests, cursor = tick(registered, None)
    assert requests == []
    more(1).write_csv(data / "mentions" / "a.csv")
    assert len(tick(registered, cursor)[0]) == 1
