"""Runs a client's assets in this process, with progress, and reports in words what came of it.

The run stands in the same Dagster instance as every other run: the UI shows its events, checks and metadata.
"""

from __future__ import annotations

import re
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from liftos_pipelines import helper, settings
from liftos_pipelines.clients import load_client
from liftos_pipelines.resources.lake import PLATFORM_WIDE
from liftos_pipelines.spine.metrics import counter
from liftos_pipelines.spine.tracing import flush, span

if TYPE_CHECKING:
    from dagster import EventLogEntry


SERVED = "liftos_pipelines.definitions"
TAGS = {"liftos/trigger": "cli"}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
POSTERIOR = "causal/mmm_posterior"
IMPORTED = ("arviz", "nutpie", "matplotlib.figure", "liftos_pipelines.modules.causal.engine.native")
"""What the posterior imports, for the time in which this process waits for its helper."""
_SHORT_FORM = re.compile(r"(\+*)([a-z_]+)/(\*|[a-z_]+)(\+*)")


@dataclass(frozen=True, kw_only=True)
class AssetOutcome:
    asset: str
    status: str
    rows: float | None
    seconds: float | None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class CheckOutcome:
    asset: str
    check: str
    passed: bool
    blocking: bool
    severity: str


@dataclass(kw_only=True)
class RunReport:
    """What a run did, asset by asset and check by check."""

    run_id: str
    client: str
    success: bool
    seconds: float
    assets: list[AssetOutcome] = field(default_factory=list)
    checks: list[CheckOutcome] = field(default_factory=list)


