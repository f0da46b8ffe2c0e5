"""How fast a policy decides, what it finds on real traces, and how fast a changed one is tried on history."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from numpy.typing import NDArray

from liftos_pipelines.bench import tau_bench
from liftos_pipelines.bench.figure import Figure, NoData, p95_interval, unmeasured
from liftos_pipelines.modules.agentic.backtest import back_test
from liftos_pipelines.modules.agentic.engine import AgentHistory, PolicyEngine, RunHistory
from liftos_pipelines.modules.agentic.facts import AgentFacts, Call
from liftos_pipelines.modules.agentic.history import Machines
from liftos_pipelines.modules.agentic.policy import STRENGTH, Policy, parse_policy
from liftos_pipelines.modules.agentic.replay import replay
from liftos_pipelines.tables import table

BENCHMARK = "agentic"
AIRLINE = Path(__file__).with_name("airline_policy.yaml")
NOW = datetime(2024, 5, 15, 15, tzinfo=UTC)
"""The moment that tau-bench's airline lives in."""
STYLE = frozenset({"no_answer_beside_a_call", "one_call_at_a_time"})
"""Rules about how the agent talks; the others are about what it does to a reservation."""
TOOL_COUNT, SHORT, LONG = 20, 10, 300
AGENT = AgentFacts(agent_id="a", stage="live", type="budget_allocator", capabilities=frozenset({"*"}), budget=1e9)


def measure(data: Path) -> Iterator[Figure]:
    """Latency, findings on real traces, speed of a back-test."""
    yield from latency()
    yield from cedar_latency()
    try:
        yield from findings(data)
    except NoData as absent:
        yield unmeasured(BENCHMARK, "policy findings on real traces", "", str(absent))


