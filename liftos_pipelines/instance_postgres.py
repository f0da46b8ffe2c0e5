"""Dagster's own PostgreSQL storage with its connections kept open: named in deploy/postgres/dagster.yaml, same tables.

The stock classes connect anew for each call, look into the system catalogue for the same columns hundreds of times a
run, and commit each of a run's events by itself, some of them twice. Durability stays the server's: nothing is set.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import dagster as dg
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from dagster_postgres.storage import DagsterPostgresStorage
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, DisconnectionError

from liftos_pipelines.instance_storage import KnownPartitions

POOL: dict[str, int] = {"statement_timeout": 0, "pool_recycle": 600, "max_overflow": 16}
"""One connection kept a storage and process; more only while threads work side by side."""
IDLE_SECONDS = 2.0
"""A connection unused for longer is tried before it is used: the server may have been restarted."""
TOLD_LATER_SECONDS = 0.25
TOLD_LATER = {
    dg.DagsterEventType.ENGINE_EVENT,
    dg.DagsterEventType.RESOURCE_INIT_STARTED,
    dg.DagsterEventType.RESOURCE_INIT_SUCCESS,
    dg.DagsterEventType.STEP_INPUT,
    dg.DagsterEventType.LOADED_INPUT,
    dg.DagsterEventType.STEP_OUTPUT,
    dg.DagsterEventType.HANDLED_OUTPUT,
}
"""Written with the run's next event, or a quarter of a second later: nobody decides anything by them."""
Answer = TypeVar("Answer")


def _known(method: Callable[..., Answer]) -> Callable[..., Answer]:
    """A question about the schema, whose answer is kept once it is yes: columns and tables once there stay."""

    @wraps(method)
    def asked(self: Any, *arguments: Any) -> Answer:
        held = self.__dict__.setdefault("_known_schema", {})
        key = (method.__name__, arguments)
        if not held.get(key):
            held[key] = method(self, *arguments)
        return held[key]  # type: ignore[no-any-return]

    return asked


def _kept(storage: Any) -> None:
    """Keep the storage's connections open, and try one that has been idle before it is used."""
    storage.optimize_for_webserver(**POOL)
    engine: Engine = storage._engine

    @sqlalchemy_event.listens_for(engine, "checkin")
    def _note(_: Any, record: Any) -> None:
        record.info["used"] = time.monotonic()

    @sqlalchemy_event.listens_for(engine, "checkout")
    def _try(connection: Any, record: Any, _: Any) -> None:
        if time.monotonic() - record.info.get("used", time.monotonic()) < IDLE_SECONDS:
            return
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except connection.Error as error:
            raise DisconnectionError(str(error)) from error


class KeptEvents(KnownPartitions, PostgresEventLogStorage):
    """The event log; an event, what is told later, its asset's row and its check's row are one transaction."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._later: list[dg.EventLogEntry] = []
        self._turn = threading.RLock()
        self._timer: threading.Timer | None = None
        self._inside = threading.local()
        self._partitions: dict[tuple[str, str], float] = {}
        super().__init__(*arguments, **options)
        _kept(self)
        atexit.register(self._tell)

    # --- writing -----------------------------------------------------------------------------------------
    def store_event(self, event: dg.EventLogEntry) -> None:
        """Write an event, or keep it for a moment until the next one is written."""
        with self._turn:
            if event.is_dagster_event and event.dagster_event_type in TOLD_LATER:
                self._later.append(event)
                if self._timer is None:
                    self._timer = threading.Timer(TOLD_LATER_SECONDS, self._tell)
                    self._timer.daemon = True
                    self._timer.start()
                return
            self._write(event)

    def _write(self, event: dg.EventLogEntry | None) -> None:
        waiting = list(self._later)
        with self.index_transaction() as connection:
            if waiting:
                connection.execute(SqlEventLogStorageTable.insert(), [self._event_to_row(each) for each in waiting])
            if event is not None:
                self._insert(connection, event)
        del self._later[: len(waiting)]
        if self._timer is not None and not self._later:
            self._timer.cancel()
            self._timer = None

    def _insert(self, connection: Connection, event: dg.EventLogEntry) -> None:
        statement = self.prepare_insert_event(event).returning(SqlEventLogStorageTable.c.id)
        number = int(connection.execute(statement).scalar_one())
        if not event.is_dagster_event:
            return
        told = event.get_dagster_event()
        if event.dagster_event_type in ASSET_EVENTS and told.asset_key:
            self._store_asset_event_tags(connection, [event], [number])
            self._store_asset_event(connection, event, number)
        if event.dagster_event_type in ASSET_CHECK_EVENTS:
            self._inside.connection = connection
            try:
                self.store_asset_check_event(event, number)
            finally:
                self._inside.connection = None

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Write several at once, after what came before them."""
        self._tell()
        super().store_event_batch(events)

    def _tell(self) -> None:
        """Write what has waited; kept for the next time when the database cannot be reached."""
        with self._turn:
            self._timer = None
            if self._later:
                try:
                    self._write(None)
                except DBAPIError:
                    if len(self._later) > 1000:
                        raise

    def _connect(self) -> Any:
        inside = getattr(self._inside, "connection", None)
        return _as_it_is(inside) if inside is not None else super()._connect()

    # --- reading -----------------------------------------------------------------------------------------
    def get_records_for_run(self, *arguments: Any, **options: Any) -> Any:
        """A run's events, with those that this process has not written yet."""
        self._tell()
        return super().get_records_for_run(*arguments, **options)

    has_table = _known(PostgresEventLogStorage.has_table)
    has_asset_key_col = _known(PostgresEventLogStorage.has_asset_key_col)

    def dispose(self) -> None:
        self._tell()
        atexit.unregister(self._tell)
        super().dispose()
        self._engine.dispose()


class KeptRuns(PostgresRunStorage):
    """The table of runs."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        _kept(self)

    has_run_stats_index_cols = _known(PostgresRunStorage.has_run_stats_index_cols)

    def dispose(self) -> None:
        super().dispose()
        self._engine.dispose()


class KeptSchedules(PostgresScheduleStorage):
    """Ticks and the state of sensors and schedules."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        _kept(self)

    def dispose(self) -> None:
        super().dispose()
        self._engine.dispose()


class KeptPostgresStorage(DagsterPostgresStorage):
    """What `storage.custom` names; configured as Dagster's `storage.postgres`."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: Any = None,
        token_provider: Any = None,
    ) -> None:
        super().__init__(postgres_url, should_autocreate_tables, inst_data, token_provider)
        self._event_log_storage = KeptEvents(postgres_url, should_autocreate_tables, token_provider=token_provider)
        self._run_storage = KeptRuns(postgres_url, should_autocreate_tables, token_provider=token_provider)
        self._schedule_storage = KeptSchedules(postgres_url, should_autocreate_tables, token_provider=token_provider)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> KeptPostgresStorage:
        made = DagsterPostgresStorage.from_config_value(inst_data, config_value)
        token_provider = made._event_log_storage._token_provider
        return cls(made.postgres_url, made.should_autocreate_tables, inst_data, token_provider)


@contextmanager
def _as_it_is(connection: Connection) -> Iterator[Connection]:
    yield connection
