"""The wrapper around every asset: Dagster sees what it saw before, and each run leaves a span and the way to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from liftos_pipelines.assets.common import inputs, lift_asset, result
from liftos_pipelines.resources.spine import SpineResource, open_spine
from liftos_pipelines.spine import telemetry
from liftos_pipelines.spine.payloads import DriftDetected
from liftos_pipelines.spine.telemetry_store import SpanRecord, TelemetryStore


@lift_asset("sources/notes")
def upstream(context: dg.AssetExecutionContext) -> dg.MaterializeResult[pl.DataFrame]:
    """Two notes."""
    return result(pl.DataFrame({"note_id": ["a", "b"]}), kept=1.0)


@lift_asset("sentiment/alerts", ins=inputs(told="sources/notes"))
def downstream(
    context: dg.AssetExecutionContext, told: pl.DataFrame, spine: SpineResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Uses an input and a resource."""
    assert spine.get() is not None
    return result(told.head(1))


@lift_asset("sources/campaigns", check_specs=[dg.AssetCheckSpec("fine", asset=["sources", "campaigns"])])
def several(context: dg.AssetExecutionContext):  # type: ignore[no-untyped-def]
    yield dg.AssetCheckResult(check_name="fine", passed=True)
    yield result(pl.DataFrame({"campaign_id": ["c"]}))


@lift_asset("surfacing/shifts")
def broken(context: dg.AssetExecutionContext) -> dg.MaterializeResult[pl.DataFrame]:
    raise ZeroDivisionError("no outcome")


def _run(instance: dg.DagsterInstance, assets: list[Any], tags: dict[str, str] | None = None) -> Any:
    instance.add_dynamic_partitions("clients", ["acme"])
    return dg.materialize(
        assets,
        instance=instance,
        partition_key="acme",
        tags=tags,
        raise_on_error=False,
        resources={"lake_io": dg.InMemoryIOManager(), "spine": SpineResource()},
    )


@pytest.fixture
def spans(home: Path) -> Iterator[Any]:
    def read() -> dict[str, SpanRecord]:
        telemetry.flush()
        return {each.name: each for each in TelemetryStore(telemetry.telemetry_file()).spans()}

    yield read
    telemetry.shutdown()


def test_inputs_resources_docstring_and_checks_are_those_of_the_function(
    spans: Any, instance: dg.DagsterInstance
) -> None:
    ran = _run(instance, [upstream, downstream, several])
    assert ran.success
    assert downstream.keys_by_input_name == {"told": dg.AssetKey(["sources", "notes"])}
    assert "spine" in downstream.required_resource_keys
    assert "Uses an input and a resource." in str(downstream.descriptions_by_key[downstream.key])
    assert ran.get_asset_check_evaluations()[0].passed
    found = spans()
    assert found["asset sentiment/alerts"].attributes["liftos.rows"] == 1
    assert found["asset sources/campaigns"].attributes["liftos.rows"] == 1
    assert {each.client for each in found.values()} == {"acme"}
    assert {each.run_id for each in found.values()} == {ran.run_id}
    # Nothing tells of a correlation: the run is its own.
    assert {each.correlation_id for each in found.values()} == {ran.run_id}


def test_the_metadata_leads_to_the_trace(
    spans: Any, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFTOS_TRACE_URL", "http://viewer.example/trace/{trace_id}")
    ran = _run(instance, [upstream], {"liftos/correlation": "corr-1"})
    metadata = ran.asset_materializations_for_node("sources__notes")[0].metadata
    assert metadata["trace"].value == "liftos trace corr-1"
    assert metadata["kept"].value == 1.0
    span = spans()["asset sources/notes"]
    assert metadata["trace_url"].value == f"http://viewer.example/trace/{span.trace_id}"
    assert span.correlation_id == "corr-1"


def test_a_run_that_answers_an_event_belongs_to_the_events_correlation(
    spans: Any, instance: dg.DagsterInstance
) -> None:
    from datetime import UTC, date, datetime

    drift = DriftDetected(
        dataset="d", column="c", as_of=date(2026, 1, 1), test="psi", statistic=1.0, p_value_adjusted=None
    )
    event = open_spine().raise_event("acme", drift, occurred_at=datetime(2026, 1, 1, tzinfo=UTC), correlation_id="root")
    _run(instance, [upstream], {"liftos/event": event.event_id, "liftos/reaction": "causal/champion"})
    span = spans()["asset sources/notes"]
    assert span.correlation_id == "root"
    assert span.attributes["liftos.reaction"] == "causal/champion"
    assert span.attributes["messaging.message.id"] == event.event_id


def test_a_failure_stays_a_failure_and_is_noted(spans: Any, instance: dg.DagsterInstance) -> None:
    ran = _run(instance, [broken])
    assert not ran.success
    span = spans()["asset surfacing/shifts"]
    assert (span.status, span.message) == ("error", "no outcome")
    counted = {
        (each.labels["liftos.asset"], each.labels["status"]): each.value
        for each in TelemetryStore(telemetry.telemetry_file()).metrics()
        if each.name == "liftos.assets"
    }
    assert counted == {("surfacing/shifts", "failed"): 1.0}


def test_switched_off_nothing_is_written_or_added(
    home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFTOS_TRACING", "off")
    ran = _run(instance, [upstream, several])
    assert ran.success
    assert "trace" not in ran.asset_materializations_for_node("sources__notes")[0].metadata
    assert not telemetry.telemetry_file().exists()


def test_called_outside_of_a_run_it_returns_what_the_function_returns(home: Path) -> None:
    told = upstream(dg.build_asset_context(partition_key="acme"))
    assert told.value.height == 2
    telemetry.shutdown()
