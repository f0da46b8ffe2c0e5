"""What every test may use: a home of its own, the public data where present, and a real Dagster instance."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

SHARED_DATA = Path(os.environ.get("LIFTOS_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["GX_ANALYTICS_ENABLED"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
# A test without a home of its own must not write spans into the project's; `home` switches them on.
os.environ.setdefault("LIFTOS_TRACING", "off")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets; tests that need it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"public data sets are not here ({SHARED_DATA}); set LIFTOS_SHARED_DATA to their folder")
    return SHARED_DATA


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty LIFTOS_HOME for this test; every default path of LiftOS lies below it."""
    monkeypatch.setenv("LIFTOS_HOME", str(tmp_path))
    monkeypatch.setenv("LIFTOS_TRACING", "local")
    for name in ("LIFTOS_LAKE_URI", "LIFTOS_SPINE_URL", "LIFTOS_MLFLOW_URI", "LIFTOS_MLFLOW_ARTIFACTS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "clients").mkdir()
    return tmp_path


@pytest.fixture
def instance() -> Iterator[object]:
    """A real Dagster instance with temporary storage."""
    import dagster as dg

    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral
