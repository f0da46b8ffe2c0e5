"""Executing one run in this process as Dagster's own run worker does, with a limit of time for each step."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import dagster as dg
from dagster._core.events import EngineEventData
from dagster._grpc.impl import core_execute_run

from liftos_pipelines.reactor.jobs import HeldJob
from liftos_pipelines.reactor.protocol import STEP_TIMEOUT_TAG
from liftos_pipelines.resources.table_locks import unlock_step

AGAIN = 0.05
STEP_BEGINS = {"STEP_START", "STEP_RESTARTED"}
STEP_ENDS = {"STEP_SUCCESS", "STEP_FAILURE", "STEP_UP_FOR_RETRY", "STEP_SKIPPED"}


class StepTimeout(Exception):
    """A step took longer than it may; raised inside the asset, so that its retry policy applies."""


def execute(
    job: HeldJob, run: dg.DagsterRun, instance: dg.DagsterInstance, *, worker: str, step_timeout: float = 0.0
) -> None:
    """Execute a run to its end; what it raises is in its event log.

    Raises
    ------
    DagsterExecutionInterruptedError : the run was canceled
    """
    instance.report_engine_event(f"Taken by warm worker {worker} (process {os.getpid()}).", run, _in_this_process())
    try:
        with step_limit(job, run, step_timeout) as limit:
            for event in core_execute_run(job, run, instance, inject_env_vars=False):
                limit.see(event)
    finally:
        unlock_step()  # of a last step that failed before its table was stored


def _in_this_process() -> EngineEventData:
    return EngineEventData.in_process(os.getpid())


class _Limit:
    def __init__(self, job: HeldJob, of_run: float) -> None:
        self._job, self._of_run = job, of_run
        self.step, self.seconds = "", 0.0

    def see(self, event: dg.DagsterEvent) -> None:
        kind = event.event_type_value
        if kind in STEP_BEGINS and event.step_key:
            self.step, self.seconds = event.step_key, self._of_step(event.step_key)
            signal.setitimer(signal.ITIMER_REAL, self.seconds)
        elif kind in STEP_ENDS:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _of_step(self, step: str) -> float:
        definition = self._job.get_definition()
        if definition.has_node_named(step):
            return seconds_of(definition.get_node_named(step).tags.get(STEP_TIMEOUT_TAG), self._of_run)
        return self._of_run

    def ring(self, _: int, __: FrameType | None) -> None:
        if not _in_users_code():
            # Dagster is writing: half an event must not be lost, a moment later is early enough.
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
            return
        raise StepTimeout(
            f"{self.step.replace('__', '/')} took longer than the {self.seconds:g} s a step may take and was "
            f"interrupted; raise {STEP_TIMEOUT_TAG} (tag of the run or the asset) if that is too little"
        )


def _in_users_code() -> bool:
    # Dagster lets a Ctrl-C through at once only while an asset, a check or an IO manager is at work.
    return "raise_interrupts_as" in getattr(signal.getsignal(signal.SIGINT), "__qualname__", "")


def seconds_of(text: str | None, otherwise: float) -> float:
    """A tag's seconds; what is no positive number is passed over."""
    try:
        seconds = float(text) if text is not None else otherwise
    except ValueError:
        return otherwise
    return seconds if seconds >= 0 else otherwise


class _NoLimit:
    def see(self, _: dg.DagsterEvent) -> None:
        """Nothing to watch outside a main thread: signals go there."""


@contextmanager
def step_limit(job: HeldJob, run: dg.DagsterRun, default: float) -> Iterator[Any]:
    """Watches the steps of one run; restores the alarm's former handler."""
    if threading.current_thread() is not threading.main_thread():
        yield _NoLimit()
        return
    limit = _Limit(job, seconds_of(run.tags.get(STEP_TIMEOUT_TAG), default))
    before = signal.signal(signal.SIGALRM, limit.ring)
    try:
        yield limit
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
