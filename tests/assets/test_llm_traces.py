"""Prompts and traces on a real MLflow store, lake and Dagster instance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from liftos_pipelines.assets import llm_traces as assets
from liftos_pipelines.modules.llm.prices import priced
from liftos_pipelines.modules.llm.traces import call_traces, trace_id
from liftos_pipelines.resources import mlflow_traces
from liftos_pipelines.resources.call_prices import client_prices
from liftos_pipelines.resources.lake import Lake, LakeIOManager, LakeResource
from liftos_pipelines.resources.mlflow import MlflowResource
from liftos_pipelines.resources.prompt_registry import PromptRegistry
from liftos_pipelines.tables import table

CLIENT = "acme"
START = datetime(2025, 3, 3, 9, 30, 15, 250_000, tzinfo=UTC)


def call(number: int, **more: Any) -> dict[str, Any]:
    return {
        "call_id": f"c{number}", "called_at": START + timedelta(hours=number), "model": "gpt-4o-mini",
        "prompt_name": "price", "prompt_version": "v1", "variant": "A", "input": "What does it cost?",
        "context": "Price: 42 EUR.", "output": "42 EUR.", "latency_ms": 250.0, "input_tokens": 1000,
        "output_tokens": 100, "cache_read_tokens": 400, "session_id": "s1", "error": "", "user_feedback": 1,
    } | more  # fmt: skip


CALLS = [
    call(0),
    call(1, error="timeout", output=None, user_feedback=None, latency_ms=None),
    call(2, prompt_version="v9", model="house-model", use_case="chat", reference="42", user_feedback=-1),
    call(3, prompt_name="unknown", prompt_version="unknown", user_feedback=0),
]


def frame(rows: list[dict[str, Any]], name: str = "sources/llm_calls") -> pl.DataFrame:
    contract = table(name)
    return pl.DataFrame([{c: r.get(c) for c in contract.columns} for r in rows], schema=contract.columns, orient="row")


@pytest.fixture(scope="module")
def mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One store a file of tests: a new one costs seconds of migrations."""
    return f"sqlite:///{tmp_path_factory.mktemp('tracking') / 'mlflow.db'}"


class House:
    def __init__(self, home: Path, instance: dg.DagsterInstance, uri: str, client: str) -> None:
        self.home, self.instance, self.uri, self.client = home, instance, uri, client
        self.folder = home / "clients" / client
        self.folder.mkdir(parents=True)
        (self.folder / "client.yaml").write_text(f"client: {client}\ncurrency: USD\n")
        instance.add_dynamic_partitions("clients", [client])
        self.lake: Lake = LakeResource().get()

    def run(self, calls: list[dict[str, Any]]) -> dict[str, Any]:
        from liftos_pipelines.clients import load_client

        rows = frame(calls)
        costs = priced(rows, client_prices(load_client(self.client)))
        scores = frame(rows.select("call_id").to_dicts(), "llm/call_scores").drop("cost")
        self.lake.write(self.client, "sources/llm_calls", rows)
        self.lake.write(self.client, "llm/call_scores", scores.join(costs, on="call_id"))
        upstream = [
            dg.AssetSpec(name.split("/"), partitions_def=assets.traces.partitions_def).with_io_manager_key("lake_io")
            for name in ("sources/llm_calls", "llm/call_scores")
        ]
        done = dg.materialize(
            [assets.prompts, assets.traces, *upstream], instance=self.instance, partition_key=self.client,
            resources={"lake_io": LakeIOManager(), "lake": LakeResource(),
                       "mlflow": MlflowResource(tracking_uri=self.uri)},
        )  # fmt: skip
        said = done.asset_materializations_for_node("llm__traces")[0].metadata
        return {name: value.value for name, value in said.items()}

    def searched(self, **more: Any) -> list[Any]:
        mlflow = MlflowResource(tracking_uri=self.uri).open()
        experiment = mlflow.get_experiment_by_name(self.client).experiment_id
        return mlflow.search_traces(locations=[experiment], return_type="list", **more)


