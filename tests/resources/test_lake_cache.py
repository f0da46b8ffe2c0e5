"""Tables kept in memory: never an old version, never another's copy."""

import shutil
from pathlib import Path

import polars as pl

from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.resources.lake_cache import FRAMES, FrameCache
from liftos_pipelines.tables import table

NAME = "sources/notes"


def notes(*texts: str) -> pl.DataFrame:
    empty = table(NAME).empty()
    rows = {"note_id": list(texts), "text": list(texts)}
    columns = [
        (pl.Series(name, rows[name]) if name in rows else pl.Series(name, [None] * len(texts), dtype=dtype))
        for name, dtype in empty.schema.items()
    ]
    return pl.DataFrame(columns)


def test_a_second_read_comes_from_memory_and_a_write_by_anybody_is_seen(tmp_path: Path) -> None:
    here, there = Lake(str(tmp_path)), Lake(str(tmp_path))
    here.write("acme", NAME, notes("a"))
    first = here.read("acme", NAME)
    hits = FRAMES.hits
    assert here.read("acme", NAME).equals(first)
    assert FRAMES.hits == hits + 1
    there.write("acme", NAME, notes("a", "b"))
    assert sorted(here.read("acme", NAME)["note_id"]) == ["a", "b"]
    assert here.version("acme", NAME) == there.version("acme", NAME) == 1


def test_a_reader_cannot_change_what_the_next_reader_gets(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    lake.write("acme", NAME, notes("a"))
    mine = lake.read("acme", NAME)
    lake.read("acme", NAME).insert_column(0, pl.Series("extra", [1]))
    assert lake.read("acme", NAME).columns == mine.columns


def test_a_table_made_anew_under_the_same_version_is_read_again(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    lake.write("acme", NAME, notes("old"))
    assert lake.read("acme", NAME)["note_id"].to_list() == ["old"]
    shutil.rmtree(lake.path("acme", NAME))
    assert lake.read("acme", NAME).is_empty()
    lake.write("acme", NAME, notes("new"))
    assert lake.read("acme", NAME)["note_id"].to_list() == ["new"]


def test_a_status_is_that_of_the_newest_commit(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    lake.write("acme", NAME, notes("a"))
    assert lake.status("acme", NAME) == lake.status("acme", NAME) == "ok"
    lake.write("acme", NAME, notes(), status="skipped: no source (notes)")
    assert lake.status("acme", NAME) == "skipped: no source (notes)"
    assert lake.status("acme", "sources/answers") == "never materialised"


def test_the_longest_unused_is_dropped_when_the_bound_is_reached(tmp_path: Path) -> None:
    wide = pl.DataFrame({"x": ["y" * 1000] * 200})
    cache = FrameCache(limit_bytes=int(wide.estimated_size() * 4.5))
    for number in range(6):
        log = tmp_path / str(number) / "_delta_log"
        log.mkdir(parents=True)
        (log / f"{0:020d}.json").write_text("{}")
        cache.keep(str(tmp_path / str(number)), 0, frame=wide)
    kept = [number for number in range(6) if cache.frame(str(tmp_path / str(number))) is not None]
    assert kept == [2, 3, 4, 5]


def test_a_remote_table_is_never_answered_from_memory() -> None:
    cache = FrameCache()
    cache.keep("s3://bucket/acme/x", 3, frame=pl.DataFrame({"x": [1]}))
    assert cache.frame("s3://bucket/acme/x") is None
