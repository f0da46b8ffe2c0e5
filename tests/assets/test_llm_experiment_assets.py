"""Experiments on a real lake, spine and Dagster instance: looks, decision records, events, shares, commands."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from liftos_pipelines.assets import llm_experiments as assets
from liftos_pipelines.checks import llm_experiments as checks
from liftos_pipelines.clients import ClientError, load_client
from liftos_pipelines.llm_cli import llm_app
from liftos_pipelines.resources.lake import Lake, LakeIOManager, LakeResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.decisions import read_decisions
from liftos_pipelines.tables import table

CLIENT = "acme"
START = datetime(2025, 3, 3, tzinfo=UTC)
PLAN = """client: acme
llm:
  experiments:
    tone:
      prompt: reply
      split: {A: 0.5, B: 0.5}
      primary: feedback_positive
      guardrails: {error: {margin: 0.05}}
      allocation: thompson
"""


def calls(n: int, good: dict[str, float], *, seed: int = 1, errors: dict[str, float] | None = None) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for i in range(n):
        arm = str(rng.choice(list(good)))
        liked, failed = rng.random() < good[arm], rng.random() < (errors or {}).get(arm, 0.03)
        rows.append(
            {
                "call_id": f"c{seed}-{i}",
                "called_at": START + timedelta(days=30 * seed, minutes=30 * i),
                "model": "m",
                "prompt_name": "reply",
                "prompt_version": "1",
                "variant": arm,
                "input": f"question {seed} {i}",
                "output": "" if failed else "Yes.",
                "latency_ms": float(rng.normal(100, 10)),
                "user_feedback": 1 if liked else -1,
                "error": "timeout" if failed else "",
            }
        )
    contract = table("sources/llm_calls")
    return pl.DataFrame([{c: r.get(c) for c in contract.columns} for r in rows], schema=contract.columns)


def scores(frame: pl.DataFrame) -> pl.DataFrame:
    contract = table("llm/call_scores")
    found = {"call_id": frame["call_id"], "latency_ms": frame["latency_ms"]}
    return pl.DataFrame({c: found.get(c, [None] * frame.height) for c in contract.columns}, schema=contract.columns)


@pytest.fixture
def lake(home: Path) -> Lake:
    folder = home / "clients" / CLIENT
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text(PLAN)
    return LakeResource().get()


def run(instance: dg.DagsterInstance, lake: Lake, frame: pl.DataFrame) -> dg.ExecuteInProcessResult:
    lake.write(CLIENT, "sources/llm_calls", frame)
    lake.write(CLIENT, "llm/call_scores", scores(frame))
    instance.add_dynamic_partitions("clients", [CLIENT])
    parts = assets.experiments.partitions_def
    return dg.materialize(
        [
            assets.experiments, assets.experiment_looks, assets.allocation, checks.sample_ratio, checks.guardrails,
            dg.AssetSpec(["sources", "llm_calls"], partitions_def=parts).with_io_manager_key("lake_io"),
            dg.AssetSpec(["llm", "call_scores"], partitions_def=parts).with_io_manager_key("lake_io"),
        ],
        instance=instance,
        partition_key=CLIENT,
        resources={"lake_io": LakeIOManager(), "lake": LakeResource(), "spine": SpineResource()},
    )  # fmt: skip


def test_a_look_is_recorded_once_and_its_decision_told_once(lake: Lake, instance: dg.DagsterInstance) -> None:
    spine, early = SpineResource().get(), calls(300, {"A": 0.5, "B": 0.5})
    run(instance, lake, early)
    run(instance, lake, early)
    assert lake.read(CLIENT, "llm/experiment_looks")["decision"].to_list() == ["keep_running"]
    assert spine.events(CLIENT, types=["llm_experiment_decided"]) == []
    both = pl.concat([early, calls(1500, {"A": 0.4, "B": 0.7}, seed=2)])
    run(instance, lake, both)
    run(instance, lake, both)
    found = lake.read(CLIENT, "llm/experiment_looks").sort("look")
    assert found["decision"].to_list() == ["keep_running", "ship_b"]
    (event,) = spine.events(CLIENT, types=["llm_experiment_decided"])
    said = event.payload.model_dump()
    assert (said["experiment"], said["prompt_name"], said["decision"], said["arm"]) == (
        "tone", "reply", "ship_b", "variant",
    )  # fmt: skip
    assert event.occurred_at == found["looked_at"][1]
    entries = spine.ledger(CLIENT, kinds=["experiment_look"])
    assert [entry.actor for entry in entries] == ["liftos.experiments"] * 2
    records = read_decisions(entries)
    assert [record.verdict for record in records] == ["keep_running", "ship_b"]
    assert records[1].reasoning
    assert {one.action for one in records[1].alternatives or ()} == {"rollback_b", "keep_a", "keep_running"}
    assert (records[1].inputs or ())[0].rows == 1800
    assert spine.verify_ledger(CLIENT).verified


def test_a_look_that_was_written_down_but_not_stored_is_not_written_twice(
    lake: Lake, instance: dg.DagsterInstance
) -> None:
    frame = calls(1500, {"A": 0.4, "B": 0.7})
    run(instance, lake, frame)
    # As if the step had been killed between the ledger and the table.
    store = LakeResource().get()
    store.write(CLIENT, "llm/experiment_looks", table("llm/experiment_looks").empty(), status="skipped: no source (x)")
    run(instance, lake, frame)
    spine = SpineResource().get()
    assert len(spine.ledger(CLIENT, kinds=["experiment_look"])) == 1
    assert len(spine.events(CLIENT, types=["llm_experiment_decided"])) == 1
    assert lake.read(CLIENT, "llm/experiment_looks").height == 1


def test_a_broken_guardrail_is_a_check_an_event_and_the_end_of_the_arms_share(
    lake: Lake, instance: dg.DagsterInstance
) -> None:
    done = run(instance, lake, calls(1200, {"A": 0.5, "B": 0.6}, errors={"A": 0.02, "B": 0.25}))
    passed = {check.check_name: check.passed for check in done.get_asset_check_evaluations()}
    assert passed == {"sample_ratio": True, "guardrails": False}
    (event,) = SpineResource().get().events(CLIENT, types=["llm_experiment_decided"])
    assert event.payload.model_dump()["decision"] == "rollback_b"
    shares = dict(lake.read(CLIENT, "llm/allocation").select("variant", "probability").iter_rows())
    assert shares == {"A": 1.0, "B": 0.0}


def test_shares_are_kept_over_time_with_their_floor(lake: Lake, instance: dg.DagsterInstance) -> None:
    early = calls(300, {"A": 0.5, "B": 0.52})
    run(instance, lake, early)
    done = run(instance, lake, pl.concat([early, calls(300, {"A": 0.5, "B": 0.52}, seed=2)]))
    shares = lake.read(CLIENT, "llm/allocation")
    assert shares.height == 4
    assert shares["probability"].min() >= 0.1  # type: ignore[operator]
    assert shares.group_by("as_of").agg(pl.col("probability").sum())["probability"].to_list() == pytest.approx([1, 1])
    pictures = [m.materialization.metadata for m in done.get_asset_materialization_events()]
    assert sum("image/png" in str(value.value) for one in pictures for value in one.values()) == 2


def test_a_client_without_calls_has_empty_tables(lake: Lake, instance: dg.DagsterInstance) -> None:
    assert run(instance, lake, table("sources/llm_calls").empty()).success
    for name in ("llm/experiments", "llm/experiment_looks", "llm/allocation"):
        assert lake.read(CLIENT, name).is_empty()
    assert lake.status(CLIENT, "llm/experiments") == "skipped: no source (llm_calls)"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            "primary: feedback_positve",
            r"client\.yaml: llm\.experiments\.tone\.primary: .*closest: \"feedback_positive\"",
        ),
        ("primry: cost", r"llm\.experiments\.tone\.primry: .*closest: \"primary\""),
        ("split: {A: 1.0}", r"llm\.experiments\.tone: split names one arm"),
        ("guardrails: {cost: {margin: -0.1}}", r"guardrails\.cost\.margin"),
    ],
)
def test_a_wrong_plan_names_file_field_and_fix(lake: Lake, home: Path, wrong: str, words: str) -> None:
    text = f"client: acme\nllm:\n  experiments:\n    tone:\n      prompt: reply\n      {wrong}\n"
    (home / "clients" / CLIENT / "client.yaml").write_text(text)
    with pytest.raises(ClientError, match=words):
        assets.plans_of(load_client(CLIENT))


def test_a_start_without_a_zone_is_utc(lake: Lake, home: Path, instance: dg.DagsterInstance) -> None:
    (home / "clients" / CLIENT / "client.yaml").write_text(PLAN + "      start: 2025-04-05\n")
    run(instance, lake, calls(400, {"A": 0.5, "B": 0.5}))
    first = lake.read(CLIENT, "llm/experiments").filter(pl.col("role") == "primary").row(0, named=True)
    assert first["n_a"] + first["n_b"] == 400 - 3 * 48  # a call each half hour from 2 April on


def test_commands_plan_and_show(lake: Lake, instance: dg.DagsterInstance) -> None:
    runner = CliRunner()
    planned = runner.invoke(llm_app, ["experiment", "plan", "--effect", "0.05", "--rate", "0.5", "--json"])
    told = json.loads(planned.output)
    assert told["single_look"] < told["expected"] < told["horizon"] < 6000
    run(instance, lake, calls(1500, {"A": 0.4, "B": 0.7}))
    shown = runner.invoke(llm_app, ["experiment", "show", CLIENT]).output
    assert "decided   ship_b" in shown
    assert "guard     cleared  error" in shown
    assert "tone: next calls A 10%, B 90%" in shown
    unknown = runner.invoke(llm_app, ["experiment", "show", CLIENT, "--experiment", "tune"])
    assert 'there is no experiment "tune"' in str(unknown.exception)
    both = runner.invoke(llm_app, ["experiment", "plan", "--effect", "0.05"])
    assert "either --rate" in str(both.exception)
