"""What a decision cites of memory: like actions with a measured effect, in a version that stays readable."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from liftos_pipelines.assets.agentic_precedents import Precedents
from liftos_pipelines.modules.memory.records import from_sources
from liftos_pipelines.modules.memory.records.items import combine, with_provenance
from liftos_pipelines.resources.embedder import open_embedder
from liftos_pipelines.resources.memory_store import MemoryStore
from liftos_pipelines.tables import table

LATE = "Incident on campaign c25-doorstep: customers complain that parcels arrive late"


@pytest.fixture
def store(home: Path) -> MemoryStore:
    return MemoryStore("acme", open_embedder(), home / "memory")


def outcomes(*contexts: str) -> pl.DataFrame:
    rows = [
        {
            "outcome_id": f"o{number}", "decided_at": datetime(2025, 1, 1 + number, tzinfo=UTC), "context": context,
            "action": "notify customers", "metric": "conversions", "effect": 0.1 * number, "std_error": 0.05,
            "campaign_id": None, "domain": None,
        }
        for number, context in enumerate(contexts)
    ]  # fmt: skip
    frame = pl.DataFrame(rows, schema_overrides=table("sources/outcomes").columns)
    return with_provenance(combine([from_sources.outcomes(frame, {})]), {"sources/outcomes": 1})


def test_a_decision_cites_like_measured_actions_and_the_version_that_holds_them(store: MemoryStore) -> None:
    store.remember(
        outcomes("parcels are late, the courier failed", "a new creative was shown on video"), datetime.now(UTC)
    )
    cited = Precedents(store).of(LATE)
    first = cited.memories[0]
    held = store.current(["outcome"])
    late = held.filter(pl.col("context").str.contains("courier"))["memory_id"].item()
    assert (first["memory_id"], first["effect"], first["std_error"]) == (late, 0.0, 0.05)
    assert cited.pin in store.tags()
    # What comes later does not change what was known; clean-up leaves it readable.
    store.remember(outcomes("x", "y", "z"), datetime.now(UTC))
    store.optimize(timedelta(0))
    assert set(store.at(cited.pin or "")["memory_id"]) == set(held["memory_id"])


def test_decisions_of_one_version_share_a_pin_and_numbers_ask_no_new_question(store: MemoryStore) -> None:
    store.remember(outcomes("parcels are late"), datetime.now(UTC))
    asked = Precedents(store)
    assert asked.of(f"{LATE} effect -4,988") is asked.of(f"{LATE} effect +12.5")
    assert asked.of("something else").pin == asked.of(LATE).pin
    assert len(store.tags()) == 1


def test_a_memory_without_measured_actions_is_said_to_hold_none(store: MemoryStore) -> None:
    assert Precedents(store).of(LATE).as_evidence() == {"memories": [], "memory_pin": None}


def test_a_citation_repeats_no_text_that_may_have_to_be_forgotten(store: MemoryStore) -> None:
    store.remember(outcomes("Ms Quillfeather's parcel is late"), datetime.now(UTC))
    assert "Quillfeather" not in str(Precedents(store).of(LATE).as_evidence())
