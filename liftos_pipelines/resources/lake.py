"""The lake: Delta tables at `<lake>/<client>/<module>/<asset>`, written atomically, read by anybody who reads Delta.

The only door to a client's tables. A path is made from a checked client id and a table of the contract, so no
name, however hostile, leads to another client's data.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines import settings
from liftos_pipelines.clients import check_client_id
from liftos_pipelines.resources.lake_cache import FRAMES, TABLES, newest_version, status_in_commit
from liftos_pipelines.resources.table_locks import unlock_step
from liftos_pipelines.spine.outbox import commit_staged, note_reading
from liftos_pipelines.spine.tracing import span, step_of
from liftos_pipelines.tables import SOURCES, ContractError, Table, table

WRITE_ATTEMPTS = 8
AS_WRITTEN = (pl.String(), pl.Int64(), pl.Int32(), pl.Float64(), pl.Boolean(), pl.Date(), pl.Datetime("us", "UTC"))
"""Types that Delta hands back as they were written."""
PLATFORM, PLATFORM_WIDE = "_platform", "eval/platform_trust"
"""The one table that belongs to no client, and where it stands; no client id can spell that folder."""
QUARANTINE = {
    "file": pl.String(),
    "row": pl.Int64(),
    "column": pl.String(),
    "reason": pl.String(),
    "raw": pl.String(),
}


class TableAbsent(LookupError):
    """The table has not been materialised for this client; the message says how to make it."""


@dataclass(frozen=True, kw_only=True)
class WriteReport:
    """What a write changed, in rows; `version` is the Delta version now current."""

    inserted: int
    updated: int
    unchanged: int
    version: int


class Lake:
    """Tables of all clients below one root, a local folder or an object-store URI."""

    def __init__(self, root: str, storage_options: dict[str, str] | None = None) -> None:
        self.root = root.rstrip("/")
        self.storage_options = storage_options or {}

    def path(self, client: str, name: str) -> str:
        """Where a contract table of a client stands.

        Raises
        ------
        ClientError : the client id is not safe
        KeyError : the table is not part of the contract
        """
        if client == PLATFORM and name == PLATFORM_WIDE:
            return f"{self.root}/{PLATFORM}/{PLATFORM_WIDE}"
        check_client_id(client)
        return f"{self.root}/{client}/{table(name).name}"

    def folder(self, client: str, module: str) -> Path:
        """A client's local folder for a module's files that are not tables (posteriors, pages, outboxes)."""
        check_client_id(client)
        if module not in {name.split("/")[0] for name in (*_module_names(), "sources/x")}:
            raise KeyError(f'there is no module "{module}"')
        root = Path(self.root) if "://" not in self.root else settings.home() / "files"
        folder = root / client / module / "files"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def exists(self, client: str, name: str) -> bool:
        path = self.path(client, name)
        return FRAMES.version(path) is not None or self._open(path) is not None

    def read(
        self, client: str, name: str, *, version: int | None = None, as_of: datetime | None = None
    ) -> pl.DataFrame:
        """A table as it is now, at a version, or as it was known at a moment; empty and typed when absent."""
        from deltalake import DeltaTable

        path = self.path(client, name)
        if version is None and as_of is None:
            held = FRAMES.frame(path)
            if held is not None:
                return _completed(name, held)
        delta = self._open(path)
        if delta is None:
            return table(name).empty()
        if version is None and as_of is None:
            return _completed(name, _kept(path, delta))
        # One of its own: the held one stands at the newest version.
        earlier = DeltaTable(path, storage_options=self.storage_options or None)
        moment = version if version is not None else as_of
        assert moment is not None
        earlier.load_as_version(moment)
        return _completed(name, _frame(earlier))

    def require(self, client: str, name: str) -> pl.DataFrame:
        """A table as it is now.

        Raises
        ------
        TableAbsent : it was never materialised for this client
        """
        held = FRAMES.frame(self.path(client, name))
        if held is not None:
            return _completed(name, held)
        if not self.exists(client, name):
            raise TableAbsent(
                f"{name} has not been materialised for client {client}. "
                f"Run it with what it needs: liftos run {client} --select +{name}"
            )
        return self.read(client, name)

    def status(self, client: str, name: str) -> str:
        """`ok`, `skipped: ...`, or `never materialised`."""
        path = self.path(client, name)
        held = FRAMES.status(path)
        if held is not None:
            return held
        delta = self._open(path)
        if delta is None:
            return "never materialised"
        version = delta.version()
        status = status_in_commit(path, version, json.loads)
        if status is None:
            commits = (str(commit["liftos_status"]) for commit in delta.history(20) if "liftos_status" in commit)
            status = next(commits, "ok")
        FRAMES.keep(path, version, status=status)
        return status

    def version(self, client: str, name: str) -> int | None:
        """The current Delta version, or None when absent."""
        log = Path(self.path(client, name)) / "_delta_log"
        if "://" not in self.root:
            # Without opening the table: the newest commit always has its file.
            commits = [file.name[:20] for file in log.glob("*.json")] if log.is_dir() else []
            return max((int(commit) for commit in commits if commit.isdigit()), default=None)
        path = self.path(client, name)
        held = FRAMES.version(path)
        if held is not None:
            return held
        delta = self._open(path)
        return None if delta is None else int(delta.version())

    def write(
        self, client: str, name: str, frame: pl.DataFrame, *, status: str = "ok", delete_where: str | None = None
    ) -> WriteReport:
        """Write a table the way its contract says: a full snapshot, or a merge on its key (see `merge`)."""
        contract = table(name)
        typed = contract.conform(frame)
        _refuse_duplicates(contract, typed)
        # A source that the client no longer has keeps no rows: what is skipped must not go on being counted.
        withdrawn = typed.is_empty() and status != "ok"
        if contract.write == "merge" and not withdrawn:
            return self.merge(client, name, typed, status=status, delete_where=delete_where)
        path = self.path(client, name)
        held = self._open(path) if withdrawn else None
        if held is not None and self.status(client, name) == status and not _frame(held).height:
            return WriteReport(inserted=0, updated=0, unchanged=0, version=held.version())
        version = self._overwrite(path, typed, status)
        return WriteReport(inserted=typed.height, updated=0, unchanged=0, version=version)

    def merge(
        self,
        client: str,
        name: str,
        frame: pl.DataFrame,
        *,
        delete_where: str | None = None,
        status: str = "ok",
    ) -> WriteReport:
        """Insert new keys and replace changed rows; nothing changed means no new version.

        Parameters
        ----------
        delete_where : SQL predicate over `target`; matching rows that are absent from `frame` are removed
        """
        from deltalake.exceptions import CommitFailedError

        for attempt in range(WRITE_ATTEMPTS):
            try:
                return self._merge_once(client, name, frame, delete_where=delete_where, status=status)
            except CommitFailedError:
                # Another writer committed first; what is new is decided afresh against what is there now.
                if attempt == WRITE_ATTEMPTS - 1:
                    raise
                time.sleep(0.05 * 2**attempt)
        raise AssertionError("unreachable")

    def _merge_once(
        self, client: str, name: str, frame: pl.DataFrame, *, delete_where: str | None, status: str
    ) -> WriteReport:
        from deltalake import CommitProperties

        contract = table(name)
        typed = contract.conform(frame)
        _refuse_duplicates(contract, typed)
        path = self.path(client, name)
        delta = self._open(path)
        if delta is None:
            version = self._overwrite(path, typed, status)
            return WriteReport(inserted=typed.height, updated=0, unchanged=0, version=version)
        if typed.is_empty() and delete_where is None and self.status(client, name) == status:
            return WriteReport(inserted=0, updated=0, unchanged=0, version=delta.version())
        current = _kept(path, delta)
        added, changed = _difference(current, typed, contract.key)
        unchanged = typed.height - added.height - changed.height
        stale_status = self.status(client, name) != status
        if not added.height and not changed.height and delete_where is None and not stale_status:
            return WriteReport(inserted=0, updated=0, unchanged=unchanged, version=delta.version())
        if current.is_empty():
            version = self._overwrite(path, typed, status)
            return WriteReport(inserted=typed.height, updated=0, unchanged=0, version=version)
        # In brackets: DataFusion binds AND more tightly than IS NOT DISTINCT FROM.
        condition = " AND ".join(
            f"(target.`{column}` IS NOT DISTINCT FROM source.`{column}`)" for column in contract.key
        )
        source = typed if delete_where else pl.concat([added, changed])
        before = int(delta.version())
        merger = (
            delta.merge(
                source=source.to_arrow(),
                predicate=condition,
                source_alias="source",
                target_alias="target",
                merge_schema=True,
                commit_properties=CommitProperties(custom_metadata={"liftos_status": status}),
            )
            .when_matched_update_all()
            .when_not_matched_insert_all()
        )
        if delete_where:
            merger = merger.when_not_matched_by_source_delete(predicate=delete_where)
        merger.execute()
        alone = int(delta.version()) == before + 1
        if alone and delete_where is None and current.schema == source.schema and _is_as_written(source):
            # What a reader would find, without reading it back.
            stayed = current.join(source, on=contract.key, how="anti", nulls_equal=True)
            FRAMES.keep(path, before + 1, frame=pl.concat([stayed, source]), status=status)
        return WriteReport(inserted=added.height, updated=changed.height, unchanged=unchanged, version=delta.version())

    def append_quarantine(self, client: str, source: str, frame: pl.DataFrame) -> int:
        """Keep rows that could not be read, with the reason; returns how many of them are new."""
        path = self._quarantine_path(client, source)
        typed = frame.select([pl.col(name).cast(dtype) for name, dtype in QUARANTINE.items()]).unique(
            maintain_order=True
        )
        delta = self._open(path)
        if delta is not None:
            typed = typed.join(_frame(delta), on=list(QUARANTINE), how="anti", nulls_equal=True)
        if typed.is_empty():
            return 0
        from deltalake import write_deltalake

        write_deltalake(path, typed.to_arrow(), mode="append", storage_options=self.storage_options or None)
        return typed.height

    def quarantine(self, client: str, source: str) -> pl.DataFrame:
        """Rows of a source that could not be read: file, row, column, reason, raw."""
        delta = self._open(self._quarantine_path(client, source))
        return pl.DataFrame(schema=QUARANTINE) if delta is None else _frame(delta)

    def _quarantine_path(self, client: str, source: str) -> str:
        check_client_id(client)
        if source not in (*SOURCES, "marketing"):
            raise KeyError(f'there is no source "{source}"; sources: {", ".join(SOURCES)}')
        return f"{self.root}/{client}/quarantine/{source}"

    def _open(self, path: str) -> Any | None:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        if "://" not in path and not (Path(path) / "_delta_log").is_dir():
            return None
        try:
            return TABLES.of(path, lambda: DeltaTable(path, storage_options=self.storage_options or None))
        except TableNotFoundError:
            return None

    def _overwrite(self, path: str, frame: pl.DataFrame, status: str) -> int:
        from deltalake import CommitProperties, DeltaTable, write_deltalake

        if "://" not in path:
            Path(path).mkdir(parents=True, exist_ok=True)
        before = newest_version(path)
        there = self._open(path) if before is not None else None
        write_deltalake(
            path if there is None else there,
            frame.to_arrow(),
            mode="overwrite",
            schema_mode="overwrite",
            storage_options=None if there is not None else self.storage_options or None,
            commit_properties=CommitProperties(custom_metadata={"liftos_status": status}),
        )
        local = newest_version(path)
        if local is not None:
            # Read back only where Delta's types are not the frame's, or somebody else wrote meanwhile.
            alone = local == (0 if before is None else before + 1)
            if alone:
                FRAMES.keep(path, local, frame=frame if _is_as_written(frame) else None, status=status)
            return local
        return int(DeltaTable(path, storage_options=self.storage_options or None).version())


def _module_names() -> Sequence[str]:
    from liftos_pipelines.tables import TABLES

    return list(TABLES)


def _completed(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """With the optional columns that came to the contract after the table was written."""
    return table(name).completed(frame)


def _kept(path: str, delta: Any) -> pl.DataFrame:
    """An opened table's content, from memory when it is of this very version."""
    version = int(delta.version())
    held = FRAMES.frame(path)
    if held is not None and FRAMES.version(path) == version:
        return held
    frame = _frame(delta)
    FRAMES.keep(path, version, frame=frame)
    return frame.clone()


