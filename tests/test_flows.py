"""The design's event table, and the seed's three flows on the demo world, each to its end, on a real Dagster instance."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import yaml
from rich.console import Console

from liftos_pipelines.assets.agentic_ledger import resume_agent
from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.running import register, run_client
from liftos_pipelines.sensors.reactions import REACTIONS, Reaction
from liftos_pipelines.simulate.world import write_client
from liftos_pipelines.spine.accountability import decision_chain
from liftos_pipelines.spine.database import Event, Spine
from liftos_pipelines.spine.payloads import (
    PAYLOADS,
    DriftDetected,
    Payload,
    PolicyViolationDetected,
    SentimentDropDetected,
)
from liftos_pipelines.tables import table

CLIENT, GEO = "demo", "north"
# A short fit of one geo: what is tested is that the flows use a posterior, not its last digit.
SHORT_FIT = {"chains": 2, "draws": 600, "tune": 400}
SOURCES = (
    "sources/marketing_outcome,sources/marketing_media,sources/marketing_controls,sources/experiments,"
    "sources/campaigns,sources/outcomes,sources/notes,sources/agents,sources/agent_steps,sources/mentions"
)
PREPARED = f"{SOURCES},agentic/policy_decisions,agentic/stops"
MODEL = (
    "causal/panel,causal/mmm_posterior,causal/validation,causal/champion,causal/channel_results,causal/budget_plan,"
    "causal/response_curves,causal/fit_history"
)
SOURCE = Path(__file__).resolve().parents[1] / "liftos_pipelines"
DESIGN = {
    "sentiment_drop_detected": {"causal/impact"},
    "causal_impact_identified": {"agentic/proposals"},
    "agent_action_initiated": {"memory/items", "eval/predictions"},
    "campaign_started": {"memory/patterns"},
    "visibility_shift_detected": {"causal/impact", "surfacing/recommendations", "memory/items"},
    "algorithm_change_detected": {"causal/impact", "surfacing/recommendations", "memory/items"},
    "trust_degraded": {"eval/root_causes"},
    "drift_detected": {"causal/champion", "agentic/drift"},
    "policy_violation_detected": {"agentic/stops"},
    "budget_exhausted": {"agentic/stops"},
    "approval_given": {"agentic/proposals"},
    "approval_denied": {"agentic/proposals"},
}
"""Section 6 of the design: what answers each event."""


# --- the table ---------------------------------------------------------------------------------------------
def test_every_event_is_raised_somewhere_and_answered_by_assets_that_note_it() -> None:
    code = {file: file.read_text(encoding="utf-8") for file in SOURCE.rglob("*.py")}
    assets = "\n".join(text for file, text in code.items() if file.parent.name == "assets")
    for name, payload in PAYLOADS.items():
        raised = [
            file for file, text in code.items()
            if file.name not in ("payloads.py", "chain.py") and "bench" not in file.parts
            and re.search(rf"(?<!isinstance\(said, )\b{payload.__name__}\b( if|\(|\))", text)
        ]  # fmt: skip
        assert raised, f"nobody raises {name}"
        answering = [reaction for reaction in REACTIONS if name in reaction.event_types]
        assert answering, f"nobody answers {name}"
        for reaction in answering:
            assert f'"{reaction.name}"' in assets, f"no asset notes {name} as handled by {reaction.name}"


def test_the_designs_table_is_what_the_reactions_say() -> None:
    answered = {name: {each.name for each in REACTIONS if name in each.event_types} for name in DESIGN}
    assert {name: DESIGN[name] - answered[name] for name in DESIGN if DESIGN[name] - answered[name]} == {}


# --- the demo world ----------------------------------------------------------------------------------------
@dataclass
class World:
    """The demo client, its model fitted, nothing answered yet."""

    home: Path
    lake: Lake
    spine: Spine
    instance: dg.DagsterInstance
    defs: dg.Definitions

    def table(self, name: str) -> pl.DataFrame:
        return self.lake.read(CLIENT, name)

    def run(self, select: str) -> None:
        report = run_client(CLIENT, select, defs=self.defs, instance=self.instance, console=Console(quiet=True))
        assert report.success, [each for each in report.assets if each.status == "failed"]

    def raised(self, payload: Payload, at: datetime) -> Event:
        return self.spine.raise_event(CLIENT, payload, occurred_at=at)

    def of(self, kind: str, cause: str | None = None) -> list[Event]:
        return [e for e in self.spine.events(CLIENT, [kind]) if cause is None or e.causation_id == cause]

    @staticmethod
    def leaves_out(reaction: Reaction, asset: str, events: list[Event]) -> bool:
        """Sources that nobody ordered to be read again: that they can be is `test_sources`' to show."""
        ordered = {getattr(event.payload, "dataset", "") for event in events}
        return reaction.name == "remedy/reingest" and asset.startswith("sources/") and asset not in ordered

    def settle(self, only: Callable[[Event], bool] = lambda _: True, among: Collection[str] = ()) -> list[str]:
        """Answer events, as the drivers do, until nothing of them is left; the reactions in their order, or `among` them
        those that a test is about."""
        job = self.defs.resolve_implicit_global_asset_job_def()
        done: list[str] = []
        for _ in range(12):
            quiet = True
            for reaction in [each for each in REACTIONS if not among or each.name in among]:
                open_ = [
                    event
                    for event in self.spine.unhandled(reaction.name, reaction.event_types, client=CLIENT)
                    if reaction.answers(event.payload) and only(event)
                ]
                if not open_:
                    continue
                quiet = False
                keys = [
                    dg.AssetKey(name.split("/"))
                    for name in reaction.assets
                    if not self.leaves_out(reaction, name, open_)
                ]
                ran = job.execute_in_process(
                    instance=self.instance,
                    partition_key=CLIENT,
                    asset_selection=keys,
                    tags={"liftos/reaction": reaction.name, "liftos/event": open_[-1].event_id},
                    run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                )
                assert ran.success, reaction.name
                done.append(reaction.name)
            if quiet:
                return done
        raise AssertionError(f"the reactions do not come to rest: {done}")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    from liftos_pipelines.definitions import build_defs

    home = tmp_path_factory.mktemp("flows")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIFTOS_HOME", str(home))
        for name in ("LIFTOS_LAKE_URI", "LIFTOS_SPINE_URL", "LIFTOS_MLFLOW_URI", "LIFTOS_MLFLOW_ARTIFACTS"):
            patch.delenv(name, raising=False)
        folder = home / "clients" / CLIENT
        write_client(folder)
        one_geo(folder)
        learned(folder)
        # The second year of mentions never arrived: the stream is a year behind the others.
        (folder / "data" / "mentions" / "2025.parquet").unlink()
        with dg.DagsterInstance.local_temp(tempdir=str(tmp_path_factory.mktemp("instance"))) as instance:
            register(instance, CLIENT)
            made = World(
                home=home, lake=Lake(str(home / "lake")), spine=open_spine(), instance=instance, defs=build_defs()
            )
            made.run(PREPARED)
            yield made


