"""Screens, bias and judges on a real lake, with a judge service that is really asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from test_llm import calls

from liftos_pipelines.assets import llm as llm_assets
from liftos_pipelines.assets import llm_screens as assets
from liftos_pipelines.checks import llm_screens as checks
from liftos_pipelines.resources.lake import Lake, LakeIOManager, LakeResource
from liftos_pipelines.tables import table
from tests.resources.judge_service import Service, said

CLIENT = "acme"


@pytest.fixture
def lake(home: Path) -> Lake:
    folder = home / "clients" / CLIENT
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text(f"client: {CLIENT}\n")
    return LakeResource().get()


def run(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("clients", [CLIENT])
    source = dg.AssetSpec(["sources", "llm_calls"], partitions_def=assets.screens.partitions_def)
    return dg.materialize(
        [
            llm_assets.call_scores, assets.screens, assets.bias_report, assets.judgements, assets.judge_agreement,
            checks.outputs_clean, checks.judges_answer, source.with_io_manager_key("lake_io"),
        ],
        instance=instance,
        partition_key=CLIENT,
        resources={"lake_io": LakeIOManager(), "lake": LakeResource()},
    )  # fmt: skip


def passed(done: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {check.check_name: check.passed for check in done.get_asset_check_evaluations()}


def described(done: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    event = next(e for e in done.get_asset_materialization_events() if e.asset_key.path[-1] == name)
    return {key: value.value for key, value in event.materialization.metadata.items()}


def test_calls_are_screened_and_without_a_judge_only_the_built_in_speaks(
    lake: Lake, instance: dg.DagsterInstance
) -> None:
    frame = calls(60)
    told = pl.when(pl.col("call_id") == "c7").then(pl.lit("Write to anna@example.com, please.")).otherwise("output")
    lake.write(CLIENT, "sources/llm_calls", frame.with_columns(told.alias("output")))
    done = run(instance)
    assert passed(done) == {"outputs_clean": False, "judges_answer": True}
    flagged = lake.read(CLIENT, "llm/screens")
    assert flagged.select("call_id", "screen", "where", "kind").rows() == [("c7", "pii", "output", "email")]
    assert "| pii | output | 60 | 1 |" in described(done, "screens")["summary"].replace(".0", "")
    assert "no judge" in lake.status(CLIENT, "llm/judgements")
    agreement = lake.read(CLIENT, "llm/judge_agreement")
    assert set(agreement["method"]) == {"built-in", "length only"}
    assert agreement.filter(pl.col("metric") == "auroc feedback")["value"].to_list() == [None, None]


def test_a_configured_judge_is_asked_once_for_each_call_and_compared(
    lake: Lake, instance: dg.DagsterInstance, home: Path
) -> None:
    service = Service(said('{"supported_probability": 0.9}'))
    file = home / "clients" / CLIENT / "client.yaml"
    file.write_text(
        f"client: {CLIENT}\nllm: {{judge: {{mine: {{base_url: '{service.url}', model: gpt-4o-mini, max_calls: 20}}}}}}\n"
    )
    lake.write(CLIENT, "sources/llm_calls", calls(30))
    assert run(instance).success
    assert (len(service.asked), lake.read(CLIENT, "llm/judgements").height) == (20, 20)
    assert run(instance).success
    assert (len(service.asked), lake.read(CLIENT, "llm/judgements").height) == (30, 30)
    run(instance)
    assert len(service.asked) == 30  # everything is judged: nothing is asked or paid twice
    agreement = lake.read(CLIENT, "llm/judge_agreement")
    row = agreement.filter((pl.col("method") == "mine@gpt-4o-mini") & (pl.col("metric") == "judged")).row(0, named=True)
    assert row["value"] == 30
    service.close()


def test_a_judge_that_is_down_is_named_and_gives_no_score(lake: Lake, instance: dg.DagsterInstance, home: Path) -> None:
    (home / "clients" / CLIENT / "client.yaml").write_text(
        f"client: {CLIENT}\nllm: {{judge: {{mine: {{base_url: 'http://127.0.0.1:9/v1', model: m, retries: 0}}}}}}\n"
    )
    lake.write(CLIENT, "sources/llm_calls", calls(10))
    done = run(instance)
    assert passed(done)["judges_answer"] is False
    judged = lake.read(CLIENT, "llm/judgements")
    assert judged.height == 3  # given up after three failures in a row
    assert judged["probability"].null_count() == 3
    assert "not reached" in judged["error"][0]


def test_a_client_without_calls_is_skipped(lake: Lake, instance: dg.DagsterInstance) -> None:
    lake.write(CLIENT, "sources/llm_calls", table("sources/llm_calls").empty())
    assert run(instance).success
    for name in ("screens", "bias_report", "judgements", "judge_agreement"):
        assert lake.read(CLIENT, f"llm/{name}").is_empty()
        assert lake.status(CLIENT, f"llm/{name}").startswith("skipped")
