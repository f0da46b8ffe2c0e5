"""Where a run's code location stands for the web UI: without it a run has no link to its job and its assets."""

from __future__ import annotations

import socket
from functools import lru_cache
from pathlib import Path

import yaml
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.workspace.load import location_origins_from_yaml_paths

from liftos_pipelines.reactor.protocol import reactor_folder

LOCATION, REPOSITORY, HOST = "liftos_pipelines", "__repository__", "127.0.0.1"


def workspace_file() -> Path:
    return reactor_folder() / "workspace.yaml"


def code_location(*, serve: bool = False) -> GrpcServerCodeLocationOrigin:
    """The code location of this home, at an address that it keeps: links, sensors and schedules are known by it.

    Parameters
    ----------
    serve : the address is about to be served; one that another program has taken meanwhile is given up
    """
    file = workspace_file()
    held = _read(file)
    if held is not None and not (serve and _is_taken(held.port)):
        return held
    file.parent.mkdir(parents=True, exist_ok=True)
    entry = {"host": HOST, "port": _free_port(), "location_name": LOCATION}
    part = file.with_suffix(".part")
    part.write_text(yaml.safe_dump({"load_from": [{"grpc_server": entry}]}), encoding="utf-8")
    part.replace(file)
    written = _read(file)
    assert written is not None
    return written


def job_origin(job_name: str) -> RemoteJobOrigin:
    """What a run of this job is created with, so that the UI finds its code location."""
    return RemoteJobOrigin(RemoteRepositoryOrigin(code_location(), REPOSITORY), job_name)


def _read(file: Path) -> GrpcServerCodeLocationOrigin | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return _parsed(file, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=4)
def _parsed(file: Path, changed: int, size: int) -> GrpcServerCodeLocationOrigin | None:
    """Each run asks: the file is read again when it has changed."""
    try:
        origins = location_origins_from_yaml_paths([str(file)])
    except Exception:
        return None  # half written, or by another version: written anew
    for origin in origins:
        if isinstance(origin, GrpcServerCodeLocationOrigin) and origin.port and origin.location_name == LOCATION:
            return origin
    return None


def _is_taken(port: int | None) -> bool:
    with socket.socket() as probe:
        return port is not None and probe.connect_ex((HOST, port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
