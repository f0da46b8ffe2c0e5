"""Agentic: violations, success rates, rollouts, what was proposed of versions, data quality, the ledger, the gate."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from liftos_pipelines.simulate.findings.finding import Finding, Read, Truth, coverage, finding, not_found, share

DECISIONS, PERFORMANCE, LEDGER = "agentic/policy_decisions", "agentic/performance", "agentic/ledger_audit"
ROLLOUTS, PROPOSALS, OUTCOMES = "agentic/rollouts", "agentic/proposals", "agentic/outcomes"
QUALITY = "agentic/data_quality"
FALSE_ALARMS = 0.05
MOVED_TO = {"promote": "live", "rollback": "shadow"}
"""Where a canary is once its decision was carried out."""
WAITS, DONE = ("awaiting_approval", "executed"), ("executed",)
"""What waits for a person may have been approved since; what needs none was done."""


def compare(read: Read, truth: Truth) -> list[Finding]:
    agentic = truth["agentic"]
    return [
        *_violations(read(DECISIONS), agentic),
        *_success(read(PERFORMANCE), agentic),
        *_rollouts(read(ROLLOUTS), agentic),
        *_proposed(read(PROPOSALS), truth),
        _outcomes(read(OUTCOMES)),
        *_quality(read(QUALITY), truth),
        *_ledger(read(LEDGER)),
    ]


def _violations(decisions: pl.DataFrame, agentic: Truth) -> list[Finding]:
    """A violation is found when it is denied. Asking a person is no verdict: the default policy asks for whatever
    cannot be undone, and how often it does so was not planted."""
    planted = {run for runs in agentic["violations"].values() for run in runs}
    if decisions.is_empty():
        return [not_found(DECISIONS, "runs with a planted violation", f"{len(planted)} of {agentic['runs']}")]
    denied = set(decisions.filter(pl.col("decision") == "deny")["run_id"])
    found = []
    for kind, runs in agentic["violations"].items():
        hits = sum(run in denied for run in runs)
        found.append(
            finding(DECISIONS, f"planted runs denied: {kind}", share(hits, len(runs)), "all", hits == len(runs))
        )
    clean = set(decisions["run_id"]) - planted
    false = len(clean & denied)
    found.append(
        finding(
            DECISIONS,
            "clean runs denied",
            share(false, len(clean)),
            f"none; goal at most {FALSE_ALARMS:.0%}",
            false / len(clean) <= FALSE_ALARMS if clean else None,
        )
    )
    asked = set(decisions.filter(pl.col("decision") == "needs_approval")["run_id"]) - denied
    found.append(
        finding(
            DECISIONS, "clean runs that wait for a person", share(len(clean & asked), len(clean)), "not planted", None
        )
    )
    return found


def _success(performance: pl.DataFrame, agentic: Truth) -> list[Finding]:
    """True rates beside pooled counts and, per row, beside the module's own intervals."""
    better = agentic["better_version"]
    what, beside = "the better version of the pacer", f"{better['version']} over {better['than']}"
    measured = performance.filter(pl.col("low").is_not_null())
    if measured.is_empty():
        return [not_found(PERFORMANCE, what, beside)]
    held = [
        row["low"] <= agentic["success"][row["agent_id"]]["true_rate"] <= row["high"]
        for row in measured.iter_rows(named=True)
        if row["agent_id"] in agentic["success"]
    ]
    weight = pl.col("success_rate") * pl.col("runs")
    rates = {
        row["agent_id"]: row["rate"]
        for row in measured.group_by("agent_id").agg(rate=weight.sum() / pl.col("runs").sum()).iter_rows(named=True)
    }
    old, new = rates.get("pacer"), rates.get(better["agent_id"])
    found = [coverage(PERFORMANCE, "success rates, all agents and periods", held)]
    if old is None or new is None:
        return [*found, not_found(PERFORMANCE, what, beside)]
    return [
        *found,
        finding(PERFORMANCE, what, f"{better['version']}: {new:.0%}, {better['than']}: {old:.0%}", beside, new > old),
    ]


