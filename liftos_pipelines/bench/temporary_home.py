"""A LiftOS home of its own for a benchmark that runs assets: the machine's own home is left alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

REPLACED = ("LIFTOS_HOME", "LIFTOS_SPINE_URL", "LIFTOS_LAKE_URI")


@contextmanager
def temporary_home() -> Iterator[tuple[Path, dg.DagsterInstance]]:
    """An empty home and a Dagster instance in it; environment and files are put back at the end."""
    before = {name: os.environ.get(name) for name in REPLACED}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LIFTOS_HOME"] = folder
        for name in REPLACED[1:]:
            os.environ.pop(name, None)
        try:
            with dg.DagsterInstance.local_temp(tempdir=folder) as instance:
                yield Path(folder), instance
        finally:
            for name, old in before.items():
                if old is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = old
