"""What a reactor leaves on disk for the next one: which processes it had started, should it be killed."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from liftos_pipelines.reactor.protocol import reactor_folder
from liftos_pipelines.reactor.workers import is_worker

log = logging.getLogger("liftos.reactor")


def state_file() -> Path:
    return reactor_folder() / "reactor.json"


def note_state(boot: str, workers: Sequence[int]) -> None:
    """Note this reactor's worker processes; half a file is never read."""
    part = state_file().with_suffix(".part")
    part.write_text(json.dumps({"boot": boot, "pid": os.getpid(), "workers": list(workers)}), encoding="utf-8")
    part.replace(state_file())


def end_orphans() -> None:
    """Workers of a reactor that was killed end by themselves; those that have not are ended, before runs are judged."""
    try:
        workers = json.loads(state_file().read_text(encoding="utf-8"))["workers"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for pid in workers:
        if isinstance(pid, int) and is_worker(pid):
            log.warning("ending worker process %d of an earlier reactor", pid)
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
