"""LLM and agentic: unsupported claims, the better variant, violations, success rates, the ledger."""

from __future__ import annotations

import polars as pl

from liftos_pipelines.simulate.findings.finding import (
    Finding,
    Read,
    Truth,
    coverage,
    finding,
    holds,
    not_found,
    share,
    with_interval,
)

SCORES, EXPERIMENTS = "llm/call_scores", "llm/experiments"
DECISIONS, PERFORMANCE, LEDGER = "agentic/policy_decisions", "agentic/performance", "agentic/ledger_audit"
RECALL, FALSE_ALARMS = 0.95, 0.05
"""Goals for planted numbers and names (llm/call_scores) and for planted violations (agentic/policy_decisions)."""


def compare_llm(read: Read, truth: Truth) -> list[Finding]:
    return [*_claims(read(SCORES), truth["llm"]), *_experiment(read(EXPERIMENTS), truth["llm"]["experiment"])]


def compare_agentic(read: Read, truth: Truth) -> list[Finding]:
    return [
        *_violations(read(DECISIONS), truth["agentic"]),
        *_success(read(PERFORMANCE), truth["agentic"]),
        _ledger(read(LEDGER)),
    ]


def _claims(scores: pl.DataFrame, llm: Truth) -> list[Finding]:
    kinds = {row["call_id"]: row["kind"] for row in llm["planted"]}
    if scores.is_empty():
        return [not_found(SCORES, "calls with a planted claim", f"{len(kinds)} of {llm['calls']}")]
    spans = pl.col("ungrounded_spans").list.len().fill_null(0) + pl.col("numeric_conflicts").list.len().fill_null(0)
    flagged = set(scores.filter(spans > 0)["call_id"])
    found = []
    for kind in sorted(set(kinds.values())):
        planted = [call_id for call_id, own in kinds.items() if own == kind]
        hits = sum(call_id in flagged for call_id in planted)
        found.append(
            finding(
                SCORES,
                f"planted calls flagged: {kind}",
                share(hits, len(planted)),
                f"all; goal {RECALL:.0%}",
                hits / len(planted) >= RECALL,
            )
        )
    clean = scores.filter(~pl.col("call_id").is_in(list(kinds)))
    false = sum(call_id in flagged for call_id in clean["call_id"])
    found.append(
        finding(
            SCORES,
            "supported calls flagged",
            share(false, clean.height),
            f"none; goal at most {FALSE_ALARMS:.0%}",
            None if clean.is_empty() else false / clean.height <= FALSE_ALARMS,
        )
    )
    return found


def _experiment(experiments: pl.DataFrame, true: Truth) -> list[Finding]:
    """Estimate and decision apart: a decision may be right where an interval is unlucky."""
    what, difference = "variant B of product_answer: feedback", true["feedback_positive_difference"]
    rows = experiments.filter(
        pl.col("experiment").str.contains(true["prompt_name"]),
        pl.col("metric").str.contains("feedback"),
        pl.col("variant_a") == "A",
        pl.col("variant_b") == "B",
    )
    if rows.is_empty():
        return [not_found(EXPERIMENTS, what, f"B better by {difference:+.2f} of positive feedback")]
    row = rows.row(0, named=True)
    if "positive" not in row["metric"]:
        difference = true["feedback_mean_difference"]
    return [
        finding(
            EXPERIMENTS,
            what,
            with_interval(row["estimate"], row["low"], row["high"]),
            f"{difference:+.2f}",
            holds(row["low"], row["high"], difference),
        ),
        finding(
            EXPERIMENTS,
            "variant B of product_answer: decision",
            str(row["decision"]),
            "ship_b",
            row["decision"] == "ship_b",
        ),
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


def _ledger(audit: pl.DataFrame) -> Finding:
    what, beside = "the ledger's chain", "nobody tampered with it"
    if audit.is_empty():
        return not_found(LEDGER, what, beside)
    row = audit.row(audit.height - 1, named=True)
    found = "verified" if row["verified"] else f"broken at entry {row['first_bad_entry']}"
    return finding(LEDGER, what, f"{found}, {row['entries']:,} entries", beside, row["verified"])
