"""Agents that wanted the same thing: what each was answered stands in a table, readable by anybody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from liftos_pipelines.assets.agentic_coordination import TABLE, coordination
from liftos_pipelines.modules.agentic.coordination import Intent, targets_of
from liftos_pipelines.resources.lake import LakeIOManager, LakeResource
from liftos_pipelines.resources.spine import SpineResource, open_spine

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_every_answer_about_a_target_is_told_with_the_other_action_and_why(home: Path) -> None:
    spine, raise_tv = open_spine(), ("raise_budget", {"channel": "tv", "amount": 5})
    wishes = [
        ("first", "a", *raise_tv),
        ("twin", "b", *raise_tv),
        ("against", "b", "lower_budget", {"channel": "tv", "percent": 5}),
        ("beside", "b", "adjust_bid", {"channel": "tv", "amount": 2}),
    ]
    for number, (name, agent, tool, arguments) in enumerate(wishes):
        moment = NOW + timedelta(seconds=number)
        intent = Intent(
            decision_id=name, agent_id=agent, run_id="r", tool=tool, arguments=arguments, incident="i", rank=0, at=moment
        )  # fmt: skip
        spine.take_leases("acme", intent, targets_of(tool, arguments), now=moment)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("clients", ["acme"])
        resources = {"spine": SpineResource(), "lake_io": LakeIOManager()}
        assert dg.materialize([coordination], instance=instance, partition_key="acme", resources=resources).success
    found = LakeResource().get().read("acme", TABLE).sort("at")
    assert found.select("action_id", "target", "outcome", "with").rows() == [
        ("first", "channel:tv", "granted", None),
        ("twin", "channel:tv", "refused_duplicate", "first"),
        ("against", "channel:tv", "refused_conflict", "first"),
        ("beside", "channel:tv", "ordered", "first"),
    ]
    assert "exactly this on channel:tv" in found["reason"][1]
