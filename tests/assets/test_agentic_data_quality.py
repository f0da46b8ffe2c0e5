"""Data quality of a real client folder: what ingestion set aside and told reaches the eight dimensions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

sys.path.insert(0, str(Path(__file__).parent))
import client_world as world

from liftos_pipelines.assets import agentic_data_quality, sources
from liftos_pipelines.checks.agentic_data_quality import data_may_be_relied_on
from liftos_pipelines.resources.lake import LakeIOManager, LakeResource
from liftos_pipelines.resources.spine import SpineResource


def test_defects_of_the_files_stand_in_the_table(home: Path, instance: Any) -> None:
    folder = world.write_client(home, pages=None)
    mentions = [world.mention(n) for n in range(40)]
    (folder / "data" / "mentions.csv").write_text(
        world.lines(world.MENTION_HEADER + ",mood", *(f"{row},sunny" for row in [*mentions, mentions[0]]), "m98,,x,y,z")
    )
    instance.add_dynamic_partitions("clients", ["acme"])
    assets = dg.load_assets_from_modules([sources, agentic_data_quality])
    resources = {"lake": LakeResource(), "lake_io": LakeIOManager(), "spine": SpineResource()}
    ran = dg.materialize([*assets, data_may_be_relied_on], instance=instance, partition_key="acme", resources=resources)
    assert ran.success
    judged = world.lake(home).read("acme", "agentic/data_quality")
    found = {
        row["dimension"]: row for row in judged.filter(pl.col("dataset") == "sources/mentions").iter_rows(named=True)
    }
    assert found["uniqueness"]["score"] == 40 / 41
    assert found["validity"]["score"] == 40 / 41
    assert found["completeness"]["score"] < 1
    assert found["relevance"]["evidence"] == "nobody reads mood"
    assert found["accuracy"]["status"] == "unknown"
    assert "sources/pages" not in judged["dataset"].to_list(), "a source the client does not have has no quality"
