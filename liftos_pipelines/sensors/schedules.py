"""What runs by the clock: everything but the model fit each day, the model fit each week, for every client."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from liftos_pipelines.assets.common import FITTED_WEEKLY
from liftos_pipelines.clients import clients_partitions
from liftos_pipelines.resources.lake import PLATFORM_WIDE

REFIT = dg.AssetSelection.assets(*(name.split("/") for name in sorted(FITTED_WEEKLY)))
CLIENT_ASSETS = dg.AssetSelection.all() - dg.AssetSelection.assets(PLATFORM_WIDE.split("/"))

daily_job = dg.define_asset_job(
    "daily",
    selection=CLIENT_ASSETS - REFIT,
    partitions_def=clients_partitions,
    description="Everything but the marketing-mix refit.",
)
refit_job = dg.define_asset_job(
    "weekly_refit",
    selection=CLIENT_ASSETS,
    partitions_def=clients_partitions,
    description="Everything, with a clean refit of the marketing-mix model.",
)

platform_job = dg.define_asset_job(
    "platform",
    selection=dg.AssetSelection.assets(PLATFORM_WIDE.split("/")),
    description="The roll-up over all clients.",
)


def _each_client(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    moment = context.scheduled_execution_time
    for client in context.instance.get_dynamic_partitions("clients"):
        yield dg.RunRequest(
            run_key=f"{client}:{moment:%Y-%m-%dT%H:%M}", partition_key=client, tags={"liftos/trigger": "schedule"}
        )


@dg.schedule(
    job=daily_job, cron_schedule="15 5 * * *", execution_timezone="UTC", default_status=dg.DefaultScheduleStatus.RUNNING
)
def every_day(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """All clients each day at 05:15 UTC, without the model refit."""
    yield from _each_client(context)


@dg.schedule(
    job=refit_job, cron_schedule="15 3 * * 1", execution_timezone="UTC", default_status=dg.DefaultScheduleStatus.RUNNING
)
def every_week(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """All clients each Monday at 03:15 UTC, with a clean refit."""
    yield from _each_client(context)


@dg.schedule(
    job=platform_job,
    cron_schedule="15 8 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def roll_up(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """All clients side by side each day at 08:15 UTC, when their own runs are over."""
    return dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y-%m-%d}", tags={"liftos/trigger": "schedule"})
