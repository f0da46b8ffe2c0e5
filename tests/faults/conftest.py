"""One prepared demo home a session; each test works on a copy of it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_house import FaultHouse, house_at

from liftos_pipelines.bench.reaction_house import prepared_home


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The demo world, materialised as far as the chain reads it."""
    given = os.environ.get("LIFTOS_PREPARED_HOME")
    if given:
        yield Path(given)
        return
    with prepared_home() as home:
        yield home


@pytest.fixture
def house(prepared: Path, tmp_path: Path) -> Iterator[FaultHouse]:
    home = tmp_path / "h"
    shutil.copytree(prepared, home, ignore=shutil.ignore_patterns("*.sock", "reactor.json"))
    with house_at(home) as made:
        yield made
