"""Agentic: whose step made a run fail, who followed an injection, which traces lack something, what the gate said."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl

from liftos_pipelines.simulate.findings.finding import (
    Finding,
    Read,
    Truth,
    finding,
    holds,
    not_found,
    share,
    with_interval,
)
from liftos_pipelines.stats import wilson_interval

ATTRIBUTION, EVALUATION, TRACES = "agentic/failure_attribution", "agentic/evaluation", "agentic/trace_quality"
COORDINATION = "agentic/coordination"


def compare(read: Read, truth: Truth) -> list[Finding]:
    agentic = truth["agentic"]
    return [
        *_culprits(read(ATTRIBUTION), agentic),
        _resisted(read(EVALUATION), agentic["injected"]),
        *_faults(read(TRACES), agentic["trace_faults"]),
        *_gate(read(COORDINATION), truth.get("gate")),
    ]


def _culprits(attribution: pl.DataFrame, agentic: Truth) -> list[Finding]:
    """The likeliest step of each failed run, whether or not it stood out; above the best trivial rule with an interval."""
    true = {row["run_id"]: row for row in agentic["culprits"]}
    by = agentic["attribution_controls"]
    best = max(by["last"], by["most"], by["lot"])
    agent_beside = f"above the best trivial rule, {best:.0%} (always the usual culprit, which is not known: "
    agent_beside += f"{by['usual']:.0%})"
    step_beside = f"above a step by lot, {by['lot_step']:.0%}"
    what = ("the agent that made a team fail", "the step that made a team fail")
    named = {
        row["run_id"]: row
        for row in attribution.filter(pl.col("rank") == 1, pl.col("run_id").is_in(list(true))).iter_rows(named=True)
    }
    if not named:
        return [not_found(ATTRIBUTION, what[0], agent_beside), not_found(ATTRIBUTION, what[1], step_beside)]
    hits = Counter[str]()
    for run_id, row in true.items():
        said: dict[str, Any] = named.get(run_id, {})
        hits["agent"] += said.get("agent_id") == row["agent_id"]
        hits["step"] += said.get("step") == row["step"]
    sure = sum(row["verdict"] == "likely" for row in named.values())
    found = []
    for name, key, beside, control in (
        (what[0], "agent", agent_beside, best),
        (what[1], "step", step_beside, by["lot_step"]),
    ):
        low, _ = wilson_interval(hits[key], len(true))
        told = f"{share(hits[key], len(true))}; {sure} of them called likely"
        found.append(finding(ATTRIBUTION, name, told, beside, low > control))
    return found


def _resisted(evaluation: pl.DataFrame, true: Truth) -> Finding:
    what = f"injections that {true['agent_id']} followed"
    beside = f"{true['followed']:.0%} of {len(true['runs'])} runs that read one"
    rows = evaluation.filter(
        pl.col("agent_id") == true["agent_id"], pl.col("metric") == "injections_followed", pl.col("value").is_not_null()
    )
    if rows.is_empty():
        return not_found(EVALUATION, what, beside)
    row = rows.row(0, named=True)
    told = f"{with_interval(row['value'], row['low'], row['high'])} of {row['n']} runs"
    right = holds(row["low"], row["high"], true["followed"])
    return finding(EVALUATION, what, told, beside, None if right is None else right and row["n"] == len(true["runs"]))


def _faults(traces: pl.DataFrame, planted: Truth) -> list[Finding]:
    if traces.is_empty():
        return [not_found(TRACES, f"traces with a planted fault: {fault}", "all") for fault in planted]
    found = []
    for fault, runs in planted.items():
        said = set(traces.filter(pl.col("fault") == fault)["run_id"])
        hits, false = len(said & set(runs)), len(said - set(runs))
        told = f"{share(hits, len(runs))}, {false} other runs"
        right = hits == len(runs) and not false
        found.append(finding(TRACES, f"traces with a planted fault: {fault}", told, "all, and no other run", right))
    return found


def _gate(coordination: pl.DataFrame, gate: Truth | None) -> list[Finding]:
    """What the simulated agents asked of the real gate (`simulate.gate_traffic`); unknown where nobody asked."""
    what, beside = "what the gate answers", "as each request was planned"
    if gate is None:
        return [not_found(COORDINATION, what, beside)]
    asked = gate["asked"]
    wrong = [each for each in asked if each["answered"] != each["expected"]]
    told = share(len(asked) - len(wrong), len(asked))
    if wrong:
        told += "; not " + ", ".join(f"{row['what']} ({row['answered']})" for row in wrong[:5])
    found = [finding(COORDINATION, what, told, beside, not wrong)]
    what, beside = "two agents on one target", ", ".join(f"{n} {name}" for name, n in gate["coordination"].items())
    own = coordination.filter(pl.col("action_id").is_in(gate["decisions"]))
    if own.is_empty():
        return [*found, not_found(COORDINATION, what, beside)]
    told_apart = own.unique(["action_id", "outcome"])["outcome"].value_counts().sort("outcome")
    count = {name: n for name, n in told_apart.iter_rows() if name != "granted"}
    said = ", ".join(f"{n} {name}" for name, n in sorted(count.items()))
    return [*found, finding(COORDINATION, what, said, beside, count == gate["coordination"])]
