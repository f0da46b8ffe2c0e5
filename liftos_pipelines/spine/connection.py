"""One way into the spine's database: connections, transactions, and errors that say what to do.

SQLite (WAL) or PostgreSQL by URL. A write takes the write lock when it begins, so that two writers wait for one
another instead of failing half-way; what one transaction wrote is there whole or not at all.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

BUSY_SECONDS = 30.0
"""How long a writer waits for another one before it gives up."""
Outcome = TypeVar("Outcome")
# Alembic keeps the migration under way in a module of its own, so threads take turns.
_ONE_MIGRATION = threading.Lock()


class SpineError(ValueError):
    """A request to the spine cannot be carried out; the message says why and what to do."""


class SpineBusy(SpineError):
    """Another process held the write lock for too long."""


class SpineUnwritable(SpineError):
    """The disk is full, read-only or failing, or the file is not a database."""


class Store:
    """The database, brought to the current schema when opened; what the parts of the spine share."""

    def __init__(self, url: str, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self.url = url
        self.busy_seconds = busy_seconds
        self.engine = _engine(url, busy_seconds)
        self._sqlite = self.engine.dialect.name == "sqlite"
        self._built: dict[str, Any] = {}
        with self._explained():
            migrate(self.engine)

    @property
    def place(self) -> str:
        """Where the database stands, without a password."""
        return self.engine.url.database or "memory" if self._sqlite else self.url.split("@")[-1]

    def insert(self, table: Any) -> Any:
        """An INSERT that knows ON CONFLICT, in this database's dialect."""
        assert isinstance(table, Table)
        return sqlite.insert(table) if self._sqlite else postgresql.insert(table)

    def built(self, name: str, build: Callable[[], Any]) -> Any:
        """A statement that is needed often, built once in this database's dialect."""
        found = self._built.get(name)
        if found is None:
            found = self._built[name] = build()
        return found

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with self._explained(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction with the write lock; rolled back when its body raises."""
        with self._explained(), self.engine.connect() as connection:
            if self._sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()

    def transaction(self, work: Callable[[Connection], Outcome]) -> Outcome:
        """`work` in one transaction; tried again when the database refused it for the sake of another one's."""

        def attempt() -> Outcome:
            with self.writing() as connection:
                return work(connection)

        return retry(attempt)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with self._explained(), Session(self.engine, expire_on_commit=False) as session:
            yield session
            session.commit()

    @contextmanager
    def session_writing(self, name: str) -> Iterator[Session]:
        """A session whose transaction has the write lock and this name from its start; rolled back when it raises."""
        with self._session() as session:
            if self._sqlite:
                session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            self.lock(session, name)
            yield session

    def lock(self, connection: Connection | Session, name: str) -> None:
        """Until the transaction ends nobody else holds this name; SQLite's one write lock does it already."""
        if not self._sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": name})

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            told = self._why(error)
            if told is None:
                raise
            raise told from error

    def _why(self, error: DatabaseError) -> SpineError | None:
        """What an operator can do about a database error; None when it is ours to mend."""
        said, cause = str(error.orig).lower(), error.orig
        if "locked" in said or "busy" in said or "lock timeout" in said:
            return SpineBusy(
                f"{self.place}: another process held the spine's write lock for more than {self.busy_seconds:g} s. "
                "Nothing was written; find it (`lsof` names who has the file open), let it end, then try again"
            )
        full = "disk is full" in said or "no space left" in said or "disk i/o error" in said or "too big" in said
        if full or (isinstance(cause, sqlite3.OperationalError) and "unable to open" in said):
            return SpineUnwritable(
                f"{self.place}: cannot be written ({cause}). Nothing was half-written; free space on that disk "
                "(`df -h`) or point LIFTOS_SPINE_URL to another place, then run again: what is missing is done then"
            )
        if "readonly" in said or "read-only" in said:
            return SpineUnwritable(f"{self.place}: is read-only; give this user the right to write it and its folder")
        if "not a database" in said or "malformed" in said:
            return SpineUnwritable(
                f"{self.place}: is not a readable SQLite database ({cause}); put back a backup, or move the file "
                "away to begin anew (events, ledger and approvals in it are then gone)"
            )
        return None


def utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def retry(attempt: Callable[[], Outcome], times: int = 8) -> Outcome:
    """What two writers did at the same moment is tried again."""
    for trial in range(times):
        try:
            return attempt()
        except (IntegrityError, OperationalError):
            if trial == times - 1:
                raise
            time.sleep(0.02 * 2**trial)
    raise AssertionError("unreachable")


def migrate(engine: Engine) -> None:
    """Bring a spine database to the current schema; a no-op when it is there already.

    Several processes may open a new database together: one migrates, the others find it done.
    """
    with _ONE_MIGRATION:
        retry(lambda: _migrate(engine))


def _migrate(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    newest = ScriptDirectory.from_config(config).get_current_head()
    with engine.connect() as connection:
        if MigrationContext.configure(connection).get_current_revision() == newest:
            return
        connection.rollback()
        if engine.dialect.name == "postgresql":
            # Let go at the end of the transaction: a lock of the session would live on in the pool.
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('liftos spine migration'))"))
        else:
            # The driver begins no transaction for a CREATE TABLE by itself; this one makes the others wait.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        if MigrationContext.configure(connection).get_current_revision() == newest:
            return
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


def _engine(url: str, busy_seconds: float) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, future=True)
    file = url.removeprefix("sqlite:///")
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": busy_seconds}, future=True)

    @event.listens_for(engine, "connect")
    def _tune(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute(f"PRAGMA busy_timeout={int(busy_seconds * 1000)}")
        cursor.close()

    return engine
