"""LLM: unsupported claims, experiments, versions that got better or worse, prompts, traces and cost."""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from liftos_pipelines.modules.llm.prices import total
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

SCORES, EXPERIMENTS, REGRESSIONS = "llm/call_scores", "llm/experiments", "llm/regressions"
LEADERBOARD, SUGGESTIONS = "llm/leaderboard", "llm/suggestions"
PROMPTS, TRACES, CALLS = "llm/prompts", "llm/traces", "sources/llm_calls"
RECALL, FALSE_ALARMS = 0.95, 0.05
"""Goals for planted numbers and names."""


def compare(read: Read, truth: Truth) -> list[Finding]:
    llm = truth["llm"]
    scores, experiments = read(SCORES), read(EXPERIMENTS)
    return [
        *_claims(scores, llm),
        *_experiment(experiments, llm["experiment"]),
        _slower(experiments, llm["slower"]),
        *_regressions(read(REGRESSIONS), llm),
        *_best(read(LEADERBOARD), llm),
        _suggested(read(SUGGESTIONS), llm),
        *_prompts(read(PROMPTS), llm),
        _traces(read(TRACES), read(CALLS)),
        _cost(scores, llm["cost"]),
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
        what, right = f"planted calls flagged: {kind}", hits / len(planted) >= RECALL
        found.append(finding(SCORES, what, share(hits, len(planted)), f"all; goal {RECALL:.0%}", right))
    clean = scores.filter(~pl.col("call_id").is_in(list(kinds)))["call_id"]
    written = tuple(f"{name[:2]}-" for name in llm["content_prompts"])
    content = [call_id for call_id in clean if call_id.startswith(written)]
    answers = [call_id for call_id in clean if not call_id.startswith(written)]
    for what, calls in (("supported answers flagged", answers), ("supported advertisements, e-mails flagged", content)):
        false = sum(call_id in flagged for call_id in calls)
        right_ = false / len(calls) <= FALSE_ALARMS if calls else None
        found.append(finding(SCORES, what, share(false, len(calls)), f"none; goal at most {FALSE_ALARMS:.0%}", right_))
    return found


def _experiment(experiments: pl.DataFrame, true: Truth) -> list[Finding]:
    """Estimate and decision apart: a decision may be right where an interval is unlucky."""
    name, better = true["prompt_name"], true["better"]
    what, difference = f"version {better} of {name}: feedback", true["feedback_positive_difference"]
    rows = experiments.filter(
        pl.col("experiment") == true["experiment"],
        pl.col("metric") == "feedback_positive",
        pl.col("variant_a") == true["control"],
        pl.col("variant_b") == better,
    )
    if rows.is_empty():
        return [not_found(EXPERIMENTS, what, f"{better} better by {difference:+.2f} of positive feedback")]
    row = rows.row(0, named=True)
    estimate = with_interval(row["estimate"], row["low"], row["high"])
    held = holds(row["low"], row["high"], difference)
    decided = row["decision"] == true["decision"]
    return [
        finding(EXPERIMENTS, what, estimate, f"{difference:+.2f}", held),
        finding(EXPERIMENTS, f"version {better} of {name}: decision", str(row["decision"]), true["decision"], decided),
    ]


def _slower(experiments: pl.DataFrame, true: Truth) -> Finding:
    what = f"variant B of {true['prompt_name']}: decision"
    beside = f"{true['decision']}: {true['latency_median_ratio'] - 1:.0%} slower, no better"
    rows = experiments.filter(
        pl.col("experiment") == true["experiment"], pl.col("metric") == "feedback_positive", pl.col("variant_b") == "B"
    )
    if rows.is_empty():
        return not_found(EXPERIMENTS, what, beside)
    decision = str(rows["decision"][0])
    return finding(EXPERIMENTS, what, decision, beside, decision == true["decision"])


def _regressions(regressions: pl.DataFrame, llm: Truth) -> list[Finding]:
    worse, same = llm["regression"], llm["no_regression"]
    found = []
    for true, beside in ((worse, f"worse since {worse['since']}"), (same, "not worse: it makes up less")):
        what = f"newest version of {true['prompt_name']}: {true['metric']}"
        rows = regressions.filter(pl.col("prompt_name") == true["prompt_name"], pl.col("metric") == true["metric"])
        if rows.is_empty():
            found.append(not_found(REGRESSIONS, what, beside))
            continue
        row = rows.row(0, named=True)
        told = f"{row['verdict']}: {with_interval(row['estimate'], row['low'], row['high'])}"
        found.append(finding(REGRESSIONS, what, told, beside, (row["verdict"] == "worse") == (true is worse)))
    return found


def _best(leaderboard: pl.DataFrame, llm: Truth) -> list[Finding]:
    found = []
    for use_case, (metric, version) in llm["best"].items():
        what, beside = f"best in {use_case} by {metric}", f"version {version}"
        rows = leaderboard.filter(
            pl.col("use_case") == use_case, pl.col("metric") == metric, pl.col("rank").is_not_null()
        ).sort("rank")
        if rows.is_empty():
            found.append(not_found(LEADERBOARD, what, beside))
            continue
        row = rows.row(0, named=True)
        told = f"version {row['prompt_version']}, rank {row['rank_low']} to {row['rank_high']}, P(best) "
        told += "unknown" if row["p_best"] is None else f"{row['p_best']:.2f}"
        found.append(finding(LEADERBOARD, what, told, beside, row["prompt_version"] == version))
    return found


def _suggested(suggestions: pl.DataFrame, llm: Truth) -> Finding:
    """What is suggested by what people like and by what the context supports; other metrics have no planted best."""
    what, metrics = "versions suggested", {metric for metric, _ in llm["best"].values()}
    better = llm["experiment"]["better"]
    back = llm["regression"]["previous"]
    beside = f"{llm['experiment']['prompt_name']} {better}, {llm['regression']['prompt_name']} {back}; no worse one"
    if suggestions.is_empty():
        return not_found(SUGGESTIONS, what, beside)
    own = suggestions.filter(pl.col("metric").is_in(list(metrics)), pl.col("kind") == "prompt")
    said = sorted(set(own["suggestion"]))
    right = (f"use {better} instead", f"{llm['experiment']['prompt_name']} {better} instead",
             f"{llm['regression']['prompt_name']} {back} instead")  # fmt: skip
    wrong = [text for text in said if not any(good in text for good in right) and "campaign_summary" not in text]
    named = [any(good in text for text in said) for good in right[1:]]
    return finding(SUGGESTIONS, what, "; ".join(said) or "none", beside, all(named) and not wrong)


def _prompts(prompts: pl.DataFrame, llm: Truth) -> list[Finding]:
    templates = {(name, label) for name, labels in llm["templates"].items() for label in labels}
    what, beside = "prompts registered", f"{len(templates)} versions of {len(llm['templates'])} prompts"
    if prompts.is_empty():
        return [not_found(PROMPTS, what, beside)]
    known = prompts.filter(pl.col("status") == "registered")
    there = set(known.select("prompt_name", "prompt_version").iter_rows())
    found = [finding(PROMPTS, what, f"{len(there & templates)} of {len(templates)}", beside, there == templates)]
    aliases = known.with_columns(pl.col("aliases").fill_null([]))
    serves = dict(
        aliases.filter(pl.col("aliases").list.contains("production")).select("prompt_name", "prompt_version").rows()
    )
    right = sum(serves.get(name) in labels for name, labels in llm["serving"].items())
    told = f"{right} of {len(llm['serving'])} as people set it"
    agrees = None if not serves else right == len(llm["serving"])
    found.append(finding(PROMPTS, "what production names", told if serves else "no alias is set", "as set", agrees))
    return found


def _traces(traces: pl.DataFrame, calls: pl.DataFrame) -> Finding:
    what, beside = "calls in MLflow with their own times", "every call"
    if traces.is_empty() or calls.is_empty():
        return not_found(TRACES, what, beside)
    both = calls.select("call_id", "called_at").join(traces, on="call_id", how="left")
    same = int((both["called_at"] == both["started_at"]).sum())
    return finding(TRACES, what, share(same, calls.height), beside, same == calls.height)


def _cost(scores: pl.DataFrame, true: Truth) -> Finding:
    what, beside = "cost of all calls, EUR", f"{true['total']} to the cent, by tokens and prices"
    spent = total(scores["cost"]) if scores.height else None
    if spent is None:
        return not_found(SCORES, what, beside)
    return finding(SCORES, what, str(spent), beside, spent == Decimal(true["total"]))
