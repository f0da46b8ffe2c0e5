"""Checkpoints outside the database: files that are only appended to; a rewritten database does not agree with them.

`$LIFTOS_HOME/witness` always; `LIFTOS_LEDGER_WITNESS` names more places, with commas: directories (another disk,
another machine's mount) get every checkpoint at once, URIs (s3://, gs://, az://; one object a checkpoint, fit for a
bucket with object lock) get those that `liftos ledger checkpoint` and the daily audit write.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from liftos_pipelines.spine.checkpoints import Checkpoint, Unreadable, read_statement, told
from liftos_pipelines.spine.connection import SpineError


class WitnessProblem(SpineError):
    """A witness cannot be written or read; the message names the place."""


def write_line(folder: Path, checkpoint: Checkpoint) -> None:
    """Append a checkpoint to a folder's file of its client.

    Raises
    ------
    WitnessProblem : the place cannot be written
    """
    line = json.dumps(told(checkpoint), separators=(",", ":"), sort_keys=True).encode() + b"\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # One write to a file opened for appending: lines of two processes do not mix.
        descriptor = os.open(witness_file(folder, checkpoint.client), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise WitnessProblem(f"{folder}: no checkpoint can be written there: {error}") from error


def witness_file(folder: Path, client: str) -> Path:
    return folder / f"{client}.jsonl"


def read_lines(file: Path, client: str) -> list[Checkpoint]:
    """A witness file's checkpoints, oldest first; an empty list where there is no file.

    A last line without its end was cut by a crash while it was written and is left out.

    Raises
    ------
    Unreadable : a line is no checkpoint of this client
    WitnessProblem : the file cannot be read
    """
    try:
        lines = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise WitnessProblem(f"{file}: not readable: {error}") from error
    found = []
    for number, line in enumerate(lines[:-1], start=1):
        where = f"{file}, line {number}"
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines) - 1 or not line:
                continue
            said = None
        if not isinstance(said, dict):
            raise Unreadable(f"{where}: is no checkpoint: it was changed, or a crash cut it")
        checkpoint = read_statement(Checkpoint, said, where)
        if checkpoint.client != client:
            raise Unreadable(f"{where}: is a checkpoint of {checkpoint.client}, not of {client}")
        found.append(checkpoint)
    return found


def catch_up(folder: Path, client: str, checkpoints: Sequence[Checkpoint]) -> int:
    """Write the checkpoints that a folder's file lacks at its end; how many there were."""
    held = read_lines(witness_file(folder, client), client)
    last = max((each.size for each in held), default=0)
    fresh = [each for each in checkpoints if each.size > last]
    for checkpoint in fresh:
        write_line(folder, checkpoint)
    return len(fresh)


def write_object(uri: str, checkpoint: Checkpoint) -> str:
    """Put a checkpoint as an object of its own below a URI; one that is there is left as it is.

    Raises
    ------
    WitnessProblem : the place cannot be written
    """
    import fsspec

    name = f"{uri.rstrip('/')}/{checkpoint.client}/{checkpoint.size:012d}-{checkpoint.identity[:16]}.json"
    try:
        store, path = fsspec.core.url_to_fs(name)
        if not store.exists(path):
            store.makedirs(store._parent(path), exist_ok=True)
            with store.open(path, "wb") as stream:
                stream.write(json.dumps(told(checkpoint), sort_keys=True).encode())
    except Exception as error:  # every store has errors of its own
        raise WitnessProblem(f"{uri}: no checkpoint can be written there: {error}") from error
    return name


def read_objects(uri: str, client: str) -> list[Checkpoint]:
    """The checkpoints of a client below a URI, by size.

    Raises
    ------
    WitnessProblem : the place cannot be read
    Unreadable : an object is no checkpoint of this client
    """
    import fsspec

    found = []
    try:
        store, path = fsspec.core.url_to_fs(f"{uri.rstrip('/')}/{client}")
        names = sorted(store.ls(path, detail=False)) if store.exists(path) else []
        contents = {name: store.cat_file(name) for name in names}
    except Exception as error:
        raise WitnessProblem(f"{uri}: cannot be read: {error}") from error
    for name, content in contents.items():
        try:
            said = json.loads(content)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict) or said.get("client") != client:
            raise Unreadable(f"{name}: is no checkpoint of {client}")
        found.append(read_statement(Checkpoint, said, name))
    return found