@pytest.fixture(scope="module")
def modelled(world: World) -> World:
    """The same with a marketing-mix model that serves, and a surfacing that has never been asked anything."""
    for name in (
        "sources/answers",
        "surfacing/page_audit",
        "surfacing/prompt_gaps",
        "surfacing/source_gaps",
        "surfacing/shifts",
    ):
        if not world.lake.exists(CLIENT, name):
            world.lake.write(CLIENT, name, table(name).empty())
    world.run(MODEL)
    return world


def one_geo(folder: Path) -> None:
    """The marketing of one geo, which is fitted in a few seconds; the lift tests took place in several."""
    file = folder / "data" / "marketing.csv"
    pl.read_csv(file).filter(pl.col("region") == GEO).write_csv(file)
    configured = yaml.safe_load((folder / "client.yaml").read_text(encoding="utf-8"))
    del configured["sources"]["experiments"]
    configured["causal"] = SHORT_FIT
    (folder / "client.yaml").write_text(yaml.safe_dump(configured, sort_keys=False), encoding="utf-8")


def learned(folder: Path) -> None:
    """Past decisions in situations like the campaign that has just begun: more money on search helped, each time."""
    file = folder / "data" / "outcomes.csv"
    with file.open(encoding="utf-8", newline="") as source:
        columns = next(csv.reader(source))
    with file.open("a", encoding="utf-8", newline="") as out:
        rows = csv.DictWriter(out, columns)
        for i in range(12):
            rows.writerow(
                {
                    "outcome_id": f"planted-{i}",
                    "decided_at": (datetime(2024, 3, 4, 9, tzinfo=UTC) + timedelta(weeks=6 * i)).isoformat(),
                    "context": f"Trail starts number {i} starts: a campaign on social for consideration",
                    "action": "raise the budget on search",
                    "metric": "conversions_share",
                    "effect": 0.05,
                    "std_error": 0.01,
                    "campaign_id": "c24-spring",
                    "domain": "campaigns",
                }
            )