@pytest.fixture
def house(home: Path, instance: dg.DagsterInstance, mlflow_store: str, request: pytest.FixtureRequest) -> House:
    return House(home, instance, mlflow_store, f"c-{abs(hash(request.node.name)) % 10**9}")


def test_calls_are_found_in_mlflow_with_their_times_tokens_cost_prompt_and_feedback(house: House) -> None:
    (house.folder / "prompts" / "price").mkdir(parents=True)
    (house.folder / "prompts" / "price" / "v1.txt").write_text("Answer {{question}} from {{context}}.")
    said = house.run(CALLS)
    assert (said["calls_written"], said["calls_there_already"]) == (4.0, 0.0)
    by_call = {trace.info.tags["liftos.call_id"]: trace for trace in house.searched()}
    assert set(by_call) == {"c0", "c1", "c2", "c3"}
    info = by_call["c0"].info
    assert (info.request_time, info.execution_duration, str(info.state)) == (int(START.timestamp() * 1000), 250, "OK")
    assert info.token_usage == {
        "input_tokens": 1000,
        "output_tokens": 100,
        "total_tokens": 1100,
        "cache_read_input_tokens": 400,
    }
    assert info.cost["total_cost"] == pytest.approx((600 * 0.15 + 400 * 0.075 + 100 * 0.6) / 1e6)
    assert info.trace_metadata["mlflow.trace.session"] == "s1"
    assert (info.request_preview, info.response_preview) == ("What does it cost?", "42 EUR.")
    (feedback,) = info.assessments
    assert (feedback.name, feedback.value, feedback.source.source_type) == ("user_feedback", 1, "HUMAN")
    # A failed call without a latency has no duration; a model without a price has no cost, not a guessed one.
    assert (str(by_call["c1"].info.state), by_call["c1"].info.execution_duration) == ("ERROR", None)
    assert by_call["c1"].data.spans[0].status.description == "timeout"
    assert (by_call["c2"].info.cost, by_call["c2"].data.spans[0].llm_cost) == (None, None)
    assert {each.name: each.value for each in by_call["c2"].info.assessments} == {
        "user_feedback": -1,
        "expected_response": "42",
    }
    prompt = house.searched(filter_string=f"prompt = '{house.client}.price/1'")
    assert {trace.info.tags["liftos.call_id"] for trace in prompt} == {"c0", "c1"}
    rows = house.lake.read(house.client, "llm/traces")
    assert rows.sort("call_id")["status"].to_list() == ["ok", "error", "ok", "ok"]
    assert rows.filter(call_id="c0")["trace_id"][0] == trace_id(house.client, "c0") == info.trace_id


def test_one_call_with_overlong_names_does_not_keep_the_others_out(house: House) -> None:
    strange = call(1, session_id="s" * 900, use_case="u" * 9000, model="m" * 900, input="x" * 50_000 + "\0", output="")
    assert house.run([CALLS[0], strange])["calls_written"] == 2.0
    assert {len(trace.info.trace_metadata["mlflow.trace.session"]) for trace in house.searched()} == {2, 250}


def test_a_second_run_writes_only_what_is_new_or_has_changed(house: House) -> None:
    house.run(CALLS[:2])
    changed = [CALLS[0] | {"user_feedback": -1}, CALLS[1], CALLS[2]]
    assert house.run(changed)["calls_written"] == 2.0
    by_call = {trace.info.tags["liftos.call_id"]: trace.info for trace in house.searched()}
    assert set(by_call) == {"c0", "c1", "c2"}
    assert [each.value for each in by_call["c0"].assessments] == [-1]
    assert by_call["c0"].token_usage["total_tokens"] == 1100  # written again, not added up
    assert house.run(changed)["calls_written"] == 0.0


