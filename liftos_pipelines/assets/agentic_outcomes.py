"""What came of what agents did: measured by Causal on the outcome, by LLM on calls, by evidence on runs."""

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.agentic_ledger import state_of
from liftos_pipelines.assets.causal import spec_for
from liftos_pipelines.assets.common import client_of, lift_asset, result
from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.agentic import outcomes as followed
from liftos_pipelines.modules.agentic.evidence import runs_of, success_rate
from liftos_pipelines.modules.agentic.outcomes import Measure, Measured
from liftos_pipelines.modules.causal.impact import ImpactUnknown, estimate_impact, national_series
from liftos_pipelines.modules.llm.experiments.measured import with_metrics
from liftos_pipelines.modules.llm.versions.arms import prepared
from liftos_pipelines.modules.llm.versions.regression import change_of
from liftos_pipelines.resources.lake import Lake, LakeResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import Spine

TABLE = "agentic/outcomes"
MARKETING = ("sources/marketing_outcome", "sources/marketing_media", "sources/marketing_controls")
READ = ("agentic/proposals", *MARKETING, "sources/llm_calls", "llm/call_scores", "sources/agent_steps")
LEAST_RUNS = 20
"""Runs of known outcome before and after a move of an agent."""


@lift_asset(TABLE, deps=[name.split("/") for name in READ], kinds={"polars"}, code_version="1")
def outcomes(
    context: dg.AssetExecutionContext, lake: LakeResource, spine: SpineResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """What came of every executed action in the four weeks after it: a budget shift by its effect on the outcome, a
    prompt's promotion or rollback by its calls, an agent's move by its runs; eval and memory learn from it."""
    client, store = client_of(context), lake.get()
    executed = _executed(spine.get(), client.client)
    earlier = store.read(client.client, TABLE)
    waiting = executed.filter(~pl.col("action_id").is_in(earlier.filter(pl.col("status") == "measured")["action_id"]))
    measures = _measures(client, store) if waiting.height else {}
    found = followed.outcomes(executed, earlier, measures, datetime.now(UTC))
    counted = dict(found["status"].value_counts().iter_rows())
    names = (followed.MEASURED, followed.OPEN, followed.UNKNOWN, followed.NONE)
    return result(found, executed=found.height, **{name.replace(" ", "_"): counted.get(name, 0) for name in names})


def _executed(log: Spine, client: str) -> pl.DataFrame:
    """Actions that stand as executed; one that was taken back changed nothing for good."""
    state = state_of(log, client)
    rows = [
        {
            "action_id": key,
            "action": row["action"],
            "arguments": row["arguments"],
            "executed_at": state.executed_at[key],
        }
        for key, row in state.decided.items()
        if state.status_of(key) == "executed"
    ]
    texts = dict.fromkeys(("action_id", "action", "arguments"), pl.String())
    return pl.DataFrame(rows, schema=texts | {"executed_at": pl.Datetime("us", "UTC")})


def _measures(client: ClientConfig, store: Lake) -> dict[str, Measure]:
    """How each action's outcome is measured; tables are read when the first action asks for them."""
    read = _Tables(client.client, store)

    def shift(told: Mapping[str, Any], at: datetime) -> Measured | str:
        return _shifted(client, read, {str(told["from_channel"]), str(told["to_channel"])}, at.date())

    def version(told: Mapping[str, Any], at: datetime) -> Measured | str:
        if told.get("kind") != "prompt" or not told.get("from_version"):
            return f"what a change of {told.get('kind')} came to is not measured here"
        found = change_of(read.calls(), told["name"], str(told["from_version"]), str(told["to_version"]), at)
        if isinstance(found, str):
            return found
        seen = f"{found.n_before} calls before, {found.n_after} after"
        return Measured(
            metric=found.metric, effect=found.estimate, std_error=found.std_error, method="llm/calls", detail=seen
        )

    def move(told: Mapping[str, Any], at: datetime) -> Measured | str:
        return _moved(read.runs(), str(told["agent_id"]), at)

    return {"shift_budget": shift, "promote": version, "rollback": version, "move_agent": move}


def _shifted(client: ClientConfig, read: "_Tables", channels: set[str], at: date) -> Measured | str:
    """Effect on the outcome, with the shifted channels left out of what explains it: the shift itself must show."""
    outcome, media, controls = (read(name) for name in MARKETING)
    if outcome.is_empty():
        return "the client brings no marketing outcome"
    newest, end = outcome["date"].max(), at + followed.SPAN - timedelta(days=1)
    assert isinstance(newest, date)
    if newest < end:
        return f"the outcome's data reach {newest}, the four weeks end on {end}"
    rest = media.filter(~pl.col("channel").is_in(list(channels)))
    try:
        series = national_series(outcome, rest, controls, mediators=spec_for(client).mediators)
        found = estimate_impact(series, at, end)
    except ImpactUnknown as reason:
        return str(reason)
    error = (found.effect_high - found.effect_low) / (2 * followed.Z90)
    return Measured(
        metric="outcome",
        effect=found.effect,
        std_error=error,
        method="causal/impact",
        detail=f"expected {found.expected:,.0f} without the shift, observed {found.observed:,.0f}",
    )


def _moved(runs: pl.DataFrame, agent_id: str, at: datetime) -> Measured | str:
    """Change of the agent's success rate, four weeks after its move against the four before."""
    own = runs.filter(pl.col("agent_id") == agent_id).drop_nulls("success")
    sides = (
        own.filter(pl.col("started").is_between(at - followed.SPAN, at, closed="left")),
        own.filter(pl.col("started").is_between(at, at + followed.SPAN)),
    )
    if min(side.height for side in sides) < LEAST_RUNS:
        return f"{sides[0].height} runs of known outcome before the move and {sides[1].height} after"
    (old, old_error), (new, new_error) = (_success(side) for side in sides)
    return Measured(
        metric="success rate",
        effect=new - old,
        std_error=math.hypot(old_error, new_error),
        method="agentic/runs",
        detail=f"{sides[0].height} runs before, {sides[1].height} after",
    )


def _success(runs: pl.DataFrame) -> tuple[float, float]:
    """Success rate of some runs, with the standard error that its interval stands for."""
    rate, low, high = success_rate(runs)
    assert rate is not None
    assert low is not None
    assert high is not None
    return rate, (high - low) / (2 * followed.Z90)


class _Tables:
    """A client's tables, each read once."""

    def __init__(self, client: str, store: Lake) -> None:
        self._client, self._store = client, store
        self._read: dict[str, pl.DataFrame] = {}

    def __call__(self, name: str) -> pl.DataFrame:
        if name not in self._read:
            self._read[name] = self._store.read(self._client, name)
        return self._read[name]

    def calls(self) -> pl.DataFrame:
        if "calls" not in self._read:
            self._read["calls"] = prepared(with_metrics(self("sources/llm_calls"), self("llm/call_scores")))
        return self._read["calls"]

    def runs(self) -> pl.DataFrame:
        if "runs" not in self._read:
            self._read["runs"] = runs_of(self("sources/agent_steps"), self("sources/agents"))
        return self._read["runs"]
