"""Dagster's own SQLite storage with its connections kept open: named in dagster.yaml, same files, same schema.

The stock classes build an engine and open a file for each event, about 10 ms each; a run writes a hundred.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

FILES_HELD_OPEN = 8
"""Each run has a file of its own: those longest unused are closed."""
PARTITION_KNOWN_SECONDS = 1.0


class _Engines:
    """SQLAlchemy engines by URL, the longest unused closed first; none is taken over a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[str, Engine] = OrderedDict()
        self._process = os.getpid()

    def of(self, url: str) -> Engine:
        with self._lock:
            if self._process != os.getpid():
                self._held, self._process = OrderedDict(), os.getpid()
            engine = self._held.get(url)
            if engine is None:
                engine = create_engine(url, pool_size=1, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})
                event.listen(engine, "connect", _relax)
                self._held[url] = engine
            self._held.move_to_end(url)
            while len(self._held) > FILES_HELD_OPEN:
                self._held.popitem(last=False)[1].dispose()
            return engine

    def close(self) -> None:
        with self._lock:
            while self._held:
                self._held.popitem()[1].dispose()


def _relax(connection: Any, _: Any) -> None:
    # In WAL mode safe against crashes of the process; a power cut may lose the last events, not the file.
    connection.execute("PRAGMA synchronous=NORMAL")


class KnownPartitions:
    """In front of an event log: a registered partition is asked for once a second at most."""

    _partitions: dict[tuple[str, str], float]

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        """Whether a partition is registered; one that was found is not looked for again within a second."""
        key, now = (partitions_def_name, partition_key), time.monotonic()
        if self._partitions.get(key, 0.0) > now:
            return True
        found = bool(super().has_dynamic_partition(partitions_def_name, partition_key))  # type: ignore[misc]
        if found:
            self._partitions[key] = now + PARTITION_KNOWN_SECONDS
        return found

    def delete_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> None:
        self._partitions.clear()
        super().delete_dynamic_partition(partitions_def_name, partition_key)  # type: ignore[misc]


class KeptEventLog(KnownPartitions, SqliteEventLogStorage):
    """The event log; one open connection a shard and thread."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines = _Engines()
        self._empty: tuple[bytes, str] | None = None
        self._tables: set[str] = set()
        self._columns: set[str] = set()
        self._partitions: dict[tuple[str, str], float] = {}
        super().__init__(base_dir, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engines.of(self.conn_string_for_shard(shard))
            if shard not in self._initialized_dbs:
                if shard == INDEX_SHARD_NAME or not self._begin_as_copy(Path(self.path_for_shard(shard)), engine):
                    self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _begin_as_copy(self, file: Path, engine: Engine) -> bool:
        """A run's new file as a copy of an empty one: Alembic takes longer to make it than the run to fill it.

        False when the file must be looked at as Dagster does: it is there already, with another schema or half made.
        """
        if self._empty is None:
            self._empty = self._make_empty()
        content, revision = self._empty
        if not file.exists():
            part = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
            part.write_bytes(content)
            try:
                os.link(part, file)  # fails, as it should, when another process was quicker
                return True
            except OSError:
                pass
            finally:
                part.unlink()
        try:
            with engine.connect() as connection:
                found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        except DatabaseError:
            return False
        return found == revision

    def _make_empty(self) -> tuple[bytes, str]:
        """What an event log without events looks like, and its schema's revision."""
        with TemporaryDirectory() as folder:
            file = Path(folder) / "empty.db"
            engine = create_engine(f"sqlite:///{file}", poolclass=NullPool)
            self._initdb(engine)
            with engine.connect() as connection:
                revision = str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar())
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            engine.dispose()
            return file.read_bytes(), revision

    # Dagster asks for each input of each step whether its partition exists, and for each answer whether the table does.
    def has_table(self, table_name: str) -> bool:
        """Whether the index has a table; a table once seen stays."""
        if table_name not in self._tables and bool(super().has_table(table_name)):
            self._tables.add(table_name)
        return table_name in self._tables

    def has_asset_key_col(self, column_name: str) -> bool:
        """Whether the index of assets has a column; a column once seen stays."""
        if column_name not in self._columns and bool(super().has_asset_key_col(column_name)):
            self._columns.add(column_name)
        return column_name in self._columns

    def wipe(self) -> None:
        self._engines.close()
        self._partitions.clear()
        super().wipe()

    def dispose(self) -> None:
        super().dispose()
        self._engines.close()


class KeptRuns(SqliteRunStorage):
    """The table of runs."""

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines = _Engines()
        self._with_stats = False
        super().__init__(conn_string, inst_data)

    def has_run_stats_index_cols(self) -> bool:
        """Whether runs have their times as columns; once seen they stay."""
        self._with_stats = self._with_stats or bool(super().has_run_stats_index_cols())
        return self._with_stats

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with self._engines.of(self._conn_string).connect() as connection, connection.begin():
            yield connection

    def dispose(self) -> None:
        super().dispose()
        self._engines.close()


class KeptSqliteStorage(DagsterSqliteStorage):
    """What `storage.custom` in dagster.yaml names; `base_dir` holds the same files as `storage.sqlite`."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = KeptEventLog(os.path.join(base_dir, "history", "runs", ""))
        self._run_storage = KeptRuns.from_local(os.path.join(base_dir, "history", ""))

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> KeptSqliteStorage:
        return cls.from_local(inst_data=inst_data, **config_value)
