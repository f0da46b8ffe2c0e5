"""`liftos memory forget` as a person runs it: asked first, gone for good, named when it is not there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from liftos_pipelines.cli import app
from liftos_pipelines.modules.memory.records import from_sources
from liftos_pipelines.modules.memory.records.items import combine, with_provenance
from liftos_pipelines.resources.memory_store import MemoryRefused, open_memory
from liftos_pipelines.tables import table


@pytest.fixture
def memory_id(home: Path) -> str:
    folder = home / "clients" / "acme"
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text("client: acme\n")
    note = pl.DataFrame(
        [{"note_id": "n1", "at": datetime(2025, 1, 1, tzinfo=UTC), "text": "Ms Quillfeather complained"}],
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
    contract = table("sources/notes")
    items = with_provenance(combine([from_sources.notes(contract.conform(note))]), {"sources/notes": 0})
    open_memory("acme").remember(items, datetime.now(UTC))
    return str(items["memory_id"].item())


def test_a_memory_is_erased_when_the_person_says_yes_and_not_before(memory_id: str) -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["memory", "forget", "acme", memory_id], input="n\n").exit_code == 1
    assert open_memory("acme").count() == 1
    said = runner.invoke(app, ["memory", "forget", "acme", memory_id, "--yes"])
    assert said.exit_code == 0, said.output
    assert "1 version(s)" in said.output
    assert open_memory("acme").recall("Quillfeather") == []


def test_a_memory_that_is_not_there_is_named(memory_id: str) -> None:
    said = CliRunner().invoke(app, ["memory", "forget", "acme", "mnobody", "--yes"])
    assert isinstance(said.exception, MemoryRefused)
    assert "acme has no memory 'mnobody'" in str(said.exception)