def _rollouts(rollouts: pl.DataFrame, agentic: Truth) -> list[Finding]:
    found = []
    for true in (agentic["better_version"], agentic["worse_version"]):
        what = f"{true['agent_id']} {true['version']} beside {true['than']}"
        rows = rollouts.filter(pl.col("agent_id") == true["agent_id"], pl.col("to_version") == true["version"])
        if rows.is_empty():
            found.append(not_found(ROLLOUTS, what, true["decision"]))
            continue
        row = rows.row(0, named=True)
        # A version that was moved is judged anew, by its runs since then.
        moved = row["stage"] == MOVED_TO[true["decision"]]
        told = f"{row['decision']}, now {row['stage']}" if moved else str(row["decision"])
        found.append(finding(ROLLOUTS, what, told, true["decision"], moved or row["decision"] == true["decision"]))
    return found


def _proposed(proposals: pl.DataFrame, truth: Truth) -> list[Finding]:
    llm, agentic = truth["llm"], truth["agentic"]
    better, worse = agentic["better_version"], agentic["worse_version"]
    tried, fell = llm["experiment"], llm["regression"]
    slower = llm["slower"]
    wanted: list[tuple[str, str, dict[str, Any], tuple[str, ...], str]] = [
        ("the better prompt", "promote", {"name": tried["prompt_name"], "to_version": tried["better"]}, WAITS,
         "its promotion waits for a person"),
        ("the worse prompt", "rollback", {"name": fell["prompt_name"], "to_version": fell["previous"]}, DONE,
         "taken back without a hand"),
        ("the slower variant", "open_ticket", {"name": slower["prompt_name"]}, DONE,
         "a ticket: a variant is no version that could be taken back"),
        ("the better agent", "move_agent", {"agent_id": better["agent_id"], "to_stage": "live"}, WAITS,
         "its promotion waits for a person"),
        ("the worse agent", "move_agent", {"agent_id": worse["agent_id"], "to_stage": "shadow"}, DONE,
         "in the shadow without a hand"),
    ]  # fmt: skip
    found = []
    for what, action, arguments, status, beside in wanted:
        name = f"what is done about {what}"
        if proposals.is_empty():
            found.append(not_found(PROPOSALS, name, beside))
            continue
        rows = [
            row
            for row in proposals.filter(pl.col("action") == action).iter_rows(named=True)
            if arguments.items() <= json.loads(row["arguments"] or "{}").items()
        ]
        told = ", ".join(f"{row['action']}: {row['status']}" for row in rows) or "nothing was proposed"
        found.append(finding(PROPOSALS, name, told, beside, bool(rows) and all(r["status"] in status for r in rows)))
    return found


def _outcomes(outcomes: pl.DataFrame) -> Finding:
    """The world ends before anything is done in it: what actions come to is measured by nobody here."""
    what, beside = "what came of actions", "nothing yet: four weeks of data after each are wanted"
    if outcomes.is_empty():
        return not_found(OUTCOMES, what, beside)
    count = dict(outcomes["status"].value_counts().sort("status").iter_rows())
    told = ", ".join(f"{number} {status}" for status, number in count.items())
    return finding(OUTCOMES, what, told, beside, "measured" not in count)


def _quality(quality: pl.DataFrame, truth: Truth) -> list[Finding]:
    planted = (
        ("costs billed twice", "sources/llm_calls", "accuracy", len(truth["llm"]["cost"]["billed_twice"])),
        ("steps given twice", "sources/agent_steps", "uniqueness", truth["agentic"]["steps_given_twice"]),
    )
    found = []
    for what, dataset, dimension, number in planted:
        rows = quality.filter(pl.col("dataset") == dataset, pl.col("dimension") == dimension).drop_nulls("score")
        if rows.is_empty():
            found.append(not_found(QUALITY, what, str(number)))
            continue
        row = rows.row(0, named=True)
        counted = round(row["n"] * (1 - row["score"]))
        found.append(finding(QUALITY, what, f"{counted} of {row['n']:,}", str(number), counted == number))
    return found


def _ledger(audit: pl.DataFrame) -> list[Finding]:
    what, beside = "the ledger's chain", "nobody tampered with it"
    if audit.is_empty():
        return [not_found(LEDGER, what, beside)]
    row = audit.row(audit.height - 1, named=True)
    told = "verified" if row["verified"] else f"broken at entry {row['first_bad_entry']}"
    found = [finding(LEDGER, what, f"{told}, {row['entries']:,} entries", beside, row["verified"])]
    signed = row.get("signed")
    if signed is not None:
        under = f"{row.get('signed_entries') or 0:,} of {row['entries']:,} entries signed"
        found.append(finding(LEDGER, "the ledger's signatures", under, "all of it, by this house's key", bool(signed)))
    return found