def a_drop(number: int = 0) -> SentimentDropDetected:
    """The planted incident of the demo world, as the alert tells it."""
    return SentimentDropDetected(
        alert_id=f"drop-{number}", campaign_id="c25-doorstep", detected_at=datetime(2025, 9, 14, tzinfo=UTC),
        window_start=date(2025, 9, 8), window_end=date(2025, 9, 21), severity=0.6, effect=-0.4, n=300,
        explanation="Parcels are late, customers of Doorstep in Two Days are furious about the courier",
    )  # fmt: skip


# --- flow 1 ------------------------------------------------------------------------------------------------
def test_a_drop_of_sentiment_ends_as_a_pattern_with_its_chance_and_later_its_outcome(world: World) -> None:
    drop = world.raised(a_drop(), datetime(2025, 9, 14, tzinfo=UTC))
    world.settle(lambda event: event.correlation_id == drop.correlation_id)
    (impact,) = world.of("causal_impact_identified", drop.event_id)
    actions = world.of("agent_action_initiated", impact.event_id)
    assert {event.correlation_id for event in (impact, *actions)} == {drop.correlation_id}
    chosen = {event.payload.action: event.payload for event in actions}  # type: ignore[attr-defined]
    assert set(chosen) >= {"open_ticket"}
    held = world.table("memory/items").filter(pl.col("kind") == "pattern", pl.col("superseded_at").is_null())
    assert {json.loads(text)["key"] for text in held["provenance"]} >= {said.action_id for said in chosen.values()}
    patterns = world.table("memory/patterns").filter(pl.col("query_id").is_in([s.action_id for s in chosen.values()]))
    assert patterns["query_id"].n_unique() == len(chosen)
    for row in patterns.iter_rows(named=True):
        if row["abstained"]:
            assert row["p_success"] is None
            assert row["reason"]
        else:
            assert 0 <= row["p_success_low"] <= row["p_success"] <= row["p_success_high"] <= 1
            assert row["memory_ids"]
    # The decision can be accounted for: inputs with versions, alternatives, confidence, policy.
    (entry,) = [
        entry
        for entry in world.spine.ledger(CLIENT, kinds=["agent_decision"])
        if entry.content["action_id"] == chosen["open_ticket"].action_id
    ]
    body = entry.content
    assert {one["table"] for one in body["inputs"]} >= {"causal/budget_plan", "sources/agents"}
    assert body["confidence"] == impact.payload.probability_harmful  # type: ignore[attr-defined]
    assert {one["action"] for one in body["alternatives"]} >= {"notify"}
    assert body["reasoning"]
    assert isinstance(body["evidence"]["memories"], list)
    # Later somebody measures what the ticket brought.
    watched = world.table("eval/predictions").filter(pl.col("subject") == chosen["open_ticket"].action_id)
    assert watched["status"].to_list() == ["open"]
    file = world.home / "clients" / CLIENT / "data" / "outcomes.csv"
    with file.open(encoding="utf-8", newline="") as source:
        columns = next(csv.reader(source))
    with file.open("a", encoding="utf-8", newline="") as out:
        csv.DictWriter(out, columns).writerow(
            {
                "outcome_id": chosen["open_ticket"].action_id, "decided_at": datetime.now(UTC).isoformat(),
                "context": "the ticket of the doorstep incident", "action": "open_ticket",
                "metric": "conversions_share", "effect": 0.04, "std_error": 0.01, "campaign_id": "c25-doorstep",
                "domain": "sentiment",
            }
        )  # fmt: skip
    world.run("sources/outcomes,eval/predictions")
    world.run("memory/items")
    (known,) = world.table("eval/predictions").filter(pl.col("subject") == chosen["open_ticket"].action_id).to_dicts()
    assert (known["status"], known["outcome"], known["inside"]) == ("known", 0.04, None)
    (written,) = (
        world.table("memory/items")
        .filter(pl.col("kind") == "pattern", pl.col("superseded_at").is_null())
        .filter(pl.col("provenance").str.contains(chosen["open_ticket"].action_id))
        .to_dicts()
    )
    assert (written["effect"], written["std_error"], written["metric"]) == (0.04, 0.01, "conversions_share")


def test_answering_the_same_events_again_changes_nothing(world: World) -> None:
    drop = world.raised(a_drop(), datetime(2025, 9, 14, tzinfo=UTC))
    world.settle(lambda event: event.correlation_id == drop.correlation_id)
    names = ("agentic/proposals", "agentic/stops", "eval/predictions")
    before = {name: world.table(name) for name in names}
    ledger, events = world.spine.verify_ledger(CLIENT), len(world.spine.events(CLIENT))
    assert ledger.verified
    world.run("agentic/proposals,agentic/stops,eval/predictions")
    assert {name: world.table(name).equals(frame) for name, frame in before.items()} == dict.fromkeys(names, True)
    assert world.spine.verify_ledger(CLIENT).root_hash == ledger.root_hash
    assert len(world.spine.events(CLIENT)) == events


