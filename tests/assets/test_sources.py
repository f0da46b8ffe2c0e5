"""Ingestion on a real Dagster instance and a real lake: what is wrong stops its own source, and only that."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import client_world as world

from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.tables import SOURCES

MARKETING_AND_MENTIONS = 'key:"sources/marketing_*" or key:"sources/mentions"'


@pytest.fixture
def folder(home: Path) -> Path:
    return world.write_client(home)


def good_marketing(home: Path, instance: dg.DagsterInstance) -> pl.DataFrame:
    assert world.run(instance, select=MARKETING_AND_MENTIONS).success
    return world.lake(home).read("acme", "sources/marketing_media").sort("date")


def test_every_source_becomes_its_table_with_every_check_judged(folder: Path, home: Path, instance: Any) -> None:
    result = world.run(instance)
    assert result.success
    lake = world.lake(home)
    for source in SOURCES:
        assert lake.read("acme", f"sources/{source}").height or source == "marketing_controls", source
    evaluated = {(e.asset_key.path[-1], e.check_name) for e in result.get_asset_check_evaluations()}
    assert {source for source, _ in evaluated} == set(SOURCES)
    assert ("marketing_outcome", "dates_continuous") in evaluated
    assert not world.failed_checks(result)


def test_a_client_without_a_source_is_told_so_and_nothing_is_invented(home: Path, instance: Any) -> None:
    world.write_client(home, mentions=None, marketing=None, campaigns=None)
    result = world.run(instance)
    assert result.success
    lake = world.lake(home)
    for source in ("mentions", "marketing_outcome", "marketing_media", "marketing_controls", "campaigns"):
        assert lake.read("acme", f"sources/{source}").is_empty()
        assert lake.status("acme", f"sources/{source}").startswith("skipped: no source")
    said = [
        e.metadata["status"].value for e in result.get_asset_check_evaluations() if e.asset_key.path[-1] == "mentions"
    ]
    assert said
    assert set(said) == {"skipped: no source (mentions)"}


def test_the_same_files_twice_make_no_new_version(folder: Path, home: Path, instance: Any) -> None:
    world.run(instance)
    lake = world.lake(home)
    before = {source: lake.version("acme", f"sources/{source}") for source in SOURCES}
    assert world.run(instance).success
    assert {source: lake.version("acme", f"sources/{source}") for source in SOURCES} == before


def test_an_appended_row_is_added_and_a_restated_week_replaces_the_old_one(
    folder: Path, home: Path, instance: Any
) -> None:
    good_marketing(home, instance)
    restated = [*world.media(5), f"{world.week(5)},999,77,1,na", f"{world.week(6)},1,88,1,na"]
    (folder / "data/media.csv").write_text(world.lines(world.MEDIA_HEADER, *restated))
    assert world.run(instance, select=MARKETING_AND_MENTIONS).success
    media = world.lake(home).read("acme", "sources/marketing_media").sort("date")
    assert media["spend"].to_list() == [10, 11, 12, 13, 14, 77, 88]
    outcome = world.lake(home).read("acme", "sources/marketing_outcome").sort("date")
    assert outcome["outcome"].to_list()[-2:] == [999, 1]
    assert outcome["revenue"].to_list()[-2:] == [1998, 2]


def test_a_file_of_only_the_last_weeks_keeps_the_earlier_ones(folder: Path, home: Path, instance: Any) -> None:
    good_marketing(home, instance)
    (folder / "data/media.csv").write_text(world.lines(world.MEDIA_HEADER, *world.media(4, first=4)))
    assert world.run(instance, select=MARKETING_AND_MENTIONS).success
    assert world.lake(home).read("acme", "sources/marketing_media").height == 8


def test_a_renamed_channel_does_not_count_twice(folder: Path, home: Path, instance: Any) -> None:
    good_marketing(home, instance)
    renamed = world.MARKETING | {"channels": {"television": world.MARKETING["channels"]["tv"]}}  # type: ignore[index]
    world.write_client(home, marketing=renamed)
    assert world.run(instance, select=MARKETING_AND_MENTIONS).success
    media = world.lake(home).read("acme", "sources/marketing_media")
    assert media["channel"].unique().to_list() == ["television"]
    assert media.height == 6


def test_an_agent_taken_off_the_list_is_gone_but_an_old_mention_stays(folder: Path, home: Path, instance: Any) -> None:
    (folder / "data/agents.yaml").write_text(
        "- {agent_id: g1, type: chat, owner: o, purpose: p, version: '1', stage: live, capabilities: []}\n"
        "- {agent_id: g2, type: chat, owner: o, purpose: p, version: '1', stage: live, capabilities: []}\n"
    )
    world.run(instance)
    world.write_client(home)
    (folder / "data/mentions.csv").write_text(world.lines(world.MENTION_HEADER, world.mention(9)))
    assert world.run(instance).success
    assert world.lake(home).read("acme", "sources/agents")["agent_id"].to_list() == ["g1"]
    assert world.lake(home).read("acme", "sources/mentions").height == 6


BAD_MEDIA: dict[str, tuple[list[str], str, list[str]]] = {
    "a missing column": (
        [world.MEDIA_HEADER.replace("tv_spend", "tv_spnd"), *world.media()],
        "marketing_outcome.columns",
        [
            'clients/acme/client.yaml: sources.marketing.channels.tv.spend: column "tv_spend" is not in '
            'data/media.csv (closest: "tv_spnd"). Fix the name or the file.'
        ],
    ),
    "an unreadable date": (
        [world.MEDIA_HEADER, *world.media(), "12/02/2024,1,1,1,na"],
        "marketing_outcome.quarantine",
        ['data/media.csv row 8: column "week" says "12/02/2024"', "not an ISO 8601 date"],
    ),
    "a duplicated key": (
        [world.MEDIA_HEADER, *world.media(), f"{world.week(3)},5,5,5,na"],
        "marketing_outcome.keys_unique",
        ["data/media.csv row 5", "data/media.csv row 8", '"week" is 2024-01-22'],
    ),
    "a negative spend": (
        [world.MEDIA_HEADER, *world.media(), f"{world.week(6)},5,-3,5,na"],
        "marketing_media.spend_not_negative",
        ['data/media.csv row 8: column "tv_spend" is -3.0', "refunds"],
    ),
    "a missing week": (
        [world.MEDIA_HEADER, *world.media(), f"{world.week(8)},5,3,5,na"],
        "marketing_outcome.dates_continuous",
        ["data/media.csv row 8", "previous date 2024-02-05", "weekly"],
    ),
    "an empty cell": (
        [world.MEDIA_HEADER, *world.media(), f"{world.week(6)},5,,5,na"],
        "marketing_outcome.quarantine",
        ['data/media.csv row 8: column "tv_spend" is empty; write 0'],
    ),
    "an empty file": ([""], "marketing_outcome.readable", ["data/media.csv is empty"]),
    "a header alone": ([world.MEDIA_HEADER], "marketing_outcome.not_empty", ["there is no readable row"]),
}


@pytest.mark.parametrize("name", BAD_MEDIA)
def test_bad_marketing_stops_itself_names_the_place_and_leaves_the_last_good_table(
    name: str, folder: Path, home: Path, instance: Any
) -> None:
    rows, check, sentences = BAD_MEDIA[name]
    good = good_marketing(home, instance)
    (folder / "data/media.csv").write_text(world.lines(*rows))
    (folder / "data/mentions.csv").write_text(world.lines(world.MENTION_HEADER, *(world.mention(n) for n in range(9))))
    result = world.run(instance, select=MARKETING_AND_MENTIONS)
    assert not result.success
    assert check in world.failed_checks(result)
    said = world.failure(result, "sources_marketing")
    for sentence in [*sentences, "The last good table stays in place."]:
        assert sentence in said
    assert world.lake(home).read("acme", "sources/marketing_media").sort("date").equals(good)
    # The other source of the same run was not affected.
    assert world.lake(home).read("acme", "sources/mentions").height == 9


def test_downstream_of_a_failed_source_does_not_run(folder: Path, home: Path, instance: Any) -> None:
    from liftos_pipelines.assets.common import inputs, lift_asset
    from liftos_pipelines.resources.lake import LakeIOManager, LakeResource
    from liftos_pipelines.resources.spine import SpineResource

    ran: list[str] = []

    @lift_asset("sentiment/daily_index", ins=inputs("sources/mentions"))
    def daily_index(mentions: pl.DataFrame) -> dg.MaterializeResult:
        ran.append("ran")
        return dg.MaterializeResult(value=pl.DataFrame())

    (folder / "data/mentions.csv").write_text(
        world.lines(world.MENTION_HEADER, world.mention(1), world.mention(1, "other"))
    )
    instance.add_dynamic_partitions("clients", ["acme"])
    assets = [*dg.load_assets_from_modules([world.sources]), daily_index]
    result = dg.materialize(
        assets,
        instance=instance,
        partition_key="acme",
        raise_on_error=False,
        selection=dg.AssetSelection.from_string('key:"sources/mentions"+'),
        resources={"lake": LakeResource(), "lake_io": LakeIOManager(), "spine": SpineResource()},
    )
    assert not result.success
    assert world.failed_checks(result) == {"mentions.quarantine", "mentions.not_empty"}
    assert not ran
    assert not world.lake(home).exists("acme", "sources/mentions")


def test_a_mention_of_the_future_and_two_that_contradict_each_other_are_set_aside_alone(
    folder: Path, home: Path, instance: Any
) -> None:
    rows = [*(world.mention(n) for n in range(90)), world.mention(90, at="2204-01-01"), world.mention(1, "other")]
    (folder / "data/mentions.csv").write_text(world.lines(world.MENTION_HEADER, *rows))
    assert world.run(instance, select='key:"sources/mentions"').success
    set_aside = world.lake(home).quarantine("acme", "mentions").sort("row")
    assert set_aside["row"].to_list() == [3, 92, 93]
    assert "stands in rows 3, 93 of this file with different contents" in set_aside["reason"][0]
    assert "in the future" in set_aside["reason"][1]
    assert world.lake(home).read("acme", "sources/mentions").height == 89


def test_an_unreadable_mention_is_set_aside_with_its_reason_and_the_others_are_kept(
    folder: Path, home: Path, instance: Any
) -> None:
    rows = [*(world.mention(n) for n in range(9)), world.mention(9, at="yesterday"), "m10,2024-05-01,reddit"]
    (folder / "data/mentions.csv").write_text(world.lines(world.MENTION_HEADER, *rows))
    for _ in range(2):  # the second run adds nothing to the quarantine
        result = world.run(instance, select='key:"sources/mentions"')
        assert result.success
    set_aside = world.lake(home).quarantine("acme", "mentions").sort("row")
    assert set_aside["row"].to_list() == [11, 12]
    assert "yesterday" in set_aside["reason"][0]
    assert "yesterday" in set_aside["raw"][0]
    assert "3 fields where the header has 4" in set_aside["reason"][1]
    assert world.lake(home).read("acme", "sources/mentions").height == 9
    warned = next(e for e in result.get_asset_check_evaluations() if e.check_name == "quarantine")
    assert not warned.passed
    assert warned.severity == dg.AssetCheckSeverity.WARN
    assert warned.metadata["rows_set_aside"].value == 2.0


def test_too_many_unreadable_rows_stop_the_source(folder: Path, home: Path, instance: Any) -> None:
    rows = [world.mention(1), *(world.mention(n, at="soon") for n in range(2, 6))]
    (folder / "data/mentions.csv").write_text(world.lines(world.MENTION_HEADER, *rows))
    result = world.run(instance, select='key:"sources/mentions"')
    assert world.failed_checks(result) == {"mentions.quarantine"}
    assert not world.lake(home).exists("acme", "sources/mentions")
    assert world.lake(home).quarantine("acme", "mentions").height == 4


def test_a_row_standing_twice_is_one_row(folder: Path, home: Path, instance: Any) -> None:
    (folder / "data/mentions.csv").write_text(world.lines(world.MENTION_HEADER, world.mention(1), world.mention(1)))
    result = world.run(instance, select='key:"sources/mentions"')
    assert result.success
    metadata = result.get_asset_materialization_events()[0].materialization.metadata
    assert metadata["rows_identical"].value == 1.0
    assert world.lake(home).read("acme", "sources/mentions").height == 1


def test_a_later_file_of_a_glob_restates_an_earlier_one(home: Path, instance: Any) -> None:
    folder = world.write_client(home, mentions={"path": "data/mentions-*.csv"})
    (folder / "data/mentions-2024-05.csv").write_text(
        world.lines(world.MENTION_HEADER, world.mention(1, "old"), world.mention(2))
    )
    (folder / "data/mentions-2024-06.csv").write_text(
        world.lines(world.MENTION_HEADER, world.mention(1, "new"), world.mention(3))
    )
    assert world.run(instance, select='key:"sources/mentions"').success
    table = world.lake(home).read("acme", "sources/mentions").sort("mention_id")
    assert table["mention_id"].to_list() == ["m1", "m2", "m3"]
    assert table["text"][0] == "new"


def test_a_file_that_vanishes_half_way_changes_nothing(
    folder: Path, home: Path, instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write_client(home, mentions={"path": "data/part-*.csv"})
    for part in (1, 2):
        (folder / f"data/part-{part}.csv").write_text(world.lines(world.MENTION_HEADER, world.mention(part)))
    assert world.run(instance, select='key:"sources/mentions"').success
    (folder / "data/part-1.csv").write_text(world.lines(world.MENTION_HEADER, world.mention(1, "changed")))
    reading = Path.read_bytes

    def read_and_lose(path: Path) -> bytes:
        content = reading(path)
        if path.name == "part-1.csv":
            (folder / "data/part-2.csv").unlink()
        return content

    monkeypatch.setattr(Path, "read_bytes", read_and_lose)
    result = world.run(instance, select='key:"sources/mentions"')
    assert "data/part-2.csv was there when the files were listed and is gone now" in world.failure(
        result, "sources__mentions"
    )
    assert set(world.lake(home).read("acme", "sources/mentions")["text"]) == {"fine"}


@pytest.mark.parametrize(
    ("client", "sentence"), [("nobody", 'there is no client "nobody"'), ("../x", "is not allowed")]
)
def test_a_client_that_is_not_there_or_must_not_be_is_refused(
    folder: Path, home: Path, instance: Any, client: str, sentence: str
) -> None:
    before = sorted(home.rglob("*"))
    result = world.run(instance, client=client, select=MARKETING_AND_MENTIONS)
    assert not result.success
    assert sentence in world.failure(result, "sources__mentions")
    assert sorted(path for path in home.rglob("*") if path not in before and path.suffix != ".db") == []


def test_one_table_of_marketing_can_be_materialised_alone(folder: Path, home: Path, instance: Any) -> None:
    assert world.run(instance, select='key:"sources/marketing_media"').success
    assert world.lake(home).exists("acme", "sources/marketing_media")
    assert not world.lake(home).exists("acme", "sources/marketing_outcome")


def test_a_campaign_that_has_begun_says_so_once_and_a_future_one_does_not(
    folder: Path, home: Path, instance: Any
) -> None:
    for _ in range(2):
        assert world.run(instance, select='key:"sources/campaigns"').success
    raised = open_spine().events("acme", types=["campaign_started"])
    assert [event.payload.campaign_id for event in raised] == ["c1"]  # type: ignore[attr-defined]


def test_formats_with_the_same_content_give_the_same_table(home: Path, instance: Any) -> None:
    frame = pl.DataFrame(
        {
            "mention_id": ["a", "b"],
            "published_at": ["2024-05-01T10:00:00Z", "2024-05-02T00:00:00Z"],
            "source": ["x", "y"],
            "text": ['He said "no", twice\nand left', "ok; fine"],
            "rating": [4.5, None],
        }
    )
    tables = []
    for ending in ("csv", "jsonl", "parquet", "delta", "csv.gz"):
        folder = world.write_client(home, client=ending.replace(".", "-"), mentions={"path": f"data/own.{ending}"})
        path = folder / f"data/own.{ending}"
        if ending == "csv":
            frame.write_csv(path)
        elif ending == "csv.gz":
            import gzip

            path.write_bytes(gzip.compress(frame.write_csv().encode()))
        elif ending == "jsonl":
            frame.write_ndjson(path)
        else:
            typed = frame.with_columns(pl.col("published_at").str.to_datetime(time_zone="UTC"))
            typed.write_parquet(path) if ending == "parquet" else typed.write_delta(str(path))
        client = ending.replace(".", "-")
        assert world.run(instance, client=client, select='key:"sources/mentions"').success, ending
        tables.append(world.lake(home).read(client, "sources/mentions").sort("mention_id"))
    for other in tables[1:]:
        assert other.equals(tables[0])


def test_thirty_thousand_mentions_are_ingested_in_seconds(home: Path, instance: Any) -> None:
    import time

    folder = world.write_client(home)
    rows = (world.mention(n, f"text number {n}", f"2024-05-{n % 28 + 1:02d}T10:00:00Z") for n in range(30_000))
    (folder / "data/mentions.csv").write_text(world.lines(world.MENTION_HEADER, *rows))
    start = time.perf_counter()
    assert world.run(instance, select='key:"sources/mentions"').success
    assert time.perf_counter() - start < 30
    assert world.lake(home).read("acme", "sources/mentions").height == 30_000
