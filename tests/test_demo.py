"""The whole way on the demo world: every module, the loop, a rerun that changes nothing, and a kill half-way."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from rich.console import Console

from liftos_pipelines import settings
from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.resources.prompt_registry import PromptRegistry
from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.running import RunReport, run_client
from liftos_pipelines.simulate import as_told
from liftos_pipelines.simulate.findings import findings
from liftos_pipelines.simulate.setting import CAMPAIGNS, INCIDENT
from liftos_pipelines.simulate.world import write_client
from liftos_pipelines.spine.accountability import decision_chain
from liftos_pipelines.tables import TABLES

MAY_BE_EMPTY = (
    "eval/root_causes",
    "causal/patterns",
    "causal/scenarios",
    "causal/scenario_weeks",
    "surfacing/recommendation_outcomes",
    "agentic/remediations",
    "agentic/coordination",
    "llm/judgements",
)  # nobody has acted on advice there, ordered a remedy or asked the gate yet, and no judge model is planned
SKIPPED = ("llm/judgements",)
NEWEST = CAMPAIGNS[-1].campaign_id
CHEAP = "sources/*,sentiment/*,surfacing/*,llm/*,causal/impact,agentic/*"
ANSWERS = "agentic/*,surfacing/recommendations,memory/items,memory/patterns,memory/insights,eval/predictions"
"""What the reactions run for events that a batch run raises last: causes found by eval, insights recalled by memory."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    home: Path
    lake: Lake
    report: RunReport
    truth: dict[str, object]
    instance: dg.DagsterInstance


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo client, run once for all tests here."""
    from liftos_pipelines.definitions import build_defs

    home = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIFTOS_HOME", str(home))
        for name in ("LIFTOS_LAKE_URI", "LIFTOS_SPINE_URL", "LIFTOS_MLFLOW_URI", "LIFTOS_MLFLOW_ARTIFACTS"):
            patch.delenv(name, raising=False)
        folder = home / "clients" / "demo"
        truth = write_client(folder)
        as_told.prompts_before("demo", truth)
        with dg.DagsterInstance.local_temp(tempdir=str(tmp_path_factory.mktemp("instance"))) as instance:
            report = run_client("demo", defs=build_defs(), instance=instance, console=Console(quiet=True))
            yield Demo(home=home, lake=Lake(str(home / "lake")), report=report, truth=truth, instance=instance)


@pytest.fixture(scope="module")
def answered(demo: Demo) -> Demo:
    """The same with the gate asked, and what was raised last answered, as the reactions would."""
    from liftos_pipelines.definitions import build_defs

    demo.truth["gate"] = as_told.ask_the_gate("demo")
    report = run_client("demo", ANSWERS, defs=build_defs(), instance=demo.instance, console=Console(quiet=True))
    assert report.success, [asset for asset in report.assets if asset.status == "failed"]
    return demo


def test_every_asset_is_materialised_and_none_is_skipped(demo: Demo) -> None:
    wrong = {
        outcome.asset: outcome.message or outcome.status
        for outcome in demo.report.assets
        if outcome.status != "ok" and outcome.asset not in SKIPPED
    }
    assert wrong == {}
    assert demo.report.success
    for name in TABLES:
        if name != "eval/platform_trust":
            assert demo.lake.read("demo", name).height > 0 or name in MAY_BE_EMPTY, name


def test_a_mention_can_be_followed_to_the_stored_pattern(demo: Demo) -> None:
    """Flow 1: the alert that the module itself raised on the planted incident, to the pattern that memory keeps."""
    events = {event.event_id: event for event in open_spine().events("demo")}
    actions = [event for event in events.values() if event.type == "agent_action_initiated"]
    impacts = [event.event_id for event in events.values() if event.type == "causal_impact_identified"]
    assert actions
    chains = []
    for action in (event for event in actions if event.causation_id in impacts):
        impact = events[str(action.causation_id)]
        trigger = events[str(impact.causation_id)]
        assert action.correlation_id == impact.correlation_id == trigger.correlation_id
        chains.append((trigger, impact, action))
    (alert,) = demo.lake.read("demo", "sentiment/alerts").filter(
        pl.col("campaign_id") == INCIDENT.campaign_id,
        pl.col("detected_at").dt.date().is_between(INCIDENT.start, INCIDENT.end),
    )["alert_id"]
    own = [chain for chain in chains if getattr(chain[0].payload, "alert_id", None) == alert]
    assert {action.payload.action for _, _, action in own} >= {"open_ticket", "shift_budget"}  # type: ignore[attr-defined]
    harm: Any = own[0][1].payload
    assert harm.probability_harmful > 0.9
    assert harm.effect_high < 0
    stored = demo.lake.read("demo", "memory/items").filter(pl.col("kind") == "pattern")
    assert stored.height == len(actions)
    assert set(stored["source_key"]) >= {action.payload.action_id for _, _, action in own}  # type: ignore[attr-defined]
    chances = demo.lake.read("demo", "memory/patterns").filter(pl.col("query_id") == alert, ~pl.col("abstained"))
    assert "notify" in set(chances["action"])  # what truly helps when parcels are late
    steps = [step.kind for step in decision_chain(open_spine(), own[0][0].event_id).root.walk()]
    assert "decision" in steps
    for reaction, types in (
        ("causal/impact", ["sentiment_drop_detected"]),
        ("agentic/proposals", ["causal_impact_identified"]),
        ("memory/items", ["agent_action_initiated"]),
    ):
        assert open_spine().unhandled(reaction, types) == []


def test_the_ledger_holds_and_decisions_wait_or_ran_as_policy_says(demo: Demo) -> None:
    assert open_spine().verify_ledger("demo").verified
    proposals = demo.lake.read("demo", "agentic/proposals")
    assert set(proposals["status"]) <= {"executed", "awaiting_approval", "denied"}
    waiting = proposals.filter(pl.col("decision") == "needs_approval")
    assert len(open_spine().approvals("demo", "open")) == waiting.height


def test_a_campaign_that_began_ends_as_advice_a_budget_and_a_watched_prediction(answered: Demo) -> None:
    """Flow 2, from campaigns.csv: history, insights held against Causal, advice, budgets, outlook, eval."""
    spine, read = open_spine(), lambda name: answered.lake.read("demo", name)
    started = [e for e in spine.events("demo", ["campaign_started"]) if e.payload.campaign_id == NEWEST]  # type: ignore[attr-defined]
    (recalled,) = [e for e in spine.events("demo", ["insights_recalled"]) if e.causation_id == started[0].event_id]
    assert recalled.correlation_id == started[0].correlation_id
    insights = read("memory/insights")
    agreed = insights.filter(pl.col("campaign_id") == NEWEST, pl.col("validated").fill_null(False))
    assert recalled.payload.validated == agreed.height >= 1  # type: ignore[attr-defined]
    # Whatever moves spend was validated or contradicted rightly: known from the world's own response.
    truth: Any = answered.truth
    moves = truth["memory"]["spend"]["actions"]
    judged = insights.filter(pl.col("action").is_in(list(moves)), pl.col("validated").is_not_null())
    assert judged["validated"].n_unique() == 2, "validation has to let some through and stop some"
    for row in judged.iter_rows(named=True):
        gains = moves[row["action"]]["net_gain_now"] > 0
        assert row["validated"] == (gains == (row["p_success"] > 0.5)), row
    advice = read("surfacing/recommendations").filter(pl.col("kind") == "insight", pl.col("target") == NEWEST)
    assert set(advice["source_pattern"]) & set(read("memory/patterns")["pattern_id"])
    suggested = read("causal/budget_suggestions")
    assert set(suggested["insight_id"]) <= set(agreed["insight_id"])
    assert suggested.height >= 1
    (outlook,) = read("causal/campaign_outlook").filter(pl.col("campaign_id") == NEWEST).to_dicts()
    assert outlook["status"] == "ok"
    watched = read("eval/predictions").filter(pl.col("module") == "causal", pl.col("subject") == NEWEST)
    assert {outlook["expected"], outlook["outcome"]} == set(watched["predicted"])
    assert set(read("eval/predictions").filter(pl.col("module") == "memory")["subject"]) >= set(agreed["insight_id"])
    assert spine.unhandled("memory/patterns", ["campaign_started"]) == []
    for reaction in ("surfacing/recommendations", "causal/campaigns"):
        assert spine.unhandled(reaction, ["insights_recalled"]) == []


def test_degraded_trust_ends_as_a_named_cause_and_a_proposed_remedy(answered: Demo) -> None:
    """Flow 3, from what eval itself found in the demo's data."""
    spine = open_spine()
    degraded = spine.events("demo", ["trust_degraded"])
    assert degraded
    causes = answered.lake.read("demo", "eval/root_causes")
    for event in degraded:
        (named,) = [e for e in spine.events("demo", ["root_cause_identified"]) if e.causation_id == event.event_id]
        found: Any = named.payload
        assert found.incident_id in set(causes["incident_id"])
        (entry,) = [e for e in spine.ledger("demo", kinds=["root_cause"]) if e.content["event_id"] == event.event_id]
        assert entry.content["incident_id"] == found.incident_id
        actions = [e for e in spine.events("demo", ["agent_action_initiated"]) if e.causation_id == named.event_id]
        assert actions, "no remedy was proposed"
        assert {action.correlation_id for action in actions} == {event.correlation_id}
        assert "decision" in [step.kind for step in decision_chain(spine, event.event_id).root.walk()]
    assert spine.unhandled("eval/root_causes", ["trust_degraded"]) == []
    assert spine.unhandled("agentic/proposals", ["root_cause_identified"]) == []