# --- flow 2 ------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_campaign_that_begins_gets_history_advice_budgets_an_outlook_and_a_watched_prediction(
    modelled: World,
) -> None:
    world = modelled
    (started,) = [e for e in world.of("campaign_started") if e.payload.campaign_id == "c26-newyear"]  # type: ignore[attr-defined]
    world.settle(lambda event: event.correlation_id == started.correlation_id or event.type == "campaign_started")
    (recalled,) = world.of("insights_recalled", started.event_id)
    assert recalled.correlation_id == started.correlation_id
    said: Any = recalled.payload
    judged = world.table("memory/insights").filter(pl.col("campaign_id") == "c26-newyear")
    assert said.validated >= 1, judged.select("recommendation", "confidence", "validated", "validation").to_dicts()
    insights = world.table("memory/insights").filter(
        pl.col("campaign_id") == "c26-newyear", pl.col("validated").fill_null(False)
    )
    assert (insights["confidence"] > 0.8).all()
    advice = world.table("surfacing/recommendations").filter(pl.col("kind") == "insight")
    known = set(world.table("memory/patterns")["pattern_id"])
    assert set(advice.filter(pl.col("target") == "c26-newyear")["source_pattern"]) & known
    assert advice["expected_effect"].null_count() == advice.height
    (outlook,) = world.table("causal/campaign_outlook").filter(pl.col("campaign_id") == "c26-newyear").to_dicts()
    assert outlook["status"] == "ok"
    assert outlook["low"] <= outlook["expected"] <= outlook["high"]
    assert outlook["outcome_low"] < outlook["outcome"] < outlook["outcome_high"]
    over = world.table("causal/campaign_outlook").filter(pl.col("campaign_id") == "c24-club").row(0, named=True)
    assert over["status"].startswith("unknown")
    assert over["expected"] is None
    suggested = world.table("causal/budget_suggestions").filter(
        pl.col("campaign_id") == "c26-newyear", pl.col("channel") == "search"
    )
    assert suggested.height >= 1
    assert suggested["insight_id"][0] in set(insights["insight_id"])
    plan = world.table("causal/budget_plan").filter(pl.col("channel") == "search").row(0, named=True)
    assert (suggested["amount"][0] > 0) == (plan["spend_planned"] > plan["spend_current"])
    watched = world.table("eval/predictions").filter(
        pl.col("module") == "causal", pl.col("subject") == "c26-newyear", pl.col("what").str.starts_with("outcome")
    )
    assert watched["predicted"].to_list() == [outlook["outcome"]]
    # The weeks come in: what was predicted is held against them, as it was predicted.
    come = weeks_to_come(outlook["outcome_from"], outlook["last_week"], outlook["outcome"])
    kept = world.table("sources/marketing_outcome")
    try:
        world.lake.write(CLIENT, "sources/marketing_outcome", come.select(kept.columns))
        world.run("eval/predictions")
        (row,) = (
            world.table("eval/predictions").filter(pl.col("prediction_id") == watched["prediction_id"][0]).to_dicts()
        )
        assert (row["status"], row["inside"], row["predicted"]) == ("known", True, outlook["outcome"])
        assert row["outcome"] == pytest.approx(outlook["outcome"])
    finally:
        weeks = pl.col("date") <= kept["date"].max()
        world.lake.write(CLIENT, "sources/marketing_outcome", kept.filter(weeks))


