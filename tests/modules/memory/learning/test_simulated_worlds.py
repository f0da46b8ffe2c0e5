"""Advice in simulated worlds: contexts in words that memory never stored, judged by the effects that were planted."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from liftos_pipelines.modules.memory.learning.evidence import Encoder, gather
from liftos_pipelines.modules.memory.learning.patterns import Query, find_patterns
from liftos_pipelines.modules.memory.records import from_sources, history, items
from liftos_pipelines.resources.embedder import Embedder, default_model_path
from liftos_pipelines.simulate import outcomes as world
from liftos_pipelines.simulate.setting import CAMPAIGNS
from liftos_pipelines.tables import table
from liftos_pipelines.text import Name, NameFinder

NAMES = NameFinder([Name(name=campaign.name) for campaign in CAMPAIGNS])


@pytest.fixture(scope="module")
def encode(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Embedder(default_model_path(), tmp_path_factory.mktemp("cache")).encode


def advice(seed: int, encode: Encoder) -> list[dict[str, float]]:
    """One row a query: answered?, best action advised?, and how many sure directions were right."""
    made = world.generate(seed)
    contract = table("sources/outcomes")
    frame = pl.DataFrame([{c: row.get(c) for c in contract.columns} for row in made.rows], infer_schema_length=None)
    if frame.schema["decided_at"] == pl.String:
        frame = frame.with_columns(pl.col("decided_at").str.to_datetime(time_zone="UTC", time_unit="us"))
    remembered = history.remember(
        items.empty_items(), from_sources.outcomes(contract.conform(frame)), datetime(2026, 1, 1, tzinfo=UTC)
    ).added
    queries = [Query(query_id=q["query_id"], kind="test", context=q["text"]) for q in made.queries]
    found = find_patterns(queries, gather(remembered, encode, NAMES), encode, NAMES)
    effects = {situation.kind: situation for situation in world.SITUATIONS}
    rows = []
    for query in made.queries:
        said = found.filter(pl.col("query_id") == query["query_id"], ~pl.col("abstained"))
        sure = said.filter(pl.col("confidence") > 0.8)
        truth = [effects[query["kind"]].effects.get(action, 0.0) for action in sure["action"]]
        matters = [(p > 0.5) == (t > 0) for p, t in zip(sure["p_success"], truth, strict=True) if t != 0]
        top = said.sort("p_success", descending=True)["action"]
        rows.append(
            {
                "answered": float(said.height > 0),
                "best": float(top.len() > 0 and top[0] == effects[query["kind"]].best),
                "chance": 1 / len(effects[query["kind"]].effects),
                "sure": float(len(matters)),
                "sure_right": float(sum(matters)),
            }
        )
    return rows


def summary(seeds: range, encode: Encoder) -> dict[str, float]:
    rows = pl.DataFrame([row for seed in seeds for row in advice(seed, encode)])
    answered = rows.filter(pl.col("answered") == 1)
    return {
        "questions": float(rows.height),
        "coverage": answered.height / rows.height,
        "best_of_answered": float(answered["best"].to_numpy().mean()),
        "chance": float(answered["chance"].to_numpy().mean()),
        "sure": float(rows["sure"].sum()),
        "sure_right": float(rows["sure_right"].sum() / rows["sure"].sum()),
    }


def test_memory_advises_the_action_that_truly_helps(encode: Encoder) -> None:
    got = summary(range(7, 10), encode)
    assert got["coverage"] > 0.2
    assert got["best_of_answered"] > got["chance"] + 0.3
    assert got["sure_right"] > 0.85


@pytest.mark.slow
def test_on_worlds_that_no_choice_was_made_on(encode: Encoder) -> None:
    for seeds in (range(7, 17), range(100, 130)):
        got = summary(seeds, encode)
        print(f"\nworlds {seeds}: {got}")
        assert got["best_of_answered"] > got["chance"] + 0.3
        assert got["sure_right"] > 0.85