def test_what_is_found_agrees_with_what_is_true(answered: Demo) -> None:
    found = findings(lambda name: answered.lake.read("demo", name), answered.truth)
    by_module = {finding.module for finding in found}
    assert by_module >= {"causal", "sentiment", "surfacing", "llm", "agentic", "memory", "eval"}
    misses = [finding for finding in found if finding.verdict == "misses"]
    agrees = [finding for finding in found if finding.verdict == "agrees"]
    # An honest 90 % interval misses now and then; a broken module misses much more.
    assert len(agrees) >= 70, misses
    assert len(misses) <= 10, misses


def test_a_better_prompt_serves_once_a_person_consents(answered: Demo) -> None:
    """From recorded calls to a moved alias: experiment, event, proposal, one consent, and nothing before it."""
    from liftos_pipelines.definitions import build_defs

    tried: Any = answered.truth["llm"]["experiment"]  # type: ignore[index]
    registry = PromptRegistry(settings.mlflow_uri(), "demo")
    numbers = {each.label: each.version for each in registry.versions(tried["prompt_name"])}
    assert registry.alias(tried["prompt_name"], "production") == numbers[tried["control"]]
    waiting = [each for each in open_spine().approvals("demo", "open") if each.action == "promote"]
    (asked,) = [each for each in waiting if json.loads(each.arguments)["name"] == tried["prompt_name"]]
    open_spine().decide_approval(
        "demo", asked.approval_id, given=True, approver="ada", reason="customers like it", now=datetime.now(UTC)
    )
    # What tells of the executed action follows it.
    told = "agentic/proposals,agentic/outcomes,agentic/coordination,agentic/ledger_audit"
    report = run_client("demo", told, defs=build_defs(), instance=answered.instance, console=Console(quiet=True))
    assert report.success
    assert registry.alias(tried["prompt_name"], "production") == numbers[tried["better"]]
    # What had become worse was taken back without a hand.
    fell: Any = answered.truth["llm"]["regression"]  # type: ignore[index]
    labels = {each.version: each.label for each in registry.versions(fell["prompt_name"])}
    assert labels[registry.alias(fell["prompt_name"], "production")] == fell["previous"]  # type: ignore[index]


