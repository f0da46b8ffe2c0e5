"""Posteriors in the lake: ArviZ InferenceData as NetCDF, replaced at once or not at all."""

from __future__ import annotations

import os
import uuid
from collections import OrderedDict
from pathlib import Path
from typing import Any

import dagster as dg

from liftos_pipelines import settings
from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.spine.outbox import commit_staged, note_reading

HELD = 2
"""Posteriors kept in memory: the newest fit and the one that serves."""


class PosteriorAbsent(ValueError):
    """A posterior was asked for that no run has stored; the message says how to make it."""


ABSENT, UNKNOWN = "absent", "unknown"
"""Metadata of an input that may come before the first fit: it is then handed an empty posterior that says so."""


class PosteriorIOManager(dg.ConfigurableIOManager):
    """Stores what an asset returns as NetCDF in the client's folder of the lake."""

    root: str = ""

    def path(self, client: str, module: str, asset: str) -> Path:
        """File of one client's posterior."""
        return Lake(self.root or settings.lake_uri()).folder(client, module) / f"{asset}.nc"

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        module, asset = context.asset_key.path
        file = self.path(context.partition_key, module, asset)
        # Written beside and renamed: a reader sees the old file or the new one, and a killed run leaves the old.
        part = file.with_name(f".{asset}.{uuid.uuid4().hex}.part")
        try:
            obj.to_netcdf(str(part), engine="netcdf4")
            os.replace(part, file)
        finally:
            part.unlink(missing_ok=True)
        commit_staged(context)
        context.add_output_metadata({"dagster/uri": str(file), "bytes": float(file.stat().st_size)})

    def load_input(self, context: dg.InputContext) -> Any:
        import arviz as az

        note_reading(context)
        module, asset = context.asset_key.path
        file = self.path(context.partition_key, module, asset)
        if not file.is_file() and (context.definition_metadata or {}).get(ABSENT) == UNKNOWN:
            return az.InferenceData(attrs={"status": "unknown: the model was never fitted"})
        if not file.is_file():
            raise PosteriorAbsent(
                f"{module}/{asset} has not been materialised for client {context.partition_key}. "
                f"Run it with what it needs: liftos run {context.partition_key} --select +{module}/{asset}"
            )
        return _read(file)


def stored(root: str, client: str, module: str, asset: str) -> Any | None:
    """The posterior that stands in a client's folder; None before there is one."""
    file = Lake(root).folder(client, module) / f"{asset}.nc"
    return _read(file) if file.is_file() else None


_read_last: OrderedDict[Path, tuple[tuple[int, int, int], Any]] = OrderedDict()


def _read(file: Path) -> Any:
    """The posterior of a file, whole; several assets of one run read the same one, so the last few are kept."""
    import arviz as az

    found = file.stat()
    identity = (found.st_ino, found.st_mtime_ns, found.st_size)
    held = _read_last.pop(file, None)
    if held is None or held[0] != identity:
        with az.rc_context({"data.load": "eager"}):  # which also closes the file
            held = (identity, az.from_netcdf(str(file), engine="netcdf4"))
    _read_last[file] = held
    while len(_read_last) > HELD:
        _read_last.popitem(last=False)
    return held[1].copy()  # deep, a few milliseconds: what one asset changes no other sees