def weeks_to_come(first: date, last: date, total: float) -> pl.DataFrame:
    """The KPI of the weeks, spread evenly over weeks."""
    weeks = [first + timedelta(weeks=i) for i in range((last - first).days // 7 + 1)]
    share = total / len(weeks)
    rows = [{"date": week, "geo": GEO, "outcome": share, "revenue": None, "population": None} for week in weeks]
    return pl.DataFrame(rows, schema_overrides={"revenue": pl.Float64, "population": pl.Float64})


# --- flow 3 ------------------------------------------------------------------------------------------------
def test_degraded_trust_is_traced_to_its_cause_and_a_remedy_runs(world: World) -> None:
    world.run("eval/drift,eval/trust_scores")
    (degraded,) = [e for e in world.of("trust_degraded") if e.payload.slo == "freshness_lag"]  # type: ignore[attr-defined]
    answering = ("eval/root_causes", "agentic/proposals", "remedy/reingest")
    world.settle(lambda event: event.correlation_id == degraded.correlation_id, answering)
    (cause,) = world.of("root_cause_identified", degraded.event_id)
    found: Any = cause.payload
    assert (found.kind, found.subject_kind, found.subject) == ("contract", "source", "mentions")
    assert found.contribution is None
    (action,) = world.of("agent_action_initiated", cause.event_id)
    said: Any = action.payload
    assert (said.action, said.arguments["dataset"], said.status) == ("reingest_source", "sources/mentions", "executed")
    (ordered,) = world.of("remediation_ordered", cause.event_id)
    assert ordered.correlation_id == degraded.correlation_id
    (done,) = world.table("agentic/remediations").filter(pl.col("action_id") == said.action_id).to_dicts()
    assert done["status"] == "done"
    assert done["done_at"] >= done["ordered_at"]
    (entry,) = [
        e for e in world.spine.ledger(CLIENT, kinds=["root_cause"]) if e.content["event_id"] == degraded.event_id
    ]
    assert entry.content["evidence"]["trust"]["slo"] == "freshness_lag"
    steps = [step.kind for step in decision_chain(world.spine, degraded.event_id).root.walk()]
    assert "decision" in steps
    assert world.spine.verify_ledger(CLIENT).verified


def test_a_drift_of_the_sentiment_model_asks_for_its_refit_and_one_of_answers_for_a_ticket(world: World) -> None:
    def drift(dataset: str) -> Event:
        payload = DriftDetected(
            dataset=dataset, column="confidence", as_of=date(2025, 12, 1), test="ks", statistic=0.3,
            p_value_adjusted=0.001,
        )  # fmt: skip
        return world.raised(payload, datetime(2025, 12, 1, tzinfo=UTC))

    events = [drift("sentiment/mention_scores"), drift("sources/answers")]
    world.settle(lambda event: event.event_id in {each.event_id for each in events})
    refit, ticket = (world.of("agent_action_initiated", event.event_id)[0].payload for event in events)
    assert (refit.action, refit.arguments) == ("refit_model", {"dataset": "sentiment/model"})  # type: ignore[attr-defined]
    assert ticket.action == "open_ticket"  # type: ignore[attr-defined]
    assert len(world.of("remediation_ordered", events[0].event_id)) == 1


# --- the kill switch ---------------------------------------------------------------------------------------
def test_a_violation_stops_the_agents_next_decision_until_a_person_resumes_it(world: World) -> None:
    now = datetime.now(UTC)
    broken = world.raised(
        PolicyViolationDetected(run_id="live", step=1, agent_id="monitor", policy="unknown_tool", reason="export_all"),
        now,
    )
    world.settle(lambda event: event.event_id == broken.event_id)
    stopped = world.table("agentic/stops").filter(pl.col("agent_id") == "monitor", pl.col("status") == "stopped")
    assert broken.event_id in stopped["event_id"].to_list()
    outbox = (world.lake.folder(CLIENT, "agentic") / "outbox.jsonl").read_text(encoding="utf-8")
    assert "Agent monitor is stopped until a person resumes it" in outbox
    entries = [
        e for e in world.spine.ledger(CLIENT, kinds=["agent_stopped"]) if e.content["event_id"] == broken.event_id
    ]
    assert len(entries) == 1

    def agent_of(number: int) -> str:
        drop = world.raised(a_quiet_week(number), now)
        world.settle(lambda event: event.correlation_id == drop.correlation_id, ("causal/impact", "agentic/proposals"))
        (impact,) = world.of("causal_impact_identified", drop.event_id)
        (action,) = world.of("agent_action_initiated", impact.event_id)
        return str(action.payload.agent_id)  # type: ignore[attr-defined]

    assert agent_of(1) != "monitor"
    assert resume_agent(world.spine, CLIENT, "monitor", by="eve", reason="the tool was removed", now=now)
    assert not resume_agent(world.spine, CLIENT, "monitor", by="eve", reason="again", now=datetime.now(UTC))
    assert agent_of(2) == "monitor"


def a_quiet_week(number: int) -> SentimentDropDetected:
    """An alert in a week in which nothing happened to the outcome: a message is answer enough."""
    start = date(2025, 3, 3) + timedelta(weeks=2 * number)
    return SentimentDropDetected(
        alert_id=f"quiet-{number}", campaign_id="c24-club", detected_at=datetime(2025, 3, 9, tzinfo=UTC),
        window_start=start, window_end=start + timedelta(days=6), severity=0.2, effect=-0.1, n=50,
    )  # fmt: skip