def test_checks_stand_in_dagsters_event_log(demo: Demo) -> None:
    assert len(demo.report.checks) > 100
    blocking = [check for check in demo.report.checks if check.blocking and check.severity == "ERROR"]
    assert all(check.passed for check in blocking)


def tables_of(lake: Lake, modules: tuple[str, ...]) -> dict[str, pl.DataFrame]:
    """Contract columns of each table, in order of the key; columns that tell the time of the run left out."""
    clock = {"age_hours", "recorded_at", "proposed_at", "registered_at", "imported_at"}
    # Who serves is a person's or the responder's doing: an alias may have moved since.
    clock |= {"aliases"}
    out = {}
    for name, contract in TABLES.items():
        # Suggestions rest on what memory has learned, which is more after each run.
        if name.split("/")[0] in modules and name != "llm/suggestions" and lake.exists("demo", name):
            columns = [column for column in contract.columns if column not in clock]
            key = [column for column in contract.key if column not in clock]
            out[name] = lake.read("demo", name).select(columns).sort(key)
    return out


def same(first: pl.DataFrame, second: pl.DataFrame, name: str) -> None:
    """Equal but for the last digits of sums, whose order threads decide."""
    try:
        assert_frame_equal(first, second, rel_tol=1e-9, abs_tol=1e-12)
    except AssertionError as error:
        raise AssertionError(f"{name} differs: {error}") from error


