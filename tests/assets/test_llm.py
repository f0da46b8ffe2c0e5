"""The LLM assets on a real lake and Dagster instance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from liftos_pipelines.assets import llm as assets
from liftos_pipelines.assets import llm_experiments, llm_screens
from liftos_pipelines.checks import llm as checks
from liftos_pipelines.checks import llm_experiments as experiment_checks
from liftos_pipelines.modules.llm.prices import PriceError
from liftos_pipelines.resources.lake import Lake, LakeIOManager, LakeResource
from liftos_pipelines.tables import table

CLIENT = "acme"
START = datetime(2025, 3, 3, tzinfo=UTC)


def calls(n: int = 600) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    rows: list[dict[str, Any]] = []
    for i in range(n):
        b = bool(rng.random() < 0.5)
        price, planted = int(rng.integers(100, 900)), bool(rng.random() < (0.05 if b else 0.5))
        rows.append(
            {
                "call_id": f"c{i}",
                "called_at": START + timedelta(minutes=30 * i),
                "model": "gpt-4o-mini",
                "prompt_name": "price",
                "prompt_version": "1",
                "variant": "B" if b else "A",
                "input": f"What does product {i} cost?",
                "context": f"Product {i}. Price: {price} EUR. Stock: {i + 7} pieces.",
                "output": f"The price of product {i} is {price + 1 if planted else price} EUR.",
                "latency_ms": float(rng.normal(100, 10)),
                "input_tokens": 1000,
                "output_tokens": 100,
            }
        )
    contract = table("sources/llm_calls")
    full = [{c: r.get(c) for c in contract.columns} for r in rows]
    return pl.DataFrame(full, schema=contract.columns, orient="row")


@pytest.fixture
def lake(home: Path) -> Lake:
    folder = home / "clients" / CLIENT
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text(f"client: {CLIENT}\n")
    return LakeResource().get()


def run(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("clients", [CLIENT])
    source = dg.AssetSpec(["sources", "llm_calls"], partitions_def=assets.call_scores.partitions_def)
    return dg.materialize(
        [
            assets.call_scores, llm_experiments.experiments, assets.performance, llm_screens.bias_report,
            checks.groundedness_in_range, checks.outputs_supported, experiment_checks.sample_ratio,
            source.with_io_manager_key("lake_io"),
        ],
        instance=instance,
        partition_key=CLIENT,
        resources={"lake_io": LakeIOManager(), "lake": LakeResource()},
    )  # fmt: skip


def test_calls_become_scores_a_decision_and_weekly_figures(lake: Lake, instance: dg.DagsterInstance) -> None:
    lake.write(CLIENT, "sources/llm_calls", calls())
    done = run(instance)
    assert done.success
    passed = {check.check_name: check.passed for check in done.get_asset_check_evaluations()}
    assert passed == {"groundedness_in_range": True, "outputs_supported": False, "sample_ratio": True}
    scores = lake.read(CLIENT, "llm/call_scores")
    assert scores.height == 600
    assert scores["cost"].null_count() == 600  # a dollar price is not a euro cost
    found = lake.read(CLIENT, "llm/experiments").filter(pl.col("metric") == "groundedness").row(0, named=True)
    assert (found["variant_a"], found["variant_b"], found["decision"], found["role"]) == ("A", "B", "ship_b", "primary")
    weekly = lake.read(CLIENT, "llm/performance")
    assert weekly["calls"].sum() == 600
    assert weekly["error_rate"].null_count() == weekly.height
    assert lake.read(CLIENT, "llm/bias_report")["verdict"].to_list() == ["not enough pairs"]


def test_prices_come_from_the_catalogue_for_dollars_and_from_the_clients_file_else(
    lake: Lake, instance: dg.DagsterInstance, home: Path
) -> None:
    folder = home / "clients" / CLIENT
    lake.write(CLIENT, "sources/llm_calls", calls(5))
    (folder / "client.yaml").write_text(f"client: {CLIENT}\ncurrency: USD\n")
    run(instance)
    listed = lake.read(CLIENT, "llm/call_scores")["cost"].to_list()
    assert listed == pytest.approx([1000 * 0.15e-6 + 100 * 0.6e-6] * 5)  # the maker's list price of this model
    (folder / "client.yaml").write_text(f"client: {CLIENT}\n")
    (folder / "prices.yaml").write_text("currency: USD\nrate: 0.5\n")
    run(instance)
    assert lake.read(CLIENT, "llm/call_scores")["cost"].to_list() == pytest.approx([cost / 2 for cost in listed])
    (folder / "prices.yaml").write_text("models: {gpt-4o-mini: {input_per_million: cheap, output_per_million: 1}}\n")
    with pytest.raises(PriceError, match=r"prices\.yaml: models\.gpt-4o-mini\.input_per_million"):
        run(instance)


def test_a_client_without_calls_is_skipped(lake: Lake, instance: dg.DagsterInstance) -> None:
    lake.write(CLIENT, "sources/llm_calls", table("sources/llm_calls").empty())
    assert run(instance).success
    for name in ("call_scores", "experiments", "performance", "bias_report"):
        assert lake.read(CLIENT, f"llm/{name}").is_empty()
        assert lake.status(CLIENT, f"llm/{name}").startswith("skipped")
