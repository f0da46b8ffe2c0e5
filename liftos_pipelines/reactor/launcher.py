"""The run launcher that dagster.yaml names: hands runs to the reactor's warm workers, else to Dagster's own launcher.

Loaded by every process that opens the instance, so it imports nothing of the platform but names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import Field, IntSource
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.dagster_run import DagsterRun
from dagster._core.storage.tags import GRPC_INFO_TAG, PARTITION_NAME_TAG, PRIORITY_TAG
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClassData, serialize_value

from liftos_pipelines.reactor.options import ReactorSettings
from liftos_pipelines.reactor.protocol import REACTOR_TAG, ReactorUnreachable, ask

REACTION_TAG = "liftos/reaction"


class WarmRunLauncher(DefaultRunLauncher):
    """Runs go to a warm worker over a local socket; without a reactor each gets a process, as stock Dagster does."""

    def __init__(self, inst_data: ConfigurableClassData | None = None, **values: int) -> None:
        super().__init__(inst_data)
        self.settings = ReactorSettings(**values)

    @classmethod
    def config_type(cls) -> Any:
        return {
            name: Field(IntSource, is_required=False, default_value=default, description=description)
            for name, default, description in ReactorSettings.described()
        }

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> WarmRunLauncher:
        return cls(inst_data=inst_data, **config_value)

    # --- launching ---------------------------------------------------------------------------------------
    def launch_run(self, context: LaunchRunContext) -> None:
        """Hand the run over; whatever keeps the reactor from taking it, the stock launcher starts it."""
        refused = self._hand_over(context.dagster_run)
        if refused is None:
            return
        if refused:
            self._instance.report_engine_event(
                f"The reactor did not take the run ({refused}); it gets a process of its own.",
                context.dagster_run,
                cls=self.__class__,
            )
        super().launch_run(context)

    def _hand_over(self, run: DagsterRun) -> str | None:
        """None when a worker has the run, else why not; an empty reason when there is no reactor."""
        if run.job_code_origin is None:
            return "the run does not say where its code is"
        reference = self._instance.get_ref()
        try:
            there = ask({"do": "greet", "instance": instance_mark(serialize_value(reference))})
            if not there["takes_runs"]:
                return str(there["reason"])
            # Written before the worker has the run: a tag and a status written at once would undo each other.
            self._instance.add_run_tags(run.run_id, {REACTOR_TAG: there["boot"]})
            arguments = ExecuteRunArgs(job_origin=run.job_code_origin, run_id=run.run_id, instance_ref=reference)
            answer = ask({"do": "launch", "run": launch_message(run, serialize_value(arguments))})
        except ReactorUnreachable:
            return ""
        return None if answer["ok"] else str(answer["reason"])

    # --- ending ------------------------------------------------------------------------------------------
    def terminate(self, run_id: str) -> bool:
        """Interrupt the run as Dagster does; a worker that does not heed it is ended after the grace period."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if not _is_ours(run):
            return bool(super().terminate(run_id))
        self._instance.report_run_canceling(run)
        try:
            known = bool(ask({"do": "cancel", "run_id": run_id})["ok"])
        except ReactorUnreachable:
            known = False
        if not known:
            self._instance.report_run_canceled(run, "No worker has this run any more; it is marked as canceled.")
        return True

    # --- health ------------------------------------------------------------------------------------------
    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether a worker still has the run; runs of other launchers and of the command line are left alone."""
        if not _is_ours(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        try:
            answer = ask({"do": "health", "run_id": run.run_id}, timeout=10)
        except ReactorUnreachable as error:
            return CheckRunHealthResult(WorkerStatus.FAILED, str(error))
        if answer["known"]:
            return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=str(answer.get("worker")))
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the reactor no longer has this run")

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """Where the reactor's workers stand, in a sentence."""
        if not _is_ours(run):
            return None
        try:
            status = ask({"do": "status"})
        except ReactorUnreachable as error:
            return str(error)
        workers = [f"{each['name']} (process {each['pid']}): {each['state']}" for each in status["workers"]]
        return f"Reactor {status['boot']}: {'; '.join(workers)}; {status['queued']} run(s) waiting"


def launch_message(run: DagsterRun, arguments: str) -> dict[str, Any]:
    """What the supervisor must know of a run to queue it, beside the arguments that it passes on unread."""
    return {
        "run_id": run.run_id,
        "arguments": arguments,
        "client": run.tags.get(PARTITION_NAME_TAG),
        "priority": _whole(run.tags.get(PRIORITY_TAG)),
        "reaction": run.tags.get(REACTION_TAG),
    }


def instance_mark(reference: str) -> str:
    """Tells Dagster instances apart: a reactor executes only runs of the instance it has open."""
    import hashlib

    return hashlib.sha256(reference.encode()).hexdigest()[:16]


def _is_ours(run: DagsterRun) -> bool:
    return REACTOR_TAG in run.tags and GRPC_INFO_TAG not in run.tags


def _whole(text: str | None) -> int:
    try:
        return int(text or 0)
    except ValueError:
        return 0