def test_a_rerun_gives_the_same_tables_and_raises_nothing_new(answered: Demo) -> None:
    from liftos_pipelines.definitions import build_defs

    demo, modules = answered, ("sources", "sentiment", "surfacing", "llm", "agentic")
    before, events = tables_of(demo.lake, modules), len(open_spine().events("demo"))
    sources = {name: demo.lake.version("demo", name) for name in TABLES if name.startswith("sources/")}
    ledger = open_spine().verify_ledger("demo").entries
    report = run_client("demo", CHEAP, defs=build_defs(), instance=demo.instance, console=Console(quiet=True))
    assert report.success
    after = tables_of(demo.lake, modules)
    for name, frame in before.items():
        same(frame, after[name], name)
    assert len(open_spine().events("demo")) == events
    assert open_spine().verify_ledger("demo").entries == ledger
    assert {name: demo.lake.version("demo", name) for name in sources} == sources


def test_a_run_killed_half_way_and_run_again_gives_the_same_tables(demo: Demo, tmp_path: Path) -> None:
    wanted = tables_of(demo.lake, ("sources", "surfacing", "llm"))
    folder = tmp_path / "clients" / "demo"
    write_client(folder)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("LIFTOS_", "DAGSTER_"))}
    environment["LIFTOS_HOME"] = str(tmp_path)
    command = [
        Path(sys.executable).parent / "liftos",
        "run",
        "demo",
        "--select",
        "sources/*,sentiment/model,surfacing/*,llm/*",
    ]
    killed = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lake = Lake(str(tmp_path / "lake"))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not lake.exists("demo", "sources/llm_calls"):
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not lake.exists("demo", "surfacing/visibility"), "the run was over before it was killed"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
    again = tables_of(lake, ("sources", "surfacing", "llm"))
    assert set(again) >= {"sources/mentions", "surfacing/visibility", "llm/experiments"}
    of_memory = demo.lake.read("demo", "memory/patterns")["pattern_id"].to_list()
    for name, frame in again.items():
        before = wanted[name]
        if name == "llm/claims":  # without Causal, which was not part of this run, nothing is known of channels
            continue
        if name == "surfacing/recommendations":  # memory, which gives its own advice, was not part of this run
            before = before.filter(~pl.col("source_pattern").is_in(of_memory))
        same(frame, before, name)


