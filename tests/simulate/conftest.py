"""The demo client is written once for all tests of its room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from liftos_pipelines.simulate.world import write_client

SEED = 7


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a written demo client, and the truth."""
    folder = tmp_path_factory.mktemp("clients") / "demo"
    return folder, write_client(folder, seed=SEED)
