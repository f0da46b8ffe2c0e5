"""Writes to Dagster what became of a run whose worker can no longer say it."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import dagster as dg
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import serialize_value

from liftos_pipelines.reactor.launcher import launch_message
from liftos_pipelines.reactor.protocol import REACTOR_TAG

ATTEMPTS = 6
UNDER_WAY = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
log = logging.getLogger("liftos.reactor")


class Clerk:
    """One thread beside the supervisor, so that a slow database never keeps it from its workers."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="clerk")

    def lost(self, run_id: str, reason: str) -> Future[None]:
        """The run's worker is gone: fail it with the reason, or note that its cancellation is complete."""
        return self._thread.submit(self._patiently, self._lost, run_id, reason)

    def canceled(self, run_id: str, reason: str) -> Future[None]:
        """A run that had not begun was canceled."""
        return self._thread.submit(self._patiently, self._canceled, run_id, reason)

    def left_over(self, boot: str) -> list[dict[str, Any]]:
        """Runs of an earlier reactor: those that never began are returned to be queued, the others are failed."""
        waiting = []
        runs = self._instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY))
        for run in sorted(runs, key=lambda each: each.run_id):
            if run.tags.get(REACTOR_TAG, boot) == boot:
                continue
            if run.status is dg.DagsterRunStatus.STARTING and run.job_code_origin is not None:
                arguments = ExecuteRunArgs(
                    job_origin=run.job_code_origin, run_id=run.run_id, instance_ref=self._instance.get_ref()
                )
                self._instance.add_run_tags(run.run_id, {REACTOR_TAG: boot})
                waiting.append(launch_message(run, serialize_value(arguments)))
            else:
                self._patiently(self._lost, run.run_id, "the reactor ended while the run was under way")
        return waiting

    def close(self) -> None:
        """Wait for what is still to be written."""
        self._thread.shutdown(wait=True)

    def _lost(self, run_id: str, reason: str) -> None:
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return
        if run.status is dg.DagsterRunStatus.CANCELING:
            self._instance.report_run_canceled(run, f"The run was canceled; {reason}.")
            return
        message = f"The run cannot go on: {reason}. Start it again, in the UI by Re-execute, from failure."
        self._instance.report_run_failed(
            run, message, JobFailureData(error=None, failure_reason=RunFailureReason.UNEXPECTED_TERMINATION)
        )

    def _canceled(self, run_id: str, reason: str) -> None:
        run = self._instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            self._instance.report_run_canceled(run, reason)

    def _patiently(self, write: Any, run_id: str, reason: str) -> None:
        for attempt in range(ATTEMPTS):
            try:
                write(run_id, reason)
                return
            except Exception:
                log.exception("could not write about run %s (%s)", run_id, reason)
                time.sleep(0.2 * 2**attempt)