def test_results_can_be_shown_recalled_and_exported(demo: Demo) -> None:
    binary = Path(sys.executable).parent / "liftos"
    environment = os.environ | {"LIFTOS_HOME": str(demo.home), "LIFTOS_DAGSTER_STORAGE": str(demo.home / "dagster")}

    def liftos(*arguments: str) -> str:
        done = subprocess.run([binary, *arguments], env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    rows = json.loads(liftos("show", "demo", "causal/channel_results", "--format", "json"))
    assert {row["channel"] for row in rows} >= {"tv", "search", "social", "video", "display"}
    hits = [
        json.loads(line)
        for line in liftos("recall", "demo", "parcels came late and nobody answered", "-k", "3", "--json").splitlines()
    ]
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    assert "holds" in liftos("ledger", "verify", "demo")
    assert "sentiment_drop_detected" in liftos("events", "list", "demo")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def angry_mentions(folder: Path) -> None:
    """Two weeks after the last day of the data in which one campaign is torn apart."""
    said = (
        "Terrible delivery, my parcel never came and nobody answers",
        "Worst support ever, I am so angry about this order",
        "Awful quality, it broke on the first day, never again",
    )
    rng = np.random.default_rng(1)
    start = datetime(2025, 12, 29, tzinfo=UTC)
    rows = [
        {
            "mention_id": f"angry-{day}-{number}",
            "published_at": start + timedelta(days=day, minutes=20 * number),
            "source": str(rng.choice(["x", "reviews", "forum"])),
            "text": f"{said[number % 3]}, order {rng.integers(10_000)}",
            "author": f"someone{rng.integers(100_000)}",
            "language": "en",
            "campaign_id": "c24-club",
        }
        for day in range(14)
        for number in range(60)
    ]
    before = pl.read_parquet(folder / "data" / "mentions" / "2025.parquet").clear()
    pl.concat([before, pl.DataFrame(rows)], how="diagonal_relaxed").write_parquet(
        folder / "data" / "mentions" / "2026.parquet"
    )


def test_with_the_daemon_running_new_mentions_become_a_stored_pattern(demo: Demo) -> None:
    """Last here, because it adds to the client's data. `liftos up` runs the stock daemon and its sensors."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("LIFTOS_", "DAGSTER_"))}
    environment["LIFTOS_HOME"] = str(demo.home)
    done = subprocess.run(
        [Path(sys.executable).parent / "liftos", "run", "demo", "--select", "sources/notes"],
        env=environment,
        timeout=120,
    )
    assert done.returncode == 0  # the client is a partition of the instance that `liftos up` will use
    command = [
        str(Path(sys.executable).parent / "liftos"),
        "up",
        "--port",
        str(free_port()),
        "--mlflow-port",
        str(free_port()),
    ]
    spine = open_spine()
    known = {event.event_id for event in spine.events("demo")}
    services = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert services.stdout is not None
        said = []
        for line in services.stdout:
            said.append(line)
            if "Stop with Ctrl-C" in line:
                break
        assert sum("(ready)" in line for line in said) == 2, said
        # The sensor must have seen the files as they are before one is added.
        wait_until(lambda: "no file changed" in daemon_log(demo.home), 90, "the sensor new_files never ticked")
        angry_mentions(demo.home / "clients" / "demo")

        def stored() -> bool:
            new = [event for event in spine.events("demo") if event.event_id not in known]
            actions = [event for event in new if event.type == "agent_action_initiated"]
            return bool(actions) and all(spine.is_handled(action.event_id, "memory/items") for action in actions)

        wait_until(stored, 240, "no pattern was stored")
        types = [event.type for event in spine.events("demo") if event.event_id not in known]
        assert {"sentiment_drop_detected", "causal_impact_identified", "agent_action_initiated"} <= set(types)
    finally:
        services.terminate()
        code = services.wait(timeout=60)
    assert code == 0


def daemon_log(home: Path) -> str:
    file = home / "logs" / "dagster-daemon.log"
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


def wait_until(done: Callable[[], bool], seconds: float, complaint: str) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.5)
