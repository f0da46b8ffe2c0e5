"""The clock asks for one run a client, and what it asks for runs: without the refit by day, with it by week."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from liftos_pipelines.definitions import build_defs

MOMENT = datetime(2025, 6, 2, 5, 15, tzinfo=UTC)


def tick(name: str, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    defs = build_defs()
    schedule = defs.resolve_schedule_def(name)
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=MOMENT, repository_def=defs.get_repository_def()
    )
    return list(schedule.evaluate_tick(context).run_requests or [])


def test_each_client_gets_a_run_and_the_platform_one(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(tempdir=str(tmp_path)) as instance:
        instance.add_dynamic_partitions("clients", ["acme", "globex"])
        for name in ("every_day", "every_week"):
            assert [request.partition_key for request in tick(name, instance)] == ["acme", "globex"]
        assert len({request.run_key for request in tick("every_day", instance)}) == 2
        assert len(tick("roll_up", instance)) == 1


def test_the_daily_run_does_all_but_the_refit_for_a_client_without_sources(
    home: Path, instance: dg.DagsterInstance
) -> None:
    folder = home / "clients" / "acme"
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text("client: acme\n", encoding="utf-8")
    instance.add_dynamic_partitions("clients", ["acme"])
    defs = build_defs()
    daily, weekly = defs.resolve_job_def("daily"), defs.resolve_job_def("weekly_refit")
    only_weekly = {key.to_user_string() for key in weekly.asset_layer.executable_asset_keys} - {
        key.to_user_string() for key in daily.asset_layer.executable_asset_keys
    }
    assert "causal/mmm_posterior" in only_weekly
    assert "causal/impact" not in only_weekly
    # Also before the client's first weekly run.
    assert daily.execute_in_process(instance=instance, partition_key="acme").success
