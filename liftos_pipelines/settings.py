"""Where things are: `LIFTOS_HOME` and what lies below it. The only place that reads the environment for paths."""

from __future__ import annotations

import atexit
import gc
import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def home() -> Path:
    """The folder of everything LiftOS writes: `LIFTOS_HOME`, by default `.liftos` in the project folder."""
    return Path(os.environ.get("LIFTOS_HOME") or PROJECT / ".liftos").expanduser().resolve()


def clients_folder(root: Path | None = None) -> Path:
    return (root or home()) / "clients"


def lake_uri() -> str:
    """Root of the lake: `LIFTOS_LAKE_URI` (s3://, gs://, az://, ...) or a folder in `LIFTOS_HOME`."""
    return os.environ.get("LIFTOS_LAKE_URI") or str(home() / "lake")


def spine_url() -> str:
    """SQLAlchemy URL of the spine database: `LIFTOS_SPINE_URL` or SQLite in `LIFTOS_HOME`."""
    return os.environ.get("LIFTOS_SPINE_URL") or f"sqlite:///{home() / 'spine.db'}"


def mlflow_uri() -> str:
    """MLflow's tracking and registry store: `LIFTOS_MLFLOW_URI` or SQLite in `LIFTOS_HOME`."""
    return os.environ.get("LIFTOS_MLFLOW_URI") or f"sqlite:///{home() / 'mlflow' / 'mlflow.db'}"


def mlflow_artifacts() -> str:
    return os.environ.get("LIFTOS_MLFLOW_ARTIFACTS") or str(home() / "mlflow" / "artifacts")


def keys_folder() -> Path:
    """Where the keys stand that sign ledgers: `LIFTOS_KEYS` or `keys` in `LIFTOS_HOME`."""
    return Path(os.environ.get("LIFTOS_KEYS") or home() / "keys").expanduser()


def witness_places() -> tuple[str, ...]:
    """Where checkpoints are written besides the database: `witness` in `LIFTOS_HOME`, and what `LIFTOS_LEDGER_WITNESS`
    names with commas: directories, or URIs of object stores."""
    more = (each.strip() for each in os.environ.get("LIFTOS_LEDGER_WITNESS", "").split(","))
    return (str(home() / "witness"), *(each for each in more if each))


def memory_folder() -> Path:
    return home() / "memory"


def ease_imports() -> None:
    """For a process of one run: have the garbage collector look less often.

    Imports make many objects and no garbage; looking for some is a third of their time.
    """
    gc.set_threshold(100_000, 20)
    # At the end nothing is worth collecting either: leaving it to the system saves a second.
    atexit.register(gc.freeze)


def set_defaults() -> None:
    """Environment that every process of LiftOS wants: homes, telemetry off, one thread per worker, no hub."""
    root = home()
    defaults = {
        "LIFTOS_HOME": str(root),
        "DAGSTER_HOME": str(PROJECT),
        "LIFTOS_DAGSTER_STORAGE": str(root / "dagster"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "GX_ANALYTICS_ENABLED": "false",
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    (root / "dagster").mkdir(parents=True, exist_ok=True)
    clients_folder(root).mkdir(parents=True, exist_ok=True)