def to_selection(text: str) -> dg.AssetSelection:
    """Dagster's selection syntax, or short forms: `module/asset`, `module/*`, `+module/asset`, comma-separated.

    Raises
    ------
    ValueError : neither, naming what is allowed
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    matches = [_SHORT_FORM.fullmatch(part) for part in parts]
    if parts and all(matches):
        terms = []
        for match in matches:
            assert match is not None
            before, module, asset, after = match.groups()
            term = f'group:"{module}"' if asset == "*" else f'key:"{module}/{asset}"'
            terms.append(f"{before}{term}{after}")
        text = " or ".join(f"({term})" for term in terms)
    try:
        with warnings.catch_warnings():  # of Dagster's own use of what it calls beta
            warnings.simplefilter("ignore", dg.BetaWarning)
            return dg.AssetSelection.from_string(text)
    except Exception as error:
        raise ValueError(
            f"cannot read the selection {text!r}: use module/asset, module/*, +module/asset (with everything "
            f'upstream), comma-separated, or Dagster\'s syntax such as key:"sentiment/*" ({error})'
        ) from error


def register(instance: dg.DagsterInstance, client: str) -> None:
    """Make the client a partition; nothing happens when it is one."""
    if not instance.has_dynamic_partition("clients", client):
        instance.add_dynamic_partitions("clients", [client])


def run_client(
    client: str,
    select: str | None = None,
    *,
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    console: Console,
) -> RunReport:
    """Materialise a client's assets (all, or a selection) in this process.

    Raises
    ------
    ClientError : unknown client or broken client.yaml
    ValueError : a selection that cannot be read or selects nothing
    """
    load_client(client)
    register(instance, client)
    graph = defs.resolve_asset_graph()
    chosen = to_selection(select) if select else dg.AssetSelection.all()
    keys = chosen.resolve(graph) - {dg.AssetKey(PLATFORM_WIDE.split("/"))}
    platform = select is None or dg.AssetKey(PLATFORM_WIDE.split("/")) in chosen.resolve(graph)
    if not keys and not platform:
        names = ", ".join(sorted("/".join(key.path) for key in graph.get_all_asset_keys()))
        raise ValueError(f"the selection {select!r} selects no asset. Assets: {names}")
    report = RunReport(run_id="", client=client, success=True, seconds=0.0)
    if keys:
        _execute(report, defs, instance, console, list(keys), partition=client)
    if platform and report.success:
        _execute(report, defs, instance, console, [dg.AssetKey(PLATFORM_WIDE.split("/"))], partition=None)
    return report


def _execute(
    report: RunReport,
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    console: Console,
    keys: list[dg.AssetKey],
    partition: str | None,
) -> None:
    run_id = str(uuid.uuid4())
    if dg.AssetKey(POSTERIOR.split("/")) in keys:
        helper.foresee(prepare=[helper.TRACKING], imports=IMPORTED)
    began = time.monotonic()
    about = {"liftos.client": partition, "dagster.run.id": run_id, "liftos.trigger": "cli", "liftos.assets": len(keys)}
    with (
        _progress(instance, run_id, len(keys), console, report.client),
        span("run", correlation_id=run_id, attributes=about) as spanned,
    ):
        run = _execute_linked if _is_served(defs) else _execute_unlinked
        succeeded = run(defs, instance, keys, partition, run_id)
        if not succeeded:
            spanned.fail("the run failed")
    counter("liftos.runs").add(1, {"reaction": "cli"})
    flush()
    report.run_id = report.run_id or run_id
    report.success = report.success and succeeded
    report.seconds += time.monotonic() - began
    _collect(report, instance.all_logs(run_id))
    ran = {entry.asset for entry in report.assets}
    report.assets += [
        AssetOutcome(asset=name, status="not run: something upstream failed", rows=None, seconds=None)
        for name in sorted("/".join(key.path) for key in keys)
        if name not in ran
    ]


def _is_served(defs: dg.Definitions) -> bool:
    """Whether these are the definitions that `liftos up` serves, so that the UI can link a run to them."""
    module = sys.modules.get(SERVED)
    return module is not None and defs is getattr(module, "defs", None)


def _execute_linked(
    _: dg.Definitions, instance: dg.DagsterInstance, keys: list[dg.AssetKey], partition: str | None, run_id: str
) -> bool:
    """As a run from the UI is made: with the origins of its code, then executed here."""
    from dagster._core.execution.api import execute_run

    from liftos_pipelines.reactor.jobs import asset_job
    from liftos_pipelines.reactor.runs import create_run

    job = asset_job(SERVED, "defs", str(settings.PROJECT))
    run = create_run(instance, job, keys, run_id=run_id, partition=partition, run_config=QUIET, tags=TAGS)
    return bool(execute_run(job, run, instance, raise_on_error=False).success)


def _execute_unlinked(
    defs: dg.Definitions, instance: dg.DagsterInstance, keys: list[dg.AssetKey], partition: str | None, run_id: str
) -> bool:
    """Definitions made in this process cannot be found again by another one: a run without a link."""
    outcome = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        run_id=run_id,
        partition_key=partition,
        asset_selection=keys,
        raise_on_error=False,
        run_config=QUIET,
        tags=TAGS,
    )
    return bool(outcome.success)


def _collect(report: RunReport, logs: Sequence[EventLogEntry]) -> None:
    seconds: dict[str, float] = {}
    step_assets: dict[str, str] = {}
    for entry in logs:
        event = entry.dagster_event
        if event is None:
            continue
        kind = event.event_type_value
        if kind == "ASSET_MATERIALIZATION_PLANNED" and event.asset_key and event.step_key:
            step_assets[event.step_key] = "/".join(event.asset_key.path)
        elif kind == "STEP_SUCCESS" and event.step_key:
            seconds[event.step_key] = event.step_success_data.duration_ms / 1000
    for entry in logs:
        event = entry.dagster_event
        if event is None:
            continue
        kind = event.event_type_value
        if kind == "ASSET_MATERIALIZATION" and event.asset_key:
            metadata = event.step_materialization_data.materialization.metadata
            status, rows = metadata.get("status"), metadata.get("dagster/partition_row_count")
            report.assets.append(
                AssetOutcome(
                    asset="/".join(event.asset_key.path),
                    status=str(status.value) if status is not None else "ok",
                    rows=float(str(rows.value)) if rows is not None else None,
                    seconds=seconds.get(event.step_key or ""),
                )
            )
        elif kind == "ASSET_CHECK_EVALUATION":
            check = event.asset_check_evaluation_data
            report.checks.append(
                CheckOutcome(
                    asset="/".join(check.asset_key.path),
                    check=check.check_name,
                    passed=check.passed,
                    blocking=check.blocking or False,
                    severity=check.severity.value,
                )
            )
        elif kind == "STEP_FAILURE":
            error = event.step_failure_data
            report.assets.append(
                AssetOutcome(
                    asset=step_assets.get(event.step_key or "", str(event.step_key)),
                    status="failed",
                    rows=None,
                    seconds=None,
                    message=_message(error),
                )
            )


WRAPPERS = ("Dagster", "RetryRequested")


def _message(failure: dg.StepFailureData | object) -> str:
    user = getattr(failure, "user_failure_data", None)
    if user is not None and user.description:
        return str(user.description)
    error = getattr(failure, "error", None)
    # Dagster's wrappers say only that a step failed, or was tried again in vain; what was raised on purpose says more
    # than what it was raised from.
    while error is not None and error.cause is not None and (error.cls_name or "").startswith(WRAPPERS):
        error = error.cause
    return str(error.message).strip() if error is not None else "no message"


STEPS = {
    dg.DagsterEventType.STEP_START,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_SKIPPED,
}


@contextmanager
def _progress(instance: dg.DagsterInstance, run_id: str, steps: int, console: Console, client: str) -> Iterator[None]:
    """A bar that follows the run's event log from a second thread."""
    if not console.is_terminal:
        yield  # nobody watches a bar in a file or a pipe
        return
    done = threading.Event()
    columns = (
        SpinnerColumn(),
        TextColumn("[bold]{task.fields[client]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=steps, client=client)

        def follow() -> None:
            finished, cursor = 0, None
            while not done.wait(0.4):
                news = instance.get_records_for_run(run_id, cursor=cursor, of_type=STEPS)
                cursor, current = news.cursor, None
                for record in news.records:
                    event = record.event_log_entry.dagster_event
                    if event is None:
                        continue
                    if event.event_type is dg.DagsterEventType.STEP_START:
                        current = (event.step_key or "").replace("__", "/")
                    else:
                        finished += 1
                progress.update(task, completed=min(finished, steps), description=current)

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield
        finally:
            done.set()
            follower.join(timeout=2)


def print_report(report: RunReport, console: Console) -> None:
    """The run as a table, then in a sentence."""
    table = Table(title=f"Client {report.client}", header_style="bold")
    for name, justify in (
        ("asset", "left"),
        ("status", "left"),
        ("rows", "right"),
        ("seconds", "right"),
        ("checks", "left"),
    ):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for outcome in sorted(report.assets, key=lambda each: each.asset):
        checks = [check for check in report.checks if check.asset == outcome.asset]
        bad = [check.check for check in checks if not check.passed]
        summary = f"{len(checks) - len(bad)} of {len(checks)} passed" if checks else ""
        if checks and outcome.status.startswith("skipped"):
            summary = "nothing to judge"
        table.add_row(
            outcome.asset,
            outcome.status,
            "" if outcome.rows is None else f"{outcome.rows:,.0f}",
            "" if outcome.seconds is None else f"{outcome.seconds:.1f}",
            summary + (f"; failed: {', '.join(bad)}" if bad else ""),
        )
    console.print(table)
    for outcome in report.assets:
        if outcome.message:
            console.print(f"[bold red]{outcome.asset}[/]: {outcome.message}", highlight=False, soft_wrap=True)
    made = sum(outcome.status == "ok" for outcome in report.assets)
    skipped = sum(outcome.status.startswith("skipped") for outcome in report.assets)
    failed = [outcome.asset for outcome in report.assets if outcome.status == "failed"]
    unrun = sum(outcome.status.startswith("not run") for outcome in report.assets)
    words = f"{made} of {len(report.assets)} assets materialised in {report.seconds:.0f} s"
    words += f", {skipped} skipped for want of a source" if skipped else ""
    words += f", {len(failed)} failed ({', '.join(failed)}), {unrun} not run because of that" if failed else ""
    skipped_assets = {outcome.asset for outcome in report.assets if outcome.status.startswith("skipped")}
    judged = [check for check in report.checks if check.asset not in skipped_assets]
    warned = [f"{check.asset} {check.check}" for check in judged if not check.passed]
    words += f". Checks: {len(judged) - len(warned)} of {len(judged)} passed"
    words += f"; look at: {', '.join(warned[:6])}{' ...' if len(warned) > 6 else ''}" if warned else ""
    console.print(f"{words}. Run {report.run_id}.", highlight=False)
