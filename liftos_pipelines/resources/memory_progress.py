"""How far memory has read the lake and the event log, and how far the lake's `memory/items` follows the store.

A small file beside the store, without any text of a memory. It is only ever behind: what it lacks is read again, and
remembering twice changes nothing. It goes with the store, so a store that is lost is filled from the beginning.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import polars as pl

from liftos_pipelines.modules.memory import records

FILE = "progress.json"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What has been read and written.

    Attributes
    ----------
    code : of the builders; other code reads everything again
    tables : Delta version by table; event : place in the log
    in_lake : the lake's table surely holds every change up to this moment, None for nothing
    handed : the moment up to which changes were handed over last, when the lake's table had `lake_version`
    forgotten_in_lake, handed_forgotten : the same for the number of memories that were forgotten
    """

    code: str
    tables: dict[str, int | None] = field(default_factory=dict)
    event: int = 0
    in_lake: str | None = None
    handed: str | None = None
    lake_version: int | None = None
    forgotten_in_lake: int = 0
    handed_forgotten: int = 0

    def changed(self, versions: Mapping[str, int | None]) -> set[str]:
        """Tables that are not as they were read."""
        return {name for name, version in versions.items() if self.tables.get(name, -1) != version}

    def confirmed(self, lake_version: int | None) -> Progress:
        """With what the lake's version tells: a table that has grown holds what was handed over last."""
        if lake_version is None or (self.lake_version is not None and lake_version < self.lake_version):
            return replace(self, in_lake=None, forgotten_in_lake=0)
        if self.handed is not None and lake_version > (-1 if self.lake_version is None else self.lake_version):
            return replace(self, in_lake=self.handed, forgotten_in_lake=self.handed_forgotten)
        return self

    def unwritten(self, history: pl.DataFrame) -> pl.DataFrame:
        """Versions recorded or closed since the lake's table was surely up to date."""
        if self.in_lake is None:
            return history
        since = datetime.fromisoformat(self.in_lake)
        return history.filter((pl.col("recorded_at") > since) | (pl.col("superseded_at") > since))


def read_progress(folder: Path) -> Progress:
    """The progress kept in a store's folder; none where it is absent, unreadable or of other code."""
    nothing = Progress(code=code_of_builders())
    try:
        found = Progress(**json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return nothing
    return found if found.code == nothing.code else nothing


def write_progress(folder: Path, progress: Progress) -> None:
    """Replace the file in one step; a crash leaves the old one or the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{FILE}.{os.getpid()}"
    temporary.write_text(json.dumps(asdict(progress)), encoding="utf-8")
    temporary.replace(folder / FILE)


@lru_cache(maxsize=1)
def code_of_builders() -> str:
    """A fingerprint of the code that makes memories of rows."""
    folder = Path(str(records.__file__)).parent
    hashed = sha256()
    for file in sorted(folder.glob("*.py")):
        hashed.update(file.read_bytes())
    return hashed.hexdigest()[:16]
