"""Memory and eval: the action that has helped before, retrieval, the cause of the drop, trust."""

from __future__ import annotations

import polars as pl

from liftos_pipelines.simulate.findings.finding import (
    Finding,
    Read,
    Truth,
    finding,
    not_found,
    number,
    with_interval,
)

ITEMS, PATTERNS, QUALITY = "memory/items", "memory/patterns", "memory/retrieval_quality"
CAUSES, TRUST, DRIFT = "eval/root_causes", "eval/trust_scores", "eval/drift"
ALERT_KINDS = ("alert", "impact", "proposal")


def compare_memory(read: Read, truth: Truth) -> list[Finding]:
    memory, patterns = truth["memory"], read(PATTERNS)
    incident = _about(patterns, truth["incident"]["campaign_id"], ALERT_KINDS)
    started = _about(patterns, truth["new_campaign"], ("campaign",))
    return [
        _items(read(ITEMS), memory),
        _best_action(incident, "action for the incident", memory, memory["incident_kind"]),
        _best_action(started, "action for the new campaign", memory, memory["new_campaign_kind"]),
        _retrieval(read(QUALITY)),
    ]


def compare_eval(read: Read, truth: Truth) -> list[Finding]:
    trust, drift, campaign = read(TRUST), read(DRIFT), truth["incident"]["campaign_id"]
    causes = read(CAUSES)
    found = [_degraded(causes)]
    named = causes.filter(
        (pl.col("module") == "sentiment") & pl.col("contribution").is_not_null() & (pl.col("cause") != "unexplained")
    )
    if named.is_empty():
        found.append(not_found(CAUSES, "strongest cause of the sentiment drop", campaign))
    else:
        said = named.sort(pl.col("contribution").abs(), descending=True).row(0, named=True)
        found.append(
            finding(
                CAUSES,
                "strongest cause of the sentiment drop",
                f"{said['cause']}: {with_interval(said['contribution'], said['low'], said['high'])}",
                campaign,
                campaign in said["cause"],
            )
        )
    if trust.is_empty():
        found.append(not_found(TRUST, "service levels met", "not planted"))
    else:
        met = trust["met"].value_counts()
        counts = ", ".join(f"{n} {word}" for word, n in sorted(met.iter_rows()))
        found.append(finding(TRUST, "service levels met", counts, "not planted", None))
    drifted = drift.filter(pl.col("drifted"))
    said_drift = (
        ", ".join(sorted({f"{row['dataset']}.{row['column']}" for row in drifted.iter_rows(named=True)})[:4]) or "none"
    )
    planted = "the incident and the new prompt versions move mentions, answers and calls"
    if drift.is_empty():
        found.append(not_found(DRIFT, "columns that drifted", planted))
    else:
        found.append(
            finding(DRIFT, "columns that drifted", f"{drifted.height} of {drift.height}: {said_drift}", planted, None)
        )
    return found


def _degraded(causes: pl.DataFrame) -> Finding:
    """Where trust was degraded, what is named first; only the sentiment incident has a planted cause."""
    what, beside = "first cause of each degraded promise", "not planted"
    mine = causes.filter(~pl.col("incident_id").str.starts_with("sentiment-"))
    if mine.is_empty():
        return not_found(CAUSES, what, beside)
    first = mine.group_by("incident_id", maintain_order=True).first()
    said = ", ".join(f"{row['incident_id']}: {row['cause']}" for row in first.iter_rows(named=True))
    return finding(CAUSES, what, said, beside, None)


def _about(patterns: pl.DataFrame, campaign_id: str, kinds: tuple[str, ...]) -> pl.DataFrame:
    """Patterns looked up for one campaign, by the table's extra columns where it has them, else by query id."""
    if {"campaign_id", "query_kind"} <= set(patterns.columns):
        return patterns.filter(pl.col("campaign_id") == campaign_id, pl.col("query_kind").is_in(kinds))
    return patterns.filter(pl.col("query_id").str.contains(campaign_id, literal=True))


def _items(items: pl.DataFrame, memory: Truth) -> Finding:
    what, beside = "past decisions remembered", f"{memory['outcomes']}"
    if items.is_empty():
        return not_found(ITEMS, what, beside)
    kept = items.filter(pl.col("kind") == "outcome", pl.col("superseded_at").is_null())["memory_id"].n_unique()
    return finding(ITEMS, what, f"{kept}", beside, kept == memory["outcomes"])


def _best_action(patterns: pl.DataFrame, what: str, memory: Truth, kind: str) -> Finding:
    best = memory["best_action"][kind]
    beside = f"{best} ({memory['effects'][kind][best]:+.3f})"
    # Moves of spend are no answer to a kind of situation: they are judged by what they gain (flows.py).
    said = patterns.filter(
        ~pl.col("abstained"),
        ~pl.col("action").is_in(list(memory["spend"]["actions"])),
        pl.col("p_success").is_not_null(),
    )
    if said.is_empty():
        return not_found(PATTERNS, what, beside)
    # The advice is the action that the module thinks likeliest to help.
    top = said.sort(["p_success", "pattern_id"], descending=[True, False]).row(0, named=True)
    low, high = top.get("p_success_low"), top.get("p_success_high")
    found = f"{top['action']}, helps with probability {with_interval(top['p_success'], low, high)}"
    return finding(PATTERNS, what, found, beside, str(top["action"]).startswith(best))


def _retrieval(quality: pl.DataFrame) -> Finding:
    what, beside = "retrieval against its baselines", "not planted; fusion should not lose to words alone"
    recall = quality.filter(pl.col("metric").str.contains("recall|hit|mrr"), pl.col("value").is_not_null())
    if recall.is_empty():
        return not_found(QUALITY, what, beside)
    metric = recall["metric"][0]
    rows = recall.filter(pl.col("metric") == metric).sort("method")
    found = ", ".join(f"{row['method']} {number(row['value'])} (n {row['n']})" for row in rows.iter_rows(named=True))
    return finding(QUALITY, what, f"{metric}: {found}", beside, None)
