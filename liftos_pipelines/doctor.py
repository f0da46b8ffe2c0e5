"""`liftos doctor`: looks at each part of the installation and says what is wrong and what to do."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from liftos_pipelines import settings
from liftos_pipelines.clients import ClientError, list_clients, load_client

NEEDED_BYTES = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Finding:
    what: str
    healthy: bool
    detail: str


def examine() -> Iterator[Finding]:
    """One finding a part, in the order a newcomer would need them."""
    for what, look in (
        ("home", _home),
        ("disk", _disk),
        ("libraries", _libraries),
        ("Dagster instance", _instance),
        ("spine database", _spine),
        ("embedding weights", _weights),
        ("clients", _clients),
    ):
        yield _tried(what, look)


def _tried(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what=what, healthy=True, detail=look())
    except Exception as error:  # a broken part must not hide the others
        return Finding(what=what, healthy=False, detail=f"{type(error).__name__}: {error}")


def _home() -> str:
    root = settings.home()
    probe = root / ".write-test"
    probe.write_text("", encoding="utf-8")
    probe.unlink()
    return f"{root} can be written"


def _disk() -> str:
    free = shutil.disk_usage(settings.home()).free
    if free < NEEDED_BYTES:
        raise OSError(
            f"{free / 1e9:.1f} GB free below {settings.home()}; at least {NEEDED_BYTES / 1e9:.0f} GB are needed"
        )
    return f"{free / 1e9:.0f} GB free"


def _libraries() -> str:
    names = ("dagster", "polars", "deltalake", "pymc", "nutpie", "mlflow", "lancedb", "great_expectations", "torch")
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"{', '.join(missing)} not installed; run `make install`")
    return f"{len(names)} found"


def _instance() -> str:
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        return f"storage {type(instance.event_log_storage).__name__}, {instance.get_runs_count()} runs"


def _spine() -> str:
    from liftos_pipelines.resources.spine import open_spine

    spine = open_spine()
    dead = len(spine.dead_letters())
    given_up = f", {dead} given up: see `liftos events dead`" if dead else ""
    return f"{spine.newest_seq()} events at {settings.spine_url().split('@')[-1]}{given_up}"


def _weights() -> str:
    from liftos_pipelines.resources.embedder import EmbedderResource

    vector = EmbedderResource().get().encode(["ready"])
    return f"{vector.shape[1]} dimensions, offline"


def _clients() -> str:
    names = list_clients()
    broken = []
    for name in names:
        try:
            load_client(name)
        except ClientError as error:
            broken.append(str(error))
    if broken:
        raise ClientError("; ".join(broken))
    return ", ".join(names) or "none yet: liftos client add NAME, or liftos demo"
