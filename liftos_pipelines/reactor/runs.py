"""Creating a run with its origins, so that it stands in the event log and in the UI like any launched run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.execution.api import create_execution_plan
from dagster._core.snap import snapshot_from_execution_plan

from liftos_pipelines.reactor.jobs import HeldJob
from liftos_pipelines.reactor.origins import job_origin

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def create_run(
    instance: dg.DagsterInstance,
    job: HeldJob,
    assets: Iterable[dg.AssetKey],
    *,
    run_id: str,
    tags: Mapping[str, str],
    run_config: Mapping[str, object] | None = None,
    partition: str | None = None,
) -> dg.DagsterRun:
    """A run of some assets with their checks, not started yet.

    As `DagsterInstance.create_run_for_job` makes it, but from a job that is held: that call builds the selection,
    its snapshot and its plan anew each time.
    """
    chosen = frozenset(assets)
    definition = job.get_subset(asset_selection=chosen).get_definition()
    labelled = dict(tags)
    if partition is not None:
        # As a launch from the UI does: a client that is no partition is refused here, before anything runs.
        with partition_loading_context(dynamic_partitions_store=instance) as context:
            definition.validate_partition_key(partition, selected_asset_keys=chosen, context=context)
        labelled = {**definition.get_tags_for_partition_key(partition, selected_asset_keys=chosen), **labelled}
    plan = create_execution_plan(
        definition,
        run_config=run_config or {},
        instance_ref=instance.get_ref() if instance.is_persistent else None,
        tags=labelled,
    )
    return instance.create_run(
        job_name=definition.name,
        run_id=run_id,
        run_config=run_config or {},
        status=dg.DagsterRunStatus.NOT_STARTED,
        tags=labelled,
        root_run_id=None,
        parent_run_id=None,
        step_keys_to_execute=plan.step_keys_to_execute,
        execution_plan_snapshot=snapshot_from_execution_plan(plan, definition.get_job_snapshot_id()),
        job_snapshot=definition.get_job_snapshot(),
        parent_job_snapshot=definition.get_parent_job_snapshot(),
        asset_selection=chosen,
        asset_check_selection=None,
        resolved_op_selection=None,
        op_selection=None,
        remote_job_origin=job_origin(definition.name),
        job_code_origin=job.get_python_origin(),
        asset_graph=definition.asset_layer.asset_graph,
    )
