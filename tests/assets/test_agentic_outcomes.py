"""What came of an executed action: measured where its kind can be, once, and handed on to eval."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from liftos_pipelines.assets import agentic_outcomes, eval_predictions
from liftos_pipelines.assets.agentic_ledger import state_of
from liftos_pipelines.assets.agentic_outcomes import _moved, _shifted, _Tables
from liftos_pipelines.assets.agentic_reaction import proposals_table
from liftos_pipelines.clients import load_client
from liftos_pipelines.modules.agentic import outcomes as followed
from liftos_pipelines.modules.agentic.outcomes import Measured
from liftos_pipelines.resources.lake import Lake, LakeIOManager, LakeResource
from liftos_pipelines.resources.spine import SpineResource, open_spine
from liftos_pipelines.spine.database import LedgerNote
from liftos_pipelines.tables import table

CLIENT = "acme"
NOW = datetime(2025, 9, 20, tzinfo=UTC)


@pytest.fixture
def lake(home: Path) -> Lake:
    folder = home / "clients" / CLIENT
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text(f"client: {CLIENT}\n")
    return LakeResource().get()


def executed(*actions: tuple[str, str, dict[str, Any]], at: datetime = NOW) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"action_id": key, "action": action, "arguments": json.dumps(arguments), "executed_at": at}
            for key, action, arguments in actions
        ]
    )


def told(value: Measured | str) -> Mapping[str, Any]:
    return {"promote": lambda arguments, at: value}


def test_an_outcome_is_open_until_it_is_measured_and_then_stands() -> None:
    action = ("a", "promote", {"kind": "prompt", "name": "answer"})
    nothing = table("agentic/outcomes").empty()
    waiting = followed.outcomes(executed(action), nothing, told("too few calls"), NOW + timedelta(days=5))
    assert waiting.select("status", "detail").row(0) == ("open", "too few calls")
    late = followed.outcomes(executed(action), waiting, told("too few calls"), NOW + timedelta(days=90))
    assert late["status"].to_list() == ["unknown"]
    good = Measured(metric="feedback_positive", effect=0.1, std_error=0.02, method="llm/calls")
    found = followed.outcomes(executed(action), late, told(good), NOW + timedelta(days=91))
    assert found.select("status", "subject", "effect").row(0) == ("measured", "answer", 0.1)
    assert found["low"][0] == pytest.approx(0.1 - 1.645 * 0.02, abs=1e-4)
    again = followed.outcomes(executed(action), found, told("the calls were deleted"), NOW + timedelta(days=400))
    assert again.equals(found)


def test_what_changes_nothing_is_said_to_have_no_outcome() -> None:
    found = followed.outcomes(executed(("a", "notify", {"text": "x"})), table("agentic/outcomes").empty(), {}, NOW)
    assert found.select("status", "effect").row(0) == ("nothing to measure", None)
    assert followed.as_source_outcomes(found).is_empty()


def calls(version: str, days: range, good: float, rng: np.random.Generator, at: datetime) -> list[dict[str, Any]]:
    return [
        {
            "call_id": f"{version}-{day}-{place}",
            "called_at": at + timedelta(days=day, hours=1, minutes=place),
            "model": "m",
            "prompt_name": "answer",
            "prompt_version": version,
            "input": f"question {rng.integers(0, 10**9)}",
            "output": "an answer",
            "latency_ms": 500.0,
            "user_feedback": int(rng.random() < good),
        }
        for day in days
        for place in range(15)
    ]


def test_a_promotion_is_followed_by_the_calls_after_it_and_eval_holds_the_prediction_against_them(
    lake: Lake, instance: dg.DagsterInstance
) -> None:
    action_id, spine, now = "c" * 32, open_spine(), datetime.now(UTC)
    arguments = {"kind": "prompt", "name": "answer", "from_version": "1", "to_version": "2"}
    body = {
        "action_id": action_id, "event_id": "e1", "agent_id": "desk", "proposed_at": now.isoformat(), "action": "promote",
        "arguments": json.dumps(arguments), "context": "c", "decision": "allow", "policy": "p", "reason": "r",
        "policy_version": "v", "predicted_effect": 0.3, "predicted_low": 0.2, "predicted_high": 0.4,
    }  # fmt: skip
    done = {"action_id": action_id, "action": "promote", "status": "executed", "outcome": "moved"}
    spine.append_ledger_many(
        CLIENT, [LedgerNote("agent_decision", "desk", body, "d"), LedgerNote("agent_action", "desk", done, "x")]
    )
    rng, contract = np.random.default_rng(3), table("sources/llm_calls")
    rows = [*calls("1", range(-20, 0), 0.5, rng, now), *calls("2", range(20), 0.8, rng, now)]
    frame = pl.DataFrame([{name: row.get(name) for name in contract.columns} for row in rows], schema=contract.columns)
    lake.write(CLIENT, "sources/llm_calls", frame)
    scores = frame.select("call_id").with_columns(groundedness=pl.lit(None, pl.Float64), cost=pl.lit(None, pl.Float64))
    lake.write(CLIENT, "llm/call_scores", table("llm/call_scores").conform(_with_nulls(scores)))
    lake.write(CLIENT, "agentic/proposals", proposals_table(state_of(spine, CLIENT)))
    instance.add_dynamic_partitions("clients", [CLIENT])
    ran = dg.materialize(
        [agentic_outcomes.outcomes, eval_predictions.predictions],
        instance=instance,
        partition_key=CLIENT,
        resources={"lake_io": LakeIOManager(), "lake": LakeResource(), "spine": SpineResource()},
    )
    assert ran.success
    (row,) = lake.read(CLIENT, "agentic/outcomes").iter_rows(named=True)
    assert (row["status"], row["metric"], row["subject"]) == ("measured", "feedback_positive", "answer")
    assert row["low"] < 0.3 < row["high"]
    (held,) = lake.read(CLIENT, "eval/predictions").iter_rows(named=True)
    assert (held["status"], held["inside"], held["hit"]) == ("known", True, True)
    assert held["outcome"] == row["effect"]


def _with_nulls(frame: pl.DataFrame) -> pl.DataFrame:
    absent = {name: kind for name, kind in table("llm/call_scores").columns.items() if name not in frame.columns}
    return frame.with_columns(**{name: pl.lit(None, dtype=kind) for name, kind in absent.items()})


def test_a_shift_is_told_from_what_would_have_been_without_the_shifted_channels(lake: Lake) -> None:
    rng, contract = np.random.default_rng(5), table("sources/marketing_outcome")
    first, shift, weeks = date(2024, 1, 1), 70, 80
    days = [first + timedelta(weeks=week) for week in range(weeks)]
    after = np.arange(weeks) >= shift
    spend = {"tv": np.where(after, 50.0, 100.0), "search": np.where(after, 150.0, 100.0)}
    sales = 1000 + 200 * after + rng.normal(0, 15, weeks)
    outcome = {"date": days, "geo": "all", "outcome": sales}
    lake.write(CLIENT, "sources/marketing_outcome", contract.conform(pl.DataFrame(outcome)))
    media = [
        {"date": day, "geo": "all", "channel": name, "spend": money, "exposure": money, "kind": "paid"}
        for name, series in spend.items()
        for day, money in zip(days, series + rng.normal(0, 5, weeks), strict=True)
    ]
    lake.write(CLIENT, "sources/marketing_media", table("sources/marketing_media").conform(pl.DataFrame(media)))
    client, read = load_client(CLIENT), _Tables(CLIENT, lake)
    found = _shifted(client, read, {"tv", "search"}, days[shift])
    assert isinstance(found, Measured)
    assert abs(found.effect - 4 * 200) < 3 * found.std_error
    assert found.effect > 2 * found.std_error
    late = _shifted(client, read, {"tv", "search"}, days[-1])
    assert isinstance(late, str)
    assert "the four weeks end on" in late


def test_an_agents_move_is_measured_by_its_runs_or_said_not_to_be() -> None:
    rng = np.random.default_rng(7)
    runs = pl.DataFrame(
        [
            {"agent_id": "pacer", "started": NOW + timedelta(days=day), "success": bool(rng.random() < good), "task": f"{day}-{n}"}
            for days, good in ((range(-20, 0), 0.9), (range(20), 0.5))
            for day in days
            for n in range(5)
        ]
    )  # fmt: skip
    found = _moved(runs, "pacer", NOW)
    assert isinstance(found, Measured)
    assert abs(found.effect + 0.4) < 3 * found.std_error
    assert _moved(runs, "other", NOW) == "0 runs of known outcome before the move and 0 after"