def _frame(delta: Any) -> pl.DataFrame:
    frame = pl.DataFrame(pl.from_arrow(delta.to_pyarrow_table()))
    # Arrow hands back large types and microsecond times with the session's zone name; the contract says UTC.
    times = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime) and dtype.time_zone]
    return frame.with_columns(pl.col(times).dt.convert_time_zone("UTC")) if times else frame


def _is_as_written(frame: pl.DataFrame) -> bool:
    return all(dtype in AS_WRITTEN for dtype in frame.dtypes)


def _refuse_duplicates(contract: Table, frame: pl.DataFrame) -> None:
    doubled = frame.group_by(contract.key).len().filter(pl.col("len") > 1)
    if doubled.height:
        example = {column: doubled[column][0] for column in contract.key}
        raise ContractError(
            f"{contract.name}: {doubled.height} key(s) stand in more than one row, for example {example}; "
            f"the key is {', '.join(contract.key)}"
        )


def _difference(
    current: pl.DataFrame, incoming: pl.DataFrame, key: tuple[str, ...]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of `incoming` whose key is new, and rows whose key is known but whose content differs."""
    added = incoming.join(current, on=key, how="anti", nulls_equal=True)
    known = incoming.join(current, on=key, how="semi", nulls_equal=True)
    if set(current.columns) != set(incoming.columns):
        return added, known
    before = _fingerprints(current, key, incoming.columns)
    after = _fingerprints(known, key, incoming.columns)
    same = after.join(before, on=[*key, "_row"], how="semi", nulls_equal=True)
    return added, known.join(same, on=key, how="anti", nulls_equal=True)


def _fingerprints(frame: pl.DataFrame, key: tuple[str, ...], columns: list[str]) -> pl.DataFrame:
    # Written out as JSON, because lists and structs cannot be compared in a join.
    return frame.select(*key, pl.struct(columns).struct.json_encode().alias("_row"))


class LakeResource(dg.ConfigurableResource):
    """Hands assets the lake; `root` may be an object-store URI, its options come from the environment."""

    root: str = ""

    def get(self) -> Lake:
        return Lake(self.root or settings.lake_uri())


class LakeIOManager(dg.ConfigurableIOManager):
    """Stores what an asset returns as its contract's table, and hands it to assets downstream."""

    root: str = ""

    def _lake(self) -> Lake:
        return Lake(self.root or settings.lake_uri())

    def handle_output(self, context: dg.OutputContext, obj: pl.DataFrame) -> None:
        name = "/".join(context.asset_key.path)
        if not isinstance(obj, pl.DataFrame):
            raise TypeError(f"{name}: expected a polars DataFrame, got {type(obj).__name__}")
        status = (context.output_metadata or {}).get("status")
        text = str(status.value) if isinstance(status, dg.TextMetadataValue) else "ok"
        # An asset whose files restate part of a table says which rows that its frame lacks must go.
        removes = (context.output_metadata or {}).get("removes_where")
        delete_where = str(removes.value) if isinstance(removes, dg.TextMetadataValue) else None
        lake = self._lake()
        about = {"db.system.name": "deltalake", "db.collection.name": name, "liftos.client": context.partition_key}
        with span("store table", step=step_of(context, name), attributes=about):
            report = lake.write(context.partition_key, name, obj, status=text, delete_where=delete_where)
        commit_staged(context)  # events and handled marks, now that the table that they speak of is stored
        unlock_step()
        context.add_output_metadata(
            {
                "dagster/table_name": name,
                "dagster/uri": lake.path(context.partition_key, name),
                "delta_version": report.version,
                "rows_inserted": float(report.inserted),
                "rows_updated": float(report.updated),
                "rows_unchanged": float(report.unchanged),
            }
        )

    def load_input(self, context: dg.InputContext) -> pl.DataFrame:
        note_reading(context)
        return self._lake().require(context.partition_key, "/".join(context.asset_key.path))
