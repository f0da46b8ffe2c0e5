"""The lake keeps the contract, changes nothing without need, remembers, and lets no client near another."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liftos_pipelines.clients import ClientError
from liftos_pipelines.resources.lake import Lake, LakeIOManager, TableAbsent
from liftos_pipelines.tables import TABLES, ContractError, table


def notes(**texts: str) -> pl.DataFrame:
    rows = [
        {
            "note_id": key,
            "at": datetime(2024, 1, 1, tzinfo=UTC),
            "text": text,
            "author": None,
            "subject": None,
            "tags": ["a"],
        }
        for key, text in texts.items()
    ]
    return pl.DataFrame(rows, schema=table("sources/notes").columns)


@pytest.fixture
def lake(home: Path) -> Lake:
    return Lake(str(home / "lake"))


def texts(lake: Lake, client: str = "acme") -> dict[str, str]:
    frame = lake.read(client, "sources/notes")
    return dict(zip(frame["note_id"], frame["text"], strict=True))


def test_the_same_rows_twice_make_no_new_version(lake: Lake) -> None:
    first = lake.write("acme", "sources/notes", notes(a="x", b="y"))
    again = lake.write("acme", "sources/notes", notes(b="y", a="x"))
    assert (first.inserted, again.inserted, again.updated, again.unchanged) == (2, 0, 0, 2)
    assert again.version == first.version


def test_a_restated_row_replaces_the_old_one_and_a_new_row_is_added(lake: Lake) -> None:
    lake.write("acme", "sources/notes", notes(a="x", b="y"))
    report = lake.write("acme", "sources/notes", notes(b="restated", c="new"))
    assert (report.inserted, report.updated) == (1, 1)
    assert texts(lake) == {"a": "x", "b": "restated", "c": "new"}


def test_what_was_known_then_can_be_read_now(lake: Lake) -> None:
    first = lake.write("acme", "sources/notes", notes(a="x"))
    lake.write("acme", "sources/notes", notes(a="changed"))
    assert lake.read("acme", "sources/notes", version=first.version)["text"].to_list() == ["x"]


def test_a_snapshot_replaces_the_whole_table(lake: Lake) -> None:
    columns = {"check": "a", "value": 1.0, "threshold": 2.0, "status": "pass", "detail": ""}
    lake.write("acme", "causal/validation", pl.DataFrame([columns, columns | {"check": "b"}]))
    lake.write("acme", "causal/validation", pl.DataFrame([columns | {"check": "c"}]))
    assert lake.read("acme", "causal/validation")["check"].to_list() == ["c"]


def test_a_missing_column_and_a_doubled_key_are_refused_and_the_last_table_stays(lake: Lake) -> None:
    lake.write("acme", "sources/notes", notes(a="x"))
    with pytest.raises(ContractError, match=r"sources/notes: column\(s\) text missing"):
        lake.write("acme", "sources/notes", notes(a="x").drop("text"))
    with pytest.raises(ContractError, match="the key is note_id"):
        lake.write("acme", "sources/notes", pl.concat([notes(a="x"), notes(a="y")]))
    assert texts(lake) == {"a": "x"}


def test_extra_columns_pass_through_and_may_appear_later(lake: Lake) -> None:
    lake.write("acme", "sources/notes", notes(a="x"))
    lake.write("acme", "sources/notes", notes(b="y").with_columns(team=pl.lit("growth")))
    frame = lake.read("acme", "sources/notes").sort("note_id")
    assert frame["team"].to_list() == [None, "growth"]


def test_an_empty_table_keeps_its_types_and_its_reason(lake: Lake) -> None:
    for name, contract in TABLES.items():
        lake.write("acme", name, contract.empty(), status="skipped: no source (x)")
        assert lake.status("acme", name) == "skipped: no source (x)"
        assert dict(lake.read("acme", name).schema) == contract.columns, name


def test_a_source_taken_away_keeps_no_rows_but_its_past_can_be_read(lake: Lake) -> None:
    first = lake.write("acme", "sources/notes", notes(a="x"))
    lake.write("acme", "sources/notes", table("sources/notes").empty(), status="skipped: no source (notes)")
    assert lake.read("acme", "sources/notes").is_empty()
    assert lake.read("acme", "sources/notes", version=first.version).height == 1
    gone = lake.version("acme", "sources/notes")
    lake.write("acme", "sources/notes", table("sources/notes").empty(), status="skipped: no source (notes)")
    assert lake.version("acme", "sources/notes") == gone


def test_a_table_that_was_never_made_is_absent_not_empty(lake: Lake) -> None:
    assert lake.status("acme", "sources/notes") == "never materialised"
    with pytest.raises(TableAbsent, match=r"liftos run acme --select \+sources/notes"):
        lake.require("acme", "sources/notes")


def test_rows_in_quarantine_are_kept_once(lake: Lake) -> None:
    row = pl.DataFrame([{"file": "m.csv", "row": 3, "column": "at", "reason": "not a time", "raw": "x"}])
    assert lake.append_quarantine("acme", "notes", row) == 1
    assert lake.append_quarantine("acme", "notes", row) == 0
    assert lake.quarantine("acme", "notes").height == 1
    assert lake.quarantine("other", "notes").height == 0


def test_a_root_given_as_a_uri_behaves_the_same(home: Path) -> None:
    lake = Lake(f"file://{home / 'store'}")
    assert lake.read("acme", "sources/notes").is_empty()
    lake.write("acme", "sources/notes", notes(a="x"))
    report = lake.write("acme", "sources/notes", notes(a="x", b="y"))
    assert (report.inserted, report.unchanged) == (1, 1)
    row = pl.DataFrame([{"file": "m.csv", "row": 3, "column": "at", "reason": "not a time", "raw": "x"}])
    assert lake.append_quarantine("acme", "notes", row) == 1
    assert (home / "store" / "acme" / "sources" / "notes" / "_delta_log").is_dir()


def test_two_writers_of_one_table_lose_nothing(lake: Lake) -> None:
    lake.write("acme", "sources/notes", notes(start="0"))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: lake.write("acme", "sources/notes", notes(**{f"n{i}": str(i)})), range(8)))
    assert set(texts(lake)) == {"start", *(f"n{i}" for i in range(8))}


@settings(max_examples=200, deadline=None)
@given(client=st.text(max_size=20), name=st.text(max_size=30))
def test_no_name_however_hostile_leads_outside_the_clients_folder(client: str, name: str) -> None:
    lake = Lake("/lake")
    try:
        path = lake.path(client, name)
    except (ClientError, KeyError):
        return
    assert Path(path).resolve().is_relative_to(f"/lake/{client}")


@pytest.mark.parametrize("client", ["../acme", "acme/../other", "/abs", "acme\n", "acme%2f..", ".."])
def test_a_client_cannot_name_anothers_tables(lake: Lake, client: str) -> None:
    lake.write("acme", "sources/notes", notes(secret="s"))
    for use in (
        lambda: lake.read(client, "sources/notes"),
        lambda: lake.write(client, "sources/notes", notes(a="x")),
        lambda: lake.quarantine(client, "notes"),
        lambda: lake.folder(client, "eval"),
    ):
        with pytest.raises(ClientError):
            use()
    with pytest.raises(KeyError):
        lake.read("other", "../acme/sources/notes")
    with pytest.raises(KeyError):
        lake.quarantine("other", "../../acme/sources/notes")


def test_assets_of_two_clients_read_only_their_own_rows(home: Path, instance: dg.DagsterInstance) -> None:
    clients = dg.DynamicPartitionsDefinition(name="clients")

    @dg.asset(key=["sources", "notes"], partitions_def=clients, io_manager_key="lake_io")
    def source(context: dg.AssetExecutionContext) -> pl.DataFrame:
        return notes(a=f"of {context.partition_key}")

    seen: dict[str, list[str]] = {}

    @dg.asset(partitions_def=clients, ins={"frame": dg.AssetIn(key=["sources", "notes"])})
    def reader(context: dg.AssetExecutionContext, frame: pl.DataFrame) -> None:
        seen[context.partition_key] = frame["text"].to_list()

    instance.add_dynamic_partitions("clients", ["acme", "globex"])
    for client in ("acme", "globex"):
        assert dg.materialize(
            [source, reader], partition_key=client, instance=instance, resources={"lake_io": LakeIOManager()}
        ).success
    assert seen == {"acme": ["of acme"], "globex": ["of globex"]}


def test_a_table_written_before_an_optional_column_existed_is_read_with_it_null(home: Path) -> None:
    from deltalake import write_deltalake

    lake = Lake(str(home / "lake"))
    newest = table("sources/llm_calls")
    older = newest.empty().drop("unit_id", "propensity")
    assert set(newest.completed(older).columns) == set(newest.columns)
    row = {name: "1" if dtype == pl.String else None for name, dtype in older.schema.items()}
    write_deltalake(lake.path("acme", newest.name), pl.DataFrame([row], schema=older.schema).to_arrow())
    assert lake.read("acme", newest.name).select("call_id", "unit_id", "propensity").rows() == [("1", None, None)]
    assert lake.require("acme", newest.name)["unit_id"].dtype == pl.String