def latency(seed: int = 7) -> Iterator[Figure]:
    """Wall time of one decision: arguments read, judged, noted; every rule asks about the very tool that is called."""
    for rules in (10, 100, 1000):
        for sequences in (False, True):
            policy = policy_of(rules, sequences=sequences, seed=seed)
            for length in (SHORT, LONG):
                taken = decisions(policy, length, runs=max(2, 1800 // length), seed=seed)
                slow = decisions(policy, length, runs=max(1, 120 // length), seed=seed, naive=True)
                yield from _latencies(taken, slow, rules, sequences, length)


def _latencies(
    taken: NDArray[np.float64], slow: NDArray[np.float64], rules: int, sequences: bool, length: int
) -> Iterator[Figure]:
    what = f"{rules} rules, {'30 % over sequences' if sequences else 'single-step'}, runs of {length} calls"
    p95, low, high = p95_interval(taken)
    goals = {(100, False): "< 0.1 ms", (100, True): "p95 < 1 ms"}
    for name, value, interval, goal in (
        ("p50", float(np.median(taken)), (None, None), goals.get((rules, sequences)) if not sequences else None),
        ("p95", p95, (low, high), goals.get((rules, sequences)) if sequences else None),
    ):
        yield Figure(
            benchmark=BENCHMARK,
            name=f"policy decision {name}: {what}",
            value=value,
            unit="ms",
            method="wall time of reading the arguments, judging and noting one call; rules all about the called tool",
            n=taken.size,
            low=interval[0],
            high=interval[1],
            goal=goal,
            baseline="every rule asked, the run read from its beginning",
            baseline_value=float(np.median(slow) if name == "p50" else np.percentile(slow, 95)),
        )


def decisions(policy: Policy, length: int, *, runs: int, seed: int, naive: bool = False) -> NDArray[np.float64]:
    """Milliseconds of each decision of some runs; messages and results stand between the calls."""
    rng, engine, taken = np.random.default_rng(seed), PolicyEngine(policy), []
    trackers = engine._machines.trackers
    for run in range(runs + 1):
        history = RunHistory(run_id=f"r{run}", agents=AgentHistory())
        for step in range(length):
            arguments = json.dumps(
                {"campaign": f"c{rng.integers(50)}", "amount": int(rng.integers(100)), "note": "weekly plan"}
            )
            tool = f"tool_{0 if rng.random() < 0.5 else rng.integers(TOOL_COUNT)}"
            at = NOW + timedelta(seconds=30 * step)
            began = time.perf_counter()
            call = engine.call(AGENT, tool, arguments, at, 0.01)
            assert not isinstance(call, str)
            if naive:
                history.catch_up(Machines(trackers))
                one_by_one(policy, call, history)
            verdict = engine.judge(call, history) if not naive else None
            engine.record(call, verdict or _allowed(policy), history)
            if run and tool == "tool_0":  # the first run fills the caches
                taken.append((time.perf_counter() - began) * 1000)
            history.note_result(
                tool, json.dumps({"campaign": f"c{rng.integers(50)}", "state": "open", "spent": step}), at
            )
            if step % 5 == 0:
                history.note_message("user: yes, go on", at)
    return np.array(taken)


def one_by_one(policy: Policy, call: Call, history: RunHistory) -> str:
    """The baseline: no rule left out, no weaker one skipped."""
    held = {
        rule.decision
        for rule in policy.rules
        if (said := rule.condition.holds(call, history)) or (said is None and rule.decision != "allow")
    }
    return max(held, key=STRENGTH.__getitem__, default="needs_approval")


def _allowed(policy: Policy) -> Any:
    from liftos_pipelines.modules.agentic.engine import Verdict

    return Verdict(decision="allow", policy="", reason="", policy_version=policy.version)


def policy_of(rules: int, *, sequences: bool, seed: int) -> Policy:
    """A policy of so many rules that all concern `tool_0`, few of which ever hold: each must be asked."""
    rng = np.random.default_rng(seed)
    single: list[Callable[[int], dict[str, Any]]] = [
        lambda i: {"arguments": {"campaign": {"equals": f"none-{i}"}}},
        lambda i: {"arguments": {"campaign": {"in": [f"none-{i}", f"nobody-{i}"]}}},
        lambda i: {"amount": {"above": 5000 + i}},
        lambda i: {"arguments": {"note": {"matches": f"secret-{i}"}}},
        lambda i: {"repeat": {"more_than": 2000 + i, "same_arguments": True}},
        lambda i: {"rate": {"more_than": 5000 + i, "per": "1h"}},
        lambda i: {"not_after": {"tool": "tool_0"}, "arguments": {"amount": {"above": 5000 + i}}},
        lambda i: {"last_message": {"matches": f"^user: stop {i}"}},
    ]
    agreed = {"message": {"matches": "yes"}}

    def large(i: int) -> dict[str, Any]:
        return {"arguments": {"amount": {"above": 5000 + i}}}

    def named(i: int) -> dict[str, Any]:
        return {"tool": f"tool_{i % TOOL_COUNT}"}

    def closed(i: int) -> dict[str, Any]:
        return {"state": {"equals": f"closed-{i}"}}

    over_a_run: list[Callable[[int], dict[str, Any]]] = [
        lambda i: {"sequence": {"steps": [named(i) | large(i), {"tool": "tool_*"}], "within": "10 steps"}},
        lambda i: {
            "sequence": {
                "steps": [named(i) | large(i), named(i // TOOL_COUNT), {"tool": "tool_0"}],
                "within": f"{5 + i} steps",
                "without": agreed,
                "same": ["campaign"],
            }
        },
        lambda i: {"count": {"of": {"tool": "tool_0"} | large(i), "more_than": 2, "within": "10m", "since": agreed}},
        lambda i: {"known": {"from": named(i)["tool"], "same": ["campaign"], "where": closed(i)}},
        lambda i: {"sum": {"of": {"tool": "tool_0"}, "above": 10_000_000 + i}},
    ]
    said = []
    for i in range(rules - 1):
        kinds = over_a_run if sequences and i % 10 < 3 else single
        when = {"tool": "tool_0"} if kinds is single else {}
        decision = "deny" if rng.random() < 0.7 else "needs_approval"
        said.append({"name": f"rule_{i}", "decision": decision, "when": when | kinds[i % len(kinds)](i)})
    said.append({"name": "rest", "decision": "allow", "when": {"tool": "*"}})
    tools = {f"tool_{i}": {"reversible": True, "amount": "amount"} for i in range(TOOL_COUNT)}
    return parse_policy({"name": "bench", "tools": tools, "rules": said}, file="bench")


def cedar_latency() -> Iterator[Figure]:
    """The same kind of single-step rules in Cedar, judged through our guards."""
    import tempfile

    from liftos_pipelines.resources.policy_files import read_policy

    try:
        import cedarpy  # noqa: F401
    except ImportError:
        yield unmeasured(BENCHMARK, "Cedar decision", "ms", "cedarpy is not installed")
        return
    for rules in (10, 100):
        text = ['@id("rest") permit(principal, action, resource);']
        for i in range(rules - 1):
            condition = (f'context.arguments.campaign == "none-{i}"', f"context.amount_cents > {500_000 + i}")[i % 2]
            text.append(
                f'@id("rule_{i}") forbid(principal, action == Action::"shift_budget", resource) when {{ {condition} }};'
            )
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "bench.cedar"
            file.write_text("\n".join(text))
            engine = PolicyEngine(read_policy(file))
        taken = []
        for run in range(40):
            history = RunHistory(run_id=f"r{run}", agents=AgentHistory())
            for step in range(SHORT):
                began = time.perf_counter()
                call = engine.call(AGENT, "shift_budget", f'{{"amount": {step}, "campaign": "c{run}"}}', NOW, 0.01)
                assert not isinstance(call, str)
                verdict = engine.judge(call, history)
                assert verdict.decision == "allow", verdict
                engine.record(call, verdict, history)
                taken.append((time.perf_counter() - began) * 1000)
        sample = np.array(taken[SHORT:])
        p95, low, high = p95_interval(sample)
        for name, value, interval in (("p50", float(np.median(sample)), (None, None)), ("p95", p95, (low, high))):
            yield Figure(
                benchmark=BENCHMARK,
                name=f"Cedar decision {name}: {rules} policies",
                value=value,
                unit="ms",
                method="as above, through cedarpy with parsed policies",
                n=sample.size,
                low=interval[0],
                high=interval[1],
            )


def findings(data: Path, seed: int = 7) -> Iterator[Figure]:
    """tau-bench's airline agent under the rules it was given: violations by rule, and what they go with."""
    steps = airline(data)
    policy = parse_policy(yaml.safe_load(AIRLINE.read_text(encoding="utf-8")), file=AIRLINE.name)
    judged = replay(steps, table("sources/agents").empty(), policy).decisions
    source = "replay of tau-bench airline (gpt-4o, 50 tasks x 4) under bench/airline_policy.yaml"
    denied = (
        judged.filter(pl.col("decision") == "deny").with_columns(pl.col("policy").str.split(", ")).explode("policy")
    )
    counts = denied.group_by("policy").agg(pl.len().alias("calls"), pl.col("run_id").n_unique().alias("runs"))
    for rule, calls, runs in counts.sort("calls", "policy", descending=[True, False]).iter_rows():
        method = f"{source}; calls denied by this rule, in {runs} of 200 runs"
        yield Figure(
            benchmark=BENCHMARK,
            name=f"tau-bench violations: {rule}",
            value=float(calls),
            unit="calls",
            method=method,
            n=judged.height,
        )
    outcomes = steps.filter(pl.col("kind") == "outcome").select("run_id", pl.col("reward") >= 0.5)
    for name, rules in (
        ("any rule about a reservation or payment", set(counts["policy"]) - STYLE),
        ("how the agent talks", STYLE),
    ):
        bad = set(denied.filter(pl.col("policy").is_in(list(rules)))["run_id"])
        marked = outcomes.with_columns(
            pl.col("run_id").is_in(list(bad)).alias("violated"), pl.col("run_id").str.extract(r"^(.*)#").alias("task")
        )
        value, low, high = success_difference(marked, seed)
        yield Figure(
            benchmark=BENCHMARK,
            name=f"tau-bench success of runs that violate {name}, minus that of the others",
            value=value,
            unit="",
            method=f"{source}; 90 % interval, bootstrap over tasks; {len(bad)} runs violate",
            n=marked.height,
            low=low,
            high=high,
        )
    yield back_test_speed(steps, policy)


def success_difference(marked: pl.DataFrame, seed: int, replicates: int = 2000) -> tuple[float, float, float]:
    """Success where `violated` minus elsewhere, with a 90 % interval over whole tasks (`run_id`, `task`, `reward`)."""
    columns = [
        marked["violated"] & marked["reward"],
        marked["violated"],
        ~marked["violated"] & marked["reward"],
        ~marked["violated"],
    ]
    cells = (
        marked.select("task", *(column.cast(pl.Float64).alias(str(i)) for i, column in enumerate(columns)))
        .group_by("task", maintain_order=True)
        .sum()
        .drop("task")
        .to_numpy()
    )

    def difference(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(sums[..., 0] / sums[..., 1] - sums[..., 2] / sums[..., 3])

    rng = np.random.default_rng(seed)
    drawn = cells[rng.integers(len(cells), size=(replicates, len(cells)))].sum(axis=1)
    low, high = np.nanpercentile(difference(drawn), [5, 95])
    return float(difference(cells.sum(axis=0))), float(low), float(high)


def back_test_speed(steps: pl.DataFrame, policy: Policy) -> Figure:
    """Decisions tried per second, both policies counted once."""
    began = time.perf_counter()
    found = back_test(steps, table("sources/agents").empty(), policy, policy)
    taken = time.perf_counter() - began
    assert found.changes.is_empty()
    return Figure(
        benchmark=BENCHMARK,
        name="back-test speed",
        value=found.judged / taken,
        unit="decisions/s",
        method="both policies replayed over tau-bench airline with results and messages, 20 rules",
        n=found.judged,
    )


def airline(data: Path) -> pl.DataFrame:
    """The runs at the moment they play in, for rules on how old a booking is."""
    steps = tau_bench.airline_steps(tau_bench.airline_file(data))
    return steps.with_columns((pl.lit(NOW) + pl.duration(seconds=pl.col("step"))).cast(steps.schema["at"]).alias("at"))