def test_a_crash_between_spans_and_feedback_loses_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow_traces, "_attach_together", crash)
        with pytest.raises(RuntimeError, match="power cut"):
            house.run(CALLS)
    assert len(house.searched()) == 4  # the spans are there, the table is not
    assert house.lake.read(house.client, "llm/traces").is_empty()
    assert house.run(CALLS)["calls_written"] == 4.0
    found = house.searched()
    assert len(found) == 4
    assert sorted(each.value for trace in found for each in trace.info.assessments if each.name == "user_feedback") == [
        -1,
        0,
        1,
    ]
    # The table is lost instead: the store knows what it has.
    house.lake.write(house.client, "llm/traces", table("llm/traces").empty())
    assert house.run(CALLS)["calls_written"] == 0.0


def test_what_was_deleted_in_mlflow_stays_deleted_but_a_new_store_is_filled_again(house: House) -> None:
    house.run(CALLS)
    mlflow = MlflowResource(tracking_uri=house.uri).open()
    experiment = mlflow.get_experiment_by_name(house.client).experiment_id
    mlflow.MlflowClient().delete_traces(experiment, trace_ids=[trace_id(house.client, "c0")])
    assert house.run(CALLS)["calls_written"] == 0.0
    mlflow.MlflowClient().delete_traces(experiment, trace_ids=[trace_id(house.client, f"c{n}") for n in range(4)])
    assert house.run(CALLS)["calls_written"] == 4.0


def test_one_by_one_gives_the_same_trace_as_many_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.run(CALLS[:1])
    (many,) = house.searched()
    mlflow = MlflowResource(tracking_uri=house.uri).open()
    mlflow.MlflowClient().delete_traces(
        many.info.trace_location.mlflow_experiment.experiment_id, trace_ids=[many.info.trace_id]
    )
    monkeypatch.setattr(mlflow_traces, "_rolled_up", lambda: True)  # what a server or kept sums ask for
    house.run(CALLS[:1])
    (one,) = house.searched()

    def told(trace: Any) -> Any:
        info = trace.info.to_dict()
        assessments = [(each["assessment_name"], each["feedback"], each["source"]) for each in info.pop("assessments")]
        return info, assessments, [span.to_dict() for span in trace.data.spans]

    assert told(one) == told(many)
    house.run([CALLS[0] | {"user_feedback": -1}])
    (changed,) = house.searched()
    assert [each.value for each in changed.info.assessments] == [-1]


def test_prompts_are_registered_once_and_a_version_called_without_a_template_is_listed(house: House) -> None:
    (house.folder / "prompts.yaml").write_text(
        "price:\n  v1: Answer {{question}}.\nad:\n  v1: {template: Write., message: first}\n"
    )
    house.run(CALLS)
    registry = PromptRegistry(house.uri, house.client)
    registry.set_alias("price", "production", 1, by="kim", reason="first")
    (house.folder / "prompts.yaml").write_text("price:\n  v1: Answer {{question}} well.\n")
    house.run(CALLS)
    rows = house.lake.read(house.client, "llm/prompts")
    told = rows.select("prompt_name", "prompt_version", "version", "status", "calls", "aliases").rows()
    assert told == [
        ("ad", "v1", 1, "registered", 0, []),
        ("price", "v1", 1, "superseded", None, ["production"]),
        ("price", "v1", 2, "registered", 2, []),
        ("price", "v9", None, "unregistered", 1, []),
    ]
    unregistered = rows.row(3, named=True)
    assert (unregistered["template"], unregistered["template_hash"]) == (None, None)
    assert rows.row(2, named=True)["first_called_at"] == START


def test_a_client_without_calls_and_prompts_is_skipped(house: House) -> None:
    house.run([])
    for name in ("llm/prompts", "llm/traces"):
        assert house.lake.status(house.client, name).startswith("skipped")


def test_traces_of_two_clients_never_share_an_id() -> None:
    assert trace_id("a", "bc") != trace_id("ab", "c")
    assert call_traces.__doc__
